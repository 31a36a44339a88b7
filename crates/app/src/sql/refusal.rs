//! What is refused, and why.

use sqlparser::ast::{BinaryOperator, Expr as Ast, Function as Call, FunctionArguments, InTarget};

use super::literal::Refusal;

fn refusal(rule: &'static str, message: &str, help: &str) -> Refusal {
    (rule, message.to_owned(), help.to_owned())
}

/// In which of the two places of SQL an expression stands: what is refused in both is refused for different reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A `let`, guard or `set` of a message.
    Clause,
    /// A view.
    View,
}

/// Why a query inside of an expression, or instead of one, is refused.
pub(super) fn of_query(place: Place) -> Refusal {
    match place {
        Place::View => refusal(
            "subquery",
            "a subquery cannot be maintained incrementally: one record would have to change rows of other records",
            "join when you read, or store what you need in a column",
        ),
        Place::Clause => refusal(
            "subquery",
            "a message sees its own entity and itself, no other row: a query would give another answer when other keys \
             are folded earlier or later",
            "keep what you need in a column of this entity, or let the publisher send it in the message",
        ),
    }
}

/// Why an expression of this kind is refused.
pub(super) fn of_expression(ast: &Ast, place: Place) -> Refusal {
    match ast {
        Ast::Subquery(_)
        | Ast::Exists { .. }
        | Ast::In { target: InTarget::Subquery(_) | InTarget::Table { .. }, .. } => of_query(place),
        Ast::AnyOp { right, is_some, .. } => {
            of_quantifier(if *is_some { "SOME" } else { "ANY" }, right, place)
        }
        Ast::AllOp { right, .. } => of_quantifier("ALL", right, place),
        Ast::In { .. } => of_array("IN over an array is not part of the language", place),
        Ast::Like { any: true, .. } | Ast::ILike { any: true, .. } => refusal(
            "unsupported-syntax",
            "LIKE ANY is not part of the language",
            "write x LIKE 'a%' OR x LIKE 'b%'",
        ),
        Ast::ILike { .. } => refusal(
            "unsupported-syntax",
            "ILIKE is not part of the language",
            "write lower(x) LIKE 'pattern'",
        ),
        Ast::SimilarTo { .. } | Ast::RLike { .. } => refusal(
            "unsupported-syntax",
            "regular expressions are not part of the language",
            "write LIKE, starts_with or CASE",
        ),
        Ast::AtTimeZone { .. } => refusal(
            "time-zone",
            "time zones are not part of the language: their rules change, so the same log would give other rows",
            "all times are UTC; convert when you show them",
        ),
        Ast::Collate { .. } => refusal(
            "unsupported-syntax",
            "collations are not part of the language: their rules change, so the same log would give other rows",
            "strings compare by their bytes",
        ),
        Ast::Wildcard(_) | Ast::QualifiedWildcard(..) => {
            refusal("select-star", "`*` is not a value", "name the columns")
        }
        other => of_conversion(other),
    }
}

/// `ANY`, `SOME` or `ALL` over a query, a list that is written out, or an array.
fn of_quantifier(word: &str, right: &Ast, place: Place) -> Refusal {
    let mut right = right;
    while let Ast::Nested(inner) = right {
        right = inner;
    }
    match right {
        Ast::Subquery(_) => of_query(place),
        Ast::Array(_) | Ast::Tuple(_) | Ast::Value(_) => refusal(
            "unsupported-syntax",
            &format!("{word} is not part of the language"),
            "write x IN ('a', 'b'), x NOT IN ('a', 'b'), or one comparison for each value",
        ),
        _ => of_array(&format!("{word} over an array is not part of the language"), place),
    }
}

/// What wants to look into an array.
fn of_array(message: &str, place: Place) -> Refusal {
    let help = match place {
        Place::View => {
            "read the array with UNNEST: FROM orders, UNNEST(items) AS item WHERE item.sku = 'tea'"
        }
        Place::Clause => {
            "keep what you ask for in a column of its own; in a view an array is read with UNNEST"
        }
    };
    refusal("unsupported-syntax", message, help)
}

fn of_conversion(ast: &Ast) -> Refusal {
    match ast {
        Ast::Interval(_) => refusal(
            "bad-interval",
            "an interval stands only beside a time",
            "write t + INTERVAL '15 minutes'",
        ),
        Ast::Cast { format: Some(_), .. } => {
            refusal("unsupported-syntax", "a CAST has no FORMAT", "times are RFC 3339")
        }
        Ast::Cast { .. } | Ast::Convert { .. } => refusal(
            "unsupported-syntax",
            "this conversion is not part of the language",
            "write CAST(x AS type); in a view a failed CAST is NULL",
        ),
        Ast::Trim { .. } => refusal(
            "unsupported-syntax",
            "trim takes off spaces on both sides, nothing else",
            "write trim(x)",
        ),
        Ast::Position { .. } | Ast::Overlay { .. } => refusal(
            "unknown-function",
            "there is no such function",
            "there are starts_with, substr, replace and LIKE",
        ),
        Ast::Array(_)
        | Ast::Map(_)
        | Ast::Struct { .. }
        | Ast::Dictionary(_)
        | Ast::Tuple(_)
        | Ast::Named { .. } => refusal(
            "unsupported-syntax",
            "arrays, maps and records are not made in SQL",
            "take the whole value from the message: x = msg.x",
        ),
        Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => refusal(
            "group-by",
            "GROUPING SETS, CUBE and ROLLUP are not part of the language",
            "make one view for each grouping",
        ),
        _ => {
            refusal("unsupported-syntax", "this is not part of the language", "see docs/app-language-sql.md")
        }
    }
}

/// What to write instead of an operator.
pub(super) fn of_operator(op: &BinaryOperator) -> &'static str {
    match op {
        BinaryOperator::Xor => "write a <> b",
        BinaryOperator::PGExp => "powers are not part of the language",
        BinaryOperator::Arrow | BinaryOperator::LongArrow => {
            "a record's field is x.field, a map's value map_value(x, 'key')"
        }
        BinaryOperator::PGRegexMatch
        | BinaryOperator::PGRegexIMatch
        | BinaryOperator::PGRegexNotMatch
        | BinaryOperator::PGRegexNotIMatch
        | BinaryOperator::Regexp => "write LIKE, starts_with or CASE",
        BinaryOperator::Spaceship => "write IS NOT DISTINCT FROM",
        BinaryOperator::PGStartsWith => "write starts_with(s, prefix)",
        _ => "there are + - * / % || = <> < <= > >= AND OR NOT",
    }
}

/// Why a call is refused whatever its arguments are.
pub(super) fn of_call(name: &str, call: &Call, place: Place) -> Option<Refusal> {
    if call.over.is_some() || WINDOWS.contains(&name) {
        return Some(match place {
            Place::View => refusal(
                "window-function",
                "a window function cannot be maintained incrementally: one record would change the rows of all others",
                "make a view with GROUP BY, or an index in the order you need, and read its first rows",
            ),
            Place::Clause => (
                "window-function",
                format!("{name}(…) looks at many rows; a message sees only its own entity and itself"),
                "keep a running value in a column of the entity".to_owned(),
            ),
        });
    }
    if matches!(name, "any" | "some" | "all") {
        let word = name.to_ascii_uppercase();
        return Some(of_array(&format!("{word} over an array is not part of the language"), place));
    }
    if let Some((message, help)) = not_deterministic(name) {
        return Some(("not-deterministic", message, help.to_owned()));
    }
    if let Some((message, help)) = unsupported_aggregate(name) {
        return Some(match place {
            Place::View => ("unsupported-aggregate", message, help.to_owned()),
            Place::Clause => of_aggregate(name),
        });
    }
    let clauses = match &call.args {
        FunctionArguments::List(list) => !list.clauses.is_empty(),
        FunctionArguments::Subquery(_) => true,
        FunctionArguments::None => false,
    };
    let extras = clauses
        || !call.within_group.is_empty()
        || call.null_treatment.is_some()
        || !matches!(call.parameters, FunctionArguments::None);
    extras.then(|| {
        refusal("unsupported-syntax", "a call takes plain arguments", "only aggregates take FILTER (WHERE …)")
    })
}

/// Why a message has no aggregates.
pub(super) fn of_aggregate(name: &str) -> Refusal {
    (
        "aggregate-place",
        format!("{name}(…) is an aggregate; a message sees only its own entity"),
        "keep a running value in a column, or make a view with GROUP BY".to_owned(),
    )
}

/// What works over the rows around one.
const WINDOWS: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

fn not_deterministic(name: &str) -> Option<(String, &'static str)> {
    let help = match name {
        "now"
        | "current_timestamp"
        | "current_date"
        | "current_time"
        | "localtime"
        | "localtimestamp"
        | "clock_timestamp"
        | "statement_timestamp"
        | "transaction_timestamp"
        | "getdate"
        | "sysdate"
        | "today"
        | "unix_timestamp" => {
            "use event_time(), when it happened, or append_time(), when it was taken in; in a view over an entity, a \
             column that holds one of them"
        }
        "random" | "rand" | "uuid" | "gen_random_uuid" | "uuid_generate_v4" | "newid" | "uuidv7" => {
            "let the publisher send it as a field of the message"
        }
        "nextval" | "currval" | "lastval" => "let the publisher send it, or count in a column",
        "current_user" | "session_user" | "user" => {
            "use caller(), the authenticated principal of the message"
        }
        _ => return None,
    };
    Some((format!("{name} would give another value when the log is folded again"), help))
}

fn unsupported_aggregate(name: &str) -> Option<(String, &'static str)> {
    let help = match name {
        "array_agg" | "string_agg" | "group_concat" | "listagg" | "json_agg" | "jsonb_agg"
        | "json_object_agg" => {
            "its row would grow without bound; make an index view under the group's columns"
        }
        "corr" | "covar_pop" | "covar_samp" | "regr_slope" => {
            "keep the counts and sums that it is made of, and compute it when you read"
        }
        "median" | "percentile_cont" | "percentile_disc" | "mode" => {
            "it needs every value of the group; make an index view and read its middle"
        }
        "any_value" => "group by it, if it is the same in every row of the group",
        "first" | "last" | "max_by" | "min_by" | "arg_max" | "arg_min" => {
            "make an index in the order you need and read its first row"
        }
        _ => return None,
    };
    Some((format!("{name} cannot be maintained incrementally"), help))
}

/// The aggregate that another database calls so.
pub(super) fn aggregate_called(name: &str) -> Option<&'static str> {
    Some(match name {
        "average" | "mean" => "avg",
        "total" => "sum",
        "approx_distinct" | "approx_count_distinct_ds" | "uniq" => "approx_count_distinct",
        "minimum" => "min",
        "maximum" => "max",
        "every" => "bool_and",
        "variance" | "var" => "var_samp",
        _ => return None,
    })
}

/// What to write instead of a function that other databases have.
pub(super) fn instead_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "ifnull" | "nvl" | "isnull" => "write coalesce(x, otherwise)",
        "if" | "iif" | "decode" => "write CASE WHEN … THEN … ELSE … END",
        "concat" | "concat_ws" => "strings are joined with ||",
        "len" | "char_length" | "character_length" => "write length(s)",
        "octet_length" => "length(s) counts characters of a string and bytes of bytes",
        "date" | "datetime" => "write to_date(t)",
        "to_char" | "to_timestamp" | "strftime" | "date_format" => {
            "write CAST(x AS type); times are RFC 3339"
        }
        "array_length" | "array_size" | "size" => "write cardinality(a)",
        "position" | "strpos" | "instr" | "left" | "right" => {
            "there are starts_with, substr, replace and LIKE"
        }
        "ltrim" | "rtrim" | "btrim" => "write trim(s)",
        "sqrt" | "power" | "pow" | "exp" | "ln" | "log" => {
            "its last digits differ between machines, so it is not part of the language"
        }
        "date_add" | "dateadd" => "write t + INTERVAL '15 minutes'",
        "datediff" | "date_diff" | "age" => "write extract(epoch FROM a) - extract(epoch FROM b)",
        "unnest" | "explode" | "flatten" => {
            "UNNEST stands in FROM of a view: FROM orders, UNNEST(items) AS item"
        }
        "contains" | "array_contains" | "list_contains" | "has" | "array_position" | "element_at" => {
            "keep what you ask for in a column of its own; in a view an array is read with UNNEST"
        }
        _ => return None,
    })
}
