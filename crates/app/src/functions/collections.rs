//! Arrays and maps.

use tidefold_codec::{Datum, Type, columns};

use super::row::{Count, Fails, Form, Function, Given, Gives, Nulls, Takes};
use crate::values::EvalError;

/// How many elements.
pub static CARDINALITY: Function = Function {
    name: "cardinality",
    aliases: &[],
    usage: "`cardinality(a)`",
    takes: &[Takes::Collection],
    count: Count::All,
    gives: Gives::Long,
    nulls: Nulls::Strict,
    fails: Fails::Never,
    form: Form::Evaluated(cardinality),
    doc: "elements of an array or map; long",
};

/// A value of a map.
pub static MAP_VALUE: Function = Function {
    name: "map_value",
    aliases: &[],
    usage: "`map_value(m, 'key')`",
    takes: &[Takes::Map, Takes::String],
    count: Count::All,
    gives: Gives::Element,
    nulls: Nulls::OfItsOwn,
    fails: Fails::Never,
    form: Form::Evaluated(map_value),
    doc: "the value; NULL where the map has no such key, or an argument is NULL",
};

fn cardinality<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let Datum::Encoded(bytes) = given.value(0) else { return Err(EvalError::Damaged) };
    let count = match given.from {
        Type::Array(element) => columns::count(element, false, bytes),
        Type::Map(element) => columns::count(element, true, bytes),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Record(_)
        | Type::Union(_) => return Err(EvalError::Damaged),
    };
    let count = count.ok().and_then(|count| i64::try_from(count).ok());
    count.map(Datum::Long).ok_or(EvalError::Damaged)
}

fn map_value<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    match (given.value(0), given.value(1), given.from) {
        (Datum::Null, ..) | (_, Datum::Null, _) => Ok(Datum::Null),
        (Datum::Encoded(bytes), Datum::Text(key), Type::Map(value)) => {
            columns::entry(value, bytes, key).map_err(|_| EvalError::Damaged)
        }
        _ => Err(EvalError::Damaged),
    }
}
