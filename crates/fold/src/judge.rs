//! What a message does to its entity: dedupe, condition, guards, the new state.
//!
//! In this order: a taken id makes it a duplicate (or, with another payload, rejected); a command's `If-Match` that is
//! not the entity's version rejects it; then `when`; then every guard, each failing one with its code; then the new
//! state is made. A `let` counts as part of the expressions that use it: where only `set` does, a failing guard comes first,
//! and what nothing uses is not evaluated.

use bumpalo::Bump;
use tidefold_app::expr::{Expr, Node};
use tidefold_app::model::{Action, Entity, MessageKind, Topic, Transition, When};
use tidefold_codec::{Datum, columns};
use tidefold_record::Offset;
use tidefold_table::Verdict;
use tidefold_table::entity::{Seen, StateRef, put_head};
use tidefold_table::verdict::IDEMPOTENCY_CONFLICT;

use crate::dedupe::Window;
use crate::eval::{Env, EvalError, eval, matches};
use crate::form::Message;

/// What an entity was before a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// Its row, if it has one.
    pub(crate) row: Option<StateRef<'a>>,
    /// Its columns, all NULL where it does not exist.
    pub(crate) slots: &'a [Datum<'a>],
}

/// Which `let`s are needed where, for each message; worked out once for a topic.
#[derive(Debug, Default)]
pub(crate) struct LetUse {
    messages: Vec<Vec<Use>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    by_guards: bool,
    by_action: bool,
}

/// The verdict on a message that was seen before.
pub(crate) fn dedupe(seen: Seen, window: &Window, row: Option<&StateRef<'_>>) -> Option<Verdict> {
    let first = window.find(seen.id).or_else(|| row?.find(seen.id))?;
    Some(if first.payload == seen.payload {
        Verdict::Duplicate(first.offset)
    } else {
        Verdict::rejected(IDEMPOTENCY_CONFLICT)
    })
}

/// What a message makes of its entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) entity: &'a Entity,
    pub(crate) message: Message<'a>,
    pub(crate) before: Before<'a>,
    pub(crate) arena: &'a Bump,
    /// Whether the guards are asked: not where the record is known to have been applied.
    pub(crate) asks: bool,
}

// === impl Before ===

impl Before<'_> {
    pub(crate) fn exists(&self) -> bool {
        self.row.is_some_and(|row| !row.deleted)
    }

    fn version(&self) -> u64 {
        self.row.map_or(0, |row| row.version)
    }
}

// === impl Act ===

impl<'a> Act<'a> {
    /// The new columns (`None`: deleted), or the verdict if it does not apply.
    pub(crate) fn judge(&self, uses: &LetUse) -> Result<Option<&'a [Datum<'a>]>, Verdict> {
        let transition = self.entity.transitions.get(self.message.index).and_then(Option::as_ref);
        let Some(transition) = transition else {
            let name = self.topic.messages.get(self.message.index).map_or("", |message| &message.name);
            let detail = format_args!("entity {} has no `on.{name}`", self.entity.name);
            return Err(Verdict::dead("not_handled", detail));
        };
        if self.asks {
            self.conditions(transition)?;
        }
        let lets = self.arena.alloc_slice_fill_copy(transition.lets.len(), Datum::Null);
        let mut failed = None;
        let uses = uses.messages.get(self.message.index).map_or(&[][..], |uses| uses);
        for (at, (named, used)) in transition.lets.iter().zip(uses).enumerate() {
            let guards = self.asks && used.by_guards;
            if !guards && !used.by_action {
                continue;
            }
            let env = self.env(self.arena.alloc_slice_copy(lets.get(..at).unwrap_or_default()));
            match (eval(&named.expr, &env), lets.get_mut(at)) {
                (Ok(datum), Some(place)) => *place = datum,
                (Err(error), _) if guards => return Err(failure("let", &named.name, error)),
                (Err(error), _) => failed = failed.or(Some(failure("let", &named.name, error))),
                (Ok(_), None) => {}
            }
        }
        let env = self.env(lets);
        if self.asks {
            self.require(transition, &env)?;
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        match &transition.action {
            Action::Delete => Ok(None),
            Action::Set(set) => self.set(set, &env).map(Some),
        }
    }

    fn conditions(&self, transition: &Transition) -> Result<(), Verdict> {
        let wanted = self.message.envelope.if_match;
        if wanted.is_some_and(|wanted| wanted != self.before.version()) {
            return Err(Verdict::rejected("version_mismatch"));
        }
        let (code, detail) = match (transition.when, self.before.exists()) {
            (When::Absent, true) => ("already_exists", "the entity exists already"),
            (When::Present, false) => ("not_found", "there is no such entity"),
            _ => return Ok(()),
        };
        Err(self.refuse(code, detail))
    }

    fn require(&self, transition: &'a Transition, env: &Env<'a>) -> Result<(), Verdict> {
        let mut codes = Vec::new();
        for require in &transition.requires {
            match matches(&require.expr, env) {
                Ok(true) => {}
                Ok(false) => codes.push(require.code.clone()),
                Err(error) => return Err(failure("require", &require.code, error)),
            }
        }
        if codes.is_empty() { Ok(()) } else { Err(Verdict::Rejected(codes)) }
    }

    fn set(&self, set: &'a [(usize, Expr)], env: &Env<'a>) -> Result<&'a [Datum<'a>], Verdict> {
        let new = self.arena.alloc_slice_copy(self.before.slots);
        if !self.before.exists() {
            let places = self.topic.messages.get(self.message.index).map_or(&[][..], |m| &m.key);
            for (slot, place) in new.iter_mut().zip(places) {
                *slot = self.message.fields.get(*place).copied().unwrap_or(Datum::Null);
            }
        }
        for (at, expr) in set {
            let datum = eval(expr, env);
            match (datum, new.get_mut(*at)) {
                (Ok(datum), Some(slot)) => *slot = datum,
                (Err(error), _) => {
                    let name = self.entity.columns.get(*at).map_or("", |column| &column.name);
                    return Err(failure("set", name, error));
                }
                (Ok(_), None) => {}
            }
        }
        let null =
            self.entity.columns.iter().zip(&*new).find(|(c, slot)| !c.column.nullable && slot.is_null());
        match null {
            Some((column, _)) => {
                let detail = format_args!("column {} is not nullable and would be NULL", column.name);
                Err(Verdict::dead("null_column", detail))
            }
            None => Ok(new),
        }
    }

    /// Writes the new row's blob.
    pub(crate) fn encode(
        &self,
        offset: Offset,
        new: Option<&[Datum<'_>]>,
        seen: Option<Seen>,
        blob: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        blob.clear();
        let ring = self.before.row.map_or(&[][..], |row| row.ring);
        put_head(offset, self.before.version() + 1, new.is_none(), ring, seen, blob);
        let head = blob.len();
        if let Some(slots) = new {
            columns::encode(self.entity.columns.iter().map(|column| &column.column), slots, blob);
        }
        let (size, limit) = (blob.len() - head, self.entity.max_state_bytes);
        if size > limit {
            let detail = format!("the state would have {size} bytes, more than max_state_bytes = {limit}");
            return Err(self.refuse("state_too_large", &detail));
        }
        Ok(())
    }

    /// A command is rejected, an event is dead.
    fn refuse(&self, code: &str, detail: &str) -> Verdict {
        match self.topic.messages.get(self.message.index).map(|message| message.kind) {
            Some(MessageKind::Event) => Verdict::dead(code, detail),
            _ => Verdict::rejected(code),
        }
    }

    fn env(&self, lets: &'a [Datum<'a>]) -> Env<'a> {
        let envelope = self.message.envelope;
        Env {
            state: self.before.slots,
            message: self.message.fields,
            lets,
            event_time_micros: envelope.event_time_micros,
            append_time_micros: envelope.append_time_micros,
            caller: envelope.caller,
            ..Env::new(self.arena)
        }
    }
}

fn failure(what: &str, name: &str, error: EvalError) -> Verdict {
    Verdict::dead("evaluation_failed", format_args!("{what} {name}: {error}"))
}

// === impl LetUse ===

impl LetUse {
    pub(crate) fn new(entity: Option<&Entity>) -> LetUse {
        let transitions = entity.map_or(&[][..], |entity| &entity.transitions);
        let uses = transitions.iter().map(|transition| match transition {
            Some(transition) => let_use(transition),
            None => Vec::new(),
        });
        LetUse { messages: uses.collect() }
    }
}

fn let_use(transition: &Transition) -> Vec<Use> {
    let set = match &transition.action {
        Action::Set(set) => &set[..],
        Action::Delete => &[],
    };
    let guards = needed_lets(transition, transition.requires.iter().map(|require| &require.expr));
    let action = needed_lets(transition, set.iter().map(|(_, expr)| expr));
    let uses = guards.into_iter().zip(action);
    uses.map(|(by_guards, by_action)| Use { by_guards, by_action }).collect()
}

fn needed_lets<'e>(transition: &Transition, exprs: impl Iterator<Item = &'e Expr>) -> Vec<bool> {
    let mut needed = vec![false; transition.lets.len()];
    exprs.for_each(|expr| mark_lets(expr, &mut needed));
    for at in (0..needed.len()).rev() {
        if let (Some(true), Some(named)) = (needed.get(at), transition.lets.get(at)) {
            mark_lets(&named.expr, &mut needed);
        }
    }
    needed
}

fn mark_lets(expr: &Expr, needed: &mut [bool]) {
    match &expr.node {
        Node::Let(at) => {
            if let Some(found) = needed.get_mut(*at) {
                *found = true;
            }
        }
        Node::Constant(_)
        | Node::State(_)
        | Node::Message(_)
        | Node::Element
        | Node::Ordinality
        | Node::EventTime
        | Node::AppendTime
        | Node::Caller => {}
        Node::Field(x, _)
        | Node::Not(x)
        | Node::Negate(x)
        | Node::IsNull(x)
        | Node::IsTrue(x)
        | Node::IsFalse(x)
        | Node::Like(x, _)
        | Node::Cast(x) => mark_lets(x, needed),
        Node::Compare(_, a, b) | Node::Arithmetic(_, a, b) | Node::Concat(a, b) | Node::IsDistinct(a, b) => {
            mark_lets(a, needed);
            mark_lets(b, needed);
        }
        Node::Between(x, from, to) => [x, from, to].into_iter().for_each(|x| mark_lets(x, needed)),
        Node::And(all) | Node::Or(all) | Node::Coalesce(all) | Node::Call(_, all) => {
            all.iter().for_each(|x| mark_lets(x, needed));
        }
        Node::In(x, all) => {
            mark_lets(x, needed);
            all.iter().for_each(|x| mark_lets(x, needed));
        }
        Node::Case(cases, otherwise) => mark_cases(cases, otherwise.as_deref(), needed),
        Node::Switch(x, cases, otherwise) => {
            mark_lets(x, needed);
            mark_cases(cases, otherwise.as_deref(), needed);
        }
    }
}

fn mark_cases(cases: &[(Expr, Expr)], otherwise: Option<&Expr>, needed: &mut [bool]) {
    for (condition, then) in cases {
        mark_lets(condition, needed);
        mark_lets(then, needed);
    }
    if let Some(otherwise) = otherwise {
        mark_lets(otherwise, needed);
    }
}
