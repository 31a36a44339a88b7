//! The rows a state or an event makes in a view. A view is a pure function of one state or one event, and total: what
//! cannot be evaluated is NULL. A row whose key (or another column that is never NULL) cannot be evaluated is left out.

use smallvec::SmallVec;
use tidefold_app::bucket::{BUCKET_BYTES, Bucketing};
use tidefold_app::expr::{Expr, ViewSource};
use tidefold_app::model::{Aggregate, AggregateFunction, RollupColumn, View, ViewKind};
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{ColumnType, Datum, columns};
use tidefold_record::Partition;

use crate::changes::RollupChanges;
use crate::distinct;
use crate::eval::{Env, eval, matches};
use crate::rollup::Delta;

/// What is worked out once for a view.
#[derive(Debug)]
pub(crate) struct ViewPlan {
    /// The key's columns: place in the layout, encoding.
    keys: Vec<(usize, KeyColumn)>,
    /// How many of them are the partition key, and how rows find their buckets behind it.
    partition_columns: usize,
    bucketing: Option<Bucketing>,
    /// The places of the other columns.
    values: Vec<usize>,
}

/// Rows of an index: keys and values in one buffer.
#[derive(Debug, Default)]
pub(crate) struct IndexRows {
    bytes: Vec<u8>,
    /// Where each row's key starts, its value starts, and it ends.
    rows: Vec<(usize, usize, usize)>,
}

// === impl ViewPlan ===

impl ViewPlan {
    pub(crate) fn new(view: &View) -> ViewPlan {
        ViewPlan {
            keys: view.layout.key_columns().collect(),
            partition_columns: view.layout.partition_key.len(),
            bucketing: view.layout.bucketing(),
            values: view.layout.value_columns().map(|(at, _)| at).collect(),
        }
    }

    /// Appends the stored key of a row; `None` where a column of it has no value.
    fn key<'a>(&self, datum: impl Fn(usize) -> Option<Datum<'a>>, bytes: &mut Vec<u8>) -> Option<()> {
        let mut bucket = 0;
        for (place, (at, column)) in self.keys.iter().enumerate() {
            if place == self.partition_columns && self.bucketing.is_some() {
                bucket = bytes.len();
                bytes.extend_from_slice(&[0; BUCKET_BYTES]);
            }
            ordered::encode(column, datum(*at)?, bytes);
        }
        if let Some(bucketing) = &self.bucketing {
            let behind = bucket + BUCKET_BYTES;
            let found = bucketing.of(bytes.get(behind..)?);
            bytes.get_mut(bucket..behind)?.copy_from_slice(&found);
        }
        Some(())
    }

    /// Adds the rows that a state or event makes in an index.
    pub(crate) fn index<'a>(&self, view: &'a View, env: Env<'a>, out: &mut IndexRows) {
        let ViewKind::Index { columns } = &view.kind else { return };
        source_rows(&view.source, env, |env| {
            let key = out.bytes.len();
            if self.index_row(view, columns, env, &mut out.bytes, &mut out.rows).is_none() {
                out.bytes.truncate(key);
            }
        });
    }

    fn index_row<'a>(
        &self,
        view: &'a View,
        columns: &'a [Expr],
        env: &Env<'a>,
        bytes: &mut Vec<u8>,
        rows: &mut Vec<(usize, usize, usize)>,
    ) -> Option<()> {
        let key = bytes.len();
        self.key(|at| value(columns.get(at)?, env), bytes)?;
        let start = bytes.len();
        let mut slots: SmallVec<[Datum<'a>; 12]> = SmallVec::new();
        for at in &self.values {
            let slot = value(columns.get(*at)?, env);
            if slot.is_none() && !view.layout.columns.get(*at)?.column.nullable {
                return None;
            }
            slots.push(slot.unwrap_or(Datum::Null));
        }
        let types = self.values.iter().filter_map(|at| view.layout.columns.get(*at)).map(|c| &c.column);
        columns::encode(types, &slots, bytes);
        rows.push((key, start, bytes.len()));
        Some(())
    }

    /// Adds what a state or event adds to the groups of a rollup, `sign` times: 1 or -1.
    pub(crate) fn rollup<'a>(
        &self,
        view: &'a View,
        env: Env<'a>,
        partition: Partition,
        sign: i64,
        key: &mut Vec<u8>,
        changes: &mut RollupChanges,
    ) {
        let ViewKind::Rollup { columns, groups, aggregates } = &view.kind else { return };
        source_rows(&view.source, env, |env| {
            key.clear();
            let datum = |at: usize| match columns.get(at) {
                Some(RollupColumn::Group(group)) => value(groups.get(*group)?, env),
                _ => None,
            };
            if self.key(datum, key).is_none() {
                return;
            }
            key.extend_from_slice(&partition.0.to_be_bytes());
            changes.add_row(key, sign);
            for (at, aggregate) in aggregates.iter().enumerate() {
                add(aggregate, at, env, sign, changes);
            }
        });
    }
}

/// The rows that views take in: the state or event itself, or each element of its array, where the filter is TRUE.
fn source_rows<'a>(source: &'a ViewSource, env: Env<'a>, mut row: impl FnMut(&Env<'a>)) {
    let passes = |env: &Env<'a>| match &source.filter {
        Some(filter) => matches(filter, env).unwrap_or(false),
        None => true,
    };
    let Some(unnest) = &source.unnest else {
        if passes(&env) {
            row(&env);
        }
        return;
    };
    let Ok(Datum::Encoded(array)) = eval(&unnest.array, &env) else { return };
    let mut env = env;
    for element in columns::elements(&unnest.element, array) {
        let Ok(element) = element else { return };
        env.element = element;
        env.ordinality += 1;
        if passes(&env) {
            row(&env);
        }
    }
}

/// A value that is there.
fn value<'a>(expr: &'a Expr, env: &Env<'a>) -> Option<Datum<'a>> {
    match eval(expr, env) {
        Ok(Datum::Null) | Err(_) => None,
        Ok(datum) => Some(datum),
    }
}

/// Adds what one source row does to one aggregate.
fn add<'a>(aggregate: &'a Aggregate, at: usize, env: &Env<'a>, sign: i64, changes: &mut RollupChanges) {
    if let Some(filter) = &aggregate.filter
        && !matches(filter, env).unwrap_or(false)
    {
        return;
    }
    let Some(argument) = &aggregate.argument else {
        return changes.add(at, Delta::Count(sign));
    };
    let Some(datum) = value(argument, env) else { return };
    match aggregate.function {
        AggregateFunction::Count => changes.add(at, Delta::Count(sign)),
        AggregateFunction::Sum | AggregateFunction::Avg => {
            let number = match datum {
                Datum::Long(number) => i128::from(number),
                Datum::Decimal(number) => number,
                _ => return,
            };
            changes.add(at, Delta::Sum(number.wrapping_mul(i128::from(sign)), sign));
        }
        AggregateFunction::Min | AggregateFunction::Max => {
            with_bytes(aggregate, datum, |bytes| changes.add(at, Delta::Extreme(bytes)));
        }
        AggregateFunction::ApproxCountDistinct => {
            with_bytes(aggregate, datum, |bytes| changes.add(at, Delta::Distinct(distinct::hash(bytes))));
        }
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

// === impl IndexRows ===

impl IndexRows {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// A row's key and value.
    pub(crate) fn row(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let (key, value, end) = *self.rows.get(at)?;
        Some((self.bytes.get(key..value)?, self.bytes.get(value..end)?))
    }

    /// Sorts the rows by key; of rows with one key the last stays.
    pub(crate) fn settle(&mut self) {
        if self.rows.len() < 2 {
            return;
        }
        let bytes = &self.bytes;
        let key = |row: &(usize, usize, usize)| bytes.get(row.0..row.1).unwrap_or_default();
        self.rows.reverse();
        self.rows.sort_by(|a, b| key(a).cmp(key(b)));
        self.rows.dedup_by(|later, earlier| key(later) == key(earlier));
    }
}
