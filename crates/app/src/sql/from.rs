//! FROM: the entity or the message type, and UNNEST.

use std::ops::Range;

use sqlparser::ast::{
    Expr as Ast, Ident, JoinConstraint, JoinOperator, ObjectNamePart, Select, Spanned, TableAlias,
    TableFactor,
};
use tidefold_codec::{ColumnType, Type};

use super::ViewScope;
use super::check::Checker;
use super::names;
use super::scope::{Elements, Fields, Rows, Scope};
use super::types::describe;
use crate::expr::Unnest;

/// What FROM comes to.
pub(super) struct From {
    /// The message's place, in a view over events.
    pub(super) event: Option<usize>,
    /// `UNNEST(…)`.
    pub(super) unnest: Option<Unnest>,
}

/// `UNNEST(…)` as it was parsed.
struct Parsed<'q> {
    array: &'q Ast,
    alias: Option<&'q TableAlias>,
    ordinality: bool,
    place: Range<usize>,
}

// === impl Checker ===

impl<'a> Checker<'a> {
    /// Checks FROM and sets the scope that everything else is checked in. Where FROM is wrong the scope lets every name
    /// pass, and there is no `From`.
    pub(super) fn from(&mut self, select: &Select, scope: &ViewScope<'a>) -> Option<From> {
        let mut tables = Vec::new();
        let mut unnests = Vec::new();
        let mut right = true;
        for (at, part) in select.from.iter().enumerate() {
            right &= self.factor(&part.relation, at == 0, &mut tables, &mut unnests);
            for join in &part.joins {
                let unnest = matches!(&join.relation, TableFactor::UNNEST { .. });
                let cross = match &join.join_operator {
                    JoinOperator::CrossJoin(_) => true,
                    JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => is_true(constraint),
                    _ => false,
                };
                if unnest && cross {
                    right &= self.factor(&join.relation, false, &mut tables, &mut unnests);
                } else {
                    right = self.refuse_join(self.range_of(&join.relation)).is_some();
                }
            }
        }
        let from = self.source.keyword("FROM").unwrap_or_else(|| self.source.whole());
        if select.from.is_empty() {
            let help = Some(self.tables_help(scope, ""));
            self.problem(self.source.whole(), "view-from", "a view reads a table: FROM is missing", help);
            return None;
        }
        let Some((name, alias)) = tables.first().cloned().filter(|_| right) else {
            if right {
                self.problem(from, "view-from", "FROM names no table", Some(self.tables_help(scope, "")));
            }
            return None;
        };
        let (event, fields) = self.table(&name, scope)?;
        let mut table = vec![name.value.clone()];
        table.extend(alias.map(|alias| alias.name.value.clone()));
        self.scope = Scope::View(Rows { table, fields, elements: None });
        let mut unnests = unnests.into_iter();
        let unnest = match unnests.next() {
            Some(parsed) => Some(self.unnest(&parsed)?),
            None => None,
        };
        if let Some(second) = unnests.next() {
            let help = "read one array in one view; make a second view for the other".to_owned();
            self.problem(second.place, "view-from", "a view has one UNNEST", Some(help));
            return None;
        }
        Some(From { event, unnest })
    }

    fn factor<'q>(
        &mut self,
        factor: &'q TableFactor,
        first: bool,
        tables: &mut Vec<(Ident, Option<&'q TableAlias>)>,
        unnests: &mut Vec<Parsed<'q>>,
    ) -> bool {
        let place = self.range_of(factor);
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_ordinality: false,
                sample: None,
                version: None,
                ..
            } => {
                let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else {
                    let help = "a view reads a table of its own topic, named without a schema".to_owned();
                    self.problem(place, "view-from", "a table's name has no points in it", Some(help));
                    return false;
                };
                if !first {
                    return self.refuse_join(place).is_some();
                }
                tables.push((name.clone(), alias.as_ref()));
                true
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } => {
                let [array] = array_exprs.as_slice() else {
                    let help = "make one view for each array".to_owned();
                    self.problem(place, "view-from", "UNNEST takes one array", Some(help));
                    return false;
                };
                unnests.push(Parsed { array, alias: alias.as_ref(), ordinality: *with_ordinality, place });
                true
            }
            TableFactor::UNNEST { .. } => {
                let help = "write UNNEST(items) WITH ORDINALITY AS t(item, n)".to_owned();
                self.problem(place, "view-from", "WITH OFFSET is not part of the language", Some(help));
                false
            }
            TableFactor::Derived { .. } => {
                let help =
                    "select from the table itself; what you need of other tables is joined when you read"
                        .to_owned();
                self.problem(place, "subquery", "a view reads a table, not a subquery", Some(help));
                false
            }
            _ => {
                let help = "write FROM table, or FROM table, UNNEST(array) AS item".to_owned();
                self.problem(place, "view-from", "this is not a table a view can read", Some(help));
                false
            }
        }
    }

    fn refuse_join(&mut self, place: Range<usize>) -> Option<()> {
        let help =
            "store what you need in a column, or join when you read; an array is read with UNNEST".to_owned();
        let message = "a view cannot join: one record would have to change rows of other records";
        self.problem(place, "join", message, Some(help));
        None
    }

    fn table(&mut self, name: &Ident, scope: &ViewScope<'a>) -> Option<(Option<usize>, Fields<'a>)> {
        let place = self.source.range(name.span);
        if let Some((entity, columns)) = scope.entity {
            if name.value == entity {
                return Some((None, Fields::Entity(columns)));
            }
            if scope.messages.iter().any(|(message, _)| *message == name.value) {
                let message = format!("`{}` is a message of a topic that has an entity", name.value);
                let help = format!(
                    "views of this topic read FROM {entity}; store what you need of the message in a column"
                );
                self.problem(place, "view-from", message, Some(help));
                return None;
            }
        } else if let Some(at) = scope.messages.iter().position(|(message, _)| *message == name.value) {
            return scope.messages.get(at).map(|(_, record)| (Some(at), Fields::Event(record)));
        }
        let help = self.tables_help(scope, &name.value);
        self.problem(
            place,
            "view-from",
            format!("there is no table `{}` in this topic", name.value),
            Some(help),
        );
        None
    }

    fn tables_help(&self, scope: &ViewScope<'_>, wrong: &str) -> String {
        match scope.entity {
            Some((entity, _)) => format!("a view of this topic reads FROM {entity}"),
            None => names::help(
                wrong,
                "a view of this topic reads one of",
                scope.messages.iter().map(|(name, _)| *name),
            ),
        }
    }

    fn unnest(&mut self, parsed: &Parsed<'_>) -> Option<Unnest> {
        self.around = parsed.place.clone();
        let array = self.whole(parsed.array)?;
        let element = match &array.column.ty {
            Type::Array(element) => (**element).clone(),
            other => {
                let message = format!("UNNEST takes an array, not {}", describe(other));
                let place = self.place(parsed.array);
                self.problem(place, "argument-type", message, None);
                return None;
            }
        };
        let elements = self.element_names(parsed, &element)?;
        if let Scope::View(rows) = &mut self.scope {
            rows.elements = Some(elements);
        }
        Some(Unnest { array, element })
    }

    fn element_names(&mut self, parsed: &Parsed<'_>, element: &ColumnType) -> Option<Elements> {
        let Some(alias) = parsed.alias else {
            let help = "write UNNEST(…) AS item".to_owned();
            self.problem(
                parsed.place.clone(),
                "view-from",
                "UNNEST needs a name for the element",
                Some(help),
            );
            return None;
        };
        let table = alias.name.value.clone();
        let columns: Vec<&Ident> = alias.columns.iter().map(|column| &column.name).collect();
        let (name, ordinality) = match (columns.as_slice(), parsed.ordinality) {
            ([], false) => (table.clone(), None),
            ([], true) => (table.clone(), Some("ordinality".to_owned())),
            ([element], false) => (element.value.clone(), None),
            ([element], true) => (element.value.clone(), Some("ordinality".to_owned())),
            ([element, place], true) => (element.value.clone(), Some(place.value.clone())),
            _ => {
                let help = "write UNNEST(a) AS item, or UNNEST(a) WITH ORDINALITY AS t(item, n)".to_owned();
                let message = "UNNEST has one column, or two WITH ORDINALITY";
                self.problem(self.source.range(alias.name.span), "view-from", message, Some(help));
                return None;
            }
        };
        let taken = |name: &str| match &self.scope {
            Scope::View(rows) => {
                rows.fields.find(name).is_some() || rows.table.iter().any(|table| table == name)
            }
            Scope::Clause(_) => false,
        };
        for name in [Some(&name), ordinality.as_ref(), Some(&table)].into_iter().flatten() {
            if taken(name) {
                let message = format!("`{name}` already is a column or table here");
                let help = Some("give the element another name".to_owned());
                self.problem(self.source.range(alias.name.span), "ambiguous-name", message, help);
                return None;
            }
        }
        Some(Elements { table, element: name, ordinality, column: element.clone() })
    }

    fn range_of(&self, factor: &TableFactor) -> Range<usize> {
        let range = self.source.range(factor.span());
        if range.is_empty() {
            self.source.keyword("FROM").unwrap_or_else(|| self.source.whole())
        } else {
            range
        }
    }
}

fn is_true(constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(Ast::Value(value)) => value.value == sqlparser::ast::Value::Boolean(true),
        _ => false,
    }
}
