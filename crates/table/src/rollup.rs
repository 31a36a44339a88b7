//! A rollup's row: the offset last applied to it, the hidden count, and each aggregate's state. A reader adds up the
//! shards of a group and finishes the aggregates.
//!
//! The value: offset (8 bytes big-endian), hidden count (8), then for each aggregate of the view
//!
//! | aggregate | bytes |
//! |---|---|
//! | count | count (8) |
//! | sum, avg | sum (16), how many values were not NULL (8); of a sum with more than 127 bits: its lower 128 bits (16), the number of values with all bits turned (8), which makes it negative, and the sum's upper bits (8) |
//! | min, max | length, then nothing (no value yet) or the value's datum |
//! | approx_count_distinct | length, then the sketch ([`crate::distinct`]) |
//!
//! Sums are exact ([`crate::exact`]), so every addition can be taken back, whatever came in between. The group's columns
//! are all in the key.

use std::cmp::Ordering;

use bumpalo::Bump;
use tidefold_codec::decode::DecodeError;
use tidefold_codec::{ColumnType, Datum, Type, columns};
use tidefold_record::Offset;

use crate::distinct::Distinct;
use crate::exact::Exact;
use crate::layout::TableLayout;
use crate::wire::{Reader, put_chunk};

/// An aggregate of a rollup, as far as its rows know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// The type of its argument; `None` for `count(*)`.
    pub argument: Option<Type>,
}

/// The aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Rows, or rows whose argument is not NULL.
    Count,
    /// Exact sum in i128; NULL of no value.
    Sum,
    /// Sum and count; divided when read.
    Avg,
    /// Over events only: the smallest.
    Min,
    /// Over events only: the largest.
    Max,
    /// Over events only: HyperLogLog.
    ApproxCountDistinct,
}

/// A group's row, decoded; or several shards of one group, added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The last offset applied (of merged shards: the largest).
    pub offset: Offset,
    /// Rows in the group; it exists iff above 0.
    pub count: i64,
    /// The aggregates' states, in the view's order.
    pub aggregates: Vec<AggregateState>,
}

/// What a row keeps of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateState {
    /// How many.
    Count(i64),
    /// Sum and avg: the sum and how many values it has.
    Sum(Exact, i64),
    /// min and max: the value so far.
    Extreme(Box<Extreme>),
    /// approx_count_distinct.
    Distinct(Box<Distinct>),
}

/// The smallest or largest value so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Extreme {
    /// The value's type.
    column: ColumnType,
    largest: bool,
    /// Its datum; none yet where empty.
    datum: Vec<u8>,
}

/// What one record does to an aggregate of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta<'a> {
    /// Nothing.
    Nothing,
    /// More (or, below zero, fewer).
    Count(i64),
    /// A sum and how many values it has.
    Sum(Exact, i64),
    /// A value that may be the new extreme, as datum.
    Extreme(&'a [u8]),
    /// The hash of a value.
    Distinct(u64),
}

/// The order of two values of one type; text by its bytes.
#[must_use]
pub fn compare(a: Datum<'_>, b: Datum<'_>) -> Ordering {
    match (a, b) {
        (Datum::Boolean(a), Datum::Boolean(b)) => a.cmp(&b),
        (Datum::Long(a), Datum::Long(b)) => a.cmp(&b),
        (Datum::Double(a), Datum::Double(b)) => a.total_cmp(&b),
        (Datum::Decimal(a), Datum::Decimal(b)) => a.cmp(&b),
        (Datum::Text(a), Datum::Text(b)) => a.cmp(b),
        (Datum::Bytes(a), Datum::Bytes(b)) | (Datum::Encoded(a), Datum::Encoded(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// Appends a row's value.
pub fn encode_group(offset: Offset, count: i64, aggregates: &[AggregateState], out: &mut Vec<u8>) {
    out.extend_from_slice(&offset.0.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    for state in aggregates {
        match state {
            AggregateState::Count(count) => out.extend_from_slice(&count.to_be_bytes()),
            AggregateState::Sum(sum, count) => {
                put_sum(*sum, *count, out);
            }
            AggregateState::Extreme(extreme) => put_chunk(&extreme.datum, out),
            AggregateState::Distinct(sketch) => {
                let mut bytes = Vec::new();
                sketch.encode(&mut bytes);
                put_chunk(&bytes, out);
            }
        }
    }
}

fn put_sum(sum: Exact, count: i64, out: &mut Vec<u8>) {
    let (low, high) = sum.parts();
    out.extend_from_slice(&low.to_be_bytes());
    if sum.narrow().is_some() {
        return out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(&(!count).to_be_bytes());
    out.extend_from_slice(&high.to_be_bytes());
}

fn read_sum(reader: &mut Reader<'_>) -> Option<(Exact, i64)> {
    let (low, count) = (reader.i128()?, reader.i64()?);
    if count >= 0 {
        return Some((low.into(), count));
    }
    let sum = Exact::from_parts(low, reader.i64()?);
    sum.narrow().is_none().then_some((sum, !count))
}

// === impl Group ===

impl Group {
    /// A group that nothing was added to.
    #[must_use]
    pub fn empty(layout: &TableLayout) -> Group {
        let aggregates = layout.aggregates.iter().map(AggregateState::empty).collect();
        Group { offset: Offset::ZERO, count: 0, aggregates }
    }

    /// Decodes a row's value.
    ///
    /// # Errors
    /// When the bytes are not a row of this table.
    pub fn decode(layout: &TableLayout, value: &[u8]) -> Result<Group, DecodeError> {
        let mut reader = Reader::new(value);
        let group = Group::read(layout, &mut reader);
        let at = value.len() - reader.rest().len();
        match group {
            Some(group) if reader.rest().is_empty() => Ok(group),
            Some(_) => Err(DecodeError::Trailing(reader.rest().len())),
            None => Err(DecodeError::Malformed { at, what: "an aggregate's state" }),
        }
    }

    fn read(layout: &TableLayout, reader: &mut Reader<'_>) -> Option<Group> {
        let (offset, count) = (Offset(reader.u64()?), reader.i64()?);
        let states = layout.aggregates.iter().map(|aggregate| AggregateState::read(aggregate, reader));
        Some(Group { offset, count, aggregates: states.collect::<Option<_>>()? })
    }

    /// Appends the row's value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_group(self.offset, self.count, &self.aggregates, out);
    }

    /// Adds another shard of the same group.
    pub fn merge(&mut self, other: &Group) {
        self.offset = self.offset.max(other.offset);
        self.count = self.count.wrapping_add(other.count);
        for (state, other) in self.aggregates.iter_mut().zip(&other.aggregates) {
            match (state, other) {
                (AggregateState::Distinct(sketch), AggregateState::Distinct(other)) => sketch.merge(other),
                (state, AggregateState::Count(count)) => state.apply(Delta::Count(*count)),
                (state, AggregateState::Sum(sum, count)) => state.apply(Delta::Sum(*sum, *count)),
                (state, AggregateState::Extreme(other)) if !other.datum.is_empty() => {
                    state.apply(Delta::Extreme(&other.datum));
                }
                _ => {}
            }
        }
    }

    /// The columns of the layout, in order. `key` has the values of the layout's key columns, in key order.
    ///
    /// A sum of no value is NULL, and so is one that its type cannot say; an average is the nearest double.
    pub fn finish<'a>(&self, layout: &'a TableLayout, key: &[Datum<'a>], arena: &'a Bump) -> Vec<Datum<'a>> {
        let mut columns = vec![Datum::Null; layout.columns.len()];
        for ((at, _), datum) in layout.key_columns().zip(key) {
            columns[at] = *datum;
        }
        let kept = layout.aggregates.iter().zip(&self.aggregates);
        for ((at, column), (aggregate, state)) in layout.value_columns().zip(kept) {
            columns[at] = state.finish(aggregate, &column.column.ty, arena);
        }
        columns
    }
}

// === impl AggregateState ===

impl AggregateState {
    /// The state of no value.
    #[must_use]
    pub fn empty(aggregate: &Aggregate) -> AggregateState {
        match aggregate.function {
            AggregateFunction::Count => AggregateState::Count(0),
            AggregateFunction::Sum | AggregateFunction::Avg => AggregateState::Sum(Exact::ZERO, 0),
            AggregateFunction::Min | AggregateFunction::Max => {
                let column = aggregate.argument.clone().unwrap_or(Type::Long).required();
                let largest = aggregate.function == AggregateFunction::Max;
                AggregateState::Extreme(Box::new(Extreme { column, largest, datum: Vec::new() }))
            }
            AggregateFunction::ApproxCountDistinct => AggregateState::Distinct(Box::default()),
        }
    }

    fn read(aggregate: &Aggregate, reader: &mut Reader<'_>) -> Option<AggregateState> {
        let mut state = AggregateState::empty(aggregate);
        match &mut state {
            AggregateState::Count(count) => *count = reader.i64()?,
            AggregateState::Sum(sum, count) => (*sum, *count) = read_sum(reader)?,
            AggregateState::Extreme(extreme) => {
                let datum = reader.chunk()?;
                if !datum.is_empty() {
                    extreme.value(datum)?;
                }
                extreme.datum = datum.to_vec();
            }
            AggregateState::Distinct(sketch) => **sketch = Distinct::decode(reader.chunk()?)?,
        }
        Some(state)
    }

    /// Takes in what a record does to it.
    pub fn apply(&mut self, delta: Delta<'_>) {
        match (self, delta) {
            (AggregateState::Count(count), Delta::Count(more)) => *count = count.wrapping_add(more),
            (AggregateState::Sum(sum, count), Delta::Sum(more, values)) => {
                *sum = sum.plus(more);
                *count = count.wrapping_add(values);
            }
            (AggregateState::Extreme(extreme), Delta::Extreme(datum)) => extreme.offer(datum),
            (AggregateState::Distinct(sketch), Delta::Distinct(hash)) => sketch.add(hash),
            _ => {}
        }
    }

    fn finish<'a>(&self, aggregate: &'a Aggregate, result: &'a Type, arena: &'a Bump) -> Datum<'a> {
        match self {
            AggregateState::Count(count) => Datum::Long(*count),
            AggregateState::Distinct(sketch) => Datum::Long(sketch.estimate()),
            AggregateState::Extreme(extreme) => match &aggregate.argument {
                Some(ty) if !extreme.datum.is_empty() => {
                    let mut slot = [Datum::Null];
                    let datum = arena.alloc_slice_copy(&extreme.datum);
                    let column = arena.alloc(ty.clone().required());
                    let _ = columns::decode([&*column], datum, &mut slot);
                    slot[0]
                }
                _ => Datum::Null,
            },
            AggregateState::Sum(_, 0) => Datum::Null,
            AggregateState::Sum(sum, count) if aggregate.function == AggregateFunction::Avg => {
                let scale = aggregate.argument.as_ref().map_or(0, scale);
                Datum::double(sum.mean(scale, *count), result).unwrap_or(Datum::Null)
            }
            AggregateState::Sum(sum, _) => {
                sum.narrow().and_then(|sum| whole(sum, result)).unwrap_or(Datum::Null)
            }
        }
    }
}

// === impl Extreme ===

impl Extreme {
    fn value<'a>(&'a self, datum: &'a [u8]) -> Option<Datum<'a>> {
        let mut slot = [Datum::Null];
        columns::decode([&self.column], datum, &mut slot).ok()?;
        Some(slot[0])
    }

    fn offer(&mut self, datum: &[u8]) {
        let better = match (self.value(&self.datum), self.value(datum)) {
            _ if self.datum.is_empty() => true,
            (Some(old), Some(new)) if self.largest => compare(new, old) == Ordering::Greater,
            (Some(old), Some(new)) => compare(new, old) == Ordering::Less,
            _ => false,
        };
        if better {
            self.datum.clear();
            self.datum.extend_from_slice(datum);
        }
    }
}

fn scale(ty: &Type) -> u8 {
    if let Type::Decimal { scale, .. } = ty { *scale } else { 0 }
}

/// A sum as a value of the result's type, which has its argument's scale; `None` where it does not fit.
fn whole(sum: i128, result: &Type) -> Option<Datum<'static>> {
    match result {
        Type::Decimal { .. } => Datum::decimal(sum, result),
        _ => Datum::long(i64::try_from(sum).ok()?, result),
    }
}
