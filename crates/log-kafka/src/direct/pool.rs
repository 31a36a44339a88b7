//! Connections that nobody uses just now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kafka_protocol::messages::BrokerId;

use super::connection::Connection;

/// What is kept for the next question.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<BrokerId, Vec<Connection>>>);

/// Connections kept to a broker.
const KEPT: usize = 4;

// === impl Pool ===

impl Pool {
    pub(crate) fn take(&self, broker: BrokerId) -> Option<Connection> {
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
