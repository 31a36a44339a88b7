//! The SELECT list: index columns, or groups and aggregates.

use std::ops::Range;

use sqlparser::ast::{
    Expr as Ast, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select,
    SelectItem, Value,
};
use tidefold_codec::text::is_key_type;
use tidefold_codec::{ColumnType, Type};
use tidefold_table::Column;
use tidefold_table::aggregate::{AggregateFunction, Gives, Nulls, Over, aggregate};

use super::check::Checker;
use super::functions::{is_distinct, name_of};
use super::nullity::Facts;
use super::scope::{Fields, Scope};
use super::types::{describe, digits, is_comparable};
use super::view::MAX_COLUMNS;
use super::{OutputColumn, names};
use crate::expr::Expr;
use crate::model::{Aggregate, RollupColumn, ViewKind};

/// An item of the SELECT list.
struct Item<'q> {
    ast: &'q Ast,
    name: String,
    place: Range<usize>,
    value: Output,
}

enum Output {
    Scalar(Expr),
    Aggregate(Aggregate, ColumnType),
    /// A mistake was reported.
    Wrong,
}

// === impl Checker ===

impl Checker<'_> {
    /// The output columns and what they are.
    pub(super) fn outputs(
        &mut self,
        select: &Select,
        groups: Option<&[Ast]>,
        facts: &Facts,
    ) -> Option<(Vec<OutputColumn>, ViewKind)> {
        if select.projection.is_empty() || select.projection.len() > MAX_COLUMNS {
            let message = format!("a view has 1 to {MAX_COLUMNS} columns");
            self.problem(self.source.whole(), "view-select", message, None);
            return None;
        }
        let before = self.problems.len();
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            items.extend(self.item(item, facts));
        }
        self.unique_names(&items);
        let aggregated = items.iter().any(|item| matches!(item.value, Output::Aggregate(..)));
        let grouped = match groups {
            Some(groups) => self.groups(groups, &items, facts),
            None => None,
        };
        if groups.is_none() && aggregated {
            let help =
                "name at least one column to group by; a total over everything is added up from the groups"
                    .to_owned();
            let message = "aggregates without GROUP BY make one row without a key";
            self.problem(self.source.whole(), "group-by", message, Some(help));
        }
        if self.problems.len() > before || items.len() < select.projection.len() {
            return None;
        }
        if groups.is_none() {
            return Some(index(items, facts));
        }
        self.rollup(items, &grouped?, facts)
    }

    fn item<'q>(&mut self, item: &'q SelectItem, facts: &Facts) -> Option<Item<'q>> {
        let place = self.item_place(item);
        self.around = place.clone();
        let (ast, alias) = match item {
            SelectItem::UnnamedExpr(ast) => (ast, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                let message = "`*` would change the table whenever a column is added";
                return self.here("select-star", message, "name the columns");
            }
            SelectItem::ExprWithAliases { .. } => {
                return self.here("unsupported-syntax", "a column has one name", "");
            }
        };
        let own = match ast {
            Ast::Identifier(name) => Some(name),
            Ast::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        let name = alias.or(own);
        let value = match call_of(ast) {
            Some(call) => self.aggregate(ast, call, facts),
            None => self.whole_as(ast, None).map(|mut expr| {
                expr.column.nullable = facts.nullable(&expr);
                Output::Scalar(expr)
            }),
        };
        self.around = place.clone();
        let value = value.unwrap_or(Output::Wrong);
        let Some(name) = name else {
            return self.here("unnamed-column", "this column has no name", "write … AS name");
        };
        // A column may keep the name of the field that it is: others chose it.
        if own.is_none_or(|own| own.value != name.value) {
            self.output_name(name);
        }
        Some(Item { ast, name: name.value.clone(), place, value })
    }

    fn output_name(&mut self, name: &Ident) {
        let text = &name.value;
        let snake = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !snake {
            let place = self.source.range(name.span);
            let help = format!("write … AS {}", snake_case(text));
            self.problem(place, "column-name", format!("`{text}` is not snake_case"), Some(help));
        }
    }

    fn unique_names(&mut self, items: &[Item<'_>]) {
        for (at, item) in items.iter().enumerate() {
            if items.iter().take(at).any(|earlier| earlier.name == item.name) {
                let message = format!("there already is a column `{}`", item.name);
                self.problem(
                    item.place.clone(),
                    "duplicate-column",
                    message,
                    Some("write … AS other_name".to_owned()),
                );
            }
        }
    }

    fn aggregate(&mut self, ast: &Ast, call: &Call, facts: &Facts) -> Option<Output> {
        self.around = self.place(ast);
        let name = name_of(call)?;
        if let Some((rule, message, help)) = super::refusal::of_call(&name, call, self.sql_place()) {
            return self.here(rule, message, help);
        }
        if is_distinct(call) {
            let help =
                "approx_count_distinct(x) is there in a view over events; or GROUP BY x and count the groups";
            let message = "DISTINCT in an aggregate cannot be maintained: every value would have to be kept";
            return self.here("distinct", message, help);
        }
        let filter = call.filter.as_deref().map(|filter| self.whole_as(filter, Some(&Type::Boolean)));
        let argument = self.aggregate_argument(&name, call);
        let filter = match filter {
            None => None,
            Some(filter) => Some(filter?),
        };
        let argument = argument?;
        let function = aggregate(&name)?;
        let ty = self.aggregate_type(function, argument.as_ref())?;
        let always = filter.is_none() && argument.as_ref().is_none_or(|argument| !facts.nullable(argument));
        let nullable = match function.nulls {
            Nulls::Never => false,
            Nulls::OfNoValue => !always,
            Nulls::OfItsOwn => true,
        };
        let argument_type = argument.as_ref().map(|argument| argument.column.clone());
        let aggregate = Aggregate { function, argument, argument_type, filter };
        Some(Output::Aggregate(aggregate, ColumnType { ty, nullable }))
    }

    /// The argument; `Some(None)` of `count(*)`.
    #[expect(clippy::option_option, reason = "outside: a mistake was reported; inside: count(*)")]
    fn aggregate_argument(&mut self, name: &str, call: &Call) -> Option<Option<Expr>> {
        let list: &[FunctionArg] = match &call.args {
            FunctionArguments::List(list) => &list.args,
            _ => &[],
        };
        match list {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" => Some(None),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast))] => Some(Some(self.whole_as(ast, None)?)),
            _ => {
                let help = if name == "count" { "write count(*) or count(x)" } else { "" };
                self.here("argument-count", format!("{name} takes one argument"), help)
            }
        }
    }

    /// The type of an aggregate's value.
    fn aggregate_type(
        &mut self,
        function: &'static AggregateFunction,
        argument: Option<&Expr>,
    ) -> Option<Type> {
        let name = function.name;
        let over_events = matches!(&self.scope, Scope::View(rows) if matches!(rows.fields, Fields::Event(_)));
        if !function.retracts() && !over_events {
            let message = format!(
                "{name} over an entity cannot be maintained: when the value that stands changes, the next one is not \
                 known"
            );
            let help = "make an index ordered by it and read its first row; over events, which never change, it is allowed";
            return self.here("aggregate-retracts", message, help);
        }
        let ty = argument.map_or(Type::Long, |argument| argument.column.ty.clone());
        self.aggregate_takes(function, &ty)?;
        Some(match (function.gives, ty) {
            (Gives::Long, _) => Type::Long,
            (Gives::Total, Type::Decimal { scale, .. }) => {
                Type::Decimal { precision: 38, scale, fixed: None }
            }
            (Gives::Total, _) => Type::Long,
            (Gives::Double, _) => Type::Double,
            (Gives::Boolean, _) => Type::Boolean,
            (Gives::Argument, ty) => ty,
        })
    }

    /// Whether an aggregate takes values of this type.
    fn aggregate_takes(&mut self, function: &AggregateFunction, ty: &Type) -> Option<()> {
        let name = function.name;
        let is_float = matches!(ty, Type::Float | Type::Double);
        let mut help = "";
        let (takes, wanted) = match function.over {
            Over::Anything => return Some(()),
            Over::Number | Over::Squarable if is_float => {
                let message = format!(
                    "{name} over {} never returns to zero when what was added is taken away again",
                    describe(ty)
                );
                let help = format!(
                    "make the field a decimal or count in the smallest unit; or write {name}(CAST(x AS decimal({},6)))",
                    if function.over == Over::Number { 38 } else { 19 }
                );
                return self.here("aggregate-inexact", message, help);
            }
            Over::Number => (digits(ty).is_some(), "an exact number"),
            Over::Squarable => {
                help = "write CAST(x AS decimal(19,s))";
                (
                    digits(ty).is_some_and(|(precision, _)| precision <= 19),
                    "an exact number of at most 19 digits",
                )
            }
            Over::Boolean => (*ty == Type::Boolean, "a boolean"),
            Over::Ordered => {
                let ordered =
                    is_comparable(ty) && !matches!(ty, Type::Boolean | Type::Bytes | Type::Fixed(_));
                (ordered, "a number, string or time")
            }
            Over::Key => (is_key_type(ty), "a value that can stand in a key"),
        };
        if takes {
            return Some(());
        }
        if !matches!(ty, Type::Decimal { .. }) {
            help = "";
        }
        self.here("argument-type", format!("{name} takes {wanted}, not {}", describe(ty)), help)
    }

    /// The group expressions as GROUP BY names them; `None` where one is wrong.
    fn groups(&mut self, groups: &[Ast], items: &[Item<'_>], facts: &Facts) -> Option<Vec<Expr>> {
        let mut list = Vec::with_capacity(groups.len());
        let mut right = true;
        for ast in groups {
            self.around = self.place(ast);
            match self.group(ast, items, facts) {
                Some(expr) => list.push(expr),
                None => right = false,
            }
        }
        right.then_some(list)
    }

    fn group(&mut self, ast: &Ast, items: &[Item<'_>], facts: &Facts) -> Option<Expr> {
        let item = match ast {
            Ast::Value(value) => {
                let Value::Number(text, _) = &value.value else {
                    return self.here("group-by", "a constant is not a group", "");
                };
                let at = text.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                match at.and_then(|at| items.get(at)) {
                    Some(item) => Some(item),
                    None => {
                        let message = format!("there is no column {text} in the SELECT");
                        return self.here("group-by", message, format!("columns are 1 to {}", items.len()));
                    }
                }
            }
            Ast::Identifier(name) if !self.names_column(&name.value) => {
                let item = items.iter().find(|item| item.name == name.value);
                if item.is_none() {
                    let names = items.iter().map(|item| item.name.as_str());
                    let help = names::help(&name.value, "the SELECT has", names);
                    return self.here("unknown-name", format!("there is no column `{}`", name.value), help);
                }
                item
            }
            _ => None,
        };
        let Some(item) = item else {
            let mut expr = self.whole_as(ast, None)?;
            expr.column.nullable = facts.nullable(&expr);
            return Some(expr);
        };
        match &item.value {
            Output::Scalar(expr) => Some(expr.clone()),
            Output::Wrong => None,
            Output::Aggregate(..) => {
                let message = format!("`{}` is an aggregate; it cannot be a group", item.name);
                self.here("group-by", message, "group by the columns that are not aggregates")
            }
        }
    }

    fn names_column(&self, name: &str) -> bool {
        match &self.scope {
            Scope::View(rows) => {
                let element = rows.elements.as_ref().is_some_and(|elements| {
                    elements.element == name || elements.ordinality.as_deref() == Some(name)
                });
                element || rows.fields.find(name).is_some()
            }
            Scope::Clause(_) => false,
        }
    }

    fn rollup(
        &mut self,
        items: Vec<Item<'_>>,
        grouped: &[Expr],
        facts: &Facts,
    ) -> Option<(Vec<OutputColumn>, ViewKind)> {
        let before = self.problems.len();
        let mut outputs = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len());
        let (mut groups, mut aggregates) = (Vec::<Expr>::new(), Vec::new());
        for item in items {
            let column = match item.value {
                Output::Wrong => return None,
                Output::Aggregate(aggregate, column) => {
                    columns.push(RollupColumn::Aggregate(aggregates.len()));
                    aggregates.push(aggregate);
                    column
                }
                Output::Scalar(mut expr) => {
                    self.around = self.place(item.ast);
                    if !grouped.contains(&expr) {
                        let message = format!("`{}` is neither a group nor an aggregate", item.name);
                        self.here::<()>("not-grouped", message, "add it to GROUP BY, or aggregate it");
                    } else if !is_key_type(&expr.column.ty) {
                        let message = format!("values of {} cannot be groups", describe(&expr.column.ty));
                        self.here::<()>("group-type", message, "CAST it to string or decimal");
                    }
                    expr.column.nullable = facts.nullable(&expr);
                    let column = expr.column.clone();
                    let at = groups.iter().position(|group| *group == expr).unwrap_or(groups.len());
                    if at == groups.len() {
                        groups.push(expr);
                    }
                    columns.push(RollupColumn::Group(at));
                    column
                }
            };
            outputs.push(OutputColumn { column: Column { name: item.name, column }, span: item.place });
        }
        if self.problems.len() == before && grouped.iter().any(|group| !groups.contains(group)) {
            let place = self.source.keyword("GROUP").unwrap_or_else(|| self.source.whole());
            let message = "GROUP BY has an expression that the SELECT does not";
            let help = "every group is a column of the table: two groups must not share a row".to_owned();
            self.problem(place, "group-not-selected", message, Some(help));
        }
        (self.problems.len() == before).then_some((outputs, ViewKind::Rollup { columns, groups, aggregates }))
    }
}

fn index(items: Vec<Item<'_>>, facts: &Facts) -> (Vec<OutputColumn>, ViewKind) {
    let mut outputs = Vec::with_capacity(items.len());
    let mut columns = Vec::with_capacity(items.len());
    for item in items {
        if let Output::Scalar(mut expr) = item.value {
            expr.column.nullable = facts.nullable(&expr);
            let column = Column { name: item.name, column: expr.column.clone() };
            outputs.push(OutputColumn { column, span: item.place });
            columns.push(expr);
        }
    }
    (outputs, ViewKind::Index { columns })
}

/// The aggregate call that an item is.
fn call_of(mut ast: &Ast) -> Option<&Call> {
    while let Ast::Nested(inner) = ast {
        ast = inner;
    }
    let Ast::Function(call) = ast else { return None };
    let name = name_of(call)?;
    (aggregate(&name).is_some() && call.over.is_none()).then_some(call)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' });
    }
    snake
}
