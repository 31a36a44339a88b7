//! One message: what is accepted, what is refused and how it is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;
use support::{NOW_MICROS, Shop, building, changed, header, mistakes, put};
use tidefold_control::{Control, Entry};
use tidefold_ingest::Settings;
use tidefold_log::memory::{Failure, Stands};
use tidefold_record::headers::Known;
use tidefold_record::{SchemaId, partition_of};

const ORDERS: &str = "/v1/shop/PlaceOrder";

fn order(id: &str) -> String {
    json!({"order_id": id, "total_cents": 1200, "items": [{"sku": "a", "qty": 2}]}).to_string()
}

#[tokio::test]
async fn a_message_is_acknowledged_once_it_stands_in_the_log() {
    let shop = Shop::open().await;
    let headers = [
        ("idempotency-key", "\"ord-1\""),
        ("ce-time", "2026-01-30T10:00:00.25Z"),
        ("if-match", "\"7.g3\""),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let answer = shop.post(ORDERS, &headers, order("o-1")).await;
    assert_eq!(answer.status, 202);
    let partition = partition_of(b"o-1", 4).0;
    let position = format!("orders:{partition}:0");
    assert_eq!(answer.json(), json!({"id": "ord-1", "position": position, "outcome": "pending"}));
    assert_eq!(answer.header("location"), Some(&*format!("/v1/shop/outcomes/{position}")));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let records = shop.records("orders", partition).await;
    let [record] = records.as_slice() else { panic!("{} records", records.len()) };
    assert_eq!(record.key, "o-1");
    assert_eq!(record.datum, b"\x06o-1\xe0\x12\x00\x02\x02a\x04\x00");
    for (name, value) in [
        (Known::CeSpecversion, "1.0"),
        (Known::CeId, "ord-1"),
        (Known::CeSource, "/v1/shop/anonymous"),
        (Known::CeType, "PlaceOrder"),
        (Known::CeTime, "2026-01-30T10:00:00.250Z"),
        (Known::ContentType, "application/avro"),
        (Known::AppendTime, "2026-01-31T12:00:00Z"),
        (Known::Caller, "anonymous"),
        (Known::IfMatch, "7"),
        (Known::Traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ] {
        assert_eq!(header(record, name), Some(value), "{}", name.as_str());
    }
    assert_eq!(shop.telemetry.ingest_records("shop", "accepted").get(), 1);
}

#[tokio::test]
async fn a_message_without_id_and_time_gets_both() {
    let shop = Shop::open().await;
    let first = shop.post(ORDERS, &[], order("o-1")).await.json();
    let second = shop.post(ORDERS, &[], order("o-1")).await.json();
    assert_ne!(first["id"], second["id"]);
    let records = shop.all_records("orders").await;
    let id = header(&records[0], Known::CeId).unwrap();
    assert_eq!(first["id"], id);
    let millis = i64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
    assert_eq!(millis, NOW_MICROS / 1_000);
    assert_eq!(header(&records[0], Known::CeTime), Some("2026-01-31T12:00:00Z"));
    assert_eq!(header(&records[0], Known::IfMatch), None);
}

#[tokio::test]
async fn every_mistake_in_a_message_is_told_and_nothing_is_appended() {
    let shop = Shop::open().await;
    let long_key = format!(r#"{{"order_id":"{}","total_cents":1}}"#, "x".repeat(1_025));
    let deep = format!(r#"{{"order_id":"o","total_cents":1,"items":{}}}"#, "[".repeat(10_000));
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        (r#"{"order_id":"o","total_cents":"#, vec![("*", "invalid_json")]),
        ("", vec![("*", "invalid_json")]),
        (r#"{"order_id":"o","total_cents":1} x"#, vec![("*", "invalid_json")]),
        (r#"{"order_id":"\ud800","total_cents":1}"#, vec![("*", "invalid_json")]),
        (r#"{"order_id":"o","total_cents":1,"weight":NaN}"#, vec![("*", "invalid_json")]),
        (r#"[1]"#, vec![("#", "wrong_type")]),
        (
            r#"{"order_id":7,"total_cents":true}"#,
            vec![("#/order_id", "wrong_type"), ("#/total_cents", "wrong_type")],
        ),
        (r#"{"order_id":"o","total_cents":1,"totl":2}"#, vec![("#/totl", "unknown_field")]),
        (r#"{}"#, vec![("#/order_id", "missing_field"), ("#/total_cents", "missing_field")]),
        (r#"{"order_id":null,"total_cents":1}"#, vec![("#/order_id", "null_not_allowed")]),
        (r#"{"order_id":"o","total_cents":9223372036854775808}"#, vec![("#/total_cents", "out_of_range")]),
        (
            r#"{"order_id":"o","total_cents":1,"items":[{"sku":"a","qty":1},{"sku":2,"qty":3000000000}]}"#,
            vec![("#/items/1/sku", "wrong_type"), ("#/items/1/qty", "out_of_range")],
        ),
        (r#"{"order_id":"o","total_cents":1,"order_id":"p"}"#, vec![("#/order_id", "duplicate_key")]),
        (r#"{"order_id":"","total_cents":1}"#, vec![("#/order_id", "empty_key")]),
        (&long_key, vec![("#/order_id", "key_too_long")]),
    ];
    let problem = shop.post(ORDERS, &[], deep).await.problem(400, "invalid_message");
    assert!(mistakes(&problem).iter().any(|(_, code)| code == "too_deep"), "{problem:#}");
    let count = cases.len() + 1;
    for (body, expected) in cases {
        let problem = shop.post(ORDERS, &[], body.to_owned()).await.problem(400, "invalid_message");
        let shown = &body[..body.len().min(80)];
        let found = mistakes(&problem);
        assert_eq!(found.len(), expected.len(), "{shown}: {problem:#}");
        for ((pointer, code), (expected_pointer, expected_code)) in found.iter().zip(expected) {
            assert_eq!(code, expected_code, "{shown}: {problem:#}");
            assert!(expected_pointer == "*" || pointer == expected_pointer, "{shown}: {problem:#}");
        }
    }
    assert_eq!(shop.all_records("orders").await, vec![]);
    assert_eq!(shop.telemetry.ingest_records("shop", "invalid").get(), count as u64);
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_unread() {
    let shop = Shop::open().await;
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>();
    let headers = [("content-length", "104857600"), ("content-type", "application/json")];
    let answer = shop.send(Method::POST, ORDERS, &headers, Body::from_stream(never)).await;
    let problem = answer.problem(413, "body_too_large");
    assert_eq!(problem["limit_bytes"], 1 << 20);
    assert_eq!(shop.telemetry.ingest_records("shop", "too_large").get(), 1);
}

#[tokio::test]
async fn a_client_that_stalls_in_the_body_is_answered() {
    let shop = Shop::with(support::impatient()).await;
    let part = [Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(b"{\"order_id\""))];
    let stalled =
        futures_util::StreamExt::chain(futures_util::stream::iter(part), futures_util::stream::pending());
    let answer = shop.post(ORDERS, &[], Body::from_stream(stalled)).await;
    answer.problem(408, "body_timeout");
    assert_eq!(shop.all_records("orders").await, vec![]);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_nearest_name() {
    let shop = Shop::open().await;
    let problem = shop.post("/v1/shop/PlaceOder", &[], order("o")).await.problem(404, "unknown_message_type");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `PlaceOrder`?"), "{problem}");
    let problem = shop.post("/v1/shop/Zzz", &[], order("o")).await.problem(404, "unknown_message_type");
    assert!(problem["detail"].as_str().unwrap().contains("PlaceOrder, PayOrder, Clicked"), "{problem}");
    shop.post("/v1/shoq/PlaceOrder", &[], order("o")).await.problem(404, "unknown_app");
    shop.post("/v1/shop/PlaceOrder/x/y", &[], order("o")).await.problem(404, "not_found");
    let answer = shop.send(Method::PUT, ORDERS, &[], Body::empty()).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let shop = Shop::open().await;
    for headers in [
        &[("content-type", "application/x-www-form-urlencoded")][..],
        &[("content-type", "text/plain; charset=utf-8")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &[("content-type", "application/json"), ("content-encoding", "identity, zstd")],
        &[("content-type", "application/json"), ("content-type", "application/json")],
        &[("content-type", "application/cloudevents-batch+json; charset=utf-8")],
    ] {
        let answer = shop.send(Method::POST, ORDERS, headers, order("o").into()).await;
        answer.problem(415, "unsupported_media_type");
        let coded = headers.iter().any(|(name, _)| *name == "content-encoding");
        assert_eq!(answer.header("accept-encoding"), coded.then_some("identity"));
    }
    for name in ["Application/JSON; charset=utf-8", "text/json", "application/vnd.acme.order+json ; v=1"] {
        let headers = [("content-type", name), ("content-encoding", "Identity")];
        assert_eq!(shop.send(Method::POST, ORDERS, &headers, order("o").into()).await.status, 202, "{name}");
    }
    let untyped = shop.send(Method::POST, ORDERS, &[], order("o").into()).await;
    untyped.problem(415, "unsupported_media_type");
    shop.post("/v1/shop", &[], order("o")).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_cloudevent_in_binary_mode_keeps_its_attributes() {
    let shop = Shop::open().await;
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e%201"),
        ("ce-source", "/till/7"),
        ("ce-type", "PlaceOrder"),
        ("ce-time", "2016-12-31T23:59:60Z"),
        ("ce-subject", "o"),
        ("ce-tenant", "t-1"),
        ("idempotency-key", "\"e 1\""),
    ];
    let answer = shop.post(ORDERS, &event, order("o")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (202, &json!("e 1")));
    let records = shop.all_records("orders").await;
    for (name, value) in [
        (Known::CeId, "e 1"),
        (Known::CeSource, "/till/7"),
        (Known::CeTime, "2016-12-31T23:59:59.999999Z"),
        (Known::CeSubject, "o"),
    ] {
        assert_eq!(header(&records[0], name), Some(value), "{}", name.as_str());
    }
    assert!(records[0].headers.contains(&("ce_tenant".into(), "t-1".into())));
}

#[tokio::test]
async fn a_cloudevent_that_is_none_is_refused_and_not_taken_without_its_attributes() {
    let shop = Shop::open().await;
    let whole =
        [("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-source", "/till"), ("ce-type", "PlaceOrder")];
    for (name, value, named) in [
        ("ce-specversion", "", "CE-Specversion"),
        ("ce-specversion", "0.3", "CE-Specversion"),
        ("ce-id", "", "CE-Id"),
        ("ce-source", "%", ""),
        ("ce-source", " ", "CE-Source"),
        ("ce-type", "PayOrder", "CE-Type"),
        ("ce-dataContentType", "application/json", "CE-Datacontenttype"),
        ("idempotency-key", "e-2", "Idempotency-Key"),
    ] {
        let kept = whole.iter().filter(|(other, _)| *other != name).copied();
        let headers: Vec<_> = kept.chain([(name, value)]).collect();
        let answer = shop.post(ORDERS, &headers, order("o")).await;
        if named.is_empty() {
            assert_eq!(answer.status, 202, "{name}: {value}");
            continue;
        }
        let problem = answer.problem(400, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    for left_out in whole {
        let headers: Vec<_> = whole.iter().filter(|header| **header != left_out).copied().collect();
        shop.post(ORDERS, &headers, order("o")).await.problem(400, "invalid_request");
    }
    shop.stream("/v1/shop/PlaceOrder", &whole, order("o")).await.problem(400, "invalid_request");
    assert_eq!(shop.all_records("orders").await.len(), 1);
}

#[tokio::test]
async fn a_body_that_is_something_else_is_named_with_the_remedy() {
    let shop = Shop::open().await;
    let marked = format!("\u{feff}{}", order("o"));
    assert_eq!(shop.post(ORDERS, &[], marked).await.status, 202);
    let wide: Vec<u8> = order("o").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, said) in [
        (wide, "UTF-16"),
        (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "gzip"),
        (b"\x28\xb5\x2f\xfd\x04\0".to_vec(), "zstd"),
        (format!("{}\n{}\n", order("a"), order("b")).into_bytes(), "application/x-ndjson"),
        (format!("{}{}", order("a"), order("b")).into_bytes(), "application/x-ndjson"),
        (format!("[{},\n{}]", order("a"), order("b")).into_bytes(), "JSON array"),
    ] {
        let problem = shop.post(ORDERS, &[], body).await.problem(400, "invalid_message");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{said}: {problem}");
    }
    assert_eq!(shop.all_records("orders").await.len(), 1);
}

#[tokio::test]
async fn every_wrong_header_is_told() {
    let shop = Shop::open().await;
    let id = "x".repeat(10_240);
    let headers = [("idempotency-key", &*id), ("ce-time", "yesterday"), ("if-match", "W/\"7\"")];
    let problem = shop.post(ORDERS, &headers, order("o")).await.problem(400, "invalid_request");
    let errors = problem["errors"].as_array().unwrap();
    let named: Vec<_> =
        errors.iter().map(|e| (e["parameter"].as_str().unwrap(), e["code"].as_str().unwrap())).collect();
    assert_eq!(
        named,
        [("Idempotency-Key", "out_of_range"), ("CE-Time", "bad_format"), ("If-Match", "bad_format")]
    );
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    shop.post(ORDERS, &twice, order("o")).await.problem(400, "invalid_request");
    let click = r#"{"page":"p"}"#;
    let problem = shop.post("/v1/shop/Clicked", &[("if-match", "\"1\"")], click).await;
    let problem = problem.problem(400, "invalid_request");
    assert!(problem["detail"].as_str().unwrap().contains("Clicked is an event"), "{problem}");
    assert_eq!(shop.all_records("orders").await, vec![]);
}

#[tokio::test]
async fn a_log_that_does_not_take_a_message_is_told_apart_from_one_that_may_have() {
    let shop = Shop::open().await;
    let faults = shop.log.faults();
    faults.fail_next(1, Failure::Full);
    let answer = shop.post(ORDERS, &[("idempotency-key", "k")], order("o")).await;
    let problem = answer.problem(503, "log_full");
    assert_eq!(problem["retryable"], true);
    assert!(answer.header("retry-after").is_some());
    faults.fail_next(1, Failure::Unavailable);
    let answer = shop.post(ORDERS, &[("idempotency-key", "k")], order("o")).await;
    answer.problem(503, "log_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(shop.all_records("orders").await, vec![]);
    faults.fail_next(1, Failure::Unknown(Stands::All));
    let answer = shop.post(ORDERS, &[("idempotency-key", "k")], order("o")).await;
    assert_eq!(answer.problem(504, "append_unknown")["id"], "k");
    assert_eq!(shop.post(ORDERS, &[("idempotency-key", "k")], order("o")).await.status, 202);
    let ids: Vec<_> = shop.all_records("orders").await;
    let ids: Vec<_> = ids.iter().map(|record| header(record, Known::CeId)).collect();
    assert_eq!(ids, [Some("k"), Some("k")]);
    for (outcome, count) in [("full", 1), ("unavailable", 1), ("unknown", 1), ("accepted", 1)] {
        assert_eq!(shop.telemetry.ingest_records("shop", outcome).get(), count, "{outcome}");
    }
    assert_eq!(shop.telemetry.ingest("shop").inflight_bytes.get(), 0);
}

#[tokio::test]
async fn a_message_waits_outside_until_its_schema_has_an_id() {
    let shop = Shop::open().await;
    let mut begun = Control::default();
    put(&mut begun, Entry::defined(&shop.app));
    let whole = shop.control.send_replace(begun.into());
    shop.post(ORDERS, &[], order("o")).await.problem(503, "schema_not_registered");
    shop.control.send_replace(whole);
    assert_eq!(shop.post(ORDERS, &[], order("o")).await.status, 202);
}

#[tokio::test]
async fn messages_are_written_by_the_definition_of_the_active_generation() {
    let shop = Shop::open().await;
    let with_note = |id: &str| json!({"order_id": id, "total_cents": 1, "note": "please"}).to_string();
    let refused = async |id: &str| {
        let problem = shop.post(ORDERS, &[], with_note(id)).await.problem(400, "invalid_message");
        assert!(mistakes(&problem).iter().any(|(pointer, _)| pointer == "#/note"), "{problem}");
    };
    refused("o-1").await;

    // Another definition is built beside the active one, and changes nothing until it is activated.
    let changed = changed(|path, text| match path {
        "PlaceOrder.avsc" => text.replace(
            "{\"name\":\"total_cents\"",
            "{\"name\":\"note\",\"type\":\"string\",\"default\":\"\"},{\"name\":\"total_cents\"",
        ),
        _ => text,
    });
    let say = |entry| shop.control.send_modify(|control| put(Arc::make_mut(control), entry));
    say(Entry::defined(&changed));
    let schema = changed.message("PlaceOrder").map(|(of, at)| of.topic.messages[at].schema_json.clone());
    say(Entry::SchemaRegistered { id: SchemaId(200), schema: schema.unwrap() });
    say(building(changed.projection("orders").unwrap(), 2));
    refused("o-2").await;
    let lines = format!("{}\n", with_note("o-3"));
    assert_eq!(shop.stream(ORDERS, &[], lines.clone()).await.lines()[0]["status"], 400);

    say(Entry::Activated { topic: "orders".into(), generation: 2 });
    assert_eq!(shop.post(ORDERS, &[], with_note("o-4")).await.status, 202);
    assert_eq!(shop.stream(ORDERS, &[], lines).await.lines()[0]["status"], 202);
    let ids: Vec<_> = shop.all_records("orders").await.into_iter().map(|record| record.schema).collect();
    assert_eq!(ids, [SchemaId(200), SchemaId(200)]);
    say(Entry::Activated { topic: "orders".into(), generation: 1 });
    refused("o-5").await;
}

#[tokio::test]
async fn depth_is_bounded_by_the_setting() {
    let mut settings = Settings::default();
    settings.limits.depth = 2;
    let shop = Shop::with(settings).await;
    let problem = shop.post(ORDERS, &[], order("o")).await.problem(400, "invalid_message");
    assert_eq!(mistakes(&problem)[0].1, "too_deep");
}
