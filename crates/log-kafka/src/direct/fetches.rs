//! What is known for the next fetch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kafka_protocol::messages::BrokerId;
use tidefold_record::{Partition, TopicName};
use tokio::time::Instant;

/// What is known for the next fetch.
#[derive(Default)]
pub(crate) struct Fetches {
    /// Bytes that a record lately took on its way.
    record_bytes: AtomicUsize,
    /// A broker knows topics by their names alone: what it sends may be of another topic of the name.
    pub(super) by_name: AtomicBool,
    /// Replicas that leaders named because they are nearer, and until when that is believed.
    nearer: Mutex<HashMap<(TopicName, Partition), (BrokerId, Instant)>>,
}

/// What may be asked for at once.
const LEAST: usize = 64 << 10;
const MOST: usize = 4 << 20;
/// Where nothing is known of a topic's records yet.
const RECORD_BYTES: usize = 128;

// === impl Fetches ===

impl Fetches {
    pub(super) fn nearer(&self) -> MutexGuard<'_, HashMap<(TopicName, Partition), (BrokerId, Instant)>> {
        self.nearer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About as many bytes as so many records take, so that little is sent in vain.
    pub(super) fn ask_for(&self, records: usize, most: usize) -> usize {
        let each = match self.record_bytes.load(Ordering::Relaxed) {
            0 => RECORD_BYTES,
            known => known,
        };
        records.saturating_mul(each).min(most).clamp(LEAST, MOST)
    }

    pub(super) fn learn(&self, record_bytes: Option<usize>) {
        if let Some(each) = record_bytes {
            self.record_bytes.store(each.max(1), Ordering::Relaxed);
        }
    }
}
