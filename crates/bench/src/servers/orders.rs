//! The messages of the app `changes`.

use serde::Deserialize;

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
