//! Scenario files: what they say, and what is said of wrong ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::{Value, json};
use support::{app, folder};
use tidefold_app::scenario::{ExpectedRows, FIRST_TIME_MICROS, OutcomeKind, Scenario, parse};
use tidefold_app::{Diagnostics, SourceFile, Style};

fn parse_text(text: &str) -> Result<Vec<Scenario>, Diagnostics> {
    let app = app(folder("storefront"));
    parse(&[SourceFile { path: "scenarios/x.toml".into(), text: text.into() }], &app)
}

#[test]
fn the_scenarios_of_every_app_are_well_formed() {
    for name in ["storefront", "metering", "pizzeria"] {
        let files = folder(name);
        let scenarios =
            parse(&files, &app(files.clone())).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let least = if name == "storefront" { 8 } else { 0 };
        assert!(scenarios.len() >= least, "{name} has {} scenarios", scenarios.len());
    }
}

#[test]
fn a_scenario_is_what_its_text_says() {
    let text = r#"
[[scenario]]
name = "all of it"
given = [{ type = "PlaceOrder", data = { order_id = "o-1", customer_id = "c-1", currency = "EUR", total_cents = 9007199254740993, items = [] } }]
when = [
    { type = "PayOrder", id = "p-1", time = 2026-03-01T09:05:00Z, caller = "ann", if_match = 1, data = { order_id = "o-1" } },
    { type = "PayOrder", data = { order_id = "o-1" } },
]
then.outcome = ["applied", { rejected = ["not_payable"] }]
then.orders."o-1" = { status = "paid", paid_at = 2026-03-01T09:05:00Z }
then.orders."o-2" = false
then.orders."o-3" = { paid_at = { null = true }, total_cents = 1.5 }
then.units_by_sku = []
"#;
    let scenarios = parse_text(text).unwrap();
    let [scenario] = scenarios.as_slice() else { panic!("{scenarios:?}") };
    assert_eq!(&text[scenario.span.clone()], "\"all of it\"");
    let given = &scenario.given[0];
    assert_eq!(given.time_micros, FIRST_TIME_MICROS);
    assert_eq!(
        given.data,
        json!({"order_id": "o-1", "customer_id": "c-1", "currency": "EUR", "total_cents": 9_007_199_254_740_993_i64,
               "items": []})
    );
    let [pay, again] = scenario.when.as_slice() else { panic!("{scenario:?}") };
    assert_eq!((pay.id.as_deref(), pay.caller.as_deref(), pay.if_match), (Some("p-1"), Some("ann"), Some(1)));
    assert_eq!(again.time_micros, pay.time_micros + 1_000_000);
    assert_eq!(again.data, json!({ "order_id": "o-1" }));
    assert_eq!(scenario.outcomes[0].kind, OutcomeKind::Applied);
    assert_eq!(scenario.outcomes[1].codes.as_deref(), Some(["not_payable".to_owned()].as_slice()));
    let ExpectedRows::ByKey(rows) = &scenario.tables[0].rows else { panic!("{scenario:?}") };
    assert_eq!(rows[0].1.as_ref().unwrap().columns["paid_at"], json!("2026-03-01T09:05:00Z"));
    assert_eq!(rows[1], ("o-2".to_owned(), None));
    let columns = &rows[2].1.as_ref().unwrap().columns;
    assert_eq!((&columns["paid_at"], &columns["total_cents"]), (&Value::Null, &json!(1.5)));
    assert_eq!(scenario.tables[1].rows, ExpectedRows::All(Vec::new()));
}

#[test]
fn every_mistake_in_a_scenario_is_told() {
    let text = r#"
[[scenario]]
name = "wrong"
given = [{ type = "PlaceOrders", time = "yesterday", data = {} }, { data = {} }]
when = { type = "PayOrder", dat = {} }
then.outcome = ["applied", "refused"]
then.order."o-1" = {}
then.orders."o-1" = { state = "paid" }
then.orders."o-2" = "gone"
then.units_by_sku."tea" = { units = 3 }

[[scenario]]
name = "wrong"
"#;
    let diagnostics = parse_text(text).unwrap_err();
    let rules: Vec<&str> = diagnostics.list.iter().map(|diagnostic| diagnostic.rule).collect();
    assert_eq!(
        rules,
        [
            "unknown-scenario-name",
            "bad-time",
            "missing-key",
            "bad-data",
            "unknown-key",
            "bad-outcome",
            "bad-outcome",
            "unknown-scenario-name",
            "unknown-scenario-name",
            "wrong-value",
            "bad-expectation",
            "duplicate-scenario",
        ],
        "{}",
        diagnostics.render(Style::Plain)
    );
    let rendered = diagnostics.render(Style::Plain);
    assert!(rendered.contains("there is a message with a similar name: `PlaceOrder`"), "{rendered}");
    assert!(rendered.contains("scenarios/x.toml:4:19"), "{rendered}");
}

#[test]
fn data_that_its_schema_refuses_is_told_at_its_place() {
    let text = r#"
[[scenario]]
name = "wrong"
[[scenario.when]]
type = "PlaceOrder"
[scenario.when.data]
order_id = "o-1"
customer_id = "c-1"
curency = "EUR"
total_cents = "many"
items = [
    { sku = "tea", qty = 1, price_cents = 5 },
    { sku = "tea", qty = "two", price_cents = 5 },
]
"#;
    let rendered = parse_text(text).unwrap_err().render(Style::Plain);
    for (line, said) in [
        (9, "did you mean `currency`"),
        (10, "found a string; expected long"),
        (13, "#/items/1/qty"),
        (6, "`currency` is missing"),
    ] {
        let place = format!("scenarios/x.toml:{line}:");
        assert!(rendered.contains(&place) && rendered.contains(said), "{place} {said}: {rendered}");
    }
    assert_eq!(rendered.matches("error[bad-data]").count(), 4, "{rendered}");
}

#[test]
fn a_syntax_mistake_in_a_scenario_file_is_told() {
    let diagnostics = parse_text("[[scenario]]\nname = \n").unwrap_err();
    assert_eq!(diagnostics.list[0].rule, "toml-syntax");
}
