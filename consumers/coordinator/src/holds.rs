//! Holds, followed: what quiesces a generation in every process.
//!
//! A hold is an entry of the control topic. Every process follows it: the lanes of the generation finish the batch in hand
//! and stop there, and the process says where. Whoever holds renews the hold while it needs it. A process that has followed
//! one for three times the holder's pause without hearing of it releases the hold itself, and only then goes on: so a
//! holder that died blocks nobody, and one that lives learns that its hold is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry, Hold, Stands};
use tidefold_record::{Offset, Partition, TopicName};
use tidefold_telemetry::clock;
use tokio::time::Instant;

use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// How often lanes that are to stop are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How many of the holder's pauses a process follows a hold without hearing of it.
const PATIENCE: u32 = 3;

/// What holds a source's generation, as control says.
pub(crate) fn hold_of<'a>(source: &Source, control: &'a Control) -> Option<&'a Hold> {
    control.generations(source.name.as_str())?.hold.as_ref()
}

/// Follows the holds of all processes, for ever.
pub(crate) async fn follow(process: Arc<Process>) {
    let (mut control, mut owned) = (process.control_log.watch(), process.owned.clone());
    let mut heard = Heard::default();
    loop {
        let now = control.borrow_and_update().clone();
        owned.borrow_and_update();
        process.give_orders();
        for source in &process.sources {
            let Some(hold) = hold_of(source, &now) else {
                heard.forget(&source.name);
                continue;
            };
            let silent = heard.silent_for(&source.name, hold.renewed);
            let said = if silent > process.options.hold * PATIENCE {
                let generation = hold.generation;
                tracing::warn!(topic = %source.name, generation, "whoever quiesced it does not answer; it goes on");
                let entry = Entry::Released { topic: source.name.to_string(), generation };
                process.say(source, hold.at, &entry).await
            } else {
                process.say_standing(source, hold).await
            };
            if let Err(error) = said {
                tracing::warn!(%error, "what is quiesced cannot be reported yet; trying again");
                clock::pause(LOOK * 5).await;
            }
        }
        let holds = heard.of_any();
        tokio::select! {
            changed = control.changed() => if changed.is_err() { return },
            Ok(()) = owned.changed() => {}
            () = clock::pause(LOOK), if holds => {}
        }
    }
}

/// Since when this process has known of which renewal of a topic's hold.
#[derive(Default)]
struct Heard(BTreeMap<TopicName, (Offset, Instant)>);

// === impl Heard ===

impl Heard {
    fn forget(&mut self, topic: &TopicName) {
        self.0.remove(topic);
    }

    fn of_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// How long nothing was heard of whoever last renewed the hold at this control offset.
    fn silent_for(&mut self, topic: &TopicName, renewed: Offset) -> Duration {
        let known = self.0.entry(topic.clone()).or_insert_with(|| (renewed, Instant::now()));
        if known.0 != renewed {
            *known = (renewed, Instant::now());
        }
        known.1.elapsed()
    }
}

// === impl Process ===

impl Process {
    /// Appends an entry about a hold, while it is that hold.
    pub(crate) async fn say(
        &self,
        source: &Source,
        at: Offset,
        entry: &Entry,
    ) -> Result<(), CoordinatorError> {
        let decide = |control: &Control| {
            let same = hold_of(source, control).is_some_and(|hold| hold.at == at);
            same.then(|| entry.clone())
        };
        self.control_log.append(decide).await?;
        Ok(())
    }

    /// Ends the hold of a topic, whoever began it.
    pub(crate) async fn release(&self, source: &Source) -> Result<(), CoordinatorError> {
        let control = self.control_log.control();
        let Some(hold) = hold_of(source, &control) else { return Ok(()) };
        let entry = Entry::Released { topic: source.name.to_string(), generation: hold.generation };
        self.say(source, hold.at, &entry).await
    }

    /// Says which partitions stand here that nobody has said of yet, once all that are here do.
    async fn say_standing(&self, source: &Source, hold: &Hold) -> Result<(), CoordinatorError> {
        let (key, owned) = (source.key(hold.generation), self.owned(source));
        let unsaid: Vec<_> = owned.into_keys().filter(|p| !hold.standing.contains_key(&p.0)).collect();
        if unsaid.is_empty() {
            return Ok(());
        }
        if self.lanes.halted(&key).is_none() {
            let lanes = self.lanes.of(&key);
            let stands = |partition: &Partition| {
                let mut lanes = lanes.iter().map(|lane| lane.borrow());
                lanes.any(|lane| lane.partition == *partition && lane.state.is_still())
            };
            if !unsaid.iter().all(stands) {
                return Ok(());
            }
        }
        let checkpoints = self.checkpoints(source, hold.generation).await?;
        let stands = |partition: &Partition| {
            let next = checkpoints.get(partition.0 as usize)?.next.0;
            Some(Stands { partition: partition.0, next })
        };
        let partitions = unsaid.iter().filter_map(stands).collect();
        let (topic, generation) = (source.name.to_string(), hold.generation);
        self.say(source, hold.at, &Entry::Standing { topic, generation, partitions }).await
    }
}
