//! Builds begun, joined, and finished for whoever is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidefold_control::{Control, GenerationState};
use tidefold_control_log::patiently;
use tidefold_record::{Partition, TopicName};
use tidefold_telemetry::clock;
use tokio::sync::watch;

use super::build::{Build, BuildProgress, Builder, Phase, ReplayOptions};
use super::pair::Pair;
use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// How many of the holder's pauses a build is left to whoever began it.
const PATIENCE: u32 = 3;

/// The builds that this process runs or ran, one for each topic.
#[derive(Default)]
pub(crate) struct Builds {
    known: Mutex<BTreeMap<TopicName, Known>>,
}

/// A build that this process runs or ran.
struct Known {
    build: Build,
    /// Whether it runs only in case that whoever began it is gone.
    second: bool,
}

// === impl Builds ===

impl Builds {
    pub(crate) fn all(&self) -> Vec<Build> {
        self.known().values().map(|known| known.build.clone()).collect()
    }

    /// The build of a topic that this process began, if it has not ended.
    pub(super) fn running(&self, topic: &TopicName) -> Option<Build> {
        let known = self.known();
        let own = known.get(topic).filter(|known| !known.second).map(|known| &known.build);
        own.filter(|build| !build.progress.borrow().phase.is_final()).cloned()
    }

    fn began(&self, topic: &TopicName, build: Build) {
        self.known().insert(topic.clone(), Known { build, second: false });
    }

    /// Takes up a build that another process may have begun, unless it is known here. One that failed may do better with
    /// partitions that `came` here.
    fn takes_up(&self, topic: &TopicName, build: Build, came: bool) -> bool {
        let mut known = self.known();
        let same = known.get(topic).map(|known| &known.build);
        let same = same.filter(|known| known.generation == build.generation);
        let failed = |build: &Build| matches!(build.progress.borrow().phase, Phase::Failed(_));
        let takes = same.is_none_or(|known| came && failed(known));
        if takes {
            known.insert(topic.clone(), Known { build, second: true });
        }
        takes
    }

    /// Whether the build of a topic was begun by another process, as far as is known here.
    fn is_second(&self, topic: &TopicName) -> bool {
        self.known().get(topic).is_some_and(|known| known.second)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<TopicName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that has the log to itself goes on with builds that were begun, and ends holds that were left over: whoever
/// it was that began them is gone.
pub(crate) async fn resume(process: &Arc<Process>, builds: &Builds) -> Result<(), CoordinatorError> {
    for source in &process.sources {
        if !process.is_alone(source) {
            continue;
        }
        let (retry, waiting) = (process.retry(), &process.options.waiting);
        patiently(&retry, waiting, "end a hold that was left over", || process.release(source)).await?;
        let control = process.control_log.control();
        run_build(process, builds, source, &control, ReplayOptions::default());
    }
    Ok(())
}

/// Runs the build of a topic that control says is under way.
pub(super) fn run_build(
    process: &Arc<Process>,
    builds: &Builds,
    source: &Arc<Source>,
    control: &Control,
    options: ReplayOptions,
) -> Option<Build> {
    let (builder, build) = begin(process, source, control, options)?;
    builds.began(&source.name, build.clone());
    process.work.spawn("build", builder.run());
    Some(build)
}

/// The build of a topic that control says is under way.
fn begin(
    process: &Arc<Process>,
    source: &Arc<Source>,
    control: &Control,
    options: ReplayOptions,
) -> Option<(Builder, Build)> {
    let known = control.generations(source.name.as_str())?;
    let from = known.active?;
    let (to, generation) = known.in_state(GenerationState::Building).next()?;
    let (state, follows) = (generation.state, generation.manifest.verdicts_of.is_some());
    let (progress, seen) = watch::channel(BuildProgress::none());
    let (process, of) = (Arc::clone(process), Arc::clone(source));
    let pair = Pair { process, source: of, from, to, state, follows };
    let build = Build { topic: source.name.to_string(), generation: to, progress: seen };
    Some((Builder { pair, options, progress }, build))
}

/// Sees to it, for ever, that a build is finished though the process that began it may be gone: whoever owns partition 0
/// runs it as well, later. Two that run one build do no harm.
pub(crate) async fn finish(process: Arc<Process>, builds: Arc<Builds>) {
    let (mut watch, mut owned) = (process.control_log.watch(), process.owned.clone());
    let mut came = true;
    loop {
        let control = watch.borrow_and_update().clone();
        owned.borrow_and_update();
        for source in &process.sources {
            if !process.owned(source).contains_key(&Partition(0)) {
                continue;
            }
            let begun = begin(&process, source, &control, ReplayOptions::default());
            let Some((builder, build)) = begun else { continue };
            if builds.takes_up(&source.name, build, came) {
                process.work.spawn("build", later(builder, Arc::clone(&builds)));
            }
        }
        came = tokio::select! {
            Ok(()) = watch.changed() => false,
            Ok(()) = owned.changed() => true,
            else => return,
        };
    }
}

/// Leaves a build to whoever began it for a while, and altogether where that is this process.
async fn later(builder: Builder, builds: Arc<Builds>) {
    clock::pause(builder.pair.process.options.hold * PATIENCE).await;
    if builds.is_second(&builder.pair.source.name) {
        builder.run().await;
    }
}
