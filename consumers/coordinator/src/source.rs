//! A topic of the app as it was opened, and what is folded from it.

use std::sync::Arc;

use tidefold_app::App;
use tidefold_app::model::Projection;
use tidefold_control::Manifest;
use tidefold_log::Topic;
use tidefold_projector::Assignment;
use tidefold_record::{Partition, TopicName};
use tidefold_table::GenerationTables;

use crate::lanes::Key;
use crate::topics::manifest::manifest;

/// A topic of the app as it was opened, and what is folded from it.
pub(crate) struct Source {
    /// The topic's name in the app.
    pub(crate) name: TopicName,
    /// The topic as it was opened, under the log's own name.
    pub(crate) there: Topic,
    /// What is folded from it.
    projection: Arc<Projection>,
    /// The definition that it is of.
    definition: String,
}

// === impl Source ===

impl Source {
    /// The sources of an app, with its topics as they were opened, in its order.
    pub(crate) fn all(app: &App, topics: Vec<Topic>) -> Vec<Arc<Source>> {
        let source = |(projection, there): (&Arc<Projection>, Topic)| Source {
            name: projection.topic.name.clone(),
            there,
            projection: Arc::clone(projection),
            definition: app.definition_hash.clone(),
        };
        app.projections.iter().zip(topics).map(source).map(Arc::new).collect()
    }

    pub(crate) fn key(&self, generation: u32) -> Key {
        Key { topic: self.name.clone(), generation }
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.there.partitions).map(Partition)
    }

    /// The tables of a generation.
    pub(crate) fn tables(&self, generation: u32) -> GenerationTables {
        self.projection.tables(generation)
    }

    /// What a generation that is built now is built from.
    pub(crate) fn manifest(&self, window: u64, verdicts_of: Option<u32>) -> Manifest {
        manifest(&self.definition, &self.there, window, verdicts_of)
    }

    /// What the lanes of a generation fold, and into what.
    pub(crate) fn assignment(&self, generation: u32, window: u64, cache_bytes: usize) -> Assignment {
        let projection = Arc::clone(&self.projection);
        Assignment { projection, generation, window, partitions: Vec::new(), cache_bytes }
    }
}
