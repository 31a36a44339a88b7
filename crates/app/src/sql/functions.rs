//! Calls of the closed function list ([`crate::functions`]): typed by what a function's row says.

use sqlparser::ast::{
    CeilFloorKind, DuplicateTreatment, Expr as Ast, Function as Call, FunctionArg, FunctionArgExpr,
    FunctionArguments, ObjectNamePart, Value,
};
use tidefold_codec::Type;
use tidefold_codec::nearest::nearest;
use tidefold_codec::truncate::TruncUnit;
use tidefold_table::aggregate::{AGGREGATES, aggregate};

use super::check::{Checker, Placed, is_null};
use super::names;
use super::refusal;
use super::scope::Scope;
use super::types::{decimal, describe, is_comparable, is_number, made};
use crate::expr::{Constant, Expr, Node};
use crate::functions::row::{Form, Function, Gives, MOST_ARGUMENTS, Nulls, Takes};
use crate::functions::times::{PARTS, UNITS};
use crate::functions::{function, function_names};
use crate::values::number::ArithmeticOp;

/// The plain arguments of a call.
pub(super) fn arguments(call: &Call) -> impl Iterator<Item = &Ast> {
    let list = match &call.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) => Some(ast),
        _ => None,
    })
}

/// A function's name in lower case; `None` of one with points in it.
pub(super) fn name_of(call: &Call) -> Option<String> {
    match call.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// The arguments of a call: the values in order, and the constant, if it has one, as a number and as it was written.
#[derive(Default)]
struct Arguments {
    values: Vec<(Takes, Placed)>,
    constant: Option<(usize, String)>,
}

// === impl Checker ===

impl Checker<'_> {
    pub(super) fn function(&mut self, call: &Call) -> Option<Expr> {
        let Some(name) = name_of(call) else {
            let message = format!("there is no function `{}`", call.name);
            return self.here("unknown-function", message, "functions have no schema: the list is closed");
        };
        if let Some((rule, message, help)) = refusal::of_call(&name, call, self.sql_place()) {
            return self.here(rule, message, help);
        }
        if aggregate(&name).is_some() {
            let (rule, message, help) = match self.scope {
                Scope::View(_) => (
                    "aggregate-place",
                    format!("{name}(…) stands inside another expression"),
                    "make the aggregate a column of its own; a rollup keeps each aggregate, and an expression over \
                     them is computed by the reader"
                        .to_owned(),
                ),
                Scope::Clause(_) => refusal::of_aggregate(&name),
            };
            return self.here(rule, message, help);
        }
        let Some(row) = function(&name) else { return self.unknown_function(&name) };
        if call.filter.is_some() {
            return self.here("unsupported-syntax", "FILTER belongs to an aggregate", "write CASE WHEN …");
        }
        let list: Vec<&Ast> = arguments(call).collect();
        let given = match &call.args {
            FunctionArguments::List(list) => list.args.len(),
            _ => 0,
        };
        if given != list.len() {
            return self.here("argument-count", format!("{name} takes plain arguments"), "");
        }
        self.call_of(row, &name, &list)
    }

    /// A call that has a form of its own in SQL.
    pub(super) fn named_call(&mut self, name: &str, list: &[&Ast]) -> Option<Expr> {
        self.call_of(function(name)?, name, list)
    }

    /// A call of a function by one of its names.
    fn call_of(&mut self, row: &'static Function, name: &str, list: &[&Ast]) -> Option<Expr> {
        let (least, most) = row.arguments();
        if !(least..=most).contains(&list.len()) {
            let wanted = match (least, most) {
                (0, 0) => "no arguments".to_owned(),
                (1, 1) => "one argument".to_owned(),
                (least, MOST_ARGUMENTS) => format!("at least {least} and at most {MOST_ARGUMENTS} arguments"),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} or {most} arguments"),
            };
            let message = format!("{name} takes {wanted}, not {}", list.len());
            return self.here("argument-count", message, "");
        }
        let mut given = Arguments::default();
        let mut whole = true;
        for (at, ast) in list.iter().enumerate() {
            let takes = row.takes_at(at)?;
            whole &= self.argument(name, takes, ast, &mut given).is_some();
        }
        if !whole {
            return None;
        }
        self.call_on(row, name, given)
    }

    /// Takes in one argument: a constant is read, anything else typed.
    fn argument(&mut self, name: &str, takes: Takes, ast: &Ast, given: &mut Arguments) -> Option<()> {
        match takes {
            Takes::Unit => {
                let text = self.constant_text(ast, "the first argument of date_trunc is a constant unit")?;
                let place = UNITS.iter().position(|(name, _)| *name == text);
                if place.is_none() {
                    let help = names::help(&text, "units are", UNITS.iter().map(|(name, _)| *name));
                    let message = format!("date_trunc has no unit '{text}'");
                    self.problem(self.place(ast), "unknown-unit", message, Some(help));
                }
                given.constant = Some((place?, text));
            }
            Takes::Part => {
                let text = self.constant_text(ast, "the first argument of date_part is a constant")?;
                given.constant = Some(self.part(text)?);
            }
            Takes::Digits => {
                let digits = self.placed(ast)?;
                given.constant = Some((self.digits(name, digits)?, String::new()));
            }
            Takes::String
            | Takes::StringOrBytes
            | Takes::Long
            | Takes::Number
            | Takes::Timestamp
            | Takes::Day
            | Takes::Time
            | Takes::Collection
            | Takes::Map
            | Takes::Alike
            | Takes::Comparable => given.values.push((takes, self.placed(ast)?)),
        }
        Some(())
    }

    /// A name that is no function. Aggregates are offered where they can stand only.
    fn unknown_function(&mut self, name: &str) -> Option<Expr> {
        let functions = function_names().into_iter();
        let aggregates = || AGGREGATES.iter().map(|row| row.name);
        let near = refusal::aggregate_called(name)
            .or_else(|| nearest(name, functions.clone().chain(aggregates())))
            .filter(|near| aggregate(near).is_some());
        let help = match (refusal::instead_of(name), near, self.sql_place()) {
            (Some(instead), ..) => instead.to_owned(),
            (None, Some(near), refusal::Place::View) => format!("did you mean `{near}`?"),
            (None, Some(near), refusal::Place::Clause) => {
                format!(
                    "{near} is an aggregate, which stands in views only; keep a running value in a column"
                )
            }
            (None, None, place) => match nearest(name, functions.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let aggregates = aggregates().filter(|_| place == refusal::Place::View);
                    format!(
                        "the list is closed: {}",
                        functions.chain(aggregates).collect::<Vec<_>>().join(", ")
                    )
                }
            },
        };
        self.here("unknown-function", format!("there is no function `{name}`"), help)
    }

    /// A call whose arguments are there.
    fn call_on(&mut self, row: &'static Function, name: &str, given: Arguments) -> Option<Expr> {
        let Arguments { values, constant } = given;
        match row.form {
            Form::Evaluated(_) => {}
            Form::EventTime => return self.context_call(row, Node::EventTime),
            Form::AppendTime => return self.context_call(row, Node::AppendTime),
            Form::Caller => return self.context_call(row, Node::Caller),
            Form::Coalesce => {
                let (list, ty) = self.unify(values.into_iter().map(|(_, part)| part).collect())?;
                let nullable = list.iter().all(|expr| expr.column.nullable);
                return Some(made(Node::Coalesce(list), &ty, nullable));
            }
            Form::Remainder => {
                let mut parts = values.into_iter().map(|(_, part)| part);
                let (left, right) = (parts.next()?, parts.next()?);
                return self.arithmetic_of(ArithmeticOp::Remainder, left, right);
            }
        }
        let mut list = if row.takes.iter().any(|takes| matches!(takes, Takes::Alike | Takes::Comparable)) {
            let (list, ty) = self.unify(values.into_iter().map(|(_, part)| part).collect())?;
            if row.takes.contains(&Takes::Comparable) {
                self.demand_comparable(&ty)?;
            }
            list
        } else {
            let fitted = values.into_iter().map(|(takes, part)| self.fitted(name, takes, part, &constant));
            fitted.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?
        };
        let first = list.first()?;
        let (ty, own) = result(row, &first.column.ty, constant.as_ref().map(|(number, _)| *number))?;
        let nullable = match row.nulls {
            Nulls::Strict => list.iter().any(|expr| expr.column.nullable),
            Nulls::OfItsOwn => true,
            Nulls::OfAll => list.iter().all(|expr| expr.column.nullable),
        };
        if let Some((number, _)) = constant {
            list.push(Expr::constant(Constant::Long(i64::try_from(number).ok()?), Type::Int));
        }
        Some(made(Node::Call(row, list), &ty, nullable || own))
    }

    /// An argument as the function takes it.
    fn fitted(
        &mut self,
        name: &str,
        takes: Takes,
        part: Placed,
        constant: &Option<(usize, String)>,
    ) -> Option<Expr> {
        let ty = part.0.column.ty.clone();
        let (wanted, is) = match takes {
            Takes::String => return self.string(part, name),
            Takes::StringOrBytes if matches!(ty, Type::Bytes | Type::Fixed(_)) => return Some(part.0),
            Takes::StringOrBytes => return self.string(part, name),
            Takes::Long => return self.fit(part, &Type::Long),
            Takes::Number if ty == Type::Float => return self.fit(part, &Type::Double),
            Takes::Number => ("a number", is_number(&ty) && !is_null(&part.0)),
            Takes::Timestamp => ("a timestamp", ty.is_timestamp()),
            Takes::Day => ("a timestamp or date", ty.is_timestamp() || ty == Type::Date),
            Takes::Time => ("a timestamp, date or time", ty.is_time()),
            Takes::Collection => ("an array or map", matches!(ty, Type::Array(_) | Type::Map(_))),
            Takes::Map => ("a map", matches!(ty, Type::Map(_))),
            // Brought to one type with the others, or read as constants.
            Takes::Alike | Takes::Comparable | Takes::Digits | Takes::Unit | Takes::Part => ("", true),
        };
        if !is {
            return self.wrong_argument(name, wanted, &ty, part.1);
        }
        if let Some((number, text)) = constant
            && !has(takes, *number, &ty)
        {
            self.problem(part.1, "argument-type", format!("a {} has no {text}", describe(&ty)), None);
            return None;
        }
        Some(part.0)
    }

    /// The digits that `round` keeps.
    fn digits(&mut self, name: &str, (expr, place): Placed) -> Option<usize> {
        let literal = match expr.node {
            Node::Cast(inner) => inner.node,
            node => node,
        };
        if let Node::Constant(Constant::Long(value @ 0..=37)) = literal {
            return usize::try_from(value).ok();
        }
        let message = format!("the digits that {name} keeps are a constant from 0 to 37");
        self.problem(place, "argument-type", message, None);
        None
    }

    fn demand_comparable(&mut self, ty: &Type) -> Option<()> {
        if is_comparable(ty) {
            return Some(());
        }
        let message = format!("values of {} cannot be compared", describe(ty));
        self.here("type-mismatch", message, "compare their fields or elements")
    }

    fn wrong_argument(
        &mut self,
        name: &str,
        wanted: &str,
        ty: &Type,
        place: std::ops::Range<usize>,
    ) -> Option<Expr> {
        let message = format!("{name} takes {wanted}, not {}", describe(ty));
        self.problem(place, "argument-type", message, None);
        None
    }

    fn context_call(&mut self, row: &'static Function, node: Node) -> Option<Expr> {
        let name = row.name;
        if !self.context {
            let help = format!("store it in a column when the message is folded: set = \"x = {name}()\"");
            let message = format!("{name}() belongs to a message; this view reads states");
            return self.here("no-message-here", message, help);
        }
        let ty = if row.gives == Gives::Moment { Type::TimestampMicros } else { Type::String };
        Some(Expr { node, column: ty.nullable() })
    }

    fn constant_text(&mut self, ast: &Ast, message: &str) -> Option<String> {
        if let Ast::Value(value) = ast
            && let Value::SingleQuotedString(text) = &value.value
        {
            return Some(text.to_ascii_lowercase());
        }
        let place = self.place(ast);
        self.problem(place, "argument-type", message, Some("write it in single quotes".to_owned()));
        None
    }

    /// The part of a time of a name: its place in the list.
    fn part(&mut self, text: String) -> Option<(usize, String)> {
        let Some(place) = PARTS.iter().position(|(name, _)| *name == text) else {
            let help = names::help(&text, "parts are", PARTS.iter().map(|(name, _)| *name));
            return self.here("unknown-unit", format!("a time has no part `{text}`"), help);
        };
        Some((place, text))
    }

    /// `extract(field FROM t)`.
    pub(super) fn extract(&mut self, field: &str, time: &Ast) -> Option<Expr> {
        let row = function("extract")?;
        let (part, time) = (self.part(field.to_ascii_lowercase()), self.placed(time));
        self.call_on(row, "extract", Arguments { constant: Some(part?), values: vec![(Takes::Time, time?)] })
    }

    pub(super) fn whole_number(&mut self, name: &str, inner: &Ast, field: &CeilFloorKind) -> Option<Expr> {
        match field {
            CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) => {
                self.named_call(name, &[inner])
            }
            _ => {
                let help = "for digits there is round(x, digits), for times date_trunc('unit', t)";
                self.here("argument-count", format!("{name} takes one argument"), help)
            }
        }
    }

    pub(super) fn substring(&mut self, text: &Ast, from: Option<&Ast>, count: Option<&Ast>) -> Option<Expr> {
        let Some(from) = from else {
            return self.here(
                "argument-count",
                "substr takes a string, a place and a count",
                "places start at 1",
            );
        };
        let mut list = vec![text, from];
        list.extend(count);
        self.named_call("substr", &list)
    }
}

/// The type of a call's value by that of its first argument, and whether it may be NULL by its type.
fn result(row: &Function, from: &Type, constant: Option<usize>) -> Option<(Type, bool)> {
    Some(match (row.gives, from) {
        (Gives::Boolean, _) => (Type::Boolean, false),
        (Gives::Long, _) => (Type::Long, false),
        (Gives::String, _) => (Type::String, false),
        (Gives::Date, _) => (Type::Date, false),
        (Gives::Moment, _) => (Type::TimestampMicros, false),
        (Gives::Rounded, Type::Decimal { precision, scale, .. }) => {
            let wanted = u32::try_from(constant.unwrap_or(0)).ok()?;
            (decimal((u32::from(precision - scale) + 1 + wanted).min(38), wanted)?, false)
        }
        (Gives::Argument | Gives::Rounded, from) => (from.clone(), false),
        (Gives::Element, Type::Map(value)) => (value.ty.clone(), value.nullable),
        (Gives::Element, _) => return None,
    })
}

/// Whether a value of the type has the unit or part that stands at this place.
fn has(takes: Takes, number: usize, ty: &Type) -> bool {
    let clock = |unit: TruncUnit| matches!(unit, TruncUnit::Second | TruncUnit::Minute | TruncUnit::Hour);
    if takes == Takes::Day {
        return *ty != Type::Date || UNITS.get(number).is_none_or(|(_, unit)| !clock(*unit));
    }
    takes != Takes::Time || PARTS.get(number).is_none_or(|(_, part)| part.is_of(ty))
}

/// Whether a call asks for DISTINCT.
pub(super) fn is_distinct(call: &Call) -> bool {
    match &call.args {
        FunctionArguments::List(list) => list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
        _ => false,
    }
}
