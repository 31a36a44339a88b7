//! Where the servers are, and what an app has there.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::figure::Failed;

/// Where the servers are.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Kafka, as host:port.
    pub(crate) kafka: String,
    /// CQL, as host:port.
    pub(crate) cql: String,
}

// === impl Addresses ===

impl Addresses {
    /// From `BENCH_KAFKA` and `BENCH_CQL`; both, or none.
    pub(crate) fn given() -> Option<Addresses> {
        let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Some(Addresses { kafka: of("BENCH_KAFKA")?, cql: of("BENCH_CQL")? })
    }
}

/// Partitions of the app's topic, and of what is compared to it.
pub(super) const PARTITIONS: i32 = 12;

/// The keyspace of the plain tables of an app.
pub(super) fn keyspace(app: &str) -> String {
    format!("{app}_p")
}

/// A session as the driver makes it.
pub(super) async fn connect(cql: &str) -> Result<Session, Failed> {
    Ok(SessionBuilder::new().known_node(cql).build().await?)
}
