//! SQL text to typed expressions and views. What the language has, and what it refuses and why, is written in
//! `docs/app-language-sql.md`.
//!
//! Three entry points, one for each place of `app.toml` that holds SQL: [`expression`] (`let`, `require`),
//! [`assignments`] (`set`) and [`view`] (`sql`). Each parses, resolves every name, types every node and reports every
//! problem with its place in the text.
//!
//! A walk through it: `source` cuts the text into tokens and knows places; `scope` resolves names; `check` types a node
//! and calls `operators`, `functions`, `cast` and `literal`; `types` says what types have in common; `view`, `from` and
//! `select` check a SELECT; `nullity` says which outputs cannot be NULL; `refusal` holds the reasons for what is not
//! there; `names` says what to write instead of a wrong one.

mod cast;
mod check;
mod from;
mod functions;
mod literal;
mod names;
mod nullity;
mod operators;
mod refusal;
mod scope;
mod select;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod view;

use std::ops::Range;

use sqlparser::tokenizer::Token;
use tidefold_codec::{ColumnType, RecordType, Type};

use check::Checker;
use scope::Scope;
use source::Source;
use tidefold_table::Column;

use crate::expr::{Expr, ViewSource};
use crate::model::ViewKind;

/// The longest SQL text, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// One mistake in a SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlProblem {
    /// Bytes in the SQL text; on character boundaries, at most the text's length, never empty unless the text is.
    pub span: Range<usize>,
    /// The rule it breaks, kebab-case, documented in `docs/app-language-sql.md`.
    pub rule: &'static str,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

/// What an expression of a clause may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// `state.x`: the entity's columns, every one nullable by type where the entity may be absent (the caller says so
    /// by passing nullable columns).
    pub state: Option<&'a [Column]>,
    /// `msg.x`: the message's fields.
    pub message: Option<&'a RecordType>,
    /// Bare names: the clause's earlier `let`s, in order.
    pub lets: &'a [(String, ColumnType)],
    /// Whether `event_time()`, `append_time()` and `caller()` are there.
    pub context: bool,
    /// The app's enums: a CAST can name every one.
    pub enums: &'a [Type],
}

/// One `column = expression` of a `set`.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The column's place in the columns given.
    pub column: usize,
    /// Where its name stands.
    pub column_span: Range<usize>,
    /// Where the expression stands.
    pub value_span: Range<usize>,
    /// The expression, of the column's type; it may be nullable where the column is not.
    pub expr: Expr,
}

/// What a view may read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ViewScope<'a> {
    /// The topic's entity: its name and all its columns, as stored. Where there is one, views read it and nothing else.
    pub entity: Option<(&'a str, &'a [Column])>,
    /// The topic's messages by place: name and fields. Read by a view where the topic has no entity.
    pub messages: &'a [(&'a str, &'a RecordType)],
    /// The app's enums: a CAST can name every one.
    pub enums: &'a [Type],
}

/// A view's SELECT, checked.
#[derive(Debug)]
pub struct ViewSql {
    /// Where its rows come from.
    pub source: ViewSource,
    /// The columns it makes, in order, with unique names.
    pub columns: Vec<OutputColumn>,
    /// Index or rollup, its columns in the same order.
    pub kind: ViewKind,
}

/// A column of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    /// Its name and type. Nullable unless the types and the WHERE prove otherwise.
    pub column: Column,
    /// Where it stands in the SELECT.
    pub span: Range<usize>,
}

/// Checks one expression: the text of a `let` or a `require`. With `expected`, the value is brought to that type by
/// widening, or it is a problem; its nullability is not demanded (see the result's own). A `require` expects boolean.
///
/// # Errors
/// Every problem, by place.
pub fn expression(
    text: &str,
    names: &Names<'_>,
    expected: Option<&ColumnType>,
) -> Result<Expr, Vec<SqlProblem>> {
    let (source, mut parser) = Source::open(text).map_err(|problem| vec![problem])?;
    let parsed = parser.parse_expr().and_then(|ast| parser.expect_token(&Token::EOF).map(|_| ast));
    let ast = parsed.map_err(|error| vec![not_an_expression(&source, source.syntax(&error, &parser))])?;
    let mut checker = Checker::new(&source, Scope::Clause(names), names.context, names.enums);
    let expr = checker.whole_as(&ast, expected.map(|column| &column.ty));
    finish(expr, checker.problems)
}

/// The mistake of a text that is a whole statement where an expression or assignments belong.
fn not_an_expression(source: &Source<'_>, problem: SqlProblem) -> SqlProblem {
    let place = source.first_word();
    match source.slice(&place).to_ascii_lowercase().as_str() {
        "select" | "with" => {
            let (rule, message, help) = refusal::of_query(refusal::Place::Clause);
            source.problem(place, rule, message, Some(help))
        }
        "update" | "set" | "insert" | "delete" => {
            let message = "this is a statement; here stand expressions, in a `set` assignments".to_owned();
            let help = "write status = 'paid', paid_at = event_time()".to_owned();
            source.problem(place, "sql-syntax", message, Some(help))
        }
        _ => problem,
    }
}

/// Checks the text of a `set`: `a = expr, b = expr`. `columns` are the columns that may be set, each at most once.
///
/// # Errors
/// Every problem, by place.
pub fn assignments(
    text: &str,
    names: &Names<'_>,
    columns: &[Column],
) -> Result<Vec<Assignment>, Vec<SqlProblem>> {
    let (source, mut parser) = Source::open(text).map_err(|problem| vec![problem])?;
    let mut parts = Vec::new();
    loop {
        let parsed = parser.parse_identifier().and_then(|name| {
            parser.expect_token(&Token::Eq)?;
            Ok((name, parser.parse_expr()?))
        });
        parts.push(parsed.map_err(|error| vec![not_an_expression(&source, source.syntax(&error, &parser))])?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::EOF).map_err(|error| vec![source.syntax(&error, &parser)])?;
    let mut checker = Checker::new(&source, Scope::Clause(names), names.context, names.enums);
    let mut list: Vec<Assignment> = Vec::new();
    for (name, ast) in &parts {
        let column_span = source.range(name.span);
        let found = columns.iter().position(|column| column.name == name.value);
        let twice =
            found.is_some() && parts.iter().filter(|(other, _)| other.value == name.value).count() > 1;
        if twice
            && parts.iter().rev().find(|(other, _)| other.value == name.value).map(|(o, _)| o.span)
                == Some(name.span)
        {
            let message = format!("`{}` is set twice", name.value);
            let help = "all right sides see the old state; one of them has to go".to_owned();
            checker.problem(column_span.clone(), "set-twice", message, Some(help));
        }
        if found.is_none() {
            let names = columns.iter().map(|column| column.name.as_str());
            let help = names::help(&name.value, "columns that can be set are", names);
            checker.problem(
                column_span.clone(),
                "unknown-name",
                format!("there is no column `{}`", name.value),
                Some(help),
            );
        }
        let column = found.and_then(|at| columns.get(at));
        let value_span = checker.place(ast);
        checker.around = value_span.clone();
        let expr = match column {
            Some(column) => checker.whole_as(ast, Some(&column.column.ty)),
            None => checker.whole(ast),
        };
        if let (Some(column), Some(expr)) = (found, expr) {
            list.push(Assignment { column, column_span, value_span, expr });
        }
    }
    finish(Some(list), checker.problems)
}

/// Checks a view's SELECT.
///
/// # Errors
/// Every problem, by place.
pub fn view(text: &str, scope: &ViewScope<'_>) -> Result<ViewSql, Vec<SqlProblem>> {
    let (source, mut parser) = Source::open(text).map_err(|problem| vec![problem])?;
    let parsed = parser.parse_query().and_then(|query| {
        let _ = parser.consume_token(&Token::SemiColon);
        parser.expect_token(&Token::EOF).map(|_| query)
    });
    let query = parsed.map_err(|error| vec![source.syntax(&error, &parser)])?;
    let (made, problems) = view::check(&source, &query, scope);
    finish(made, problems)
}

/// The result, or the problems in the order of their places.
fn finish<T>(made: Option<T>, mut problems: Vec<SqlProblem>) -> Result<T, Vec<SqlProblem>> {
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    problems.dedup();
    match made {
        Some(made) if problems.is_empty() => Ok(made),
        _ => Err(problems),
    }
}
