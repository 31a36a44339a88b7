//! A topic of the app as it was opened. What is folded from it, each generation says.

use std::sync::Arc;

use tidefold_app::App;
use tidefold_app::model::Projection;
use tidefold_control::{Control, Manifest, NoProjection};
use tidefold_log::Topic;
use tidefold_projector::Assignment;
use tidefold_record::{Partition, TopicName};

use crate::lanes::Key;
use crate::topics::manifest::{manifest, mismatches};

/// A topic of the app as it was opened.
pub(crate) struct Source {
    /// The topic's name in the app.
    pub(crate) name: TopicName,
    /// The topic as it was opened, under the log's own name.
    pub(crate) there: Topic,
}

// === impl Source ===

impl Source {
    /// The sources of an app, with its topics as they were opened, in its order.
    pub(crate) fn all(app: &App, topics: Vec<Topic>) -> Vec<Arc<Source>> {
        let names = app.projections.iter().map(|projection| projection.topic.name.clone());
        names.zip(topics).map(|(name, there)| Arc::new(Source { name, there })).collect()
    }

    pub(crate) fn key(&self, generation: u32) -> Key {
        Key { topic: self.name.clone(), generation }
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.there.partitions).map(Partition)
    }

    /// What a generation that is built now is built from: the definition in force. None while there is none.
    pub(crate) fn manifest(
        &self,
        control: &Control,
        window: u64,
        verdicts_of: Option<u32>,
    ) -> Option<Manifest> {
        let definition = control.definition()?.name_of(self.name.as_str());
        Some(manifest(definition, &self.there, window, verdicts_of))
    }

    /// What keeps a generation from being folded on: see [`mismatches`].
    pub(crate) fn mismatches(&self, built: &Manifest, window: u64) -> Vec<String> {
        mismatches(built, &manifest(&built.definition, &self.there, window, None))
    }

    /// What a generation was built from.
    pub(crate) fn built_from(
        &self,
        control: &Control,
        generation: u32,
    ) -> Result<Arc<Projection>, NoProjection> {
        control.built_from(self.name.as_str(), generation).cloned()
    }

    /// What the lanes of a generation fold, and into what.
    pub(crate) fn assignment(
        projection: Arc<Projection>,
        generation: u32,
        window: u64,
        cache_bytes: usize,
    ) -> Assignment {
        Assignment { projection, generation, window, partitions: Vec::new(), cache_bytes }
    }
}
