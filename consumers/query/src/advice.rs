//! What to say of parameters that other APIs have, and of values that are most likely meant otherwise: where a request
//! would find nothing without a word, it is answered with what to write instead.

use tidefold_codec::Type;
use tidefold_codec::nearest::nearest;
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_table::{TableKind, TableLayout};

use crate::allowed::allowed;

/// Why a parameter is none of a table's, and what to write instead.
pub(crate) fn unknown(layout: &TableLayout, parameter: &str) -> String {
    let table = &layout.name;
    let name = |at: usize| layout.columns.get(at).map_or("", |column| column.name.as_str());
    if let Some((column, operator)) = compared_otherwise(parameter) {
        let known = layout.columns.iter().any(|known| known.name == column);
        if known && ["gt", "gte", "lt", "lte", "eq"].contains(&operator) {
            return format!("write {column}.{operator}=…");
        }
        if known {
            return format!("{table} has no parameter {parameter}; comparisons are written {column}.gte=…");
        }
    }
    let lower = parameter.to_ascii_lowercase();
    let hint = match lower.as_str() {
        "page" | "offset" | "skip" | "after" | "before" | "start" | "page_token" | "next" | "next_cursor" => {
            if layout.kind == TableKind::Entity {
                "an entity is asked by its whole key, so there are no pages".to_owned()
            } else {
                "pages go on with cursor=…, the next_cursor of the page before".to_owned()
            }
        }
        "per_page" | "page_size" | "pagesize" | "size" | "count" | "top" | "max" | "first"
        | "max_results" => "the rows of a page are limited with limit=…".to_owned(),
        "sort" | "order" | "order_by" | "orderby" | "sort_by" | "sortby" | "direction" => {
            let by: Vec<_> = layout
                .clustering
                .iter()
                .map(|c| format!("{}{}", name(c.column), if c.descending { " DESC" } else { "" }))
                .collect();
            match by.is_empty() {
                true => "rows have no order to choose".to_owned(),
                false => format!(
                    "rows come in the order of the key: {}; declare an index for another",
                    by.join(", ")
                ),
            }
        }
        "fields" | "select" | "columns" | "include" | "expand" => {
            "a row comes with all its columns".to_owned()
        }
        "q" | "query" | "search" | "filter" | "where" => {
            "columns of the key are asked by their names".to_owned()
        }
        "wait" => "how long to wait is a header: Prefer: wait=5".to_owned(),
        "min_position" | "position" => "a position to wait for is a header: Tidefold-Min-Position".to_owned(),
        _ => {
            let same = layout.columns.iter().map(|column| column.name.as_str());
            let near = same.clone().find(|known| known.eq_ignore_ascii_case(parameter));
            let near = near.or_else(|| nearest(parameter, same.chain(["limit", "cursor"])));
            return match near {
                Some(near) => format!("{table} has no column {parameter}; did you mean {near}?"),
                None => format!("{table} has no column {parameter}"),
            };
        }
    };
    format!("{table} has no column {parameter}; {hint}")
}

/// `placed_at[gte]`, `placed_at__gte`, `placed_at>`: column and comparison as other APIs write them.
fn compared_otherwise(parameter: &str) -> Option<(&str, &str)> {
    if let Some((column, operator)) = parameter.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        return Some((column, operator));
    }
    if let Some((column, operator)) = parameter.split_once("__") {
        return Some((column, operator));
    }
    let column = parameter.trim_end_matches(['>', '<', '!', '~', ':']);
    let operator = match parameter.get(column.len()..)? {
        "" => return None,
        // The parameter ends at its first `=`.
        ">" => "gte",
        "<" => "lte",
        other => other,
    };
    Some((column, operator))
}

/// Why nothing was found, where a value looks like several: `o-1,o-9`. It may be one value all the same, so this is asked
/// only once no row is there; `.eq` says that it is one.
pub(crate) fn several(layout: &TableLayout, app: &str, pairs: &[(String, String)]) -> Option<Problem> {
    let is_text = |name: &str| {
        let column = layout.columns.iter().find(|column| column.name == name);
        column.is_some_and(|column| matches!(column.column.ty, Type::String | Type::Enum(_)))
    };
    let (name, value) = pairs.iter().find(|(name, value)| is_text(name) && is_list(value))?;
    let first = value.split(',').next().unwrap_or_default();
    let whole_key = layout.key_columns().count() == 1;
    let instead = match whole_key {
        true => format!("/v1/{app}/{}/{first}", layout.name),
        false => format!("{name}={first}"),
    };
    let detail = format!(
        "there is nothing under {name}={value}, and a parameter has one value: ask for each by itself, such as {instead}; if \
         it is one value, write {name}.eq={value}"
    );
    let errors = vec![FieldError::in_parameter(name.as_str(), "several_values", detail)];
    Some(Problem::new(ProblemKind::InvalidQuery, allowed(layout)).with_errors(errors))
}

/// Values joined by commas without spaces, as lists are written; a name such as `Doe, Jane` is none.
fn is_list(value: &str) -> bool {
    value.contains(',')
        && value.split(',').all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_of_other_apis_are_taken_apart() {
        for (parameter, expected) in [
            ("placed_at[gte]", Some(("placed_at", "gte"))),
            ("placed_at__lt", Some(("placed_at", "lt"))),
            ("placed_at>", Some(("placed_at", "gte"))),
            ("placed_at!", Some(("placed_at", "!"))),
            ("placed_at", None),
        ] {
            assert_eq!(compared_otherwise(parameter), expected, "{parameter}");
        }
    }

    #[test]
    fn a_list_is_values_without_spaces_between_commas() {
        for list in ["o-1,o-9", "a,b,c"] {
            assert!(is_list(list), "{list}");
        }
        for value in ["o-1", "Doe, Jane", ",", "a,", "eq.c-1", ""] {
            assert!(!is_list(value), "{value}");
        }
    }
}
