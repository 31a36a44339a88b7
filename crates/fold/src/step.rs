//! One record's fold.

use bumpalo::Bump;
use tidefold_app::model::{Entity, Topic, ViewKind};
use tidefold_codec::Datum;
use tidefold_record::{Partition, RecordRef};

use crate::changes::{Changes, ViewChanges};
use crate::dedupe::Seen;
use crate::eval::Env;
use crate::folder::{FoldError, Folder, Given, Scratch, damaged, seen};
use crate::form::{self, Envelope, Found, Message};
use crate::judge::{Act, Before, dedupe};
use crate::rows::{RowCache, RowSlot};
use crate::state::StateRef;
use crate::verdict::Verdict;
use crate::view::{IndexRows, ViewPlan};

/// A fold at work on a batch.
pub(crate) struct Step<'f> {
    pub(crate) folder: &'f mut Folder,
    pub(crate) topic: &'f Topic,
    pub(crate) given: Given<'f>,
    pub(crate) entities: &'f mut RowCache,
    pub(crate) changes: &'f mut Changes,
}

/// What is known of a record's verdict.
enum Published<'v> {
    /// Nothing: it is judged.
    Nothing,
    /// It was applied, and is applied again without asking the guards. Whether its id was seen is still asked: a record
    /// that was dead in the active generation may count in this one.
    Applied,
    /// It was rejected or a duplicate, and is so again.
    Verdict(&'v Verdict),
}

/// The parts of a fold that a view's changes need.
struct Derive<'s> {
    plans: &'s [ViewPlan],
    changes: &'s mut [ViewChanges],
    old: &'s mut IndexRows,
    new: &'s mut IndexRows,
    key: &'s mut Vec<u8>,
}

// === impl Step ===

impl<'f> Step<'f> {
    pub(crate) fn record(
        &mut self,
        record: &RecordRef<'_>,
        slot: Option<RowSlot>,
        scratch: &mut Scratch,
    ) -> Result<(), FoldError> {
        self.folder.window.advance(record.offset);
        let found = Found::new(record.headers);
        let published = Step::published(self.given, record);
        if let Published::Verdict(verdict) = published {
            if verdict.counts() {
                self.count(seen(record, &found));
            }
            self.changes.verdicts.push((record.offset, verdict.clone()));
            return Ok(());
        }
        let asks = matches!(published, Published::Nothing);
        let Scratch { arena, key, blob, old, new, .. } = scratch;
        let (topic, partition) = (self.topic, self.folder.partition);
        let read = form::read(topic, partition, &self.folder.schemas, record, &found, key, arena);
        let message = match read {
            Ok(message) => message,
            Err(verdict) => {
                self.changes.verdicts.push((record.offset, verdict));
                return Ok(());
            }
        };
        let seen = seen(record, &found);
        let plans = &self.folder.views;
        let mut derive = Derive { plans, changes: &mut self.changes.views, old, new, key };
        let verdict = match (&topic.entity, slot) {
            (Some(entity), Some(slot)) => {
                let before = before(entity, self.entities, slot, arena)?;
                if before.row.is_some_and(|row| row.offset >= record.offset) {
                    self.skip(record, seen);
                    return Ok(());
                }
                let act = Act { topic, entity, message, before, arena, asks };
                let duplicate = seen.and_then(|seen| dedupe(seen, &self.folder.window, before.row.as_ref()));
                let judged = match duplicate {
                    Some(verdict) => Err(verdict),
                    None => act.judge(&self.folder.lets),
                };
                let judged = judged.and_then(|new| {
                    act.encode(record.offset, new, seen, blob)?;
                    Ok(new)
                });
                let derived = judged.map(|new| {
                    let old = before.exists().then_some(before.slots);
                    derive.states(topic, partition, record, arena, old, new);
                });
                if derived.is_ok() {
                    self.entities.put(slot, blob);
                }
                derived
            }
            _ => match seen.and_then(|seen| dedupe(seen, &self.folder.window, None)) {
                Some(verdict) => Err(verdict),
                None => {
                    derive.event(topic, partition, record, arena, &message);
                    Ok(())
                }
            },
        };
        self.settle(record, seen, verdict);
        Ok(())
    }

    fn published(given: Given<'f>, record: &RecordRef<'_>) -> Published<'f> {
        match given.published.map(|published| published.get(&record.offset)) {
            None | Some(Some(Verdict::Dead(_))) => Published::Nothing,
            Some(None | Some(Verdict::Applied)) => Published::Applied,
            Some(Some(verdict)) => Published::Verdict(verdict),
        }
    }

    /// The entity has the record in it: nothing changes, and its verdict stands. It counts if it counted.
    fn skip(&mut self, record: &RecordRef<'_>, seen: Option<Seen>) {
        let own = self.given.own.and_then(|own| own.get(&record.offset));
        if own.is_none_or(Verdict::counts) {
            self.count(seen);
        }
    }

    fn settle(&mut self, record: &RecordRef<'_>, seen: Option<Seen>, verdict: Result<(), Verdict>) {
        match verdict {
            Ok(()) => {
                self.changes.applied += 1;
                if let Some(seen) = seen {
                    self.folder.window.push_new(seen);
                }
            }
            Err(verdict) => {
                if verdict.counts() {
                    self.count(seen);
                }
                self.changes.verdicts.push((record.offset, verdict));
            }
        }
    }

    fn count(&mut self, seen: Option<Seen>) {
        if let Some(seen) = seen {
            self.folder.window.push(seen);
        }
    }
}

/// What the entity is before the record.
fn before<'a>(
    entity: &'a Entity,
    entities: &'a RowCache,
    slot: RowSlot,
    arena: &'a Bump,
) -> Result<Before<'a>, FoldError> {
    let slots = arena.alloc_slice_fill_copy(entity.columns.len(), Datum::Null);
    let Some(blob) = entities.value(slot) else { return Ok(Before { row: None, slots }) };
    let row = StateRef::parse(blob).map_err(|error| damaged(&entity.name, error))?;
    row.slots(entity, slots).map_err(|error| damaged(&entity.name, error))?;
    Ok(Before { row: Some(row), slots })
}

// === impl Derive ===

impl Derive<'_> {
    /// The views' changes from one state to the next; `None` where there is no entity.
    fn states<'a>(
        &mut self,
        topic: &'a Topic,
        partition: Partition,
        record: &RecordRef<'_>,
        arena: &'a Bump,
        old: Option<&'a [Datum<'a>]>,
        new: Option<&'a [Datum<'a>]>,
    ) {
        let env = |state: &'a [Datum<'a>]| Env { state, ..Env::new(arena) };
        for ((view, plan), changes) in topic.views.iter().zip(self.plans).zip(&mut *self.changes) {
            match changes {
                ViewChanges::Index(changes) => {
                    self.old.clear();
                    self.new.clear();
                    old.into_iter().for_each(|state| plan.index(view, env(state), self.old));
                    new.into_iter().for_each(|state| plan.index(view, env(state), self.new));
                    changes.net(self.old, self.new, record.offset);
                }
                ViewChanges::Rollup(changes) => {
                    changes.begin(record.offset);
                    for (state, sign) in old.map(|old| (old, -1)).into_iter().chain(new.map(|new| (new, 1))) {
                        plan.rollup(view, env(state), partition, sign, self.key, changes);
                    }
                    changes.end();
                }
            }
        }
    }

    /// The rows an event adds to the views that read it.
    fn event<'a>(
        &mut self,
        topic: &'a Topic,
        partition: Partition,
        record: &RecordRef<'_>,
        arena: &'a Bump,
        message: &Message<'a>,
    ) {
        let Envelope { event_time_micros, append_time_micros, caller, .. } = message.envelope;
        let env =
            Env { message: message.fields, event_time_micros, append_time_micros, caller, ..Env::new(arena) };
        for ((view, plan), changes) in topic.views.iter().zip(self.plans).zip(&mut *self.changes) {
            if view.source.event != Some(message.index) {
                continue;
            }
            match (&view.kind, changes) {
                (ViewKind::Index { .. }, ViewChanges::Index(changes)) => {
                    self.old.clear();
                    self.new.clear();
                    plan.index(view, env, self.new);
                    changes.net(self.old, self.new, record.offset);
                }
                (ViewKind::Rollup { .. }, ViewChanges::Rollup(changes)) => {
                    changes.begin(record.offset);
                    plan.rollup(view, env, partition, 1, self.key, changes);
                    changes.end();
                }
                _ => {}
            }
        }
    }
}
