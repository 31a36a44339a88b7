//! Operators: arithmetic, comparisons, IN, BETWEEN, LIKE, CASE, ||.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr as Ast, Interval, Value};
use tidefold_codec::Type;

use super::check::{Checker, Placed, is_null, negate_if};
use super::literal;
use super::types::{Misfit, bring, decimal, describe, digits, is_comparable, is_number, made, unified};
use crate::expr::{Constant, Expr, Node};
use crate::values::compare::{CompareOp, LikePart, LikePattern};
use crate::values::number::ArithmeticOp;

// === impl Checker ===

impl Checker<'_> {
    /// Brings expressions to their smallest common type.
    pub(super) fn unify(&mut self, parts: Vec<Placed>) -> Option<(Vec<Expr>, Type)> {
        let mut ty: Option<Type> = None;
        let constant = |expr: &Expr| matches!(expr.node, Node::Constant(_));
        let columns = parts.iter().filter(|(expr, _)| !constant(expr));
        let literals = parts.iter().filter(|(expr, _)| constant(expr) && !is_null(expr));
        for (expr, place) in columns.chain(literals) {
            let next = &expr.column.ty;
            ty = Some(match ty {
                None => next.clone(),
                Some(ty) if constant(expr) => match bring(expr.clone(), &ty) {
                    Ok(_) => ty,
                    Err(Misfit::Literal(rule, message, help)) if !is_number(&ty) => {
                        self.problem(place.clone(), rule, message, help);
                        return None;
                    }
                    Err(_) => self.unified_or_problem(&ty, next, place.clone())?,
                },
                Some(ty) => self.unified_or_problem(&ty, next, place.clone())?,
            });
        }
        let Some(ty) = ty else {
            return self.here(
                "untyped-null",
                "nothing here gives NULL a type",
                "give it one: CAST(NULL AS string)",
            );
        };
        let mut list = Vec::with_capacity(parts.len());
        for part in parts {
            list.push(self.fit(part, &ty)?);
        }
        Some((list, ty))
    }

    fn unified_or_problem(&mut self, a: &Type, b: &Type, place: std::ops::Range<usize>) -> Option<Type> {
        let found = unified(a, b);
        if found.is_none() {
            let message = format!("{} and {} have no common type", describe(a), describe(b));
            let help = self.cast_help(b, a);
            self.problem(place, "type-mismatch", message, help);
        }
        found
    }

    /// Both sides at their common type, which can be compared.
    fn comparable(&mut self, parts: Vec<Placed>) -> Option<(Vec<Expr>, bool)> {
        let (list, ty) = self.unify(parts)?;
        if !is_comparable(&ty) {
            let message = format!("values of {} cannot be compared", describe(&ty));
            return self.here("type-mismatch", message, "compare their fields or elements");
        }
        let nullable = list.iter().any(|expr| expr.column.nullable);
        Some((list, nullable))
    }

    fn pair(&mut self, left: &Ast, right: &Ast) -> Option<(Placed, Placed)> {
        let (left, right) = (self.placed(left), self.placed(right));
        Some((left?, right?))
    }

    pub(super) fn binary(&mut self, ast: &Ast, left: &Ast, op: &BinaryOperator, right: &Ast) -> Option<Expr> {
        let compare = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.chain(ast, op),
            BinaryOperator::Plus => return self.arithmetic(ArithmeticOp::Add, left, right),
            BinaryOperator::Minus => return self.arithmetic(ArithmeticOp::Subtract, left, right),
            BinaryOperator::Multiply => return self.arithmetic(ArithmeticOp::Multiply, left, right),
            BinaryOperator::Divide => return self.arithmetic(ArithmeticOp::Divide, left, right),
            BinaryOperator::Modulo => return self.arithmetic(ArithmeticOp::Remainder, left, right),
            BinaryOperator::StringConcat => return self.concat(left, right),
            BinaryOperator::Eq => CompareOp::Equal,
            BinaryOperator::NotEq => CompareOp::NotEqual,
            BinaryOperator::Lt => CompareOp::Less,
            BinaryOperator::LtEq => CompareOp::LessOrEqual,
            BinaryOperator::Gt => CompareOp::Greater,
            BinaryOperator::GtEq => CompareOp::GreaterOrEqual,
            other => {
                let help = super::refusal::of_operator(other);
                return self.here(
                    "unsupported-syntax",
                    format!("the operator `{other}` is not part of the language"),
                    help,
                );
            }
        };
        let (left, right) = self.pair(left, right)?;
        if is_null(&left.0) || is_null(&right.0) {
            let help = match op {
                BinaryOperator::NotEq => "write IS NOT NULL",
                _ => "write IS NULL, or IS NOT DISTINCT FROM to compare values of which one may be NULL",
            };
            return self.here("compare-null", "a comparison with NULL is never true", help);
        }
        let (list, nullable) = self.comparable(vec![left, right])?;
        let [left, right] = <[Expr; 2]>::try_from(list).ok()?;
        Some(made(Node::Compare(compare, left.into(), right.into()), &Type::Boolean, nullable))
    }

    pub(super) fn distinct(&mut self, left: &Ast, right: &Ast, negated: bool) -> Option<Expr> {
        let (left, right) = self.pair(left, right)?;
        let (list, _) = self.comparable(vec![left, right])?;
        let [left, right] = <[Expr; 2]>::try_from(list).ok()?;
        let node = Node::IsDistinct(left.into(), right.into());
        Some(negate_if(made(node, &Type::Boolean, false), negated))
    }

    pub(super) fn is_in(&mut self, inner: &Ast, list: &[Ast], negated: bool) -> Option<Expr> {
        let parts = self.all_placed(std::iter::once(inner).chain(list))?;
        if parts.iter().skip(1).any(|(expr, _)| is_null(expr)) {
            let help = "test for it on its own: x IN (…) OR x IS NULL";
            return self.here("compare-null", "NULL in an IN list is never equal to anything", help);
        }
        let (mut list, nullable) = self.comparable(parts)?;
        if list.len() < 2 {
            return self.here("unsupported-syntax", "the IN list is empty", "");
        }
        let inner = list.remove(0);
        Some(negate_if(made(Node::In(inner.into(), list), &Type::Boolean, nullable), negated))
    }

    pub(super) fn between(&mut self, inner: &Ast, low: &Ast, high: &Ast, negated: bool) -> Option<Expr> {
        let parts = self.all_placed([inner, low, high].into_iter())?;
        let (list, nullable) = self.comparable(parts)?;
        let [inner, low, high] = <[Expr; 3]>::try_from(list).ok()?;
        let node = Node::Between(inner.into(), low.into(), high.into());
        Some(negate_if(made(node, &Type::Boolean, nullable), negated))
    }

    /// A value that must be a string; enums and uuids are widened.
    pub(super) fn string(&mut self, part: Placed, what: &str) -> Option<Expr> {
        let from = part.0.column.ty.clone();
        match bring(part.0, &Type::String) {
            Ok(expr) => Some(expr),
            Err(_) => {
                let message = format!("{what} takes a string, not {}", describe(&from));
                let help = self.cast_help(&from, &Type::String);
                self.problem(part.1, "type-mismatch", message, help);
                None
            }
        }
    }

    fn concat(&mut self, left: &Ast, right: &Ast) -> Option<Expr> {
        let (left, right) = self.pair(left, right)?;
        let (left, right) = (self.string(left, "||"), self.string(right, "||"));
        let (left, right) = (left?, right?);
        let nullable = left.column.nullable || right.column.nullable;
        Some(made(Node::Concat(left.into(), right.into()), &Type::String, nullable))
    }

    pub(super) fn like(
        &mut self,
        inner: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
        negated: bool,
    ) -> Option<Expr> {
        let inner = self.placed(inner)?;
        let inner = self.string(inner, "LIKE")?;
        let constant = |ast: &Ast| match ast {
            Ast::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        };
        let Some(text) = constant(pattern) else {
            let help = "for a prefix that is not constant there is starts_with(s, prefix)";
            return self.here("like-pattern", "the pattern of LIKE is a string constant", help);
        };
        let escape = match escape.map(|ast| constant(ast).unwrap_or_default()) {
            None => None,
            Some(text) => match (text.chars().next(), text.chars().count()) {
                (Some(character), 1) => Some(character),
                _ => return self.here("like-pattern", "ESCAPE takes one character", ""),
            },
        };
        let Some(pattern) = split_pattern(&text, escape) else {
            let message = "the escape character stands before `%`, `_` or itself";
            return self.here("like-pattern", message, "");
        };
        let nullable = inner.column.nullable;
        Some(negate_if(made(Node::Like(inner.into(), pattern), &Type::Boolean, nullable), negated))
    }

    pub(super) fn case(
        &mut self,
        operand: Option<&Ast>,
        arms: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Option<Expr> {
        let results = self.all_placed(arms.iter().map(|arm| &arm.result).chain(otherwise));
        let (operand, whens) = match operand {
            None => {
                let whens: Vec<_> = arms.iter().map(|arm| self.condition(&arm.condition)).collect();
                (None, whens.into_iter().collect::<Option<Vec<Expr>>>()?)
            }
            Some(operand) => {
                let parts =
                    self.all_placed(std::iter::once(operand).chain(arms.iter().map(|arm| &arm.condition)))?;
                let (mut list, _) = self.comparable(parts)?;
                (Some(list.remove(0)), list)
            }
        };
        let (mut results, ty) = self.unify(results?)?;
        let otherwise = if otherwise.is_some() { results.pop() } else { None };
        let nullable = otherwise.is_none()
            || results.iter().chain(otherwise.as_ref()).any(|result| result.column.nullable);
        let arms: Vec<(Expr, Expr)> = whens.into_iter().zip(results).collect();
        let otherwise = otherwise.map(Box::new);
        let node = match operand {
            None => Node::Case(arms, otherwise),
            Some(operand) => Node::Switch(operand.into(), arms, otherwise),
        };
        Some(made(node, &ty, nullable))
    }

    /// A value that must be a number.
    pub(super) fn number(&mut self, (expr, place): Placed) -> Option<Placed> {
        if is_number(&expr.column.ty) || is_null(&expr) {
            return Some((expr, place));
        }
        let message = format!("a number is needed, not {}", describe(&expr.column.ty));
        self.problem(place, "type-mismatch", message, None);
        None
    }

    pub(super) fn minus(&mut self, inner: &Ast) -> Option<Expr> {
        let part = self.placed(inner)?;
        let (expr, _) = self.number(part)?;
        if let Some(constant) = literal::negative(&expr) {
            return Some(constant);
        }
        let (ty, nullable) = (doubled(&expr.column.ty), expr.column.nullable);
        let place = self.around.clone();
        let expr = self.fit((expr, place), &ty)?;
        Some(made(Node::Negate(expr.into()), &ty, nullable))
    }

    fn arithmetic(&mut self, op: ArithmeticOp, left: &Ast, right: &Ast) -> Option<Expr> {
        match (op, unwrapped(left), unwrapped(right)) {
            (ArithmeticOp::Add | ArithmeticOp::Subtract, _, Ast::Interval(interval)) => {
                return self.shift(op, left, interval);
            }
            (ArithmeticOp::Add, Ast::Interval(interval), _) => return self.shift(op, right, interval),
            _ => {}
        }
        let (left, right) = self.pair(left, right)?;
        self.arithmetic_of(op, left, right)
    }

    /// Arithmetic on checked operands.
    pub(super) fn arithmetic_of(&mut self, op: ArithmeticOp, left: Placed, right: Placed) -> Option<Expr> {
        if let Some(help) = unusual(op, &left.0.column.ty, &right.0.column.ty) {
            let message = format!(
                "{} and {} cannot be {}",
                describe(&left.0.column.ty),
                describe(&right.0.column.ty),
                verb(op)
            );
            return self.here("type-mismatch", message, help);
        }
        let (left, right) = (self.number(left), self.number(right));
        let (left, right) = (left?, right?);
        if is_null(&left.0) && is_null(&right.0) {
            return self.unify(vec![left, right]).map(|_| None)?;
        }
        let exact = |expr: &Expr| digits(&expr.column.ty).is_some() && !is_null(expr);
        let decimals = [&left.0, &right.0].iter().any(|expr| matches!(expr.column.ty, Type::Decimal { .. }));
        let scaling = matches!(op, ArithmeticOp::Multiply | ArithmeticOp::Divide);
        if scaling && decimals && exact(&left.0) && exact(&right.0) {
            return self.decimal_scaling(op, left, right);
        }
        let places = (left.1.clone(), right.1.clone());
        let (list, ty) = self.unify(vec![left, right])?;
        let ty = doubled(&ty);
        let [left, right] = <[Expr; 2]>::try_from(list).ok()?;
        let (left, right) = (self.fit((left, places.0), &ty)?, self.fit((right, places.1), &ty)?);
        let nullable = left.column.nullable || right.column.nullable;
        Some(made(Node::Arithmetic(op, left.into(), right.into()), &ty, nullable))
    }

    /// A decimal product, whose scales add up, or quotient, which has at least six digits after the point.
    fn decimal_scaling(&mut self, op: ArithmeticOp, left: Placed, right: Placed) -> Option<Expr> {
        let (p1, s1) = digits(&left.0.column.ty)?;
        let (p2, s2) = digits(&right.0.column.ty)?;
        let (left, right) = (self.as_decimal(left)?, self.as_decimal(right)?);
        let wanted = if op == ArithmeticOp::Multiply {
            let scale = u32::from(s1) + u32::from(s2);
            decimal((u32::from(p1) + u32::from(p2)).min(38), scale)
        } else {
            decimal(38, u32::from(s1).max(6))
        };
        let Some(ty) = wanted else {
            let message =
                format!("the product would have {} digits after the point; at most 38 fit", s1 + s2);
            return self.here("decimal-scale", message, "CAST one side to a decimal with a smaller scale");
        };
        let nullable = left.column.nullable || right.column.nullable;
        Some(made(Node::Arithmetic(op, left.into(), right.into()), &ty, nullable))
    }

    /// An exact number as a decimal of its own digits.
    fn as_decimal(&mut self, (expr, place): Placed) -> Option<Expr> {
        let (precision, scale) = digits(&expr.column.ty)?;
        let ty = decimal(u32::from(precision), u32::from(scale))?;
        self.fit((expr, place), &ty)
    }

    /// `t + INTERVAL '…'`.
    fn shift(&mut self, op: ArithmeticOp, time: &Ast, interval: &Interval) -> Option<Expr> {
        let (time, place) = self.placed(time)?;
        let micros = match literal::interval(interval) {
            Ok(micros) => micros,
            Err((rule, message, help)) => return self.here(rule, message, help),
        };
        let ty = time.column.ty.clone();
        let unit = match ty {
            Type::TimestampMillis | Type::LocalTimestampMillis => 1_000,
            Type::TimestampMicros | Type::LocalTimestampMicros => 1,
            Type::Date => 86_400_000_000,
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
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::Array(_)
            | Type::Map(_)
            | Type::Record(_)
            | Type::Union(_) => {
                let message =
                    format!("an interval is added to a timestamp or date, not to {}", describe(&ty));
                self.problem(place, "type-mismatch", message, None);
                return None;
            }
        };
        if micros % unit != 0 {
            let message = format!("the interval is not a whole number of {}'s units", describe(&ty));
            return self.here("bad-interval", message, "CAST the left side to a finer type");
        }
        let nullable = time.column.nullable;
        let interval = Expr::constant(Constant::Long(micros / unit), ty.clone());
        Some(made(Node::Arithmetic(op, time.into(), interval.into()), &ty, nullable))
    }
}

/// Arithmetic on floats is done in doubles.
fn doubled(ty: &Type) -> Type {
    if *ty == Type::Float { Type::Double } else { ty.clone() }
}

fn unwrapped(mut ast: &Ast) -> &Ast {
    while let Ast::Nested(inner) = ast {
        ast = inner;
    }
    ast
}

fn verb(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => "added",
        ArithmeticOp::Subtract => "subtracted",
        ArithmeticOp::Multiply => "multiplied",
        ArithmeticOp::Divide | ArithmeticOp::Remainder => "divided",
    }
}

/// What to do instead, for operands that are often tried.
fn unusual(op: ArithmeticOp, left: &Type, right: &Type) -> Option<&'static str> {
    let time = |ty: &Type| {
        matches!(
            ty,
            Type::Date
                | Type::TimestampMillis
                | Type::TimestampMicros
                | Type::LocalTimestampMillis
                | Type::LocalTimestampMicros
        )
    };
    match op {
        ArithmeticOp::Add if *left == Type::String || *right == Type::String => {
            Some("strings are joined with ||")
        }
        ArithmeticOp::Subtract if time(left) && time(right) => {
            Some("seconds between them: extract(epoch FROM a) - extract(epoch FROM b)")
        }
        ArithmeticOp::Add | ArithmeticOp::Subtract if time(left) || time(right) => {
            Some("write t + INTERVAL '15 minutes'")
        }
        ArithmeticOp::Add
        | ArithmeticOp::Subtract
        | ArithmeticOp::Multiply
        | ArithmeticOp::Divide
        | ArithmeticOp::Remainder => None,
    }
}

/// Splits a LIKE pattern; `None` where an escape character escapes nothing.
fn split_pattern(text: &str, escape: Option<char>) -> Option<LikePattern> {
    let mut parts = Vec::new();
    let mut piece = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let part = if Some(character) == escape {
            let next = characters.next().filter(|next| matches!(next, '%' | '_') || Some(*next) == escape)?;
            piece.push(next);
            continue;
        } else if character == '%' {
            LikePart::Any
        } else if character == '_' {
            LikePart::One
        } else {
            piece.push(character);
            continue;
        };
        if !piece.is_empty() {
            parts.push(LikePart::Text(std::mem::take(&mut piece).into()));
        }
        if part != LikePart::Any || parts.last() != Some(&LikePart::Any) {
            parts.push(part);
        }
    }
    if !piece.is_empty() {
        parts.push(LikePart::Text(piece.into()));
    }
    Some(LikePattern { parts })
}
