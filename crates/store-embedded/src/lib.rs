//! The embedded store: tables in one folder of this machine, kept by fjall.
//!
//! ```text
//!  folder/lock            held by the process that has the store
//!  folder/rows/format     version, the folder's id, whose rows these are
//!  folder/rows/closed     the files as the last process left them in good order; gone while the store is open
//!  folder/rows/fjall/     one database, one keyspace a table
//! ```
//!
//! It deliberately does not sync each write: the log is the truth, and a loss of power takes a suffix of the writes, as
//! the contract allows. All tables share one journal and a call of `write` is one entry of it, so what survives is a
//! prefix of the calls; a process that is killed loses nothing acknowledged. fjall syncs the journal whenever it flushes
//! a table's memory, the operating system whenever it likes, closing the store in good order; [`Settings::fsync`]
//! asks for more.
//!
//! To read it: [`EmbeddedStore`] does nothing but find the table; `folder` is opening and closing, `write` settles stamps
//! (why most rows are put without a look at what is there stands in `lanes`), `read` loads and scans, `row` is a row as
//! fjall has it, `forget` drops deletes that no record can contradict any more.

mod error;
mod folder;
mod forget;
mod lanes;
mod read;
mod row;
mod settings;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, PersistMode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidefold_embedded_files::Marks;
use tidefold_store::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};
use tidefold_table::{Row, TableId};
use tokio::sync::watch;

pub use crate::error::OpenError;
use crate::folder::Folder;
use crate::lanes::Lanes;
pub use crate::settings::Settings;
use crate::tables::Tables;

/// How many rows a load reads before other tasks of the runtime get their turn.
const LOAD_CHUNK: usize = 256;

/// The store in a folder of this machine.
///
/// Its calls do what they do at once, on the caller's thread: a write of ten thousand rows takes some ten milliseconds.
/// When writes come faster than files can be merged, fjall makes the writer wait, and that is the back-pressure meant.
pub struct EmbeddedStore {
    // Dropped in this order: the rows are closed before the folder is.
    tables: Tables,
    lanes: Lanes,
    database: Database,
    moved: watch::Sender<u64>,
    settings: Settings,
    marks: Marks,
    folder: Folder,
}

// === impl EmbeddedStore ===

impl EmbeddedStore {
    /// Opens the store in `folder`, making it if there is none.
    ///
    /// # Errors
    /// Another process has it, it is not a store's, another version's or another owner's, or it is damaged: each says
    /// what to do.
    pub fn open(folder: impl Into<PathBuf>, settings: Settings) -> Result<EmbeddedStore, OpenError> {
        let folder = Folder::open(folder.into(), settings.identity.as_deref())?;
        let passed = Arc::default();
        let database = folder.database(&settings, &passed)?;
        let lanes = Lanes::open(&database, passed).map_err(|error| folder.damaged(error))?;
        let marks = Marks::new(&folder.fjall(), lanes.kept.clone())
            .map_err(|error| folder.damaged(fjall::Error::Io(error)))?;
        let store = EmbeddedStore {
            tables: Tables::new(folder.fjall()),
            lanes,
            database,
            moved: watch::Sender::new(0),
            settings,
            marks,
            folder,
        };
        store.mark().map_err(|error| store.folder.damaged(error))?;
        Ok(store)
    }

    /// The folder's id: made with it, and never the same for two.
    #[must_use]
    pub fn id(&self) -> &str {
        self.folder.id()
    }

    /// Where the store is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes everything written so far survive a loss of power.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(|error| self.unwritten(error))
    }

    /// A write failed.
    pub(crate) fn unwritten(&self, error: fjall::Error) -> StoreError {
        error::writing(&self.folder.fjall(), error)
    }

    /// Marks the journal that is written now.
    pub(crate) fn mark(&self) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        self.tables.undropped(|| self.marks.add(&self.database, &mut batch))?;
        batch.commit()
    }

    /// Why the store takes nothing more, if a write failed. What it has can be read.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let error = self.database.persist(PersistMode::Buffer).err()?;
        Some(error::cause(&self.folder.fjall(), &error))
    }

    fn drop_now(&self, tables: &[TableId]) -> Result<(), StoreError> {
        for table in tables {
            self.tables.drop_table(&self.database, table)?;
            self.lanes.drop_table(table, &self.folder.fjall())?;
        }
        Ok(())
    }
}

impl Store for EmbeddedStore {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { tables.iter().try_for_each(|table| self.tables.open(&self.database, table)) }.boxed()
    }

    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move {
            let table = self.tables.find(table, "to read")?;
            let mut rows = Vec::with_capacity(keys.len());
            for (at, chunk) in keys.chunks(LOAD_CHUNK).enumerate() {
                if at > 0 {
                    tokio::task::yield_now().await;
                }
                for key in chunk {
                    rows.push(table.load(key)?);
                }
            }
            Ok(rows)
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.write_now(lane, writes) }.boxed()
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move { self.tables.find(table, "to read")?.scan(scan) }.boxed()
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.drop_now(tables) }.boxed()
    }

    fn checkpoints_moved(&self) -> Moves {
        Moves { times: self.moved.subscribe(), are_all: true }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        match self.database.persist(PersistMode::SyncAll) {
            Ok(()) => self.folder.closes_in_order(),
            Err(error) => tracing::warn!(
                folder = %self.folder.path().display(), error = error::text(&error), "the store was not closed in order"
            ),
        }
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").field("folder", &self.folder.path()).finish_non_exhaustive()
    }
}
