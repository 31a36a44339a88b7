//! What everything here works with: given once, and never changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_control::{Control, Generation};
use tidefold_control_log::ControlLog;
use tidefold_log::{Epoch, Owned, SharedMembership};
use tidefold_projector::Components;
use tidefold_record::Partition;
use tidefold_telemetry::Retry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::damage::Damage;
use crate::error::CoordinatorError;
use crate::lanes::{Key, Lanes};
use crate::options::Options;
use crate::source::Source;
use crate::tasks::Tasks;

/// Where it is said how a reconciliation went.
pub(crate) type Asked = oneshot::Sender<Result<(), CoordinatorError>>;

/// One app, as one process folds it. Whatever changes has a place of its own: control in the control log, what is owned in
/// the membership, lanes in [`Lanes`].
pub(crate) struct Process {
    /// The app's name.
    pub(crate) app: Arc<str>,
    /// In the order of the app's topics.
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) components: Components,
    pub(crate) options: Options,
    pub(crate) control_log: ControlLog,
    pub(crate) membership: SharedMembership,
    /// What this process owns.
    pub(crate) owned: watch::Receiver<Owned>,
    pub(crate) lanes: Lanes,
    /// Checkpoints that were found damaged.
    pub(crate) damage: Damage,
    /// Asks for what runs to be made equal to what control wants.
    pub(crate) reconciler: mpsc::Sender<Asked>,
    /// What runs until it is ended.
    pub(crate) work: Tasks,
    /// Keeps what this process quiesced so, and releases it.
    pub(crate) keepers: Tasks,
    /// Tells the keepers to come to an end.
    pub(crate) closing: CancellationToken,
}

// === impl Process ===

impl Process {
    /// A process without lanes yet, and what its reconciler is asked.
    pub(crate) fn new(
        app: Arc<str>,
        sources: Vec<Arc<Source>>,
        components: Components,
        options: Options,
        control_log: ControlLog,
        membership: SharedMembership,
    ) -> (Process, mpsc::Receiver<Asked>) {
        let (reconciler, asked) = mpsc::channel(64);
        let process = Process {
            app,
            sources,
            options,
            control_log,
            owned: membership.owned(),
            membership,
            lanes: Lanes::default(),
            damage: Damage::default(),
            reconciler,
            work: Tasks::on(&components.runtime, &components.supervisor),
            keepers: Tasks::on(&components.runtime, &components.supervisor),
            closing: CancellationToken::new(),
            components,
        };
        (process, asked)
    }

    /// How what fails in passing is repeated, until the process ends.
    pub(crate) fn retry(&self) -> Retry {
        self.components.telemetry.retry().until(self.closing.clone())
    }

    /// The group that the processes of an app form.
    pub(crate) fn group(app: &str) -> String {
        format!("tidefold.{app}")
    }

    /// The source of a topic's name.
    pub(crate) fn source(&self, topic: &str) -> Result<&Arc<Source>, CoordinatorError> {
        self.sources.iter().find(|source| source.name.as_str() == topic).ok_or_else(|| {
            let known = self.sources.iter().map(|source| source.name.to_string()).collect();
            CoordinatorError::NoSuchTopic { topic: topic.to_owned(), known }
        })
    }

    /// The active generation of a source, of all that stands in control now.
    pub(crate) async fn active(&self, source: &Source) -> Result<u32, CoordinatorError> {
        let control = self.control_log.advance().await?;
        let topic = source.name.to_string();
        control.active(&topic).ok_or(CoordinatorError::NoGeneration { topic, wanted: "active" })
    }

    /// Every generation of the app's topics that control knows.
    pub(crate) fn generations<'a>(
        &'a self,
        control: &'a Control,
    ) -> impl Iterator<Item = (&'a Arc<Source>, u32, &'a Generation)> {
        self.sources.iter().flat_map(|source| {
            let known = control.generations(source.name.as_str());
            let generations = known.into_iter().flat_map(|known| &known.generations);
            generations.map(move |(number, generation)| (source, *number, generation))
        })
    }

    /// The partitions of a source that this process owns now.
    pub(crate) fn owned(&self, source: &Source) -> BTreeMap<Partition, Epoch> {
        let there = &source.there;
        let owned = self.owned.borrow();
        let of_topic = owned
            .partitions
            .iter()
            .filter(|((name, partition), _)| *name == there.name && partition.0 < there.partitions);
        of_topic.map(|((_, partition), epoch)| (*partition, *epoch)).collect()
    }

    /// Whether this process owns all of a source from its first moment on: it has the log to itself.
    pub(crate) fn is_alone(&self, source: &Source) -> bool {
        self.owned(source).len() == source.there.partitions as usize
    }

    /// Caches of one lane: the budget is shared by all lanes, with room for a build beside each.
    pub(crate) fn cache_bytes(&self) -> usize {
        let lanes: usize = self.sources.iter().map(|source| source.there.partitions as usize).sum();
        self.options.cache_bytes / (2 * lanes.max(1))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} g{}", self.topic, self.generation)
    }
}
