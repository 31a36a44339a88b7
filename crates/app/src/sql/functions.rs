//! Calls of the closed function list.

use sqlparser::ast::{
    CeilFloorKind, DuplicateTreatment, Expr as Ast, Function as Call, FunctionArg, FunctionArgExpr,
    FunctionArguments, ObjectNamePart, Value,
};
use tidefold_codec::Type;
use tidefold_codec::truncate::TruncUnit;

use super::cast::{is_time, is_timestamp};
use super::check::{Checker, Placed, is_null};
use super::nearest;
use super::refusal;
use super::scope::Scope;
use super::types::{decimal, describe, digits, is_comparable, is_number, made};
use crate::expr::{ArithmeticOp, Constant, DatePart, Expr, Function, Node};

/// Every function, and how many arguments it takes.
pub(super) const FUNCTIONS: [(&str, usize, usize); 27] = [
    ("abs", 1, 1),
    ("append_time", 0, 0),
    ("caller", 0, 0),
    ("cardinality", 1, 1),
    ("ceil", 1, 1),
    ("ceiling", 1, 1),
    ("coalesce", 1, 64),
    ("date_part", 2, 2),
    ("date_trunc", 2, 2),
    ("event_time", 0, 0),
    ("extract", 1, 1),
    ("floor", 1, 1),
    ("greatest", 1, 64),
    ("least", 1, 64),
    ("length", 1, 1),
    ("lower", 1, 1),
    ("map_value", 2, 2),
    ("mod", 2, 2),
    ("nullif", 2, 2),
    ("replace", 3, 3),
    ("round", 1, 2),
    ("starts_with", 2, 2),
    ("substr", 2, 3),
    ("substring", 2, 3),
    ("to_date", 1, 1),
    ("trim", 1, 1),
    ("upper", 1, 1),
];

/// The aggregate functions.
pub(super) const AGGREGATES: [&str; 6] = ["count", "sum", "avg", "min", "max", "approx_count_distinct"];

const UNITS: [(&str, TruncUnit); 8] = [
    ("second", TruncUnit::Second),
    ("minute", TruncUnit::Minute),
    ("hour", TruncUnit::Hour),
    ("day", TruncUnit::Day),
    ("week", TruncUnit::Week),
    ("month", TruncUnit::Month),
    ("quarter", TruncUnit::Quarter),
    ("year", TruncUnit::Year),
];

const PARTS: [(&str, DatePart); 13] = [
    ("year", DatePart::Year),
    ("quarter", DatePart::Quarter),
    ("month", DatePart::Month),
    ("week", DatePart::Week),
    ("day", DatePart::Day),
    ("dow", DatePart::DayOfWeek),
    ("dayofweek", DatePart::DayOfWeek),
    ("doy", DatePart::DayOfYear),
    ("dayofyear", DatePart::DayOfYear),
    ("hour", DatePart::Hour),
    ("minute", DatePart::Minute),
    ("second", DatePart::Second),
    ("epoch", DatePart::Epoch),
];

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
        if AGGREGATES.contains(&name.as_str()) {
            let (rule, message, help) = match self.scope {
                Scope::View(_) => (
                    "aggregate-place",
                    format!("{name}(…) stands inside another expression"),
                    "make the aggregate a column of its own; a rollup keeps each aggregate, and an expression over \
                     them is computed by the reader"
                        .to_owned(),
                ),
                Scope::Transition(_) => refusal::of_aggregate(&name),
            };
            return self.here(rule, message, help);
        }
        if !FUNCTIONS.iter().any(|(known, ..)| *known == name) {
            return self.unknown_function(&name);
        }
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
        self.call_of(&name, &list)
    }

    /// A call by its name.
    pub(super) fn call_of(&mut self, name: &str, list: &[&Ast]) -> Option<Expr> {
        let Some((_, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            return self.unknown_function(name);
        };
        if !(*least..=*most).contains(&list.len()) {
            let wanted = match (least, most) {
                (0, 0) => "no arguments".to_owned(),
                (1, 1) => "one argument".to_owned(),
                (least, 64) => format!("at least {least} and at most 64 arguments"),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} or {most} arguments"),
            };
            let message = format!("{name} takes {wanted}, not {}", list.len());
            return self.here("argument-count", message, "");
        }
        match name {
            "event_time" | "append_time" | "caller" => self.context_call(name),
            "date_trunc" => self.date_trunc(list),
            "date_part" => {
                let [field, time] = list else { return None };
                let field = self.constant_text(field, "the first argument of date_part is a constant")?;
                self.extract(&field, time)
            }
            _ => {
                let parts = self.all_placed(list.iter().copied())?;
                self.call_on(name, parts)
            }
        }
    }

    /// A name that is no function. Aggregates are offered where they can stand only.
    fn unknown_function(&mut self, name: &str) -> Option<Expr> {
        let functions = FUNCTIONS.iter().map(|(known, ..)| *known);
        let aggregate = refusal::aggregate_called(name)
            .or_else(|| nearest::suggestion(name, functions.clone().chain(AGGREGATES)))
            .filter(|near| AGGREGATES.contains(near));
        let help = match (refusal::instead_of(name), aggregate, self.sql_place()) {
            (Some(instead), ..) => instead.to_owned(),
            (None, Some(near), refusal::Place::View) => format!("did you mean `{near}`?"),
            (None, Some(near), refusal::Place::Transition) => {
                format!(
                    "{near} is an aggregate, which stands in views only; keep a running value in a column"
                )
            }
            (None, None, place) => match nearest::suggestion(name, functions.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let aggregates = AGGREGATES.into_iter().filter(|_| place == refusal::Place::View);
                    format!(
                        "the list is closed: {}",
                        functions.chain(aggregates).collect::<Vec<_>>().join(", ")
                    )
                }
            },
        };
        self.here("unknown-function", format!("there is no function `{name}`"), help)
    }

    fn call_on(&mut self, name: &str, mut parts: Vec<Placed>) -> Option<Expr> {
        match name {
            "coalesce" => {
                let (list, ty) = self.unify(parts)?;
                let nullable = list.iter().all(|expr| expr.column.nullable);
                return Some(made(Node::Coalesce(list), &ty, nullable));
            }
            "least" | "greatest" => {
                let (list, ty) = self.unify(parts)?;
                self.demand_comparable(&ty)?;
                let function = if name == "least" { Function::Least } else { Function::Greatest };
                return Some(strict(function, list, &ty));
            }
            "nullif" => {
                let (list, ty) = self.unify(parts)?;
                self.demand_comparable(&ty)?;
                return Some(made(Node::Call(Function::NullIf, list), &ty, true));
            }
            "mod" => {
                let (right, left) = (parts.pop()?, parts.pop()?);
                return self.arithmetic_of(ArithmeticOp::Remainder, left, right);
            }
            "abs" | "round" | "floor" | "ceil" | "ceiling" => return self.numeric(name, parts),
            "cardinality" | "map_value" => return self.collection(name, parts),
            "to_date" => {
                let (time, place) = parts.pop()?;
                if !is_timestamp(&time.column.ty) {
                    return self.wrong_argument("to_date", "a timestamp", &time.column.ty, place);
                }
                return Some(strict(Function::ToDate, vec![time], &Type::Date));
            }
            "length" => {
                if matches!(parts.first(), Some((expr, _)) if matches!(expr.column.ty, Type::Bytes | Type::Fixed(_)))
                {
                    let list = parts.into_iter().map(|(expr, _)| expr).collect();
                    return Some(strict(Function::Length, list, &Type::Long));
                }
            }
            _ => {}
        }
        self.text_call(name, parts)
    }

    fn text_call(&mut self, name: &str, parts: Vec<Placed>) -> Option<Expr> {
        let (function, ty) = match name {
            "lower" => (Function::Lower, Type::String),
            "upper" => (Function::Upper, Type::String),
            "trim" => (Function::Trim, Type::String),
            "length" => (Function::Length, Type::Long),
            "starts_with" => (Function::StartsWith, Type::Boolean),
            "replace" => (Function::Replace, Type::String),
            _ => (Function::Substr, Type::String),
        };
        let mut list = Vec::with_capacity(parts.len());
        for (at, part) in parts.into_iter().enumerate() {
            let expr = if function == Function::Substr && at > 0 {
                self.fit(part, &Type::Long)
            } else {
                self.string(part, name)
            };
            list.push(expr);
        }
        let list: Vec<Expr> = list.into_iter().collect::<Option<_>>()?;
        Some(strict(function, list, &ty))
    }

    fn numeric(&mut self, name: &str, mut parts: Vec<Placed>) -> Option<Expr> {
        let to = if parts.len() == 2 { Some(self.round_digits(parts.pop()?)?) } else { None };
        let (expr, place) = parts.pop()?;
        if !is_number(&expr.column.ty) || is_null(&expr) {
            return self.wrong_argument(name, "a number", &expr.column.ty, place);
        }
        let from = expr.column.ty.clone();
        let function = match name {
            "abs" => Function::Abs,
            "round" => Function::Round,
            "floor" => Function::Floor,
            _ => Function::Ceil,
        };
        let ty = match (&from, function) {
            (Type::Float, _) => Type::Double,
            (Type::Decimal { precision, scale, .. }, Function::Round | Function::Floor | Function::Ceil) => {
                let wanted = to.unwrap_or(0);
                let whole = u32::from(precision - scale) + 1;
                decimal((whole + wanted).min(38), wanted)?
            }
            _ => from.clone(),
        };
        let expr = if from == Type::Float { self.fit((expr, place), &ty)? } else { expr };
        let mut list = vec![expr];
        list.extend(to.map(|to| Expr::constant(Constant::Long(to.into()), Type::Int)));
        Some(strict(function, list, &ty))
    }

    /// The digits that `round` keeps.
    fn round_digits(&mut self, (expr, place): Placed) -> Option<u32> {
        let literal = match expr.node {
            Node::Cast(inner) => inner.node,
            node => node,
        };
        if let Node::Constant(Constant::Long(value @ 0..=37)) = literal {
            return u32::try_from(value).ok();
        }
        let message = "the digits that round keeps are a constant from 0 to 37";
        self.problem(place, "argument-type", message, None);
        None
    }

    fn collection(&mut self, name: &str, parts: Vec<Placed>) -> Option<Expr> {
        let mut parts = parts.into_iter();
        let (collection, place) = parts.next()?;
        let from = collection.column.ty.clone();
        match (name, &from) {
            ("cardinality", Type::Array(_) | Type::Map(_)) => {
                Some(strict(Function::Cardinality, vec![collection], &Type::Long))
            }
            ("cardinality", _) => self.wrong_argument(name, "an array or map", &from, place),
            (_, Type::Map(value)) => {
                let key = parts.next()?;
                let key = self.string(key, name)?;
                Some(made(Node::Call(Function::MapValue, vec![collection, key]), &value.ty, true))
            }
            _ => self.wrong_argument(name, "a map", &from, place),
        }
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

    fn context_call(&mut self, name: &str) -> Option<Expr> {
        if !self.context {
            let help = format!("store it in a column when the message is folded: set = \"x = {name}()\"");
            let message = format!("{name}() belongs to a message; this view reads states");
            return self.here("no-message-here", message, help);
        }
        let (node, ty) = match name {
            "event_time" => (Node::EventTime, Type::TimestampMicros),
            "append_time" => (Node::AppendTime, Type::TimestampMicros),
            _ => (Node::Caller, Type::String),
        };
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

    fn date_trunc(&mut self, list: &[&Ast]) -> Option<Expr> {
        let [unit_ast, time] = list else { return None };
        let text = self.constant_text(unit_ast, "the first argument of date_trunc is a constant unit");
        let time = self.placed(time);
        let text = text?;
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == text) else {
            let place = self.place(unit_ast);
            let help = nearest::help(&text, "units are", UNITS.iter().map(|(name, _)| *name));
            self.problem(place, "unknown-unit", format!("date_trunc has no unit '{text}'"), Some(help));
            return None;
        };
        let (time, place) = time?;
        let ty = time.column.ty.clone();
        let day_or_more = !matches!(unit, TruncUnit::Second | TruncUnit::Minute | TruncUnit::Hour);
        match ty {
            Type::Date if day_or_more => {}
            Type::Date => {
                self.problem(place, "argument-type", format!("a date has no {text}"), None);
                return None;
            }
            _ if is_timestamp(&ty) => {}
            _ => return self.wrong_argument("date_trunc", "a timestamp or date", &ty, place),
        }
        Some(strict(Function::DateTrunc(*unit), vec![time], &ty))
    }

    /// `extract(field FROM t)`.
    pub(super) fn extract(&mut self, field: &str, time: &Ast) -> Option<Expr> {
        let field = field.to_ascii_lowercase();
        let time = self.placed(time);
        let Some((_, part)) = PARTS.iter().find(|(name, _)| *name == field) else {
            let help = nearest::help(&field, "parts are", PARTS.iter().map(|(name, _)| *name));
            return self.here("unknown-unit", format!("a time has no part `{field}`"), help);
        };
        let (time, place) = time?;
        let ty = time.column.ty.clone();
        let clock = matches!(part, DatePart::Hour | DatePart::Minute | DatePart::Second);
        let wrong = match ty {
            Type::Date => clock,
            Type::TimeMillis | Type::TimeMicros => !clock,
            _ => false,
        };
        if !is_time(&ty) {
            return self.wrong_argument("extract", "a timestamp, date or time", &ty, place);
        }
        if wrong {
            self.problem(place, "argument-type", format!("a {} has no {field}", describe(&ty)), None);
            return None;
        }
        Some(strict(Function::DatePart(*part), vec![time], &Type::Long))
    }

    pub(super) fn whole_number(&mut self, name: &str, inner: &Ast, field: &CeilFloorKind) -> Option<Expr> {
        match field {
            CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) => {
                self.call_of(name, &[inner])
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
        self.call_of("substr", &list)
    }
}

/// A call that is NULL where an argument is.
fn strict(function: Function, list: Vec<Expr>, ty: &Type) -> Expr {
    let nullable = list.iter().any(|expr| expr.column.nullable);
    made(Node::Call(function, list), ty, nullable)
}

/// Whether a call asks for DISTINCT.
pub(super) fn is_distinct(call: &Call) -> bool {
    match &call.args {
        FunctionArguments::List(list) => list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
        _ => false,
    }
}

/// Whether a decimal or integer type; what `sum` is exact over.
pub(super) fn is_exact(ty: &Type) -> bool {
    digits(ty).is_some()
}
