//! What a retry is answered: what the first attempt was, whatever became of the entity, the node or its tables since.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node, tidefold, verify};

/// A message, and the headers and body of every attempt.
type Attempt = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// Refused by a guard, refused by the state it is sent in, and conditional on a version that is not there.
const REFUSED: [Attempt; 3] = [
    ("ShipOrder", &[("idempotency-key", "ship-1")], r#"{"order_id":"o-1"}"#),
    ("PayOrder", &[("idempotency-key", "pay-9")], r#"{"order_id":"o-9"}"#),
    ("PayOrder", &[("idempotency-key", "pay-1"), ("if-match", "\"7\"")], r#"{"order_id":"o-1"}"#),
];

on_every_log_and_store!(a_retry_of_a_refused_command_is_answered_as_the_first_attempt_was,);

async fn send(node: &Node, (message, headers, body): Attempt) -> (u16, Value) {
    let url = format!("{}/v1/storefront/{message}", node.http);
    let headers = [&[("prefer", "wait=10")], headers].concat();
    let body: Value = serde_json::from_str(body).unwrap();
    let answer = Client::new().post(&url, &headers, &body).await.unwrap();
    (answer.status, answer.body)
}

/// What does not differ between a first attempt and its retries.
fn said((status, body): &(u16, Value)) -> (u16, Value) {
    (*status, json!([body["code"], body["codes"], body["outcome"], body["id"]]))
}

async fn a_retry_of_a_refused_command_is_answered_as_the_first_attempt_was(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let start = || Node::start_with("storefront", folder.path(), &backends.flags());
    let node = start();
    let order: Attempt = (
        "PlaceOrder",
        &[("idempotency-key", "place-1")],
        r#"{"order_id":"o-1","customer_id":"c-1","currency":"EUR","total_cents":5,"items":[]}"#,
    );
    assert_eq!(send(&node, order).await.1["outcome"], "applied");
    let mut first = Vec::new();
    for attempt in REFUSED {
        first.push(send(&node, attempt).await);
    }
    assert_eq!(first.iter().map(|answer| answer.0).collect::<Vec<_>>(), [409, 409, 412], "{first:?}");
    let again = async |node: &Node, when: &str| {
        for (attempt, first) in REFUSED.into_iter().zip(&first) {
            let retried = send(node, attempt).await;
            assert_eq!(said(&retried), said(first), "{when}: {first:?} and {retried:?}");
            let of = retried.1["of"].as_str().or(retried.1["position"].as_str());
            assert_eq!(of, first.1["position"].as_str(), "{when}: {retried:?}");
        }
    };
    again(&node, "at once").await;

    // Now each of them would be applied, were it new.
    let place_9: Attempt = (
        "PlaceOrder",
        &[],
        r#"{"order_id":"o-9","customer_id":"c-9","currency":"EUR","total_cents":5,"items":[]}"#,
    );
    for attempt in [place_9, ("PayOrder", &[], r#"{"order_id":"o-1"}"#)] {
        assert_eq!(send(&node, attempt).await.1["outcome"], "applied");
    }
    again(&node, "after it would be applied").await;
    node.kill();
    let node = start();
    again(&node, "after a kill").await;
    let act = |verb: &str| {
        let (code, _, err) = tidefold(&[verb, "storefront", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{verb}: {err}");
    };
    act("replay");
    again(&node, "after a replay").await;
    act("rollback");
    again(&node, "after a roll back").await;
    verify(&node, "storefront");
    assert_eq!(node.terminate(), Some(0));
    again(&start(), "after a restart").await;
}
