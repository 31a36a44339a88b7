//! The types of expressions.

use super::*;
use crate::values::compare::LikePart;
use crate::values::number::ArithmeticOp;

#[track_caller]
fn have_types(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(type_of(text), *expected, "{text}");
    }
}

#[test]
fn literals_and_arithmetic_have_their_types() {
    have_types(&[
        ("1", "int"),
        ("5000000000", "long"),
        ("-2147483648", "int"),
        ("-9223372036854775808", "long"),
        ("9223372036854775808", "decimal(19,0)"),
        ("1.50", "decimal(3,2)"),
        ("0.05", "decimal(2,2)"),
        ("1e3", "double"),
        ("'a'", "string"),
        ("TRUE", "boolean"),
        ("state.count + 1", "int"),
        ("state.count + state.total_cents", "long"),
        ("state.count + 5000000000", "long"),
        ("state.count / 2", "int"),
        ("state.total_cents % 7", "long"),
        ("mod(state.total_cents, 7)", "long"),
        ("state.price + 1", "decimal(10,2)"),
        ("state.price + state.count", "decimal(12,2)"),
        ("state.price + state.price", "decimal(10,2)"),
        ("state.price * state.price", "decimal(20,4)"),
        ("state.price * state.count", "decimal(20,2)"),
        ("state.price * 2", "decimal(20,2)"),
        ("state.price / 3", "decimal(38,6)"),
        ("state.price + state.weight", "double"),
        ("state.ratio + state.ratio", "double"),
        ("state.weight * 1.5", "double"),
        ("-state.ratio", "double"),
        ("state.score + 1", "long?"),
        ("state.status || '-' || state.kind", "string"),
        ("state.status || state.nick", "string?"),
    ]);
}

#[test]
fn conditions_have_their_types() {
    have_types(&[
        ("state.status = 'x'", "boolean"),
        ("state.nick = 'x'", "boolean?"),
        ("state.kind = 'PAID'", "boolean"),
        ("state.kind = state.status", "boolean"),
        ("state.price > state.weight", "boolean"),
        ("state.placed_at < state.seen_at", "boolean"),
        ("state.nick IS NULL", "boolean"),
        ("state.nick IS DISTINCT FROM 'x'", "boolean"),
        ("state.nick IS NOT DISTINCT FROM NULL", "boolean"),
        ("(state.nick = 'x') IS NOT TRUE", "boolean"),
        ("state.score BETWEEN 1 AND 5", "boolean?"),
        ("state.status NOT IN ('a', 'b')", "boolean"),
        ("state.nick NOT LIKE 'a%'", "boolean?"),
        ("CASE WHEN state.open THEN 1 ELSE 2.5 END", "decimal(11,1)"),
        ("CASE WHEN state.open THEN 'a' END", "string?"),
        ("CASE state.kind WHEN 'PAID' THEN 1 WHEN 'PLACED' THEN 2 ELSE 3 END", "int"),
    ]);
}

#[test]
fn functions_of_text_and_numbers_have_their_types() {
    have_types(&[
        ("coalesce(state.nick, 'x')", "string"),
        ("coalesce(state.nick, NULL)", "string?"),
        ("nullif(state.status, '')", "string?"),
        ("lower(state.kind)", "string"),
        ("upper(state.nick)", "string?"),
        ("length(state.raw)", "long"),
        ("length(state.status)", "long"),
        ("trim(state.status)", "string"),
        ("substr(state.status, 2)", "string"),
        ("substring(state.status FROM 2 FOR 3)", "string"),
        ("starts_with(state.status, 'a')", "boolean"),
        ("replace(state.status, 'a', 'b')", "string"),
        ("abs(state.count)", "int"),
        ("round(state.price)", "decimal(9,0)"),
        ("round(state.price, 1)", "decimal(10,1)"),
        ("round(state.weight, 2)", "double"),
        ("floor(state.price)", "decimal(9,0)"),
        ("ceil(state.weight)", "double"),
        ("least(state.count, state.total_cents, 5)", "long"),
        ("greatest(state.score, 5)", "long?"),
    ]);
}

#[test]
fn functions_of_time_and_collections_have_their_types() {
    have_types(&[
        ("date_trunc('day', state.placed_at)", "timestamp-millis"),
        ("date_trunc('month', state.due)", "date"),
        ("extract(year FROM state.due)", "long"),
        ("date_part('hour', state.opens)", "long"),
        ("to_date(state.paid_at)", "date?"),
        ("cardinality(state.items)", "long"),
        ("cardinality(state.tags)", "long?"),
        ("map_value(state.labels, 'color')", "string?"),
        ("state.main.sku", "string?"),
        ("(state.main).sku", "string?"),
        ("event_time()", "timestamp-micros?"),
        ("append_time()", "timestamp-micros?"),
        ("caller()", "string?"),
        ("total + 1", "long"),
        ("\"when\" + INTERVAL '15 minutes'", "timestamp-micros?"),
        ("state.placed_at - INTERVAL '1' DAY", "timestamp-millis"),
        ("INTERVAL '1 day 2 hours' + state.seen_at", "timestamp-micros"),
        ("state.due + INTERVAL '2 weeks'", "date"),
    ]);
}

#[test]
fn casts_have_their_types() {
    have_types(&[
        ("CAST(state.status AS long)", "long"),
        ("state.status::decimal(10,2)", "decimal(10,2)"),
        ("CAST(state.status AS Status)", "Status"),
        ("CAST(state.placed_at AS date)", "date"),
        ("CAST(state.placed_at AS timestamp)", "timestamp-micros"),
        ("CAST(state.placed_at AS timestamp(3) without time zone)", "local-timestamp-millis"),
        ("CAST(NULL AS bigint)", "long?"),
        ("CAST(state.open AS int)", "int"),
        ("CAST('PAID' AS Status)", "Status"),
    ]);
}

#[test]
fn a_value_is_widened_to_the_type_that_is_expected() {
    for (text, expected) in [
        ("1", Type::Long),
        ("1", Type::Double),
        ("1", Type::Float),
        ("1", decimal(10, 2)),
        ("1.5", Type::Float),
        ("1.50", decimal(10, 1)),
        ("state.count", Type::Long),
        ("state.count", Type::Double),
        ("state.count", decimal(12, 2)),
        ("state.total_cents", Type::Double),
        ("state.price", Type::Double),
        ("state.price", decimal(12, 3)),
        ("state.ratio", Type::Double),
        ("state.kind", Type::String),
        ("state.token", Type::String),
        ("'PAID'", status()),
        ("CASE WHEN state.open THEN 'PAID' ELSE 'PLACED' END", status()),
        ("coalesce(NULL, 'PAID')", status()),
        ("state.placed_at", Type::TimestampMicros),
        ("event_time()", Type::TimestampMillis),
        ("event_time() + INTERVAL '15 minutes'", Type::TimestampMillis),
        ("date_trunc('day', event_time())", Type::TimestampMillis),
        ("coalesce(state.paid_at, event_time())", Type::TimestampMillis),
        ("state.items", Type::Array(Arc::new(item().required()))),
        ("state.price + state.price", decimal(10, 2)),
    ] {
        let expr =
            check_as(text, Some(&expected.clone().required())).unwrap_or_else(|p| panic!("{text}: {p:#?}"));
        assert_eq!(expr.column.ty, expected, "{text}");
    }
}

#[test]
fn null_takes_the_type_of_its_place() {
    let expr = check_as("NULL", Some(&Type::Date.nullable())).expect("a date");
    assert_eq!(expr, Expr::constant(Constant::Null, Type::Date));
    let expr = check("CASE WHEN state.open THEN NULL ELSE 5 END").expect("an int");
    assert_eq!(expr.column, Type::Int.nullable());
}

#[test]
fn integers_become_longs_without_a_node_where_the_slot_is_the_same() {
    let Node::Arithmetic(ArithmeticOp::Add, left, _) =
        check("state.count + state.total_cents").expect("a sum").node
    else {
        panic!("a sum")
    };
    assert_eq!(left.node, Node::State(4));
    assert_eq!(left.column.ty, Type::Long);
}

#[test]
fn a_computed_int_is_widened_after_it_was_computed() {
    let Node::Arithmetic(_, left, _) = check("state.count * 2 + state.total_cents").expect("a sum").node
    else {
        panic!("a sum")
    };
    assert!(matches!(left.node, Node::Cast(inner) if inner.column.ty == Type::Int));
}

#[test]
fn like_patterns_are_split_once() {
    let parts = |text: &str| match check(text).expect("a condition").node {
        Node::Like(_, pattern) => pattern.parts,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        parts("state.status LIKE 'a%%_b'"),
        [LikePart::Text("a".into()), LikePart::Any, LikePart::One, LikePart::Text("b".into())]
    );
    assert_eq!(parts("state.status LIKE '50!%' ESCAPE '!'"), [LikePart::Text("50%".into())]);
    assert_eq!(parts("state.status LIKE '\\%'"), [LikePart::Text("\\".into()), LikePart::Any]);
}

#[test]
fn nested_forms_do_not_copy_their_operands() {
    let mut text = "state.open".to_owned();
    for _ in 0..20 {
        text = format!("({text}) BETWEEN FALSE AND TRUE");
    }
    let mut nodes = 0;
    check(&text).expect("a condition").walk(&mut |_| nodes += 1);
    assert_eq!(nodes, 20 * 3 + 1);
}

#[test]
fn assignments_know_where_their_parts_stand() {
    let (columns, message) = (columns(), message());
    let names =
        Names { state: Some(&columns), message: Some(&message), lets: &[], context: true, enums: &[] };
    let text = "status = 'paid',\n  paid_at = event_time(), \"count\" = state.count + 1";
    let list = assignments(text, &names, &columns).expect("assignments");
    let parts: Vec<(&str, &str, usize)> =
        list.iter().map(|a| (&text[a.column_span.clone()], &text[a.value_span.clone()], a.column)).collect();
    assert_eq!(
        parts,
        [("status", "'paid'", 2), ("paid_at", "event_time()", 13), ("\"count\"", "state.count + 1", 4)]
    );
    assert_eq!(list[1].expr.column.ty, Type::TimestampMillis);
}
