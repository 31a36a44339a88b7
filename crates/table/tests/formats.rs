//! Every format of every kind of row, against bytes that stay as they are: `fixtures/<kind>.<format>.hex`, a row a line, its
//! key and its value. What is written today is the newest format's bytes; what was ever written is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use bumpalo::Bump;
use tidefold_codec::{Datum, Type};
use tidefold_record::{Offset, Partition};
use tidefold_table::aggregate::{Aggregate, aggregate};
use tidefold_table::component::{AggregateState, Delta};
use tidefold_table::control_copy::{self, Copied};
use tidefold_table::entity::{Seen, StateRef, put_head};
use tidefold_table::feed::{FeedEntry, FeedState};
use tidefold_table::index::{self, IndexRef, KeyColumns};
use tidefold_table::rollup::{Group, group_key, shard};
use tidefold_table::verdict::{self, DeadReason};
use tidefold_table::{
    Broken, Checkpoint, Clustering, Column, TableKind, TableLayout, Verdict, checkpoint, distinct,
    exact::Exact,
};

/// A row's key and value.
type Stored = (Vec<u8>, Vec<u8>);

/// A kind of row: the tables', and what is no table.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Table(TableKind),
    Feed,
}

/// The formats of a kind, oldest first, as their fixtures are named. Whoever adds one adds its fixture, and what is written
/// from then on is checked against the last.
fn formats(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Table(TableKind::Entity) => ("entity", &["0"]),
        Kind::Table(TableKind::Index) => ("index", &["0"]),
        Kind::Table(TableKind::Rollup) => ("rollup", &["0"]),
        Kind::Table(TableKind::Verdicts) => ("verdict", &["0"]),
        Kind::Table(TableKind::Checkpoints) => ("checkpoint", &["0"]),
        Kind::Table(TableKind::ControlCopy) => ("control_copy", &["0"]),
        Kind::Feed => ("feed", &["0"]),
    }
}

fn kinds() -> Vec<Kind> {
    TableKind::ALL.into_iter().map(Kind::Table).chain([Kind::Feed]).collect()
}

/// Rows of a kind as they are written today.
fn written(kind: Kind) -> Vec<Stored> {
    match kind {
        Kind::Table(TableKind::Entity) => entities(),
        Kind::Table(TableKind::Index) => indexes(),
        Kind::Table(TableKind::Rollup) => rollups(),
        Kind::Table(TableKind::Verdicts) => {
            let key = |offset: u64| {
                verdict::Key { partition: Partition(3), offset: Offset(offset) }.encode().to_vec()
            };
            verdicts().iter().map(|(offset, row)| (key(*offset), encoded(|out| row.encode(out)))).collect()
        }
        Kind::Table(TableKind::Checkpoints) => vec![
            (checkpoint::key(Partition(0)).to_vec(), Checkpoint::START.encode().to_vec()),
            (checkpoint::key(Partition(258)).to_vec(), folded().encode().to_vec()),
        ],
        Kind::Table(TableKind::ControlCopy) => {
            let row = |at, copied: Copied<'_>| {
                (control_copy::Key(Offset(at)).encode().to_vec(), copied.encode().to_vec())
            };
            vec![row(0, Copied::Entry(ENTRY)), row(1, Copied::Nothing)]
        }
        Kind::Feed => {
            feed().iter().map(|entry| (b"o-1".to_vec(), encoded(|out| entry.encode(out)))).collect()
        }
    }
}

/// Takes a row apart, whatever its format, and makes it anew.
fn read(kind: Kind, (key, value): &Stored) -> Result<Stored, Broken> {
    let (arena, layout) = (Bump::new(), view(kind));
    let columns = KeyColumns::of(&layout);
    Ok(match kind {
        Kind::Table(TableKind::Entity) => {
            let state = StateRef::parse(value)?;
            let mut slots = vec![Datum::Null; 2];
            state.slots(&layout.columns, &mut slots)?;
            let value = encoded(|out| {
                put_head(state.offset, state.version, state.deleted, state.ring, None, out);
                out.extend_from_slice(state.columns);
            });
            (key.clone(), value)
        }
        Kind::Table(TableKind::Index) => {
            let mut slots = vec![Datum::Null; layout.columns.len()];
            columns.slots(key, &arena, &mut slots)?;
            let row = IndexRef::parse(value)?;
            row.slots(&layout, &mut slots)?;
            (key.clone(), [&index::head(row.offset)[..], row.columns].concat())
        }
        Kind::Table(TableKind::Rollup) => {
            columns.values(group_key(key)?, &arena)?;
            let group = Group::decode(&layout, value)?;
            (key.clone(), encoded(|out| group.encode(out)))
        }
        Kind::Table(TableKind::Verdicts) => {
            let row = verdict::Row::decode(value)?;
            (verdict::Key::decode(key)?.encode().to_vec(), encoded(|out| row.encode(out)))
        }
        Kind::Table(TableKind::Checkpoints) => {
            (checkpoint::key(checkpoint::key_of(key)?).to_vec(), Checkpoint::decode(value)?.encode().to_vec())
        }
        Kind::Table(TableKind::ControlCopy) => {
            (control_copy::Key::decode(key)?.encode().to_vec(), Copied::decode(value)?.encode().to_vec())
        }
        Kind::Feed => {
            let entry = FeedEntry::decode(value)?;
            (key.clone(), encoded(|out| entry.encode(out)))
        }
    })
}

// What the rows say.

const ENTRY: &[u8] = br#"{"expects":0,"entry":"any"}"#;

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.to_owned(), column: ty.required() }
}

/// The layout of the fixtures' rows.
fn view(kind: Kind) -> TableLayout {
    let layout = |name: &str, kind| TableLayout::untyped(name.to_owned(), kind);
    match kind {
        Kind::Feed => layout("feed", TableKind::Entity),
        Kind::Table(kind @ (TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy)) => {
            layout("own", kind)
        }
        Kind::Table(kind @ TableKind::Entity) => TableLayout {
            columns: vec![column("order_id", Type::String), column("total", Type::Long)],
            partition_key: vec![0],
            ..layout("orders", kind)
        },
        Kind::Table(kind @ TableKind::Index) => TableLayout {
            columns: vec![
                column("status", Type::String),
                column("customer", Type::String),
                column("placed", Type::TimestampMillis),
            ],
            partition_key: vec![1],
            clustering: vec![Clustering { column: 2, descending: true }],
            ..layout("orders_by_customer", kind)
        },
        Kind::Table(kind @ TableKind::Rollup) => {
            let decimal = Type::Decimal { precision: 38, scale: 2, fixed: None };
            let aggregates = [
                ("count", None),
                ("sum", Some(Type::Long)),
                ("avg", Some(decimal)),
                ("max", Some(Type::String)),
                ("approx_count_distinct", Some(Type::String)),
            ];
            let types = [Type::Long, Type::Long, Type::Double, Type::String, Type::Long];
            let mut columns = vec![column("currency", Type::String), column("day", Type::Date)];
            columns.extend(types.iter().enumerate().map(|(at, ty)| column(&format!("a{at}"), ty.clone())));
            let of = |(name, argument)| Aggregate { function: aggregate(name).unwrap(), argument };
            TableLayout {
                columns,
                partition_key: vec![0],
                clustering: vec![Clustering { column: 1, descending: false }],
                aggregates: aggregates.into_iter().map(of).collect(),
                ..layout("revenue_by_day", kind)
            }
        }
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn key_of(layout: &TableLayout, datums: &[Datum<'_>]) -> Vec<u8> {
    let columns = layout.key_columns().zip(datums);
    encoded(|out| {
        columns.for_each(|((_, column), datum)| tidefold_codec::ordered::encode(&column, *datum, out))
    })
}

fn entities() -> Vec<Stored> {
    let seen = |at: u64| Seen { id: u128::from(at) << 64 | 7, payload: 0x0102 + at, offset: Offset(at) };
    let types = [Type::String.required(), Type::Long.required()];
    let alive = encoded(|out| {
        put_head(Offset(40), 1, false, &[], Some(seen(40)), out);
        tidefold_codec::columns::encode(types.iter(), &[Datum::Text("o-1"), Datum::Long(-7)], out);
    });
    let ring = StateRef::parse(&alive).unwrap().ring.to_vec();
    let deleted = encoded(|out| put_head(Offset(41), 2, true, &ring, Some(seen(41)), out));
    vec![(b"o-1".to_vec(), alive), (b"o-2".to_vec(), deleted)]
}

fn indexes() -> Vec<Stored> {
    let layout = view(Kind::Table(TableKind::Index));
    let key = key_of(&layout, &[Datum::Text("c\0-1"), Datum::Long(1_775_000_000_000)]);
    let mut value = index::head(Offset(40)).to_vec();
    tidefold_codec::columns::encode([&Type::String.required()], &[Datum::Text("paid")], &mut value);
    vec![(key, value)]
}

fn rollups() -> Vec<Stored> {
    let layout = view(Kind::Table(TableKind::Rollup));
    let key = |day| {
        let mut key = key_of(&layout, &[Datum::Text("EUR"), Datum::Long(day)]);
        key.extend_from_slice(&shard(Partition(2)));
        key
    };
    let value = |group: &Group| encoded(|out| group.encode(out));
    let mut full = Group { offset: Offset(41), count: 2, ..Group::empty(&layout) };
    let name = encoded(|out| {
        tidefold_codec::columns::encode([&Type::String.required()], &[Datum::Text("zoe")], out);
    });
    // More than 127 bits: the sum's own form.
    let wide = Exact::from(i128::MAX).plus(1.into());
    let deltas = [
        Delta::Count(2),
        Delta::Sum((-1_999).into(), 2),
        Delta::Sum(wide, 2),
        Delta::Extreme(&name),
        Delta::Distinct(distinct::hash(b"zoe")),
    ];
    full.aggregates.iter_mut().zip(deltas).for_each(|(state, delta)| AggregateState::apply(state, delta));
    vec![(key(20_000), value(&full)), (key(20_001), value(&Group::empty(&layout)))]
}

fn verdicts() -> Vec<(u64, verdict::Row)> {
    let dead = DeadReason { code: "undecodable".into(), detail: "byte 7 \u{e9}".into() };
    let row = |verdict| verdict::Row { verdict };
    vec![
        (0, row(Verdict::Rejected(vec!["not_payable".into(), "too_late".into()]))),
        (1, row(Verdict::Duplicate(Offset(258)))),
        (1 << 40, row(Verdict::Dead(dead))),
    ]
}

fn folded() -> Checkpoint {
    Checkpoint {
        next: Offset(1 << 33),
        last: Offset(4_000),
        digest: 0x0123_4567_89ab_cdef,
        appended_at_micros: 1_775_000_000_123_456,
    }
}

fn feed() -> Vec<FeedEntry<'static>> {
    let old = FeedState { version: 1, columns: b"\x06o-1\x0d" };
    let new = FeedState { version: 2, columns: b"\x06o-1\x0f" };
    let entry = FeedEntry {
        offset: Offset(40),
        generation: 3,
        verdict: Verdict::Applied,
        message: Some(b"\0\0\0\0\x07\x06o-1"),
        old: Some(old),
        new: Some(new),
    };
    let dead = DeadReason { code: "no_value".into(), detail: String::new() };
    vec![
        FeedEntry { old: None, ..entry.clone() },
        entry,
        FeedEntry {
            offset: Offset(41),
            generation: 3,
            verdict: Verdict::Dead(dead),
            message: None,
            old: Some(new),
            new: Some(new),
        },
    ]
}

// The fixtures.

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn text(rows: &[Stored]) -> String {
    rows.iter().map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect()
}

fn fixture(name: &str, format: &str) -> Vec<Stored> {
    let file = folder().join(format!("{name}.{format}.hex"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let row = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (bytes(key), bytes(value))
    };
    text.lines().map(row).collect()
}

#[test]
fn what_is_written_today_is_the_newest_formats_fixture_to_the_byte() {
    for kind in kinds() {
        let (name, formats) = formats(kind);
        let rows = written(kind);
        assert_eq!(text(&rows), text(&fixture(name, formats.last().unwrap())), "{name}");
        for row in &rows {
            assert_eq!(read(kind, row).as_ref(), Ok(row), "{name} {}", hex(&row.0));
        }
    }
}

#[test]
fn what_was_ever_written_is_read() {
    for kind in kinds() {
        let (name, formats) = formats(kind);
        for format in formats {
            for row in fixture(name, format) {
                read(kind, &row).unwrap_or_else(|broken| panic!("{name}.{format} {}: {broken}", hex(&row.0)));
            }
        }
    }
}

#[test]
fn there_is_a_fixture_of_every_format_and_no_other() {
    let named = |kind| {
        let (name, formats) = formats(kind);
        formats.iter().map(move |format| format!("{name}.{format}.hex"))
    };
    let wanted: BTreeSet<String> = kinds().into_iter().flat_map(named).collect();
    let there = std::fs::read_dir(folder()).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, wanted);
}

/// Every first byte that is read as a format has to be one that has a fixture.
#[test]
fn a_format_that_has_no_fixture_is_refused_as_a_later_versions() {
    for kind in kinds() {
        let (name, formats) = formats(kind);
        let (key, value) = written(kind).remove(0);
        for first in 0..=u8::MAX {
            let (format, low) = match kind {
                Kind::Table(TableKind::Verdicts) => (first >> 4, value[0] & 0x0f),
                _ => (first, 0),
            };
            let is_text = first >= 0x20 || matches!(first, b'\t' | b'\n' | b'\r');
            let is_known = match kind {
                Kind::Table(TableKind::ControlCopy) if is_text => true,
                _ => formats.contains(&format.to_string().as_str()),
            };
            let patched = match kind {
                Kind::Table(TableKind::Verdicts) => format << 4 | low,
                _ => first,
            };
            let found = read(kind, &(key.clone(), [&[patched], &value[1..]].concat()));
            let is_newer = matches!(found, Err(Broken::Newer { format: said, .. }) if said == format);
            assert_eq!(is_newer, !is_known, "{name}: first byte {first}: {found:?}");
        }
        let newer = Broken::Newer { format: 9, newest: 0 }.of(&"shop.orders_g1", "key o-1".into());
        assert!(newer.remedy.contains("newer version"), "{newer}");
    }
}

#[test]
fn a_row_cut_anywhere_or_with_more_behind_it_is_broken() {
    for kind in kinds() {
        for (key, value) in written(kind) {
            if matches!(kind, Kind::Table(TableKind::ControlCopy)) && value.len() > 1 {
                continue; // Text of others: control says whether it is an entry.
            }
            let whole = [value.clone(), vec![0]].concat();
            let shorter = (0..value.len()).map(|len| value[..len].to_vec());
            for broken in shorter.filter(|bytes| !(bytes.is_empty() && value.len() == 1)).chain([whole]) {
                let found = read(kind, &(key.clone(), broken.clone()));
                assert!(found.is_err(), "{kind:?} {} {}", hex(&key), hex(&broken));
            }
        }
    }
}

#[test]
fn a_key_is_printed_as_its_columns() {
    let text = |kind: TableKind, row: &Stored| view(Kind::Table(kind)).key_text(&row.0);
    let said: Vec<String> = TableKind::ALL
        .into_iter()
        .map(|kind| text(kind, written(Kind::Table(kind)).last().unwrap()))
        .collect();
    let wanted = [
        "key o-2",
        "customer=c\\0-1, placed=2026-03-31T23:33:20Z",
        "currency=EUR, day=2024-10-05, shard 2",
        "partition 3, offset 1099511627776",
        "partition 258",
        "offset 1",
    ];
    assert_eq!(said, wanted);
    assert_eq!(text(TableKind::Index, &(vec![1, 2], vec![])), "key 0x0102");
}
