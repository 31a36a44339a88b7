//! A table to be read: whose generation, with which layout, and what is answered where the store or a row is not as it
//! should be.

use std::sync::Arc;

use bytes::Bytes;
use tidefold_app::model::{Entity, Projection, Topic, View};
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::TopicName;
use tidefold_store::StoreError;
use tidefold_store::lookout::Lookout;
use tidefold_table::{Broken, GenerationTable, GenerationTables, Prefix};

use crate::recent::Recent;
use crate::served::Served;

/// Which table of its projection a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOf {
    /// The entity.
    Entity,
    /// `Projection::views[i]`.
    View(usize),
}

/// A table to be read, with all a read has to know.
pub struct ReadTable {
    /// What the generation was built from.
    pub projection: Arc<Projection>,
    /// Its topic's name in the log.
    pub log_topic: TopicName,
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
    /// Looks at the generation's checkpoints for all who wait.
    pub lookout: Arc<Lookout>,
    /// Which generation of its projection is in use.
    pub(crate) served: Arc<Served>,
}

// === impl TableOf ===

impl TableOf {
    /// The table of a name.
    pub(crate) fn named(projection: &Projection, name: &str) -> Option<TableOf> {
        if projection.entity.as_ref().is_some_and(|entity| entity.name == name) {
            return Some(TableOf::Entity);
        }
        projection.views.iter().position(|view| view.name == name).map(TableOf::View)
    }
}

// === impl ReadTable ===

impl ReadTable {
    /// The topic it is folded from.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.projection.topic
    }

    /// The entity, if the table is one.
    #[must_use]
    pub fn entity(&self) -> Option<&Entity> {
        self.projection.entity.as_ref().filter(|_| self.of == TableOf::Entity)
    }

    /// The view, if the table is one.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match self.of {
            TableOf::Entity => None,
            TableOf::View(at) => self.projection.views.get(at),
        }
    }

    /// A key as what the keys of a range start with.
    pub(crate) fn prefix(&self, key: &Bytes) -> Result<Prefix, Problem> {
        let GenerationTable { id, layout } = &self.table;
        let detail = || format!("{} is no whole partition key of {id}", key.escape_ascii());
        layout.prefix(key.clone()).ok_or_else(|| Problem::new(ProblemKind::Internal, detail()))
    }

    /// What is answered where a row is not what the table holds.
    pub(crate) fn broken<'k>(&'k self, key: &'k [u8]) -> impl Fn(Broken) -> Problem + 'k {
        move |broken| {
            let GenerationTable { id, layout } = &self.table;
            store_problem(broken.of(id, layout.logical_key_text(key)).into())
        }
    }
}

/// The store's trouble as an answer.
pub(crate) fn store_problem(error: StoreError) -> Problem {
    Problem::of_error(error.name(), error.to_string())
}
