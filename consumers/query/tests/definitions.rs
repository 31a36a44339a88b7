//! Generations of different definitions: each is read by the one it was built from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::json;
use support::{Reader, impatient, patched};

const BY_STATUS: &str = "/v1/storefront/orders_by_status?status=placed";
const BY_CUSTOMER: &str = "/v1/storefront/orders_by_customer?customer_id=c-1";

async fn place(reader: &Reader, order: &str) {
    let json =
        json!({"order_id": order, "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": []});
    reader.send("PlaceOrder", &json).await;
}

/// The tables that the app's page lists.
async fn tables(reader: &Reader) -> Vec<String> {
    let listing = reader.get("/v1/storefront").await.ok();
    let tables = listing["read"].as_array().unwrap();
    tables.iter().map(|table| table["table"].as_str().unwrap().to_owned()).collect()
}

/// The columns of the only order of a customer.
async fn columns(reader: &Reader) -> usize {
    let page = reader.get(BY_CUSTOMER).await.ok();
    page["items"][0].as_object().unwrap().len()
}

#[tokio::test]
async fn a_table_that_the_active_generation_does_not_have_is_not_there_until_another_is_activated() {
    let reader = Reader::with("storefront", impatient(), true).await;
    place(&reader, "o-1").await;
    reader.fold().await;
    let before = tables(&reader).await;

    let view = "[views.orders_by_status]\nsql = \"SELECT status, order_id FROM orders\"\n\
                partition_key = [\"status\"]\nclustering = [\"order_id\"]\n\n[views.orders_by_customer]";
    let select = "SELECT customer_id, placed_at, order_id, status, total_cents FROM orders";
    let narrow = "SELECT customer_id, placed_at, order_id, status FROM orders";
    let changed = patched("storefront", &[("[views.orders_by_customer]", view), (select, narrow)]);
    reader.define(&changed);
    reader.build("orders", 2).await;
    reader.fold_into("orders", 2).await;
    assert_eq!(tables(&reader).await, before, "what is built only is not served");
    reader.get(BY_STATUS).await.problem(404, "unknown_table");
    assert_eq!(columns(&reader).await, 5);

    reader.activate("orders", 2);
    let after = tables(&reader).await;
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.contains(&"orders_by_status".to_owned()));
    assert_eq!(reader.get(BY_STATUS).await.ok()["items"], json!([{"status": "placed", "order_id": "o-1"}]));
    assert_eq!(columns(&reader).await, 4, "the same table, as the new definition has it");

    reader.activate("orders", 1);
    reader.get(BY_STATUS).await.problem(404, "unknown_table");
    assert_eq!(columns(&reader).await, 5);
    assert_eq!(tables(&reader).await, before);
}

#[tokio::test]
async fn a_generation_in_use_is_read_by_its_own_definition_while_the_active_one_is_behind() {
    let reader = Reader::with("storefront", impatient(), true).await;
    place(&reader, "o-1").await;
    reader.fold().await;
    assert_eq!(columns(&reader).await, 5);
    let select = "SELECT customer_id, placed_at, order_id, status, total_cents FROM orders";
    let narrow = "SELECT customer_id, placed_at, order_id, status FROM orders";
    let renamed = "[views.orders_of_customer]";
    let changed = patched("storefront", &[("[views.orders_by_customer]", renamed), (select, narrow)]);
    reader.define(&changed);
    reader.build("orders", 2).await;
    reader.activate("orders", 2);
    // It has folded nothing of what was served.
    assert_eq!(columns(&reader).await, 5);
    let renamed = "/v1/storefront/orders_of_customer?customer_id=c-1";
    reader.get(renamed).await.problem(404, "unknown_table");
    reader.fold_into("orders", 2).await;
    assert_eq!(reader.get(renamed).await.ok()["items"].as_array().unwrap().len(), 1);
    reader.get(BY_CUSTOMER).await.problem(404, "unknown_table");
}
