//! Rollups over many shards, and pages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Reader, patched};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn trade(reader: &Reader, orders: &[(u8, u8, bool)]) {
    for (n, (customer, minute, cancelled)) in orders.iter().enumerate() {
        let id = format!("o-{n}");
        let items = json!([{"sku": format!("s-{}", minute % 3), "qty": 1, "price_cents": 1}]);
        let order = json!({"order_id": id, "customer_id": format!("c-{customer}"), "currency": "EUR", "total_cents": 5, "items": items});
        let time = format!("2026-01-31T12:{minute:02}:00Z");
        reader.send_at("PlaceOrder", &time, &order).await;
        reader.send_at("PayOrder", &time, &json!({"order_id": id})).await;
        if *cancelled {
            reader.send_at("CancelOrder", &time, &json!({"order_id": id, "reason": "late"})).await;
        }
    }
    reader.fold().await;
}

/// A view of the app, to be replaced.
const UNITS: &str = r#"SELECT item.sku AS sku, sum(item.qty) AS units FROM orders, UNNEST(items) AS item
         WHERE status <> 'cancelled' GROUP BY 1"""
partition_key = ["sku"]"#;
const REVENUE: &str = "/v1/storefront/revenue_by_minute?currency=EUR&day=2026-01-31T00:00:00Z";

#[tokio::test]
async fn a_rollup_adds_its_shards_and_leaves_emptied_groups_out() {
    let reader = Reader::open("storefront").await;
    let mut orders = vec![(1, 7, false); 60];
    orders.extend([(1, 8, true); 9]);
    orders.extend([(1, 9, true), (1, 9, false)]);
    trade(&reader, &orders).await;
    let shards = reader.store.rows(&reader.tables("orders", 1).named("revenue_by_minute").unwrap().id);
    assert!(shards.len() > 12, "the groups have many shards: {}", shards.len());
    let rows = reader.items(REVENUE).await;
    let found: Vec<_> =
        rows.iter().map(|r| (r["minute"].as_str().unwrap(), &r["orders"], &r["revenue_cents"])).collect();
    assert_eq!(
        found,
        [("2026-01-31T12:09:00Z", &json!(1), &json!(5)), ("2026-01-31T12:07:00Z", &json!(60), &json!(300))]
    );
    // s-0 of minute 9 once, s-1 of minute 7; all of minute 8 was cancelled.
    let units = |sku: &str| format!("/v1/storefront/units_by_sku/{sku}");
    assert_eq!(reader.get(&units("s-1")).await.ok()["units"], 60);
    assert_eq!(reader.get(&units("s-0")).await.ok()["units"], 1);
    reader.get(&units("s-2")).await.problem(404, "row_not_found");
}

#[tokio::test]
async fn a_tag_changes_whichever_shard_changed() {
    let reader = Reader::open("storefront").await;
    trade(&reader, &[(1, 1, false); 30]).await;
    let path = "/v1/storefront/units_by_sku/s-1";
    let mut tags = std::collections::BTreeSet::new();
    for n in 0..12 {
        tags.insert(reader.get(path).await.header("etag").unwrap().to_owned());
        let items = json!([{"sku": "s-1", "qty": 1, "price_cents": 1}]);
        let order = json!({"order_id": format!("new-{n}"), "customer_id": "c", "currency": "EUR", "total_cents": 5, "items": items});
        reader.send("PlaceOrder", &order).await;
        reader.fold().await;
    }
    assert_eq!(tags.len(), 12);
}

#[tokio::test]
async fn a_cursor_of_another_query_or_nonsense_is_refused() {
    let reader = Reader::open("storefront").await;
    trade(&reader, &[(1, 1, false), (1, 2, false), (2, 1, false)]).await;
    let path = "/v1/storefront/orders_by_customer?customer_id=c-1&limit=1";
    let cursor = reader.get(path).await.ok()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(
        reader.get(&format!("{path}&cursor={cursor}")).await.ok()["items"].as_array().unwrap().len(),
        1
    );
    // The limit is no part of the question.
    reader
        .get(&format!("/v1/storefront/orders_by_customer?customer_id=c-1&limit=7&cursor={cursor}"))
        .await
        .ok();
    for foreign in [
        format!("/v1/storefront/orders_by_customer?customer_id=c-2&cursor={cursor}"),
        format!("{path}&placed_at.gte=2026-01-01T00:00:00Z&cursor={cursor}"),
        format!("{REVENUE}&cursor={cursor}"),
        format!("{path}&cursor={}", &cursor[..6]),
        format!("{path}&cursor=%3F%3F"),
        format!("{path}&cursor="),
        format!("{path}&cursor={}", "A".repeat(5_000)),
    ] {
        reader.get(&foreign).await.problem(400, "invalid_cursor");
    }
    let twice = reader.get(&format!("{path}&cursor={cursor}&cursor={cursor}")).await;
    assert_eq!(twice.mistakes(), [("cursor".to_owned(), "given_twice".to_owned())]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_put_together_are_the_whole_list(
        orders in proptest::collection::vec((0_u8..3, 0_u8..20, proptest::bool::weighted(0.3)), 0..60),
        limit in 1_usize..9,
    ) {
        runtime().block_on(async {
            let reader = Reader::open("storefront").await;
            trade(&reader, &orders).await;
            let customers = (0..3).map(|c| format!("/v1/storefront/orders_by_customer?customer_id=c-{c}"));
            for path in customers.chain([REVENUE.to_owned(), format!("{REVENUE}&minute.lt=2026-01-31T12:11:00Z")]) {
                let whole: Vec<Value> = reader.items(&format!("{path}&limit=1000")).await;
                let (rows, sizes) = reader.pages(&format!("{path}&limit={limit}")).await;
                prop_assert_eq!(&rows, &whole, "{}", path);
                let full = sizes.iter().rev().skip(1).all(|size| *size == limit);
                prop_assert!(full, "only the last page may be short: {:?}", sizes);
                prop_assert_eq!(sizes.len(), whole.len().div_ceil(limit).max(1));
            }
            let placed: usize = orders.len();
            let mut listed = 0;
            for c in 0..3 {
                listed += reader.items(&format!("/v1/storefront/orders_by_customer?customer_id=c-{c}&limit=1000")).await.len();
            }
            prop_assert_eq!(listed, placed);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_page_of_rows_or_groups_ends_at_a_mebibyte_and_the_next_goes_on() {
    let groups = "SELECT customer_id, order_id, count(*) AS orders FROM orders GROUP BY 1, 2\"\"\"
        partition_key = [\"customer_id\"]\nclustering = [\"order_id\"]";
    let reader = Reader::of(patched("storefront", &[(UNITS, groups)]), Default::default(), true).await;
    let customer = "c".repeat(900);
    for order in 0..700 {
        let id = format!("{order:04}{}", "o".repeat(900));
        let json = json!({"order_id": id, "customer_id": customer, "currency": "EUR", "total_cents": 5, "items": []});
        reader.send("PlaceOrder", &json).await;
    }
    reader.fold().await;
    for table in ["orders_by_customer", "units_by_sku"] {
        let path = format!("/v1/storefront/{table}?customer_id={customer}&limit=1000");
        let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let answer = reader.get(&format!("{path}{cursor}")).await;
            let page = answer.ok();
            let rows_bytes = page["items"].to_string().len();
            assert!(rows_bytes <= 1 << 20, "{rows_bytes} bytes of {table}");
            let rows = page["items"].as_array().unwrap();
            found.extend(rows.iter().map(|row| row["order_id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        found.sort();
        found.dedup();
        assert_eq!((found.len(), pages), (700, 2), "{table}");
    }
}
