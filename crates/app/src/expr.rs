//! Typed expressions. The checker has resolved every name, inserted every cast and proved every type, so an evaluator
//! need not look at types again: an operation says on which form of [`tidefold_codec::Datum`] it works.

use tidefold_codec::{ColumnType, Type};

use crate::functions::row::Function;
use crate::values::compare::{CompareOp, LikePattern};
use crate::values::number::ArithmeticOp;

/// An expression and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it computes.
    pub node: Node,
    /// The type of its value.
    pub column: ColumnType,
}

/// The kinds of expression. Operands are evaluated from left to right, all of them, except where AND, OR, IN, CASE and
/// COALESCE are decided earlier; an operand that fails fails the whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A constant.
    Constant(Constant),
    /// A column of the entity's state, by place in `Entity::columns`. In a view over events: never.
    State(usize),
    /// A field of the message, by place in `Message::record`. In a view over an entity: never.
    Message(usize),
    /// An earlier `let` of the clause.
    Let(usize),
    /// The element that UNNEST stands on.
    Element,
    /// The element's place, from 1 (`WITH ORDINALITY`).
    Ordinality,
    /// `ce_time`, as timestamp-micros or -millis by the expression's type; NULL where the record has none.
    EventTime,
    /// `tidefold-append-time`; NULL where the record has none.
    AppendTime,
    /// The authenticated principal, as string; NULL where the record has none.
    Caller,
    /// A field of an encoded record.
    Field(Box<Expr>, usize),
    /// `NOT x`.
    Not(Box<Expr>),
    /// `-x`; overflow is an error.
    Negate(Box<Expr>),
    /// `a AND b AND …`, in SQL's three-valued logic.
    And(Vec<Expr>),
    /// `a OR b OR …`.
    Or(Vec<Expr>),
    /// `a < b` and its kin; both sides have the same type.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `a + b` and its kin. Both sides have the expression's type, except: of a decimal product and quotient each side
    /// has its own scale (a product's scales add up; a quotient is rounded to the expression's scale, half away from
    /// zero); and of a time or date plus an interval the right side is a constant in the type's base unit.
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    /// `a || b`.
    Concat(Box<Expr>, Box<Expr>),
    /// `x IS NULL`.
    IsNull(Box<Expr>),
    /// `x IS TRUE`.
    IsTrue(Box<Expr>),
    /// `x IS FALSE`.
    IsFalse(Box<Expr>),
    /// `a IS DISTINCT FROM b`.
    IsDistinct(Box<Expr>, Box<Expr>),
    /// `x BETWEEN low AND high`; all of one type.
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `x IN (…)`; all of one type.
    In(Box<Expr>, Vec<Expr>),
    /// `x LIKE 'pattern'`, case-sensitive, `%` and `_`, with an optional escape character.
    Like(Box<Expr>, LikePattern),
    /// `CASE WHEN … THEN … ELSE … END`; without ELSE: NULL.
    Case(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// `CASE x WHEN … THEN … ELSE … END`: the first arm whose value equals x; all of one type. Without ELSE: NULL.
    Switch(Box<Expr>, Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// The first argument that is not NULL.
    Coalesce(Vec<Expr>),
    /// A function of the closed list ([`crate::functions`]). What it takes as a constant stands behind the values, as a
    /// number: digits, or a place in the list of units or parts.
    Call(&'static Function, Vec<Expr>),
    /// A conversion to the expression's type.
    Cast(Box<Expr>),
}

/// A constant, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// NULL.
    Null,
    /// boolean.
    Boolean(bool),
    /// Anything that is a `Long` in a slot.
    Long(i64),
    /// float, double.
    Double(f64),
    /// decimal, unscaled.
    Decimal(i128),
    /// string, enum symbol, uuid.
    Text(Box<str>),
}

/// Where a view's rows come from, before they are grouped or listed.
#[derive(Debug)]
pub struct ViewSource {
    /// Over events: which messages of the topic (by place) it is of, with the places of their fields mapped so that
    /// `Node::Message` in this view's expressions is a place in *that* message's record. A view over events reads one
    /// message type: `SELECT … FROM PageViewed`. `None`: it reads the entity's states.
    pub event: Option<usize>,
    /// `UNNEST(x) AS item`: the array and its element type.
    pub unnest: Option<Unnest>,
    /// `WHERE`: a row counts only on TRUE.
    pub filter: Option<Expr>,
}

/// `UNNEST(array) AS item [WITH ORDINALITY]`; a NULL array has no elements.
#[derive(Debug)]
pub struct Unnest {
    /// The array.
    pub array: Expr,
    /// Its elements' type.
    pub element: ColumnType,
}

impl Expr {
    /// A constant of a type.
    #[must_use]
    pub fn constant(constant: Constant, ty: Type) -> Expr {
        let nullable = constant == Constant::Null;
        Expr { node: Node::Constant(constant), column: ColumnType { ty, nullable } }
    }

    /// Visits this expression and every one inside it, outermost first.
    pub fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        match &self.node {
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller => {}
            Node::Field(inner, _)
            | Node::Not(inner)
            | Node::Negate(inner)
            | Node::IsNull(inner)
            | Node::IsTrue(inner)
            | Node::IsFalse(inner)
            | Node::Like(inner, _)
            | Node::Cast(inner) => inner.walk(visit),
            Node::Compare(_, left, right)
            | Node::Arithmetic(_, left, right)
            | Node::Concat(left, right)
            | Node::IsDistinct(left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Node::And(list) | Node::Or(list) | Node::Coalesce(list) | Node::Call(_, list) => {
                list.iter().for_each(|inner| inner.walk(visit));
            }
            Node::In(inner, list) => {
                inner.walk(visit);
                list.iter().for_each(|inner| inner.walk(visit));
            }
            Node::Between(inner, low, high) => {
                inner.walk(visit);
                low.walk(visit);
                high.walk(visit);
            }
            Node::Case(arms, otherwise) => Expr::walk_arms(arms, otherwise.as_deref(), visit),
            Node::Switch(inner, arms, otherwise) => {
                inner.walk(visit);
                Expr::walk_arms(arms, otherwise.as_deref(), visit);
            }
        }
    }

    fn walk_arms(arms: &[(Expr, Expr)], otherwise: Option<&Expr>, visit: &mut dyn FnMut(&Expr)) {
        for (when, then) in arms {
            when.walk(visit);
            then.walk(visit);
        }
        if let Some(inner) = otherwise {
            inner.walk(visit);
        }
    }

    /// Changes this expression and every one inside it, outermost first.
    pub(crate) fn each_mut(&mut self, change: &mut dyn FnMut(&mut Expr)) {
        change(self);
        match &mut self.node {
            Node::Constant(_)
            | Node::State(_)
            | Node::Message(_)
            | Node::Let(_)
            | Node::Element
            | Node::Ordinality
            | Node::EventTime
            | Node::AppendTime
            | Node::Caller => {}
            Node::Field(inner, _)
            | Node::Not(inner)
            | Node::Negate(inner)
            | Node::IsNull(inner)
            | Node::IsTrue(inner)
            | Node::IsFalse(inner)
            | Node::Like(inner, _)
            | Node::Cast(inner) => inner.each_mut(change),
            Node::Compare(_, left, right)
            | Node::Arithmetic(_, left, right)
            | Node::Concat(left, right)
            | Node::IsDistinct(left, right) => {
                left.each_mut(change);
                right.each_mut(change);
            }
            Node::And(list) | Node::Or(list) | Node::Coalesce(list) | Node::Call(_, list) => {
                list.iter_mut().for_each(|inner| inner.each_mut(change));
            }
            Node::In(inner, list) => {
                inner.each_mut(change);
                list.iter_mut().for_each(|inner| inner.each_mut(change));
            }
            Node::Between(inner, low, high) => {
                [inner, low, high].into_iter().for_each(|inner| inner.each_mut(change));
            }
            Node::Case(arms, otherwise) => Expr::each_arm_mut(arms, otherwise.as_deref_mut(), change),
            Node::Switch(inner, arms, otherwise) => {
                inner.each_mut(change);
                Expr::each_arm_mut(arms, otherwise.as_deref_mut(), change);
            }
        }
    }

    fn each_arm_mut(
        arms: &mut [(Expr, Expr)],
        otherwise: Option<&mut Expr>,
        change: &mut dyn FnMut(&mut Expr),
    ) {
        for (when, then) in arms {
            when.each_mut(change);
            then.each_mut(change);
        }
        if let Some(inner) = otherwise {
            inner.each_mut(change);
        }
    }
}
