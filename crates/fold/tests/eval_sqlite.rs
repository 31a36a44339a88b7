//! Random well-typed expressions have the value that SQLite gives them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use bumpalo::Bump;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rusqlite::Connection;
use rusqlite::types::{ToSql, Value};
use tidefold_app::sql::{Names, expression};
use tidefold_app::values::EvalError;
use tidefold_codec::{ColumnType, Datum, Type};
use tidefold_fold::eval::{Env, eval};
use tidefold_table::Column;

/// One row: two longs, two strings, two booleans.
#[derive(Clone, Debug)]
struct Row {
    numbers: [Option<i64>; 2],
    texts: [Option<String>; 2],
    flags: [Option<bool>; 2],
}

fn row() -> impl Strategy<Value = Row> {
    let number = || prop::option::weighted(0.8, prop_oneof![-20_i64..20, Just(i64::MAX), Just(i64::MIN)]);
    let text = || prop::option::weighted(0.8, "[ abAB%_é]{0,6}");
    let flag = || prop::option::weighted(0.7, any::<bool>());
    (number(), number(), text(), text(), flag(), flag()).prop_map(|(a, b, s, t, p, q)| Row {
        numbers: [a, b],
        texts: [s, t],
        flags: [p, q],
    })
}

fn quoted() -> impl Strategy<Value = String> {
    "[ abAB%_é]{0,4}".prop_map(|text| format!("'{text}'"))
}

fn leaf_number() -> BoxedStrategy<String> {
    prop_oneof![
        3 => prop::sample::select(vec!["state.a", "state.b"]).prop_map(String::from),
        2 => (-9_i64..10).prop_map(|n| format!("({n})")),
        1 => Just("5000000000".to_owned()),
    ]
    .boxed()
}

fn leaf_text() -> BoxedStrategy<String> {
    prop_oneof![3 => prop::sample::select(vec!["state.s", "state.t"]).prop_map(String::from), 2 => quoted()]
        .boxed()
}

fn leaf_flag() -> BoxedStrategy<String> {
    prop_oneof![
        3 => prop::sample::select(vec!["state.p", "state.q"]).prop_map(String::from),
        1 => prop::sample::select(vec!["TRUE", "FALSE"]).prop_map(String::from),
    ]
    .boxed()
}

fn number(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf_number();
    }
    let n = || number(depth - 1);
    prop_oneof![
        2 => leaf_number(),
        3 => (n(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), n())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => n().prop_map(|a| format!("(- {a})")),
        1 => n().prop_map(|a| format!("abs({a})")),
        1 => text(depth - 1).prop_map(|s| format!("length({s})")),
        1 => (n(), n()).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
        1 => (n(), n()).prop_map(|(a, b)| format!("nullif({a}, {b})")),
        1 => (flag(depth - 1), n(), n()).prop_map(|(c, a, b)| format!("CASE WHEN {c} THEN {a} ELSE {b} END")),
        1 => (n(), n(), n()).prop_map(|(v, a, b)| format!("CASE {v} WHEN {a} THEN {b} END")),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| format!("least({a}, {b}, {c})")),
        1 => (n(), n()).prop_map(|(a, b)| format!("greatest({a}, {b})")),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf_text();
    }
    let t = || text(depth - 1);
    prop_oneof![
        2 => leaf_text(),
        2 => (t(), t()).prop_map(|(a, b)| format!("({a} || {b})")),
        1 => t().prop_map(|a| format!("lower({a})")),
        1 => t().prop_map(|a| format!("upper({a})")),
        1 => t().prop_map(|a| format!("trim({a})")),
        1 => (t(), 1_i64..6, 0_i64..5).prop_map(|(a, from, count)| format!("substr({a}, {from}, {count})")),
        // Of an empty second argument SQLite does not look at the third, not even for NULL.
        1 => (t(), "[ abAB]{1,2}", t()).prop_map(|(a, b, c)| format!("replace({a}, '{b}', {c})")),
        1 => (t(), t()).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
        1 => (flag(depth - 1), t(), t()).prop_map(|(c, a, b)| format!("CASE WHEN {c} THEN {a} ELSE {b} END")),
    ]
    .boxed()
}

fn flag(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf_flag();
    }
    let (n, t, f) = (|| number(depth - 1), || text(depth - 1), || flag(depth - 1));
    let op = || prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    prop_oneof![
        1 => leaf_flag(),
        2 => (n(), op(), n()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (t(), op(), t()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (f(), prop::sample::select(vec!["AND", "OR"]), f()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => f().prop_map(|a| format!("(NOT {a})")),
        1 => (n(), prop::sample::select(vec!["IS NULL", "IS NOT NULL"])).prop_map(|(a, is)| format!("({a} {is})")),
        1 => (f(), prop::sample::select(vec!["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE"]))
            .prop_map(|(a, is)| format!("({a} {is})")),
        1 => (t(), t()).prop_map(|(a, b)| format!("({a} IS DISTINCT FROM {b})")),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| format!("({a} NOT IN ({b}, {c}))")),
        1 => (t(), quoted()).prop_map(|(a, pattern)| format!("({a} LIKE {pattern})")),
    ]
    .boxed()
}

fn any_expression() -> BoxedStrategy<String> {
    prop_oneof![number(3), text(3), flag(3)].boxed()
}

fn columns() -> Vec<Column> {
    [("a", Type::Long), ("b", Type::Long), ("s", Type::String), ("t", Type::String)]
        .into_iter()
        .chain([("p", Type::Boolean), ("q", Type::Boolean)])
        .map(|(name, ty)| Column { name: name.to_owned(), column: ColumnType { ty, nullable: true } })
        .collect()
}

fn ours(text: &str, row: &Row) -> Result<Value, EvalError> {
    let columns = columns();
    let names = Names { state: Some(&columns), message: None, lets: &[], context: false, enums: &[] };
    let expr = expression(text, &names, None).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    let slots = [
        row.numbers[0].map_or(Datum::Null, Datum::Long),
        row.numbers[1].map_or(Datum::Null, Datum::Long),
        row.texts[0].as_deref().map_or(Datum::Null, Datum::Text),
        row.texts[1].as_deref().map_or(Datum::Null, Datum::Text),
        row.flags[0].map_or(Datum::Null, Datum::Boolean),
        row.flags[1].map_or(Datum::Null, Datum::Boolean),
    ];
    let arena = Bump::new();
    let mut env = Env::new(&arena);
    env.state = &slots;
    Ok(match eval(&expr, &env)? {
        Datum::Null => Value::Null,
        Datum::Boolean(value) => Value::Integer(i64::from(value)),
        Datum::Long(value) => Value::Integer(value),
        Datum::Text(value) => Value::Text(value.to_owned()),
        other => panic!("{text}: {other:?}"),
    })
}

fn sqlite() -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    connection
        .execute_batch(
            "PRAGMA case_sensitive_like = ON; CREATE TABLE state (a INTEGER, b INTEGER, s TEXT, t TEXT, p INTEGER, q \
             INTEGER);",
        )
        .expect("a table");
    connection
}

fn theirs(connection: &Connection, text: &str, row: &Row) -> rusqlite::Result<Value> {
    connection.execute("DELETE FROM state", [])?;
    let values: [&dyn ToSql; 6] =
        [&row.numbers[0], &row.numbers[1], &row.texts[0], &row.texts[1], &row.flags[0], &row.flags[1]];
    connection.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?)", values)?;
    // Only there do least and greatest have other names.
    let text = text.replace("least(", "min(").replace("greatest(", "max(");
    connection.query_row(&format!("SELECT {text} FROM state"), [], |row| row.get(0))
}

#[test]
fn expressions_agree_with_sqlite() {
    let connection = sqlite();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let (mut compared, mut null) = (0, 0);
    runner
        .run(&(any_expression(), row()), |(text, row)| {
            // Where we have an error, SQLite has NULL or goes on in floating point.
            let Ok(ours) = ours(&text, &row) else { return Ok(()) };
            // SQLite may compute, and fail at, an operand that a decided IN or CASE does not need.
            let theirs = match theirs(&connection, &text, &row) {
                Err(error) if error.to_string().contains("integer overflow") => return Ok(()),
                theirs => theirs.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?,
            };
            prop_assert_eq!(&ours, &theirs, "{} over {:?}", text, row);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let mut sample = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let (text, row) = (any_expression(), row()).new_tree(&mut sample).expect("a value").current();
        match ours(&text, &row) {
            Ok(Value::Null) => null += 1,
            Ok(_) => compared += 1,
            Err(_) => {}
        }
    }
    assert!(compared > 100 && null < 200, "most cases compare something: {compared} values, {null} NULLs");
}
