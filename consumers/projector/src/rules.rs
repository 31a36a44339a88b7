//! The rules of the batch step: what the invariants say of the list of effects that a batch comes to. Tests take the rules
//! away one at a time, to see that each is needed; outside tests every rule holds and the question costs nothing.
//!
//! A fold gives the list in this order: publish the feed, put derived rows (verdicts, rollup rows, index rows), delete index
//! rows, write entity rows, move the checkpoint. The lane does one after the other in one place, `Lane::perform`. The checkpoint
//! is written beside what comes next, and before the next one is: nothing else stands behind it.
//!
//! | | Said of the list | Held in | Taken away by |
//! |---|---|---|---|
//! | I1 | Entity rows stand behind every put and delete, and lists are done one after the other: an entity row is written only after every derived change up to its offset, in all earlier batches too, is acknowledged. | `tidefold_fold::effects`, which makes the list | `DerivedFirst` |
//! | I2 | A list is done before any of its rows leaves a cache. | `Lane::step`, behind the list | `KeepUnacknowledged` |
//! | I3 | The checkpoint stands last: it may trail the rows, never lead them. | `tidefold_fold::effects` | `CheckpointLast` |
//! | I4 | What a list is made from is read in the mirror image of its order: checkpoint, entities, rollups. | `Lane::recover`, `Lane::step` and `Lane::fold` | `ReadInMirrorImage` |
//! | I5 | A list is made from caches of the lane that does it: they die with the lane. | `lane.rs`, which owns them | `ForgetAtRevoke` |
//! | I6 | An effect is done when all of it is acknowledged. One that failed is unknown, and done again. | `io.rs` | `RepeatUnknown` |
//! | I7 | Entity rows stand behind the feed: an entity row is written only after the feed's entries up to its offset are acknowledged, since nobody publishes a record that its entity has in it. | `tidefold_fold::effects` | `FeedFirst` |

use tidefold_fold::Effect;
#[cfg(test)]
use tidefold_fold::EffectKind;

/// A rule of the batch step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Rule {
    /// I1.
    DerivedFirst,
    /// I2.
    KeepUnacknowledged,
    /// I3.
    CheckpointLast,
    /// I4.
    ReadInMirrorImage,
    /// I5.
    ForgetAtRevoke,
    /// I6.
    RepeatUnknown,
    /// I7.
    FeedFirst,
}

/// Which rules hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    pub(crate) broken: Option<Rule>,
}

impl Rules {
    #[cfg(not(test))]
    pub(crate) fn hold(self, _rule: Rule) -> bool {
        true
    }

    #[cfg(test)]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    /// The effects in the order in which they are done: their own.
    #[cfg(not(test))]
    pub(crate) fn in_order(self, effects: Vec<Effect>) -> Vec<Effect> {
        effects
    }

    /// The effects in the order in which they are done: their own, or the one that a broken rule forbids.
    #[cfg(test)]
    pub(crate) fn in_order(self, mut effects: Vec<Effect>) -> Vec<Effect> {
        let place = |effect: &Effect| (effect.kind(), 1);
        match self.broken {
            Some(Rule::DerivedFirst) => effects.sort_by_key(|effect| match effect.kind() {
                EffectKind::Entities => (EffectKind::Put, 0),
                _ => place(effect),
            }),
            Some(Rule::FeedFirst) => effects.sort_by_key(|effect| match effect.kind() {
                EffectKind::Publish => (EffectKind::Entities, 2),
                _ => place(effect),
            }),
            Some(Rule::CheckpointLast) => effects.rotate_right(1),
            Some(
                Rule::KeepUnacknowledged
                | Rule::ReadInMirrorImage
                | Rule::ForgetAtRevoke
                | Rule::RepeatUnknown,
            )
            | None => {}
        }
        effects
    }
}

/// Caches that outlive their lane, by partition: what the rule to forget them forbids.
#[cfg(test)]
pub(crate) type Carried = std::sync::Arc<
    std::sync::Mutex<std::collections::HashMap<u32, (tidefold_fold::RowCache, Vec<tidefold_fold::RowCache>)>>,
>;
