//! A real node counts every metric there is, and says what is wrong with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use support::backends::Backends;
use support::exposition;
use support::{Client, Node, tidefold};
use tidefold_log::Log;
use tidefold_log_embedded::EmbeddedLog;
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, Headers, HeadersBuilder, TopicName, partition_of};
use tidefold_telemetry::metrics::{CATALOG, Kind, Metric};

fn is_counted(text: &str, metric: &Metric) -> bool {
    let histogram = matches!(metric.kind, Kind::RequestSeconds | Kind::StepSeconds | Kind::Amount);
    let sample = format!("{}{}{{", metric.name, if histogram { "_count" } else { "" });
    text.lines().any(|line| line.starts_with(&sample))
}

/// What scrapers and people send.
const ACCEPTS: [(&str, Option<&str>, bool); 9] = [
    ("none", None, false),
    ("anything", Some("*/*"), false),
    ("curl's of a browser", Some("text/html,application/xhtml+xml,*/*;q=0.8"), false),
    ("text", Some("text/plain"), false),
    ("text of a version", Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), false),
    ("OpenMetrics", Some("application/openmetrics-text"), true),
    ("OpenMetrics of a version", Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), true),
    (
        "Prometheus",
        Some(
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
        false,
    ),
    ("something else", Some("application/json"), false),
];

/// `promtool check metrics`, where it is installed: what it finds wrong.
fn promtool(text: &str) -> Option<String> {
    let program = std::env::var("TIDEFOLD_TEST_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let spawned = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("promtool is not installed: only our own reading of the format is held");
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
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
    metrics_read_well_whatever_a_scraper_accepts,
    every_metric_of_the_list_is_counted_by_a_node,
    dead_letters_that_stand_are_counted_with_the_age_of_the_oldest,
);

async fn metrics_read_well_whatever_a_scraper_accepts(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    tidefold(&["publish", "storefront", "--synthetic", "50", "--url", &node.http, "-q"]);
    tidefold(&["status", "--wait", "--node", &node.admin]);
    for (name, accept, open) in ACCEPTS {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let answer = client.get(&format!("{}/metrics", node.admin), &headers).await;
        let text = answer.body.as_str().unwrap();
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert_eq!(kind.starts_with("application/openmetrics-text; version=1.0.0"), open, "{name}: {kind}");
        assert_eq!(kind.starts_with("text/plain; version=0.0.4"), !open, "{name}: {kind}");
        let families = exposition::read(text, open);
        assert!(families.len() > 20, "{name}: {families:?}");
        let told = promtool(text);
        assert_eq!(told, None, "{name}");
    }
}

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
    // What is only counted where something fails.
    let of_trouble = ["tidefold_retries_total", "tidefold_retrying"];
    let there = |metric: &&Metric| {
        !of_trouble.contains(&metric.name)
            && (!metric.name.contains("_kafka_") || !backends.log_is_embedded())
    };
    let all = |text: &str| CATALOG.iter().filter(there).all(|metric| is_counted(text, metric));
    let text = until(&client, &node, all).await;
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
    let counted = "tidefold_dlq_messages{app=\"pizzeria\",topic=\"orders\"} 1";
    let text = until(&client, &node, |text| text.lines().any(|line| line == counted)).await;
    let age = text.lines().find_map(|line| {
        line.strip_prefix("tidefold_dlq_oldest_age_seconds{app=\"pizzeria\",topic=\"orders\"} ")
    });
    assert!(age.unwrap().parse::<f64>().unwrap() > 0.0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_without_a_time_are_not_said_to_be_new() {
    let (folder, client) = (tempfile::tempdir().unwrap(), Client::new());
    assert_eq!(Node::start("storefront", folder.path()).terminate(), Some(0));
    let append = async |headers: Headers<'_>| {
        let log = EmbeddedLog::open(folder.path().join("storefront/log"), Default::default()).unwrap();
        let mut batch = BatchBuilder::new();
        batch.push(Some(b"o-1"), Some(b"nonsense"), headers);
        let (topic, partition) = (TopicName::new("orders").in_app("storefront"), partition_of(b"o-1", 12));
        log.append(&topic, partition, batch).await.unwrap();
    };
    let labels = "{app=\"storefront\",topic=\"orders\"}";
    let counted = |count: usize| {
        let line = format!("tidefold_dlq_messages{labels} {count}");
        move |text: &str| text.lines().any(|other| other == line)
    };
    let age = |text: &str| {
        let lines = text.lines();
        let mut ages =
            lines.filter_map(|line| line.strip_prefix(&format!("tidefold_dlq_oldest_age_seconds{labels} ")));
        ages.next().map(|age| age.parse::<f64>().unwrap())
    };
    append(HeadersBuilder::new().as_headers()).await;
    let node = Node::start("storefront", folder.path());
    let text = until(&client, &node, counted(1)).await;
    assert_eq!(age(&text), None, "{text}");
    assert_eq!(node.terminate(), Some(0));
    // One behind it that has a time is the oldest of which anything is known.
    let mut headers = HeadersBuilder::new();
    headers.push(Known::AppendTime, b"2026-01-01T00:00:00Z");
    append(headers.as_headers()).await;
    let node = Node::start("storefront", folder.path());
    let text = until(&client, &node, counted(2)).await;
    assert!(age(&text).is_some_and(|age| age > 0.0), "{text}");
}
