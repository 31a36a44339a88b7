//! What the composition root starts: everything an app needs to be folded in this process.

use std::sync::Arc;
use std::time::Duration;

use tidefold_app::App;
use tidefold_control::Control;
use tidefold_control_log::{ControlLog, Waiting, copy_for_ever, open_topics, patiently};
use tidefold_log::{SharedLog, SharedMembership};
use tidefold_projector::{Budget, Components, LaneStatus, Pace, SchemaSource};
use tidefold_record::Partition;
use tidefold_store::SharedStore;
use tidefold_telemetry::{Retry, Supervisor};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use crate::bootstrap::bootstrap;
use crate::error::CoordinatorError;
use crate::operations::begin::{self, Builds};
use crate::operations::build::Build;
use crate::options::Options;
use crate::process::Process;
use crate::quiesce::Quiesced;
use crate::reconcile::DO_WHAT_CONTROL_WANTS;
use crate::schemas::Schemas;
use crate::source::Source;
use crate::status::GenerationStatus;
use crate::{holds, ownership, reconcile, topics};

/// An app, folded. Any number of them, of one app or of several, may be in one process. Dropping it kills everything where
/// it stands, which loses nothing.
pub struct Coordinator {
    process: Arc<Process>,
    builds: Arc<Builds>,
    _end: [DropGuard; 2],
}

// === impl Coordinator ===

impl Coordinator {
    /// Makes the app known to its control topic, opens what it needs and starts its lanes. Where the log or the store
    /// does not answer, it waits. What ends before its time afterwards is told to the supervisor.
    ///
    /// # Errors
    /// When the folder is not the one the log was begun with, or the log or the store refuses for good. A projection
    /// whose tables were built from something else is no error here: it halts, and the status says why.
    pub async fn start(
        app: Arc<App>,
        log: SharedLog,
        store: SharedStore,
        supervisor: Supervisor,
        runtime: tokio::runtime::Handle,
        options: Options,
    ) -> Result<Coordinator, CoordinatorError> {
        let (retry, waiting) = (supervisor.telemetry().retry(), options.waiting.clone());
        let open = || ControlLog::open(Arc::clone(&log), &app.name);
        let control_log = patiently(&retry, &waiting, "open the control topic", open).await?;
        let topics = patiently(&retry, &waiting, "open topics", || open_topics(&app, &*log)).await?;
        let sources: Vec<_> = Source::all(&app, topics);
        let window = options.window;
        let begin = || bootstrap(&app, &sources, &control_log, &*store, window);
        patiently(&retry, &waiting, "make the app known", begin).await?;
        let membership = join(&app, &sources, &log, (&retry, &waiting)).await?;
        let components = Components {
            log,
            store,
            schemas: Arc::new(Schemas(control_log.clone())),
            feed: None,
            control: control_log.watch(),
            telemetry: supervisor.telemetry().clone(),
            supervisor,
            budget: Budget::new(options.batch_bytes),
            pace: Pace::default(),
            settings: options.lanes.clone(),
            runtime,
        };
        let (process, asked) =
            Process::new(app.name.as_str().into(), sources, components, options, control_log, membership);
        let process = Arc::new(process);
        let end = [process.work.end_on_drop(), process.keepers.end_on_drop()];
        process.work.keep("reconcile", reconcile::serve(Arc::clone(&process), asked));
        patiently(&retry, &waiting, DO_WHAT_CONTROL_WANTS, || process.reconciled()).await?;
        let coordinator = Coordinator { process, builds: Arc::default(), _end: end };
        coordinator.go_on().await?;
        Ok(coordinator)
    }

    /// Starts what goes on for ever.
    async fn go_on(&self) -> Result<(), CoordinatorError> {
        let (process, work) = (&self.process, &self.process.work);
        let (control_log, store) = (process.control_log.clone(), Arc::clone(&process.components.store));
        let retry = process.retry();
        work.keep("copy-control", copy_for_ever(control_log, store, process.app.to_string(), retry));
        work.keep("follow-control", ownership::follow_control(Arc::clone(process)));
        work.keep("follow-ownership", ownership::follow_owned(Arc::clone(process)));
        work.keep("report-progress", ownership::report(Arc::clone(process)));
        work.keep("watch-topics", topics::watch::watch(Arc::clone(process)));
        work.keep("follow-holds", holds::follow(Arc::clone(process)));
        begin::resume(process, &self.builds).await?;
        work.keep("finish-builds", begin::finish(Arc::clone(process), Arc::clone(&self.builds)));
        Ok(())
    }

    /// What control says, each time that changes.
    #[must_use]
    pub fn control(&self) -> watch::Receiver<Arc<Control>> {
        self.process.control_log.watch()
    }

    /// The control topic, to look up and append.
    #[must_use]
    pub fn control_log(&self) -> &ControlLog {
        &self.process.control_log
    }

    /// What schema ids stand for.
    #[must_use]
    pub fn schemas(&self) -> &dyn SchemaSource {
        &*self.process.components.schemas
    }

    /// Every generation that is not gone, with its lanes.
    #[must_use]
    pub fn status(&self) -> Vec<GenerationStatus> {
        self.process.status()
    }

    /// Why a generation does not go on in a partition: it is not folded at all, or the partition's lane is halted. `None`
    /// too where this process does not fold it.
    #[must_use]
    pub fn halted(&self, topic: &str, generation: u32, partition: Partition) -> Option<String> {
        let key = self.process.source(topic).ok()?.key(generation);
        let lanes = &self.process.lanes;
        lanes.halted(&key).or_else(|| lanes.lane(&key, partition)?.0.reason())
    }

    /// Whether a generation is not folded at all in this process: what it was built from is not what is there.
    #[must_use]
    pub fn is_halted(&self, topic: &str, generation: u32) -> bool {
        let source = self.process.source(topic);
        source.is_ok_and(|source| self.process.lanes.halted(&source.key(generation)).is_some())
    }

    /// Why nothing that is appended to a partition now would be folded: the topic is not the one that the active generation
    /// was folded from. `None` too where this process does not fold it.
    #[must_use]
    pub fn refuses(&self, topic: &str, partition: Partition) -> Option<String> {
        let active = self.process.control_log.active(topic)?;
        self.process.lanes.refuses(&self.process.source(topic).ok()?.key(active), partition)
    }

    /// The lanes of a generation that are here, in the order of partitions; none while it is not folded here.
    #[must_use]
    pub fn lanes(&self, topic: &str, generation: u32) -> Vec<watch::Receiver<LaneStatus>> {
        let source = self.process.source(topic);
        source.map(|source| self.process.lanes.of(&source.key(generation))).unwrap_or_default()
    }

    /// The builds that this process runs or ran, one for each topic.
    #[must_use]
    pub fn builds(&self) -> Vec<Build> {
        self.builds.all()
    }

    /// Lets the active generation of a topic finish the batches in hand and stop there, in every process. Its log goes on
    /// growing.
    ///
    /// # Errors
    /// When the topic has no active generation, or it does not come to a stand within `limit`.
    pub async fn quiesce(&self, topic: &str, limit: Duration) -> Result<Quiesced, CoordinatorError> {
        let process = &self.process;
        let source = process.source(topic)?;
        let generation = process.active(source).await?;
        process.quiesce(source, generation, limit).await
    }

    /// Ends everything, letting every lane finish the batch in hand; then leaves the group, so that others take over.
    pub async fn shutdown(self) {
        let Process { work, keepers, closing, lanes, membership, options, .. } = &*self.process;
        work.end_within(Duration::ZERO).await;
        closing.cancel();
        // What is not released in time, the others release.
        keepers.end_within(options.drain).await;
        lanes.drain(options.drain).await;
        membership.leave().await;
    }

    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub(crate) fn begun(&self) -> &Builds {
        &self.builds
    }
}

/// Joins the group that folds an app.
async fn join(
    app: &App,
    sources: &[Arc<Source>],
    log: &SharedLog,
    (retry, waiting): (&Retry, &Waiting),
) -> Result<SharedMembership, CoordinatorError> {
    let group = Process::group(&app.name);
    let topics = sources.iter().map(|source| &source.there);
    let shares: Vec<_> = topics.map(|topic| (topic.name.clone(), topic.partitions)).collect();
    let join = || {
        let joined = log.join(&group, &shares);
        std::future::ready(joined.map_err(CoordinatorError::log("join the group")))
    };
    patiently(retry, waiting, "join the group", join).await
}
