//! Rows a second and client CPU a row: `cargo run --release -p tidefold-store-scylla --example rates -- 127.0.0.1:9042`.
//!
//! Rows of about 130 bytes in an index of three columns: 50 to a partition key, then each in one of its own. Then shards of
//! rollups, 50 to a partition key: of a count alone, and of a count, a sum, an average, a smallest and a largest number,
//! which show seven columns.
#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not there")]

use std::sync::Arc;

use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, Type, columns};
use tidefold_record::{Offset, Partition};
use tidefold_store::{Lane, Store, Table, TableWrites};
use tidefold_store_scylla::{ScyllaStore, Settings};
use tidefold_table::aggregate::{Aggregate, aggregate};
use tidefold_table::component::Delta;
use tidefold_table::rollup::{Group, shard};
use tidefold_table::{Clustering, Column, RowWrite, Stamp, TableId, TableKind, TableLayout, index};

const ROWS: u64 = 100_000;
/// Rows of one call of `write`.
const CALL: u64 = 5_000;

#[tokio::main]
async fn main() {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    let prefix = format!("rates_{}_", std::process::id());
    let settings = Settings { contact_points: vec![server], keyspace_prefix: prefix, ..Settings::default() };
    let store = ScyllaStore::connect(settings).await.unwrap();
    for (name, together, aggregates) in [
        ("warm", 50, &[][..]),
        ("fifty", 50, &[]),
        ("alone", 1, &[]),
        ("rollup_of_one", 50, &["count"]),
        ("rollup_of_five", 50, &["count", "sum", "avg", "min", "max"]),
    ] {
        let table = table(name, aggregates);
        store.open(std::slice::from_ref(&table)).await.unwrap();
        let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
        let (began, cpu) = (tokio::time::Instant::now(), cpu_millis());
        for first in (0..ROWS).step_by(usize::try_from(CALL).unwrap()) {
            let rows = (first..first + CALL).map(|n| row(&table.layout, n, together)).collect();
            store.write(&lane, &[TableWrites { table: table.id.clone(), rows }]).await.unwrap();
        }
        let (took, cpu) = (began.elapsed(), cpu_millis() - cpu);
        println!(
            "{name}: {together} rows a partition: {:.0} rows/s, {:.1} us of client CPU a row",
            ROWS as f64 / took.as_secs_f64(),
            cpu as f64 * 1_000.0 / ROWS as f64
        );
        store.drop_tables(&[table.id]).await.unwrap();
    }
}

fn table(name: &str, aggregates: &[&str]) -> Table {
    let column = |name: &str, ty: Type| Column { name: name.to_owned(), column: ty.required() };
    let mut columns = vec![column("customer", Type::String), column("placed", Type::TimestampMillis)];
    match aggregates {
        [] => columns.push(column("note", Type::String)),
        names => columns.extend(names.iter().map(|name| column(name, Type::Long))),
    }
    let of = |name: &&str| Aggregate { function: aggregate(name).unwrap(), argument: Some(Type::Long) };
    let layout = TableLayout {
        name: name.to_owned(),
        kind: if aggregates.is_empty() { TableKind::Index } else { TableKind::Rollup },
        columns,
        partition_key: vec![0],
        clustering: vec![Clustering { column: 1, descending: true }],
        bucket: None,
        aggregates: aggregates.iter().map(of).collect(),
    };
    Table { id: TableId::new("rates", name, 1), layout: Arc::new(layout) }
}

fn row(layout: &TableLayout, n: u64, together: u64) -> RowWrite {
    let customer = KeyColumn { ty: Type::String, descending: false };
    let placed = KeyColumn { ty: Type::TimestampMillis, descending: true };
    let mut key = Vec::new();
    ordered::encode(&customer, Datum::Text(&format!("customer-{:08}", n / together)), &mut key);
    ordered::encode(&placed, Datum::Long(i64::try_from(n).unwrap()), &mut key);
    let mut value = Vec::new();
    if layout.kind == TableKind::Rollup {
        key.extend_from_slice(&shard(Partition(7)));
        group(layout, n).encode(&mut value);
    } else {
        value.extend_from_slice(&index::head(Offset(n)));
        let note = Type::String.required();
        columns::encode([&note], &[Datum::Text("forty letters that say nothing whatever!")], &mut value);
    }
    RowWrite { key: key.into(), value: Some(value.into()), stamp: Stamp::put(Offset(n)) }
}

fn group(layout: &TableLayout, n: u64) -> Group {
    let mut group = Group { offset: Offset(n), count: 3, ..Group::empty(layout) };
    let mut datum = Vec::new();
    let number = i64::try_from(n).unwrap();
    columns::encode([&Type::Long.required()], &[Datum::Long(number)], &mut datum);
    for state in &mut group.aggregates {
        state.apply(Delta::Count(3));
        state.apply(Delta::Sum(i128::from(number).into(), 3));
        state.apply(Delta::Extreme(&datum));
    }
    group
}

/// User and system time of this process, in milliseconds; hundredths of a second is what Linux counts.
fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}
