//! What a rollup's row keeps of an aggregate: one or more components, each a number, a sum, an extreme or a sketch.
//!
//! | component | bytes |
//! |---|---|
//! | count | count (8) |
//! | sum, squares | sum (16), how many values were not NULL (8); of a sum with more than 127 bits: its lower 128 bits (16), the number of values with all bits turned (8), which makes it negative, and the sum's upper bits (8) |
//! | smallest, largest | length, then nothing (no value yet) or the value's datum |
//! | distinct | length, then the sketch ([`crate::distinct`]) |
//!
//! Sums are exact ([`crate::exact`]), so every addition can be taken back, whatever came in between.

use std::cmp::Ordering;

use tidefold_codec::{ColumnType, Datum, Type, columns};

use crate::distinct::Distinct;
use crate::exact::Exact;
use crate::wire::{Reader, put_chunk};

/// The kinds of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// How many values are not NULL.
    Count,
    /// Their sum, and how many; of booleans: how many are TRUE.
    Sum,
    /// The sum of their squares, and how many.
    Squares,
    /// The smallest.
    Smallest,
    /// The largest.
    Largest,
    /// A sketch of the set of them.
    Distinct,
}

/// A column that tools see of a component, in a store that has typed columns ([`crate::shown`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentColumn {
    /// What stands before the aggregate's name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// What of a component a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// How many values.
    Count,
    /// Their sum.
    Sum,
    /// The sum of their squares.
    Squares,
    /// The smallest or largest of them.
    Extreme,
}

/// A component's bytes, taken apart but not copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part<'a> {
    Count(i64),
    /// A sum and how many values it is of.
    Sum(Exact, i64),
    /// The datum of a value; empty where there is none yet.
    Extreme(&'a [u8]),
    /// A sketch.
    Distinct(&'a [u8]),
}

/// What a row keeps of one component.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateState {
    /// How many.
    Count(i64),
    /// A sum, of values or of their squares, and how many they are.
    Sum(Exact, i64),
    /// The smallest or largest value so far.
    Extreme(Box<Extreme>),
    /// The sketch.
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

/// What one record does to a component of a group.
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

// === impl Keeps ===

impl Keeps {
    /// Whether a value can be taken away again. Where it cannot, the component stands over events only.
    #[must_use]
    pub fn retracts(self) -> bool {
        match self {
            Keeps::Count | Keeps::Sum | Keeps::Squares => true,
            Keeps::Smallest | Keeps::Largest | Keeps::Distinct => false,
        }
    }

    /// The columns that tools see of it; the first one is what the component is about.
    #[must_use]
    pub fn columns(self) -> &'static [ComponentColumn] {
        const COUNT: ComponentColumn = ComponentColumn { name: "count", holds: Holds::Count };
        const SUM: ComponentColumn = ComponentColumn { name: "sum", holds: Holds::Sum };
        match self {
            Keeps::Count => &[COUNT],
            Keeps::Sum => &[SUM, COUNT],
            // They are as many as those of the sum that stands beside them.
            Keeps::Squares => &[ComponentColumn { name: "squares", holds: Holds::Squares }],
            Keeps::Smallest => &[ComponentColumn { name: "min", holds: Holds::Extreme }],
            Keeps::Largest => &[ComponentColumn { name: "max", holds: Holds::Extreme }],
            Keeps::Distinct => &[],
        }
    }

    /// Takes a component apart.
    pub(crate) fn read<'a>(self, reader: &mut Reader<'a>) -> Option<Part<'a>> {
        Some(match self {
            Keeps::Count => Part::Count(reader.i64()?),
            Keeps::Sum | Keeps::Squares => {
                let (sum, count) = read_sum(reader)?;
                Part::Sum(sum, count)
            }
            Keeps::Smallest | Keeps::Largest => Part::Extreme(reader.chunk()?),
            Keeps::Distinct => Part::Distinct(reader.chunk()?),
        })
    }
}

// === impl AggregateState ===

impl AggregateState {
    /// The state of no value of this type.
    #[must_use]
    pub fn empty(keeps: Keeps, argument: Option<&Type>) -> AggregateState {
        let extreme = |largest: bool| {
            let column = argument.cloned().unwrap_or(Type::Long).required();
            AggregateState::Extreme(Box::new(Extreme { column, largest, datum: Vec::new() }))
        };
        match keeps {
            Keeps::Count => AggregateState::Count(0),
            Keeps::Sum | Keeps::Squares => AggregateState::Sum(Exact::ZERO, 0),
            Keeps::Smallest => extreme(false),
            Keeps::Largest => extreme(true),
            Keeps::Distinct => AggregateState::Distinct(Box::default()),
        }
    }

    /// Reads into an empty state.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        match self {
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
        Some(())
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            AggregateState::Count(count) => out.extend_from_slice(&count.to_be_bytes()),
            AggregateState::Sum(sum, count) => put_sum(*sum, *count, out),
            AggregateState::Extreme(extreme) => put_chunk(&extreme.datum, out),
            AggregateState::Distinct(sketch) => {
                let mut bytes = Vec::new();
                sketch.encode(&mut bytes);
                put_chunk(&bytes, out);
            }
        }
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

    /// Adds the state of another shard.
    pub(crate) fn merge(&mut self, other: &AggregateState) {
        match other {
            AggregateState::Count(count) => self.apply(Delta::Count(*count)),
            AggregateState::Sum(sum, count) => self.apply(Delta::Sum(*sum, *count)),
            AggregateState::Extreme(other) if other.datum.is_empty() => {}
            AggregateState::Extreme(other) => self.apply(Delta::Extreme(&other.datum)),
            AggregateState::Distinct(other) => {
                if let AggregateState::Distinct(sketch) = self {
                    sketch.merge(other);
                }
            }
        }
    }
}

// === impl Extreme ===

impl Extreme {
    /// The datum of the value; empty where there is none yet.
    #[must_use]
    pub fn datum(&self) -> &[u8] {
        &self.datum
    }

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
