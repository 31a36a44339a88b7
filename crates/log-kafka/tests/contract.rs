//! The suite that every log must pass, on a real broker.

mod support;

use futures_util::future::BoxFuture;
use tidefold_log::contract::Subject;
use tidefold_log::{MemoryLog, SharedLog};

/// The broker, or nothing to test: then the suite runs on the memory log, which says nothing of Kafka.
enum Kept {
    Kafka(support::Place),
    Skipped(std::sync::Arc<MemoryLog>),
}

impl Subject for Kept {
    fn open(&self) -> BoxFuture<'_, SharedLog> {
        match self {
            Kept::Kafka(place) => place.open(),
            Kept::Skipped(log) => Box::pin(std::future::ready(log.clone() as SharedLog)),
        }
    }
}

fn kept() -> Kept {
    match support::broker() {
        Some(broker) => Kept::Kafka(support::Place::new(&broker)),
        None => Kept::Skipped(std::sync::Arc::new(MemoryLog::new())),
    }
}

tidefold_log::log_contract!(kept());
