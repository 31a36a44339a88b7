//! What a name stands for.

use std::ops::Range;

use sqlparser::ast::Ident;
use tidefold_codec::nearest::nearest;
use tidefold_codec::{ColumnType, RecordType, Type};
use tidefold_table::Column;

use super::check::Checker;
use super::names::help;
use super::types::describe;
use super::{Names, SqlProblem};
use crate::expr::{Expr, Node};

/// What can be named.
pub(super) enum Scope<'a> {
    /// In a clause.
    Clause(&'a Names<'a>),
    /// In a view.
    View(Rows<'a>),
}

/// What a view reads.
pub(super) struct Rows<'a> {
    /// The table's name and, where it has one, its alias.
    pub(super) table: Vec<String>,
    /// Its columns.
    pub(super) fields: Fields<'a>,
    /// `UNNEST(…)`.
    pub(super) elements: Option<Elements>,
}

/// The columns of what a view reads.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    /// An entity's.
    Entity(&'a [Column]),
    /// A message's.
    Event(&'a RecordType),
    /// FROM is wrong: every name is let pass, so that one mistake is one problem.
    Unknown,
}

/// The names of what UNNEST makes.
#[derive(Clone)]
pub(super) struct Elements {
    /// The alias.
    pub(super) table: String,
    /// The element's name.
    pub(super) element: String,
    /// The name of its place, with `WITH ORDINALITY`.
    pub(super) ordinality: Option<String>,
    /// The element's type.
    pub(super) column: ColumnType,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn names(self) -> Vec<&'a str> {
        match self {
            Fields::Entity(columns) => columns.iter().map(|column| column.name.as_str()).collect(),
            Fields::Event(record) => record.fields.iter().map(|field| &*field.name).collect(),
            Fields::Unknown => Vec::new(),
        }
    }

    /// The expression of a column.
    pub(super) fn find(self, name: &str) -> Option<Expr> {
        match self {
            Fields::Entity(columns) => {
                let at = columns.iter().position(|column| column.name == name)?;
                Some(Expr { node: Node::State(at), column: columns.get(at)?.column.clone() })
            }
            Fields::Event(record) => {
                let at = record.field(name)?;
                Some(Expr { node: Node::Message(at), column: record.fields.get(at)?.column.clone() })
            }
            Fields::Unknown => None,
        }
    }
}

// === impl Checker ===

impl Checker<'_> {
    /// What a name, or names with points between, stands for.
    pub(super) fn resolve(&mut self, names: &[Ident]) -> Option<Expr> {
        let (first, rest) = names.split_first()?;
        let found = match &self.scope {
            Scope::Clause(names) => self.in_clause(names, first, rest),
            Scope::View(rows) => self.in_view(rows, first, rest),
        };
        match found {
            Ok(None) => None,
            Ok(Some((expr, used))) => self.descend(expr, rest.get(used..).unwrap_or_default()),
            Err(problem) => {
                self.report(*problem);
                None
            }
        }
    }

    fn in_clause(&self, names: &Names<'_>, first: &Ident, rest: &[Ident]) -> Found {
        let fields = match first.value.as_str() {
            "state" => names.state.map(Fields::Entity),
            "msg" => names.message.map(Fields::Event),
            name => {
                if let Some(at) = names.lets.iter().position(|(known, _)| known == name) {
                    let column = names.lets.get(at).map(|(_, column)| column.clone());
                    return Ok(column.map(|column| (Expr { node: Node::Let(at), column }, 0)));
                }
                return Err(if rest.is_empty() {
                    self.unknown_bare(names, first)
                } else {
                    self.unknown_owner(names, first, rest)
                });
            }
        };
        let place = self.name_place(first);
        let Some(fields) = fields else {
            let message = format!("there is no `{}` here", first.value);
            return Err(self.source.problem(place, "unknown-name", message, None).into());
        };
        let Some(field) = rest.first() else {
            let what =
                if first.value == "state" { "a column of the state" } else { "a field of the message" };
            let message = format!("`{}` alone is not a value; name {what}: `{}.x`", first.value, first.value);
            let list = help("", "there are", fields.names().into_iter());
            return Err(self.source.problem(place, "unknown-name", message, Some(list)).into());
        };
        match fields.find(&field.value) {
            Some(expr) => Ok(Some((expr, 1))),
            None => {
                let owner = if first.value == "state" { "the state" } else { "the message" };
                let message = format!("{owner} has no `{}`", field.value);
                let list = help(&field.value, "it has", fields.names().into_iter());
                Err(self.source.problem(self.name_place(field), "unknown-name", message, Some(list)).into())
            }
        }
    }

    fn unknown_bare(&self, names: &Names<'_>, name: &Ident) -> Box<SqlProblem> {
        let state = names.state.map_or(Vec::new(), |columns| Fields::Entity(columns).names());
        let message_fields = names.message.map_or(Vec::new(), |record| Fields::Event(record).names());
        let lets: Vec<&str> = names.lets.iter().map(|(name, _)| name.as_str()).collect();
        let text = name.value.as_str();
        let mut ways = Vec::new();
        for (prefix, known) in [("state", &state), ("msg", &message_fields)] {
            if known.contains(&text) {
                ways.push(format!("`{prefix}.{text}`"));
            }
        }
        if ways.is_empty() {
            let near = [("", &lets), ("state.", &state), ("msg.", &message_fields)];
            for (prefix, known) in near {
                if let Some(found) = nearest(text, known.iter().copied()) {
                    ways.push(format!("`{prefix}{found}`"));
                }
            }
        }
        let hint = match (name.quote_style, ways.is_empty()) {
            (Some('"'), true) => format!("a string is written in single quotes: '{text}'"),
            (_, false) => format!("did you mean {}?", ways.join(" or ")),
            _ => "a name is `state.x`, `msg.x` or an earlier `let`".to_owned(),
        };
        let message = format!("there is no `{text}`");
        self.source.problem(self.name_place(name), "unknown-name", message, Some(hint)).into()
    }

    /// Something with a point behind it that is neither `state` nor `msg` nor a `let`: most likely a table, of which a
    /// message sees none.
    fn unknown_owner(&self, names: &Names<'_>, first: &Ident, rest: &[Ident]) -> Box<SqlProblem> {
        let owners = [("state", names.state.map(Fields::Entity)), ("msg", names.message.map(Fields::Event))];
        let field = rest.first().map(|field| field.value.as_str()).unwrap_or_default();
        let known = |fields: Option<Fields<'_>>, name: &str| {
            fields.is_some_and(|fields| fields.names().contains(&name))
        };
        let lets = names.lets.iter().map(|(name, _)| name.as_str());
        let here = owners.iter().filter(|(_, fields)| fields.is_some()).map(|(owner, _)| *owner);
        let path = rest.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(".");
        let (mut ways, mut of_field) = (Vec::new(), Vec::new());
        for (owner, fields) in owners {
            if known(fields, &first.value) {
                ways.push(format!("`{owner}.{}.{path}`", first.value));
            } else if known(fields, field) {
                of_field.push(format!("`{owner}.{path}`"));
            }
        }
        if ways.is_empty() {
            ways.extend(nearest(&first.value, here.chain(lets)).map(|near| format!("`{near}.{path}`")));
        }
        if ways.is_empty() {
            ways = of_field;
        }
        let hint = match ways.is_empty() {
            true => {
                "keep what you need in a column of this entity, or let the publisher send it in the message"
                    .to_owned()
            }
            false => format!("did you mean {}?", ways.join(" or ")),
        };
        let message = format!(
            "there is no `{}` here: a message sees its own entity as `state` and itself as `msg`, no other table",
            first.value
        );
        self.source.problem(self.name_place(first), "unknown-name", message, Some(hint)).into()
    }

    fn in_view(&self, rows: &Rows<'_>, first: &Ident, rest: &[Ident]) -> Found {
        let name = first.value.as_str();
        if let Some(found) = rows.elements.as_ref().and_then(|elements| element(elements, name, rest)) {
            return Ok(Some(found));
        }
        if matches!(rows.fields, Fields::Unknown) {
            return Ok(None);
        }
        if let (true, Some(field)) = (rows.table.iter().any(|table| table == name), rest.first()) {
            return match rows.fields.find(&field.value) {
                Some(expr) => Ok(Some((expr, 1))),
                None => Err(self.unknown_column(rows, field)),
            };
        }
        match rows.fields.find(name) {
            Some(expr) => Ok(Some((expr, 0))),
            None if !rest.is_empty() && !matches!(name, "state" | "msg") => {
                Err(self.unknown_table(rows, first, rest))
            }
            None => Err(self.unknown_column(rows, first)),
        }
    }

    /// Something with a point behind it that is no table of this view.
    fn unknown_table(&self, rows: &Rows<'_>, first: &Ident, rest: &[Ident]) -> Box<SqlProblem> {
        let table = rows.table.first().map_or("", String::as_str);
        let known = rows.fields.names();
        let field = rest.first().map(|field| field.value.as_str()).unwrap_or_default();
        let elements = rows.elements.as_ref().map(|elements| elements.table.as_str());
        let tables = rows.table.iter().map(String::as_str).filter(|_| known.contains(&field));
        let has_field = |name: &&str| match rows.fields.find(name).map(|expr| expr.column.ty) {
            Some(Type::Record(record)) => record.field(field).is_some(),
            _ => false,
        };
        let names = tables.chain(elements).chain(known.iter().copied().filter(has_field));
        let hint = match nearest(&first.value, names) {
            Some(near) => format!("did you mean `{near}.{field}`?"),
            None if known.contains(&field) => format!("did you mean `{table}.{field}`?"),
            None => "store what you need in a column, or join when you read: a view cannot join".to_owned(),
        };
        let message =
            format!("there is no `{}` here: this view reads {table}, and nothing else", first.value);
        self.source.problem(self.name_place(first), "unknown-name", message, Some(hint)).into()
    }

    fn unknown_column(&self, rows: &Rows<'_>, name: &Ident) -> Box<SqlProblem> {
        let text = name.value.as_str();
        let table = rows.table.first().map_or("", String::as_str);
        let mut known = rows.fields.names();
        let ordinality = rows.elements.as_ref().and_then(|elements| elements.ordinality.as_deref());
        known.extend(rows.elements.as_ref().map(|elements| elements.element.as_str()));
        known.extend(ordinality);
        let hint = if name.quote_style == Some('"') && nearest(text, known.iter().copied()).is_none() {
            format!("a string is written in single quotes: '{text}'")
        } else if text == "state" || text == "msg" {
            "in a view a column is named by itself, without `state.` or `msg.`".to_owned()
        } else if let Some(owner) = field_of_element(rows, text) {
            format!("did you mean `{owner}.{text}`?")
        } else {
            help(text, "it has", known.into_iter())
        };
        let message = format!("{table} has no column `{text}`");
        self.source.problem(self.name_place(name), "unknown-name", message, Some(hint)).into()
    }

    /// Walks into records: `address.city`.
    pub(super) fn descend(&mut self, mut expr: Expr, rest: &[Ident]) -> Option<Expr> {
        for name in rest {
            let Type::Record(record) = &expr.column.ty else {
                let message = format!(
                    "`{}` is not a field: a value of {} has none",
                    name.value,
                    describe(&expr.column.ty)
                );
                let hint = match &expr.column.ty {
                    Type::Map(_) => Some(format!("a map's value is map_value(m, '{}')", name.value)),
                    Type::Array(_) => Some("an array's elements are read in a view, with UNNEST".to_owned()),
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
                    | Type::Date
                    | Type::TimeMillis
                    | Type::TimeMicros
                    | Type::TimestampMillis
                    | Type::TimestampMicros
                    | Type::LocalTimestampMillis
                    | Type::LocalTimestampMicros
                    | Type::Record(_)
                    | Type::Union(_) => None,
                };
                self.problem(self.name_place(name), "unknown-name", message, hint);
                return None;
            };
            let Some(at) = record.field(&name.value) else {
                let message = format!("{} has no field `{}`", describe(&expr.column.ty), name.value);
                let hint = help(&name.value, "it has", record.fields.iter().map(|field| &*field.name));
                self.problem(self.name_place(name), "unknown-name", message, Some(hint));
                return None;
            };
            let mut column = record.fields.get(at)?.column.clone();
            column.nullable |= expr.column.nullable;
            expr = Expr { node: Node::Field(Box::new(expr), at), column };
        }
        if matches!(expr.column.ty, Type::Union(_)) {
            let hint =
                Some("make the field a record with one nullable field for each alternative".to_owned());
            let message = "SQL cannot read a union of several types".to_owned();
            self.problem(self.around.clone(), "union-value", message, hint);
            return None;
        }
        Some(expr)
    }

    fn name_place(&self, name: &Ident) -> Range<usize> {
        self.source.range(name.span)
    }
}

/// An expression and how many of the further names it took; `None` where the mistake is already reported.
type Found = Result<Option<(Expr, usize)>, Box<SqlProblem>>;

fn element(elements: &Elements, name: &str, rest: &[Ident]) -> Option<(Expr, usize)> {
    let value = || Expr { node: Node::Element, column: elements.column.clone() };
    let place = || Expr { node: Node::Ordinality, column: Type::Long.required() };
    if let Some(next) = rest.first().filter(|_| name == elements.table) {
        let is_field = match &elements.column.ty {
            Type::Record(record) => record.field(&next.value).is_some(),
            _ => false,
        };
        if elements.table != elements.element && next.value == elements.element {
            return Some((value(), 1));
        }
        if !is_field && elements.ordinality.as_ref() == Some(&next.value) {
            return Some((place(), 1));
        }
    }
    if name == elements.element || name == elements.table {
        return Some((value(), 0));
    }
    (elements.ordinality.as_deref() == Some(name)).then(|| (place(), 0))
}

fn field_of_element<'r>(rows: &'r Rows<'_>, name: &str) -> Option<&'r str> {
    let elements = rows.elements.as_ref()?;
    match &elements.column.ty {
        Type::Record(record) => record.field(name).map(|_| elements.element.as_str()),
        _ => None,
    }
}
