//! What runs made equal to what control wants: the lanes of every generation that is active, kept or being built.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Generation, GenerationState};
use tidefold_projector::{Orders, Projector};
use tidefold_telemetry::Backoff;
use tokio::sync::{mpsc, oneshot};

use crate::bootstrap::open_tables;
use crate::error::CoordinatorError;
use crate::lanes::{Folding, Key};
use crate::process::{Asked, Process};
use crate::source::Source;

/// What is retried where that fails.
pub(crate) const DO_WHAT_CONTROL_WANTS: &str = "do what control wants";

/// Reconciles whenever it is asked, one at a time, for ever.
pub(crate) async fn serve(process: Arc<Process>, mut asked: mpsc::Receiver<Asked>) {
    while let Some(answer) = asked.recv().await {
        let _ = answer.send(process.reconcile().await);
    }
}

// === impl Process ===

impl Process {
    /// Returns once what runs is what control wants, of all that was read before.
    pub(crate) async fn reconciled(&self) -> Result<(), CoordinatorError> {
        let (answer, answered) = oneshot::channel();
        self.reconciler.send(answer).await.map_err(|_| CoordinatorError::Ending)?;
        answered.await.map_err(|_| CoordinatorError::Ending)?
    }

    /// The same, however long that takes; given up only when the process ends.
    pub(crate) async fn settled(&self) {
        let goes_on = |error: &CoordinatorError| !matches!(error, CoordinatorError::Ending);
        let retry = self.retry().backoff(Backoff { most: Duration::from_secs(1), ..Backoff::default() });
        let _ended = retry.run(DO_WHAT_CONTROL_WANTS, goes_on, || self.reconciled()).await;
    }

    async fn reconcile(&self) -> Result<(), CoordinatorError> {
        let control = self.control_log.control();
        for (source, number, generation) in self.generations(&control) {
            let key = source.key(number);
            if generation.state == GenerationState::Gone {
                self.end(source, key).await?;
            } else if !self.lanes.knows(&key) {
                let folding = self.begin(source, number, generation, &control).await?;
                self.lanes.begin(key, folding);
            }
        }
        self.assign();
        self.give_orders();
        Ok(())
    }

    /// Gives every generation the lanes of the partitions that are owned.
    pub(crate) fn assign(&self) {
        let owned = |topic: &_| {
            let source = self.sources.iter().find(|source| source.name == *topic);
            source.map(|source| self.owned(source)).unwrap_or_default()
        };
        let (limit, components) = (self.options.drain, &self.components);
        let without = self.lanes.assign(owned, |ending, lost| {
            ending.spawn_on(lost.within(limit), &components.runtime);
        });
        // No lane raises the alert of what has no lanes.
        for (key, partition) in without {
            let (telemetry, app) = (&components.telemetry, &*self.app);
            tidefold_projector::alert(telemetry, app, &key.topic, key.generation, partition);
        }
    }

    /// Tells all lanes what control wants of them.
    pub(crate) fn give_orders(&self) {
        let control = self.control_log.control();
        self.lanes.order(|key| orders(key, &control));
    }

    /// Makes a generation ready for its lanes, if it was built from what is there.
    async fn begin(
        &self,
        source: &Source,
        number: u32,
        generation: &Generation,
        control: &Control,
    ) -> Result<Folding, CoordinatorError> {
        if let Some(wrong) = self.lanes.wrong(&source.name) {
            return Ok(Folding::Halted(wrong.reason));
        }
        let projection = match source.built_from(control, number) {
            Ok(projection) => projection,
            Err(error) => {
                tracing::error!(topic = %source.name, generation = number, %error, "projection halted");
                return Ok(Folding::Halted(error.to_string()));
            }
        };
        // What cannot be folded on is still read, as it is.
        open_tables(&*self.components.store, &projection.tables(number)).await?;
        let differs = source.mismatches(&generation.manifest, self.options.window);
        if !differs.is_empty() {
            let reason = differs.join("\n");
            tracing::error!(topic = %source.name, generation = number, reason, "projection halted");
            return Ok(Folding::Halted(reason));
        }
        let window = generation.manifest.window;
        let assignment = Source::assignment(projection, number, window, self.cache_bytes());
        let orders = orders(&source.key(number), control);
        Ok(Folding::Lanes(Box::new(Projector::idle(&self.components, &assignment, orders))))
    }

    /// Ends the lanes of a generation and drops its tables.
    async fn end(&self, source: &Source, key: Key) -> Result<(), CoordinatorError> {
        if self.lanes.has_dropped(&key) {
            return Ok(());
        }
        if let Some(projector) = self.lanes.take(&key) {
            projector.drain(self.options.drain).await;
        }
        match source.built_from(&self.control_log.control(), key.generation) {
            Ok(projection) => {
                let tables = projection.tables(key.generation);
                let tables: Vec<_> = tables.all().map(|table| table.id.clone()).collect();
                let dropped = self.components.store.drop_tables(&tables).await;
                dropped.map_err(CoordinatorError::store("drop tables"))?;
            }
            Err(error) => {
                let generation = key.generation;
                tracing::warn!(topic = %source.name, generation, %error, "tables that nobody needs are kept");
            }
        }
        self.lanes.note_dropped(key);
        Ok(())
    }
}

fn orders(key: &Key, control: &Control) -> Orders {
    let known = control.generations(key.topic.as_str());
    let hold = known.and_then(|known| known.hold.as_ref());
    let active = known.and_then(|known| known.active);
    Orders {
        follows: follows(key, control),
        publishes: active.is_none_or(|active| active == key.generation),
        hold: hold.is_some_and(|hold| hold.generation == key.generation),
    }
}

/// The active generation judges; others take its verdicts, except a build that was begun without any.
fn follows(key: &Key, control: &Control) -> Option<u32> {
    let known = control.generations(key.topic.as_str())?;
    let active = known.active.filter(|active| *active != key.generation)?;
    let judges = known.generations.get(&key.generation).is_some_and(|generation| {
        generation.state == GenerationState::Building && generation.manifest.verdicts_of.is_none()
    });
    (!judges).then_some(active)
}
