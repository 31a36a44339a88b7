//! A view's SELECT: which clauses it has, and what it comes to.

use std::ops::Range;

use sqlparser::ast::{GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned};
use tidefold_codec::Type;

use super::check::Checker;
use super::nullity::Facts;
use super::scope::{Fields, Rows, Scope};
use super::source::Source;
use super::{SqlProblem, ViewScope, ViewSql};
use crate::expr::ViewSource;

/// The most columns of a view.
pub(super) const MAX_COLUMNS: usize = 256;

/// Checks a query; without problems there is a view.
pub(super) fn check<'a>(
    source: &'a Source<'a>,
    query: &Query,
    scope: &ViewScope<'a>,
) -> (Option<ViewSql>, Vec<SqlProblem>) {
    let unknown = Rows { table: Vec::new(), fields: Fields::Unknown, elements: None };
    let mut checker = Checker::new(source, Scope::View(unknown), scope.entity.is_none(), scope.enums);
    checker.query_clauses(query);
    let made = match &*query.body {
        SetExpr::Select(select) => checker.select(select, scope),
        SetExpr::SetOperation { .. } => {
            let help = "make one view for each SELECT".to_owned();
            let message = "UNION, INTERSECT and EXCEPT cannot be maintained incrementally here";
            let place = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find_map(|word| source.keyword(word));
            checker.problem(place.unwrap_or_else(|| source.whole()), "set-operation", message, Some(help));
            None
        }
        _ => {
            let help = "write SELECT columns FROM table [WHERE …] [GROUP BY …]".to_owned();
            checker.problem(source.whole(), "view-select", "a view is one SELECT", Some(help));
            None
        }
    };
    (made, checker.problems)
}

/// Says of an aggregate in WHERE what is wrong with that.
fn aggregate_in_where(problem: &mut SqlProblem) {
    if problem.rule == "aggregate-place" {
        problem.message = "WHERE chooses rows before they are grouped: it has no aggregates".to_owned();
        problem.help = Some("filter the groups when you read".to_owned());
    }
}

// === impl Checker ===

impl<'a> Checker<'a> {
    fn clause(&mut self, there: bool, word: &str, rule: &'static str, message: &str, help: &str) {
        if there {
            let place = self.source.keyword(word).unwrap_or_else(|| self.source.whole());
            self.problem(place, rule, message, Some(help.to_owned()));
        }
    }

    fn query_clauses(&mut self, query: &Query) {
        let sorted = "rows are kept in the order of the key: say it with `clustering = [\"placed_at DESC\"]`";
        self.clause(
            query.order_by.is_some(),
            "ORDER",
            "order-by",
            "a view has no ORDER BY: it is a table, not a list",
            sorted,
        );
        let limited = query.limit_clause.is_some() || query.fetch.is_some();
        let word = ["LIMIT", "OFFSET", "FETCH"].into_iter().find(|word| self.source.keyword(word).is_some());
        self.clause(
            limited,
            word.unwrap_or("LIMIT"),
            "limit",
            "a view has no LIMIT: a row that leaves it would have to bring back another, which is not there to read",
            "ask for a limit when you read",
        );
        self.clause(
            query.with.is_some(),
            "WITH",
            "subquery",
            "a view has no WITH: it reads a table, not a query",
            "write the expressions out",
        );
        let others = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        self.clause(
            others,
            "FOR",
            "unsupported-syntax",
            "this clause is not part of the language",
            "leave it out",
        );
    }

    fn select_clauses(&mut self, select: &Select) {
        self.clause(
            select.distinct.is_some(),
            "DISTINCT",
            "distinct",
            "a view has no DISTINCT: a row that leaves would not know whether another still stands for it",
            "GROUP BY the columns; the hidden count of a group does exactly that",
        );
        self.clause(
            select.having.is_some(),
            "HAVING",
            "having",
            "a view has no HAVING: groups would come and go with every record",
            "filter when you read",
        );
        let windows = !select.named_window.is_empty() || select.qualify.is_some();
        let word = if select.qualify.is_some() { "QUALIFY" } else { "WINDOW" };
        self.clause(
            windows,
            word,
            "window-function",
            "a window function cannot be maintained incrementally: one record would change the rows of all others",
            "make a view with GROUP BY, or an index in the order you need",
        );
        let others = select.top.is_some()
            || select.into.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || select.value_table_mode.is_some()
            || select.select_modifiers.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty();
        self.clause(
            others,
            "SELECT",
            "unsupported-syntax",
            "this SELECT has a clause that is not part of the language",
            "a view is SELECT columns FROM table [WHERE …] [GROUP BY …]",
        );
    }

    fn select(&mut self, select: &Select, scope: &ViewScope<'a>) -> Option<ViewSql> {
        self.select_clauses(select);
        let from = self.from(select, scope);
        self.around = self.source.whole();
        let filter = match &select.selection {
            None => None,
            Some(ast) => {
                self.around = self.place(ast);
                let before = self.problems.len();
                let filter = self.whole_as(ast, Some(&Type::Boolean));
                self.problems.iter_mut().skip(before).for_each(aggregate_in_where);
                filter
            }
        };
        self.around = self.source.whole();
        let facts = Facts::of(filter.as_ref());
        let groups = self.group_by(select)?;
        let outputs = self.outputs(select, groups, &facts);
        let (from, (columns, kind)) = (from?, outputs?);
        let source = ViewSource { event: from.event, unnest: from.unnest, filter };
        Some(ViewSql { source, columns, kind })
    }

    /// The GROUP BY list; `Some(None)` where there is none.
    #[expect(clippy::option_option, reason = "outside: a mistake was reported; inside: there is no GROUP BY")]
    fn group_by<'s>(&mut self, select: &'s Select) -> Option<Option<&'s [sqlparser::ast::Expr]>> {
        let place = self.source.keyword("GROUP").unwrap_or_else(|| self.source.whole());
        match &select.group_by {
            GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
                Some((!list.is_empty()).then_some(list.as_slice()))
            }
            GroupByExpr::Expressions(..) => {
                let help = "make one view for each grouping".to_owned();
                let message = "GROUPING SETS, CUBE and ROLLUP are not part of the language";
                self.problem(place, "group-by", message, Some(help));
                None
            }
            GroupByExpr::All(_) => {
                let help = "name them: GROUP BY 1, 2".to_owned();
                self.problem(
                    place,
                    "group-by",
                    "GROUP BY ALL does not say which columns are groups",
                    Some(help),
                );
                None
            }
        }
    }

    /// Where an item of the SELECT stands.
    pub(super) fn item_place(&self, item: &SelectItem) -> Range<usize> {
        let range = match item {
            SelectItem::UnnamedExpr(ast) => self.place(ast),
            _ => self.source.range(item.span()),
        };
        if range.is_empty() { self.source.whole() } else { range }
    }
}
