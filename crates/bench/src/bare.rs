//! The bare axum server: it parses the same JSON into a struct, and forgets it; a point query is a constant.
//!
//! So it is not durable, and ours beside it pays for a disk that it never touches. Under [`DURABLE`] it is: it appends the
//! body to one file, with one sync for all who wait, before it answers; it still checks nothing, encodes nothing and folds
//! nothing.

use std::fs::File;
use std::io::Write;
use std::path::Path as FilePath;
use std::sync::mpsc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::figure::{Outcome, say};

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

/// Where it writes a message down before it answers.
pub(crate) const DURABLE: &str = "/v1/storefront/durable";

/// Bodies on their way to the disk, and who waits for each.
type Waiting = (Bytes, oneshot::Sender<()>);

/// Serves until it is killed, with its file in `folder`; prints its address.
pub(crate) fn serve(folder: &FilePath) -> Outcome {
    let journal = journal(folder)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let routes = Router::new()
            .route("/v1/storefront/PlaceOrder", post(async |Json(_): Json<Order>| StatusCode::ACCEPTED))
            .route(
                DURABLE,
                post(async move |body: Bytes| {
                    if serde_json::from_slice::<Order>(&body).is_err() {
                        return StatusCode::BAD_REQUEST;
                    }
                    let (written, wait) = oneshot::channel();
                    let sent = journal.send((body, written));
                    match (sent, wait.await) {
                        (Ok(()), Ok(())) => StatusCode::ACCEPTED,
                        _ => StatusCode::SERVICE_UNAVAILABLE,
                    }
                }),
            )
            .route(
                "/v1/storefront/orders/{key}",
                get(async |Path(_): Path<String>| ([("content-type", "application/json")], ROW)),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(&listener.local_addr()?.to_string())?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

/// The thread that writes: everything that waits, one sync, then it answers.
fn journal(folder: &FilePath) -> std::io::Result<mpsc::Sender<Waiting>> {
    let mut file = File::create(folder.join("bare"))?;
    let (waiting, come) = mpsc::channel::<Waiting>();
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let (mut bytes, mut callers) = (Vec::new(), Vec::new());
        while let Ok(first) = come.recv() {
            for (body, caller) in std::iter::once(first).chain(come.try_iter()) {
                bytes.extend_from_slice(&body);
                callers.push(caller);
            }
            if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
                return;
            }
            bytes.clear();
            for caller in callers.drain(..) {
                let _gone = caller.send(());
            }
        }
    })?;
    Ok(waiting)
}
