//! Which generation of each projection is read.
//!
//! A node flips to a newly active generation only once its checkpoints have reached every position the node has served,
//! so that a caller never sees time go backwards. What was served and which generation is read change under one lock: a
//! read that finds another generation in use than it began with begins again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidefold_app::App;
use tidefold_app::model::{Entity, Topic, View};
use tidefold_control::{Control, GenerationState};
use tidefold_record::{Offset, Partition};
use tidefold_store::published::Published;
use tidefold_store::{SharedStore, StoreError};
use tidefold_table::{Checkpoint, GenerationTable, GenerationTables};
use tokio::sync::watch;

use crate::recent::Recent;

/// The generations in use, by table name.
pub struct Generations {
    app: Arc<App>,
    store: SharedStore,
    control: watch::Receiver<Arc<Control>>,
    topics: HashMap<String, Served>,
    tables: HashMap<String, TablePlace>,
}

/// One projection's generation in use.
struct Served(Mutex<Seen>);

struct Seen {
    current: Option<Generation>,
    /// For each partition, the next offset of what callers saw.
    high: Vec<Offset>,
}

/// A generation being read.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Its tables.
    pub tables: Arc<GenerationTables>,
    /// Its checkpoints, as they were a moment ago.
    pub recent: Arc<Recent>,
}

#[derive(Clone, Copy)]
struct TablePlace {
    topic: usize,
    table: TableOf,
}

/// Which table of its topic a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOf {
    /// The entity.
    Entity,
    /// `Topic::views[i]`.
    View(usize),
}

/// A table to be read, with all a read has to know.
pub struct ReadTable<'a> {
    /// Its topic.
    pub topic: &'a Topic,
    /// Which table it is.
    pub of: TableOf,
    /// The generation.
    pub generation: u32,
    /// Its stored name and layout.
    pub table: GenerationTable,
    /// The generation's tables.
    pub tables: Arc<GenerationTables>,
    /// The generation's checkpoints, as they were a moment ago.
    pub recent: Arc<Recent>,
}

// === impl Generations ===

impl Generations {
    /// The generations that control says are active, from now on.
    #[must_use]
    pub fn new(app: Arc<App>, store: SharedStore, control: watch::Receiver<Arc<Control>>) -> Generations {
        let mut topics = HashMap::new();
        let mut tables = HashMap::new();
        for (at, topic) in app.topics.iter().enumerate() {
            let high = vec![Offset::ZERO; topic.partitions as usize];
            let seen = Seen { current: None, high };
            topics.insert(topic.name.as_str().to_owned(), Served(Mutex::new(seen)));
            if let Some(entity) = &topic.entity {
                tables.insert(entity.name.clone(), TablePlace { topic: at, table: TableOf::Entity });
            }
            for (view, name) in topic.views.iter().map(|view| view.name.clone()).enumerate() {
                tables.insert(name, TablePlace { topic: at, table: TableOf::View(view) });
            }
        }
        Generations { app, store, control, topics, tables }
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The names of all tables, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The table of a name, in the generation to be read now. `None`: there is no such table.
    /// `Some(Err)`: its projection has no generation to be read, or the store did not say whether it may be.
    pub async fn table(&self, name: &str) -> Option<Result<ReadTable<'_>, NotReadable>> {
        let place = *self.tables.get(name)?;
        let topic = self.app.topics.get(place.topic)?;
        let generation = match self.generation(topic).await {
            Ok(generation) => generation,
            Err(error) => return Some(Err(error)),
        };
        let table = match place.table {
            TableOf::Entity => generation.tables.entity.clone()?,
            TableOf::View(at) => generation.tables.views.get(at)?.clone(),
        };
        let Generation { tables, recent } = generation;
        Some(Ok(ReadTable { topic, of: place.table, generation: tables.generation, table, tables, recent }))
    }

    /// Takes note of what a caller is to see of a generation. `false`: another generation is in use by now, so what was
    /// read has to be read again from that one.
    #[must_use]
    pub fn saw(&self, topic: &Topic, generation: u32, nexts: impl Iterator<Item = Offset>) -> bool {
        let Some(served) = self.topics.get(topic.name.as_str()) else { return false };
        let mut seen = served.seen();
        if seen.current.as_ref().is_none_or(|current| current.tables.generation != generation) {
            return false;
        }
        seen.high.iter_mut().zip(nexts).for_each(|(high, next)| *high = (*high).max(next));
        true
    }

    /// Whether a generation's tables may be gone: rows read from it do not count then.
    #[must_use]
    pub fn is_gone(&self, topic: &Topic, generation: u32) -> bool {
        let control = self.control.borrow();
        let generations = control.projection(topic.name.as_str()).map(|projection| &projection.generations);
        let state = generations.and_then(|all| all.get(&generation)).map(|generation| generation.state);
        state.is_none_or(|state| state == GenerationState::Gone)
    }

    async fn generation(&self, topic: &Topic) -> Result<Generation, NotReadable> {
        let name = topic.name.as_str();
        let served = self.topics.get(name).ok_or(NotReadable::NotBuilt)?;
        let active = self.control.borrow().active(name).ok_or(NotReadable::NotBuilt)?;
        let next = {
            let mut seen = served.seen();
            let next = || Generation {
                tables: Arc::new(topic.generation(&self.app, active)),
                recent: Arc::new(Recent::new(topic.partitions)),
            };
            match &seen.current {
                Some(current) if current.tables.generation == active => return Ok(current.clone()),
                Some(_) => next(),
                None => return Ok(seen.current.insert(next()).clone()),
            }
        };
        let checkpoints = load_checkpoints(&self.store, &next.tables, 0..topic.partitions);
        let checkpoints = checkpoints.await.map_err(NotReadable::Store)?;
        let mut seen = served.seen();
        let reached = checkpoints.iter().zip(&seen.high).all(|(checkpoint, high)| checkpoint.next >= *high);
        // Control may have moved on while the checkpoints were loaded: then the next read judges anew.
        if let Some(current) = &seen.current
            && (!reached || self.control.borrow().active(name) != Some(active))
        {
            return Ok(current.clone());
        }
        seen.current = Some(next.clone());
        Ok(next)
    }
}

// === impl Served ===

impl Served {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a table cannot be read now.
#[derive(Debug)]
pub enum NotReadable {
    /// Its projection has no active generation.
    NotBuilt,
    /// The store did not answer.
    Store(StoreError),
}

// === impl ReadTable ===

impl ReadTable<'_> {
    /// The entity, if the table is one.
    #[must_use]
    pub fn entity(&self) -> Option<&Entity> {
        self.topic.entity.as_ref().filter(|_| self.of == TableOf::Entity)
    }

    /// The view, if the table is one.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match self.of {
            TableOf::Entity => None,
            TableOf::View(at) => self.topic.views.get(at),
        }
    }
}

/// The checkpoints of these partitions, in their order; [`Checkpoint::START`] where there is none.
///
/// # Errors
/// When the store does not answer.
pub async fn load_checkpoints(
    store: &SharedStore,
    tables: &GenerationTables,
    partitions: impl Iterator<Item = u32>,
) -> Result<Vec<Checkpoint>, StoreError> {
    let found = Published::of(store, tables).checkpoints(partitions.map(Partition)).await?;
    Ok(found.into_iter().map(|checkpoint| checkpoint.unwrap_or(Checkpoint::START)).collect())
}
