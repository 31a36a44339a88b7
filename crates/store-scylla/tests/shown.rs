//! What tools are shown of a rollup: typed columns beside the bytes that are the row.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails where something is not there"
)]

mod cql;

use std::sync::Arc;

use bytes::Bytes;
use tidefold_codec::ordered;
use tidefold_codec::{Datum, Type, columns};
use tidefold_record::{Offset, Partition};
use tidefold_store::contract::{Harness, group, lane, table};
use tidefold_store::{Scan, Store, StoreError, Table, TableWrites};
use tidefold_store_scylla::ScyllaStore;
use tidefold_table::aggregate::{Aggregate, aggregate};
use tidefold_table::component::Delta;
use tidefold_table::exact::Exact;
use tidefold_table::rollup::{Group, shard};
use tidefold_table::{Column, RowWrite, Stamp, TableId, TableKind, TableLayout};

use crate::cql::Cql;

/// An aggregate, the type of its argument, its component's bytes, a change of it, and what a tool sees.
type Case<'a> = (&'a str, Option<Type>, Vec<u8>, Option<Delta<'a>>, &'a str);

/// A group of one text column, and these aggregates.
fn rollup(aggregates: &[(&str, Option<Type>)]) -> Table {
    let mut layout = TableLayout::untyped("groups".to_owned(), TableKind::Rollup);
    layout.columns.push(Column { name: "place".to_owned(), column: Type::String.required() });
    layout.partition_key.push(0);
    for (at, (name, argument)) in aggregates.iter().enumerate() {
        layout.columns.push(Column { name: format!("c{at}"), column: Type::Long.nullable() });
        let function = aggregate(name).expect("is one");
        layout.aggregates.push(Aggregate { function, argument: argument.clone() });
    }
    Table { id: TableId::new("contract", "groups", 1), layout: Arc::new(layout) }
}

/// A shard that each component has taken one change in.
fn row(table: &Table, place: &str, deltas: &[Delta<'_>]) -> RowWrite {
    let mut group = Group { offset: Offset(4), count: 2, ..Group::empty(&table.layout) };
    group.aggregates.iter_mut().zip(deltas).for_each(|(state, delta)| state.apply(*delta));
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for (_, column) in table.layout.key_columns() {
        ordered::encode(&column, Datum::Text(place), &mut key);
    }
    key.extend_from_slice(&shard(Partition(3)));
    group.encode(&mut value);
    RowWrite { key: key.into(), value: Some(value.into()), stamp: Stamp::put(Offset(4)) }
}

fn datum(ty: &Type, datum: Datum<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    columns::encode([&ty.clone().required()], &[datum], &mut out);
    out
}

async fn write(store: &dyn Store, table: &Table, rows: Vec<RowWrite>) {
    let writes = [TableWrites { table: table.id.clone(), rows }];
    store.write(&lane(0), &writes).await.expect("writes");
}

/// The ends of every type that has a column, and what has no place in one.
fn ends() -> Vec<Case<'static>> {
    let (first, last) = (-719_162_i64, 2_932_896_i64);
    let day = 86_400_000;
    let decimal = Type::Decimal { precision: 38, scale: 2, fixed: None };
    let most = 10_i128.pow(38) - 1;
    let (wide, negative) = (Exact::from_parts(0, 1), Exact::from_parts(i128::MIN, -1));
    vec![
        ("min", Some(Type::Date), datum(&Type::Date, Datum::Long(first)), None, r#""0001-01-01""#),
        ("max", Some(Type::Date), datum(&Type::Date, Datum::Long(last)), None, r#""9999-12-31""#),
        (
            "min",
            Some(Type::TimestampMillis),
            datum(&Type::TimestampMillis, Datum::Long(first * day)),
            None,
            r#""0001-01-01 00:00:00.000Z""#,
        ),
        (
            "max",
            Some(Type::TimestampMillis),
            datum(&Type::TimestampMillis, Datum::Long((last + 1) * day - 1)),
            None,
            r#""9999-12-31 23:59:59.999Z""#,
        ),
        (
            "max",
            Some(decimal.clone()),
            datum(&decimal, Datum::Decimal(most)),
            None,
            "999999999999999999999999999999999999.99",
        ),
        (
            "min",
            Some(decimal.clone()),
            datum(&decimal, Datum::Decimal(-most)),
            None,
            "-999999999999999999999999999999999999.99",
        ),
        (
            "max",
            Some(Type::Double),
            datum(&Type::Double, Datum::Double(f64::MAX)),
            None,
            "1.7976931348623157E308",
        ),
        ("min", Some(Type::Double), datum(&Type::Double, Datum::Double(f64::NAN)), None, "null"),
        ("min", Some(Type::String), datum(&Type::String, Datum::Text("")), None, r#""""#),
        ("max", Some(Type::TimeMicros), datum(&Type::TimeMicros, Datum::Long(-1)), None, "null"),
        (
            "sum",
            Some(Type::Long),
            vec![],
            Some(Delta::Sum(wide, 2)),
            "340282366920938463463374607431768211456",
        ),
        (
            "sum",
            Some(decimal.clone()),
            vec![],
            Some(Delta::Sum(negative, 2)),
            "-1701411834604692317316873037158841057.28",
        ),
        ("sum", Some(Type::Int), vec![], Some(Delta::Nothing), "null"),
        ("count", None, vec![], Some(Delta::Count(i64::MAX)), "9223372036854775807"),
    ]
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn values_at_the_ends_of_their_types_are_shown_as_they_are() {
    let cases = ends();
    let aggregates: Vec<_> = cases.iter().map(|(name, argument, ..)| (*name, argument.clone())).collect();
    let table = rollup(&aggregates);
    let cql = Cql::new();
    let store = cql.store();
    store.open(std::slice::from_ref(&table)).await.expect("opens");
    let deltas: Vec<Delta<'_>> =
        cases.iter().map(|(_, _, datum, delta, _)| delta.unwrap_or(Delta::Extreme(datum))).collect();
    let written = row(&table, "a", &deltas);
    write(&*store, &table, vec![written.clone()]).await;
    for (at, (name, argument, _, _, wanted)) in cases.iter().enumerate() {
        let shown = cql.json(&format!("SELECT JSON c{at} FROM KS.groups_g1"));
        assert_eq!(shown, [format!(r#"{{"c{at}": {wanted}}}"#)], "{name} of {argument:?}");
    }
    // None of it is what the row is read from.
    assert_eq!(store.load(&table.id, std::slice::from_ref(&written.key)).await, Ok(vec![written.value]));
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollup_that_an_earlier_version_made_gets_its_columns_and_keeps_its_rows() {
    let cql = Cql::new();
    let (ours, groups) = (cql.store(), table("groups", TableKind::Rollup));
    ours.open(&[table("orders", TableKind::Entity)]).await.expect("makes the keyspace");
    let (old, next) = (group("a1", "old", 3), group("a1", "next", 5));
    let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let value = hex(old.value.as_ref().expect("a put"));
    cql.by_hand(&[
        r#"CREATE TABLE KS.groups_g1 (place text, item text, "_shard" int, "_offset" bigint, "_value" blob,
            PRIMARY KEY ((place), item, "_shard")) WITH CLUSTERING ORDER BY (item ASC, "_shard" ASC)
            AND compaction = {'class': 'LeveledCompactionStrategy'} AND gc_grace_seconds = 864000"#,
        &format!(
            r#"INSERT INTO KS.groups_g1 (place, item, "_shard", "_offset", "_value") VALUES ('a', '1', 1, 0, 0x{value})
                USING TIMESTAMP 3"#
        ),
    ]);
    let other = ScyllaStore::connect(cql.settings()).await.expect("connects");
    let tables = std::slice::from_ref(&groups);
    let opened = tokio::join!(ours.open(tables), other.open(tables));
    assert_eq!(opened, (Ok(()), Ok(())));
    // A null `_count` says that the row was written before there was one.
    let asked = r#"SELECT JSON "_count", words FROM KS.groups_g1"#;
    assert_eq!(cql.json(asked), [r#"{"_count": null, "words": null}"#]);
    let all = Scan::All { after: None, limit: 9 };
    let rows = ours.scan(&groups.id, &all).await.expect("scans");
    assert_eq!(rows.iter().map(|row| Some(row.value.clone())).collect::<Vec<_>>(), [old.value]);
    write(&*ours, &groups, vec![next.clone()]).await;
    assert_eq!(cql.json(asked), [r#"{"_count": 1, "words": "next"}"#]);
    // A process of the earlier version writes on: the row is what its bytes say, and its columns tell by their time.
    let last = group("a1", "last", 7);
    let value = hex(last.value.as_ref().expect("a put"));
    cql.by_hand(&[&format!(
        r#"INSERT INTO KS.groups_g1 (place, item, "_shard", "_offset", "_value") VALUES ('a', '1', 1, 2, 0x{value})
            USING TIMESTAMP 7"#
    )]);
    let rows = ours.scan(&groups.id, &all).await.expect("scans");
    assert_eq!(rows.iter().map(|row| Some(row.value.clone())).collect::<Vec<_>>(), [last.value]);
    let times =
        cql.json(r#"SELECT JSON writetime("_count") AS c, writetime("_value") AS v FROM KS.groups_g1"#);
    assert_eq!(times, [r#"{"c": 5, "v": 7}"#]);
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn a_shown_column_that_somebody_else_wrote_is_damage_to_whoever_reads_all() {
    let cql = Cql::new();
    let (store, groups) = (cql.store(), table("groups", TableKind::Rollup));
    store.open(std::slice::from_ref(&groups)).await.expect("opens");
    write(&*store, &groups, vec![group("a1", "ours", 3)]).await;
    cql.by_hand(&[
        r#"UPDATE KS.groups_g1 SET words = 'theirs' WHERE place = 'a' AND item = '1' AND "_shard" = 1"#,
    ]);
    let found = store.scan(&groups.id, &Scan::All { after: None, limit: 9 }).await;
    let Err(StoreError::Damaged(damaged)) = found else { panic!("{found:?}") };
    assert_eq!(damaged.key, "place=a, item=1, shard 1");
}
