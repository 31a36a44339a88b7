//! Whether an output of a view can be NULL, given what its WHERE has proved.
//!
//! In a view an expression that fails is NULL, so a value is surely there only if it neither is NULL nor can fail. A
//! WHERE passes only on TRUE: then every conjunct was computed and is TRUE, which proves that the operands a TRUE needs
//! are there.

use tidefold_codec::Type;

use super::types::{same, unified};
use crate::expr::{Expr, Node};
use crate::functions::row::{Function, Nulls};

/// The expressions that a WHERE proves to be there, each with nullability taken out so that they can be compared.
pub(super) struct Facts(Vec<Expr>);

/// Whether a value may be NULL, and whether computing it may fail.
#[derive(Clone, Copy, Default)]
struct Outcome {
    null: bool,
    fails: bool,
}

// === impl Facts ===

impl Facts {
    /// What the filter proves.
    pub(super) fn of(filter: Option<&Expr>) -> Facts {
        let mut facts = Facts(Vec::new());
        if let Some(filter) = filter {
            facts.holds(filter);
        }
        facts
    }

    /// Whether the value of an output may be NULL.
    pub(super) fn nullable(&self, expr: &Expr) -> bool {
        let outcome = self.outcome(expr);
        outcome.null || outcome.fails
    }

    /// Learns from a condition that is TRUE.
    fn holds(&mut self, condition: &Expr) {
        match &condition.node {
            Node::And(list) => list.iter().for_each(|operand| self.holds(operand)),
            Node::IsTrue(inner) => self.holds(inner),
            Node::IsFalse(inner) | Node::Not(inner) => self.fails_to_hold(inner),
            Node::Between(inner, low, high) => {
                [inner, low, high].into_iter().for_each(|expr| self.there(expr))
            }
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller
            | Node::Field(..)
            | Node::Negate(_)
            | Node::Or(_)
            | Node::Compare(..)
            | Node::Arithmetic(..)
            | Node::Concat(..)
            | Node::IsNull(_)
            | Node::IsDistinct(..)
            | Node::In(..)
            | Node::Like(..)
            | Node::Case(..)
            | Node::Switch(..)
            | Node::Coalesce(_)
            | Node::Call(..)
            | Node::Cast(_) => {
                self.there(condition);
            }
        }
    }

    /// Learns from a condition that is FALSE.
    fn fails_to_hold(&mut self, condition: &Expr) {
        match &condition.node {
            Node::IsNull(inner) => self.there(inner),
            Node::Or(list) => list.iter().for_each(|operand| self.fails_to_hold(operand)),
            Node::Not(inner) => self.holds(inner),
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller
            | Node::Field(..)
            | Node::Negate(_)
            | Node::And(_)
            | Node::Compare(..)
            | Node::Arithmetic(..)
            | Node::Concat(..)
            | Node::IsTrue(_)
            | Node::IsFalse(_)
            | Node::IsDistinct(..)
            | Node::Between(..)
            | Node::In(..)
            | Node::Like(..)
            | Node::Case(..)
            | Node::Switch(..)
            | Node::Coalesce(_)
            | Node::Call(..)
            | Node::Cast(_) => {
                self.there(condition);
            }
        }
    }

    /// Learns that a value is not NULL: neither, then, is anything it is made of that would make it NULL.
    fn there(&mut self, expr: &Expr) {
        self.0.push(plain(expr));
        match &expr.node {
            Node::Compare(_, left, right) | Node::Arithmetic(_, left, right) | Node::Concat(left, right) => {
                self.there(left);
                self.there(right);
            }
            Node::Field(inner, _)
            | Node::Not(inner)
            | Node::Negate(inner)
            | Node::Like(inner, _)
            | Node::Cast(inner)
            | Node::In(inner, _) => self.there(inner),
            Node::Call(function, list) => match function.nulls {
                Nulls::Strict => list.iter().for_each(|argument| self.there(argument)),
                Nulls::OfItsOwn => list.iter().take(1).for_each(|argument| self.there(argument)),
                Nulls::OfAll => {}
            },
            // NULL or not, these say nothing of what is in them: they are decided by less than all of it.
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller
            | Node::And(_)
            | Node::Or(_)
            | Node::IsNull(_)
            | Node::IsTrue(_)
            | Node::IsFalse(_)
            | Node::IsDistinct(..)
            | Node::Between(..)
            | Node::Case(..)
            | Node::Switch(..)
            | Node::Coalesce(_) => {}
        }
    }

    fn outcome(&self, expr: &Expr) -> Outcome {
        let found = plain(expr);
        if self.0.iter().any(|known| computes_the_same(known, &found)) {
            return Outcome::default();
        }
        match &expr.node {
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller => Outcome { null: expr.column.nullable, fails: false },
            Node::Field(inner, at) => {
                let inside = self.outcome(inner);
                let own = match &inner.column.ty {
                    Type::Record(record) => record.fields.get(*at).is_none_or(|field| field.column.nullable),
                    _ => true,
                };
                Outcome { null: inside.null || own, ..inside }
            }
            Node::Not(inner) | Node::Like(inner, _) => self.outcome(inner),
            Node::Negate(inner) => Outcome { fails: true, ..self.outcome(inner) },
            Node::IsNull(inner) | Node::IsTrue(inner) | Node::IsFalse(inner) => {
                Outcome { null: false, ..self.outcome(inner) }
            }
            Node::IsDistinct(left, right) => {
                Outcome { null: false, ..self.any([&**left, &**right].into_iter()) }
            }
            Node::Compare(_, left, right) => self.any([&**left, &**right].into_iter()),
            Node::Arithmetic(_, left, right) | Node::Concat(left, right) => {
                Outcome { fails: true, ..self.any([&**left, &**right].into_iter()) }
            }
            Node::And(list) | Node::Or(list) => self.any(list.iter()),
            Node::In(inner, list) => self.any(std::iter::once(&**inner).chain(list)),
            Node::Between(inner, low, high) => self.any([&**inner, &**low, &**high].into_iter()),
            Node::Case(arms, otherwise) => self.arms(arms, otherwise.as_deref()),
            Node::Switch(inner, arms, otherwise) => {
                let outcome = self.arms(arms, otherwise.as_deref());
                Outcome { fails: outcome.fails || self.outcome(inner).fails, ..outcome }
            }
            Node::Coalesce(list) => {
                let fails = self.any(list.iter()).fails;
                Outcome { null: list.iter().all(|argument| self.outcome(argument).null), fails }
            }
            Node::Call(function, list) => self.call(function, list, expr),
            Node::Cast(inner) => {
                let inside = self.outcome(inner);
                Outcome { fails: inside.fails || cast_fails(&inner.column.ty, &expr.column.ty), ..inside }
            }
        }
    }

    fn any<'e>(&self, list: impl Iterator<Item = &'e Expr>) -> Outcome {
        list.map(|expr| self.outcome(expr)).fold(Outcome::default(), |all, one| Outcome {
            null: all.null || one.null,
            fails: all.fails || one.fails,
        })
    }

    fn arms(&self, arms: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Outcome {
        let whens = self.any(arms.iter().map(|(when, _)| when));
        let results = self.any(arms.iter().map(|(_, then)| then).chain(otherwise));
        Outcome { null: results.null || otherwise.is_none(), fails: whens.fails || results.fails }
    }

    fn call(&self, function: &Function, list: &[Expr], expr: &Expr) -> Outcome {
        let inside = self.any(list.iter());
        let null = match function.nulls {
            Nulls::Strict => inside.null,
            Nulls::OfItsOwn => true,
            Nulls::OfAll => list.iter().all(|argument| self.outcome(argument).null),
        };
        Outcome { null, fails: inside.fails || function.fails.with(&expr.column.ty).is_some() }
    }
}

/// The expression with every nullability set, so that two of them compare by what they compute.
fn plain(expr: &Expr) -> Expr {
    let mut copy = expr.clone();
    copy.each_mut(&mut |inner| inner.column.nullable = true);
    copy
}

/// Whether two plain expressions compute the same. What a CAST makes is in its type alone; every other node says it all,
/// and a column may have been given a wider type where it stands.
fn computes_the_same(a: &Expr, b: &Expr) -> bool {
    a.node == b.node && (!matches!(a.node, Node::Cast(_)) || same(&a.column.ty, &b.column.ty))
}

/// Whether a CAST between these types can fail.
fn cast_fails(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::String, Type::String) => false,
        (Type::String, _) => true,
        (Type::Enum(_) | Type::Uuid | Type::Boolean, _) | (_, Type::String | Type::Bytes) => false,
        (from, to) if from.is_time() && to.is_time() => false,
        (Type::Double, Type::Float) => true,
        (_, Type::Double | Type::Float) => false,
        _ => unified(from, to).is_none_or(|ty| !same(&ty, to)),
    }
}
