//! Rows under their keys, ranges, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::{Value, json};
use support::Reader;

async fn place(reader: &Reader, order: &str, customer: &str, minute: u32, items: &[(&str, i64)]) {
    let items: Vec<Value> =
        items.iter().map(|(sku, qty)| json!({"sku": sku, "qty": qty, "price_cents": 100})).collect();
    let order = json!({"order_id": order, "customer_id": customer, "currency": "EUR", "total_cents": 9_007_199_254_740_993_i64,
        "items": items});
    reader.send_at("PlaceOrder", &format!("2026-01-31T12:{minute:02}:00Z"), &order).await;
}

fn names(rows: &[Value], column: &str) -> Vec<String> {
    rows.iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_row_is_read_under_its_key_however_it_is_spelled() {
    let reader = Reader::open("storefront").await;
    for order in ["plain", "a/b", "Größe ☂", "50% & more?", "a+b"] {
        place(&reader, order, "c-1", 0, &[("s/1", 2)]).await;
    }
    reader.fold().await;
    for (path, order) in [
        ("plain", "plain"),
        ("pl%61in", "plain"),
        ("a%2Fb", "a/b"),
        ("Gr%C3%B6%C3%9Fe%20%E2%98%82", "Größe ☂"),
        ("50%25%20%26%20more%3F", "50% & more?"),
        ("a+b", "a+b"),
    ] {
        let answer = reader.get(&format!("/v1/storefront/orders/{path}")).await;
        let row = answer.ok();
        assert_eq!(row["order_id"], order);
        assert_eq!(row["total_cents"], 9_007_199_254_740_993_i64);
        assert_eq!(row["placed_at"], "2026-01-31T12:00:00Z");
        assert_eq!(row["paid_at"], Value::Null);
        assert_eq!(answer.header("etag"), Some("\"1.g1\""));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
    assert_eq!(reader.items("/v1/storefront/orders?order_id=a%2Bb").await.len(), 1);
    assert_eq!(
        reader.get("/v1/storefront/units_by_sku/s%2F1").await.ok(),
        json!({"sku": "s/1", "units": 10})
    );
    reader.get("/v1/storefront/orders/%FF").await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_row_that_is_not_there_is_told_with_the_state_of_the_tables() {
    let reader = Reader::open("metering").await;
    reader.send("OpenQuota", &json!({"account_id": "a", "limit_units": 5})).await;
    let last = reader.send("CloseQuota", &json!({"account_id": "a", "force": true})).await;
    reader.fold().await;
    let gone = reader.get("/v1/metering/quotas/a").await;
    gone.problem(404, "row_not_found");
    assert_eq!(gone.header("tidefold-position"), Some(last.as_str()));
    assert_eq!(gone.header("tidefold-age-ms"), Some("0"));
    assert_eq!(gone.header("tidefold-generation"), Some("1"));
    assert_eq!(reader.items("/v1/metering/quotas?account_id=a").await, Vec::<Value>::new());
    assert_eq!(reader.items("/v1/metering/quotas_by_use?used=unused").await, Vec::<Value>::new());
    let never = reader.get("/v1/metering/quotas/never").await;
    never.problem(404, "row_not_found");
    assert!(never.header("tidefold-position").is_some());

    let reader = Reader::open("storefront").await;
    reader.get("/v1/storefront/units_by_sku/none").await.problem(404, "row_not_found");
}

#[tokio::test]
async fn ranges_of_a_descending_column_hold_what_they_say() {
    let reader = Reader::open("storefront").await;
    for minute in 1..=5 {
        place(&reader, &format!("o-{minute}"), "c-1", minute, &[]).await;
        place(&reader, &format!("x-{minute}"), "c-10", minute, &[]).await;
    }
    reader.fold().await;
    let at = |minute: u32| format!("2026-01-31T12:{minute:02}:00Z");
    for (range, expected) in [
        (String::new(), vec!["o-5", "o-4", "o-3", "o-2", "o-1"]),
        (format!("&placed_at.gt={}", at(3)), vec!["o-5", "o-4"]),
        (format!("&placed_at.gte={}", at(3)), vec!["o-5", "o-4", "o-3"]),
        (format!("&placed_at.lt={}", at(3)), vec!["o-2", "o-1"]),
        (format!("&placed_at.lte={}", at(3)), vec!["o-3", "o-2", "o-1"]),
        (format!("&placed_at.gt={}&placed_at.lt={}", at(1), at(4)), vec!["o-3", "o-2"]),
        (format!("&placed_at.gte={}&placed_at.lte={}", at(2), at(4)), vec!["o-4", "o-3", "o-2"]),
        (format!("&placed_at.gt={}&placed_at.lt={}", at(4), at(2)), vec![]),
        (format!("&placed_at.gt={}&placed_at.lt={}", at(3), at(3)), vec![]),
        (format!("&placed_at={}", at(2)), vec!["o-2"]),
        (format!("&placed_at={}&order_id.gt=o-2", at(2)), vec![]),
        (format!("&placed_at={}&order_id.lte=o-2", at(2)), vec!["o-2"]),
    ] {
        let rows = reader.items(&format!("/v1/storefront/orders_by_customer?customer_id=c-1{range}")).await;
        assert_eq!(names(&rows, "order_id"), expected, "{range}");
    }
}

#[tokio::test]
async fn ranges_of_an_ascending_column_hold_what_they_say() {
    let reader = Reader::open("metering").await;
    for account in ["a", "b", "bb", "c"] {
        reader.send("OpenQuota", &json!({"account_id": account, "limit_units": 5})).await;
    }
    reader.fold().await;
    for (range, expected) in [
        ("", vec!["a", "b", "bb", "c"]),
        ("&account_id.gt=b", vec!["bb", "c"]),
        ("&account_id.gte=b", vec!["b", "bb", "c"]),
        ("&account_id.lt=b", vec!["a"]),
        ("&account_id.lte=b", vec!["a", "b"]),
        ("&account_id.gte=b&account_id.lt=c", vec!["b", "bb"]),
        ("&account_id.gt=c&account_id.lt=a", vec![]),
        ("&account_id=bb", vec!["bb"]),
    ] {
        let rows = reader.items(&format!("/v1/metering/quotas_by_use?used=unused{range}")).await;
        assert_eq!(names(&rows, "account_id"), expected, "{range}");
    }
}

#[tokio::test]
async fn every_mistake_is_named_with_what_the_key_allows() {
    let reader = Reader::open("storefront").await;
    let mistakes = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    for (query, expected) in [
        (
            "orders_by_customer?status=paid&colour=1&placed_at.near=2&limit=0",
            vec![
                ("status", "not_in_key"),
                ("colour", "unknown_column"),
                ("placed_at.near", "unknown_comparison"),
                ("limit", "out_of_range"),
                ("customer_id", "missing"),
            ],
        ),
        ("orders_by_customer?customer_id=c&limit=1001", vec![("limit", "out_of_range")]),
        ("orders_by_customer?customer_id=c&limit=-1", vec![("limit", "out_of_range")]),
        ("orders_by_customer?customer_id=c&customer_id=d", vec![("customer_id", "given_twice")]),
        ("orders_by_customer?customer_id=c&order_id=o", vec![("order_id", "not_allowed_by_key")]),
        (
            "orders_by_customer?customer_id.gt=c",
            vec![("customer_id", "missing"), ("customer_id.gt", "not_allowed_by_key")],
        ),
        ("revenue_by_minute?currency=EUR", vec![("day", "missing")]),
        ("revenue_by_minute?currency=EUR&day=today", vec![("day", "wrong_type")]),
        (
            "orders?limit=x&status=paid",
            vec![("order_id", "missing"), ("limit", "out_of_range"), ("status", "not_allowed_by_key")],
        ),
        ("orders?order_id=a&order_id=b", vec![("order_id", "given_twice")]),
    ] {
        let answer = reader.get(&format!("/v1/storefront/{query}")).await;
        let problem = answer.problem(400, "invalid_query");
        assert_eq!(answer.mistakes(), mistakes(&expected), "{query}");
        let table = query.split('?').next().unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with(&format!("{table} takes ")), "{problem}");
    }
    let several = reader.get("/v1/storefront/orders_by_customer/c-1").await.problem(400, "invalid_query");
    assert!(several["detail"].as_str().unwrap().contains("customer_id=…"), "{several}");
}

#[tokio::test]
async fn unknown_names_are_told_with_the_nearest() {
    let reader = Reader::open("storefront").await;
    let near = reader.get("/v1/storefront/order/o-1").await.problem(404, "unknown_table");
    assert!(near["detail"].as_str().unwrap().ends_with("did you mean orders?"), "{near}");
    let far = reader.get("/v1/storefront/weather").await.problem(404, "unknown_table");
    assert!(far["detail"].as_str().unwrap().contains("units_by_sku"), "{far}");
    let app = reader.get("/v1/shop/orders/o-1").await.problem(404, "unknown_app");
    assert!(app["detail"].as_str().unwrap().contains("storefront"), "{app}");
    reader.get("/v1/shop").await.problem(404, "unknown_app");
}

#[tokio::test]
async fn every_example_in_the_listing_is_answered() {
    for name in ["storefront", "metering"] {
        let reader = Reader::open(name).await;
        if name == "storefront" {
            place(&reader, "o 1/2", "c&1", 1, &[("s 1", 1)]).await;
            reader.send("PayOrder", &json!({"order_id": "o 1/2"})).await;
        } else {
            for n in 0..4 {
                reader.send("OpenQuota", &json!({"account_id": format!("a-{n}"), "limit_units": 5})).await;
                reader.send("CloseQuota", &json!({"account_id": format!("a-{n}")})).await;
            }
            reader.send("OpenQuota", &json!({"account_id": "z", "limit_units": 5})).await;
            let usage = json!({"account_id": "a", "resource": "compute", "units": 3, "recorded_at": support::APPENDED});
            reader.send("UsageRecorded", &usage).await;
        }
        reader.fold().await;
        let root = reader.get("/").await.ok();
        assert_eq!(root["apps"][0]["href"], format!("/v1/{name}"));
        let listing = reader.get(root["apps"][0]["href"].as_str().unwrap()).await.ok();
        let tables = listing["read"].as_array().unwrap();
        assert_eq!(tables.len(), reader.app.layouts().count());
        for table in tables {
            let example = table["example"].as_str().unwrap_or_else(|| panic!("{table} has no example"));
            let found = reader.get(example).await.ok();
            assert!(found["items"].as_array().is_none_or(|items| !items.is_empty()), "{example}");
        }
        let messages = reader.app.messages().count();
        assert_eq!(listing["write"].as_array().unwrap().len(), messages);
    }
}
