//! One record's fold.

use bumpalo::Bump;
use tidefold_app::model::{Entity, Topic, View};
use tidefold_codec::Datum;
use tidefold_record::{Partition, RecordRef};
use tidefold_table::entity::{Seen, StateRef};
use tidefold_table::verdict::PASSED_OVER;
use tidefold_table::{Verdict, limits};

use crate::changes::{Changes, RollupChanges, ViewChanges};
use crate::eval::Env;
use crate::folder::{FoldError, Folder, Given, Scratch, damaged};
use crate::form::{self, Envelope, Found, Message};
use crate::judge::{Act, Before, dedupe};
use crate::rows::{RowCache, RowSlot};
use crate::view::{IndexRows, TooLarge, ViewPlan};

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
    /// The rows of each index before and after the record.
    rows: &'s mut Vec<(IndexRows, IndexRows)>,
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
        if let Some(reason) = self.folder.passed_over.get(&record.offset) {
            self.changes.verdicts.push((record.offset, Verdict::dead(PASSED_OVER, reason)));
            return Ok(());
        }
        let found = Found::new(record.headers);
        let published = Step::published(self.given, record);
        if let Published::Verdict(verdict) = published {
            if verdict.counts() {
                let Folder { schemas, .. } = &*self.folder;
                self.count(form::seen(self.topic, schemas, record, &found, &scratch.arena));
            }
            self.changes.verdicts.push((record.offset, verdict.clone()));
            return Ok(());
        }
        let asks = matches!(published, Published::Nothing);
        let Scratch { arena, key, blob, rows, .. } = scratch;
        let (topic, partition) = (self.topic, self.folder.partition);
        let read = form::read(topic, partition, &self.folder.schemas, record, &found, key, arena);
        let message = match read {
            Ok(message) => message,
            Err(verdict) => {
                self.changes.verdicts.push((record.offset, verdict));
                return Ok(());
            }
        };
        let seen = message.seen;
        let plans = &self.folder.views;
        let mut derive = Derive { plans, changes: &mut self.changes.views, rows, key };
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
                let derived = judged.and_then(|new| {
                    let old = before.exists().then_some(before.slots);
                    derive.states(topic, partition, record, arena, old, new)
                });
                if derived.is_ok() {
                    self.entities.put(slot, blob);
                }
                derived
            }
            _ => match seen.and_then(|seen| dedupe(seen, &self.folder.window, None)) {
                Some(verdict) => Err(verdict),
                None => derive.event(topic, partition, record, arena, &message),
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
    row.slots(&entity.columns, slots).map_err(|error| damaged(&entity.name, error))?;
    Ok(Before { row: Some(row), slots })
}

// === impl Derive ===

impl Derive<'_> {
    /// The views' changes from one state to the next; `None` where there is no entity. A row beyond the bounds makes the
    /// record dead, and then nothing has changed.
    fn states<'a>(
        &mut self,
        topic: &'a Topic,
        partition: Partition,
        record: &RecordRef<'_>,
        arena: &'a Bump,
        old: Option<&'a [Datum<'a>]>,
        new: Option<&'a [Datum<'a>]>,
    ) -> Result<(), Verdict> {
        let env = |state: &'a [Datum<'a>]| Env { state, ..Env::new(arena) };
        self.views(topic, partition, record, |_| Some((old.map(env), new.map(env))))
    }

    /// The rows an event adds to the views that read it.
    fn event<'a>(
        &mut self,
        topic: &'a Topic,
        partition: Partition,
        record: &RecordRef<'_>,
        arena: &'a Bump,
        message: &Message<'a>,
    ) -> Result<(), Verdict> {
        let Envelope { event_time_micros, append_time_micros, caller, .. } = message.envelope;
        let env =
            Env { message: message.fields, event_time_micros, append_time_micros, caller, ..Env::new(arena) };
        let reads = |view: &View| view.source.event == Some(message.index);
        self.views(topic, partition, record, |view| reads(view).then_some((None, Some(env))))
    }

    /// Makes every view's rows first and judges them, and only then takes them in. `sources`: what a view reads before and
    /// after the record; `None` where it reads nothing of it.
    fn views<'a>(
        &mut self,
        topic: &'a Topic,
        partition: Partition,
        record: &RecordRef<'_>,
        sources: impl Fn(&View) -> Option<(Option<Env<'a>>, Option<Env<'a>>)>,
    ) -> Result<(), Verdict> {
        self.rows.resize_with(topic.views.len().max(self.rows.len()), Default::default);
        let mut room = limits::RECORD_ROWS_BYTES;
        for (at, (view, plan)) in topic.views.iter().zip(self.plans).enumerate() {
            let Some(source) = sources(view) else { continue };
            let made = match (self.changes.get_mut(at), self.rows.get_mut(at)) {
                (Some(ViewChanges::Index(_)), Some(rows)) => index(view, plan, source, &mut room, rows),
                (Some(ViewChanges::Rollup(changes)), _) => {
                    changes.begin(record.offset);
                    let made = rollup(view, plan, source, partition, &mut room, self.key, changes);
                    changes.end();
                    made
                }
                _ => Ok(()),
            };
            if let Err(too_large) = made {
                self.undo(topic, at, sources);
                return Err(too_large.verdict());
            }
        }
        for (at, view) in topic.views.iter().enumerate() {
            if let (Some(ViewChanges::Index(changes)), Some((old, new))) =
                (self.changes.get_mut(at), self.rows.get_mut(at))
                && sources(view).is_some()
            {
                changes.net(old, new, record.offset);
            }
        }
        Ok(())
    }

    /// Takes back what the record did to the rollups up to the view at `last`.
    #[cold]
    fn undo<'a>(
        &mut self,
        topic: &'a Topic,
        last: usize,
        sources: impl Fn(&View) -> Option<(Option<Env<'a>>, Option<Env<'a>>)>,
    ) {
        for (view, changes) in topic.views.iter().zip(&mut *self.changes).take(last + 1) {
            if let ViewChanges::Rollup(changes) = changes
                && sources(view).is_some()
            {
                changes.undo();
            }
        }
    }
}

/// The rows of an index before and after a record.
fn index<'a>(
    view: &'a View,
    plan: &ViewPlan,
    (before, after): (Option<Env<'a>>, Option<Env<'a>>),
    room: &mut usize,
    (old, new): &mut (IndexRows, IndexRows),
) -> Result<(), TooLarge> {
    old.clear();
    new.clear();
    if let Some(env) = before {
        plan.index(view, env, None, old)?;
    }
    match after {
        Some(env) => plan.index(view, env, Some(room), new),
        None => Ok(()),
    }
}

/// What a record takes from the groups of a rollup and adds to them.
fn rollup<'a>(
    view: &'a View,
    plan: &ViewPlan,
    (before, after): (Option<Env<'a>>, Option<Env<'a>>),
    partition: Partition,
    room: &mut usize,
    key: &mut Vec<u8>,
    changes: &mut RollupChanges,
) -> Result<(), TooLarge> {
    if let Some(env) = before {
        plan.rollup(view, env, partition, -1, None, key, changes)?;
    }
    match after {
        Some(env) => plan.rollup(view, env, partition, 1, Some(room), key, changes),
        None => Ok(()),
    }
}
