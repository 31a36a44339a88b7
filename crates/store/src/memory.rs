//! A store in memory that can be told to fail, to wait and to lose what a crash may lose.
//!
//! A [`MemoryStore`] is a process's view of rows that outlive it: [`MemoryStore::restarted`] is the next process over
//! the same rows. [`MemoryStore::mark`] and [`MemoryStore::crash`] lose a suffix of the acknowledged writes, as the
//! contract allows; [`Faults`] are what it does wrong on demand.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidefold_table::{Damaged, Row, RowWrite, Stamp, TableId, TableKind};
use tokio::sync::watch;

use crate::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};

/// The memory store, as one process has it.
#[derive(Debug)]
pub struct MemoryStore {
    kept: Arc<Kept>,
    opened: Mutex<HashMap<TableId, TableKind>>,
    moved: watch::Sender<u64>,
}

/// What the store does wrong, when it is told to. All off at first.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    /// Whether loads and scans may go on, and how many wait.
    loads: Gate,
    /// Whether writes may go on, and how many wait.
    writes: Gate,
}

/// How much of a failed write takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The first rows of the call.
    First(usize),
    /// All of it: only the acknowledgement was lost.
    Whole,
}

/// A row as it is kept: a delete leaves its stamp behind.
pub type KeptRow = (Stamp, Option<Bytes>);

#[derive(Debug, Default)]
struct Plan {
    failing_loads: usize,
    damaged: HashSet<(TableId, Bytes)>,
    failing_writes: VecDeque<Effect>,
    stale_loads: usize,
}

#[derive(Debug)]
struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Kept {
    state: Mutex<State>,
    faults: Faults,
}

/// The rows of one call of `write` that took effect.
type Call = Vec<(TableId, RowWrite)>;
type Tables = BTreeMap<TableId, BTreeMap<Bytes, KeptRow>>;

#[derive(Debug, Default)]
struct State {
    tables: Tables,
    /// The rows as they were at the mark, and every write since, in order.
    marked: Option<(Tables, Vec<Call>)>,
}

// === impl MemoryStore ===

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::over(Arc::default())
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn over(kept: Arc<Kept>) -> MemoryStore {
        MemoryStore { kept, opened: Mutex::default(), moved: watch::Sender::new(0) }
    }

    /// The store as the next process finds it: the same rows and faults, no table opened yet.
    #[must_use]
    pub fn restarted(&self) -> MemoryStore {
        MemoryStore::over(Arc::clone(&self.kept))
    }

    /// What it does wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.kept.faults
    }

    /// From here on writes may be lost by [`MemoryStore::crash`]; those before are safe.
    pub fn mark(&self) {
        let mut state = lock(&self.kept.state);
        state.marked = Some((state.tables.clone(), Vec::new()));
    }

    /// How many calls of `write` had an effect since the mark.
    #[must_use]
    pub fn written_since_mark(&self) -> usize {
        lock(&self.kept.state).marked.as_ref().map_or(0, |(_, calls)| calls.len())
    }

    /// The machine loses power: of the calls of `write` since the mark only the first `keep` stand. The mark moves here.
    pub fn crash(&self, keep: usize) {
        let mut state = lock(&self.kept.state);
        let Some((mut tables, calls)) = state.marked.take() else { return };
        for (table, row) in calls.into_iter().take(keep).flatten() {
            if let Some(rows) = tables.get_mut(&table) {
                settle(rows, &row);
            }
        }
        state.marked = Some((tables.clone(), Vec::new()));
        state.tables = tables;
    }

    /// Every row of a table with its stamp, deletes too.
    #[must_use]
    pub fn rows(&self, table: &TableId) -> BTreeMap<Bytes, KeptRow> {
        lock(&self.kept.state).tables.get(table).cloned().unwrap_or_default()
    }

    fn check(&self, table: &TableId, what: &str) -> Result<TableKind, StoreError> {
        lock(&self.opened).get(table).copied().ok_or_else(|| StoreError::Refused {
            what: format!("{what} table {table}"),
            detail: "it is not opened; open it first".to_owned(),
        })
    }

    /// Reads from the rows, or, where that was asked for, from the rows as they were at the mark.
    fn read<T>(
        &self,
        table: &TableId,
        read: impl FnOnce(&BTreeMap<Bytes, KeptRow>) -> T,
    ) -> Result<T, StoreError> {
        self.check(table, "to read")?;
        let stale = self.kept.faults.next_load()?;
        let state = lock(&self.kept.state);
        let tables = match &state.marked {
            Some((then, _)) if stale => then,
            _ => &state.tables,
        };
        let none = BTreeMap::new();
        Ok(read(tables.get(table).unwrap_or(&none)))
    }

    fn write_now(&self, writes: &[TableWrites]) -> Result<(), StoreError> {
        let mut moved = false;
        for of_table in writes {
            moved |= self.check(&of_table.table, "to write to")? == TableKind::Checkpoints;
        }
        let fails = lock(&self.kept.faults.plan).failing_writes.pop_front();
        let effect = match fails {
            None | Some(Effect::Whole) => usize::MAX,
            Some(Effect::First(rows)) => rows,
            Some(Effect::None) => 0,
        };
        let rows: Vec<(TableId, RowWrite)> = writes
            .iter()
            .flat_map(|of| of.rows.iter().map(|row| (of.table.clone(), row.clone())))
            .take(effect)
            .collect();
        let mut state = lock(&self.kept.state);
        for (table, row) in &rows {
            settle(state.tables.entry(table.clone()).or_default(), row);
        }
        if let Some((_, calls)) = &mut state.marked
            && !rows.is_empty()
        {
            calls.push(rows);
        }
        drop(state);
        if moved {
            self.moved.send_modify(|times| *times += 1);
        }
        match fails {
            None => Ok(()),
            Some(effect) => Err(unavailable(&format!("told to fail a write, with effect {effect:?}"))),
        }
    }
}

impl Store for MemoryStore {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let mut state = lock(&self.kept.state);
            for table in tables {
                state.tables.entry(table.id.clone()).or_default();
                if let Some((then, _)) = &mut state.marked {
                    then.entry(table.id.clone()).or_default();
                }
                lock(&self.opened).insert(table.id.clone(), table.layout.kind);
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
        async move {
            self.kept.faults.loads.pass().await;
            let loaded = self.read(table, |rows| {
                keys.iter().map(|key| rows.get(key).and_then(|(_, value)| value.clone())).collect()
            })?;
            self.kept.faults.look_at(table, keys)?;
            Ok(loaded)
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        _lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.kept.faults.writes.pass().await;
            self.write_now(writes)
        }
        .boxed()
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move {
            self.kept.faults.loads.pass().await;
            let rows: Vec<Row> = self.read(table, |rows| {
                let Some(bounds) = scan.bounds() else { return Vec::new() };
                let range = rows.range(bounds).filter_map(|(key, (_, value))| {
                    value.as_ref().map(|value| Row { key: key.clone(), value: value.clone() })
                });
                range.take(scan.limit()).collect()
            })?;
            self.kept.faults.look_at(table, rows.iter().map(|row| &row.key))?;
            Ok(rows)
        }
        .boxed()
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let gone: HashSet<&TableId> = tables.iter().collect();
            let mut state = lock(&self.kept.state);
            state.tables.retain(|table, _| !gone.contains(table));
            if let Some((then, calls)) = &mut state.marked {
                then.retain(|table, _| !gone.contains(table));
                calls.iter_mut().for_each(|call| call.retain(|(table, _)| !gone.contains(table)));
            }
            lock(&self.opened).retain(|table, _| !gone.contains(table));
            Ok(())
        }
        .boxed()
    }

    fn checkpoints_moved(&self) -> Moves {
        Moves { times: self.moved.subscribe(), are_all: false }
    }
}

// === impl Faults ===

impl Default for Faults {
    fn default() -> Self {
        Faults { plan: Mutex::default(), loads: Gate::new(), writes: Gate::new() }
    }
}

impl Faults {
    /// The next loads and scans fail.
    pub fn fail_loads(&self, times: usize) {
        lock(&self.plan).failing_loads += times;
    }

    /// The next writes fail, each with this effect.
    pub fn fail_writes(&self, times: usize, effect: Effect) {
        lock(&self.plan).failing_writes.extend(std::iter::repeat_n(effect, times));
    }

    /// The row under a key was written by hand: whatever reads it is refused, as a store refuses that knows its own writes.
    pub fn damage(&self, table: &TableId, key: Bytes) {
        lock(&self.plan).damaged.insert((table.clone(), key));
    }

    /// The next loads and scans answer from the rows as they were at the mark, against the contract: what a read with
    /// too low a consistency does.
    pub fn stale_loads(&self, times: usize) {
        lock(&self.plan).stale_loads += times;
    }

    /// Loads and scans wait until [`Faults::release`].
    pub fn hold_loads(&self) {
        self.loads.open.send_replace(false);
    }

    /// Writes wait, before they take effect, until [`Faults::release`].
    pub fn hold_writes(&self) {
        self.writes.open.send_replace(false);
    }

    /// Everything that waits goes on.
    pub fn release(&self) {
        self.loads.open.send_replace(true);
        self.writes.open.send_replace(true);
    }

    /// Returns once this many loads and scans wait.
    pub async fn loads_held(&self, waiting: usize) {
        self.loads.held(waiting).await;
    }

    /// Returns once this many writes wait.
    pub async fn writes_held(&self, waiting: usize) {
        self.writes.held(waiting).await;
    }

    /// The damage of the first row that is damaged.
    fn look_at<'a>(
        &self,
        table: &TableId,
        keys: impl IntoIterator<Item = &'a Bytes>,
    ) -> Result<(), StoreError> {
        let plan = lock(&self.plan);
        let damaged = keys.into_iter().find(|key| plan.damaged.contains(&(table.clone(), Bytes::clone(key))));
        damaged.map_or(Ok(()), |key| {
            let (table, key) = (table.to_string(), key.escape_ascii().to_string());
            let (found, remedy) = ("another's write".to_owned(), "put it back".to_owned());
            Err(Damaged { table, key, found, remedy }.into())
        })
    }

    /// Whether the load now due is stale, or its failure.
    fn next_load(&self) -> Result<bool, StoreError> {
        let mut plan = lock(&self.plan);
        if plan.failing_loads > 0 {
            plan.failing_loads -= 1;
            return Err(unavailable("told to fail a load"));
        }
        let stale = plan.stale_loads > 0;
        plan.stale_loads = plan.stale_loads.saturating_sub(1);
        Ok(stale)
    }
}

// === impl Gate ===

impl Gate {
    fn new() -> Gate {
        Gate { open: watch::Sender::new(true), waiting: watch::Sender::new(0) }
    }

    async fn pass(&self) {
        if *self.open.borrow() {
            return;
        }
        let waiting = Waiting::new(&self.waiting);
        // The gate is borrowed, so its sender is there as long as this waits.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        drop(waiting);
    }

    async fn held(&self, at_least: usize) {
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting >= at_least).await;
    }
}

/// One that waits at a gate; a dropped future waits no more.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Waiting<'a> {
        count.send_modify(|waiting| *waiting += 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

/// Last stamp wins.
fn settle(rows: &mut BTreeMap<Bytes, KeptRow>, write: &RowWrite) {
    match rows.get_mut(&write.key) {
        Some(kept) if kept.0 >= write.stamp => {}
        Some(kept) => *kept = (write.stamp, write.value.clone()),
        None => {
            rows.insert(write.key.clone(), (write.stamp, write.value.clone()));
        }
    }
}

fn unavailable(detail: &str) -> StoreError {
    StoreError::Unavailable { detail: detail.to_owned() }
}

/// A panic while a lock was held leaves the rows as they were between two writes, so they may be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
