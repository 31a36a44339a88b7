//! Rows a second and client CPU a row: `cargo run --release -p tidefold-store-scylla --example rates -- 127.0.0.1:9042`.
//!
//! Rows of about 130 bytes in an index of three columns: 50 to a partition key, then each in one of its own.
#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not there")]

use std::sync::Arc;

use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, Type, columns};
use tidefold_record::Offset;
use tidefold_store::{Lane, Store, Table, TableWrites};
use tidefold_store_scylla::{ScyllaStore, Settings};
use tidefold_table::{Clustering, Column, RowWrite, Stamp, TableId, TableKind, TableLayout};

const ROWS: u64 = 100_000;
/// Rows of one call of `write`.
const CALL: u64 = 5_000;

#[tokio::main]
async fn main() {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    let prefix = format!("rates_{}_", std::process::id());
    let settings = Settings { contact_points: vec![server], keyspace_prefix: prefix, ..Settings::default() };
    let store = ScyllaStore::connect(settings).await.unwrap();
    for (name, together) in [("warm", 50), ("fifty", 50), ("alone", 1)] {
        let table = table(name);
        store.open(std::slice::from_ref(&table)).await.unwrap();
        let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
        let (began, cpu) = (tokio::time::Instant::now(), cpu_millis());
        for first in (0..ROWS).step_by(usize::try_from(CALL).unwrap()) {
            let rows = (first..first + CALL).map(|n| row(n, together)).collect();
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

fn table(name: &str) -> Table {
    let column = |name: &str, ty: Type| Column { name: name.to_owned(), column: ty.required() };
    let columns = vec![
        column("customer", Type::String),
        column("placed", Type::TimestampMillis),
        column("note", Type::String),
    ];
    let layout = TableLayout {
        name: name.to_owned(),
        kind: TableKind::Index,
        columns,
        partition_key: vec![0],
        clustering: vec![Clustering { column: 1, descending: true }],
        bucket: None,
        aggregates: vec![],
    };
    Table { id: TableId::new("rates", name, 1), layout: Arc::new(layout) }
}

fn row(n: u64, together: u64) -> RowWrite {
    let customer = KeyColumn { ty: Type::String, descending: false };
    let placed = KeyColumn { ty: Type::TimestampMillis, descending: true };
    let mut key = Vec::new();
    ordered::encode(&customer, Datum::Text(&format!("customer-{:08}", n / together)), &mut key);
    ordered::encode(&placed, Datum::Long(i64::try_from(n).unwrap()), &mut key);
    let mut value = n.to_be_bytes().to_vec();
    let note = Type::String.required();
    columns::encode([&note], &[Datum::Text("forty letters that say nothing whatever!")], &mut value);
    RowWrite { key: key.into(), value: Some(value.into()), stamp: Stamp::put(Offset(n)) }
}

/// User and system time of this process, in milliseconds; hundredths of a second is what Linux counts.
fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}
