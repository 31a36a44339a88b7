//! How fast the embedded store is: `cargo run --release -p tidefold-store-embedded --example write_rate [FOLDER]`.
//!
//! Prints rows per second of one lane's upserts of 150-byte rows, of hot rollups, of an index's moves (puts, then
//! deletes), of point gets and of scans, and what the process's memory is.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement: it takes time, and it may fail"
)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use tidefold_store::{Lane, Scan, Store, Table, TableWrites};
use tidefold_store_embedded::{EmbeddedStore, Settings};
use tidefold_table::{RowWrite, Stamp, TableId, TableKind, TableLayout};

const KEYS: u64 = 1_000_000;
const BATCH: u64 = 1_000;
const VALUE: [u8; 150] = [0xA5; 150];

struct Bench {
    store: EmbeddedStore,
    lane: Lane,
    offset: u64,
}

fn main() {
    let made = tempfile::TempDir::new().unwrap();
    let folder = std::env::args().nth(1).map_or(made.path().to_owned(), Into::into);
    let store = EmbeddedStore::open(folder, Settings::default()).unwrap();
    let lane = Lane { checkpoints: TableId::new("bench", "checkpoints", 1), partition: 0 };
    let mut bench = Bench { store, lane, offset: 0 };
    let entities = bench.table("entities", TableKind::Entity);
    let rollups = bench.table("rollups", TableKind::Rollup);
    let index = bench.table("index", TableKind::Index);
    let checkpoints = bench.table("checkpoints", TableKind::Checkpoints);

    bench.upserts("insert, rising keys", &entities, KEYS, |n| n);
    bench.upserts("upsert, random keys", &entities, KEYS, |n| random(n) % KEYS);
    bench.upserts("upsert, 1,000 hot groups", &rollups, KEYS, |n| n % 1_000);
    bench.moves(&index, &checkpoints);
    bench.gets("get, random keys", &entities, 500_000, |n| random(n + 7) % KEYS);
    bench.gets("get, 10,000 hot keys", &entities, 1_000_000, |n| random(n) % 10_000);
    bench.gets("get, a checkpoint", &checkpoints, 1_000_000, |_| 0);
    bench.scans(&entities);
    println!("memory {:>26}", memory());
    let started = Instant::now();
    let folder = bench.store.folder().to_owned();
    drop(bench);
    println!("close {:>23.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let again = EmbeddedStore::open(folder, Settings::default()).unwrap();
    println!("open {:>24.0} ms", started.elapsed().as_secs_f64() * 1e3);
    drop(again);
}

impl Bench {
    fn table(&self, name: &str, kind: TableKind) -> TableId {
        let layout = TableLayout {
            name: name.to_owned(),
            kind,
            columns: Vec::new(),
            partition_key: Vec::new(),
            clustering: Vec::new(),
            bucket: None,
            aggregates: vec![],
        };
        let table = Table { id: TableId::new("bench", name, 1), layout: Arc::new(layout) };
        now(self.store.open(std::slice::from_ref(&table)));
        table.id
    }

    fn next(&mut self) -> u64 {
        self.offset += 1;
        self.offset
    }

    fn upserts(&mut self, what: &str, table: &TableId, rows: u64, key: impl Fn(u64) -> u64) {
        let mut spent = 0.0;
        for batch in 0..rows / BATCH {
            let writes = (0..BATCH).map(|n| put(key(batch * BATCH + n), self.next())).collect();
            spent += self.write(table, writes);
        }
        report(what, rows, spent);
    }

    /// An index row under its old key goes, one under its new key comes, a hundred thousand times.
    fn moves(&mut self, index: &TableId, checkpoints: &TableId) {
        let (rows, mut spent) = (200_000, 0.0);
        for batch in 0..rows / BATCH {
            let offsets: Vec<u64> = (0..BATCH).map(|_| self.next()).collect();
            let key = |n: usize| (random(n as u64 + batch * BATCH) % 100) << 40 | (batch * BATCH + n as u64);
            let puts = offsets.iter().enumerate().map(|(n, offset)| put(key(n), *offset)).collect();
            let delete = |(n, offset): (usize, &u64)| RowWrite {
                key: Bytes::copy_from_slice(&key(n).saturating_sub(BATCH).to_be_bytes()),
                value: None,
                stamp: Stamp(2 * offset),
            };
            let deletes = offsets.iter().enumerate().map(delete).collect();
            spent += self.write(index, puts);
            spent += self.write(index, deletes);
            let next = self.next();
            spent += self.write(checkpoints, vec![put(0, next)]);
        }
        report("index put and delete", 2 * rows, spent);
    }

    fn write(&self, table: &TableId, rows: Vec<RowWrite>) -> f64 {
        let writes = [TableWrites { table: table.clone(), rows }];
        let started = Instant::now();
        now(self.store.write(&self.lane, &writes));
        started.elapsed().as_secs_f64()
    }

    fn gets(&self, what: &str, table: &TableId, gets: u64, key: impl Fn(u64) -> u64) {
        let mut spent = 0.0;
        for n in 0..gets {
            let keys = [Bytes::copy_from_slice(&key(n).to_be_bytes())];
            let started = Instant::now();
            assert!(now(self.store.load(table, &keys)).first().is_some_and(Option::is_some));
            spent += started.elapsed().as_secs_f64();
        }
        report(what, gets, spent);
    }

    fn scans(&self, table: &TableId) {
        let started = Instant::now();
        let (mut rows, mut after) = (0, None);
        loop {
            let page = now(self.store.scan(table, &Scan::All { after, limit: 1_000 }));
            rows += page.len() as u64;
            match page.last() {
                Some(row) => after = Some(row.key.clone()),
                None => break,
            }
        }
        report("scan, pages of 1,000", rows, started.elapsed().as_secs_f64());
        let (started, scans) = (Instant::now(), 50_000);
        for n in 0..scans {
            let from = Bytes::copy_from_slice(&(random(n) % KEYS).to_be_bytes());
            let prefix = TableLayout::untyped(String::new(), TableKind::Index).prefix(Bytes::new()).unwrap();
            let scan = Scan::Range { prefix, from: Some(from), until: None, limit: 20 };
            assert!(!now(self.store.scan(table, &scan)).is_empty());
        }
        report("scan of 20 rows", scans, started.elapsed().as_secs_f64());
    }
}

fn put(key: u64, offset: u64) -> RowWrite {
    let value = Some(Bytes::from_static(&VALUE));
    RowWrite { key: Bytes::copy_from_slice(&key.to_be_bytes()), value, stamp: Stamp(2 * offset + 1) }
}

/// The embedded store does what it is asked within the first poll.
fn now<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    future.now_or_never().unwrap().unwrap()
}

fn random(n: u64) -> u64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

fn report(what: &str, rows: u64, seconds: f64) {
    let each = seconds * 1e9 / rows as f64;
    println!("{what:<26} {:>9.0} a second {each:>7.0} ns each", rows as f64 / seconds);
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.unwrap_or("unknown").trim().to_owned()
}
