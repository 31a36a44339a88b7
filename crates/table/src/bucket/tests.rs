//! Where rows of split partitions lie.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use proptest::prelude::*;
use tidefold_codec::Datum;

use super::*;
use crate::layout::{Clustering, Column, TableKind, UNITS};

fn layout(bucket: Bucket, ty: Type, descending: bool) -> TableLayout {
    let column = |name: &str, ty: Type| Column { name: name.into(), column: ty.required() };
    TableLayout {
        name: "seen".into(),
        kind: TableKind::Index,
        columns: vec![column("who", Type::String), column("at", ty), column("id", Type::String)],
        partition_key: vec![0],
        clustering: vec![Clustering { column: 1, descending }, Clustering { column: 2, descending: false }],
        bucket: Some(bucket),
        aggregates: vec![],
    }
}

fn bytes(layout: &TableLayout, at: i64) -> Vec<u8> {
    let (_, column) = layout.key_columns().nth(1).unwrap();
    let mut out = Vec::new();
    ordered::encode(&column, Datum::Long(at), &mut out);
    out
}

/// 2026-03-31T23:30:00Z.
const MOMENT: i64 = 1_775_000_000_000 - 1_775_000_000_000 % 86_400_000 + 84_600_000;

#[test]
fn the_bucket_stands_between_partition_key_and_clustering() {
    let layout = layout(Bucket::Hash { buckets: 8 }, Type::TimestampMillis, true);
    let kinds: Vec<_> = layout.stored_key_columns().collect();
    assert!(matches!(
        kinds.as_slice(),
        [
            StoredColumn::Column(0, _),
            StoredColumn::Bucket(KeyColumn { ty: Type::Int, descending: false }),
            StoredColumn::Column(1, _),
            StoredColumn::Column(2, _)
        ]
    ));
    let mut stored = Vec::new();
    let (_, who) = layout.key_columns().next().unwrap();
    ordered::encode(&who, Datum::Text("a\0b"), &mut stored);
    let at = stored.len();
    let clustering = [&bytes(&layout, MOMENT)[..], b"id\0\0"].concat();
    let logical = [&stored[..], &clustering].concat();
    stored.extend_from_slice(&layout.bucketing().unwrap().of(&clustering));
    stored.extend_from_slice(&clustering);
    assert_eq!(layout.without_bucket(&stored).unwrap(), logical);
    assert_eq!(cut_bucket(&stored, at).unwrap(), logical);
    assert!(layout.without_bucket(&stored[..at + 3]).is_err());
}

#[test]
fn a_range_of_too_many_buckets_is_none() {
    let layout = layout(Bucket::Trunc { unit: TruncUnit::Day }, Type::TimestampMillis, false);
    let bucketing = layout.bucketing().unwrap();
    let day = 86_400_000;
    assert_eq!(bucketing.between(MOMENT, MOMENT + 3 * day, 4).unwrap().len(), 4);
    assert_eq!(bucketing.between(MOMENT, MOMENT + 3 * day, 3), None);
    assert_eq!(bucketing.between(MOMENT, MOMENT - 2 * day, 3), Some(vec![]));
    assert_eq!(bucketing.between(i64::MIN, i64::MAX, 1_000), None);
}

proptest! {
    #[test]
    fn buckets_by_time_sort_as_their_rows_and_cover_every_range(
        low in -60_000_000_000_000_i64..200_000_000_000_000,
        span in 0_i64..40_000_000_000,
        share in 0.0_f64..1.0,
        unit in prop::sample::select(UNITS.map(|(_, unit)| unit).to_vec()),
        descending: bool,
    ) {
        let layout = layout(Bucket::Trunc { unit }, Type::TimestampMillis, descending);
        let bucketing = layout.bucketing().unwrap();
        let buckets = bucketing.between(low, low + span, 20_000).unwrap();
        let value = low + (span as f64 * share) as i64;
        prop_assert!(buckets.contains(&bucketing.of(&bytes(&layout, value))));
        prop_assert!(buckets.is_sorted_by(|a, b| a < b));
        let ends = [low, low + span].map(|end| bucketing.of(&bytes(&layout, end)));
        prop_assert!(buckets.iter().all(|b| ends.iter().min() <= Some(b) && Some(b) <= ends.iter().max()));
        prop_assert!(ends.iter().all(|end| buckets.contains(end)));
    }

    #[test]
    fn buckets_of_a_hash_are_all_there_are(at: i64, buckets in 2_u32..1_025) {
        let layout = layout(Bucket::Hash { buckets }, Type::Long, false);
        let bucketing = layout.bucketing().unwrap();
        let all = bucketing.all();
        prop_assert_eq!(all.len(), buckets as usize);
        prop_assert!(all.contains(&bucketing.of(&bytes(&layout, at))));
    }
}
