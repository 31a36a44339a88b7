//! Which generation of each projection is read, and by what: each by the definition it was built from.
//!
//! A node flips to a newly active generation only once its checkpoints have reached every position the node has served,
//! so that a caller never sees time go backwards. What was served and which generation is read change under one lock: a
//! read that finds another generation in use than it began with begins again.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tidefold_app::model::Projection;
use tidefold_control::{Control, GenerationState, NoProjection};
use tidefold_store::lookout::Lookout;
use tidefold_store::{SharedStore, StoreError};
use tokio::sync::watch;

use crate::recent::{Recent, load_checkpoints};
use crate::served::{Generation, Served};
use crate::table::{ReadTable, TableOf};

/// The generations in use, by table name.
pub struct Generations {
    store: SharedStore,
    control: watch::Receiver<Arc<Control>>,
    known: ArcSwap<Known>,
}

/// What there is to be read, as one state of control has it.
#[derive(Clone)]
pub struct Known {
    of: Arc<Control>,
    /// What is served, by the definitions of the active generations.
    projections: Vec<Arc<Projection>>,
    /// What each table is read from.
    tables: HashMap<String, Arc<Served>>,
}

// === impl Generations ===

impl Generations {
    /// The generations that control says are active, from now on.
    #[must_use]
    pub fn new(store: SharedStore, control: watch::Receiver<Arc<Control>>) -> Generations {
        let now = Arc::clone(&control.borrow());
        Generations { store, control, known: ArcSwap::from_pointee(Known::of(now, None)) }
    }

    /// What there is to be read.
    pub fn known(&self) -> Arc<Known> {
        let (control, last) = (Arc::clone(&self.control.borrow()), self.known.load_full());
        if Arc::ptr_eq(&control, &last.of) {
            return last;
        }
        let now = Known::of(control, Some(&last));
        // Where another was faster, its topics are the ones in use.
        self.known.rcu(|there| match Arc::ptr_eq(there, &last) {
            true => Arc::new(now.clone()),
            false => Arc::clone(there),
        });
        self.known.load_full()
    }

    /// The table of a name, in the generation to be read now. `None`: there is no such table.
    /// `Some(Err)`: its projection has no generation to be read, or the store did not say whether it may be.
    pub async fn table(&self, name: &str) -> Option<Result<ReadTable, NotReadable>> {
        let known = self.known();
        let served = known.tables.get(name)?;
        let generation = match self.generation(served).await {
            Ok(generation) => generation,
            Err(error) => return Some(Err(error)),
        };
        let Generation { projection, log_topic, tables, recent, lookout } = generation;
        // The generation in use may be another than the one that control says is active.
        let of = TableOf::named(&projection, name)?;
        let table = match of {
            TableOf::Entity => tables.entity.clone()?,
            TableOf::View(at) => tables.views.get(at)?.clone(),
        };
        let (generation, served) = (tables.generation, Arc::clone(served));
        Some(Ok(ReadTable { projection, log_topic, of, generation, table, tables, recent, lookout, served }))
    }

    /// Whether a table of a generation may be gone: rows read from it do not count then.
    #[must_use]
    pub fn is_gone(&self, table: &ReadTable) -> bool {
        let control = self.control.borrow();
        let generations = control.generations(table.projection.name());
        let state = generations.and_then(|generations| generations.state(table.generation));
        state.is_none_or(|state| state == GenerationState::Gone)
    }

    async fn generation(&self, served: &Served) -> Result<Generation, NotReadable> {
        let (control, topic) = (Arc::clone(&self.control.borrow()), served.topic.as_str());
        let active = control.active(topic).ok_or(NotReadable::NotBuilt)?;
        if let Some(current) = served.seen().current.as_ref().filter(|current| current.is(active)) {
            return Ok(current.clone());
        }
        let projection = control.built_from(topic, active).map_err(NotReadable::NoProjection)?;
        let partitions = projection.topic.partitions;
        let next = {
            let mut seen = served.seen();
            let next = || {
                let tables = Arc::new(projection.tables(active));
                let lookout = Arc::new(Lookout::of(&self.store, &tables));
                let recent = Arc::new(Recent::new(partitions));
                Generation {
                    projection: Arc::clone(projection),
                    log_topic: projection.log_topic(),
                    tables,
                    recent,
                    lookout,
                }
            };
            match &seen.current {
                Some(current) if current.is(active) => return Ok(current.clone()),
                Some(_) => next(),
                None => return Ok(seen.current.insert(next()).clone()),
            }
        };
        let checkpoints = load_checkpoints(&self.store, &next.tables, 0..partitions);
        let checkpoints = checkpoints.await.map_err(NotReadable::Store)?;
        let mut seen = served.seen();
        let reached = checkpoints.iter().zip(&seen.high).all(|(checkpoint, high)| checkpoint.next >= *high);
        // Control may have moved on while the checkpoints were loaded: then the next read judges anew.
        if let Some(current) = &seen.current
            && (!reached || self.control.borrow().active(topic) != Some(active))
        {
            return Ok(current.clone());
        }
        seen.current = Some(next.clone());
        Ok(next)
    }
}

// === impl Known ===

impl Known {
    /// What a state of control says. The topics of the `last` one keep what was seen of them.
    fn of(control: Arc<Control>, last: Option<&Known>) -> Known {
        let projections = control.serving();
        let mut known = Known { of: control, projections, tables: HashMap::new() };
        for projection in &known.projections {
            let topic = projection.name();
            let before = last.and_then(|last| last.tables.values().find(|served| served.topic == topic));
            let served = before.cloned().unwrap_or_else(|| Arc::new(Served::of(projection)));
            let in_use = served.seen().current.as_ref().map(|current| Arc::clone(&current.projection));
            // Tables that only the generation in use has are read until the active one is.
            for layout in in_use.iter().flat_map(|in_use| in_use.layouts()).chain(projection.layouts()) {
                known.tables.insert(layout.name.clone(), Arc::clone(&served));
            }
        }
        known
    }

    /// What is served, one projection a topic.
    #[must_use]
    pub fn projections(&self) -> &[Arc<Projection>] {
        &self.projections
    }

    /// The hash of the definition in force.
    #[must_use]
    pub fn definition(&self) -> &str {
        self.of.definition().map_or("", |definition| &definition.hash)
    }

    /// Whether a message type has a name.
    #[must_use]
    pub fn has_message(&self, name: &str) -> bool {
        let mut messages = self.projections.iter().flat_map(|projection| &projection.topic.messages);
        messages.any(|message| message.name == name)
    }

    /// The names of all tables, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// Why a table cannot be read now.
#[derive(Debug)]
pub enum NotReadable {
    /// Its projection has no active generation.
    NotBuilt,
    /// What its active generation was built from is not known here.
    NoProjection(NoProjection),
    /// The store did not answer.
    Store(StoreError),
}
