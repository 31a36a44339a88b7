//! One record's fold: it is read, its message judged, the rows of its views made. That makes its transition, in one place,
//! and all that follows is fed by it.

use std::collections::BTreeMap;

use bumpalo::Bump;
use tidefold_app::model::Projection;
use tidefold_record::{Offset, Partition, RecordRef};
use tidefold_table::Verdict;
use tidefold_table::verdict::PASSED_OVER;

use crate::changes::Changes;
use crate::dedupe::Window;
use crate::error::{FoldError, damaged};
use crate::form::{self, Reading, Schemas};
use crate::given::Given;
use crate::judge::{Case, ClausePlans, Refused, dedupe};
use crate::made::Made;
use crate::room::TooLarge;
use crate::rows::{RowCache, RowSlot};
use crate::transition::Transition;
use crate::view::{Deriving, ViewPlan, derive};

/// A fold at work on a batch.
pub(crate) struct Step<'f> {
    pub(crate) with: With<'f>,
    pub(crate) window: &'f mut Window,
    pub(crate) entities: &'f mut RowCache,
    pub(crate) changes: &'f mut Changes,
}

/// Buffers that are used again for every record.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) arena: Bump,
    /// The entity row of each record of the batch.
    pub(crate) slots: Vec<Option<RowSlot>>,
    pub(crate) key: Vec<u8>,
    pub(crate) blob: Vec<u8>,
    /// By view: the rows that a record makes in it.
    pub(crate) made: Vec<Made>,
}

/// What a batch's records are folded with: nothing of it changes meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct With<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) partition: Partition,
    pub(crate) schemas: &'a Schemas,
    pub(crate) clauses: &'a ClausePlans,
    pub(crate) plans: &'a [ViewPlan],
    /// Records that operators declared dead, and why.
    pub(crate) passed_over: &'a BTreeMap<Offset, String>,
    pub(crate) given: Given<'a>,
}

/// What a record is folded onto.
#[derive(Clone, Copy)]
struct Onto<'a> {
    window: &'a Window,
    /// Where the topic has an entity: its row, if it has one.
    row: Option<Option<&'a [u8]>>,
    /// Whether the row was made by this fold.
    is_own: bool,
    arena: &'a Bump,
}

/// Where a record's fold puts what it makes besides its transition.
struct Making<'s> {
    /// A buffer.
    key: &'s mut Vec<u8>,
    /// The entity's new row.
    blob: &'s mut Vec<u8>,
    /// The rows of each view.
    made: &'s mut [Made],
}

/// Why a record is not applied.
enum Not {
    /// The verdict says so.
    Applied(Verdict),
    /// Something other than the record is wrong.
    Folded(FoldError),
}

// === impl Step ===

impl Step<'_> {
    /// Folds a record: makes its transition, and feeds that to all that follows.
    pub(crate) fn record(
        &mut self,
        record: &RecordRef<'_>,
        slot: Option<RowSlot>,
        scratch: &mut Scratch,
    ) -> Result<(), FoldError> {
        let Scratch { arena, key, blob, made, .. } = scratch;
        self.window.advance(record.offset);
        let row = slot.map(|slot| self.entities.value(slot));
        let is_own = slot.is_some_and(|slot| self.entities.is_own(slot));
        let onto = Onto { window: self.window, row, is_own, arena };
        let transition = self.with.transition(record, onto, Making { key, blob, made })?;
        let (applies, seen) = (transition.applies(), transition.counts());
        self.changes.take(self.with.projection, transition, made);
        match seen {
            // It was looked for.
            Some(seen) if applies => self.window.push_new(seen),
            Some(seen) => self.window.push(seen),
            None => {}
        }
        if let (true, Some(slot)) = (applies, slot) {
            self.entities.put(slot, blob);
        }
        Ok(())
    }
}

// === impl With ===

impl<'f> With<'f> {
    /// What the fold says of a record: the one place where a transition is made.
    #[inline]
    fn transition<'a>(
        &self,
        record: &RecordRef<'a>,
        onto: Onto<'a>,
        making: Making<'_>,
    ) -> Result<Transition<'a>, FoldError>
    where
        'f: 'a,
    {
        let mut transition = Transition::of(record);
        if let Err(not) = self.fold(record, onto, making, &mut transition) {
            (transition.old, transition.new) = (None, None);
            transition.verdict = match not {
                Not::Applied(verdict) => verdict,
                Not::Folded(error) => return Err(error),
            };
        }
        Ok(transition)
    }

    /// Reads the record, judges its message, makes the rows of the views: each says what the transition is.
    #[inline]
    fn fold<'a>(
        &self,
        record: &RecordRef<'a>,
        onto: Onto<'a>,
        making: Making<'_>,
        transition: &mut Transition<'a>,
    ) -> Result<(), Not>
    where
        'f: 'a,
    {
        let With { projection, partition, schemas, clauses, plans, .. } = *self;
        let topic = &projection.topic;
        let Onto { window, row, is_own, arena } = onto;
        let reading = Reading { topic, partition, schemas, arena };
        let asks = self.asks(record, reading, transition)?;
        let message = form::read(reading, record, making.key, transition)?;
        match (&projection.entity, row) {
            (Some(entity), Some(row)) => {
                let case =
                    Case { topic, entity, clauses, message, seen: transition.seen, row, is_own, arena, asks };
                match case.judge(record.offset, window, making.blob) {
                    Ok((old, new)) => (transition.old, transition.new) = (old, new),
                    Err(Refused::Known) => {
                        transition.known = true;
                        return self.stands(record.offset);
                    }
                    Err(Refused::Verdict(verdict)) => return Err(verdict.into()),
                    Err(Refused::Damaged(broken)) => {
                        let key = record.key.unwrap_or_default();
                        return Err(damaged(&entity.layout, key)(broken).into());
                    }
                }
            }
            _ => dedupe(transition.seen, window, None)?,
        }
        let set = clauses.set(message.index);
        Ok(derive(Deriving { projection, plans, partition, set, arena }, transition, making.made)?)
    }

    /// Whether guards are asked: not where the record is known to have been applied. Whether its id was seen still is: a
    /// record that was dead in the active generation may count in this one. What was rejected or a duplicate is so again.
    #[inline]
    fn asks<'a>(
        &self,
        record: &RecordRef<'a>,
        reading: Reading<'a>,
        transition: &mut Transition<'a>,
    ) -> Result<bool, Verdict> {
        if let Some(reason) = self.passed_over.get(&record.offset) {
            return Err(Verdict::dead(PASSED_OVER, reason));
        }
        match self.given.published.map(|published| published.get(&record.offset)) {
            None | Some(Some(Verdict::Dead(_))) => Ok(true),
            Some(None | Some(Verdict::Applied)) => Ok(false),
            Some(Some(verdict)) => {
                if verdict.counts() {
                    transition.seen = form::seen(reading, record);
                }
                Err(verdict.clone())
            }
        }
    }

    /// The verdict on a record that its entity has in it.
    #[cold]
    fn stands(&self, offset: Offset) -> Result<(), Not> {
        match self.given.own.and_then(|own| own.get(&offset)) {
            Some(verdict) => Err(Not::Applied(verdict.clone())),
            None => Ok(()),
        }
    }
}

// === impl Not ===

impl From<Verdict> for Not {
    fn from(verdict: Verdict) -> Not {
        Not::Applied(verdict)
    }
}

impl From<FoldError> for Not {
    fn from(error: FoldError) -> Not {
        Not::Folded(error)
    }
}

impl From<TooLarge> for Not {
    fn from(too_large: TooLarge) -> Not {
        Not::Applied(too_large.verdict())
    }
}
