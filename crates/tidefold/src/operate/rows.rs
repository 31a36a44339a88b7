//! A stored table beside the rows that it should have, all of it: a row that cannot be read is named, and the others are
//! read on.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tidefold_store::{Scan, SharedStore, Store, StoreError};
use tidefold_table::{Damaged, GenerationTable, Row, TableId};

/// Rows compared at once.
const ROWS: usize = 2_000;
/// Differing rows that are shown.
const SHOWN: usize = 10;
/// Rows that cannot be read that are shown.
const DAMAGED_SHOWN: usize = 100;

/// Where rows are read.
pub(super) trait Reads: Sync {
    /// The rows under these keys, in their order.
    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>>;

    /// Rows of a table, in the store's own order.
    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;
}

/// The rows that a table should have.
pub(super) trait Expected: Sync {
    /// The row under a key.
    fn row(&self, key: &[u8]) -> Option<Bytes>;
    /// How many there are.
    fn count(&self) -> u64;
    /// Their keys.
    fn keys(&self) -> Vec<Bytes>;
}

/// What a table is beside what it should be.
#[derive(Debug, Default)]
pub(super) struct Compared {
    rows: u64,
    differing: u64,
    first: Vec<String>,
    damaged: u64,
    damaged_rows: Vec<String>,
}

struct Comparing<'a> {
    store: &'a dyn Reads,
    table: &'a GenerationTable,
    expected: &'a dyn Expected,
    found: Compared,
}

/// Compares every row.
///
/// # Errors
/// The store's, but for rows that cannot be read: those are a part of what was found.
pub(super) async fn compare(
    store: &dyn Reads,
    table: &GenerationTable,
    expected: &dyn Expected,
) -> Result<Compared, StoreError> {
    let mut comparing = Comparing { store, table, expected, found: Compared::default() };
    if comparing.scan(None, Comparing::judge).await?.is_none() {
        comparing.count_missing();
        return Ok(comparing.found);
    }
    comparing.found = Compared::default();
    comparing.around_damage().await?;
    Ok(comparing.found)
}

impl Reads for SharedStore {
    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        Store::load(&**self, table, keys)
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Store::scan(&**self, table, scan)
    }
}

// === impl Compared ===

impl Compared {
    /// Rows of a table that cannot be read, of which nothing else is known.
    pub(super) fn damaged(rows: u64, damaged: &[Damaged], why_not_more: String) -> Compared {
        let mut found = Compared { rows, first: vec![why_not_more], ..Compared::default() };
        damaged.iter().for_each(|damaged| found.cannot_read(damaged));
        found
    }

    /// The report of a table, for programs.
    pub(super) fn report(&self, table: &str) -> Value {
        let mut report =
            json!({ "table": table, "rows": self.rows, "differing": self.differing, "first": self.first });
        if self.damaged > 0 {
            report["damaged"] = self.damaged.into();
            report["damaged_rows"] = json!(self.damaged_rows);
        }
        report
    }

    fn differs(&mut self, key: &[u8], what: &str) {
        self.differing += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("row {:?} {what}", String::from_utf8_lossy(key)));
        }
    }

    fn cannot_read(&mut self, damaged: &Damaged) {
        self.differing += 1;
        self.damaged += 1;
        if self.damaged_rows.len() < DAMAGED_SHOWN {
            self.damaged_rows.push(damaged.to_string());
        }
    }
}

// === impl Comparing ===

impl Comparing<'_> {
    /// Reads the rows behind a key, up to the end or to the first that cannot be read, which is returned.
    async fn scan(
        &mut self,
        mut after: Option<Bytes>,
        see: fn(&mut Self, &Row),
    ) -> Result<Option<Damaged>, StoreError> {
        let mut limit = ROWS;
        loop {
            let page = match self.store.scan(&self.table.id, &Scan::All { after: after.clone(), limit }).await
            {
                Ok(page) => page,
                // One of them cannot be read, and those before it can.
                Err(StoreError::Damaged(_)) if limit > 1 => {
                    limit = limit.div_ceil(2);
                    continue;
                }
                Err(StoreError::Damaged(damaged)) => return Ok(Some(damaged)),
                Err(error) => return Err(error),
            };
            page.iter().for_each(|row| see(self, row));
            match page.last() {
                Some(last) if page.len() == limit => after = Some(last.key.clone()),
                _ => return Ok(None),
            }
            tokio::task::yield_now().await;
        }
    }

    fn judge(&mut self, row: &Row) {
        self.found.rows += 1;
        match self.expected.row(&row.key) {
            Some(value) if value == row.value => {}
            Some(_) => self.found.differs(&row.key, "is another than the log's"),
            None => self.found.differs(&row.key, "is not in the log's"),
        }
    }

    /// The same for rows that were not read by their keys.
    fn judge_unknown(&mut self, row: &Row) {
        if self.expected.row(&row.key).is_none() {
            self.judge(row);
        }
    }

    fn count_missing(&mut self) {
        let equal = self.found.rows - self.found.differing;
        let missing = self.expected.count().saturating_sub(equal);
        if missing > 0 {
            self.found.differing += missing;
            self.found.first.push(format!("{missing} rows of the log's are missing or other"));
        }
    }

    /// Reads every row that should be there by its key, and what else there is between those that cannot be read: no scan
    /// gets past one of them, but it may begin behind it.
    async fn around_damage(&mut self) -> Result<(), StoreError> {
        let mut starts = vec![None];
        let mut known = BTreeSet::new();
        for (key, told) in self.load_all().await? {
            starts.push(Some(key));
            known.insert(told);
        }
        let mut unknown = false;
        for start in starts {
            let Some(damaged) = self.scan(start, Comparing::judge_unknown).await? else { continue };
            if known.insert(damaged.to_string()) {
                self.found.rows += 1;
                self.found.cannot_read(&damaged);
                unknown = true;
            }
        }
        if unknown {
            let text = "rows that the log does not have, behind one that it does not have and that cannot be read, were not read";
            self.found.first.push(text.to_owned());
        }
        Ok(())
    }

    /// Every row that should be there; the keys of those that cannot be read are returned, with what the store tells of them.
    async fn load_all(&mut self) -> Result<Vec<(Bytes, String)>, StoreError> {
        let keys = self.expected.keys();
        let mut parts: Vec<&[Bytes]> = keys.chunks(ROWS).rev().collect();
        let mut damaged = Vec::new();
        while let Some(part) = parts.pop() {
            match (self.store.load(&self.table.id, part).await, part) {
                (Ok(values), _) => {
                    for (key, value) in part.iter().zip(values) {
                        match value {
                            Some(value) => self.judge(&Row { key: key.clone(), value }),
                            None => self.found.differs(key, "of the log's is missing"),
                        }
                    }
                }
                (Err(StoreError::Damaged(found)), [key]) => {
                    damaged.push((key.clone(), found.to_string()));
                    self.found.rows += 1;
                    // A file that is damaged does not name the rows in it.
                    self.found.cannot_read(&Damaged { key: self.table.layout.key_text(key), ..found });
                }
                (Err(StoreError::Damaged(_)), _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
        Ok(damaged)
    }
}

#[cfg(test)]
mod tests;
