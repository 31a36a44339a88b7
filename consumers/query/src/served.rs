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

#[cfg(test)]
mod tests {
    use tidefold_app::SourceFile;
    use tidefold_store::SharedStore;
    use tidefold_store::memory::MemoryStore;

    use super::*;

    const APP: &str = r#"
app = "shop"
[topics.visits]
key = ["page"]
partitions = 1
events = ["PageSeen"]
[views.seen]
sql = "SELECT page, count(*) AS times FROM PageSeen GROUP BY 1"
partition_key = ["page"]
"#;
    const EVENT: &str = r#"{"type":"record","name":"PageSeen","fields":[{"name":"page","type":"string"}]}"#;

    fn projection() -> Arc<Projection> {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let app = tidefold_app::load(vec![file("app.toml", APP), file("PageSeen.avsc", EVENT)]);
        app.unwrap().projections.remove(0)
    }

    fn generation(projection: &Arc<Projection>, number: u32) -> Generation {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let tables = Arc::new(projection.tables(number));
        Generation {
            projection: Arc::clone(projection),
            log_topic: projection.log_topic(),
            lookout: Arc::new(Lookout::of(&store, &tables)),
            tables,
            recent: Arc::new(Recent::new(1)),
        }
    }

    #[tokio::test]
    async fn what_was_read_of_a_generation_that_is_not_in_use_does_not_count() {
        let projection = projection();
        let served = Served::of(&projection);
        let saw = |generation, next| served.saw(generation, [Offset(next)].into_iter());
        let high = || served.seen().high[0].0;
        assert!(!saw(1, 7), "none is in use");
        served.seen().current = Some(generation(&projection, 1));
        assert_eq!((saw(1, 7), high()), (true, 7));
        served.seen().current = Some(generation(&projection, 2));
        assert_eq!((saw(1, 9), high()), (false, 7), "it has to be read again, from the second");
        assert_eq!((saw(2, 8), high()), (true, 8));
        assert_eq!((saw(2, 3), high()), (true, 8), "what was seen stays seen");
    }
}
