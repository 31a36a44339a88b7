//! What a row of the registry says of a function.

use std::fmt;

use bumpalo::Bump;
use tidefold_codec::{Datum, Type};

use crate::values::EvalError;

/// The most arguments of a function that takes any number of them.
pub const MOST_ARGUMENTS: usize = 64;

/// A function of the language.
pub struct Function {
    /// Its SQL name, in lower case.
    pub name: &'static str,
    /// Other names that it goes by.
    pub aliases: &'static [&'static str],
    /// How it is written, as the documents print it.
    pub usage: &'static str,
    /// What each argument has to be.
    pub takes: &'static [Takes],
    /// How many arguments may be there.
    pub count: Count,
    /// The type of its value.
    pub gives: Gives,
    /// When its value is NULL.
    pub nulls: Nulls,
    /// When it has no value.
    pub fails: Fails,
    /// What a call becomes.
    pub form: Form,
    /// What it gives, in one line of the documents.
    pub doc: &'static str,
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A string; what widens to one is widened.
    String,
    /// A string as above, or bytes as they are.
    StringOrBytes,
    /// A long.
    Long,
    /// A number; a float is computed as a double.
    Number,
    /// A timestamp.
    Timestamp,
    /// A timestamp or date.
    Day,
    /// A timestamp, date or time of the day.
    Time,
    /// An array or map.
    Collection,
    /// A map.
    Map,
    /// Of one type with every other argument.
    Alike,
    /// Of one type with every other argument, and such that values have an order.
    Comparable,
    /// A constant from 0 to 37.
    Digits,
    /// A constant name of a unit.
    Unit,
    /// A constant name of a part of a time.
    Part,
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Each that it names.
    All,
    /// All, or all but the last.
    LastMayLack,
    /// From one up to [`MOST_ARGUMENTS`], all like the one that it names.
    Repeated,
}

/// The type of a function's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// boolean.
    Boolean,
    /// long.
    Long,
    /// string.
    String,
    /// date.
    Date,
    /// timestamp-micros.
    Moment,
    /// The type of its arguments.
    Argument,
    /// The type of its argument; of a decimal one with as many digits behind the point as it is asked for, else none.
    Rounded,
    /// The type of the map's values.
    Element,
}

/// When a function's value is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// Where an argument is, and only there. The evaluator never sees a NULL.
    Strict,
    /// Where the first argument is, and elsewhere too. The evaluator sees NULLs.
    OfItsOwn,
    /// Where every argument is.
    OfAll,
}

/// When a function has no value though every argument has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Never.
    Never,
    /// Where the result is out of its type's range.
    Overflow,
    /// As above, and only if the result is a decimal of 38 digits.
    OverflowOf38Digits,
    /// Where the text is too long.
    TextTooLong,
    /// Where it divides by zero.
    DivisionByZero,
}

/// What a call of a function becomes.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A call, evaluated by this.
    Evaluated(Evaluator),
    /// `Node::EventTime`.
    EventTime,
    /// `Node::AppendTime`.
    AppendTime,
    /// `Node::Caller`.
    Caller,
    /// `Node::Coalesce`: it is decided by its first value.
    Coalesce,
    /// `a % b`.
    Remainder,
}

/// Computes a function's value.
pub type Evaluator = for<'a, 'v> fn(&Given<'a, 'v>) -> Result<Datum<'a>, EvalError>;

/// What an evaluator is given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a, 'v> {
    /// The arguments' values; constants stand behind the others.
    pub values: &'v [Datum<'a>],
    /// The type of the first.
    pub from: &'a Type,
    /// The type of the result.
    pub to: &'a Type,
    /// Where texts that it makes are kept.
    pub arena: &'a Bump,
}

// === impl Function ===

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

impl Function {
    /// The fewest arguments and the most.
    #[must_use]
    pub fn arguments(&self) -> (usize, usize) {
        let named = self.takes.len();
        match self.count {
            Count::All => (named, named),
            Count::LastMayLack => (named.saturating_sub(1), named),
            Count::Repeated => (named, MOST_ARGUMENTS),
        }
    }

    /// What the argument at a place has to be.
    #[must_use]
    pub fn takes_at(&self, at: usize) -> Option<Takes> {
        self.takes.get(at).or(self.takes.last()).copied()
    }

    /// Its line of the documents' table: usage, what it gives, NULL, failure.
    #[must_use]
    pub fn line(&self) -> String {
        let nulls = match self.nulls {
            Nulls::Strict if self.takes.is_empty() => "",
            Nulls::Strict => "if an argument is",
            Nulls::OfItsOwn => "as said",
            Nulls::OfAll => "if every argument is",
        };
        let fails = match self.fails {
            Fails::Never => "",
            Fails::Overflow => "`overflow`",
            Fails::OverflowOf38Digits => "`overflow`, of decimals with 38 digits",
            Fails::TextTooLong => "`text_too_long`",
            Fails::DivisionByZero => "`division_by_zero`",
        };
        format!("| {} | {} | {nulls} | {fails} |", self.usage, self.doc)
    }
}

// === impl Fails ===

impl Fails {
    /// The error that a call with a result of this type may end in.
    #[must_use]
    pub fn with(self, result: &Type) -> Option<EvalError> {
        match self {
            Fails::Never => None,
            Fails::Overflow => Some(EvalError::Overflow),
            Fails::OverflowOf38Digits => {
                matches!(result, Type::Decimal { precision: 38, .. }).then_some(EvalError::Overflow)
            }
            Fails::TextTooLong => Some(EvalError::TextTooLong),
            Fails::DivisionByZero => Some(EvalError::DivisionByZero),
        }
    }
}

// === impl Given ===

impl<'a> Given<'a, '_> {
    /// The value at a place; NULL where the call has no such argument.
    #[must_use]
    pub fn value(&self, at: usize) -> Datum<'a> {
        self.values.get(at).copied().unwrap_or(Datum::Null)
    }

    /// The text at a place.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self, at: usize) -> Result<&'a str, EvalError> {
        if let Datum::Text(text) = self.value(at) { Ok(text) } else { Err(EvalError::Damaged) }
    }

    /// The number at a place.
    ///
    /// # Errors
    /// When it is none.
    pub fn long(&self, at: usize) -> Result<i64, EvalError> {
        if let Datum::Long(number) = self.value(at) { Ok(number) } else { Err(EvalError::Damaged) }
    }

    /// What a constant stands for, by its place in a list.
    ///
    /// # Errors
    /// When it is no place.
    pub fn named<T: Copy>(&self, at: usize, list: &[(&str, T)]) -> Result<T, EvalError> {
        let place = usize::try_from(self.long(at)?).ok();
        place.and_then(|place| list.get(place)).map(|(_, named)| *named).ok_or(EvalError::Damaged)
    }
}
