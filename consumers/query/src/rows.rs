//! Stored rows to JSON objects.

use bumpalo::Bump;
use tidefold_app::model::{Entity, View};
use tidefold_codec::json_out::Longs;
use tidefold_codec::{Datum, columns, json_out, ordered};
use tidefold_record::Offset;
use tidefold_table::TableLayout;
use tidefold_table::entity::StateRef;
use tidefold_table::rollup::Group;

/// A row that is not what its table holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of {table} is damaged ({detail}); rebuild the projection with `tidefold replay`")]
pub struct DamagedRow {
    /// The table.
    pub table: String,
    /// What is wrong.
    pub detail: String,
}

fn damaged(layout: &TableLayout) -> impl Fn(&dyn std::fmt::Display) -> DamagedRow + '_ {
    |detail| DamagedRow { table: layout.name.clone(), detail: detail.to_string() }
}

/// Appends an entity's row; returns its version, or `None` where it is deleted (nothing is appended then).
///
/// # Errors
/// When the row is damaged.
pub fn write_entity(
    entity: &Entity,
    blob: &[u8],
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<Option<u64>, DamagedRow> {
    let broken = damaged(&entity.layout);
    let state = StateRef::parse(blob).map_err(|error| broken(&error))?;
    if state.deleted {
        return Ok(None);
    }
    let mut slots = vec![Datum::Null; entity.columns.len()];
    state.slots(&entity.columns, &mut slots).map_err(|error| broken(&error))?;
    write_object(&entity.layout, &slots, longs, out);
    Ok(Some(state.version))
}

/// Appends an index row; returns the offset that last touched it.
///
/// # Errors
/// When the row is damaged.
pub fn write_index(
    layout: &TableLayout,
    key: &[u8],
    value: &[u8],
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<Offset, DamagedRow> {
    let broken = damaged(layout);
    let arena = Bump::new();
    let keys: Vec<(usize, ordered::KeyColumn)> = layout.key_columns().collect();
    let mut slots = vec![Datum::Null; layout.columns.len()];
    let mut rest = key;
    for (at, column) in &keys {
        let (datum, next) = ordered::decode(column, rest, &arena).map_err(|error| broken(&error))?;
        slots[*at] = datum;
        rest = next;
    }
    let (offset, encoded) =
        value.split_first_chunk::<8>().ok_or_else(|| broken(&"the value is too short"))?;
    let places: Vec<usize> = layout.value_columns().map(|(at, _)| at).collect();
    let mut values = vec![Datum::Null; places.len()];
    let types = layout.value_columns().map(|(_, column)| &column.column);
    columns::decode(types, encoded, &mut values).map_err(|error| broken(&error))?;
    for (place, datum) in places.into_iter().zip(values) {
        slots[place] = datum;
    }
    write_object(layout, &slots, longs, out);
    Ok(Offset(u64::from_be_bytes(*offset)))
}

/// Appends a group, its shards added up.
///
/// # Errors
/// When the key is damaged.
pub fn write_group(
    view: &View,
    key: &[u8],
    group: &Group,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), DamagedRow> {
    let layout = &*view.layout;
    let broken = damaged(layout);
    let arena = Bump::new();
    let keys: Vec<(usize, ordered::KeyColumn)> = layout.key_columns().collect();
    let mut datums = Vec::with_capacity(keys.len());
    let mut rest = key;
    for (_, column) in &keys {
        let (datum, next) = ordered::decode(column, rest, &arena).map_err(|error| broken(&error))?;
        datums.push(datum);
        rest = next;
    }
    let slots = group.finish(&view.layout, &datums, &arena);
    write_object(layout, &slots, longs, out);
    Ok(())
}

fn write_object(layout: &TableLayout, slots: &[Datum<'_>], longs: Longs, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (column, datum)) in layout.columns.iter().zip(slots).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json_out::write_string(&column.name, out);
        out.push(b':');
        json_out::write_as(&column.column, *datum, longs, out);
    }
    out.push(b'}');
}
