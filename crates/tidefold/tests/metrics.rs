//! A real node counts every metric there is, and says what is wrong with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::json;
use support::backends::Backends;
use support::{Client, Node, tidefold};
use tidefold_telemetry::metrics::{CATALOG, Kind, Metric};

fn is_counted(text: &str, metric: &Metric) -> bool {
    let histogram = matches!(metric.kind, Kind::RequestSeconds | Kind::StepSeconds | Kind::Amount);
    let sample = format!("{}{}{{", metric.name, if histogram { "_count" } else { "" });
    text.lines().any(|line| line.starts_with(&sample))
}

async fn scrape(client: &Client, node: &Node) -> String {
    let answer = client.get(&format!("{}/metrics", node.admin), &[]).await;
    answer.body.as_str().unwrap().to_owned()
}

/// Metrics of what goes on beside requests come in their own time: asked again until all are there.
async fn until(client: &Client, node: &Node, there: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for _ in 0..20_000 {
        text = scrape(client, node).await;
        if there(&text) {
            return text;
        }
    }
    panic!("not there:\n{text}")
}

on_every_log_and_store!(
    every_metric_of_the_list_is_counted_by_a_node,
    dead_letters_that_stand_are_counted_with_the_age_of_the_oldest,
);

async fn every_metric_of_the_list_is_counted_by_a_node(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    let order =
        json!({ "order_id": "o-1", "customer_id": "c", "currency": "EUR", "total_cents": 5, "items": [] });
    let post = format!("{}/v1/storefront/PlaceOrder", node.http);
    let placed = client.post(&post, &[("prefer", "wait=10")], &order).await.unwrap();
    assert_eq!(placed.status, 200, "{placed:?}");
    let position = placed.body["position"].as_str().unwrap().to_owned();
    let read = format!("{}/v1/storefront/orders/o-1", node.http);
    assert_eq!(client.get(&read, &[("tidefold-min-position", &position)]).await.status, 200);
    let (code, _, err) = tidefold(&["replay", "storefront", "-q", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    let text = until(&client, &node, |text| CATALOG.iter().all(|metric| is_counted(text, metric))).await;
    if backends.log_is_embedded() {
        // One process owns all of a log in a folder, from start to end; in a group partitions come and go.
        let rebalances = "tidefold_rebalances_total{group=\"tidefold.storefront\"} 0";
        assert!(text.lines().any(|line| line == rebalances), "{text}");
    }
    let version = format!("tidefold_build_info{{version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.lines().any(|line| line.starts_with(&version) && line.ends_with(" 1")), "{text}");
    let ready = client.get(&format!("{}/readyz", node.admin), &[]).await;
    assert_eq!((ready.status, ready.body.as_str()), (200, Some("ok\n")));
}

async fn dead_letters_that_stand_are_counted_with_the_age_of_the_oldest(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("pizzeria", folder.path(), &backends.flags());
    let client = Client::new();
    // An event that says what another has said already.
    let order = json!({ "order_id": "2015-1", "ordered_at": "2015-01-01T11:38:36", "items": [] });
    for _ in 0..2 {
        let post = format!("{}/v1/pizzeria/OrderPlaced", node.http);
        let placed = client.post(&post, &[], &order).await.unwrap();
        assert_eq!(placed.status, 202, "{placed:?}");
        let position = placed.body["position"].as_str().unwrap().to_owned();
        let read = format!("{}/v1/pizzeria/orders/2015-1", node.http);
        assert_eq!(client.get(&read, &[("tidefold-min-position", &position)]).await.status, 200);
    }
    // A node counts what stands when it starts.
    assert_eq!(node.terminate(), Some(0));
    let node = Node::start_with("pizzeria", folder.path(), &backends.flags());
    let counted = "tidefold_dlq_messages{topic=\"orders\"} 1";
    let text = until(&client, &node, |text| text.lines().any(|line| line == counted)).await;
    let age =
        text.lines().find_map(|line| line.strip_prefix("tidefold_dlq_oldest_age_seconds{topic=\"orders\"} "));
    assert!(age.unwrap().parse::<f64>().unwrap() > 0.0, "{text}");
}
