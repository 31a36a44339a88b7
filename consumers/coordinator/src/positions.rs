//! Where the partitions of a topic stand: in the log, in a generation's tables, here and elsewhere.

use tidefold_control::GenerationState;
use tidefold_control_log::a_few_times;
use tidefold_log::Bounds;
use tidefold_projector::Place;
use tidefold_record::{Offset, Partition};
use tidefold_store::published::Published;
use tidefold_table::Checkpoint;

use crate::coordinator::Coordinator;
use crate::damage::Read;
use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// A partition that another process folds, or none does just now, or one whose lane here has not found its place yet: what
/// the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The projection's topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// The partition.
    pub partition: Partition,
    /// The next offset to fold, as its checkpoint says.
    pub next: Offset,
    /// The append time of the last record folded that had one, in microseconds; 0 if none had.
    pub appended_at_micros: i64,
    /// What is wrong with its checkpoint, so that it is counted from the log's start.
    pub damaged: Option<String>,
}

// === impl Process ===

impl Process {
    /// Checkpoints of a generation, in the order of partitions.
    pub(crate) async fn checkpoints(
        &self,
        source: &Source,
        generation: u32,
    ) -> Result<Vec<Checkpoint>, CoordinatorError> {
        let each = self.each_checkpoint(source, generation).await?;
        each.into_iter().collect::<Result<_, _>>().map_err(CoordinatorError::store("read checkpoints"))
    }

    /// The same, or what is wrong with each: damage of one says nothing of the others. It is noted, for whoever asks how the
    /// generation is.
    pub(crate) async fn each_checkpoint(
        &self,
        source: &Source,
        generation: u32,
    ) -> Result<Vec<Read>, CoordinatorError> {
        let control = self.control_log.control();
        // Nobody folds a generation whose definition is not there.
        let Ok(projection) = source.built_from(&control, generation) else { return Ok(Vec::new()) };
        let tables = projection.tables(generation);
        let found = Published::of(&self.components.store, &tables).each_checkpoint(source.partitions()).await;
        let found = found.map_err(CoordinatorError::store("read checkpoints"))?;
        let key = source.key(generation);
        for (partition, found) in source.partitions().zip(&found) {
            self.damage.note(&key, partition, found.as_ref().err());
        }
        let read =
            |found: Result<Option<Checkpoint>, _>| found.map(|found| found.unwrap_or(Checkpoint::START));
        Ok(found.into_iter().map(read).collect())
    }

    /// Where each partition of a topic starts and ends.
    pub(crate) async fn bounds(&self, source: &Source) -> Result<Vec<Bounds>, CoordinatorError> {
        // At once: over a slow link each takes its time.
        let asked = source.partitions().map(async |partition| {
            let bounds = self.components.log.bounds(&source.there.name, partition).await;
            bounds.map_err(CoordinatorError::log("look at the log's ends"))
        });
        futures_util::future::try_join_all(asked).await
    }

    /// Where each partition of a topic ends.
    pub(crate) async fn ends(&self, source: &Source) -> Result<Vec<Offset>, CoordinatorError> {
        Ok(self.bounds(source).await?.into_iter().map(|bounds| bounds.end).collect())
    }
}

// === impl Coordinator ===

impl Coordinator {
    /// Where the partitions of a topic start and end now. A log that does not answer is asked a few times.
    ///
    /// # Errors
    /// When there is no such topic, or the log does not answer.
    pub async fn bounds_of(&self, topic: &str) -> Result<Vec<Bounds>, CoordinatorError> {
        let source = self.process().source(topic)?;
        a_few_times(&self.process().retry(), "look at the log's ends", || self.process().bounds(source)).await
    }

    /// Where the partitions of each topic end now, in the order of the app's topics: lanes know it a moment later.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn ends(&self) -> Result<Vec<Vec<Offset>>, CoordinatorError> {
        let ends = |all: Vec<Bounds>| all.into_iter().map(|bounds| bounds.end).collect();
        Ok(self.bounds().await?.into_iter().map(ends).collect())
    }

    /// Where the partitions of each topic start and end now, in the order of the app's topics.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn bounds(&self) -> Result<Vec<Vec<Bounds>>, CoordinatorError> {
        let (process, mut all) = (self.process(), Vec::new());
        for source in &process.sources {
            all.push(process.bounds(source).await?);
        }
        Ok(all)
    }

    /// The partitions of generations folded here whose lanes are not here or still start, from their checkpoints in the
    /// store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn elsewhere(&self) -> Result<Vec<Elsewhere>, CoordinatorError> {
        let (process, mut all) = (self.process(), Vec::new());
        let control = process.control_log.control();
        for (source, number, generation) in process.generations(&control) {
            let key = source.key(number);
            let lanes = process.lanes.of(&key);
            let placed = lanes.iter().map(|lane| lane.borrow()).filter(|lane| lane.place != Place::Unknown);
            let here: Vec<_> = placed.map(|lane| lane.partition).collect();
            let complete = here.len() == source.there.partitions as usize;
            let is_gone = generation.state == GenerationState::Gone;
            if is_gone || complete || process.lanes.halted(&key).is_some() {
                continue;
            }
            let checkpoints = process.each_checkpoint(source, number).await?;
            for (partition, read) in source.partitions().zip(checkpoints) {
                if !here.contains(&partition) {
                    let damaged = read.as_ref().err().map(ToString::to_string);
                    let checkpoint = read.unwrap_or(Checkpoint::START);
                    all.push(Elsewhere {
                        topic: source.name.to_string(),
                        generation: number,
                        partition,
                        next: checkpoint.next,
                        appended_at_micros: checkpoint.appended_at_micros,
                        damaged,
                    });
                }
            }
        }
        Ok(all)
    }
}
