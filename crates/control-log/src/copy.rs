//! The control topic copied into the store, so that who only reads needs nothing but the store.
//!
//! Each entry is a row under its offset, in the text that stands in the topic, stamped with the offset like any row. Every
//! process that folds copies what it reads: the same rows, so it does not matter who is first. A reader folds the rows as
//! one folds the topic, and stops at the first offset that is missing: a row behind it may have arrived first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidefold_control::Control;
use tidefold_record::{Offset, RecordBatch, RecordRef};
use tidefold_store::{Lane, Scan, SharedStore, Store, StoreError, Table, TableWrites};
use tidefold_table::control_copy::{self, Copied, Key};
use tidefold_table::{Damaged, Row, RowWrite, Stamp, TableId};
use tidefold_telemetry::{Retry, Stopped, clock};
use tokio::sync::watch;

use crate::error::ControlLogError;
use crate::topic::ControlLog;
use crate::waiting::{Passing, Waiting};

/// How often a reader looks for new entries.
const LOOK: Duration = Duration::from_millis(250);
/// Rows read at once.
const PAGE: usize = 1_000;

/// What control says, as the store has it.
pub struct ControlCopy {
    store: SharedStore,
    table: TableId,
    control: Control,
    published: watch::Sender<Arc<Control>>,
}

// === impl ControlCopy ===

impl ControlCopy {
    /// Waits until the store has a copy that defines the app; `waiting` is told what for.
    ///
    /// # Errors
    /// When the store refuses for good, or the copy is damaged.
    pub async fn open(
        store: SharedStore,
        app: &str,
        waiting: &Waiting,
    ) -> Result<ControlCopy, ControlLogError> {
        let table = table(app);
        let published = watch::channel(Arc::new(Control::default())).0;
        let mut copy = ControlCopy { store, table: table.id.clone(), control: Control::default(), published };
        let mut said = false;
        loop {
            let opened = copy.store.open(std::slice::from_ref(&table)).await;
            let opened = opened.map_err(ControlLogError::store("open the copy of control"));
            let read = match opened {
                Ok(()) => copy.advance().await,
                Err(error) => Err(error),
            };
            match read {
                Ok(()) if copy.control.definition().is_some() => {
                    waiting.over();
                    return Ok(copy);
                }
                Ok(()) => {
                    waiting.on(&"waiting for `tidefold project` to make the app known");
                    if !said {
                        tracing::info!(app, "waiting for `tidefold project` to make the app known");
                    }
                }
                Err(error) if error.is_passing() => {
                    waiting.on(&error);
                    tracing::warn!(%error, "waiting for the store");
                }
                Err(error) => return Err(error),
            }
            said = true;
            clock::pause(LOOK).await;
        }
    }

    /// What control says, each time that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Control>> {
        self.published.subscribe()
    }

    /// Follows the copy until something keeps it from that for good, which it returns: a damaged row, say. A store that does
    /// not answer is waited for.
    pub async fn keep_up(mut self, retry: Retry) -> ControlLogError {
        loop {
            clock::pause(LOOK).await;
            let start = self.control.next();
            let read = loop {
                let read = || self.rows();
                match retry.run("read the copy of control", Passing::is_passing, read).await {
                    Ok(rows) => match self.take(&rows) {
                        Ok(true) => {}
                        Ok(false) => break Ok(()),
                        Err(error) => break Err(error),
                    },
                    Err(Stopped::Lasting(error)) => break Err(error),
                    // Nobody does.
                    Err(Stopped::Cancelled) => break Ok(()),
                }
            };
            self.publish(start);
            if let Err(error) = read {
                return error;
            }
        }
    }

    async fn advance(&mut self) -> Result<(), ControlLogError> {
        let start = self.control.next();
        while self.take(&self.rows().await?)? {}
        self.publish(start);
        Ok(())
    }

    /// Rows of entries that were not read yet.
    async fn rows(&self) -> Result<Vec<Row>, ControlLogError> {
        let from = Some(Key(self.control.next()).encode());
        let scan = Scan::Range { prefix: control_copy::prefix(), from, until: None, limit: PAGE };
        self.store.scan(&self.table, &scan).await.map_err(ControlLogError::store("read the copy of control"))
    }

    /// Reads rows, up to a hole; whether more may follow.
    fn take(&mut self, rows: &[Row]) -> Result<bool, ControlLogError> {
        let before = self.control.next();
        for row in rows {
            let copied = control_copy::decode(&self.table, row).map_err(StoreError::from);
            let (at, copied) = copied.map_err(ControlLogError::store("read the copy of control"))?;
            if at != self.control.next() {
                break;
            }
            // What does not count in the topic does not count here either.
            let _outcome = self.control.apply(at, copied.entry());
        }
        Ok(self.control.next() != before && rows.len() == PAGE)
    }

    /// Publishes what control says, if it says more than at `start`.
    fn publish(&self, start: Offset) {
        if self.control.next() != start {
            self.published.send_replace(Arc::new(self.control.clone()));
        }
    }
}

/// Copies the control topic into the store, as far as it is read, for ever. Once it has caught up, what stands there is read
/// back: a damaged row keeps its place, since what is written again has the same stamp, and it misleads or stops whoever only
/// reads. A row that is missing is written again; what then is still not there was deleted by hand under a later stamp.
pub async fn copy_for_ever(control_log: ControlLog, store: SharedStore, app: String, retry: Retry) {
    let table = table(&app);
    let mut control = control_log.watch();
    let (mut from, mut is_checked) = (Offset::ZERO, false);
    loop {
        control.borrow_and_update();
        let copy = || copy_from(&control_log, &*store, &table, from);
        // Whatever fails is tried again: who only reads lives by this copy.
        let Ok(next) = retry.run("copy control into the store", |_| true, copy).await else { return };
        if next != from {
            from = next;
        } else if !is_checked {
            is_checked = true;
            let checked = || check(&control_log, &*store, &table);
            match retry.run("read the copy of control back", Passing::is_passing, checked).await {
                Ok(0) => {}
                Ok(filled) => {
                    tracing::warn!(app, filled, "rows of the copy of control were missing; written again")
                }
                Err(error) => {
                    tracing::error!(%error, app, "the copy of control is not what stands in its topic")
                }
            }
        } else if control.changed().await.is_err() {
            return;
        }
    }
}

async fn copy_from(
    control_log: &ControlLog,
    store: &dyn Store,
    table: &Table,
    from: Offset,
) -> Result<Offset, ControlLogError> {
    if from == Offset::ZERO {
        store
            .open(std::slice::from_ref(table))
            .await
            .map_err(ControlLogError::store("open the copy of control"))?;
    }
    let entries = control_log.entries(from).await?;
    write(store, table, entries.iter()).await?;
    Ok(entries.next_offset())
}

/// Writes the rows of entries.
async fn write(
    store: &dyn Store,
    table: &Table,
    entries: impl Iterator<Item = RecordRef<'_>>,
) -> Result<(), ControlLogError> {
    let rows = entries.map(|record| RowWrite {
        key: Key(record.offset).encode(),
        value: Some(Copied::of(record.value.unwrap_or_default()).encode()),
        stamp: Stamp::put(record.offset),
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
    let writes = [TableWrites { table: table.id.clone(), rows }];
    store.write(&lane, &writes).await.map_err(ControlLogError::store("copy control into the store"))
}

/// Compares the copy with its topic, row by row, and writes again what is missing: how many rows that were.
async fn check(control_log: &ControlLog, store: &dyn Store, table: &Table) -> Result<usize, ControlLogError> {
    let (mut from, mut filled) = (Offset::ZERO, 0);
    loop {
        let entries = control_log.entries(from).await?;
        let missing = missing(store, table, from, &entries).await?;
        if !missing.is_empty() {
            write(store, table, entries.iter().filter(|record| missing.contains(&record.offset))).await?;
            let still = self::missing(store, table, from, &entries).await?;
            if let Some(at) = still.first() {
                let found = "it is missing, and does not come back when it is written".to_owned();
                let gone = Damaged { found, ..control_copy::not_the_entry(&table.id, Key(*at)) };
                return Err(ControlLogError::store("fill in the copy of control")(gone.into()));
            }
        }
        filled += missing.len();
        if entries.next_offset() == from {
            return Ok(filled);
        }
        from = entries.next_offset();
    }
}

/// The entries from an offset on that have no row. An error where a row is not its entry.
async fn missing(
    store: &dyn Store,
    table: &Table,
    from: Offset,
    entries: &RecordBatch,
) -> Result<BTreeSet<Offset>, ControlLogError> {
    let reading = || ControlLogError::store("read the copy of control back");
    let until = Some(Key(entries.next_offset()).encode());
    let (prefix, first) = (control_copy::prefix(), Some(Key(from).encode()));
    let scan = Scan::Range { prefix, from: first, until, limit: usize::MAX };
    let rows = store.scan(&table.id, &scan).await.map_err(reading())?;
    let mut missing: BTreeSet<Offset> = entries.iter().map(|record| record.offset).collect();
    for row in &rows {
        let (at, copied) =
            control_copy::decode(&table.id, row).map_err(StoreError::from).map_err(reading())?;
        let entry = entries.get(at).map(|record| Copied::of(record.value.unwrap_or_default()));
        if entry != Some(copied) {
            return Err(reading()(control_copy::not_the_entry(&table.id, Key(at)).into()));
        }
        missing.remove(&at);
    }
    Ok(missing)
}

fn table(app: &str) -> Table {
    let (id, layout) = control_copy::table(app);
    Table { id, layout: Arc::new(layout) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidefold_control::{Entry, SchemaRecord};
    use tidefold_log::MemoryLog;
    use tidefold_record::SchemaId;
    use tidefold_store::memory::MemoryStore;

    async fn register(control_log: &ControlLog, id: u32) {
        let entry = |control: &Control| {
            let entry = Entry::SchemaRegistered { id: SchemaId(id), schema: format!("\"s{id}\"") };
            control.schema(SchemaId(id)).is_none().then_some(entry)
        };
        control_log.append(entry).await.unwrap();
    }

    #[tokio::test]
    async fn a_copy_says_what_the_topic_says_and_stops_at_a_hole() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let control_log = ControlLog::open(Arc::new(MemoryLog::new()), "shop").await.unwrap();
        for id in 1..=3 {
            register(&control_log, id).await;
        }
        let table = table("shop");
        let end = copy_from(&control_log, &*store, &table, Offset::ZERO).await.unwrap();
        assert_eq!(end, control_log.control().next());

        // The row behind a hole is not looked at until the hole is filled.
        register(&control_log, 4).await;
        register(&control_log, 5).await;
        copy_from(&control_log, &*store, &table, end.next()).await.unwrap();
        let published = watch::channel(Arc::new(Control::default())).0;
        let mut copy = ControlCopy {
            store: Arc::clone(&store),
            table: table.id.clone(),
            control: Control::default(),
            published,
        };
        copy.advance().await.unwrap();
        assert!(copy.control.schema(SchemaId(3)).is_some());
        assert!(copy.control.schema(SchemaId(4)).is_none());
        assert!(copy.control.schema(SchemaId(5)).is_none());
        copy_from(&control_log, &*store, &table, end).await.unwrap();
        copy.advance().await.unwrap();
        let there = copy.watch().borrow().schema(SchemaId(5)).cloned();
        assert_eq!(there, Some(SchemaRecord::Registered("\"s5\"".into())));
        assert_eq!(copy.control.next(), control_log.control().next());
    }

    #[tokio::test]
    async fn a_copy_that_is_not_the_topics_is_found_by_whoever_copies() {
        for (value, found) in
            [("\u{1}", "format 1"), ("{}", "is not the entry"), ("\u{0}", "is not the entry")]
        {
            let store: SharedStore = Arc::new(MemoryStore::new());
            let control_log = ControlLog::open(Arc::new(MemoryLog::new()), "shop").await.unwrap();
            register(&control_log, 1).await;
            register(&control_log, 2).await;
            let table = table("shop");
            copy_from(&control_log, &*store, &table, Offset::ZERO).await.unwrap();
            check(&control_log, &*store, &table).await.unwrap();

            let (key, stamp) = (Key(Offset(1)).encode(), Stamp::put(Offset(9)));
            let row = RowWrite { key, value: Some(value.into()), stamp };
            let writes = [TableWrites { table: table.id.clone(), rows: vec![row] }];
            let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
            store.write(&lane, &writes).await.unwrap();
            let said = check(&control_log, &*store, &table).await.unwrap_err().to_string();
            for part in ["shop._control_g0", "offset 1", found, "drop the table"] {
                assert!(said.contains(part), "{part} is missing in: {said}");
            }
        }
    }

    #[tokio::test]
    async fn a_row_that_is_missing_is_filled_in_and_one_that_cannot_be_is_named() {
        let control_log = ControlLog::open(Arc::new(MemoryLog::new()), "shop").await.unwrap();
        for id in 1..=3 {
            register(&control_log, id).await;
        }
        let (store, table) = (MemoryStore::new(), table("shop"));
        store.open(std::slice::from_ref(&table)).await.unwrap();
        let entries = control_log.entries(Offset::ZERO).await.unwrap();
        write(&store, &table, entries.iter().filter(|record| record.offset != Offset(1))).await.unwrap();
        assert_eq!(check(&control_log, &store, &table).await.unwrap(), 1);
        assert_eq!(store.rows(&table.id).len(), entries.len(), "it is there again");
        assert_eq!(check(&control_log, &store, &table).await.unwrap(), 0);

        let deleted = RowWrite { key: Key(Offset(2)).encode(), value: None, stamp: Stamp::put(Offset(9)) };
        let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
        let writes = [TableWrites { table: table.id.clone(), rows: vec![deleted] }];
        store.write(&lane, &writes).await.unwrap();
        let said = check(&control_log, &store, &table).await.unwrap_err().to_string();
        for part in ["shop._control_g0", "offset 2", "it is missing", "drop the table"] {
            assert!(said.contains(part), "{part} is missing in: {said}");
        }
    }

    #[tokio::test]
    async fn a_damaged_row_of_the_copy_is_named_with_what_to_do() {
        for (key, value, at, found) in [
            (Key(Offset(1)).encode(), vec![2], "offset 1", "format 2"),
            (Key(Offset(1)).encode(), vec![0, 7], "offset 1", "1 bytes follow"),
            (Bytes::from_static(&[0, 0, 0, 0, 1]), vec![0], "\\x00", "offset cannot be"),
        ] {
            let store: SharedStore = Arc::new(MemoryStore::new());
            let table = table("shop");
            store.open(std::slice::from_ref(&table)).await.unwrap();
            let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
            let put = |key, value: Vec<u8>, offset| RowWrite {
                key,
                value: Some(value.into()),
                stamp: Stamp::put(Offset(offset)),
            };
            let rows = vec![put(Key(Offset(0)).encode(), vec![0], 0), put(key, value, 1)];
            store.write(&lane, &[TableWrites { table: table.id.clone(), rows }]).await.unwrap();
            let published = watch::channel(Arc::new(Control::default())).0;
            let control = Control::default();
            let mut copy = ControlCopy { store, table: table.id.clone(), control, published };
            let error = copy.advance().await.unwrap_err();
            let ControlLogError::Store { source: StoreError::Damaged(damaged), .. } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(damaged.table, "shop._control_g0");
            assert!(damaged.key.contains(at) && damaged.found.contains(found), "{damaged}");
            assert!(damaged.remedy.contains("drop the table"), "{damaged}");
            for part in [&damaged.table, &damaged.key, &damaged.found, &damaged.remedy] {
                assert!(error.to_string().contains(part.as_str()), "{error}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_row_ends_the_copy_with_table_key_what_was_found_and_what_to_do() {
        let store: SharedStore = Arc::new(MemoryStore::new());
        let control_log = ControlLog::open(Arc::new(MemoryLog::new()), "shop").await.unwrap();
        register(&control_log, 1).await;
        let table = table("shop");
        let end = copy_from(&control_log, &*store, &table, Offset::ZERO).await.unwrap();
        let row = RowWrite { key: Key(end).encode(), value: Some("\u{1}".into()), stamp: Stamp::put(end) };
        let writes = [TableWrites { table: table.id.clone(), rows: vec![row] }];
        let lane = Lane { checkpoints: table.id.clone(), partition: 0 };
        store.write(&lane, &writes).await.unwrap();
        let published = watch::channel(Arc::new(Control::default())).0;
        let copy = ControlCopy { store, table: table.id.clone(), control: Control::default(), published };
        let seen = copy.watch();
        let ended = copy.keep_up(tidefold_telemetry::Telemetry::new().retry()).await.to_string();
        for told in [table.id.as_str(), &format!("offset {end}"), "format 1", "drop the table"] {
            assert!(ended.contains(told), "{told} is missing in: {ended}");
        }
        assert!(seen.borrow().schema(SchemaId(1)).is_some(), "what stands before it is told all the same");
    }
}
