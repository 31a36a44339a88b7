//! The registry of aggregates: one row each, with its name, what it is over, what a stored row keeps of it, how that is
//! finished, when it is NULL, and its line of the documents.
//!
//! **Adding an aggregate is one row** in [`AGGREGATES`], as long as it can be finished from components that there are
//! ([`Keeps`]). The checker types a call by the row, the fold adds to its components, a reader finishes it, and
//! `docs/app-language-sql.md` prints it. It stands here since readers of rows need it, and they know no SQL.
//!
//! Stored rows hold components by place: what a row of this registry keeps, and in which order, is never changed.

use std::fmt;

use bumpalo::Bump;
use tidefold_codec::{Datum, Type, columns};

use crate::component::{AggregateState, Keeps};
use crate::exact::Exact;

/// An aggregate of a rollup, as far as its rows know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: &'static AggregateFunction,
    /// The type of its argument; `None` for `count(*)`.
    pub argument: Option<Type>,
}

/// An aggregate function of the language.
pub struct AggregateFunction {
    /// Its SQL name, in lower case.
    pub name: &'static str,
    /// How it is written, as the documents print it.
    pub usage: &'static str,
    /// What it takes.
    pub over: Over,
    /// What a stored row keeps of it.
    pub keeps: &'static [Keeps],
    /// The type of its value.
    pub gives: Gives,
    /// When its value is NULL.
    pub nulls: Nulls,
    /// What is made of what was kept; `None` is NULL.
    pub finish: Finish,
    /// What tools see of a shard.
    pub shows: Shows,
    /// What it gives, in one line of the documents.
    pub doc: &'static str,
}

/// What an aggregate takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Any value, or `*`.
    Anything,
    /// An exact number.
    Number,
    /// An exact number whose square fits a decimal: int, long, and decimals of at most 19 digits.
    Squarable,
    /// boolean.
    Boolean,
    /// What has an order that a reader expects: numbers, strings, times.
    Ordered,
    /// What can stand in a key.
    Key,
}

/// The type of an aggregate's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// long.
    Long,
    /// long; of decimals a decimal with 38 digits.
    Total,
    /// double.
    Double,
    /// boolean.
    Boolean,
    /// The type of its argument.
    Argument,
}

/// When an aggregate's value is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// Never.
    Never,
    /// If no value is there.
    OfNoValue,
    /// If no value is there, and elsewhere.
    OfItsOwn,
}

/// What tools see of a shard of it, in a store that has typed columns ([`crate::shown`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Its value: its one component's first column, under its own name. Shards are added up with CQL's function of its name.
    Itself,
    /// Its components, each under names of their own.
    Components,
}

/// Finishes an aggregate.
pub type Finish = for<'k, 'a> fn(&Kept<'k, 'a>) -> Option<Datum<'a>>;

/// What was kept of an aggregate.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'k, 'a> {
    /// Its components, all shards added up.
    pub states: &'k [AggregateState],
    /// The type of its argument.
    pub argument: Option<&'a Type>,
    /// The type of its value.
    pub to: &'a Type,
    /// Where the value is kept.
    pub arena: &'a Bump,
}

const NONE: AggregateFunction = AggregateFunction {
    name: "",
    usage: "",
    over: Over::Number,
    keeps: &[Keeps::Sum],
    gives: Gives::Double,
    nulls: Nulls::OfNoValue,
    finish: |_| None,
    shows: Shows::Components,
    doc: "",
};

const VARIANCE: AggregateFunction =
    AggregateFunction { over: Over::Squarable, keeps: &[Keeps::Sum, Keeps::Squares], ..NONE };

/// Every aggregate, in the order of the documents.
pub static AGGREGATES: &[AggregateFunction] = &[
    AggregateFunction {
        name: "count",
        usage: "`count(*)`, `count(x)`",
        over: Over::Anything,
        keeps: &[Keeps::Count],
        gives: Gives::Long,
        nulls: Nulls::Never,
        finish: |kept| kept.count(0).map(Datum::Long),
        shows: Shows::Itself,
        doc: "rows; rows where x is not NULL; long",
    },
    AggregateFunction {
        name: "sum",
        usage: "`sum(x)`",
        gives: Gives::Total,
        nulls: Nulls::OfItsOwn,
        finish: |kept| kept.sum(0).and_then(|(sum, _)| whole(sum.narrow()?, kept.to)),
        shows: Shows::Itself,
        doc: "of int and long a long, of decimal(p,s) a decimal(38,s); exact; NULL of no value, and where the sum has no \
              place in its type",
        ..NONE
    },
    AggregateFunction {
        name: "avg",
        usage: "`avg(x)`",
        finish: |kept| kept.sum(0).and_then(|(sum, count)| double(sum.mean(kept.scale(), count))),
        doc: "the double nearest to the exact sum divided by the count; NULL of no value",
        ..NONE
    },
    AggregateFunction {
        name: "min",
        usage: "`min(x)`",
        over: Over::Ordered,
        keeps: &[Keeps::Smallest],
        gives: Gives::Argument,
        finish: |kept| kept.extreme(),
        shows: Shows::Itself,
        doc: "the smallest, as the argument; NULL of no value",
        ..NONE
    },
    AggregateFunction {
        name: "max",
        usage: "`max(x)`",
        over: Over::Ordered,
        keeps: &[Keeps::Largest],
        gives: Gives::Argument,
        finish: |kept| kept.extreme(),
        shows: Shows::Itself,
        doc: "the largest, as the argument; NULL of no value",
        ..NONE
    },
    AggregateFunction {
        name: "approx_count_distinct",
        usage: "`approx_count_distinct(x)`",
        over: Over::Key,
        keeps: &[Keeps::Distinct],
        gives: Gives::Long,
        nulls: Nulls::Never,
        finish: |kept| match kept.states.first()? {
            AggregateState::Distinct(sketch) => Some(Datum::Long(sketch.estimate())),
            AggregateState::Count(_) | AggregateState::Sum(..) | AggregateState::Extreme(_) => None,
        },
        shows: Shows::Components,
        doc: "long: exact up to 512 values of a group in each partition and over all of them, above that with a standard \
              error of 1.6 % (within 5 % nearly always)",
    },
    AggregateFunction {
        name: "bool_and",
        usage: "`bool_and(x)`",
        over: Over::Boolean,
        gives: Gives::Boolean,
        finish: |kept| kept.sum(0).map(|(trues, count)| Datum::Boolean(trues == i128::from(count).into())),
        doc: "whether x is TRUE wherever it is not NULL; NULL of no value",
        ..NONE
    },
    AggregateFunction {
        name: "bool_or",
        usage: "`bool_or(x)`",
        over: Over::Boolean,
        gives: Gives::Boolean,
        finish: |kept| kept.sum(0).map(|(trues, _)| Datum::Boolean(trues != Exact::ZERO)),
        doc: "whether x is TRUE anywhere; NULL of no value",
        ..NONE
    },
    AggregateFunction {
        name: "var_pop",
        usage: "`var_pop(x)`",
        finish: |kept| kept.variance(0).and_then(double),
        doc: "the double nearest to the exact variance of these values; NULL of no value",
        ..VARIANCE
    },
    AggregateFunction {
        name: "var_samp",
        usage: "`var_samp(x)`",
        nulls: Nulls::OfItsOwn,
        finish: |kept| kept.variance(1).and_then(double),
        doc: "the double nearest to the exact variance of a sample; NULL of fewer than two values",
        ..VARIANCE
    },
    AggregateFunction {
        name: "stddev_pop",
        usage: "`stddev_pop(x)`",
        finish: |kept| kept.variance(0).map(f64::sqrt).and_then(double),
        doc: "the square root of `var_pop(x)`, rounded to the nearest double; NULL of no value",
        ..VARIANCE
    },
    AggregateFunction {
        name: "stddev_samp",
        usage: "`stddev_samp(x)`",
        nulls: Nulls::OfItsOwn,
        finish: |kept| kept.variance(1).map(f64::sqrt).and_then(double),
        doc: "the square root of `var_samp(x)`, rounded to the nearest double; NULL of fewer than two values",
        ..VARIANCE
    },
];

/// The aggregate of a name, which is in lower case.
#[must_use]
pub fn aggregate(name: &str) -> Option<&'static AggregateFunction> {
    AGGREGATES.iter().find(|row| row.name == name)
}

// === impl AggregateFunction ===

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for AggregateFunction {
    fn eq(&self, other: &AggregateFunction) -> bool {
        self.name == other.name
    }
}

impl AggregateFunction {
    /// Whether a value can be taken away again. Where it cannot, the aggregate stands over events only.
    #[must_use]
    pub fn retracts(&self) -> bool {
        self.keeps.iter().all(|keeps| keeps.retracts())
    }

    /// Its line of the documents' table: usage, what it is over, what it gives.
    #[must_use]
    pub fn line(&self) -> String {
        let over = match self.over {
            Over::Anything => "anything",
            Over::Number => "int, long, decimal",
            Over::Squarable => "int, long, decimal of at most 19 digits",
            Over::Boolean => "boolean",
            Over::Ordered => "numbers, strings, times",
            Over::Key => "what can stand in a key",
        };
        let only = if self.retracts() { "" } else { "; events only" };
        format!("| {} | {over}{only} | {} |", self.usage, self.doc)
    }
}

// === impl Kept ===

impl<'a> Kept<'_, 'a> {
    fn count(&self, at: usize) -> Option<i64> {
        if let AggregateState::Count(count) = self.states.get(at)? { Some(*count) } else { None }
    }

    /// A sum and how many values it is of; `None` of no value.
    fn sum(&self, at: usize) -> Option<(Exact, i64)> {
        if let AggregateState::Sum(sum, count) = self.states.get(at)? {
            (*count != 0).then_some((*sum, *count))
        } else {
            None
        }
    }

    fn extreme(&self) -> Option<Datum<'a>> {
        let AggregateState::Extreme(extreme) = self.states.first()? else { return None };
        if extreme.datum().is_empty() {
            return None;
        }
        let mut slot = [Datum::Null];
        let datum = self.arena.alloc_slice_copy(extreme.datum());
        let column = self.arena.alloc(self.argument?.clone().required());
        columns::decode([&*column], datum, &mut slot).ok()?;
        Some(slot[0])
    }

    /// The variance, divided by how many values there are less `fewer`.
    fn variance(&self, fewer: i64) -> Option<f64> {
        let ((sum, count), (squares, _)) = (self.sum(0)?, self.sum(1)?);
        (count > fewer).then(|| squares.variance(sum, self.scale(), count, fewer))
    }

    /// How many digits of the argument stand behind the point.
    fn scale(&self) -> u8 {
        if let Some(Type::Decimal { scale, .. }) = self.argument { *scale } else { 0 }
    }
}

fn double(value: f64) -> Option<Datum<'static>> {
    Datum::double(value, &Type::Double)
}

/// A sum as a value of the result's type, which has its argument's scale; `None` where it does not fit.
fn whole(sum: i128, result: &Type) -> Option<Datum<'static>> {
    if let Type::Decimal { .. } = result {
        return Datum::decimal(sum, result);
    }
    Datum::long(i64::try_from(sum).ok()?, result)
}
