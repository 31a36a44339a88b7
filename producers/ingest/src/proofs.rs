//! Whether the log is still the one that the tables were folded from, found out where an answer depends on it.
//!
//! Two answers do. "Applied" is said only of what a lane has folded: a checkpoint that belongs to another log, or to more of
//! this one than is left, says nothing. And what is appended to such a log is folded by nobody until an operator has put
//! back what is missing, which takes it away again: so it is refused, not taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tidefold_log::{LogError, ReadLimit, SharedLog};
use tidefold_record::{Partition, TopicName};
use tidefold_store::StoreError;
use tidefold_store::lookout::Lookout;
use tidefold_store::published::Published;
use tidefold_table::Checkpoint;
use tidefold_table::proof::{Contradiction, GOOD_FOR, Look, Proof};
use tidefold_telemetry::clock;
use tokio::task::JoinSet;

use crate::catalog::TopicEntry;

/// What is known of every partition that was asked about.
pub(crate) struct Proofs {
    prover: Arc<Prover>,
    tasks: Mutex<JoinSet<()>>,
}

/// Looks.
struct Prover {
    log: SharedLog,
    partitions: RwLock<HashMap<TopicName, Arc<[Known]>>>,
}

/// What is known of one partition.
#[derive(Default)]
struct Known {
    proof: Mutex<Proof>,
    /// When somebody last set out to look, for writes.
    asked: Mutex<Option<Instant>>,
    /// Held by whoever looks first.
    first: tokio::sync::Mutex<()>,
}

/// A partition of the generation that queries read.
#[derive(Clone)]
pub(crate) struct Folded {
    /// The log's own name of the topic.
    pub(crate) topic: TopicName,
    pub(crate) partitions: u32,
    pub(crate) partition: Partition,
    pub(crate) generation: u32,
    pub(crate) published: Published,
    /// Looks at the generation's checkpoints for all who wait.
    pub(crate) lookout: Arc<Lookout>,
}

/// Why nothing can be said of a record.
#[derive(Debug)]
pub(crate) enum Untold {
    Store(StoreError),
    Log(LogError),
    Contradicted(Contradiction),
}

/// How long the first write to a partition waits for what is to be known of it. A store that is away keeps nobody from
/// writing.
const FIRST_LOOK: Duration = Duration::from_secs(1);

// === impl Proofs ===

impl Proofs {
    /// Nothing is known yet.
    pub(crate) fn new(log: SharedLog) -> Proofs {
        Proofs { prover: Arc::new(Prover { log, partitions: RwLock::default() }), tasks: Mutex::default() }
    }

    /// The checkpoint of a partition, if the log is the one it was folded from. What was proved a while ago is proved again.
    pub(crate) async fn checkpoint(&self, of: &Folded) -> Result<Option<Checkpoint>, Untold> {
        let checkpoint = of.published.checkpoint(of.partition).await.map_err(Untold::Store)?;
        self.proved(of, checkpoint, true).await
    }

    /// A checkpoint that was loaded before, likewise. `thorough`: what was proved a while ago is proved again.
    pub(crate) async fn proved(
        &self,
        of: &Folded,
        checkpoint: Option<Checkpoint>,
        thorough: bool,
    ) -> Result<Option<Checkpoint>, Untold> {
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        let found = self.prover.prove(of, &checkpoint, thorough).await.map_err(Untold::Log)?;
        found.map(|()| Some(checkpoint)).map_err(Untold::Contradicted)
    }

    /// Why nothing that is appended to a partition now would be folded, as far as is known: looked at before the first
    /// write to it, and beside writes from then on. `of` says what to look at; nothing while no generation is active.
    pub(crate) async fn contradiction(
        &self,
        topic: &TopicEntry,
        partition: Partition,
        of: impl Fn() -> Option<Folded>,
    ) -> Option<Contradiction> {
        let known = self.prover.known(&topic.log_name, topic.partitions);
        let known = known.get(partition.0 as usize)?;
        let now = clock::instant();
        if !known.is_asked() {
            let _one = known.first.lock().await;
            if !known.is_asked() {
                let looked = tokio::time::timeout(FIRST_LOOK, self.prover.look(&of()?)).await;
                if looked.is_err() {
                    tracing::warn!(
                        topic = %topic.log_name,
                        %partition,
                        "whether the tables are of this log is not known yet; writes are taken"
                    );
                }
                *lock(&known.asked) = Some(now);
            }
        } else if known.is_due(now)
            && let Some(of) = of()
        {
            let prover = Arc::clone(&self.prover);
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move { prover.look(&of).await });
        }
        lock(&known.proof).last(now).and_then(|(contradiction, _)| contradiction.cloned())
    }
}

// === impl Known ===

impl Known {
    fn is_asked(&self) -> bool {
        lock(&self.asked).is_some()
    }

    /// Whether it is time to look again; then it is not, for a while.
    fn is_due(&self, now: Instant) -> bool {
        let mut asked = lock(&self.asked);
        let due = asked.is_none_or(|at| now.saturating_duration_since(at) >= GOOD_FOR);
        if due {
            *asked = Some(now);
        }
        due
    }
}

// === impl Prover ===

impl Prover {
    /// What is known of a topic's partitions.
    fn known(&self, topic: &TopicName, partitions: u32) -> Arc<[Known]> {
        let known = self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
            let fresh = || (0..partitions).map(|_| Known::default()).collect();
            Arc::clone(all.entry(topic.clone()).or_insert_with(fresh))
        })
    }

    /// Compares a checkpoint, which was loaded before, with the log.
    async fn prove(
        &self,
        of: &Folded,
        checkpoint: &Checkpoint,
        thorough: bool,
    ) -> Result<Result<(), Contradiction>, LogError> {
        let known = self.known(&of.topic, of.partitions);
        let Some(known) = known.get(of.partition.0 as usize) else { return Ok(Ok(())) };
        let now = clock::instant();
        let look = lock(&known.proof).look(of.generation, checkpoint, now, thorough);
        let record = match look {
            Look::Nothing => return Ok(Ok(())),
            Look::Bounds => None,
            Look::Record(at) => at,
        };
        let bounds = self.log.bounds(&of.topic, of.partition).await?;
        let mut found = checkpoint.within(bounds.start, bounds.end);
        if let (Ok(()), Some(at)) = (&found, record) {
            let limit = ReadLimit { records: 1, bytes: 1 };
            found = match self.log.read(&of.topic, of.partition, at, limit).await {
                Ok(batch) => checkpoint.stands_on(batch.get(at).as_ref()),
                Err(LogError::OutOfRange { .. }) => Err(Contradiction::OtherRecord { at }),
                Err(error) => return Err(error),
            };
        }
        lock(&known.proof).found(of.generation, checkpoint, now, found.clone());
        Ok(found)
    }

    /// Looks for the sake of what it leaves known. What cannot be looked at now is looked at another time.
    async fn look(&self, of: &Folded) {
        let refused = |known: &Known| {
            let proof = lock(&known.proof);
            proof.last(clock::instant()).is_some_and(|(contradiction, _)| contradiction.is_some())
        };
        let known = self.known(&of.topic, of.partitions);
        let before = known.get(of.partition.0 as usize).is_some_and(refused);
        let looked = match of.published.checkpoint(of.partition).await {
            Ok(Some(checkpoint)) => self.prove(of, &checkpoint, false).await.map_err(Untold::Log),
            Ok(None) => return,
            Err(error) => Err(Untold::Store(error)),
        };
        match looked {
            Ok(Err(contradiction)) if !before => {
                tracing::error!(topic = %of.topic, partition = %of.partition, %contradiction, "writes are refused");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(topic = %of.topic, partition = %of.partition, ?error, "cannot look whether the tables are of this log");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
