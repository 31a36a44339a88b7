//! Connections that nobody uses just now.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use kafka_protocol::messages::BrokerId;

use super::Shared;
use super::accumulator::Route;
use super::connection::Connection;

/// What is kept for the next question.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<BrokerId, Vec<Connection>>>);

/// Connections kept to a broker.
const KEPT: usize = 4;

// === impl Pool ===

impl Pool {
    fn take(&self, broker: BrokerId) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&broker)?.pop()
    }

    pub(crate) fn put(&self, broker: BrokerId, connection: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = kept.entry(broker).or_default();
        if of.len() < KEPT {
            of.push(connection);
        }
    }

    /// One of them broke: the others are no better.
    pub(crate) fn forget(&self, broker: BrokerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&broker);
    }
}

// === impl Shared ===

impl Shared {
    /// A connection that stands, or a new one.
    pub(crate) async fn connection(&self, route: &Route) -> io::Result<Connection> {
        match self.pool.take(route.leader) {
            Some(connection) => Ok(connection),
            None => self.connector.open(&route.address).await,
        }
    }
}
