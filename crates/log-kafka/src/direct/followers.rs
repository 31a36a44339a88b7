//! What is followed, and by whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::messages::BrokerId;
use tidefold_record::Partition;
use tokio::sync::Notify;

use crate::known::KnownTopic;

/// What is followed, and by whom.
#[derive(Default)]
pub(crate) struct Followers {
    places: Mutex<Vec<Place>>,
    pub(super) brokers: Mutex<Vec<(BrokerId, Arc<Notify>)>>,
}

#[derive(Clone)]
pub(super) struct Place {
    pub(super) topic: Arc<KnownTopic>,
    pub(super) partition: Partition,
}

// === impl Followers ===

impl Followers {
    pub(super) fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place {
    pub(super) fn is(&self, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        self.partition == partition && Arc::ptr_eq(&self.topic, topic)
    }

    /// Whether somebody waits there; if not, nothing is kept either.
    pub(super) fn is_wanted(&self) -> bool {
        let Ok(part) = self.topic.part(self.partition) else { return false };
        let wanted = self.topic.void.get().is_none() && self.topic.is_waited_for(self.partition);
        if !wanted {
            *part.tail() = None;
        }
        wanted && part.tail().is_some()
    }
}
