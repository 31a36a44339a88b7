//! What a source row adds to the aggregates of a rollup.

use tidefold_app::model::Aggregate;
use tidefold_codec::{ColumnType, Datum, columns};
use tidefold_table::component::{Delta, Keeps};
use tidefold_table::distinct;

use crate::eval::{Env, matches, value};
use crate::made::RollupRows;

/// What a source row adds to an aggregate: its argument, TRUE where it has none; NULL where the row adds nothing.
pub(crate) fn added<'a>(aggregate: &'a Aggregate, env: &Env<'a>) -> Datum<'a> {
    if let Some(filter) = &aggregate.filter
        && !matches(filter, env).unwrap_or(false)
    {
        return Datum::Null;
    }
    match &aggregate.argument {
        Some(argument) => value(argument, env).unwrap_or(Datum::Null),
        None => Datum::Boolean(true),
    }
}

/// Adds it to the components of the aggregate, which start at this place; how many bytes a row keeps of it besides what it
/// has anyway.
pub(crate) fn add(
    aggregate: &Aggregate,
    at: usize,
    datum: Datum<'_>,
    sign: i64,
    rows: &mut RollupRows,
) -> usize {
    if datum.is_null() {
        return 0;
    }
    if aggregate.argument.is_none() {
        rows.add(at, Delta::Count(sign));
        return 0;
    }
    let mut bytes = 0;
    for (at, keeps) in (at..).zip(aggregate.function.keeps) {
        match keeps {
            Keeps::Count => rows.add(at, Delta::Count(sign)),
            // A decimal has at most 127 bits, and so has the square of a number that the checker let be squared; a sign is
            // one of two, so the product is the number or its opposite.
            Keeps::Sum => {
                let number = number(datum).wrapping_mul(i128::from(sign));
                rows.add(at, Delta::Sum(number.into(), sign));
            }
            Keeps::Squares => {
                let number = number(datum);
                let square = number.wrapping_mul(number).wrapping_mul(i128::from(sign));
                rows.add(at, Delta::Sum(square.into(), sign));
            }
            Keeps::Smallest | Keeps::Largest => {
                with_bytes(aggregate, datum, |datum| {
                    rows.add(at, Delta::Extreme(datum));
                    bytes += datum.len();
                });
            }
            Keeps::Distinct => {
                with_bytes(aggregate, datum, |datum| rows.add(at, Delta::Distinct(distinct::hash(datum))));
            }
        }
    }
    bytes
}

/// What a sum adds of a value: the number without its point, or 1 of TRUE.
fn number(datum: Datum<'_>) -> i128 {
    match datum {
        Datum::Long(number) => i128::from(number),
        Datum::Decimal(number) => number,
        Datum::Boolean(yes) => i128::from(yes),
        Datum::Null | Datum::Double(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => 0,
    }
}

/// The value's datum, of the argument's type without null.
fn with_bytes(aggregate: &Aggregate, datum: Datum<'_>, then: impl FnOnce(&[u8])) {
    let Some(column) = &aggregate.argument_type else { return };
    let column = ColumnType { ty: column.ty.clone(), nullable: false };
    let mut bytes = Vec::with_capacity(32);
    columns::encode([&column], &[datum], &mut bytes);
    then(&bytes);
}
