//! The store on a CQL server: ScyllaDB or Apache Cassandra, through one driver.
//!
//! An app has a keyspace, a table of ours a table there; see the table in `shape` for their columns. Stamps are CQL's own
//! timestamps, so the server itself keeps of two writes the one with the larger stamp: `USING TIMESTAMP 2*(offset+1)+kind`
//! stands on every put and delete. It deliberately uses no transaction, no lightweight transaction, no TTL, no collection,
//! no counter and no change capture: none of them keeps a stamp of ours.
//!
//! What a server has to grant, and what is checked: its tables are as this crate makes them ([`ScyllaStore::open`] refuses a
//! table that somebody altered, and says how), timestamps of a client are allowed (a row is written, read and deleted in
//! each keyspace at start), and only we write (a row whose WRITETIME is not its own stamp is [`StoreError::Damaged`]).
//!
//! A deleted row is a tombstone with its stamp and is forgotten `gc_grace_seconds` after it was written: ten days. A put
//! older than the delete that arrives later than that would bring the row back. Nothing of ours is that late: a checkpoint
//! passes a delete only after every put before it was acknowledged, and a rebuild goes to tables of its own. What is left
//! is the cluster's part: hints must be kept for less than ten days and repairs run within them, as for any CQL table.
//!
//! TLS ([`Tls`]) is the feature `tls`; a node's certificate has to name the node's IP address unless it is told not to.
//!
//! To read it: [`ScyllaStore`] finds the table; `connect` makes the session, `schema` makes and checks tables, `shape` says
//! how keys lie in columns and `typed` how values do, `statements` is a table's CQL, `write` groups rows into batches, `read`
//! loads and scans, `segments` turns a range of key bytes into ranges of columns, `retry` tells
//! of requests that the driver sends again, `error` sorts what the driver says.

mod cells;
mod connect;
mod error;
mod read;
mod retry;
mod schema;
mod segments;
mod settings;
mod shape;
mod statements;
mod tls;
mod typed;
mod write;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidefold_store::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};
use tidefold_table::{Row, TableId, TableKind};
use tokio::sync::{Mutex, watch};

use crate::connect::Server;
use crate::error::refused;
use crate::statements::OpenTable;

pub use crate::settings::{Settings, Tls};

/// The store on a CQL server.
pub struct ScyllaStore {
    server: Server,
    tables: RwLock<AHashMap<TableId, Arc<OpenTable>>>,
    /// Keyspaces that have proved that we can write there. One after the other: a probe's row is the session's.
    probed: Mutex<AHashSet<String>>,
    moved: watch::Sender<u64>,
}

// === impl ScyllaStore ===

impl ScyllaStore {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// `Unavailable` when no node answers within the time, `Refused` when the settings do not fit the cluster.
    pub async fn connect(settings: Settings) -> Result<ScyllaStore, StoreError> {
        Ok(ScyllaStore {
            server: Server::connect(settings).await?,
            tables: RwLock::default(),
            probed: Mutex::default(),
            moved: watch::Sender::new(0),
        })
    }

    fn find(&self, table: &TableId, to: &str) -> Result<Arc<OpenTable>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).cloned().ok_or_else(|| {
            refused(format!("{to} table {table}"), "it was not opened; open it with its layout first")
        })
    }

    async fn open_table(&self, table: &Table) -> Result<(), StoreError> {
        let keyspace = self.server.keyspace(&table.id)?;
        let mut probed = self.probed.lock().await;
        if !probed.contains(&keyspace) {
            self.server.open_keyspace(&keyspace).await?;
            probed.insert(keyspace);
        }
        drop(probed);
        let opened = Arc::new(self.server.open_table(table).await?);
        self.tables.write().unwrap_or_else(PoisonError::into_inner).insert(table.id.clone(), opened);
        Ok(())
    }

    async fn write_all(&self, writes: &[TableWrites]) -> Result<(), StoreError> {
        let tables: Vec<Arc<OpenTable>> =
            writes.iter().map(|part| self.find(&part.table, "to write to")).collect::<Result<_, _>>()?;
        self.server.write(&tables, writes).await?;
        let checkpoints = tables
            .iter()
            .zip(writes)
            .any(|(table, part)| table.shape.kind == TableKind::Checkpoints && !part.rows.is_empty());
        if checkpoints {
            self.moved.send_modify(|moved| *moved = moved.wrapping_add(1));
        }
        Ok(())
    }
}

impl Store for ScyllaStore {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            for table in tables {
                self.open_table(table).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move { self.server.load(&*self.find(table, "to read")?, keys).await }.boxed()
    }

    fn write<'a>(
        &'a self,
        _lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write_all(writes).boxed()
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move { self.server.scan(&*self.find(table, "to read")?, scan).await }.boxed()
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            for table in tables {
                self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(table);
                self.server.drop_table(table).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn checkpoints_moved(&self) -> Moves {
        Moves { times: self.moved.subscribe(), are_all: false }
    }
}

impl fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaStore").field("settings", &self.server.settings).finish_non_exhaustive()
    }
}
