//! What one message does to an entity: its `let`s, guards and `set`, compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidefold_codec::{ColumnType, RecordType, Type};
use tidefold_table::Column;

use super::report::Report;
use super::spec::ClauseSpec;
use super::text::Text;
use super::topics::MessageDraft;
use super::words::mentions;
use crate::expr::Expr;
use crate::model::{Action, Clause, Entity, Let, MessageKind, Require, When};
use crate::rules;
use crate::sql::{self, Names, SqlProblem};

/// Compiles a clause; `None` where a part is missing for reasons already reported.
pub(super) fn compile(
    spec: &ClauseSpec,
    message: &MessageDraft<'_>,
    (entity, enums): (&Entity, &[Type]),
    broken: &BTreeSet<String>,
    report: &mut Report,
) -> Option<Clause> {
    structure(spec, message.kind, report);
    let mut compiler = Compiler::new(spec, message, (entity, enums), broken, report);
    let lets = compiler.lets(&spec.lets);
    let requires = compiler.requires(&spec.requires);
    let set = compiler.set(spec.set.as_ref());
    let when = spec.when?;
    let action = match (&spec.delete, set) {
        (Some(_), _) => Action::Delete,
        (None, Some(set)) => {
            if when != When::Present {
                not_set(spec, &set, entity, broken, report);
            }
            Action::Set(set)
        }
        (None, None) => return None,
    };
    Some(Clause { when, lets, requires, action })
}

/// Mistakes that show without looking at the SQL.
fn structure(spec: &ClauseSpec, kind: MessageKind, report: &mut Report) {
    if let (Some(set), Some(_)) = (&spec.set, &spec.delete) {
        let help = "remove `set` or `delete = true`";
        report.toml(
            rules::DELETE_WITH_SET,
            &set.span,
            "a message that deletes the entity sets nothing",
            help,
        );
    }
    if let (Some(delete), Some(When::Absent)) = (&spec.delete, spec.when) {
        let message = "there is nothing to delete while the entity is absent";
        report.toml(rules::DELETE_WITH_SET, delete, message, "use when = \"present\" or when = \"any\"");
    }
    if kind == MessageKind::Event {
        for (code, _) in &spec.requires {
            let message =
                format!("`{}` is an event: it has happened and cannot be refused", spec.message.value);
            let help = "remove the guard, or make the message a command";
            report.toml(rules::GUARD_ON_EVENT, &code.span, message, help);
        }
    }
}

/// A new entity has a value in every column that is not nullable.
fn not_set(
    spec: &ClauseSpec,
    set: &[(usize, Expr)],
    entity: &Entity,
    broken: &BTreeSet<String>,
    report: &mut Report,
) {
    let state = entity.columns.iter().enumerate().skip(entity.key_columns);
    let missing = state.filter(|(at, column)| {
        !column.column.nullable && !broken.contains(&column.name) && !set.iter().any(|(set, _)| set == at)
    });
    let names: Vec<String> = missing.map(|(_, column)| format!("`{}`", column.name)).collect();
    if names.is_empty() {
        return;
    }
    let span = spec.set.as_ref().map_or(&spec.message.span, |set| &set.span);
    let message =
        format!("`{}` creates an entity but gives no value to {}", spec.message.value, names.join(", "));
    let help = "set them here, or declare them nullable with `?` behind the type";
    report.toml(rules::COLUMN_NOT_SET, span, message, help);
}

struct Compiler<'c> {
    /// Columns as expressions see them: nullable where the entity may be absent.
    state: Vec<Column>,
    columns: &'c [Column],
    enums: &'c [Type],
    key_columns: usize,
    message: Arc<RecordType>,
    lets: Vec<(String, ColumnType)>,
    /// Names that stand for something with a mistake in it: texts that mention them are not judged.
    broken: BTreeSet<String>,
    report: &'c mut Report,
}

impl<'c> Compiler<'c> {
    fn new(
        spec: &ClauseSpec,
        message: &MessageDraft<'_>,
        (entity, enums): (&'c Entity, &'c [Type]),
        broken: &BTreeSet<String>,
        report: &'c mut Report,
    ) -> Compiler<'c> {
        let mut broken = broken.clone();
        if message.record.is_none() {
            broken.insert("msg".to_owned());
        }
        let mut state = entity.columns.clone();
        if spec.when != Some(When::Present) {
            state.iter_mut().skip(entity.key_columns).for_each(|column| column.column.nullable = true);
        }
        let nothing = || Arc::new(RecordType { full_name: spec.message.value.clone(), fields: Vec::new() });
        Compiler {
            state,
            columns: &entity.columns,
            key_columns: entity.key_columns,
            message: message.record.clone().unwrap_or_else(nothing),
            lets: Vec::new(),
            enums,
            broken,
            report,
        }
    }

    /// What expressions see.
    fn names(&self) -> Names<'_> {
        Names {
            state: Some(&self.state),
            message: Some(&self.message),
            lets: &self.lets,
            context: true,
            enums: self.enums,
        }
    }

    fn expression(&mut self, text: &Text, expected: Option<&ColumnType>) -> Option<Expr> {
        if mentions(&text.value, &self.broken) {
            return None;
        }
        let names = self.names();
        match sql::expression(&text.value, &names, expected) {
            Ok(expr) => Some(expr),
            Err(problems) => {
                sql_problems(text, problems, self.report);
                None
            }
        }
    }

    fn lets(&mut self, specs: &[(Text, Text)]) -> Vec<Let> {
        let mut lets = Vec::new();
        for (name, text) in specs {
            match self.expression(text, None) {
                Some(expr) => {
                    self.lets.push((name.value.clone(), expr.column.clone()));
                    lets.push(Let { name: name.value.clone(), expr });
                }
                None => {
                    self.broken.insert(name.value.clone());
                }
            }
        }
        lets
    }

    fn requires(&mut self, specs: &[(Text, Text)]) -> Vec<Require> {
        let boolean = Type::Boolean.nullable();
        let compiled = specs.iter().filter_map(|(code, text)| {
            let expr = self.expression(text, Some(&boolean))?;
            Some(Require { code: code.value.clone(), expr })
        });
        compiled.collect()
    }

    /// The assignments, none where there is no `set`; `None` where it has mistakes.
    fn set(&mut self, text: Option<&Text>) -> Option<Vec<(usize, Expr)>> {
        let Some(text) = text else { return Some(Vec::new()) };
        if mentions(&text.value, &self.broken) {
            return None;
        }
        let names = self.names();
        let settable = self.columns.get(self.key_columns..).unwrap_or_default();
        match sql::assignments(&text.value, &names, settable) {
            Ok(assignments) => {
                let whole = |a: sql::Assignment| (a.column + self.key_columns, a.expr);
                Some(assignments.into_iter().map(whole).collect())
            }
            Err(mut problems) => {
                problems.iter_mut().for_each(|problem| self.key_never_changes(text, problem));
                sql_problems(text, problems, self.report);
                None
            }
        }
    }

    /// Says of a key column that is set what is wrong with that.
    fn key_never_changes(&self, text: &Text, problem: &mut SqlProblem) {
        let written = text.value.get(problem.span.clone()).unwrap_or("");
        let key = self.columns.get(..self.key_columns).unwrap_or_default();
        let is_set = problem.message.starts_with("there is no column");
        if is_set && key.iter().any(|column| column.name == written) {
            problem.message = format!("`{written}` is the entity's key, which never changes");
            problem.help = Some("remove it: the entity has its key from its messages".to_owned());
        }
    }
}

/// Reports mistakes in a SQL text at their places in the file.
pub(super) fn sql_problems(text: &Text, problems: Vec<SqlProblem>, report: &mut Report) {
    for problem in problems {
        report.toml(problem.rule, &text.place(&problem.span), problem.message, problem.help);
    }
}
