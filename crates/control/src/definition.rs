//! Definitions, kept by their hash: what a folder said when it came, and the projections it makes.
//!
//! A generation's manifest names the definition it was built from. So what a generation is folded and read by is known
//! for as long as the generation is, whatever folder a process was started with and whatever was defined since.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tidefold_app::model::Projection;
use tidefold_app::{App, SourceFile};
use tidefold_record::Offset;

/// A folder as it was defined.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The control offset that brought it.
    pub offset: Offset,
    /// The hash of the whole.
    pub hash: String,
    /// The folder's files.
    pub sources: Vec<SourceFile>,
    /// What the manifest of a generation calls the definition of a topic's projection. Entries of before have none: there
    /// manifests have the hash of the whole.
    names: BTreeMap<String, String>,
    /// The files, checked: once, by whoever asks first.
    loaded: OnceLock<Result<Arc<App>, String>>,
}

/// Why there is no projection to go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProjection {
    /// Control knows no such topic or generation.
    #[error("topic {topic} has no generation {generation}")]
    NoGeneration {
        /// The topic.
        topic: String,
        /// The generation.
        generation: u32,
    },
    /// A manifest names what control does not have.
    #[error(
        "topic {topic} was built from the definition {definition}, which the control topic does not have: put back the \
         control topic it was built with"
    )]
    NotDefined {
        /// The topic.
        topic: String,
        /// The hash that the manifest names.
        definition: String,
    },
    /// This release does not take the definition.
    #[error(
        "the definition {definition} of topic {topic} does not load in this release: start with the release that it was \
         defined with\n{detail}"
    )]
    NotLoaded {
        /// The topic.
        topic: String,
        /// The hash that the manifest names.
        definition: String,
        /// What is wrong with it.
        detail: String,
    },
}

// === impl Definition ===

impl Definition {
    pub(crate) fn new(
        offset: Offset,
        hash: String,
        sources: Vec<SourceFile>,
        names: BTreeMap<String, String>,
    ) -> Definition {
        Definition { offset, hash, sources, names, loaded: OnceLock::new() }
    }

    /// The folder, checked.
    ///
    /// # Errors
    /// What this release finds wrong with it, where it does.
    pub fn app(&self) -> Result<&Arc<App>, &str> {
        let load = || match tidefold_app::load(self.sources.clone()) {
            Ok(app) => Ok(Arc::new(app)),
            Err(wrong) => Err(wrong.to_string()),
        };
        self.loaded.get_or_init(load).as_ref().map_err(String::as_str)
    }

    /// Whether a folder means the same, though its texts or the release that took their hash may be others.
    #[must_use]
    pub fn is(&self, proposal: &App) -> bool {
        let same = |app: &Arc<App>| app.definition_hash == proposal.definition_hash;
        self.hash == proposal.definition_hash || self.app().is_ok_and(same)
    }

    /// What a new generation's manifest calls the definition of a topic's projection.
    #[must_use]
    pub fn name_of(&self, topic: &str) -> &str {
        self.names.get(topic).unwrap_or(&self.hash)
    }

    /// Whether a manifest's name means this definition.
    pub(crate) fn is_called(&self, topic: &str, name: &str) -> bool {
        self.hash == name || self.names.get(topic).is_some_and(|known| known == name)
    }

    /// The projection of a topic.
    ///
    /// # Errors
    /// When the definition does not load, or has no such topic.
    pub fn projection(&self, topic: &str) -> Result<&Arc<Projection>, NoProjection> {
        let named = || (topic.to_owned(), self.name_of(topic).to_owned());
        let app = self.app().map_err(|detail| {
            let (topic, definition) = named();
            NoProjection::NotLoaded { topic, definition, detail: detail.to_owned() }
        })?;
        app.projection(topic).ok_or_else(|| {
            let (topic, definition) = named();
            NoProjection::NotDefined { topic, definition }
        })
    }
}

/// Two that came at one offset with the same files are the same; whether they were checked yet does not count.
impl PartialEq for Definition {
    fn eq(&self, other: &Definition) -> bool {
        (self.offset, &self.hash, &self.sources, &self.names)
            == (other.offset, &other.hash, &other.sources, &other.names)
    }
}
