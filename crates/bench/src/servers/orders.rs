//! The messages of the app `changes`, and filling its topic through the write API.

use std::time::Duration;

use serde::Deserialize;
use tidefold_telemetry::clock;

use super::Failed;
use super::rig::{Caller, Rig};
use crate::load::post;

/// The schema that the app and the plain sink share.
pub(super) const SCHEMA: &str = include_str!("OrderChanged.avsc");

/// What an order is now.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OrderChanged {
    pub(super) order_id: String,
    pub(super) customer_id: String,
    pub(super) currency: String,
    pub(super) status: String,
    pub(super) total_cents: i64,
    pub(super) changed_at: i64,
}

/// Lines of one request.
const BATCH: u64 = 2_000;

/// The key of an order.
pub(super) fn key(order: u64) -> String {
    format!("order-{order:010}")
}

/// The n-th message; `keys` orders take turns.
pub(super) fn line(n: u64, keys: u64, out: &mut String) {
    use std::fmt::Write;
    // A prime far from the number of keys: neighbors in the topic are no neighbors in the tables.
    let order = n.wrapping_mul(7_919) % keys;
    let _ = writeln!(
        out,
        "{{\"order_id\":\"{}\",\"customer_id\":\"customer-{:06}\",\"currency\":\"EUR\",\"status\":\"paid-{}\",\
         \"total_cents\":{},\"changed_at\":\"2026-03-{:02}T12:00:00Z\"}}",
        key(order),
        order % 50_000,
        n % 10,
        1_000 + n % 90_000,
        1 + order % 28,
    );
}

/// Fills the app's topic with `records` messages over `keys` orders, by an ingest process that is gone afterwards.
pub(super) fn fill(rig: &Rig, records: u64, keys: u64) -> Result<(), Failed> {
    let node = rig.start("ingest")?;
    let path = format!("/v1/{}/OrderChanged", rig.name);
    let mut caller = Caller::connect(&node.server.address)?;
    let (mut request, mut body) = (Vec::new(), String::new());
    let (since, mut n) = (clock::instant(), 0);
    while n < records {
        body.clear();
        request.clear();
        let until = (n + BATCH).min(records);
        (n..until).for_each(|n| line(n, keys, &mut body));
        post(&path, "application/x-ndjson", "", body.as_bytes(), &mut request);
        let answer = caller.ask(&request)?;
        let good = answer.body.windows(13).filter(|window| window == b"\"status\":202,").count() as u64;
        if answer.status / 100 != 2 || good != until - n {
            let text = String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body)).into_owned();
            return Err(
                format!("filling {}: {} of {} were taken: {text}", rig.topic(), good, until - n).into()
            );
        }
        n = until;
        if since.elapsed() > Duration::from_secs(120) {
            return Err(format!("filling {} took too long: {n} of {records}", rig.topic()).into());
        }
    }
    Ok(())
}
