//! Which generation of a projection is read, and what callers saw of it. Both change under one lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidefold_app::model::Projection;
use tidefold_record::{Offset, TopicName};
use tidefold_store::lookout::Lookout;
use tidefold_table::GenerationTables;

use crate::recent::Recent;

/// One projection's generation in use.
pub(crate) struct Served {
    /// The topic's name in the app.
    pub(crate) topic: String,
    seen: Mutex<Seen>,
}

/// What callers saw of it.
pub(crate) struct Seen {
    /// The generation; none before the first read.
    pub(crate) current: Option<Generation>,
    /// For each partition, the next offset of what callers saw.
    pub(crate) high: Vec<Offset>,
}

/// A generation being read.
#[derive(Clone)]
pub(crate) struct Generation {
    /// What it was built from.
    pub(crate) projection: Arc<Projection>,
    /// Its topic's name in the log.
    pub(crate) log_topic: TopicName,
    /// Its tables.
    pub(crate) tables: Arc<GenerationTables>,
    /// Its checkpoints, as they were a moment ago.
    pub(crate) recent: Arc<Recent>,
    /// Looks at its checkpoints for all who wait.
    pub(crate) lookout: Arc<Lookout>,
}

// === impl Generation ===

impl Generation {
    pub(crate) fn is(&self, number: u32) -> bool {
        self.tables.generation == number
    }
}

// === impl Served ===

impl Served {
    /// Of a projection of which nothing was seen yet.
    pub(crate) fn of(projection: &Projection) -> Served {
        let high = vec![Offset::ZERO; projection.topic.partitions as usize];
        Served { topic: projection.name().to_owned(), seen: Mutex::new(Seen { current: None, high }) }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a caller is to see of a generation. `false`: another one is in use by now, so what was read has to
    /// be read again from that one.
    #[must_use]
    pub(crate) fn saw(&self, generation: u32, nexts: impl Iterator<Item = Offset>) -> bool {
        let mut seen = self.seen();
        if seen.current.as_ref().is_none_or(|current| !current.is(generation)) {
            return false;
        }
        seen.high.iter_mut().zip(nexts).for_each(|(high, next)| *high = (*high).max(next));
        true
    }
}
