//! Every refusal of the SQL checker, with its rule and place.

use super::*;

/// Each expression of a clause, and the rules and places of its problems.
const EXPRESSIONS: &[(&str, &str)] = &[
    // syntax
    ("state.count +", "sql-syntax: +"),
    ("state.count = = 1", "sql-syntax: ="),
    ("", "sql-syntax: "),
    ("'open", "sql-syntax: '"),
    ("state.count) = 1", "sql-syntax: )"),
    ("1 2", "sql-syntax: 2"),
    // names
    ("state.total_cent > 1", "unknown-name: total_cent"),
    ("msg.totl_cents > 1", "unknown-name: totl_cents"),
    ("total_cents > 1", "unknown-name: total_cents"),
    ("state.status = \"placed\"", "unknown-name: \"placed\""),
    ("state = 1", "unknown-name: state"),
    ("state.main.skuu = 'x'", "unknown-name: skuu"),
    ("state.status.x = 'x'", "unknown-name: x"),
    ("state.labels.color = 'x'", "unknown-name: color"),
    ("state.mixed IS NULL", "union-value: state.mixed"),
    ("state.nope = 1 AND msg.nope = 2", "unknown-name: nope\nunknown-name: nope"),
    // types
    ("state.count = 'one'", "type-mismatch: 'one'"),
    ("state.status = 5", "type-mismatch: 5"),
    ("state.status AND state.open", "type-mismatch: state.status"),
    ("NOT state.count", "type-mismatch: state.count"),
    ("state.items = state.items", "type-mismatch: state.items = state.items"),
    ("state.due = state.placed_at", "type-mismatch: state.placed_at"),
    ("state.placed_at = state.at_local", "type-mismatch: state.at_local"),
    ("state.kind = 'PAYED'", "unknown-symbol: 'PAYED'"),
    ("state.kind IN ('PAID', 'NOPE')", "unknown-symbol: 'NOPE'"),
    ("'a' + 'b'", "type-mismatch: 'a' + 'b'"),
    ("state.placed_at - state.paid_at", "type-mismatch: state.placed_at - state.paid_at"),
    ("state.placed_at + 5", "type-mismatch: state.placed_at + 5"),
    ("state.open * 2", "type-mismatch: state.open"),
    ("-state.status", "type-mismatch: state.status"),
    ("state.count || 'x'", "type-mismatch: state.count"),
    ("CASE WHEN state.open THEN 1 ELSE 'x' END", "type-mismatch: 'x'"),
    ("CASE WHEN state.count THEN 1 END", "type-mismatch: state.count"),
    ("CASE state.count WHEN 'a' THEN 1 END", "type-mismatch: 'a'"),
    ("coalesce(state.status, 1)", "type-mismatch: 1"),
    ("NULL", "untyped-null: NULL"),
    ("coalesce(NULL, NULL)", "untyped-null: coalesce(NULL, NULL)"),
    (
        "state.price * 0.0000000000000000000000000000000000001",
        "decimal-scale: state.price * 0.0000000000000000000000000000000000001",
    ),
    ("99999999999999999999999999999999999999999", "literal-range: 99999999999999999999999999999999999999999"),
    ("1e999", "literal-range: 1e999"),
    // NULL
    ("state.nick = NULL", "compare-null: state.nick = NULL"),
    ("state.nick <> NULL", "compare-null: state.nick <> NULL"),
    ("state.nick IN ('a', NULL)", "compare-null: state.nick IN ('a', NULL"),
    // functions
    ("now()", "not-deterministic: now()"),
    ("current_timestamp", "not-deterministic: current_timestamp"),
    ("random()", "not-deterministic: random()"),
    ("gen_random_uuid()", "not-deterministic: gen_random_uuid()"),
    ("lowr('A')", "unknown-function: lowr('A')"),
    ("concat('a', 'b')", "unknown-function: concat('a', 'b')"),
    ("pg_catalog.lower('a')", "unknown-function: pg_catalog.lower('a')"),
    ("lower('a', 'b')", "argument-count: lower('a', 'b')"),
    ("lower(state.count)", "type-mismatch: state.count"),
    ("lower(*)", "argument-count: lower(*)"),
    ("abs(state.status)", "argument-type: state.status"),
    ("round(state.price, state.count)", "argument-type: state.count"),
    ("date_trunc('fortnight', state.placed_at)", "unknown-unit: 'fortnight'"),
    ("date_trunc('hour', state.due)", "argument-type: state.due"),
    ("date_trunc(state.status, state.due)", "argument-type: state.status"),
    ("date_trunc('day', state.count)", "argument-type: state.count"),
    ("extract(parsec FROM state.placed_at)", "unknown-unit: extract(parsec FROM state.placed_at)"),
    ("extract(hour FROM state.due)", "argument-type: state.due"),
    ("extract(year FROM state.status)", "argument-type: state.status"),
    ("to_date(state.status)", "argument-type: state.status"),
    ("cardinality(state.status)", "argument-type: state.status"),
    ("map_value(state.items, 'x')", "argument-type: state.items"),
    ("least(state.items, state.items)", "type-mismatch: least(state.items, state.items)"),
    ("sum(state.count)", "aggregate-place: sum(state.count)"),
    ("count(*) > 1", "aggregate-place: count(*)"),
    ("array_agg(state.count)", "aggregate-place: array_agg(state.count)"),
    ("row_number() OVER (ORDER BY state.count)", "window-function: row_number()"),
    ("lower('a') FILTER (WHERE TRUE)", "unsupported-syntax: lower('a')"),
    // CAST
    ("CAST(state.status AS strng)", "unknown-type: CAST(state.status AS strng)"),
    ("CAST(state.count AS decimal)", "unknown-type: CAST(state.count AS decimal)"),
    ("CAST(state.count AS decimal(40,2))", "unknown-type: CAST(state.count AS decimal(40,2))"),
    ("CAST(state.count AS smallint)", "unknown-type: CAST(state.count AS smallint)"),
    ("CAST(state.count AS timestamp(3))", "bad-cast: CAST(state.count AS timestamp(3))"),
    ("CAST(state.placed_at AS timestamp(4))", "unknown-type: CAST(state.placed_at AS timestamp(4))"),
    ("CAST(state.items AS string)", "bad-cast: CAST(state.items AS string)"),
    ("CAST(state.placed_at AS long)", "bad-cast: CAST(state.placed_at AS long)"),
    ("TRY_CAST(state.status AS int)", "unsupported-syntax: TRY_CAST(state.status AS int)"),
    // intervals
    ("state.placed_at + INTERVAL '1 month'", "bad-interval: state.placed_at + INTERVAL '1 month'"),
    ("state.placed_at + INTERVAL '5 parsecs'", "bad-interval: state.placed_at + INTERVAL '5 parsecs'"),
    ("INTERVAL '5 minutes'", "bad-interval: INTERVAL '5 minutes'"),
    ("state.count + INTERVAL '5 minutes'", "type-mismatch: state.count"),
    ("state.due + INTERVAL '5 minutes'", "bad-interval: state.due + INTERVAL '5 minutes'"),
    // LIKE
    ("state.status LIKE msg.status", "like-pattern: state.status LIKE msg.status"),
    ("state.status LIKE 'a!b' ESCAPE '!'", "like-pattern: state.status LIKE 'a!b'"),
    ("state.count LIKE 'a'", "type-mismatch: state.count"),
    ("state.status ILIKE 'a%'", "unsupported-syntax: state.status ILIKE 'a%'"),
    // the rest of SQL
    ("EXISTS (SELECT 1)", "subquery: SELECT 1"),
    ("(SELECT 1) = 1", "subquery: SELECT 1"),
    ("state.count IN (SELECT 1)", "subquery: state.count IN (SELECT 1"),
    ("state.count = ANY (state.tags)", "unsupported-syntax: state.count = ANY (state.tags"),
    ("state.tags[1] = 'a'", "unsupported-syntax: state.tags[1"),
    (
        "state.placed_at AT TIME ZONE 'Europe/Berlin'",
        "time-zone: state.placed_at AT TIME ZONE 'Europe/Berlin'",
    ),
    ("state.status COLLATE \"de\" = 'a'", "unsupported-syntax: state.status COLLATE \"de\""),
    ("state.status ~ 'a+'", "unsupported-syntax: state.status ~ 'a+'"),
    ("state.count & 1", "unsupported-syntax: state.count & 1"),
    ("state.count ^ 2", "unsupported-syntax: state.count ^ 2"),
    ("ARRAY[1, 2]", "unsupported-syntax: 1, 2"),
    ("state.count = $1", "unsupported-syntax: $1"),
    ("trim(LEADING 'x' FROM state.status)", "unsupported-syntax: trim(LEADING 'x' FROM state.status)"),
    ("x'00'", "unsupported-syntax: x'00'"),
];

/// Each view over the entity `orders`, and the rules and places of its problems.
const VIEWS: &[(&str, &str)] = &[
    ("SELECT * FROM orders", "select-star: *"),
    ("SELECT orders.* FROM orders", "select-star: orders.*"),
    ("SELECT DISTINCT status FROM orders", "distinct: DISTINCT"),
    ("SELECT order_id FROM orders ORDER BY order_id", "order-by: ORDER"),
    ("SELECT order_id FROM orders LIMIT 5", "limit: LIMIT"),
    ("SELECT order_id FROM orders OFFSET 5", "limit: OFFSET"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY 1 HAVING count(*) > 1", "having: HAVING"),
    ("SELECT order_id FROM orders JOIN customers ON TRUE", "join: customers"),
    ("SELECT order_id FROM orders LEFT JOIN UNNEST(items) AS item ON TRUE", "join: items) AS item"),
    ("SELECT order_id FROM orders, customers", "join: customers"),
    (
        "SELECT order_id FROM (SELECT order_id FROM orders) AS o",
        "subquery: SELECT order_id FROM orders) AS o",
    ),
    (
        "SELECT order_id FROM orders WHERE order_id IN (SELECT order_id FROM orders)",
        "subquery: order_id IN (SELECT order_id FROM orders",
    ),
    ("WITH o AS (SELECT 1) SELECT order_id FROM orders", "subquery: WITH"),
    ("SELECT order_id FROM orders UNION SELECT order_id FROM orders", "set-operation: UNION"),
    ("VALUES (1)", "view-select: VALUES (1)"),
    (
        "SELECT row_number() OVER (ORDER BY order_id) AS n, order_id FROM orders",
        "window-function: row_number()",
    ),
    ("SELECT status, max(total_cents) AS m FROM orders GROUP BY 1", "aggregate-retracts: max(total_cents)"),
    ("SELECT status, min(total_cents) AS m FROM orders GROUP BY 1", "aggregate-retracts: min(total_cents)"),
    (
        "SELECT status, approx_count_distinct(customer_id) AS m FROM orders GROUP BY 1",
        "aggregate-retracts: approx_count_distinct(customer_id)",
    ),
    ("SELECT status, sum(weight) AS w FROM orders GROUP BY 1", "aggregate-inexact: sum(weight)"),
    ("SELECT status, avg(ratio) AS w FROM orders GROUP BY 1", "aggregate-inexact: avg(ratio)"),
    ("SELECT status, sum(status) AS w FROM orders GROUP BY 1", "argument-type: sum(status)"),
    (
        "SELECT status, count(DISTINCT customer_id) AS n FROM orders GROUP BY 1",
        "distinct: count(DISTINCT customer_id)",
    ),
    (
        "SELECT status, array_agg(order_id) AS n FROM orders GROUP BY 1",
        "unsupported-aggregate: array_agg(order_id)",
    ),
    (
        "SELECT status, sum(total_cents) / count(*) AS n FROM orders GROUP BY 1",
        "aggregate-place: sum(total_cents)\naggregate-place: count(*)",
    ),
    ("SELECT status, count(*) AS n FROM orders WHERE count(*) > 1 GROUP BY 1", "aggregate-place: count(*)"),
    ("SELECT status, sum(count(*)) AS n FROM orders GROUP BY 1", "aggregate-place: count(*)"),
    ("SELECT count(*) AS n FROM orders", "group-by: SELECT count(*) AS n FROM orders"),
    ("SELECT status, customer_id, count(*) AS n FROM orders GROUP BY status", "not-grouped: customer_id"),
    ("SELECT count(*) AS n FROM orders GROUP BY status", "group-not-selected: GROUP"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY 3", "group-by: 3"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY 2", "group-by: 2"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY ALL", "group-by: GROUP"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY ROLLUP (status)", "group-by: status"),
    ("SELECT status, count(*) AS n FROM orders GROUP BY stat", "unknown-name: stat"),
    ("SELECT items, count(*) AS n FROM orders GROUP BY 1", "group-type: items"),
    ("SELECT weight, count(*) AS n FROM orders GROUP BY 1", "group-type: weight"),
    ("SELECT lower(status), order_id FROM orders", "unnamed-column: lower(status)"),
    ("SELECT status AS Status, order_id FROM orders", "column-name: Status"),
    ("SELECT status, kind AS status FROM orders", "duplicate-column: kind AS status"),
    ("SELECT statu, order_id FROM orders", "unknown-name: statu"),
    ("SELECT sku, order_id FROM orders, UNNEST(items) AS item", "unknown-name: sku"),
    ("SELECT state.status AS status FROM orders", "unknown-name: state"),
    ("SELECT order_id FROM order", "view-from: order"),
    ("SELECT order_id FROM PlaceOrder", "view-from: PlaceOrder"),
    ("SELECT order_id FROM shop.orders", "view-from: shop.orders"),
    ("SELECT 1 AS one", "view-from: SELECT 1 AS one"),
    ("SELECT order_id FROM UNNEST(items) AS item", "view-from: FROM"),
    ("SELECT order_id FROM orders, UNNEST(status) AS item", "argument-type: status"),
    ("SELECT order_id FROM orders, UNNEST(items)", "view-from: items"),
    ("SELECT order_id FROM orders, UNNEST(items) AS item, UNNEST(tags) AS tag", "view-from: tags) AS tag"),
    ("SELECT order_id FROM orders, UNNEST(items) AS status", "ambiguous-name: status"),
    ("SELECT order_id FROM orders, UNNEST(items) AS t(a, b)", "view-from: t"),
    ("SELECT event_time() AS at, order_id FROM orders", "no-message-here: event_time()"),
    ("SELECT order_id FROM orders WHERE count", "type-mismatch: count"),
    ("SELECT order_id FROM orders WHERE placed_at > now()", "not-deterministic: now()"),
    ("SELECT NULL AS x, order_id FROM orders", "untyped-null: NULL"),
    ("SELECT order_id FROM orders; SELECT 1", "sql-syntax: SELECT"),
    ("SELECT order_id, FROM orders", "sql-syntax: orders"),
    ("DELETE FROM orders", "view-select: DELETE FROM orders"),
    ("SELECT order_id FROM orders FOR UPDATE", "unsupported-syntax: FOR"),
];

fn compare(table: &[(&str, &str)], found: impl Fn(&str) -> String) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, expected)| (text, expected, found(text)))
        .filter(|(_, expected, found)| found != *expected)
        .map(|(text, expected, found)| format!("{text}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_wrong_expression_has_its_rule_and_place() {
    compare(EXPRESSIONS, |text| problems(text, check(text)));
}

#[test]
fn every_wrong_view_has_its_rule_and_place() {
    compare(VIEWS, |text| problems(text, over_orders(text)));
}

#[test]
fn every_rule_is_in_the_docs() {
    let page = include_str!("../../../../../docs/app-language-sql.md");
    let rules = EXPRESSIONS.iter().chain(VIEWS).flat_map(|(_, expected)| expected.lines());
    for rule in rules.filter_map(|line| line.split_once(':').map(|(rule, _)| rule)) {
        assert!(page.contains(&format!("`{rule}`")), "{rule} is not in docs/app-language-sql.md");
    }
}

#[test]
fn all_problems_of_a_text_are_reported_in_order() {
    let text = "SELECT statu, max(count) AS m, sum(weight) AS w FROM orders WHERE now() > paid_at GROUP BY 1 LIMIT 3";
    assert_eq!(
        problems(text, over_orders(text)),
        "unknown-name: statu\naggregate-retracts: max(count)\naggregate-inexact: sum(weight)\nnot-deterministic: \
         now()\nlimit: LIMIT"
    );
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let help = |text: &str| check(text).expect_err("a problem")[0].help.clone().expect("help");
    assert!(help("state.total_cent > 1").starts_with("did you mean `total_cents`?"));
    assert_eq!(help("total_cents > 1"), "did you mean `state.total_cents` or `msg.total_cents`?");
    assert_eq!(help("totl > 1"), "did you mean `total`?");
    assert_eq!(help("state.kind = 'PAYD'"), "did you mean 'PAID'?");
    assert_eq!(help("state.status = \"placed\""), "a string is written in single quotes: 'placed'");
    assert_eq!(help("lowr('a')"), "did you mean `lower`?");
    assert_eq!(help("state.count = '1'"), "write CAST(… AS int)");
    let text = "SELECT sku, order_id FROM orders, UNNEST(items) AS item";
    assert_eq!(
        over_orders(text).expect_err("a problem")[0].help.as_deref(),
        Some("did you mean `item.sku`?")
    );
}

#[test]
fn assignments_report_each_wrong_part() {
    let (columns, message) = (columns(), message());
    let names =
        Names { state: Some(&columns), message: Some(&message), lets: &[], context: true, enums: &[] };
    let set = |text: &str| assignments(text, &names, &columns);
    for (text, expected) in [
        ("status = 'x', statu = 'y'", "unknown-name: statu"),
        ("status = 'x', status = 'y'", "set-twice: status"),
        ("status = 5", "type-mismatch: 5"),
        ("count = state.total_cents", "type-mismatch: state.total_cents"),
        ("count = 5000000000", "literal-range: 5000000000"),
        ("price = 1.005", "literal-range: 1.005"),
        ("ratio = state.weight", "type-mismatch: state.weight"),
        ("kind = 'x'", "unknown-symbol: 'x'"),
        ("kind = state.status", "type-mismatch: state.status"),
        ("placed_at = state.seen_at", "type-mismatch: state.seen_at"),
        ("items = state.tags", "type-mismatch: state.tags"),
        ("price = state.price * 2", "type-mismatch: state.price * 2"),
        ("status 'x'", "sql-syntax: 'x'"),
        ("status = 'x' kind = 'y'", "sql-syntax: kind"),
        ("status = 'x',", "sql-syntax: ,"),
        ("", "sql-syntax: "),
    ] {
        assert_eq!(problems(text, set(text)), expected, "{text}");
    }
}

#[test]
fn long_and_deep_texts_are_refused_before_they_can_hurt() {
    let long = format!("state.count IN ({})", vec!["1"; 40_000].join(","));
    let parentheses = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    for (text, rule) in [
        (long.as_str(), "sql-too-long"),
        (&vec!["1"; 3_000].join(" + "), "sql-too-long"),
        (&vec!["1"; 2_000].join(" + "), "sql-too-deep"),
        (&vec!["'a'"; 2_000].join(" || "), "sql-too-deep"),
        (&parentheses[..4_000], "sql-too-deep"),
        (&parentheses, "sql-too-long"),
        (&format!("{}TRUE", "NOT ".repeat(3_000)), "sql-too-deep"),
        (&format!("{}1", "- ".repeat(3_000)), "sql-too-deep"),
        (&format!("state.count{}", " IS NULL".repeat(2_000)), "sql-too-deep"),
        (&format!("state.count{}", " NOTNULL".repeat(4_000)), "sql-too-deep"),
        (&format!("state.count{}", "::long".repeat(2_000)), "sql-too-deep"),
        (&format!("{}1{}", "lower(".repeat(1_000), ")".repeat(1_000)), "sql-too-deep"),
        (&"CASE WHEN TRUE THEN ".repeat(1_000), "sql-too-deep"),
        (&format!("'{}'", "x".repeat(70_000)), "sql-too-long"),
    ] {
        let found = check(text).expect_err("refused");
        assert_eq!(found[0].rule, rule, "{} {:?}", &text[..40], found[0]);
        assert_eq!(found.len(), 1, "{}", &text[..40]);
    }
    let nested = format!("{}SELECT 1{}", "(SELECT ".repeat(900), ")".repeat(900));
    assert!(over_orders(&nested).is_err());
}

#[test]
fn long_chains_of_and_and_or_are_fine() {
    let text = vec!["state.count = 1"; 500].join(" OR ");
    assert!(matches!(check(&text).expect("a condition").node, Node::Or(list) if list.len() == 500));
}
