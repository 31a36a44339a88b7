//! An index and a rollup as apps have them, and rows of them by short names: `b12` is the row of partition `b` with `12` as
//! its clustering column.

use bytes::Bytes;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, Type, columns};
use tidefold_record::{Offset, Partition};
use tidefold_table::aggregate::{Aggregate, aggregate};
use tidefold_table::component::Delta;
use tidefold_table::index::{self, IndexRef};
use tidefold_table::rollup::{Group, shard};
use tidefold_table::{Clustering, Column, RowWrite, Stamp, TableKind, TableLayout};

/// The layout of a table of this kind.
pub(super) fn layout(name: &str, kind: TableKind) -> TableLayout {
    let column = |name: &str, ty: Type| Column { name: name.to_owned(), column: ty.required() };
    let untyped = TableLayout::untyped(name.to_owned(), kind);
    let view = TableLayout {
        columns: vec![
            column("place", Type::String),
            column("item", Type::String),
            column("words", Type::String),
        ],
        partition_key: vec![0],
        clustering: vec![Clustering { column: 1, descending: false }],
        ..untyped.clone()
    };
    match kind {
        TableKind::Entity => TableLayout {
            columns: vec![column("id", Type::String), column("words", Type::String)],
            partition_key: vec![0],
            ..untyped
        },
        TableKind::Index => view,
        TableKind::Rollup => {
            let largest = aggregate("max").expect("is one");
            TableLayout {
                aggregates: vec![Aggregate { function: largest, argument: Some(Type::String) }],
                ..view
            }
        }
        TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => untyped,
    }
}

/// The key of an index's row.
pub(super) fn key(name: &str) -> Vec<u8> {
    let column = KeyColumn { ty: Type::String, descending: false };
    let mut key = Vec::new();
    for part in [name.get(..1).unwrap_or_default(), name.get(1..).unwrap_or_default()] {
        ordered::encode(&column, Datum::Text(part), &mut key);
    }
    key
}

/// A put of an index's row.
pub(super) fn item(name: &str, words: &str, stamp: u64) -> RowWrite {
    let mut value = index::head(Stamp(stamp).offset()).to_vec();
    columns::encode([&Type::String.required()], &[Datum::Text(words)], &mut value);
    RowWrite { key: key(name).into(), value: Some(value.into()), stamp: Stamp(stamp) }
}

/// A delete of an index's row.
pub(super) fn gone(name: &str, stamp: u64) -> RowWrite {
    RowWrite { key: key(name).into(), value: None, stamp: Stamp(stamp) }
}

/// A put of a shard of a rollup's row, whose largest text is `words`; a table of [`table`](super::table) and the kind.
///
/// # Panics
/// Not for names of one byte and more.
#[must_use]
pub fn group(name: &str, words: &str, stamp: u64) -> RowWrite {
    let layout = layout("groups", TableKind::Rollup);
    let mut datum = Vec::new();
    columns::encode([&Type::String.required()], &[Datum::Text(words)], &mut datum);
    let offset: Offset = Stamp(stamp).offset();
    let mut group = Group { offset, count: 1, ..Group::empty(&layout) };
    group.aggregates.iter_mut().for_each(|state| state.apply(Delta::Extreme(&datum)));
    let mut value = Vec::new();
    group.encode(&mut value);
    let key = [&key(name)[..], &shard(Partition(1))].concat();
    RowWrite { key: key.into(), value: Some(value.into()), stamp: Stamp(stamp) }
}

/// What the value of an index's row says.
pub(super) fn words_of(value: &Bytes) -> String {
    let mut slot = [Datum::Null];
    let ty = Type::String.required();
    let row = IndexRef::parse(value).expect("an index's row");
    columns::decode([&ty], row.columns, &mut slot).expect("its columns");
    match slot {
        [Datum::Text(words)] => words.to_owned(),
        other => format!("{other:?}"),
    }
}
