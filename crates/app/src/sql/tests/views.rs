//! Views: what they are compiled to.

use super::*;

fn summary(made: &ViewSql) -> String {
    let columns = made.columns.iter().map(|output| {
        let column = &output.column;
        format!(
            "{} {}{}",
            column.name,
            types::describe(&column.column.ty),
            if column.column.nullable { "?" } else { "" }
        )
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn made(text: &str) -> ViewSql {
    over_orders(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

#[test]
fn an_index_lists_columns_in_the_order_of_the_select() {
    let view = made("SELECT customer_id, placed_at, order_id, status, total_cents FROM orders");
    assert_eq!(
        summary(&view),
        "customer_id string, placed_at timestamp-millis, order_id string, status string, total_cents long"
    );
    let ViewKind::Index { columns } = view.kind else { panic!("an index") };
    assert_eq!(columns.len(), 5);
    assert_eq!(columns[1].node, Node::State(12));
}

#[test]
fn a_rollup_has_groups_by_ordinal_and_proves_its_keys_from_the_where() {
    let view = made(
        "SELECT status, date_trunc('day', paid_at) AS day, date_trunc('minute', paid_at) AS minute,
                count(*) AS orders, sum(total_cents) AS revenue_cents
         FROM orders WHERE status IN ('paid', 'shipped') AND paid_at IS NOT NULL GROUP BY 1, 2, 3",
    );
    assert_eq!(
        summary(&view),
        "status string, day timestamp-millis, minute timestamp-millis, orders long, revenue_cents long?"
    );
    let ViewKind::Rollup { columns, groups, aggregates } = view.kind else { panic!("a rollup") };
    assert_eq!(groups.len(), 3);
    assert_eq!(aggregates.len(), 2);
    assert_eq!(columns[3], RollupColumn::Aggregate(0));
    assert_eq!(aggregates[0].function.name, "count");
}

#[test]
fn unnest_names_the_fields_of_its_element() {
    for from in [
        "orders, UNNEST(items) AS item",
        "orders CROSS JOIN UNNEST(items) AS item",
        "orders, UNNEST(orders.items) AS item",
        "orders AS o, UNNEST(o.items) AS t(item)",
        "orders JOIN UNNEST(items) AS item ON TRUE",
    ] {
        let text = format!(
            "SELECT item.sku AS sku, sum(item.qty) AS units FROM {from} WHERE status <> 'cancelled' GROUP BY 1"
        );
        let view = made(&text);
        assert_eq!(summary(&view), "sku string, units long?", "{from}");
        assert!(view.source.unnest.is_some());
    }
}

#[test]
fn ordinality_is_a_long_from_the_column_list_or_by_its_own_name() {
    for (from, place) in [
        ("UNNEST(items) WITH ORDINALITY AS t(item, n)", "n"),
        ("UNNEST(items) WITH ORDINALITY AS t(item, n)", "t.n"),
        ("UNNEST(items) WITH ORDINALITY AS item", "ordinality"),
        ("UNNEST(items) WITH ORDINALITY AS item", "item.ordinality"),
        ("UNNEST(items) WITH ORDINALITY AS item(value, ordinality)", "item.ordinality"),
    ] {
        let element = if from.contains("(value") { "item.value" } else { "item" };
        let text = format!("SELECT order_id, {place} AS line, {element}.sku AS sku FROM orders, {from}");
        let view = made(&text);
        assert_eq!(summary(&view), "order_id string, line long, sku string", "{from}");
        let ViewKind::Index { columns } = view.kind else { panic!("an index") };
        assert_eq!(columns[1].node, Node::Ordinality);
    }
}

#[test]
fn a_view_over_events_reads_one_message_and_its_context() {
    let text = "SELECT customer_id, date_trunc('day', event_time()) AS day, count(*) AS views, \
                min(total_cents) AS least, approx_count_distinct(order_id) AS visitors \
                FROM PageViewed WHERE event_time() IS NOT NULL GROUP BY customer_id, day";
    let view = over_events(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(view.source.event, Some(1));
    assert_eq!(
        summary(&view),
        "customer_id string, day timestamp-micros, views long, least long, visitors long"
    );
}

#[test]
fn a_group_is_named_by_ordinal_alias_or_expression() {
    for by in ["1", "day", "date_trunc('day', placed_at)", "date_trunc('day', orders.placed_at)"] {
        let view = made(&format!(
            "SELECT date_trunc('day', placed_at) AS day, count(*) AS n FROM orders GROUP BY {by}"
        ));
        assert_eq!(summary(&view), "day timestamp-millis, n long", "{by}");
    }
}

#[test]
fn an_input_column_wins_over_an_output_of_the_same_name_in_group_by() {
    let text = "SELECT lower(status) AS status, count(*) AS n FROM orders GROUP BY status";
    assert_eq!(problems(text, over_orders(text)), "not-grouped: lower(status)");
}

#[test]
fn what_the_where_proves_is_not_null() {
    for condition in [
        "nick IS NOT NULL",
        "NOT (nick IS NULL)",
        "nick = 'a'",
        "nick <> 'a' AND open",
        "nick LIKE 'a%'",
        "nick IN ('a', 'b')",
        "NOT (nick = 'a' OR NOT open)",
        "length(nick) > 2",
        "nick BETWEEN 'a' AND 'b'",
        "(nick = 'a') IS TRUE",
        "starts_with(nick, 'x')",
    ] {
        let view = made(&format!("SELECT nick, order_id FROM orders WHERE {condition}"));
        assert!(!view.columns[0].column.column.nullable, "{condition}");
    }
    for condition in [
        "open",
        "nick IS NULL",
        "nick = 'a' OR open",
        "coalesce(nick, 'x') = 'x'",
        "(nick = 'a') IS NOT TRUE",
    ] {
        let view = made(&format!("SELECT nick, order_id FROM orders WHERE {condition}"));
        assert!(view.columns[0].column.column.nullable, "{condition}");
    }
}

#[test]
fn what_may_fail_is_null_in_a_view_unless_the_where_proves_it() {
    for (expr, nullable) in [
        ("total_cents / 100", true),
        ("total_cents + 1", true),
        ("CAST(status AS long)", true),
        ("coalesce(total_cents / count, 0)", true),
        ("total_cents", false),
        ("lower(status)", false),
        ("date_trunc('week', placed_at)", false),
        ("to_date(placed_at)", false),
        ("CAST(placed_at AS timestamp(6))", false),
        ("CAST(total_cents AS string)", false),
        ("CASE WHEN open THEN 'a' ELSE 'b' END", false),
        ("CASE WHEN open THEN 'a' END", true),
        ("nullif(status, 'a')", true),
        ("main.sku", true),
        ("coalesce(nick, status)", false),
        ("length(status)", false),
    ] {
        let view = made(&format!("SELECT {expr} AS x, order_id FROM orders"));
        assert_eq!(view.columns[0].column.column.nullable, nullable, "{expr}");
        let view = made(&format!("SELECT {expr} AS x, order_id FROM orders WHERE ({expr}) IS NOT NULL"));
        assert!(!view.columns[0].column.column.nullable, "{expr} is proved");
    }
}

#[test]
fn a_cast_to_one_type_proves_nothing_of_a_cast_to_another() {
    for (proved, other) in [("int", "uuid"), ("int", "long"), ("decimal(4,2)", "decimal(4,1)")] {
        let text = format!(
            "SELECT CAST(status AS {other}) AS x, order_id FROM orders WHERE CAST(status AS {proved}) IS NOT NULL"
        );
        assert!(made(&text).columns[0].column.column.nullable, "{text}");
    }
}

#[test]
fn aggregates_have_their_types_and_take_filters() {
    let view = made(
        "SELECT status, count(nick) AS named, sum(count) AS a, sum(price) AS b, avg(total_cents) AS c,
                count(*) FILTER (WHERE open) AS d, avg(price) FILTER (WHERE price > 1) AS e
         FROM orders GROUP BY status",
    );
    assert_eq!(
        summary(&view),
        "status string, named long, a long?, b decimal(38,2)?, c double, d long, e double?"
    );
    let ViewKind::Rollup { aggregates, .. } = view.kind else { panic!("a rollup") };
    assert!(aggregates[4].filter.is_some());
    assert_eq!(aggregates[0].argument_type, Some(Type::String.nullable()));
}

#[test]
fn groups_without_aggregates_are_distinct_values() {
    let view = made("SELECT status, kind FROM orders GROUP BY 1, 2");
    let ViewKind::Rollup { groups, aggregates, .. } = view.kind else { panic!("a rollup") };
    assert_eq!((groups.len(), aggregates.len()), (2, 0));
}

#[test]
fn spans_of_outputs_are_those_of_the_text() {
    let text = "SELECT lower(status) AS é, -- ü\n upper('ö') AS b, order_id FROM orders";
    let list = over_orders(text).expect_err("é is not snake_case");
    assert_eq!(problems(text, Err::<(), _>(list)), "column-name: é");
    let text = "SELECT order_id, -- ü\n upper('ö') AS b, nik FROM orders";
    assert_eq!(problems(text, over_orders(text)), "unknown-name: nik");
}
