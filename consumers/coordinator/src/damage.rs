//! Damaged checkpoints, as they were seen last. A lane writes its own and never reads it again, so others have to look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidefold_record::Partition;
use tidefold_store::StoreError;
use tidefold_table::Checkpoint;

use crate::lanes::Key;

/// A checkpoint, or what is wrong with it.
pub(crate) type Read = Result<Checkpoint, StoreError>;

/// What was wrong with checkpoints when they were read last.
#[derive(Default)]
pub(crate) struct Damage(Mutex<BTreeMap<(Key, Partition), String>>);

// === impl Damage ===

impl Damage {
    /// Notes how a checkpoint was found. One that was damaged and is not any more was written by its lane.
    pub(crate) fn note(&self, key: &Key, partition: Partition, found: Option<&StoreError>) {
        let (mut known, at) = (self.known(), (key.clone(), partition));
        match found.map(ToString::to_string) {
            Some(said) => {
                if known.get(&at) != Some(&said) {
                    tracing::error!(generation = ?key, %partition, damage = said, "a checkpoint cannot be read");
                    known.insert(at, said);
                }
            }
            None => {
                if known.remove(&at).is_some() {
                    tracing::warn!(generation = ?key, %partition, "the checkpoint can be read again: it was written anew");
                }
            }
        }
    }

    /// The damaged ones of a generation.
    pub(crate) fn of(&self, key: &Key) -> BTreeMap<Partition, String> {
        let known = self.known();
        let its = known.iter().filter(|((of, _), _)| of == key);
        its.map(|((_, partition), said)| (*partition, said.clone())).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(Key, Partition), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
