//! One set of attributes: whether they come as headers, as an event in JSON, as a line, or as a line among others, they make
//! the same record or the same mistake.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use axum::http::Method;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use support::{Answer, Shop, header};
use tidefold_record::headers::Known;
use tidefold_record::partition_of;

const ORDER: &str = r#"{"order_id":"o-1","total_cents":1}"#;

/// What the HTTP binding has encoded: spaces, quotes, percent signs and all beyond `~`.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(0x7f);

/// What a message came to: the headers of its record, or the status and the mistakes, by attribute and rule.
type Came = Result<Vec<(String, String)>, (u64, Vec<(String, String)>)>;

/// The attributes that every event has, but for those that are given.
fn whole<'a>(given: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let required = [("specversion", "1.0"), ("id", "e-1"), ("source", "/till/7"), ("type", "PlaceOrder")];
    let rest = required.into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    rest.chain(given.iter().copied()).collect()
}

async fn by_header(shop: &Shop, given: &[(&str, &str)]) -> Came {
    let headers: Vec<(String, String)> = whole(given)
        .into_iter()
        .map(|(name, value)| (format!("ce-{name}"), utf8_percent_encode(value, ENCODED).to_string()))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let answer = shop.post("/v1/shop/PlaceOrder", &headers, ORDER).await;
    came(shop, u64::from(answer.status.as_u16()), &answer.json()).await
}

/// A line's JSON; an attribute may stand in it twice.
fn line(given: &[(&str, Value)]) -> String {
    let members: Vec<String> = given.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{},\"data\":{ORDER}}}", members.join(","))
}

async fn by_line(shop: &Shop, line: &str) -> Came {
    let answer = shop.stream("/v1/shop", &[], line.to_owned()).await;
    of_line(shop, &answer, 0).await
}

async fn among_others(shop: &Shop, line: &str) -> Came {
    let body = format!("{{\"type\":\"Nothing\",\"data\":{{}}}}\n{line}\n{{}}\n");
    let answer = shop.stream("/v1/shop", &[], body).await;
    of_line(shop, &answer, 1).await
}

/// A body of its own, to either path.
async fn by_event(shop: &Shop, path: &str, event: &str) -> Came {
    let headers = [("content-type", "application/cloudevents+json")];
    let answer = shop.send(Method::POST, path, &headers, event.to_owned().into()).await;
    came(shop, u64::from(answer.status.as_u16()), &answer.json()).await
}

async fn of_line(shop: &Shop, answer: &Answer, at: usize) -> Came {
    let line = &answer.lines()[at];
    let told = if line["problem"].is_null() { line } else { &line["problem"] };
    came(shop, line["status"].as_u64().unwrap(), told).await
}

async fn came(shop: &Shop, status: u64, told: &Value) -> Came {
    if status == 202 {
        let partition = partition_of(b"o-1", 4).0;
        let last = shop.records("orders", partition).await.pop().unwrap();
        assert_eq!(header(&last, Known::CeId), told["id"].as_str());
        return Ok(last.headers);
    }
    let errors = told["errors"].as_array().cloned().unwrap_or_default();
    let mut mistakes: Vec<_> = errors
        .iter()
        .map(|error| {
            let place = error["parameter"].as_str().or(error["pointer"].as_str()).unwrap();
            let name = place.trim_start_matches("CE-").trim_start_matches("#/").to_ascii_lowercase();
            // As JSON calls it.
            let code = error["code"].as_str().unwrap().replace("repeated", "duplicate_key");
            (name, code)
        })
        .collect();
    mistakes.sort();
    Err((status, mistakes))
}

async fn every_way(shop: &Shop, given: &[(&str, &str)]) -> Came {
    let by_header = by_header(shop, given).await;
    let members: Vec<_> = whole(given).into_iter().map(|(name, text)| (name, json!(text))).collect();
    let line = line(&members);
    assert_eq!(by_header, by_line(shop, &line).await, "{line}");
    assert_eq!(by_header, among_others(shop, &line).await, "{line}");
    assert_eq!(by_header, by_event(shop, "/v1/shop", &line).await, "{line}");
    assert_eq!(by_header, by_event(shop, "/v1/shop/PlaceOrder", &line).await, "{line}");
    by_header
}

fn rule(came: Came) -> Vec<String> {
    match came {
        Ok(_) => vec![],
        Err((status, mistakes)) if mistakes.is_empty() => vec![status.to_string()],
        Err((_, mistakes)) => mistakes.into_iter().map(|(_, code)| code).collect(),
    }
}

/// Stand for texts of so many characters in [`TABLE`].
const LONG: &str = "<256>";
const LONGER: &str = "<1025>";
const LONG_NAME: &str = "<65>";

/// Attributes, each with values, and the rule that each value breaks: none, or the status of the whole.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    (
        "id",
        &[
            ("e 1", ""),
            ("\u{e9}%41\"", ""),
            ("", "out_of_range"),
            (LONG, "out_of_range"),
            ("a\u{7}", "bad_format"),
        ],
    ),
    (
        "source",
        &[
            ("urn:till:7", ""),
            ("/v1/shop/anonymous", ""),
            ("/v1/shop/anonymous/till-7", ""),
            ("/v1/other/ann", ""),
            ("/v1/shop/ann", "403"),
            ("/v1/shop/", "403"),
            ("", "out_of_range"),
            (LONGER, "out_of_range"),
            ("a\nb", "bad_format"),
        ],
    ),
    ("type", &[("PlaceOrder", ""), ("", "out_of_range"), (LONG, "out_of_range"), ("\u{0}", "bad_format")]),
    (
        "specversion",
        &[
            ("1.0", ""),
            ("0.3", "unknown_symbol"),
            ("1.00", "unknown_symbol"),
            ("", "out_of_range"),
            (LONG, "out_of_range"),
        ],
    ),
    (
        "time",
        &[
            ("2026-01-31T12:00:00Z", ""),
            ("2026-01-31T13:00:00.5+01:00", ""),
            ("2016-12-31T23:59:60Z", ""),
            ("noon", "bad_format"),
            ("", "out_of_range"),
            (LONG, "out_of_range"),
            ("2026-01-31", "bad_format"),
        ],
    ),
    (
        "ifmatch",
        &[
            ("7", ""),
            ("\"7\"", ""),
            ("\"7.g2\"", ""),
            ("7.g2", ""),
            ("", "out_of_range"),
            ("soon", "wrong_type"),
            ("W/\"7\"", "wrong_type"),
            ("*", "wrong_type"),
            ("-1", "wrong_type"),
            ("99999999999999999999", "wrong_type"),
        ],
    ),
    (
        "subject",
        &[("o-1 \u{20ac}", ""), ("", "out_of_range"), (LONGER, "out_of_range"), ("\u{85}", "bad_format")],
    ),
    ("dataschema", &[("https://a.example/s", ""), ("", "out_of_range"), (LONGER, "out_of_range")]),
    (
        "tenant",
        &[
            ("t-1", ""),
            ("7", ""),
            ("true", ""),
            ("", "out_of_range"),
            (LONGER, "out_of_range"),
            ("\t", "bad_format"),
        ],
    ),
    ("data_base64", &[("AA==", "not_allowed")]),
    ("trace-id", &[("x", "unknown_field")]),
    (LONG_NAME, &[("x", "unknown_field")]),
];

/// A text of [`TABLE`], written out.
fn written_out(text: &str) -> String {
    match text {
        LONG => "x".repeat(256),
        LONGER => "x".repeat(1_025),
        LONG_NAME => "n".repeat(65),
        text => text.to_owned(),
    }
}

#[tokio::test]
async fn an_attribute_is_the_same_whichever_way_it_comes() {
    let shop = Shop::open().await;
    for (name, values) in TABLE {
        let name = written_out(name);
        for (value, code) in *values {
            let value = written_out(value);
            let expected: Vec<String> = if code.is_empty() { vec![] } else { vec![(*code).to_owned()] };
            assert_eq!(rule(every_way(&shop, &[(&name, &value)]).await), expected, "{name}: {value}");
        }
        if TABLE.iter().any(|(_, values)| values[0].1.is_empty()) {
            let value = written_out(values[0].0);
            let twice = every_way(&shop, &[(&name, &value), (&name, &value)]).await;
            let last = rule(twice).pop();
            assert!(
                matches!(last.as_deref(), Some("duplicate_key" | "unknown_field" | "not_allowed")),
                "{name}: {last:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_message_has_thirty_two_attributes_of_its_own_whichever_way_they_come() {
    let shop = Shop::open().await;
    let names: Vec<String> = (0..33).map(|number| format!("a{number}")).collect();
    let given: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(rule(every_way(&shop, &given[..32]).await), Vec::<String>::new());
    assert_eq!(rule(every_way(&shop, &given).await), ["out_of_range"]);
}

#[tokio::test]
async fn json_says_numbers_and_booleans_as_what_they_are_and_null_as_nothing() {
    let shop = Shop::open().await;
    let names = ["id", "source", "time", "ifmatch", "subject", "tenant"];
    for (name, value, text) in [
        ("ifmatch", json!(7), Some("7")),
        ("tenant", json!(-3), Some("-3")),
        ("tenant", json!(true), Some("true")),
    ] {
        let told = by_line(
            &shop,
            &line(&[
                ("type", json!("PlaceOrder")),
                ("id", json!("e-1")),
                ("source", json!("/till/7")),
                (name, value),
            ]),
        )
        .await;
        assert_eq!(told, by_header(&shop, &[(name, text.unwrap())]).await, "{name}");
    }
    for name in names {
        for value in [json!([]), json!({}), json!(1.5), json!(2_147_483_648_u64), json!(false), json!(3)] {
            let told = by_line(&shop, &line(&[("type", json!("PlaceOrder")), (name, value.clone())])).await;
            let is_version = name == "ifmatch" && value.as_u64().is_some();
            let is_extension = name == "tenant" && (value.is_boolean() || value == 3);
            let expected: &[&str] = if is_version || is_extension { &[] } else { &["wrong_type"] };
            assert_eq!(rule(told), expected, "{name}: {value}");
        }
        let all: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
        let members: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let told =
            by_line(&shop, &line(&[&[("type", json!("PlaceOrder"))], &members[..]].concat())).await.unwrap();
        assert!(
            told.iter().any(|(name, value)| name == "ce_source" && value == "/v1/shop/anonymous"),
            "{told:?}"
        );
        assert!(!told.iter().any(|(name, _)| name == "ce_subject" || name == "ce_tenant"), "{told:?}");
    }
}

#[tokio::test]
async fn nobody_speaks_under_another_callers_source() {
    let shop = Shop::open().await;
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "/v1/shop/%61nn"),
        ("ce-type", "PlaceOrder"),
    ];
    let problem = shop.post("/v1/shop/PlaceOrder", &event, ORDER).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("`/v1/shop/ann` is another caller's"), "{problem}");
    let lines = [
        line(&[("type", json!("PlaceOrder")), ("id", json!("e-1")), ("source", json!("/v1/shop/ann"))]),
        line(&[("type", json!("PlaceOrder")), ("id", json!("e-2")), ("source", json!("/v1/shop/anonymous"))]),
        line(&[("type", json!("PlaceOrder")), ("id", json!("e-3"))]),
    ];
    let answers = shop.stream("/v1/shop", &[], lines.join("\n")).await.lines();
    assert_eq!(
        answers.iter().map(|line| line["status"].as_u64().unwrap()).collect::<Vec<_>>(),
        [403, 202, 202]
    );
    assert_eq!((&answers[0]["id"], &answers[0]["problem"]["code"]), (&json!("e-1"), &json!("forbidden")));
    let records = shop.all_records("orders").await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| header(record, Known::CeSource) == Some("/v1/shop/anonymous")));
}

#[test]
fn any_attributes_come_to_the_same_whichever_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = runtime.block_on(Shop::open());
    let name = prop_oneof![
        Just("id".to_owned()),
        Just("source".to_owned()),
        Just("time".to_owned()),
        Just("ifmatch".to_owned()),
        Just("subject".to_owned()),
        Just("specversion".to_owned()),
        "[a-z0-9_-]{1,6}",
    ];
    let value = prop_oneof![
        "\\PC{0,12}",
        any::<String>(),
        "[0-9.g\"]{0,6}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00(Z|\\+01:00)",
        Just("1.0".to_owned()),
        "/v1/shop/[a-z]{0,9}",
    ];
    let attributes = prop::collection::vec((name, value), 0..5);
    // A type that is another one is the path's affair, and the data of a header is the body.
    let attributes = attributes.prop_filter("of the message", |given| {
        given.iter().all(|(name, _)| !["type", "data", "datacontenttype"].contains(&name.as_str()))
    });
    TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() })
        .run(&attributes, |given| {
            let given: Vec<(&str, &str)> = given.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let _ = runtime.block_on(every_way(&shop, &given));
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_event_in_json_is_whole_and_alone() {
    let shop = Shop::open().await;
    let whole = |left_out: &str| {
        let members = [
            ("specversion", json!("1.0")),
            ("id", json!("e-1")),
            ("source", json!("/till/7")),
            ("type", json!("PlaceOrder")),
        ];
        line(&members.into_iter().filter(|(name, _)| *name != left_out).collect::<Vec<_>>())
    };
    for path in ["/v1/shop", "/v1/shop/PlaceOrder"] {
        for left_out in ["specversion", "id", "source", "type"] {
            let told = by_event(&shop, path, &whole(left_out)).await;
            assert_eq!(told, Err((400, vec![(left_out.to_owned(), "missing_field".to_owned())])));
        }
        let typed = ("content-type", "application/cloudevents+json; charset=utf-8");
        for more in [("idempotency-key", "e-1"), ("ce-id", "e-1"), ("if-match", "\"7\"")] {
            let answer = shop.send(Method::POST, path, &[typed, more], whole("").into()).await;
            answer.problem(400, "invalid_request");
        }
        let answer = shop.send(Method::POST, path, &[typed], whole("").into()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (202, &json!("e-1")));
        for body in ["", "[]", "{", "null", &format!("{}{}", whole(""), whole(""))] {
            let answer = shop.send(Method::POST, path, &[typed], body.to_owned().into()).await;
            answer.problem(400, "invalid_envelope");
        }
    }
    let told = by_event(&shop, "/v1/shop/PayOrder", &whole("")).await;
    assert_eq!(told, Err((400, vec![])));
    let broken = whole("").replace("\"total_cents\":1", "\"total_cents\":\"x\"");
    let told = by_event(&shop, "/v1/shop", &broken).await;
    assert_eq!(told, Err((400, vec![("data/total_cents".to_owned(), "wrong_type".to_owned())])));
    let answer = shop.stream("/v1/shop", &[], "{}").await;
    assert_eq!(answer.lines().len(), 1);
}
