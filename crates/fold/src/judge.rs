//! What a message does to its entity: dedupe, condition, guards, the new state.
//!
//! In this order: a taken id makes it a duplicate (or, with another payload, rejected); a command's `If-Match` that is
//! not the entity's version rejects it; then `when`; then every guard, each failing one with its code; then the new
//! state is made. A `let` counts as part of the expressions that use it: where only `set` does, a failing guard comes first,
//! and what nothing uses is not evaluated.

use bumpalo::Bump;
use tidefold_app::expr::{Expr, Node};
use tidefold_app::model::{Action, Clause, Entity, MessageKind, Topic, When};
use tidefold_app::values::EvalError;
use tidefold_codec::Datum;
use tidefold_codec::columns::{self, Written};
use tidefold_record::Offset;
use tidefold_table::entity::{Seen, StateRef, put_head};
use tidefold_table::verdict::IDEMPOTENCY_CONFLICT;
use tidefold_table::{Broken, Verdict};

use crate::dedupe::Window;
use crate::eval::{Env, eval, matches};
use crate::reads::ColumnSet;
use crate::transition::Message;

/// What an entity was before a message.
#[derive(Clone, Copy)]
struct Before<'a> {
    /// Its row, if it has one.
    row: Option<StateRef<'a>>,
    /// Its columns, all NULL where it does not exist.
    slots: &'a [Datum<'a>],
    /// Where this fold wrote the row and it exists: its columns' bytes.
    written: Option<Written<'a>>,
}

/// What is worked out once for the entity's clauses, by message.
#[derive(Debug, Default)]
pub(crate) struct ClausePlans(Vec<ClausePlan>);

#[derive(Debug, Default)]
struct ClausePlan {
    /// Which `let`s are needed where.
    lets: Vec<Use>,
    /// The columns that it sets.
    set: ColumnSet,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    by_guards: bool,
    by_action: bool,
}

/// Refuses a message that was seen before.
#[inline]
pub(crate) fn dedupe(seen: Option<Seen>, window: &Window, row: Option<&StateRef<'_>>) -> Result<(), Verdict> {
    let Some(seen) = seen else { return Ok(()) };
    match window.find(seen.id).or_else(|| row?.find(seen.id)) {
        None => Ok(()),
        Some(first) if first.payload == seen.payload => Err(Verdict::Duplicate(first.offset)),
        Some(_) => Err(Verdict::rejected(IDEMPOTENCY_CONFLICT)),
    }
}

/// What a message makes of its entity: all that decides it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) entity: &'a Entity,
    pub(crate) clauses: &'a ClausePlans,
    pub(crate) message: Message<'a>,
    /// Its identity, if it has one.
    pub(crate) seen: Option<Seen>,
    /// The entity's row, if it has one; its key is the record's.
    pub(crate) row: Option<&'a [u8]>,
    /// Whether the row was made by this fold.
    pub(crate) is_own: bool,
    pub(crate) arena: &'a Bump,
    /// Whether the guards are asked: not where the record is known to have been applied.
    pub(crate) asks: bool,
}

/// The columns of an entity, if it exists.
type State<'a> = Option<&'a [Datum<'a>]>;

/// Why a message makes nothing of its entity.
pub(crate) enum Refused {
    /// The entity has the record in it.
    Known,
    /// It does not apply.
    Verdict(Verdict),
    /// The entity's row is not one.
    Damaged(Broken),
}

/// A case, with what the entity was before.
#[derive(Clone, Copy)]
struct Act<'a> {
    case: Case<'a>,
    before: Before<'a>,
}

// === impl Before ===

impl<'a> Before<'a> {
    /// The entity as its row says.
    #[inline]
    fn of(case: &Case<'a>) -> Result<Before<'a>, Broken> {
        let Case { entity, row, is_own, arena, .. } = *case;
        let slots = arena.alloc_slice_fill_copy(entity.columns.len(), Datum::Null);
        let row = row.map(StateRef::parse).transpose()?;
        let mut written = None;
        match &row {
            // What this fold wrote need not be looked into again, and its key is the message's.
            Some(row) if is_own && !row.deleted => {
                let types = entity.columns.iter().map(|column| &column.column);
                let (known, bytes) = (case.put_key(slots), row.columns);
                let ends = arena.alloc_slice_fill_copy(slots.len(), 0);
                columns::decode_own(types, known, bytes, slots, ends)?;
                written = Some(Written { bytes, ends });
            }
            Some(row) => row.slots(&entity.columns, slots)?,
            None => {}
        }
        Ok(Before { row, slots, written })
    }

    /// Whether it has the record at the offset in it.
    fn has(&self, offset: Offset) -> bool {
        self.row.is_some_and(|row| row.offset >= offset)
    }

    /// The columns, if it exists.
    fn state(&self) -> State<'a> {
        self.exists().then_some(self.slots)
    }

    fn exists(&self) -> bool {
        self.row.is_some_and(|row| !row.deleted)
    }

    fn version(&self) -> u64 {
        self.row.map_or(0, |row| row.version)
    }
}

// === impl Case ===

impl<'a> Case<'a> {
    /// The entity before and after the message, with the new row's blob; or why nothing comes of it.
    #[inline]
    pub(crate) fn judge(
        self,
        offset: Offset,
        window: &Window,
        blob: &mut Vec<u8>,
    ) -> Result<(State<'a>, State<'a>), Refused> {
        let before = Before::of(&self).map_err(Refused::Damaged)?;
        if before.has(offset) {
            return Err(Refused::Known);
        }
        dedupe(self.seen, window, before.row.as_ref())?;
        let act = Act { case: self, before };
        let new = act.decide()?;
        act.encode(offset, new, blob)?;
        Ok((before.state(), new))
    }

    /// Puts the key's columns, as the message has them, in front of the others; how many they are.
    #[inline]
    fn put_key(&self, slots: &mut [Datum<'a>]) -> usize {
        let places = self.topic.messages.get(self.message.index).map_or(&[][..], |message| &message.key);
        for (slot, place) in slots.iter_mut().zip(places) {
            *slot = self.message.fields.get(*place).copied().unwrap_or(Datum::Null);
        }
        places.len()
    }
}

// === impl Refused ===

impl From<Verdict> for Refused {
    fn from(verdict: Verdict) -> Refused {
        Refused::Verdict(verdict)
    }
}

// === impl Act ===

impl<'a> Act<'a> {
    fn decide(&self) -> Result<Option<&'a [Datum<'a>]>, Verdict> {
        let clause = self.case.entity.clauses.get(self.case.message.index).and_then(Option::as_ref);
        let Some(clause) = clause else {
            let name =
                self.case.topic.messages.get(self.case.message.index).map_or("", |message| &message.name);
            let detail = format_args!("entity {} has no `on.{name}`", self.case.entity.name);
            return Err(Verdict::dead("not_handled", detail));
        };
        if self.case.asks {
            self.conditions(clause)?;
        }
        let lets = self.case.arena.alloc_slice_fill_copy(clause.lets.len(), Datum::Null);
        let mut failed = None;
        let uses = self.case.clauses.lets(self.case.message.index);
        for (at, (named, used)) in clause.lets.iter().zip(uses).enumerate() {
            let guards = self.case.asks && used.by_guards;
            if !guards && !used.by_action {
                continue;
            }
            let env = self.env(self.case.arena.alloc_slice_copy(lets.get(..at).unwrap_or_default()));
            match (eval(&named.expr, &env), lets.get_mut(at)) {
                (Ok(datum), Some(place)) => *place = datum,
                (Err(error), _) if guards => return Err(failure("let", &named.name, error)),
                (Err(error), _) => failed = failed.or(Some(failure("let", &named.name, error))),
                (Ok(_), None) => {}
            }
        }
        let env = self.env(lets);
        if self.case.asks {
            self.require(clause, &env)?;
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        match &clause.action {
            Action::Delete => Ok(None),
            Action::Set(set) => self.set(set, &env).map(Some),
        }
    }

    fn conditions(&self, clause: &Clause) -> Result<(), Verdict> {
        let wanted = self.case.message.envelope.if_match;
        if wanted.is_some_and(|wanted| wanted != self.before.version()) {
            return Err(Verdict::rejected("version_mismatch"));
        }
        let (code, detail) = match (clause.when, self.before.exists()) {
            (When::Absent, true) => ("already_exists", "the entity exists already"),
            (When::Present, false) => ("not_found", "there is no such entity"),
            _ => return Ok(()),
        };
        Err(self.refuse(code, detail))
    }

    fn require(&self, clause: &'a Clause, env: &Env<'a>) -> Result<(), Verdict> {
        let mut codes = Vec::new();
        for require in &clause.requires {
            match matches(&require.expr, env) {
                Ok(true) => {}
                Ok(false) => codes.push(require.code.clone()),
                Err(error) => return Err(failure("require", &require.code, error)),
            }
        }
        if codes.is_empty() { Ok(()) } else { Err(Verdict::Rejected(codes)) }
    }

    fn set(&self, set: &'a [(usize, Expr)], env: &Env<'a>) -> Result<&'a [Datum<'a>], Verdict> {
        let new = self.case.arena.alloc_slice_copy(self.before.slots);
        if !self.before.exists() {
            self.case.put_key(new);
        }
        for (at, expr) in set {
            let datum = eval(expr, env);
            match (datum, new.get_mut(*at)) {
                (Ok(datum), Some(slot)) => *slot = datum,
                (Err(error), _) => {
                    let name = self.case.entity.columns.get(*at).map_or("", |column| &column.name);
                    return Err(failure("set", name, error));
                }
                (Ok(_), None) => {}
            }
        }
        let null =
            self.case.entity.columns.iter().zip(&*new).find(|(c, slot)| !c.column.nullable && slot.is_null());
        match null {
            Some((column, _)) => {
                let detail = format_args!("column {} is not nullable and would be NULL", column.name);
                Err(Verdict::dead("null_column", detail))
            }
            None => Ok(new),
        }
    }

    /// Writes the new row's blob.
    fn encode(&self, offset: Offset, new: Option<&[Datum<'_>]>, blob: &mut Vec<u8>) -> Result<(), Verdict> {
        blob.clear();
        let ring = self.before.row.map_or(&[][..], |row| row.ring);
        put_head(offset, self.before.version() + 1, new.is_none(), ring, self.case.seen, blob);
        let head = blob.len();
        let types = self.case.entity.columns.iter().map(|column| &column.column);
        match (new, self.before.written) {
            (Some(slots), Some(written)) => {
                let set = self.case.clauses.set(self.case.message.index);
                columns::encode_over(types, slots, written, |at| set.has(at), blob);
            }
            (Some(slots), None) => columns::encode(types, slots, blob),
            (None, _) => {}
        }
        let (size, limit) = (blob.len() - head, self.case.entity.max_state_bytes);
        if size > limit {
            let detail = format!("the state would have {size} bytes, more than max_state_bytes = {limit}");
            return Err(self.refuse("state_too_large", &detail));
        }
        Ok(())
    }

    /// A command is rejected, an event is dead.
    fn refuse(&self, code: &str, detail: &str) -> Verdict {
        match self.case.topic.messages.get(self.case.message.index).map(|message| message.kind) {
            Some(MessageKind::Event) => Verdict::dead(code, detail),
            _ => Verdict::rejected(code),
        }
    }

    fn env(&self, lets: &'a [Datum<'a>]) -> Env<'a> {
        let envelope = self.case.message.envelope;
        Env {
            state: self.before.slots,
            message: self.case.message.fields,
            lets,
            event_time_micros: envelope.event_time_micros,
            append_time_micros: envelope.append_time_micros,
            caller: envelope.caller,
            ..Env::new(self.case.arena)
        }
    }
}

fn failure(what: &str, name: &str, error: EvalError) -> Verdict {
    Verdict::dead("evaluation_failed", format_args!("{what} {name}: {error}"))
}

// === impl ClausePlans ===

impl ClausePlans {
    pub(crate) fn new(entity: Option<&Entity>) -> ClausePlans {
        let clauses = entity.map_or(&[][..], |entity| &entity.clauses);
        let plans = clauses.iter().map(|clause| match clause {
            Some(clause) => ClausePlan { lets: let_use(clause), set: ColumnSet::set_by(clause) },
            None => ClausePlan::default(),
        });
        ClausePlans(plans.collect())
    }

    /// The columns that a message may change of an entity that stays.
    pub(crate) fn set(&self, message: usize) -> ColumnSet {
        self.0.get(message).map(|plan| plan.set).unwrap_or_default()
    }

    fn lets(&self, message: usize) -> &[Use] {
        self.0.get(message).map_or(&[], |plan| &plan.lets)
    }
}

fn let_use(clause: &Clause) -> Vec<Use> {
    let set = match &clause.action {
        Action::Set(set) => &set[..],
        Action::Delete => &[],
    };
    let guards = needed_lets(clause, clause.requires.iter().map(|require| &require.expr));
    let action = needed_lets(clause, set.iter().map(|(_, expr)| expr));
    let uses = guards.into_iter().zip(action);
    uses.map(|(by_guards, by_action)| Use { by_guards, by_action }).collect()
}

fn needed_lets<'e>(clause: &Clause, exprs: impl Iterator<Item = &'e Expr>) -> Vec<bool> {
    let mut needed = vec![false; clause.lets.len()];
    exprs.for_each(|expr| mark_lets(expr, &mut needed));
    for at in (0..needed.len()).rev() {
        if let (Some(true), Some(named)) = (needed.get(at), clause.lets.get(at)) {
            mark_lets(&named.expr, &mut needed);
        }
    }
    needed
}

fn mark_lets(expr: &Expr, needed: &mut [bool]) {
    expr.walk(&mut |expr| {
        if let Node::Let(at) = &expr.node
            && let Some(found) = needed.get_mut(*at)
        {
            *found = true;
        }
    });
}
