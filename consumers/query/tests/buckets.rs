//! Tables whose partitions are split answer as they would unsplit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Reader, patched};

const ORDERS: &str = "clustering = [\"placed_at DESC\", \"order_id\"]";
const RISING: &str = "clustering = [\"placed_at\", \"order_id\"]";
const MINUTES: &str = "clustering = [\"minute DESC\"]";

async fn split(rising: bool, orders: &str, minutes: &str) -> Reader {
    let clustering = if rising { RISING } else { ORDERS };
    let (orders, minutes) = (format!("{clustering}\n{orders}"), format!("{MINUTES}\n{minutes}"));
    let app = patched("storefront", &[(ORDERS, &orders), (MINUTES, &minutes)]);
    Reader::of(app, Default::default(), true).await
}

/// Customers 0 to 2, times from the 30th of January to the 2nd of February.
async fn trade(reader: &Reader, orders: &[(u8, u16, bool)]) {
    for (n, (customer, hour, cancelled)) in orders.iter().enumerate() {
        let id = format!("o-{n}");
        let items = json!([{"sku": "s", "qty": 1, "price_cents": 1}]);
        let order = json!({"order_id": id, "customer_id": format!("c-{customer}"), "currency": "EUR",
            "total_cents": 5, "items": items});
        let (month, day) = [(1, 30), (1, 31), (2, 1), (2, 2)][usize::from(hour / 24 % 4)];
        let time = format!("2026-{month:02}-{day:02}T{:02}:{:02}:00Z", hour % 24, n % 60);
        reader.send_at("PlaceOrder", &time, &order).await;
        reader.send_at("PayOrder", &time, &json!({"order_id": id})).await;
        if *cancelled {
            reader.send_at("CancelOrder", &time, &json!({"order_id": id, "reason": "late"})).await;
        }
    }
    reader.fold().await;
}

fn queries() -> Vec<String> {
    let orders = "/v1/storefront/orders_by_customer?customer_id=c-";
    let revenue = "/v1/storefront/revenue_by_minute?currency=EUR&day=2026-01-31T00:00:00Z";
    let mut queries = Vec::new();
    for customer in 0..3 {
        for range in [
            "placed_at.gte=2026-01-25T00:00:00Z&placed_at.lt=2026-02-10T00:00:00Z",
            "placed_at.gt=2026-01-30T23:01:00Z&placed_at.lte=2026-02-01T03:02:00Z",
            "placed_at.gte=2026-01-31T00:00:00Z&placed_at.lt=2026-02-01T00:00:00Z",
            "placed_at.gte=2026-02-01T00:00:00Z&placed_at.lt=2026-01-01T00:00:00Z",
            "placed_at=2026-01-31T00:00:00Z",
            "placed_at=2026-01-31T00:00:00Z&order_id=o-0",
        ] {
            queries.push(format!("{orders}{customer}&{range}"));
        }
    }
    queries.push(format!("{revenue}&minute.gte=2026-01-31T00:00:00Z&minute.lt=2026-02-01T00:00:00Z"));
    queries.push(format!("{revenue}&minute.gt=2026-01-31T05:00:00Z&minute.lte=2026-01-31T20:30:00Z"));
    queries.push(format!("{revenue}&minute=2026-01-31T05:00:00Z"));
    queries
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn split_tables_answer_as_unsplit_ones(
        orders in proptest::collection::vec((0_u8..3, 0_u16..96, proptest::bool::weighted(0.2)), 0..40),
        bucket in prop::sample::select(vec![
            ("bucket_by = \"hour\"", "bucket_by = \"hour\""),
            ("bucket_by = \"day\"", "buckets = 2"),
            ("bucket_by = \"month\"", "buckets = 64"),
            ("bucket_by = \"year\"", "bucket_by = \"day\""),
            ("buckets = 2", "bucket_by = \"month\""),
            ("buckets = 64", "buckets = 3"),
        ]),
        rising: bool,
        limit in 1_usize..9,
    ) {
        runtime().block_on(async {
            let (plain, split) = (split(rising, "", "").await, split(rising, bucket.0, bucket.1).await);
            trade(&plain, &orders).await;
            trade(&split, &orders).await;
            let mut all = queries();
            if bucket.0.starts_with("buckets") {
                all.extend((0..3).map(|c| format!("/v1/storefront/orders_by_customer?customer_id=c-{c}")));
                all.push("/v1/storefront/orders_by_customer?customer_id=c-1&placed_at.gt=2026-01-31T00:00:00Z".into());
            }
            for path in all {
                let whole: Vec<Value> = plain.items(&format!("{path}&limit=1000")).await;
                let found: Vec<Value> = split.items(&format!("{path}&limit=1000")).await;
                prop_assert_eq!(&found, &whole, "{}", path);
                let (rows, sizes) = split.pages(&format!("{path}&limit={limit}")).await;
                prop_assert_eq!(&rows, &whole, "{}", path);
                prop_assert_eq!(sizes.len(), whole.len().div_ceil(limit).max(1));
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn rows_of_one_partition_lie_in_several_buckets() {
    let reader = split(false, "bucket_by = \"day\"", "buckets = 8").await;
    let orders: Vec<_> = (0..96).map(|hour| (1, hour, false)).collect();
    trade(&reader, &orders).await;
    let tables = reader.tables("orders", 1);
    let table = tables.named("orders_by_customer").unwrap();
    let bucket = "c-1\0\0".len();
    let rows = reader.store.rows(&table.id);
    let days: BTreeSet<Vec<u8>> = rows.keys().map(|key| key[bucket..bucket + 8].to_vec()).collect();
    assert_eq!((rows.len(), days.len()), (96, 4));
    // Groups of minutes of one day: their hashes fill every bucket.
    let table = tables.named("revenue_by_minute").unwrap();
    let place = "EUR\0\0".len() + 8;
    let rows = reader.store.rows(&table.id);
    let hashes: BTreeSet<Vec<u8>> = rows.keys().map(|key| key[place..place + 8].to_vec()).collect();
    assert_eq!(hashes.len(), 8);
}

#[tokio::test]
async fn the_listing_gives_an_example_of_a_split_table_that_is_answered() {
    for bucket in ["bucket_by = \"day\"", "buckets = 8"] {
        let reader = split(false, bucket, "").await;
        trade(&reader, &[(1, 5, false)]).await;
        let listing = reader.get("/v1/storefront").await.ok();
        let mut tables = listing["read"].as_array().unwrap().iter();
        let table = tables.find(|table| table["table"] == "orders_by_customer").unwrap();
        let items = reader.items(table["example"].as_str().unwrap()).await;
        assert_eq!(items.len(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_split_by_time_needs_both_ends_of_a_range() {
    let reader = split(false, "bucket_by = \"hour\"", "").await;
    let path = "/v1/storefront/orders_by_customer?customer_id=c-1";
    for (query, parameter, code) in [
        ("", "placed_at", "missing"),
        ("&placed_at.gte=2026-01-31T00:00:00Z", "placed_at.lt", "missing"),
        ("&placed_at.lte=2026-01-31T00:00:00Z", "placed_at.gte", "missing"),
        (
            "&placed_at.gte=2025-01-31T00:00:00Z&placed_at.lt=2026-01-31T00:00:00Z",
            "placed_at",
            "out_of_range",
        ),
        ("&placed_at.gte=never&placed_at.lt=2026-01-31T00:00:00Z", "placed_at.gte", "wrong_type"),
    ] {
        let answer = reader.get(&format!("{path}{query}")).await;
        assert_eq!(answer.mistakes(), [(parameter.to_owned(), code.to_owned())], "{query}");
    }
    let table = reader.get("/v1/storefront").await.ok()["read"][1].clone();
    assert_eq!(table["bucket"], "bucket_by = \"hour\"");
    assert!(table["allows"].as_str().unwrap().contains("both ends of a range of at most 1000 hours"));
}
