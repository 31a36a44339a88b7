//! The bare axum server: it parses the same JSON into a struct, and forgets it; a point query is a constant.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::figure::Outcome;

#[derive(Deserialize)]
#[allow(dead_code, reason = "parsed, not read")]
pub(crate) struct Order {
    pub(crate) order_id: String,
    customer_id: String,
    currency: String,
    total_cents: i64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "parsed, not read")]
struct Item {
    sku: String,
    qty: i32,
    price_cents: i64,
}

const ROW: &str = "{\"order_id\":\"order-0000000001\",\"customer_id\":\"customer-000001\",\"currency\":\"EUR\",\"status\":\"placed\",\
                   \"total_cents\":1001,\"items\":[{\"sku\":\"sku-0001\",\"qty\":2,\"price_cents\":1250}],\"placed_at\":\"2026-03-01T12:00:00Z\",\"paid_at\":null}";

/// Serves until it is killed; prints its address.
pub(crate) fn serve() -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let routes = Router::new()
            .route("/v1/storefront/PlaceOrder", post(async |Json(_): Json<Order>| StatusCode::ACCEPTED))
            .route(
                "/v1/storefront/orders/{key}",
                get(async |Path(_): Path<String>| ([("content-type", "application/json")], ROW)),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, routes).await?;
        Ok(())
    })
}
