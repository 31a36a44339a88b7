//! Rollup changes onto rollup rows.

use tidefold_app::model::View;
use tidefold_record::Offset;
use tidefold_table::component::AggregateState;
use tidefold_table::rollup::{Group, encode_group};

use crate::changes::RollupChanges;
use crate::error::{FoldError, damaged};
use crate::rows::{RowCache, RowSlot};

/// A group's row while a batch is applied to it; its aggregates lie beside those of the others.
struct OpenGroup {
    slot: RowSlot,
    /// What is in the row already: changes at or before it are skipped.
    applied: Option<Offset>,
    offset: Offset,
    count: i64,
}

/// Applies a batch's changes to the rows of one rollup.
pub(crate) fn apply(
    view: &View,
    changes: &RollupChanges,
    cache: &mut RowCache,
    value: &mut Vec<u8>,
) -> Result<(), FoldError> {
    let width = view.layout.components();
    let mut groups: Vec<OpenGroup> = Vec::with_capacity(changes.keys.len());
    let mut states: Vec<AggregateState> = Vec::with_capacity(changes.keys.len() * width);
    for (asked, key) in changes.keys.iter().enumerate() {
        let slot =
            cache.known(key, asked).ok_or_else(|| FoldError::NotLoaded { table: view.name.clone() })?;
        let group = match cache.value(slot) {
            Some(row) => Some(Group::decode(&view.layout, row).map_err(damaged(&view.layout, key))?),
            None => None,
        };
        let applied = group.as_ref().map(|group| group.offset);
        let group = group.unwrap_or_else(|| Group::empty(&view.layout));
        groups.push(OpenGroup { slot, applied, offset: group.offset, count: group.count });
        states.extend(group.aggregates);
    }
    for (at, delta) in changes.deltas.iter().enumerate() {
        let key = delta.key as usize;
        let Some(group) = groups.get_mut(key) else { continue };
        if group.applied.is_some_and(|applied| delta.offset <= applied) {
            continue;
        }
        group.offset = delta.offset;
        group.count = group.count.wrapping_add(delta.count);
        let states = states.get_mut(key * width..(key + 1) * width).unwrap_or_default();
        for (state, part) in states.iter_mut().zip(changes.parts(at)) {
            state.apply(part);
        }
    }
    for (key, group) in groups.iter().enumerate() {
        let states = states.get(key * width..(key + 1) * width).unwrap_or_default();
        value.clear();
        encode_group(group.offset, group.count, states, value);
        cache.put(group.slot, value);
    }
    Ok(())
}
