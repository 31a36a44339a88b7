//! Many messages in one request, streamed both ways.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::{Shop, header, impatient, mistakes};
use tidefold_ingest::Settings;
use tidefold_log::memory::{Failure, MemoryLog, Stands};
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Topic, TopicSpec};
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tokio::sync::{mpsc, watch};

const NDJSON: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

fn pay(id: &str, order: &str) -> String {
    json!({"type": "PayOrder", "id": id, "data": {"order_id": order}}).to_string()
}

fn statuses(lines: &[Value]) -> Vec<u64> {
    for (place, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], place, "{line}");
    }
    lines.iter().map(|line| line["status"].as_u64().unwrap()).collect()
}

fn chunks(parts: Vec<String>) -> Body {
    Body::from_stream(stream::iter(parts.into_iter().map(|part| Ok::<_, Infallible>(Bytes::from(part)))))
}

#[tokio::test]
async fn a_bad_line_does_not_stop_the_others() {
    let shop = Shop::open().await;
    let lines = [
        pay("p-1", "o-1"),
        String::new(),
        r#"{"type":"PayOrder","id":"p-2","data":{"order_id":7,"x":1}}"#.into(),
        "{oops".into(),
        r#"{"type":"PayOder","id":"p-4","data":{}}"#.into(),
        r#"{"type":"PlaceOrder","Id":"p-5","data":{"order_id":"o"}}"#.into(),
        r#"{"type":"Clicked","ifmatch":1,"data":{"page":"x"}}"#.into(),
        "   ".into(),
        pay("p-7", "o-1"),
    ];
    let answer = shop.stream("/v1/shop", &[], lines.join("\n")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = answer.lines();
    assert_eq!(statuses(&lines), [202, 400, 400, 404, 400, 400, 202]);
    assert_eq!((&lines[0]["id"], &lines[6]["id"]), (&json!("p-1"), &json!("p-7")));
    let is = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect()
    };
    let problem = &lines[1]["problem"];
    assert_eq!((&problem["code"], &lines[1]["id"]), (&json!("invalid_message"), &json!("p-2")));
    assert_eq!(mistakes(problem), is(&[("#/data/order_id", "wrong_type"), ("#/data/x", "unknown_field")]));
    assert_eq!(mistakes(&lines[2]["problem"]), is(&[("#", "invalid_json")]));
    assert_eq!(lines[3]["problem"]["code"], "unknown_message_type");
    assert!(lines[3]["problem"]["detail"].as_str().unwrap().contains("`PayOrder`"));
    assert_eq!(lines[4]["problem"]["code"], "invalid_envelope");
    assert_eq!(
        mistakes(&lines[4]["problem"]),
        is(&[("#/Id", "unknown_field"), ("#/data/total_cents", "missing_field")])
    );
    assert_eq!(mistakes(&lines[5]["problem"]), is(&[("#/ifmatch", "not_conditional")]));
    let ids: Vec<_> = shop.all_records("orders").await;
    let ids: Vec<_> = ids.iter().map(|record| header(record, Known::CeId).unwrap().to_owned()).collect();
    assert_eq!(ids, ["p-1", "p-7"]);
    assert_eq!(shop.telemetry.ingest_records("shop", "accepted").get(), 2);
    assert_eq!(shop.telemetry.ingest_records("shop", "invalid").get(), 5);
}

#[tokio::test]
async fn a_lines_attributes_stand_in_its_record() {
    let shop = Shop::open().await;
    let line = json!({"specversion": "1.0", "type": "PayOrder", "id": "p", "source": "/till/7", "ifmatch": 3,
        "time": "2026-01-01T00:00:00+01:00", "subject": "s", "tenant": "t-1", "data": {"order_id": "o"}});
    let headers = [("ce-time", "2020-01-01T00:00:00Z"), ("prefer", "wait=20")];
    let answer = shop.stream("/v1/shop", &headers, line.to_string()).await;
    assert_eq!(statuses(&answer.lines()), [202]);
    assert_eq!(answer.header("preference-applied"), None, "a line does not wait for its outcome");
    let records = shop.all_records("orders").await;
    let record = &records[0];
    for (name, value) in [
        (Known::CeId, "p"),
        (Known::CeSource, "/till/7"),
        (Known::CeTime, "2025-12-31T23:00:00Z"),
        (Known::CeSubject, "s"),
        (Known::IfMatch, "3"),
        (Known::Caller, "anonymous"),
    ] {
        assert_eq!(header(record, name), Some(value), "{}", name.as_str());
    }
    assert!(record.headers.contains(&("ce_tenant".into(), "t-1".into())), "{:?}", record.headers);
}

#[tokio::test]
async fn lines_of_one_type_are_messages_alone_and_share_the_requests_key() {
    let shop = Shop::open().await;
    let body = "{\"page\":\"a\"}\n{\"page\":1}\n{\"page\":\"b\"}\n";
    let headers = [("idempotency-key", "day-7"), ("ce-time", "2026-01-01T00:00:00Z")];
    let answer = shop.stream("/v1/shop/Clicked", &headers, body).await;
    let lines = answer.lines();
    assert_eq!(statuses(&lines), [202, 400, 202]);
    assert_eq!((&lines[0]["id"], &lines[2]["id"]), (&json!("day-7:0"), &json!("day-7:2")));
    assert_eq!(mistakes(&lines[1]["problem"]), [("#/page".to_owned(), "wrong_type".to_owned())]);
    let records = shop.all_records("clicks").await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|r| header(r, Known::CeTime) == Some("2026-01-01T00:00:00Z")));
    let lines = shop.stream("/v1/shop/Clicked", &[], body).await.lines();
    assert_ne!(lines[0]["id"], lines[2]["id"]);
}

#[tokio::test]
async fn headers_about_one_message_are_refused_for_many() {
    let shop = Shop::open().await;
    let key = "k".repeat(235);
    for headers in [("if-match", "\"1\""), ("idempotency-key", &*key)] {
        let answer = shop.stream("/v1/shop", &[headers], pay("p", "o")).await;
        answer.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn no_line_is_taken_out_of_a_layout() {
    let shop = Shop::open().await;
    let array = "[\n {\"page\":\"a\"},\n {\"page\":\"b\"}\n]\n";
    let laid_out = "{\n \"page\":\n\"a\"\n}\n{\"page\":\"b\"}\n";
    for body in [
        array.to_owned(),
        array.replace('\n', "\r\n"),
        format!("\u{feff}{array}"),
        laid_out.into(),
        "[{\"page\":\"a\"}]".into(),
    ] {
        for path in ["/v1/shop/Clicked", "/v1/shop"] {
            let lines = shop.stream(path, &[], body.clone()).await.lines();
            assert_eq!(lines.len(), body.lines().count());
            for line in lines {
                assert_eq!(line["status"], 400, "{line}");
                let said = line["problem"]["detail"].as_str().unwrap();
                assert!(said.contains("one JSON object a line") || said.contains("on one line"), "{said}");
            }
        }
    }
    assert_eq!(shop.all_records("clicks").await.len(), 0);
    let torn = "{\"page\":\n{\"page\":\"b\"}\n\u{feff}{\"page\":\"c\"}\n{\"page\":\"d\"}{\"page\":\"e\"}\n";
    let lines = shop.stream("/v1/shop/Clicked", &[], torn).await.lines();
    assert_eq!(statuses(&lines), [400, 202, 202, 400]);
    assert!(lines[3]["problem"]["detail"].as_str().unwrap().contains("--data-binary"));
}

/// In every encoding but UTF-8 a stream is named in its first answer, and nothing of it is taken.
#[tokio::test]
async fn a_stream_in_another_encoding_is_named() {
    let shop = Shop::open().await;
    let wide = |text: &str, big_endian: bool| -> Vec<u8> {
        let bytes = |unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    };
    for (path, line) in
        [("/v1/shop/Clicked", r#"{"page":"a"}"#), ("/v1/shop", r#"{"type":"Clicked","data":{"page":"a"}}"#)]
    {
        let text = format!("{line}\n{line}\n");
        let marked = format!("\u{feff}{text}");
        let bodies: [(Vec<u8>, &str); 6] = [
            (wide(&text, false), "UTF-16LE"),
            (wide(&marked, false), "UTF-16LE"),
            (wide(&text, true), "UTF-16BE"),
            (wide(&marked, true), "UTF-16BE"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03rest".to_vec(), "gzip"),
            (b"\x28\xb5\x2f\xfd\x04\0rest".to_vec(), "zstd"),
        ];
        for (body, named) in bodies {
            let lines = shop.stream(path, &[], body).await.lines();
            assert!(lines.iter().all(|line| line["status"] == 400), "{named}: {lines:?}");
            let said = lines[0]["problem"]["detail"].as_str().unwrap();
            assert!(said.contains(named) && said.contains("first"), "{named}: {said}");
        }
        assert_eq!(statuses(&shop.stream(path, &[], marked.clone()).await.lines()), [202, 202], "{path}");
    }
    assert_eq!(shop.all_records("clicks").await.len(), 4);
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_and_the_stream_goes_on() {
    let mut settings = Settings::default();
    settings.limits.line_bytes = 200;
    let shop = Shop::with(settings).await;
    let long = pay("p-1", &"x".repeat(50_000));
    let text = [pay("p-0", "o"), long.clone(), pay("p-2", "o"), long].join("\n");
    let parts = text.as_bytes().chunks(7_000).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
    let lines = shop.stream("/v1/shop", &[], chunks(parts)).await.lines();
    assert_eq!(statuses(&lines), [202, 413, 202, 413]);
    assert_eq!(lines[1]["problem"]["code"], "line_too_long");
    assert_eq!(lines[1]["problem"]["limit_bytes"], 200);
}

#[tokio::test]
async fn data_nested_ten_thousand_deep_is_one_bad_line() {
    let shop = Shop::open().await;
    let deep = format!(r#"{{"type":"PayOrder","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let lines = shop.stream("/v1/shop", &[], [pay("a", "o"), deep, pay("b", "o")].join("\n")).await.lines();
    assert_eq!(statuses(&lines), [202, 400, 202]);
}

#[tokio::test]
async fn an_empty_body_has_an_empty_answer() {
    let shop = Shop::open().await;
    let answer = shop.stream("/v1/shop", &[], "\n\n").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}

#[tokio::test]
async fn a_line_is_answered_before_the_next_is_sent() {
    let shop = Shop::open().await;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let body = Body::from_stream(stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|part| part.map(Ok::<_, Infallible>))
    }));
    let mut answers = shop.start(Method::POST, "/v1/shop", &NDJSON, body).await.into_body();
    for n in 0..5 {
        sender.send(format!("{}\n", pay(&format!("p-{n}"), "o")).into()).await.unwrap();
        let answer = answers.frame().await.unwrap().unwrap().into_data().unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&answer["index"], &answer["status"]), (&json!(n), &json!(202)));
    }
    drop(sender);
    assert!(answers.frame().await.is_none());
}

#[tokio::test]
async fn a_client_that_stalls_is_told_what_was_accepted() {
    let shop = Shop::with(impatient()).await;
    let part = format!("{}\n{}\n{{\"type\":", pay("p-0", "o"), pay("p-1", "o"));
    let stalled = stream::iter([Ok::<_, Infallible>(Bytes::from(part))]).chain(stream::pending());
    let lines = shop.stream("/v1/shop", &[], Body::from_stream(stalled)).await.lines();
    assert_eq!(statuses(&lines), [202, 202, 408]);
    assert_eq!(lines[2]["problem"]["code"], "body_timeout");
    assert_eq!(shop.all_records("orders").await.len(), 2);
}

#[tokio::test]
async fn a_body_of_any_size_keeps_the_order_of_each_keys_lines() {
    let settings = Settings { chunk_lines: 37, chunks_in_flight: 3, ..Settings::default() };
    let shop = Shop::with(settings).await;
    let count = 6_000;
    let text: String = (0..count).map(|n| pay(&format!("p-{n}"), &format!("o-{}", n % 7)) + "\n").collect();
    let parts = text.as_bytes().chunks(1_913).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
    let lines = shop.stream("/v1/shop", &[], chunks(parts)).await.lines();
    assert_eq!(lines.len(), count);
    assert!(statuses(&lines).iter().all(|status| *status == 202));
    let mut last: HashMap<String, i64> = HashMap::new();
    let records = shop.all_records("orders").await;
    assert_eq!(records.len(), count);
    for record in &records {
        let id: i64 = header(record, Known::CeId).unwrap()[2..].parse().unwrap();
        assert!(
            last.insert(record.key.clone(), id).is_none_or(|before| before < id),
            "{} overtook",
            record.key
        );
    }
    let at: HashMap<String, (u64, String)> = records
        .into_iter()
        .map(|record| (header(&record, Known::CeId).unwrap().to_owned(), (record.offset, record.key)))
        .collect();
    for line in &lines {
        let (offset, _) = &at[line["id"].as_str().unwrap()];
        assert!(line["position"].as_str().unwrap().ends_with(&format!(":{offset}")), "{line}");
    }
}

#[tokio::test]
async fn a_full_log_is_waited_for() {
    let shop = Shop::open().await;
    shop.log.faults().fail_next(3, Failure::Full);
    let lines = shop.stream("/v1/shop", &[], [pay("a", "o"), pay("b", "o")].join("\n")).await.lines();
    assert_eq!(statuses(&lines), [202, 202]);
}

#[tokio::test]
async fn behind_a_failed_line_none_of_its_partition_overtakes() {
    for (failure, status, code) in [
        (Failure::Full, 503, "log_full"),
        (Failure::Unavailable, 503, "log_unavailable"),
        (Failure::Unknown(Stands::None), 504, "append_unknown"),
    ] {
        let shop = Shop::with(Settings { chunk_lines: 1, ..impatient() }).await;
        shop.log.faults().fail_next(1, failure);
        let text = (0..4).map(|n| pay(&format!("p-{n}"), "o")).collect::<Vec<_>>().join("\n");
        let lines = shop.stream("/v1/shop", &[], text).await.lines();
        assert_eq!(statuses(&lines), [status, 503, 503, 503], "{failure:?}");
        assert_eq!(lines[0]["problem"]["code"], code);
        assert_eq!(lines[0]["id"], "p-0");
        assert!(lines[3]["problem"]["detail"].as_str().unwrap().contains("order"), "{}", lines[3]);
        assert_eq!(lines[3]["problem"]["retryable"], true);
        assert_eq!(shop.all_records("orders").await, vec![]);
    }
}

/// A log that takes no record with a value over some bytes.
struct Narrow(MemoryLog, usize);

impl Log for Narrow {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        self.0.open(spec)
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        let sizes = batch.iter(Offset::ZERO).map(|record| record.value.unwrap_or_default().len());
        let large = sizes.enumerate().find(|(_, size)| *size > self.1);
        match large {
            Some((index, size_bytes)) => {
                async move { Err(LogError::TooLarge { index, size_bytes, limit_bytes: self.1 }) }.boxed()
            }
            None => self.0.append(topic, partition, batch),
        }
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        self.0.read(topic, partition, from, limit)
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        self.0.bounds(topic, partition)
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.0.watch_end(topic, partition)
    }

    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        self.0.join(group, topics)
    }
}

#[tokio::test]
async fn a_record_too_large_for_the_log_fails_alone() {
    let log = MemoryLog::new();
    let shop = Shop::on(Settings::default(), log.clone(), Arc::new(Narrow(log, 120))).await;
    let place = |id: &str, items: usize| {
        let items: Vec<_> = (0..items).map(|_| json!({"sku": "abcdefgh", "qty": 1})).collect();
        json!({"type": "PlaceOrder", "id": id, "data": {"order_id": "o", "total_cents": 1, "items": items}})
            .to_string()
    };
    let text = [place("a", 1), place("b", 50), place("c", 1), place("d", 60), place("e", 2)].join("\n");
    let lines = shop.stream("/v1/shop", &[], text).await.lines();
    assert_eq!(statuses(&lines), [202, 413, 202, 413, 202]);
    assert_eq!(lines[1]["problem"]["code"], "message_too_large");
    assert_eq!(lines[1]["problem"]["limit_bytes"], 120);
    let ids: Vec<_> = shop.all_records("orders").await;
    let ids: Vec<_> = ids.iter().map(|record| header(record, Known::CeId).unwrap().to_owned()).collect();
    assert_eq!(ids, ["a", "c", "e"]);
    let large =
        json!({"order_id": "o", "total_cents": 1, "items": vec![json!({"sku": "abcdefgh", "qty": 1}); 50]});
    let problem =
        shop.post("/v1/shop/PlaceOrder", &[], large.to_string()).await.problem(413, "message_too_large");
    assert!(problem["actual_bytes"].as_u64().unwrap() > 120);
}
