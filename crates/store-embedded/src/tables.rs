//! Tables that are open: each a keyspace; checkpoints also a map in memory, since queries read them all the time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ahash::RandomState;
use bytes::Bytes;
use fjall::config::{BlockSizePolicy, HashRatioPolicy};
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions};
use tidefold_store::{StoreError, Table};
use tidefold_table::{RowWrite, Stamp, TableId, TableKind, TableLayout};

use crate::error;
use crate::row::Stored;

/// Tables' keyspaces are their names with this in front; others are the store's own.
pub(crate) const PREFIX: &str = "t:";
/// fjall takes 255; the rest is for the prefix.
const MAX_NAME: usize = 250;
/// A table's memory, before it goes to a file.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The tables that are open.
pub(crate) struct Tables {
    by_id: RwLock<HashMap<TableId, Arc<OpenTable>, RandomState>>,
    /// fjall's.
    folder: PathBuf,
}

/// A table.
pub(crate) struct OpenTable {
    pub(crate) id: TableId,
    pub(crate) keyspace: Keyspace,
    layout: Arc<TableLayout>,
    /// All its rows, of a checkpoints table.
    pub(crate) mirror: Option<RwLock<Mirror>>,
}

/// Rows in memory; a delete leaves its stamp.
pub(crate) type Mirror = BTreeMap<Bytes, (Stamp, Option<Bytes>)>;

// === impl Tables ===

impl Tables {
    pub(crate) fn new(folder: PathBuf) -> Tables {
        Tables { by_id: RwLock::default(), folder }
    }

    fn unwritten(&self, error: fjall::Error) -> StoreError {
        error::writing(&self.folder, error)
    }

    pub(crate) fn find(&self, table: &TableId, what: &str) -> Result<Arc<OpenTable>, StoreError> {
        let tables = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).cloned().ok_or_else(|| error::unopened(table, what))
    }

    pub(crate) fn open(&self, database: &Database, table: &Table) -> Result<(), StoreError> {
        let mut tables = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        if !tables.contains_key(&table.id) {
            tables.insert(table.id.clone(), Arc::new(OpenTable::open(database, table, &self.folder)?));
        }
        Ok(())
    }

    pub(crate) fn drop_table(&self, database: &Database, table: &TableId) -> Result<(), StoreError> {
        let name = keyspace_name(table)?;
        let mut tables = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        tables.remove(table);
        if database.keyspace_exists(&name) {
            let keyspace = database.keyspace(&name, options).map_err(|error| self.unwritten(error))?;
            database.delete_keyspace(keyspace).map_err(|error| self.unwritten(error))?;
        }
        Ok(())
    }

    /// Does something while no table is dropped.
    pub(crate) fn undropped<T>(&self, act: impl FnOnce() -> T) -> T {
        let _tables = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        act()
    }

    /// Sends the largest table's memory to a file.
    pub(crate) fn flush_largest(&self) -> Result<(), StoreError> {
        let tables = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let size = |table: &&Arc<OpenTable>| table.keyspace.tree.active_memtable().size();
        let largest = tables.values().max_by_key(size).cloned();
        drop(tables);
        match largest {
            Some(table) => table.keyspace.rotate_memtable().map(drop).map_err(|error| self.unwritten(error)),
            None => Ok(()),
        }
    }
}

fn keyspace_name(table: &TableId) -> Result<String, StoreError> {
    let name = table.as_str();
    if name.len() > MAX_NAME || name.contains('\0') {
        return Err(StoreError::Refused {
            what: format!("the table name {name:?}"),
            detail: format!(
                "it must have at most {MAX_NAME} bytes, none of them zero; choose a shorter name"
            ),
        });
    }
    Ok(format!("{PREFIX}{name}"))
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_size_policy(BlockSizePolicy::all(4 << 10))
        .data_block_hash_ratio_policy(HashRatioPolicy::all(1.0))
}

// === impl OpenTable ===

impl OpenTable {
    fn open(database: &Database, table: &Table, folder: &Path) -> Result<OpenTable, StoreError> {
        let keyspace = database
            .keyspace(&keyspace_name(&table.id)?, options)
            .map_err(|error| error::writing(folder, error))?;
        let layout = Arc::clone(&table.layout);
        let mut open = OpenTable { id: table.id.clone(), keyspace, layout, mirror: None };
        if open.is_checkpoints() {
            open.mirror = Some(RwLock::new(open.read_mirror()?));
        }
        Ok(open)
    }

    fn read_mirror(&self) -> Result<Mirror, StoreError> {
        let mut mirror = Mirror::new();
        for entry in self.keyspace.iter() {
            let (key, value) = entry.into_inner().map_err(|error| self.unread(error))?;
            let kept = match Stored::decode(&value) {
                Some(Stored::Put(stamp, value)) => (stamp, Some(Bytes::copy_from_slice(value))),
                Some(Stored::Deleted(stamp, _)) => (stamp, None),
                None => return Err(self.no_row(&key)),
            };
            mirror.insert(Bytes::copy_from_slice(&key), kept);
        }
        Ok(mirror)
    }

    /// Rows that cannot be read.
    pub(crate) fn unread(&self, error: fjall::Error) -> StoreError {
        error::reading(&self.id, error)
    }

    /// What stands under a key is no row.
    pub(crate) fn no_row(&self, key: &[u8]) -> StoreError {
        error::no_row(&self.id, self.layout.key_text(key))
    }

    pub(crate) fn is_index(&self) -> bool {
        self.layout.kind == TableKind::Index
    }

    pub(crate) fn is_checkpoints(&self) -> bool {
        self.layout.kind == TableKind::Checkpoints
    }

    /// Has the rows that were written in memory too.
    pub(crate) fn reflect(&self, rows: &[RowWrite]) {
        let Some(mirror) = &self.mirror else { return };
        let mut mirror = mirror.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if mirror.get(&row.key).is_none_or(|(stamp, _)| *stamp < row.stamp) {
                // A copy: the row's own bytes may be part of something large.
                let value = row.value.as_deref().map(Bytes::copy_from_slice);
                mirror.insert(Bytes::copy_from_slice(&row.key), (row.stamp, value));
            }
        }
    }
}

/// A panic while a lock was held is a defect elsewhere; what the lock guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
