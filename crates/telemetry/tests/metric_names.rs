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

/// The rows of the table of the documentation.
fn documented() -> Vec<String> {
    let row = |metric: &tidefold_telemetry::metrics::Metric| {
        let (what, alert) = metric.help.split_once(" Alert: ").unwrap_or((metric.help, ""));
        let alert = alert.trim_end_matches('.');
        format!("| `{}` | {} | {what} | {alert} |", metric.name, metric.labels.join(", "))
    };
    CATALOG.iter().map(row).collect()
}

#[test]
fn the_documentation_lists_every_metric_as_it_is() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md")).unwrap();
    let there: Vec<&str> = text.lines().filter(|line| line.starts_with("| `tidefold_")).collect();
    let expected = documented();
    assert!(there == expected, "the table of docs/operating.md has to be\n{}", expected.join("\n"));
}

#[test]
fn calls_of_the_log_and_the_store_are_counted_by_backend_operation_and_kind() {
    use std::time::Duration;
    use tidefold_log::LogError;
    use tidefold_log::observer::{Observer as _, Operation as OfLog};
    use tidefold_store::StoreError;
    use tidefold_store::observer::{Observer as _, Operation as OfStore};

    let telemetry = Telemetry::new();
    let (log, store) = (telemetry.log("kafka"), telemetry.store("scylla"));
    log.began(OfLog::Append);
    log.began(OfLog::Append);
    log.began(OfLog::Append);
    log.ended(OfLog::Append, Duration::from_millis(3), Ok(70));
    log.given_up(OfLog::Append);
    log.retried(OfLog::Append);
    store.began(OfStore::Scan);
    let away = StoreError::Unavailable { detail: String::new() };
    store.ended(OfStore::Scan, Duration::from_secs(2), Err(&away));
    log.began(OfLog::Read);
    log.ended(OfLog::Read, Duration::ZERO, Err(&LogError::Full { retry_after: Duration::ZERO }));
    let text = telemetry.encode(Exposition::OpenMetrics).unwrap();
    for line in [
        r#"tidefold_log_operations_in_flight{backend="kafka",operation="append"} 1"#,
        r#"tidefold_log_operation_seconds_count{backend="kafka",operation="append"} 1"#,
        r#"tidefold_log_bytes_total{backend="kafka",operation="append"} 70"#,
        r#"tidefold_log_retries_total{backend="kafka",operation="append"} 1"#,
        r#"tidefold_log_errors_total{backend="kafka",operation="read",kind="full"} 1"#,
        r#"tidefold_store_operations_in_flight{backend="scylla",operation="scan"} 0"#,
        r#"tidefold_store_errors_total{backend="scylla",operation="scan",kind="unavailable"} 1"#,
        r#"tidefold_store_errors_total{backend="scylla",operation="scan",kind="damaged"} 0"#,
        r#"tidefold_store_operation_seconds_sum{backend="scylla",operation="scan"} 2.0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
}
