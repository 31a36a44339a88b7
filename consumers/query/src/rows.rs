//! Stored rows to JSON objects.

use bumpalo::Bump;
use tidefold_app::model::Entity;
use tidefold_codec::json_out::Longs;
use tidefold_codec::{Datum, json_out};
use tidefold_record::Offset;
use tidefold_table::entity::StateRef;
use tidefold_table::index::{IndexRef, KeyColumns};
use tidefold_table::rollup::Group;
use tidefold_table::{Broken, TableLayout};

/// Appends an entity's row; returns its version, or `None` where it is deleted (nothing is appended then).
///
/// # Errors
/// When the row is damaged.
pub fn write_entity(
    entity: &Entity,
    blob: &[u8],
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<Option<u64>, Broken> {
    let state = StateRef::parse(blob)?;
    if state.deleted {
        return Ok(None);
    }
    let mut slots = vec![Datum::Null; entity.columns.len()];
    state.slots(&entity.columns, &mut slots)?;
    write_object(&entity.layout, &slots, longs, out);
    Ok(Some(state.version))
}

/// Appends an index row, whose key is without its bucket; returns the offset that last touched it.
///
/// # Errors
/// When the row is damaged.
pub fn write_index(
    layout: &TableLayout,
    key: &[u8],
    value: &[u8],
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<Offset, Broken> {
    let (arena, columns) = (Bump::new(), KeyColumns::of(layout));
    let mut slots = vec![Datum::Null; layout.columns.len()];
    columns.slots(key, &arena, &mut slots)?;
    let row = IndexRef::parse(value)?;
    row.slots(layout, &mut slots)?;
    write_object(layout, &slots, longs, out);
    Ok(row.offset)
}

/// Appends a group, its shards added up. The key is without its bucket and shard.
///
/// # Errors
/// When the key is damaged.
pub fn write_group(
    layout: &TableLayout,
    key: &[u8],
    group: &Group,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), Broken> {
    let (arena, columns) = (Bump::new(), KeyColumns::of(layout));
    let (datums, rest) = columns.values(key, &arena)?;
    if !rest.is_empty() {
        return Err(Broken::Trailing(rest.len()));
    }
    let slots = group.finish(layout, &datums, &arena);
    write_object(layout, &slots, longs, out);
    Ok(())
}

fn write_object(layout: &TableLayout, slots: &[Datum<'_>], longs: Longs, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (column, datum)) in layout.columns.iter().zip(slots).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json_out::write_name(&column.name, out);
        out.push(b':');
        json_out::write_as(&column.column, *datum, longs, out);
    }
    out.push(b'}');
}
