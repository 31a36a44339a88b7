//! Which columns of the entity a view reads, and which a message sets: what depends on nothing that a message sets stays as
//! it is, and need not be evaluated twice to find that out.

use tidefold_app::expr::{Expr, Node};
use tidefold_app::model::{Action, Aggregate, Clause, View, ViewKind};

/// Columns of an entity, by place. The last bit stands for all places from 63 on: whoever asks is told of too many columns
/// at worst, never of too few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnSet(u64);

/// What a view reads of the entity.
#[derive(Debug)]
pub(crate) struct Reads {
    /// The filter; and whether it is of the state alone, not of an element that UNNEST stands on.
    pub(crate) filter: ColumnSet,
    pub(crate) filter_is_of_state: bool,
    /// What decides under which key a row stands, or how many there are.
    pub(crate) keys: ColumnSet,
    /// Each of the other columns; of a rollup, each aggregate.
    pub(crate) others: Vec<ColumnSet>,
    /// All but the filter.
    pub(crate) rows: ColumnSet,
}

// === impl ColumnSet ===

impl ColumnSet {
    /// What an expression reads.
    pub(crate) fn read_by(expr: &Expr) -> ColumnSet {
        let mut set = ColumnSet::default();
        expr.walk(&mut |expr| {
            if let Node::State(at) = &expr.node {
                set = set.with(*at);
            }
        });
        set
    }

    /// What a message of the clause may change of an entity that stays.
    pub(crate) fn set_by(clause: &Clause) -> ColumnSet {
        match &clause.action {
            Action::Set(set) => set.iter().fold(ColumnSet::default(), |all, (at, _)| all.with(*at)),
            Action::Delete => ColumnSet::default(),
        }
    }

    pub(crate) fn with(self, at: usize) -> ColumnSet {
        ColumnSet(self.0 | ColumnSet::bit(at))
    }

    pub(crate) fn and(self, other: ColumnSet) -> ColumnSet {
        ColumnSet(self.0 | other.0)
    }

    pub(crate) fn has(self, at: usize) -> bool {
        self.0 & ColumnSet::bit(at) != 0
    }

    pub(crate) fn meets(self, other: ColumnSet) -> bool {
        self.0 & other.0 != 0
    }

    fn bit(at: usize) -> u64 {
        1 << at.min(63)
    }
}

impl FromIterator<ColumnSet> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = ColumnSet>>(sets: I) -> ColumnSet {
        sets.into_iter().fold(ColumnSet::default(), ColumnSet::and)
    }
}

// === impl Reads ===

impl Reads {
    /// Of a view, whose key's columns and whose other columns have these places.
    pub(crate) fn of(view: &View, keys: impl Iterator<Item = usize>, others: &[usize]) -> Reads {
        let filter = view.source.filter.as_ref();
        let of = |exprs: &[Expr], at: usize| exprs.get(at).map(ColumnSet::read_by).unwrap_or_default();
        let (mut keys, others): (ColumnSet, Vec<_>) = match &view.kind {
            ViewKind::Index { columns } => {
                (keys.map(|at| of(columns, at)).collect(), others.iter().map(|at| of(columns, *at)).collect())
            }
            ViewKind::Rollup { groups, aggregates, .. } => {
                (keys.map(|at| of(groups, at)).collect(), aggregates.iter().map(added).collect())
            }
        };
        if let Some(unnest) = &view.source.unnest {
            keys = keys.and(ColumnSet::read_by(&unnest.array));
        }
        Reads {
            filter: filter.map(ColumnSet::read_by).unwrap_or_default(),
            filter_is_of_state: filter.is_none_or(is_of_state),
            rows: others.iter().copied().fold(keys, ColumnSet::and),
            keys,
            others,
        }
    }
}

fn added(aggregate: &Aggregate) -> ColumnSet {
    let exprs = [aggregate.argument.as_ref(), aggregate.filter.as_ref()];
    exprs.into_iter().flatten().map(ColumnSet::read_by).collect()
}

fn is_of_state(expr: &Expr) -> bool {
    let mut is = true;
    expr.walk(&mut |expr| is &= !matches!(expr.node, Node::Element | Node::Ordinality));
    is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_last_bit_stand_for_one_another_and_for_no_other() {
        let far = ColumnSet::default().with(63);
        assert!(far.has(64) && far.has(1_000) && !far.has(62));
        assert!(far.meets(ColumnSet::default().with(200)));
        assert!(!ColumnSet::default().with(0).meets(ColumnSet::default().with(1)));
    }
}
