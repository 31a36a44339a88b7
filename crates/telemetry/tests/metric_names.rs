//! The names people build dashboards on. A rename shows here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use tidefold_telemetry::metrics::{CATALOG, Kind};
use tidefold_telemetry::{Exposition, Telemetry};

const NAMES: &str = include_str!("metric_names.txt");

#[test]
fn every_name_stands_in_the_list() {
    let listed: Vec<String> =
        CATALOG.iter().map(|metric| format!("{} {}", metric.name, metric.labels.join(","))).collect();
    let expected: Vec<&str> = NAMES.lines().map(str::trim_end).collect();
    let listed: Vec<&str> = listed.iter().map(|line| line.trim_end()).collect();
    assert_eq!(
        listed, expected,
        "metric names changed: dashboards and alerts break; change metric_names.txt too"
    );
}

#[test]
fn counters_end_in_total_and_no_label_stands_in_a_name() {
    for metric in CATALOG {
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.len() > 20, "{} has no help", metric.name);
        for label in metric.labels {
            assert!(!metric.name.contains(&format!("_by_{label}")), "{} names its label", metric.name);
        }
    }
}

#[test]
fn what_is_counted_is_exposed_under_its_name() {
    let telemetry = Telemetry::new();
    telemetry.ingest("shop").accepted.inc_by(3);
    telemetry.consumer_lag_records("g", "orders", "7").set(12);
    telemetry.consumer_lag_seconds("g", "orders", "7").set(0.5);
    telemetry.http("ingest").seconds(202).observe(0.003);
    let text = telemetry.encode(Exposition::OpenMetrics).unwrap();
    for line in [
        r#"tidefold_ingest_records_total{app="shop",outcome="accepted"} 3"#,
        r#"tidefold_consumer_lag_records{group="g",topic="orders",partition="7"} 12"#,
        r#"tidefold_consumer_lag_seconds{group="g",topic="orders",partition="7"} 0.5"#,
        r#"tidefold_http_request_seconds_bucket{le="0.005",api="ingest",class="2xx"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn handles_of_the_same_labels_count_together() {
    let telemetry = Telemetry::new();
    telemetry.ingest("shop").accepted.inc();
    telemetry.ingest("shop").accepted.inc();
    assert_eq!(telemetry.ingest_records("shop", "accepted").get(), 2);
}
