//! Quiescing a generation in every process, to look at its tables or to put another one in its place.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry};
use tidefold_record::Offset;
use tidefold_telemetry::clock;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::CoordinatorError;
use crate::holds::hold_of;
use crate::process::Process;
use crate::source::Source;

/// A generation that is quiesced in every process, until this is dropped.
pub struct Quiesced {
    /// The generation.
    pub generation: u32,
    process: Arc<Process>,
    source: Arc<Source>,
    /// Which hold it is: its control offset.
    at: Offset,
    limit: Duration,
    _until: DropGuard,
}

// === impl Quiesced ===

impl Quiesced {
    /// Looks whether it has stood all the time: processes that do not hear of this one for long go on.
    ///
    /// # Errors
    /// When it has not, or the log or the store does not answer.
    pub async fn has_stood(&self) -> Result<(), CoordinatorError> {
        let control = self.process.control_log.advance().await?;
        let checkpoints = self.process.checkpoints(&self.source, self.generation).await?;
        let hold = hold_of(&self.source, &control).filter(|hold| hold.at == self.at);
        let stands = |partition: u32| hold.and_then(|hold| hold.standing.get(&partition)).copied();
        let moved = (0..).zip(&checkpoints).filter(|(p, checkpoint)| stands(*p) != Some(checkpoint.next.0));
        let missing: Vec<_> = moved.map(|(partition, _)| partition).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(not_quiesced(&self.source, self.generation, missing, self.limit))
    }

    /// Whether control says that this hold goes on.
    pub(crate) fn is_held(&self, control: &Control) -> bool {
        hold_of(&self.source, control).is_some_and(|hold| hold.at == self.at)
    }

    async fn all_stand(&self) -> Result<(), CoordinatorError> {
        let mut control = self.process.control_log.watch();
        let stands = |control: &Arc<Control>| match hold_of(&self.source, control) {
            Some(hold) if hold.at == self.at => {
                self.source.partitions().all(|partition| hold.standing.contains_key(&partition.0))
            }
            // Somebody released it: looked at below.
            _ => true,
        };
        control.wait_for(stands).await.map_err(|_| CoordinatorError::Ending)?;
        self.has_stood().await
    }
}

// === impl Process ===

impl Process {
    /// Quiesces a generation in every process, and returns once all of it stands.
    ///
    /// # Errors
    /// When it does not within `limit`, or the log or the store does not answer.
    pub(crate) async fn quiesce(
        self: &Arc<Process>,
        source: &Arc<Source>,
        generation: u32,
        limit: Duration,
    ) -> Result<Quiesced, CoordinatorError> {
        let begun = tokio::time::timeout(limit, self.hold(source, generation)).await;
        let (at, until) = begun.map_err(|_| not_quiesced(source, generation, Vec::new(), limit))??;
        let (process, source) = (Arc::clone(self), Arc::clone(source));
        let quiesced = Quiesced { generation, process, source, at, limit, _until: until };
        if let Ok(stood) = tokio::time::timeout(limit, quiesced.all_stand()).await {
            return stood.map(|()| quiesced);
        }
        let (source, control) = (&quiesced.source, self.control_log.control());
        let hold = hold_of(source, &control);
        let stands = |partition: u32| hold.is_some_and(|hold| hold.standing.contains_key(&partition));
        let missing = source.partitions().map(|partition| partition.0).filter(|p| !stands(*p));
        Err(not_quiesced(source, generation, missing.collect(), limit))
    }

    /// Begins a hold and keeps it until what is returned with it is dropped. One hold of a topic at a time: waits for the
    /// end of another.
    async fn hold(
        self: &Arc<Process>,
        source: &Arc<Source>,
        generation: u32,
    ) -> Result<(Offset, DropGuard), CoordinatorError> {
        let mut watch = self.control_log.watch();
        loop {
            let mut at = None;
            let begin = |control: &Control| match hold_of(source, control) {
                // Where an earlier attempt had no answer, this may be another's: whoever looks at the end finds out.
                Some(hold) if Some(hold.at) == at => None,
                Some(_) => {
                    at = None;
                    None
                }
                None => {
                    at = Some(control.next());
                    Some(Entry::Holding { topic: source.name.to_string(), generation, renews: None })
                }
            };
            self.control_log.append(begin).await?;
            if let Some(at) = at {
                let done = CancellationToken::new();
                let keeper = keep(Arc::clone(self), Arc::clone(source), generation, at, done.clone());
                self.keepers.spawn("quiesce", keeper);
                return Ok((at, done.drop_guard()));
            }
            let free = |control: &Arc<Control>| hold_of(source, control).is_none();
            watch.wait_for(free).await.map_err(|_| CoordinatorError::Ending)?;
        }
    }
}

fn not_quiesced(source: &Source, generation: u32, missing: Vec<u32>, limit: Duration) -> CoordinatorError {
    CoordinatorError::NotQuiesced { topic: source.name.to_string(), generation, missing, limit }
}

/// Renews a hold until it is done with, then releases it.
async fn keep(
    process: Arc<Process>,
    source: Arc<Source>,
    generation: u32,
    at: Offset,
    done: CancellationToken,
) {
    let topic = source.name.to_string();
    let renew = Entry::Holding { topic: topic.clone(), generation, renews: Some(at.0) };
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = process.closing.cancelled() => break,
            () = clock::pause(process.options.hold) => {}
        }
        if let Err(error) = process.say(&source, at, &renew).await {
            tracing::warn!(topic, generation, %error, "what is quiesced cannot be kept so");
        }
    }
    // Where this does not come through, the others release it by and by.
    let released = Entry::Released { topic: topic.clone(), generation };
    if let Err(error) = process.say(&source, at, &released).await {
        tracing::warn!(topic, generation, %error, "what is quiesced cannot be released yet");
    }
}
