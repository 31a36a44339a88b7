//! Data folders that an earlier release wrote are opened, or the remedy is named and helps. `data_folders/` has two of
//! each of two apps, written by release 7ea10d2 (fold semantics 1): one that was closed in order, one whose process was
//! killed. `make.py` there made those of `market`, which have rows of every kind and a replay behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Client, Node, tidefold, verify};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_folders")
}

/// The rows that the folder's writer answered with: 40 orders of four customers, one command that was rejected.
async fn holds_its_rows(node: &Node, which: &str) {
    let client = Client::new();
    for customer in 0..4u64 {
        let url = format!("{}/v1/shop/cents_by_customer?customer_id=c-{customer}", node.http);
        let orders: Vec<u64> = (1..=40).filter(|n| n % 4 == customer).collect();
        let answer = client.get(&url, &[]).await;
        let row = &answer.body["items"][0];
        assert_eq!(row["orders"], 10, "{which}: {answer:?}");
        assert_eq!(row["cents"], orders.iter().sum::<u64>(), "{which}: {answer:?}");
        let list =
            client.get(&format!("{}/v1/shop/by_customer?customer_id=c-{customer}", node.http), &[]).await;
        assert_eq!(list.body["items"].as_array().map(Vec::len), Some(10), "{which}: {list:?}");
    }
    let outcome = client.get(&format!("{}/v1/shop/outcomes/orders:0:24", node.http), &[]).await;
    assert_eq!(outcome.body["outcome"], "rejected", "{which}: {outcome:?}");
}

/// Starts a node on a kept data folder.
fn start(app: &str, archive: &str, data: &Path) -> Node {
    std::fs::create_dir(data).unwrap();
    let archive = kept().join(format!("{archive}.tar.gz"));
    let unpacked = Command::new("tar").arg("-xzSf").arg(&archive).arg("-C").arg(data).status().unwrap();
    assert!(unpacked.success());
    Node::try_start(&kept().join(app), data, &[])
        .unwrap_or_else(|said| panic!("{}: {said}", archive.display()))
}

/// What the release that wrote the folder answered, path by path, is what is answered now. Problems are compared by their
/// codes.
async fn answers_as_recorded(node: &Node, which: &str) {
    let recorded = std::fs::read_to_string(kept().join("market_answers.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let client = Client::new();
    for (path, wanted) in recorded[which].as_object().unwrap() {
        let answer = client.get(&format!("{}/v1/market/{path}", node.http), &[]).await;
        assert_eq!(answer.status, wanted["status"], "{which}, {path}: {answer:?}");
        if answer.status == 200 {
            assert_eq!(answer.body, wanted["body"], "{which}, {path}");
        } else {
            assert_eq!(answer.body["code"], wanted["body"]["code"], "{which}, {path}");
        }
    }
}

/// What a message comes to.
async fn sent(node: &Node, kind: &str, id: &str, body: &Value) -> Value {
    let url = format!("{}/v1/market/{kind}", node.http);
    let answer =
        Client::new().post(&url, &[("prefer", "wait=10"), ("idempotency-key", id)], body).await.unwrap();
    assert!(answer.status < 500 && !answer.body["outcome"].is_null(), "{kind} {id}: {answer:?}");
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_the_previous_format_answers_as_it_did_and_goes_on() {
    for which in ["closed", "killed"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let node = start("market", &format!("market_{which}"), &data);
        // Its tables are read as they are, and say that they are not folded on before a replay.
        answers_as_recorded(&node, which).await;
        let ready = Client::new().get(&format!("{}/readyz?verbose", node.admin), &[]).await;
        assert!(ready.body.to_string().contains("tidefold replay"), "{which}: {ready:?}");
        let (code, out, err) = tidefold(&["replay", "market", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{which}: {out}{err}");
        answers_as_recorded(&node, which).await;

        // The ids of the old folder count, and so do its states.
        let order = |n: u64| json!({ "order_id": format!("o-{n}"), "customer_id": "c-2", "cents": 7 });
        let again = sent(&node, "PlaceOrder", "place-11", &order(11)).await;
        assert_eq!((&again["outcome"], &again["of"]), (&json!("duplicate"), &json!("orders:1:3")), "{again}");
        let refused = sent(&node, "PayOrder", "pay-once-more", &json!({ "order_id": "o-2" })).await;
        assert_eq!(refused["codes"], json!(["not_payable"]), "{refused}");
        let paid = sent(&node, "PayOrder", "pay-11", &json!({ "order_id": "o-11" })).await;
        assert_eq!(paid["outcome"], "applied", "{paid}");
        let placed = sent(&node, "PlaceOrder", "place-20", &order(20)).await;
        assert_eq!(placed["outcome"], "applied", "{placed}");
        let seen = json!({ "visitor": "v-9", "page": "home", "millis": 1, "browser": "b9" });
        assert_eq!(sent(&node, "PageSeen", "seen-9", &seen).await["outcome"], "applied");

        let went_on = async |node: &Node| {
            let of = |path: &str| format!("{}/v1/market/{path}", node.http);
            let orders = Client::new().get(&of("cents_by_customer?customer_id=c-2"), &[]).await;
            let row = json!({ "customer_id": "c-2", "orders": 5, "cents": 1514, "mean": 302.8 });
            assert_eq!(orders.body["items"], json!([row]), "{which}");
            let visits = Client::new().get(&of("visits_by_page?page=home"), &[]).await;
            let row =
                json!({ "page": "home", "visits": 4, "quickest": 1, "last_browser": "b9", "visitors": 3 });
            assert_eq!(visits.body["items"], json!([row]), "{which}");
            verify(node, "market");
        };
        went_on(&node).await;
        let (code, out, err) = tidefold(&["replay", "market", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{which}: {out}{err}");
        went_on(&node).await;
        assert_eq!(node.terminate(), Some(0));
        went_on(&Node::try_start(&kept().join("market"), &data, &[]).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_an_earlier_release_is_opened_and_a_replay_brings_its_tables() {
    for which in ["closed", "killed"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let node = start("shop", which, &data);
        let ready = Client::new().get(&format!("{}/readyz?verbose", node.admin), &[]).await;
        let said = ready.body.to_string();
        assert!(said.contains("tidefold replay"), "{which}: it says what to do: {said}");
        let (code, out, err) = tidefold(&["replay", "shop", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{which}: {out}{err}");
        holds_its_rows(&node, which).await;
        assert_eq!(node.terminate(), Some(0));
        let node = Node::try_start(&kept().join("shop"), &data, &[])
            .unwrap_or_else(|said| panic!("{which}: {said}"));
        holds_its_rows(&node, which).await;
    }
}
