//! SQL text to typed expressions and views.
//!
//! Three entry points, one for each place of `app.toml` that holds SQL: [`expression`] (`let`, `require`),
//! [`assignments`] (`set`) and [`view`] (`sql`). Each parses, resolves every name, types every node and reports every
//! problem with its place in the text.

use std::ops::Range;

use tidefold_codec::{ColumnType, RecordType};

use crate::expr::{Expr, ViewSource};
use crate::model::{Column, ViewKind};

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

/// What an expression of a transition may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// `state.x`: the entity's columns, every one nullable by type where the entity may be absent (the caller says so
    /// by passing nullable columns).
    pub state: Option<&'a [Column]>,
    /// `msg.x`: the message's fields.
    pub message: Option<&'a RecordType>,
    /// Bare names: the transition's earlier `let`s, in order.
    pub lets: &'a [(String, ColumnType)],
    /// Whether `event_time()`, `append_time()` and `caller()` are there.
    pub context: bool,
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
    let _ = (text, names, expected);
    unimplemented!()
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
    let _ = (text, names, columns);
    unimplemented!()
}

/// Checks a view's SELECT.
///
/// # Errors
/// Every problem, by place.
pub fn view(text: &str, scope: &ViewScope<'_>) -> Result<ViewSql, Vec<SqlProblem>> {
    let _ = (text, scope);
    unimplemented!()
}
