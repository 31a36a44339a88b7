//! Two generations of one projection, row by row.
//!
//! Both are pure functions of the log, so at one common position they have to be equal to the byte. Standing still for a
//! whole comparison of large tables would let the live tables fall behind, so it is done in two passes. The first runs
//! under live traffic and collects the keys of rows that are not equal: most of them just moved in between. Then both
//! generations stand still at one position and only those rows are compared again. So every row was equal at some
//! position both had reached, and every row that was not is equal at the last one.

use std::collections::HashMap;

use bytes::Bytes;
use tidefold_codec::text::hex;
use tidefold_store::{Scan, Store, StoreError};
use tidefold_table::{GenerationTables, Row, TableId};

use crate::error::CoordinatorError;

/// Rows compared at once.
const PAGE: usize = if cfg!(test) { 7 } else { 1_000 };
/// How many keys of a table the first pass remembers; with more, the second pass compares the whole table.
const SUSPECTS: usize = if cfg!(test) { 50 } else { 100_000 };
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
    /// The row's stored key, in hex; where a row cannot be read, which generation's it is.
    pub key: String,
    /// In what.
    pub what: String,
}

/// What the first pass found in one table.
#[derive(Debug)]
pub(crate) struct Suspects {
    name: String,
    old: TableId,
    new: TableId,
    /// Rows of the new generation that were equal: the others are counted when they are compared again.
    rows: u64,
    /// Keys of rows that were not equal; `None` when there were too many to remember.
    keys: Option<Vec<Bytes>>,
    /// Why rows of the old generation cannot be read, which is what a build may be for.
    damage: Option<String>,
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
) -> Result<Vec<Suspects>, CoordinatorError> {
    // What only one of them has is compared with nothing: their definitions may differ.
    let both = old.entity.iter().chain(&old.views);
    let both = both.filter_map(|old| Some((old, new.named(&old.layout.name)?)));
    let pairs = both.chain([(&old.verdicts, &new.verdicts)]);
    let mut all = Vec::new();
    for (old, new) in pairs {
        let mut found = Suspects::new(old.layout.name.clone(), old.id.clone(), new.id.clone());
        if let Err(error) = found.collect(store).await {
            found.damage = Some(found.damage_of(error)?);
        }
        all.push(found);
    }
    Ok(all)
}

/// The second pass, while both generations stand at one position.
pub(crate) async fn recheck(
    store: &dyn Store,
    suspects: &[Suspects],
) -> Result<Comparison, CoordinatorError> {
    let mut comparison = Comparison::default();
    for table in suspects {
        comparison.tables.push(table.recheck(store).await?);
    }
    Ok(comparison)
}

impl Suspects {
    fn new(name: String, old: TableId, new: TableId) -> Suspects {
        Suspects { name, old, new, rows: 0, keys: Some(Vec::new()), damage: None }
    }

    /// The damage of the old generation that an error tells of; any other error stands.
    fn damage_of(&self, error: CoordinatorError) -> Result<String, CoordinatorError> {
        match error {
            CoordinatorError::Store { source: StoreError::Damaged(damaged), .. }
                if damaged.table == self.old.as_str() =>
            {
                Ok(damaged.to_string())
            }
            other => Err(other),
        }
    }

    /// Scans both tables side by side and pairs their rows. A store has one order for all tables, so partners come close
    /// together, and no row has to be looked up.
    async fn collect(&mut self, store: &dyn Store) -> Result<(), CoordinatorError> {
        let (mut old, mut new) = (Pages::of(&self.old), Pages::of(&self.new));
        let (mut lone_old, mut lone_new) = (HashMap::new(), HashMap::new());
        let mut unequal = Vec::new();
        loop {
            let (olds, news) = futures_util::future::try_join(old.next(store), new.next(store)).await?;
            if olds.is_empty() && news.is_empty() {
                break;
            }
            self.rows += news.len() as u64;
            let (olds, news) = in_step(olds, news, &mut unequal);
            unequal.extend(pair(olds, &mut lone_old, &mut lone_new));
            unequal.extend(pair(news, &mut lone_new, &mut lone_old));
            if unequal.len() + lone_old.len() + lone_new.len() > SUSPECTS {
                self.keys = None;
                return Ok(());
            }
        }
        self.rows -= (unequal.len() + lone_new.len()) as u64;
        unequal.extend(lone_old.into_keys().chain(lone_new.into_keys()));
        self.keys = Some(unequal);
        Ok(())
    }

    async fn recheck(&self, store: &dyn Store) -> Result<TableComparison, CoordinatorError> {
        let damage = match &self.damage {
            Some(damage) => damage.clone(),
            None => match self.compare_again(store).await {
                Ok(table) => return Ok(table),
                Err(error) => self.damage_of(error)?,
            },
        };
        let what = format!("cannot be read: {damage}");
        let first = vec![RowDifference { key: "of the active generation".to_owned(), what }];
        Ok(TableComparison { table: self.name.clone(), rows: self.rows, differing: 1, first })
    }

    async fn compare_again(&self, store: &dyn Store) -> Result<TableComparison, CoordinatorError> {
        let mut table =
            TableComparison { table: self.name.clone(), rows: self.rows, differing: 0, first: Vec::new() };
        if let Some(keys) = &self.keys {
            for keys in keys.chunks(PAGE) {
                let (old, new) = (load(store, &self.old, keys).await?, load(store, &self.new, keys).await?);
                table.rows += new.iter().flatten().count() as u64;
                for (key, (old, new)) in keys.iter().zip(old.iter().zip(&new)) {
                    table.compare(key, old.as_ref(), new.as_ref());
                }
            }
            return Ok(table);
        }
        self.recheck_all(store, &mut table).await?;
        Ok(table)
    }

    async fn recheck_all(
        &self,
        store: &dyn Store,
        table: &mut TableComparison,
    ) -> Result<(), CoordinatorError> {
        table.rows = 0;
        let mut pages = Pages::of(&self.new);
        while let Some((rows, olds)) = pages.next_with(store, &self.old).await? {
            table.rows += rows.len() as u64;
            for (row, old) in rows.iter().zip(&olds) {
                table.compare(&row.key, old.as_ref(), Some(&row.value));
            }
        }
        let mut pages = Pages::of(&self.old);
        while let Some((rows, news)) = pages.next_with(store, &self.new).await? {
            for (row, _) in rows.iter().zip(&news).filter(|(_, new)| new.is_none()) {
                table.compare(&row.key, Some(&row.value), None);
            }
        }
        Ok(())
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
            self.first.push(RowDifference { key: hex(key), what: what.to_owned() });
        }
    }
}

/// A table, page by page.
struct Pages<'a> {
    table: &'a TableId,
    after: Option<Bytes>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn of(table: &'a TableId) -> Pages<'a> {
        Pages { table, after: None, ended: false }
    }

    /// The next rows; none at the end.
    async fn next(&mut self, store: &dyn Store) -> Result<Vec<Row>, CoordinatorError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let scan = Scan::All { after: self.after.take(), limit: PAGE };
        let rows = store.scan(self.table, &scan).await.map_err(CoordinatorError::store("compare tables"))?;
        self.after = rows.last().map(|row| row.key.clone());
        self.ended = rows.is_empty();
        Ok(rows)
    }

    /// The next rows and, for each, the row under the same key in another table; `None` at the end.
    async fn next_with(
        &mut self,
        store: &dyn Store,
        other: &TableId,
    ) -> Result<Option<(Vec<Row>, Vec<Option<Bytes>>)>, CoordinatorError> {
        let rows = self.next(store).await?;
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let others = load(store, other, &keys).await?;
        Ok((!rows.is_empty()).then_some((rows, others)))
    }
}

/// Pairs rows that stand at the same place of their page, as most do, and returns the rest.
fn in_step(
    olds: Vec<Row>,
    news: Vec<Row>,
    unequal: &mut Vec<Bytes>,
) -> (impl Iterator<Item = Row> + use<>, impl Iterator<Item = Row> + use<>) {
    let pairs = olds.iter().zip(&news);
    let same = pairs.take_while(|(old, new)| old.key == new.key);
    let same = same
        .map(|(old, new)| {
            if old.value != new.value {
                unequal.push(old.key.clone())
            }
        })
        .count();
    (olds.into_iter().skip(same), news.into_iter().skip(same))
}

/// Pairs rows of one table with rows of the other that have no partner yet; those without one wait in `own`. Returns the
/// keys of pairs that are not equal.
fn pair(
    rows: impl Iterator<Item = Row>,
    own: &mut HashMap<Bytes, Bytes>,
    other: &mut HashMap<Bytes, Bytes>,
) -> Vec<Bytes> {
    let mut unequal = Vec::new();
    for Row { key, value } in rows {
        match other.remove(&key) {
            Some(partner) if partner == value => {}
            Some(_) => unequal.push(key),
            None => {
                own.insert(key, value);
            }
        }
    }
    unequal
}

async fn load(
    store: &dyn Store,
    table: &TableId,
    keys: &[Bytes],
) -> Result<Vec<Option<Bytes>>, CoordinatorError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    store.load(table, keys).await.map_err(CoordinatorError::store("compare tables"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tidefold_record::Offset;
    use tidefold_store::memory::MemoryStore;
    use tidefold_store::{Lane, Table, TableWrites};
    use tidefold_table::{RowWrite, Stamp, TableKind, TableLayout};

    use super::*;

    fn table(name: &str) -> Table {
        let layout = TableLayout::untyped(name.to_owned(), TableKind::Entity);
        Table { id: TableId::new("shop", name, 1), layout: Arc::new(layout) }
    }

    /// Both passes over tables with these rows.
    async fn compared(old: &[Option<u8>], new: &[Option<u8>]) -> TableComparison {
        let (store, tables) = (MemoryStore::new(), [table("old"), table("new")]);
        store.open(&tables).await.unwrap();
        let lane = Lane { checkpoints: TableId::new("shop", "checkpoints", 1), partition: 0 };
        for (table, values) in tables.iter().zip([old, new]) {
            let row = |(key, value): (usize, &Option<u8>)| RowWrite {
                key: Bytes::copy_from_slice(&(key as u16).to_be_bytes()),
                value: value.map(|value| Bytes::copy_from_slice(&[value])),
                stamp: Stamp::put(Offset(0)),
            };
            let rows = values.iter().enumerate().filter(|(_, value)| value.is_some()).map(row).collect();
            let writes = TableWrites { table: table.id.clone(), rows };
            store.write(&lane, &[writes]).await.unwrap();
        }
        let [old, new] = tables.map(|table| table.id);
        let mut suspects = Suspects::new("orders".into(), old, new);
        suspects.collect(&store).await.unwrap();
        recheck(&store, &[suspects]).await.unwrap().tables.remove(0)
    }

    proptest! {
        #[test]
        fn every_row_that_differs_is_counted_however_many_there_are(
            pairs in prop::collection::vec((prop::option::of(0u8..3), prop::option::of(0u8..3)), 0..120),
            alike in prop::bool::weighted(0.5),
        ) {
            let old: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
            let new: Vec<_> = pairs.iter().enumerate().map(|(at, pair)| if alike && at % 9 > 0 { pair.0 } else { pair.1 }).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(compared(&old, &new));
            let differing = old.iter().zip(&new).filter(|(old, new)| old != new).count();
            prop_assert_eq!(found.differing, differing as u64);
            prop_assert_eq!(found.first.len(), differing.min(SHOWN));
            prop_assert_eq!(found.rows, new.iter().flatten().count() as u64);
        }
    }
}
