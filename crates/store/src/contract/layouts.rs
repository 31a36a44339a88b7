//! Tables as apps have them: keys and values of typed columns. A store may keep them in columns of its own; nobody sees it.

use std::sync::Arc;

use bytes::Bytes;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, EnumType, Type, columns};
use tidefold_record::Partition;
use tidefold_table::aggregate::{AGGREGATES, Aggregate, Over, aggregate};
use tidefold_table::component::{Delta, Keeps};
use tidefold_table::exact::Exact;
use tidefold_table::rollup::Group;
use tidefold_table::{Clustering, Column, RowWrite, Stamp, TableId, TableKind, TableLayout, index, verdict};

use super::harness::{Harness, all, delete, lane, opened, put, row, sorted, write};
use crate::memory::MemoryStore;
use crate::scan::successor;
use crate::{Scan, SharedStore, Store, Table, TableWrites};

/// Ranges with any prefix, ends and limit return what a map of bytes does, and pages return every row.
pub async fn columns_are_scanned_like_bytes(harness: &mut dyn Harness) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for (at, (kind, partition, clustering)) in layouts().into_iter().enumerate() {
        let table = view(&format!("columns_{at}"), kind, &partition, &clustering);
        let keys: Vec<Key> = (0..120).map(|_| Key::random(&table.layout, &mut dice)).collect();
        let model = MemoryStore::new();
        let store = harness.store();
        for store in [&*store, &model as &dyn Store] {
            store.open(std::slice::from_ref(&table)).await.expect("opens");
        }
        for chunk in keys.chunks(40) {
            let mut rows: Vec<RowWrite> = Vec::new();
            for key in chunk {
                let stamp = 4 + 2 * dice.below(1_000);
                let is_new = rows.iter().all(|row| row.key != key.bytes);
                match dice.below(6) {
                    _ if !is_new => {}
                    0 => rows.push(delete(&key.bytes, stamp)),
                    _ => {
                        let value = value(&table.layout, stamp + 1, &mut dice);
                        rows.push(put(&key.bytes, &value, stamp + 1));
                    }
                }
            }
            // An equal stamp is the same write: a key that comes again has another stamp or is left out.
            for store in [&*store, &model as &dyn Store] {
                let writes = [TableWrites { table: table.id.clone(), rows: rows.clone() }];
                store.write(&lane(0), &writes).await.expect("writes");
            }
        }
        for _ in 0..150 {
            let scan = range(&table.layout, &keys, &mut dice);
            let (found, wanted) = (store.scan(&table.id, &scan).await, model.scan(&table.id, &scan).await);
            assert_eq!(found, wanted, "{kind:?} of {partition:?}, {clustering:?}: {scan:?}");
        }
        let model: SharedStore = Arc::new(model);
        let wanted = sorted(all(&model, &table.id, 1_000).await);
        assert_eq!(sorted(all(&store, &table.id, 7).await), wanted, "{kind:?} of {partition:?}");
    }
}

/// A key of every type, in either direction and as the only column of a partition key, comes back as it was.
pub async fn columns_of_every_key_type_are_kept(harness: &mut dyn Harness) {
    let mut dice = Dice(7);
    for (at, ty) in types().into_iter().enumerate() {
        let table =
            view(&format!("type_{at}"), TableKind::Index, std::slice::from_ref(&ty), &[(ty.clone(), true)]);
        let store = harness.store();
        store.open(std::slice::from_ref(&table)).await.expect("opens");
        let mut rows: Vec<RowWrite> = Vec::new();
        for n in 0..40 {
            let key = Key::random(&table.layout, &mut dice);
            if rows.iter().all(|row| row.key != key.bytes) {
                rows.push(put(&key.bytes, &value(&table.layout, 3 + 2 * n, &mut dice), 3 + 2 * n));
            }
        }
        let writes = [TableWrites { table: table.id.clone(), rows: rows.clone() }];
        store.write(&lane(0), &writes).await.expect("writes");
        let keys: Vec<Bytes> = rows.iter().map(|row| row.key.clone()).collect();
        let values: Vec<Option<Bytes>> = rows.iter().map(|row| row.value.clone()).collect();
        assert_eq!(store.load(&table.id, &keys).await.expect("loads"), values, "{ty:?}");
        let mut wanted: Vec<(Vec<u8>, Vec<u8>)> =
            rows.iter().filter_map(|row| Some((row.key.to_vec(), row.value.as_ref()?.to_vec()))).collect();
        wanted.sort();
        assert_eq!(sorted(all(&store, &table.id, 3).await), wanted, "{ty:?}");
    }
}

/// Verdicts are found by partition and range of offsets, in the order of their positions.
pub async fn verdicts_are_scanned_by_position(harness: &mut dyn Harness) {
    let table = opened(harness, "verdicts", TableKind::Verdicts).await;
    let store = harness.store();
    let key = |partition: u32, offset: u64| [&partition.to_be_bytes()[..], &offset.to_be_bytes()].concat();
    let places = [(0, 0), (0, 255), (0, 256), (0, 1 << 40), (3, 1), (7, 9), (300, 2)];
    let rows =
        places.iter().map(|(partition, offset)| put(&key(*partition, *offset), b"dead", 2 * offset + 3));
    write(&store, &table, rows.collect()).await;
    let scan = |from: Option<Vec<u8>>, until: Option<Vec<u8>>, limit| Scan::Range {
        prefix: verdict::prefix(Partition(0)),
        from: from.map(Bytes::from),
        until: until.map(Bytes::from),
        limit,
    };
    let cases = [
        (scan(Some(key(0, 255)), Some(key(0, 257)), 9), vec![1, 2]),
        (scan(Some(key(0, 1)), None, 2), vec![1, 2]),
        (scan(None, None, 9), vec![0, 1, 2, 3]),
        (scan(Some([key(0, 256), vec![0]].concat()), None, 3), vec![3]),
        (scan(None, Some(key(7, 9)), 2), vec![0, 1]),
    ];
    for (scan, wanted) in cases {
        let found = store.scan(&table, &scan).await.expect("scans");
        let wanted: Vec<Vec<u8>> =
            wanted.into_iter().map(|at: usize| key(places[at].0, places[at].1)).collect();
        assert_eq!(found.iter().map(|row| row.key.to_vec()).collect::<Vec<_>>(), wanted, "{scan:?}");
    }
    assert_eq!(row(&store, &table, &key(300, 2)).await, Some(Bytes::from_static(b"dead")));
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

/// A key and where its columns end; those of the partition key first.
struct Key {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

type Layout = (TableKind, Vec<Type>, Vec<(Type, bool)>);

fn layouts() -> Vec<Layout> {
    use TableKind::{Index, Rollup};
    let decimal = Type::Decimal { precision: 38, scale: 2, fixed: None };
    vec![
        (Index, vec![Type::String], vec![(Type::Long, true), (Type::String, false)]),
        (Index, vec![Type::Boolean, Type::String], vec![(Type::String, true), (decimal, true)]),
        (Rollup, vec![Type::Long], vec![(Type::TimestampMillis, false), (Type::Uuid, true)]),
        (Rollup, vec![Type::Date], vec![(symbols(), true), (Type::Boolean, false)]),
        (
            Index,
            vec![Type::TimeMicros],
            vec![(Type::Int, true), (Type::TimestampMicros, false), (Type::String, true)],
        ),
    ]
}

fn symbols() -> Type {
    let symbols = ["b", "a", "ab"].map(str::to_owned).to_vec();
    Type::Enum(Arc::new(EnumType { full_name: "t.E".to_owned(), symbols, default: None }))
}

fn types() -> Vec<Type> {
    vec![
        Type::Boolean,
        Type::Int,
        Type::Long,
        Type::String,
        symbols(),
        Type::Decimal { precision: 38, scale: 2, fixed: None },
        Type::Uuid,
        Type::Date,
        Type::TimeMillis,
        Type::TimeMicros,
        Type::TimestampMillis,
        Type::TimestampMicros,
        Type::LocalTimestampMillis,
        Type::LocalTimestampMicros,
    ]
}

pub(super) fn view(name: &str, kind: TableKind, partition: &[Type], clustering: &[(Type, bool)]) -> Table {
    let key = partition.iter().chain(clustering.iter().map(|(ty, _)| ty));
    let mut columns: Vec<Column> = key
        .enumerate()
        .map(|(at, ty)| Column { name: format!("key_{at}"), column: ty.clone().required() })
        .collect();
    let clustering = clustering
        .iter()
        .enumerate()
        .map(|(at, (_, descending))| Clustering { column: partition.len() + at, descending: *descending });
    let clustering = clustering.collect();
    let aggregates = if kind == TableKind::Rollup { aggregates() } else { vec![] };
    let others = if kind == TableKind::Rollup {
        aggregates.iter().map(|aggregate| aggregate.argument.clone().unwrap_or(Type::Long)).collect()
    } else {
        vec![Type::String, Type::Double, Type::Bytes, Type::Array(Arc::new(Type::Int.required()))]
    };
    for (at, ty) in others.into_iter().enumerate() {
        columns.push(Column { name: format!("other_{at}"), column: ty.nullable() });
    }
    let layout = TableLayout {
        name: name.to_owned(),
        kind,
        columns,
        partition_key: (0..partition.len()).collect(),
        clustering,
        bucket: None,
        aggregates,
    };
    Table { id: TableId::new("contract", name, 1), layout: Arc::new(layout) }
}

/// Every aggregate, of every type that it may be of; the first two are the smallest and the largest text.
fn aggregates() -> Vec<Aggregate> {
    let of = |name: &str, argument: Option<&Type>| Aggregate {
        function: aggregate(name).expect("is one"),
        argument: argument.cloned(),
    };
    let mut all = vec![of("min", Some(&Type::String)), of("max", Some(&Type::String)), of("count", None)];
    let ordered = types().into_iter().filter(|ty| *ty != Type::Boolean).chain([Type::Float, Type::Double]);
    for (at, ty) in ordered.enumerate() {
        all.push(of(if at % 2 == 0 { "min" } else { "max" }, Some(&ty)));
    }
    let small = Type::Decimal { precision: 19, scale: 4, fixed: None };
    for function in AGGREGATES {
        let argument = match function.over {
            Over::Anything | Over::Ordered | Over::Key => Type::String,
            Over::Number => Type::Decimal { precision: 38, scale: 2, fixed: None },
            Over::Squarable => small.clone(),
            Over::Boolean => Type::Boolean,
        };
        all.push(of(function.name, Some(&argument)));
    }
    all
}

fn datum(ty: &Type, dice: &mut Dice) -> Datum<'static> {
    const TEXTS: [&str; 9] = ["", "\0", "\0\0", "a", "a\0", "a\0b", "ab", "\u{e9}", "\u{10FFFF}"];
    const UUIDS: [&str; 3] = [
        "00000000-0000-4000-8000-0000000000ff",
        "018f3c2e-0000-7000-8000-000000000000",
        "f8f3c2e0-0000-1000-8000-000000000000",
    ];
    let mut long = |values: &[i64]| Datum::Long(dice.pick(values));
    match ty {
        Type::Boolean => Datum::Boolean(dice.below(2) == 1),
        Type::Int => long(&[-(1 << 31), -1, 0, 1, 255, 256, (1 << 31) - 1]),
        Type::Long => long(&[i64::MIN, -1, 0, 1, 255, 256, i64::MAX]),
        Type::Date => long(&[-719_162, -1, 0, 20_000, 2_932_896]),
        Type::TimeMillis => long(&[0, 1, 255, 86_399_999]),
        Type::TimeMicros => long(&[0, 1, 86_399_999_999]),
        Type::TimestampMillis | Type::LocalTimestampMillis => long(&[-1, 0, 255, 1_700_000_000_123]),
        Type::TimestampMicros | Type::LocalTimestampMicros => long(&[-1, 0, 255, 1_700_000_000_123_456]),
        Type::Decimal { .. } => {
            let wide = 10_i128.pow(37);
            Datum::Decimal(dice.pick(&[-wide, -129, -128, -1, 0, 1, 127, 128, 255, 256, wide]))
        }
        Type::Uuid => Datum::Text(dice.pick(&UUIDS)),
        Type::Enum(_) => Datum::Text(dice.pick(&["a", "b", "ab"])),
        Type::Float => Datum::Double(dice.pick(&[-1.5, 0.0, f64::from(f32::MAX)])),
        Type::Double => Datum::Double(dice.pick(&[-1.5, 0.0, 1e300])),
        Type::Bytes => Datum::Bytes(dice.pick(&[&b""[..], b"\0", b"\xFF\xFE"])),
        Type::Array(_) => Datum::Encoded(dice.pick(&[&b"\0"[..], b"\x04\x02\x04\0"])),
        Type::String | Type::Fixed(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => {
            Datum::Text(dice.pick(&TEXTS))
        }
    }
}

fn value(layout: &TableLayout, stamp: u64, dice: &mut Dice) -> Vec<u8> {
    if layout.kind == TableKind::Rollup {
        return group(layout, stamp, dice);
    }
    let columns: Vec<&Column> = layout.value_columns().map(|(_, column)| column).collect();
    let slots: Vec<Datum<'_>> = columns
        .iter()
        .map(|column| if dice.below(3) == 0 { Datum::Null } else { datum(&column.column.ty, dice) })
        .collect();
    value_of(layout, stamp, &slots)
}

/// A row of an index, whose other columns are all NULL.
pub(super) fn value_of_nulls(layout: &TableLayout, stamp: u64) -> Vec<u8> {
    value_of(layout, stamp, &vec![Datum::Null; layout.value_columns().count()])
}

fn value_of(layout: &TableLayout, stamp: u64, slots: &[Datum<'_>]) -> Vec<u8> {
    let mut value = index::head(Stamp(stamp).offset()).to_vec();
    columns::encode(layout.value_columns().map(|(_, column)| &column.column), slots, &mut value);
    value
}

/// A shard of a rollup, of which some aggregates are of no value yet, and some sums of the largest there are.
fn group(layout: &TableLayout, stamp: u64, dice: &mut Dice) -> Vec<u8> {
    let mut group = Group { offset: Stamp(stamp).offset(), count: 2, ..Group::empty(layout) };
    let arguments = layout.aggregates.iter().flat_map(|aggregate| {
        aggregate.function.keeps.iter().map(|keeps| (keeps, aggregate.argument.as_ref()))
    });
    for (state, (keeps, argument)) in group.aggregates.iter_mut().zip(arguments) {
        if dice.below(4) == 0 {
            continue;
        }
        let mut bytes = Vec::new();
        let delta = match keeps {
            Keeps::Count => Delta::Count(dice.pick(&[0, 1, i64::MAX])),
            Keeps::Sum | Keeps::Squares => {
                Delta::Sum(Exact::from_parts(dice.pick(&[0, -1, 255, i128::MIN]), dice.pick(&[0, -1, 7])), 2)
            }
            Keeps::Smallest | Keeps::Largest => {
                let ty = argument.expect("is of values");
                columns::encode([&ty.clone().required()], &[datum(ty, dice)], &mut bytes);
                Delta::Extreme(&bytes)
            }
            Keeps::Distinct => Delta::Distinct(dice.below(u64::MAX)),
        };
        state.apply(delta);
    }
    let mut value = Vec::new();
    group.encode(&mut value);
    value
}

fn range(layout: &TableLayout, keys: &[Key], dice: &mut Dice) -> Scan {
    let at = |dice: &mut Dice| &keys[usize::try_from(dice.below(keys.len() as u64)).expect("fits")];
    let key = at(dice);
    let prefix = key.cut(dice);
    // Most bounds are of the partition itself.
    let same: Vec<&Key> = keys.iter().filter(|other| other.bytes.starts_with(key.partition())).collect();
    let bound = |dice: &mut Dice| {
        let key = if dice.below(8) == 0 {
            at(dice)
        } else {
            same[usize::try_from(dice.below(same.len() as u64)).expect("fits")]
        };
        let cut = key.cut(dice);
        Some(match dice.below(6) {
            0 => return None,
            1 => key.bytes.clone().into(),
            2 => successor(&cut)?,
            3 => [&cut, &[0][..]].concat().into(),
            4 => {
                let len = usize::try_from(dice.below(key.bytes.len() as u64)).expect("fits");
                Bytes::copy_from_slice(&key.bytes[..len.max(key.partition().len())])
            }
            _ => cut.into(),
        })
    };
    let (from, until) = (bound(dice), bound(dice));
    let limit = usize::try_from(dice.pick(&[1, 2, 5, 1_000])).expect("fits");
    let prefix = layout.prefix(prefix.into()).expect("has a whole partition key");
    Scan::Range { prefix, from, until, limit }
}

// === impl Dice ===

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).expect("fits")]
    }
}

// === impl Key ===

impl Key {
    fn random(layout: &TableLayout, dice: &mut Dice) -> Key {
        let mut key = Key { bytes: Vec::new(), ends: Vec::new() };
        if layout.partition_key.is_empty() {
            key.ends.push(0);
        }
        for (at, (_, column)) in layout.key_columns().enumerate() {
            let KeyColumn { ty, .. } = &column;
            ordered::encode(&column, datum(ty, dice), &mut key.bytes);
            if at + 1 >= layout.partition_key.len() {
                key.ends.push(key.bytes.len());
            }
        }
        if layout.kind == TableKind::Rollup {
            key.bytes.extend_from_slice(&dice.pick(&[0_u32, 1, 255, 256]).to_be_bytes());
            key.ends.push(key.bytes.len());
        }
        key
    }

    fn partition(&self) -> &[u8] {
        &self.bytes[..self.ends[0]]
    }

    /// Some of its columns, and all of its partition key.
    fn cut(&self, dice: &mut Dice) -> Vec<u8> {
        self.bytes[..dice.pick(&self.ends)].to_vec()
    }
}
