//! Rows as large as the fold lets them be: whatever is within `tidefold_table::limits`, a store takes and returns.

use std::sync::Arc;

use tidefold_codec::{Datum, KeyForm, Type, columns, ordered};
use tidefold_record::Offset;
use tidefold_table::bucket::BUCKET_BYTES;
use tidefold_table::component::Delta;
use tidefold_table::rollup::Group;
use tidefold_table::{Bucket, TableKind, TableLayout, limits};

use super::harness::{Harness, all, opened, put, row, sorted, write};
use super::layouts::view;
use crate::Table;

/// A view, the place of the key's text that is as long as can be, and what it is made of.
struct Shape {
    kind: TableKind,
    partition: Vec<Type>,
    clustering: Vec<(Type, bool)>,
    bucket: Option<Bucket>,
    long: usize,
    of: char,
}

/// Keys and rows at their bounds are kept to the byte: of views of each shape, of entities and of verdicts.
pub async fn rows_at_the_bounds_are_kept(harness: &mut dyn Harness) {
    let store = harness.store();
    for (at, shape) in shapes().into_iter().enumerate() {
        let table = shape.table(&format!("bounds_{at}"));
        store.open(std::slice::from_ref(&table)).await.expect("opens");
        let key = shape.key(&table.layout);
        assert_eq!(key.len(), limits::row_key_bytes(&table.layout), "shape {at}");
        let value = match shape.kind {
            TableKind::Rollup => group(&table.layout),
            _ => value(&table.layout, limits::ROW_BYTES - key.len()),
        };
        assert!(shape.kind == TableKind::Rollup || key.len() + value.len() == limits::ROW_BYTES);
        write(&store, &table.id, vec![put(&key, &value, 5)]).await;
        assert_eq!(row(&store, &table.id, &key).await.as_deref(), Some(&*value), "shape {at}");
        assert_eq!(sorted(all(&store, &table.id, 2).await), [(key, value)], "shape {at}");
        store.drop_tables(&[table.id]).await.expect("drops");
    }
    let state = limits::STATE_BYTES + 4_096;
    let detail = 4 * limits::DETAIL_CHARACTERS + 256;
    for (name, kind, key, size) in [
        ("bounds_entity", TableKind::Entity, vec![b'%'; limits::RECORD_KEY_BYTES], state),
        ("bounds_of_zeros", TableKind::Entity, vec![0; limits::RECORD_KEY_BYTES], state),
        ("bounds_verdict", TableKind::Verdicts, vec![0xFF; 12], detail),
    ] {
        let table = opened(harness, name, kind).await;
        let value = vec![7; size];
        write(&store, &table, vec![put(&key, &value, 3)]).await;
        assert_eq!(row(&store, &table, &key).await.as_deref(), Some(&*value), "{name}");
    }
}

fn shapes() -> Vec<Shape> {
    use TableKind::{Index, Rollup};
    let shape = |kind, partition: &[Type], clustering: &[Type], long, of| Shape {
        kind,
        partition: partition.to_vec(),
        clustering: clustering.iter().enumerate().map(|(at, ty)| (ty.clone(), at % 2 == 0)).collect(),
        bucket: None,
        long,
        of,
    };
    let decimal = Type::Decimal { precision: 38, scale: 2, fixed: None };
    let (text, long) = (Type::String, Type::Long);
    let many = vec![Type::Boolean; 100];
    vec![
        shape(Index, std::slice::from_ref(&text), &[], 0, 'x'),
        shape(Index, std::slice::from_ref(&text), &[], 0, '\0'),
        shape(Rollup, std::slice::from_ref(&text), &[], 0, '\u{e9}'),
        shape(Rollup, &[long.clone(), text.clone()], std::slice::from_ref(&decimal), 1, '\0'),
        shape(Index, std::slice::from_ref(&long), &[text.clone(), decimal, text.clone()], 1, 'x'),
        shape(Index, std::slice::from_ref(&text), &many, 0, 'x'),
        shape(Index, std::slice::from_ref(&long), &[many, vec![text.clone()]].concat(), 101, 'x'),
        Shape {
            bucket: Some(Bucket::Hash { buckets: 64 }),
            ..shape(Rollup, std::slice::from_ref(&text), &[long, text.clone()], 0, 'x')
        },
    ]
}

/// A value of an index, of so many bytes.
fn value(layout: &TableLayout, size: usize) -> Vec<u8> {
    let types: Vec<_> = layout.value_columns().map(|(_, column)| &column.column).collect();
    let make = |length: usize| {
        let text = "y".repeat(length);
        let mut slots = vec![Datum::Null; types.len()];
        slots[0] = Datum::Text(&text);
        let mut value = 1_u64.to_be_bytes().to_vec();
        columns::encode(types.iter().copied(), &slots, &mut value);
        value
    };
    let more = make(size).len() - size;
    make(size - more)
}

/// A rollup's value whose extremes are as long as they may be: its first two aggregates are the smallest and the largest
/// text.
fn group(layout: &TableLayout) -> Vec<u8> {
    let text = "y".repeat(limits::EXTREMES_BYTES / 2);
    let mut datum = Vec::new();
    columns::encode([&Type::String.required()], &[Datum::Text(&text)], &mut datum);
    let mut group = Group { offset: Offset(1), count: 1, ..Group::empty(layout) };
    group.aggregates.iter_mut().take(2).for_each(|state| state.apply(Delta::Extreme(&datum)));
    let mut value = Vec::new();
    group.encode(&mut value);
    value
}

// === impl Shape ===

impl Shape {
    fn table(&self, name: &str) -> Table {
        let mut table = view(name, self.kind, &self.partition, &self.clustering);
        let layout = TableLayout { bucket: self.bucket, ..(*table.layout).clone() };
        table.layout = Arc::new(layout);
        table
    }

    /// The longest key.
    fn key(&self, layout: &TableLayout) -> Vec<u8> {
        let empty = self.key_with(layout, "");
        let room = limits::row_key_bytes(layout) - empty.len();
        let each = if self.of == '\0' { 2 } else { self.of.len_utf8() };
        let text = self.of.to_string().repeat(room / each) + &"x".repeat(room % each);
        self.key_with(layout, &text)
    }

    fn key_with(&self, layout: &TableLayout, text: &str) -> Vec<u8> {
        let (mut key, mut behind) = (Vec::new(), 0);
        for (at, (_, column)) in layout.key_columns().enumerate() {
            let datum = match column.ty.key_form().expect("a type of keys") {
                KeyForm::Text if at == self.long => Datum::Text(text),
                KeyForm::Text => Datum::Text("k"),
                KeyForm::Boolean => Datum::Boolean(true),
                KeyForm::Decimal { .. } => Datum::Decimal(-(10_i128.pow(38) - 1)),
                KeyForm::Whole => Datum::Long(i64::MIN),
            };
            ordered::encode(&column, datum, &mut key);
            if at + 1 == layout.partition_key.len() {
                behind = key.len();
            }
        }
        if let Some(bucketing) = layout.bucketing() {
            let bucket = bucketing.of(&key[behind..]);
            assert_eq!(bucket.len(), BUCKET_BYTES);
            key.splice(behind..behind, bucket);
        }
        if self.kind == TableKind::Rollup {
            key.extend_from_slice(&9_u32.to_be_bytes());
        }
        key
    }
}
