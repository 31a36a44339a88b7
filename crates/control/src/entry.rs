//! Control entries. A record of the control topic is one [`Envelope`] as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidefold_app::model::Projection;
use tidefold_app::{App, SourceFile};
use tidefold_record::SchemaId;

/// What one control record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The offset its writer expects it to get.
    pub expects: u64,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A step in the life of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The app's definition, whole: later builds are made from it.
    Defined {
        /// `App::definition_hash`.
        hash: String,
        /// The folder's files.
        sources: Vec<SourceFile>,
        /// `Projection::hash` of each topic's projection: what the manifests of its generations name. Entries of before
        /// have none, and their generations name the hash of the whole.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        projections: BTreeMap<String, String>,
    },
    /// A schema id stands for a schema.
    SchemaRegistered {
        /// The id.
        id: SchemaId,
        /// The schema as JSON text.
        schema: String,
    },
    /// A schema id stands for nothing we know, nor does any below that is not registered: records with them are dead.
    SchemaRefused {
        /// The id.
        id: SchemaId,
        /// Why.
        reason: String,
    },
    /// A generation's tables are being built.
    Building {
        /// The projection's topic.
        topic: String,
        /// One more than the projection's last.
        generation: u32,
        /// What it is built from.
        manifest: Manifest,
    },
    /// A generation is the one queries read. The one before stays current until it is retired.
    Activated {
        /// The projection's topic.
        topic: String,
        /// The generation; built or kept.
        generation: u32,
    },
    /// A build was given up; its tables may be dropped.
    Abandoned {
        /// The projection's topic.
        topic: String,
        /// The generation.
        generation: u32,
    },
    /// A generation is to stand still in every process: its lanes finish the batch in hand. One hold of a topic at a time.
    Holding {
        /// The projection's topic.
        topic: String,
        /// The generation; not gone.
        generation: u32,
        /// The control offset of the hold that this one makes last longer; none begins one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<u64>,
    },
    /// What a process says of its partitions of the generation that is held.
    Standing {
        /// The projection's topic.
        topic: String,
        /// The generation.
        generation: u32,
        /// Those that stand, and where.
        partitions: Vec<Stands>,
    },
    /// The generation that is held goes on: its holder is done, or does not answer any more.
    Released {
        /// The projection's topic.
        topic: String,
        /// The generation.
        generation: u32,
    },
    /// A partition of a generation being built does not come further, or does again.
    Halted {
        /// The projection's topic.
        topic: String,
        /// The generation; being built.
        generation: u32,
        /// The partition.
        partition: u32,
        /// Why, and what to do; none where it goes on.
        reason: Option<String>,
    },
    /// A record is dead because an operator says so: its partition halts on it, by a mistake of ours. That is part of what
    /// every fold of the topic goes by, from the first record on.
    DeadLetterAdded {
        /// The projection's topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The record's offset.
        offset: u64,
        /// Why, in the operator's words.
        reason: String,
    },
    /// The breaker lets dead letters of a partition pass that is held.
    BreakerLifted {
        /// The projection's topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The next offset to fold, where it is held.
        next: u64,
    },
    /// A kept generation is no longer needed; its tables may be dropped.
    Retired {
        /// The projection's topic.
        topic: String,
        /// The generation; not the active one.
        generation: u32,
    },
}

/// A partition that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    /// The partition.
    pub partition: u32,
    /// The next offset it would fold.
    pub next: u64,
}

/// What a generation was built from and with. A mismatch with what is there halts the projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What the definition of its projection is called (`Definition::name_of`).
    pub definition: String,
    /// The log's identity (`Topic::cluster`).
    pub cluster: String,
    /// The topic's incarnation (`Topic::incarnation`).
    pub incarnation: String,
    /// The topic's partitions.
    pub partitions: u32,
    /// The partitioner: `murmur2`.
    pub partitioner: String,
    /// The number of the fold's semantics ([`FOLD_SEMANTICS`]).
    pub semantics: u32,
    /// The dedupe window, in offsets.
    pub window: u64,
    /// The generation whose published verdicts are taken as given; none for the first build.
    pub verdicts_of: Option<u32>,
}

/// Rises with every change of the fold that could change a row or a verdict.
pub const FOLD_SEMANTICS: u32 = 2;

// === impl Entry ===

impl Entry {
    /// A folder as it defines its app from now on.
    #[must_use]
    pub fn defined(app: &App) -> Entry {
        let name = |projection: &Arc<Projection>| (projection.name().to_owned(), projection.hash.to_string());
        Entry::Defined {
            hash: app.definition_hash.clone(),
            sources: app.sources.clone(),
            projections: app.projections.iter().map(name).collect(),
        }
    }
}

// === impl Envelope ===

impl Envelope {
    /// A record's value, read.
    ///
    /// # Errors
    /// When it is not a control entry.
    pub fn from_json(value: &[u8]) -> Result<Envelope, serde_json::Error> {
        serde_json::from_slice(value)
    }

    /// The record's value.
    ///
    /// # Errors
    /// Never for entries made of these types; serde's signature has it.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
