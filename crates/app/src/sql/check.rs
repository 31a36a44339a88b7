//! Types one expression, node by node.

use std::ops::Range;

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, Expr as Ast, InTarget, Spanned,
    UnaryOperator, Value,
};
use tidefold_codec::Type;

use super::SqlProblem;
use super::literal;
use super::scope::Scope;
use super::source::Source;
use super::types::{Misfit, bring, describe, made};
use crate::expr::{Expr, Node};

/// The most problems reported of one text.
const MAX_PROBLEMS: usize = 100;

/// How deep an expression may be; AND and OR chains count once.
const MAX_DEPTH: usize = 64;

/// Types the expressions of one text and collects what is wrong with them.
pub(super) struct Checker<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) scope: Scope<'a>,
    /// Whether `event_time()`, `append_time()` and `caller()` are there.
    pub(super) context: bool,
    /// The app's enums.
    pub(super) enums: &'a [Type],
    /// Where the node under work stands, or the nearest one around it that has a place.
    pub(super) around: Range<usize>,
    pub(super) problems: Vec<SqlProblem>,
}

/// An expression and where it stands.
pub(super) type Placed = (Expr, Range<usize>);

// === impl Checker ===

impl<'a> Checker<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        scope: Scope<'a>,
        context: bool,
        enums: &'a [Type],
    ) -> Checker<'a> {
        Checker { source, scope, context, enums, around: source.whole(), problems: Vec::new() }
    }

    pub(super) fn report(&mut self, problem: SqlProblem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    pub(super) fn problem(
        &mut self,
        place: Range<usize>,
        rule: &'static str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let problem = self.source.problem(place, rule, message.into(), help);
        self.report(problem);
    }

    /// A problem of the node under work.
    pub(super) fn here<T>(
        &mut self,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.problem(self.around.clone(), rule, message, help);
        None
    }

    /// Checks a whole expression: its depth first, since everything after this recurses.
    pub(super) fn whole(&mut self, ast: &Ast) -> Option<Expr> {
        if too_deep(ast) {
            let problem = self.source.too_deep(self.around.clone());
            self.report(problem);
            return None;
        }
        self.check(ast)
    }

    /// Checks a whole expression and brings it to the type; without one it must have a type of its own.
    pub(super) fn whole_as(&mut self, ast: &Ast, expected: Option<&Type>) -> Option<Expr> {
        let expr = self.whole(ast)?;
        if let Some(ty) = expected {
            return self.fit((expr, self.place(ast)), ty);
        }
        if is_null(&expr) {
            self.problem(
                self.place(ast),
                "untyped-null",
                "NULL alone has no type",
                Some("give it one: CAST(NULL AS string)".to_owned()),
            );
            return None;
        }
        Some(expr)
    }

    /// Brings an expression to a type.
    pub(super) fn fit(&mut self, (expr, place): Placed, ty: &Type) -> Option<Expr> {
        let from = expr.column.ty.clone();
        match bring(expr, ty) {
            Ok(expr) => Some(expr),
            Err(Misfit::Literal(rule, message, help)) => {
                self.problem(place, rule, message, help);
                None
            }
            Err(Misfit::Types) => {
                let message = format!("this is {}, but {} is needed", describe(&from), describe(ty));
                let help = self.cast_help(&from, ty);
                self.problem(place, "type-mismatch", message, help);
                None
            }
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, ast: &Ast) -> Option<Expr> {
        let expr = self.check(ast)?;
        let place = self.place(ast);
        self.fit((expr, place), &Type::Boolean)
    }

    /// An expression and its place.
    pub(super) fn placed(&mut self, ast: &Ast) -> Option<Placed> {
        let place = self.place(ast);
        self.check(ast).map(|expr| (expr, place))
    }

    /// All of them, or nothing if one is wrong; all are checked.
    pub(super) fn all_placed<'e>(&mut self, list: impl Iterator<Item = &'e Ast>) -> Option<Vec<Placed>> {
        let checked: Vec<Option<Placed>> = list.map(|ast| self.placed(ast)).collect();
        checked.into_iter().collect()
    }

    /// Where a node stands.
    pub(super) fn place(&self, ast: &Ast) -> Range<usize> {
        let range = self.source.range(ast.span());
        if range.is_empty() {
            return self.around.clone();
        }
        match ast {
            Ast::Function(function) => self.source.call(self.source.range(function.name.span())),
            Ast::UnaryOp { .. } | Ast::Interval(_) | Ast::TypedString(_) => self.source.with_prefix(range),
            Ast::Cast { kind: CastKind::DoubleColon, .. } => range,
            Ast::Cast { .. }
            | Ast::Extract { .. }
            | Ast::Ceil { .. }
            | Ast::Floor { .. }
            | Ast::Substring { .. }
            | Ast::Trim { .. }
            | Ast::Position { .. } => self.source.form(range),
            _ => range,
        }
    }

    /// Types a node.
    pub(super) fn check(&mut self, ast: &Ast) -> Option<Expr> {
        let place = self.place(ast);
        let outer = std::mem::replace(&mut self.around, place);
        let checked = self.node(ast);
        self.around = outer;
        checked
    }

    fn node(&mut self, ast: &Ast) -> Option<Expr> {
        match ast {
            Ast::Identifier(name) => self.resolve(std::slice::from_ref(name)),
            Ast::CompoundIdentifier(names) => self.resolve(names),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Nested(inner) => self.check(inner),
            Ast::Value(value) => self.value(&value.value),
            Ast::TypedString(literal) => self.typed_literal(&literal.data_type, &literal.value.value),
            Ast::IsNull(inner) => self.is_null_of(inner, false),
            Ast::IsNotNull(inner) => self.is_null_of(inner, true),
            Ast::IsTrue(inner) => self.truth_test(inner, Node::IsTrue, false),
            Ast::IsNotTrue(inner) => self.truth_test(inner, Node::IsTrue, true),
            Ast::IsFalse(inner) => self.truth_test(inner, Node::IsFalse, false),
            Ast::IsNotFalse(inner) => self.truth_test(inner, Node::IsFalse, true),
            Ast::IsUnknown(inner) => self.truth_test(inner, Node::IsNull, false),
            Ast::IsNotUnknown(inner) => self.truth_test(inner, Node::IsNull, true),
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, false),
            Ast::IsNotDistinctFrom(left, right) => self.distinct(left, right, true),
            Ast::In { expr, target: InTarget::List(list), negated, global: false } => {
                self.is_in(expr, list, *negated)
            }
            Ast::Between { expr, negated, low, high } => self.between(expr, low, high, *negated),
            Ast::BinaryOp { left, op, right } => self.binary(ast, left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), *negated)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                self.cast(expr, data_type)
            }
            Ast::Extract { field, expr, .. } => self.extract(&field.to_string(), expr),
            Ast::Ceil { expr, field } => self.whole_number("ceil", expr, field),
            Ast::Floor { expr, field } => self.whole_number("floor", expr, field),
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                self.substring(expr, substring_from.as_deref(), substring_for.as_deref())
            }
            Ast::Trim { expr, trim_where: None, trim_what: None, trim_characters: None } => {
                self.named_call("trim", &[expr])
            }
            Ast::Function(function) => self.function(function),
            other => self.refuse(other),
        }
    }

    fn access(&mut self, root: &Ast, chain: &[AccessExpr]) -> Option<Expr> {
        let mut names = Vec::new();
        for link in chain {
            match link {
                AccessExpr::Dot(Ast::Identifier(name)) => names.push(name.clone()),
                _ => {
                    let help = "a map's value is map_value(m, 'key'); an array's elements are read in a view, with UNNEST";
                    return self.here("unsupported-syntax", "[…] is not part of the language", help);
                }
            }
        }
        let root = self.check(root)?;
        self.descend(root, &names)
    }

    fn value(&mut self, value: &Value) -> Option<Expr> {
        match literal::value(value) {
            Ok(expr) => Some(expr),
            Err((rule, message, help)) => self.here(rule, message, help),
        }
    }

    fn is_null_of(&mut self, inner: &Ast, negated: bool) -> Option<Expr> {
        let inner = self.check(inner)?;
        Some(negate_if(made(Node::IsNull(Box::new(inner)), &Type::Boolean, false), negated))
    }

    fn truth_test(&mut self, inner: &Ast, test: fn(Box<Expr>) -> Node, negated: bool) -> Option<Expr> {
        let inner = self.condition(inner)?;
        Some(negate_if(made(test(Box::new(inner)), &Type::Boolean, false), negated))
    }

    fn unary(&mut self, op: UnaryOperator, inner: &Ast) -> Option<Expr> {
        match op {
            UnaryOperator::Not => {
                let inner = self.condition(inner)?;
                Some(negate_if(inner, true))
            }
            UnaryOperator::Minus => self.minus(inner),
            UnaryOperator::Plus => {
                let (expr, place) = self.placed(inner)?;
                self.number((expr, place)).map(|(expr, _)| expr)
            }
            _ => self.here(
                "unsupported-syntax",
                format!("the operator `{op}` is not part of the language"),
                "",
            ),
        }
    }

    /// Operands of one chain of AND or OR, whose left side the parser nests.
    pub(super) fn chain(&mut self, ast: &Ast, wanted: &BinaryOperator) -> Option<Expr> {
        let mut operands = Vec::new();
        let mut rest = ast;
        while let Ast::BinaryOp { left, op, right } = rest {
            if op != wanted {
                break;
            }
            operands.push(&**right);
            rest = left;
        }
        operands.push(rest);
        let checked: Vec<Option<Expr>> = operands.into_iter().rev().map(|ast| self.condition(ast)).collect();
        let checked: Vec<Expr> = checked.into_iter().collect::<Option<_>>()?;
        let nullable = checked.iter().any(|expr| expr.column.nullable);
        let node = if *wanted == BinaryOperator::And { Node::And(checked) } else { Node::Or(checked) };
        Some(made(node, &Type::Boolean, nullable))
    }

    fn refuse(&mut self, ast: &Ast) -> Option<Expr> {
        let (rule, message, help) = super::refusal::of_expression(ast, self.sql_place());
        self.here(rule, message, help)
    }

    /// In which of the places of SQL this is.
    pub(super) fn sql_place(&self) -> super::refusal::Place {
        match self.scope {
            Scope::Clause(_) => super::refusal::Place::Clause,
            Scope::View(_) => super::refusal::Place::View,
        }
    }
}

/// `NOT x`, if so.
pub(super) fn negate_if(expr: Expr, negated: bool) -> Expr {
    if !negated {
        return expr;
    }
    let nullable = expr.column.nullable;
    made(Node::Not(Box::new(expr)), &Type::Boolean, nullable)
}

/// Whether it is the literal NULL.
pub(super) fn is_null(expr: &Expr) -> bool {
    matches!(expr.node, Node::Constant(crate::expr::Constant::Null))
}

/// Whether the tree is deeper than the checker follows it. Goes through it without recursion; nodes that the language
/// does not have are leaves here, since the checker does not go into them either.
fn too_deep(ast: &Ast) -> bool {
    let mut open = vec![(ast, 1_usize)];
    while let Some((ast, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return true;
        }
        let mut inner = Vec::new();
        match ast {
            Ast::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                let same = matches!(&**left, Ast::BinaryOp { op: below, .. } if below == op);
                open.push((left, if same { depth } else { depth + 1 }));
                inner.push(&**right);
            }
            Ast::BinaryOp { left, right, .. }
            | Ast::IsDistinctFrom(left, right)
            | Ast::IsNotDistinctFrom(left, right) => inner.extend([&**left, &**right]),
            Ast::Between { expr, low, high, .. } => inner.extend([&**expr, &**low, &**high]),
            Ast::In { expr, target: InTarget::List(list), .. } => {
                inner.push(expr);
                inner.extend(list);
            }
            Ast::Like { expr, pattern, .. } => inner.extend([&**expr, &**pattern]),
            Ast::Case { operand, conditions, else_result, .. } => {
                inner.extend(operand.as_deref());
                for CaseWhen { condition, result } in conditions {
                    inner.extend([condition, result]);
                }
                inner.extend(else_result.as_deref());
            }
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                inner.push(expr);
                inner.extend(substring_from.as_deref());
                inner.extend(substring_for.as_deref());
            }
            Ast::Function(function) => {
                inner.extend(super::functions::arguments(function));
                inner.extend(function.filter.as_deref());
            }
            Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) }
            | Ast::Floor { expr, .. }
            | Ast::Nested(expr)
            | Ast::UnaryOp { expr, .. }
            | Ast::Cast { expr, .. }
            | Ast::Extract { expr, .. }
            | Ast::Trim { expr, .. }
            | Ast::IsNull(expr)
            | Ast::IsNotNull(expr)
            | Ast::IsTrue(expr)
            | Ast::IsNotTrue(expr)
            | Ast::IsFalse(expr)
            | Ast::IsNotFalse(expr)
            | Ast::IsUnknown(expr)
            | Ast::IsNotUnknown(expr)
            | Ast::CompoundFieldAccess { root: expr, .. } => inner.push(expr),
            _ => {}
        }
        open.extend(inner.into_iter().map(|ast| (ast, depth + 1)));
    }
    false
}
