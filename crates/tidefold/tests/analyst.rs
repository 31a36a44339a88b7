//! Whoever has a CQL tool and no API reads a rollup: the statements of `docs/servers.md` find what queries answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use support::backends::Backends;
use support::tables::Tables;
use support::{Client, Node, root, tidefold, verify};

/// The statement of the document's block that begins with these words.
fn documented(begins: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/servers.md")).unwrap();
    let blocks = page.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    let found = blocks.into_iter().find(|block| block.starts_with(begins));
    found.unwrap_or_else(|| panic!("docs/servers.md has no SQL that begins with {begins}")).to_owned()
}

async fn send(client: &Client, node: &Node, lines: &[Value]) {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let sent = client.send("POST", &format!("{}/v1/storefront", node.http), &headers, body).await.unwrap();
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(tidefold(&["status", "--wait", "--node", &node.admin]).0, 0);
}

/// Orders over three minutes, in two currencies, one of which is cancelled after it was paid, and was all of its minute.
fn orders() -> Vec<Value> {
    let mut lines = Vec::new();
    let mut line = |kind: &str, at: u32, n: u32, data: Value| {
        let time = format!("2026-03-02T10:{:02}:{:02}Z", at / 60, at % 60);
        lines.push(json!({ "type": kind, "id": format!("{kind}-{n}"), "time": time, "data": data }));
    };
    for n in 0..40_u32 {
        let (id, currency) = (format!("o-{n}"), if n % 4 == 3 { "USD" } else { "EUR" });
        let at = if n == 39 { 500 } else { n * 4 };
        let order = json!({ "order_id": id, "customer_id": "c-1", "currency": if n == 39 { "EUR" } else { currency },
                            "total_cents": 1_000_000_000_000_u64 + u64::from(n), "items": [] });
        line("PlaceOrder", at, n, order);
        line("PayOrder", at, n, json!({ "order_id": id }));
        if n % 10 == 9 {
            line("CancelOrder", at, n, json!({ "order_id": id }));
        }
    }
    lines
}

/// Minute, orders and cents as queries answer them.
async fn answered(client: &Client, node: &Node) -> BTreeMap<i64, (i64, String)> {
    let url = format!(
        "{}/v1/storefront/revenue_by_minute?currency=EUR&day=2026-03-02T00:00:00Z&limit=1000",
        node.http
    );
    let answer = client.get(&url, &[]).await;
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    let row = |item: &Value| {
        let minute: Timestamp = item["minute"].as_str().unwrap().parse().unwrap();
        (minute.as_millisecond(), (item["orders"].as_i64().unwrap(), item["revenue_cents"].to_string()))
    };
    items.iter().map(row).collect()
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_cql_reads_the_revenue_of_each_minute_that_queries_answer() {
    let backends = Backends::of("embedded", "scylla");
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    send(&client, &node, &orders()).await;
    let wanted = answered(&client, &node).await;
    assert_eq!(wanted.len(), 3, "{wanted:?}");

    let tables = Tables::of(&backends, "storefront").await;
    let statement = documented("SELECT minute, SUM").replace("storefront.", "KS.");
    let rows = tables.minutes(&statement).await;
    // The minute whose only order was cancelled is there, and empty.
    assert_eq!(rows.iter().filter(|(_, _, _, counted)| *counted == 0).count(), 1, "{rows:?}");
    let found: BTreeMap<i64, (i64, String)> = rows
        .into_iter()
        .filter(|(_, _, _, counted)| *counted > 0)
        .map(|(minute, orders, cents, _)| (minute, (orders, cents)))
        .collect();
    assert_eq!(found, wanted);
    verify(&node, "storefront");

    // What tells that a row's columns are as old as the row.
    let stale = documented("SELECT currency").replace("storefront.", "KS.");
    for [counted, written] in tables.times(&stale).await {
        assert_eq!(counted, written);
    }
}
