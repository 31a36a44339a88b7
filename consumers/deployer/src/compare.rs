//! Two generations of one projection, row by row.
//!
//! Both are pure functions of the log, so at one common position they have to be equal to the byte. Standing still for a
//! whole comparison of large tables would let the live tables fall behind, so it is done in two passes. The first runs
//! under live traffic and collects the keys of rows that are not equal: most of them just moved in between. Then both
//! generations stand still at one position and only those rows are compared again. So every row was equal at some
//! position both had reached, and every row that was not is equal at the last one.

use bytes::Bytes;
use tidefold_app::layout::TableId;
use tidefold_app::tables::GenerationTables;
use tidefold_store::{Scan, Store};

use crate::error::DeployError;

/// Rows compared at once.
const PAGE: usize = 1_000;
/// How many keys of a table the first pass remembers; with more, the second pass compares the whole table.
const SUSPECTS: usize = 100_000;
/// How many differences of a table are shown.
const SHOWN: usize = 10;

/// How two generations compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Table by table: the queryable ones and the verdicts.
    pub tables: Vec<TableComparison>,
}

/// How two generations of a table compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableComparison {
    /// The table's name.
    pub table: String,
    /// Rows of the new generation.
    pub rows: u64,
    /// Rows that differ, or stand in one of the two only.
    pub differing: u64,
    /// The first of those.
    pub first: Vec<RowDifference>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// The row's stored key, in hex.
    pub key: String,
    /// In what.
    pub what: &'static str,
}

/// What the first pass found in one table.
#[derive(Debug)]
pub(crate) struct Suspects {
    name: String,
    old: TableId,
    new: TableId,
    rows: u64,
    /// Keys of rows that were not equal; `None` when there were too many to remember.
    keys: Option<Vec<Bytes>>,
}

impl Comparison {
    /// How many rows differ.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.tables.iter().map(|table| table.differing).sum()
    }

    /// How many rows were compared.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// The first pass, under live traffic.
pub(crate) async fn suspects(
    store: &dyn Store,
    old: &GenerationTables,
    new: &GenerationTables,
) -> Result<Vec<Suspects>, DeployError> {
    let pairs = old.entity.iter().chain(&old.views).chain([&old.verdicts]);
    let pairs = pairs.zip(new.entity.iter().chain(&new.views).chain([&new.verdicts]));
    let mut all = Vec::new();
    for (old, new) in pairs {
        let name = old.layout.name.clone();
        let mut found =
            Suspects { name, old: old.id.clone(), new: new.id.clone(), rows: 0, keys: Some(Vec::new()) };
        found.collect(store).await?;
        all.push(found);
    }
    Ok(all)
}

/// The second pass, while both generations stand at one position.
pub(crate) async fn recheck(store: &dyn Store, suspects: &[Suspects]) -> Result<Comparison, DeployError> {
    let mut comparison = Comparison::default();
    for table in suspects {
        comparison.tables.push(table.recheck(store).await?);
    }
    Ok(comparison)
}

impl Suspects {
    async fn collect(&mut self, store: &dyn Store) -> Result<(), DeployError> {
        let (old, new) = (self.old.clone(), self.new.clone());
        let mut rows = 0;
        let mut keys = Vec::new();
        each_unequal(store, &new, &old, |count, unequal| {
            rows += count;
            keys.extend(unequal.into_iter().map(|(key, _)| key));
            keys.len() <= SUSPECTS
        })
        .await?;
        // The other way round only for rows that the new table does not have at all.
        each_unequal(store, &old, &new, |_, unequal| {
            keys.extend(unequal.into_iter().filter(|(_, other)| other.is_none()).map(|(key, _)| key));
            keys.len() <= SUSPECTS
        })
        .await?;
        self.rows = rows;
        self.keys = (keys.len() <= SUSPECTS).then_some(keys);
        Ok(())
    }

    async fn recheck(&self, store: &dyn Store) -> Result<TableComparison, DeployError> {
        let mut table =
            TableComparison { table: self.name.clone(), rows: self.rows, differing: 0, first: Vec::new() };
        if let Some(keys) = &self.keys {
            for keys in keys.chunks(PAGE) {
                let (old, new) = (load(store, &self.old, keys).await?, load(store, &self.new, keys).await?);
                for (key, (old, new)) in keys.iter().zip(old.iter().zip(&new)) {
                    table.compare(key, old.as_ref(), new.as_ref());
                }
            }
            return Ok(table);
        }
        table.rows = 0;
        let mut unequal_rows = Vec::new();
        each_unequal(store, &self.new, &self.old, |count, unequal| {
            table.rows += count;
            table.differing += unequal.len() as u64;
            let room = SHOWN.saturating_sub(unequal_rows.len());
            unequal_rows.extend(unequal.into_iter().take(room));
            true
        })
        .await?;
        for (key, old) in unequal_rows {
            let what = if old.is_some() { "the values differ" } else { "only in the new generation" };
            table.first.push(RowDifference { key: hex(&key), what });
        }
        each_unequal(store, &self.old, &self.new, |_, unequal| {
            for (key, _) in unequal.into_iter().filter(|(_, new)| new.is_none()) {
                table.note(&key, "only in the old generation");
            }
            true
        })
        .await?;
        Ok(table)
    }
}

impl TableComparison {
    fn compare(&mut self, key: &Bytes, old: Option<&Bytes>, new: Option<&Bytes>) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(_), Some(_)) => self.note(key, "the values differ"),
            (None, _) => self.note(key, "only in the new generation"),
            (_, None) => self.note(key, "only in the old generation"),
        }
    }

    fn note(&mut self, key: &[u8], what: &'static str) {
        self.differing += 1;
        if self.first.len() < SHOWN {
            self.first.push(RowDifference { key: hex(key), what });
        }
    }
}

/// Pages through `table` and passes on how many rows a page has and those whose row in `other` is not the same, with
/// that row. Until `each` has enough.
async fn each_unequal(
    store: &dyn Store,
    table: &TableId,
    other: &TableId,
    mut each: impl FnMut(u64, Vec<(Bytes, Option<Bytes>)>) -> bool + Send,
) -> Result<(), DeployError> {
    let mut after = None;
    loop {
        let scan = Scan::All { after, limit: PAGE };
        let rows = store.scan(table, &scan).await.map_err(DeployError::store("compare tables"))?;
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let others = load(store, other, &keys).await?;
        let count = rows.len();
        after = keys.last().cloned();
        let unequal = rows.into_iter().zip(others);
        let unequal = unequal.filter(|(row, other)| other.as_ref() != Some(&row.value));
        if !each(count as u64, unequal.map(|(row, other)| (row.key, other)).collect()) || count == 0 {
            return Ok(());
        }
    }
}

async fn load(store: &dyn Store, table: &TableId, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, DeployError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    store.load(table, keys).await.map_err(DeployError::store("compare tables"))
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
