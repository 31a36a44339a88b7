//! Reading: rows by key, and scans. Every row proves that we wrote it: the server's WRITETIME is the stamp of the offset in
//! the row.

use std::ops::Bound;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use tidefold_record::Offset;
use tidefold_store::{Scan, StoreError};
use tidefold_table::{Damaged, Row, Stamp, TableKind};

use crate::cells::{Cells, Fetched};
use crate::connect::Server;
use crate::error::{answer, executing, hex, misshapen};
use crate::segments::{Segment, segments};
use crate::statements::OpenTable;

/// Rows the server sends at a time.
const PAGE: usize = 1_000;

/// A scan under way.
struct Collecting<'a> {
    table: &'a OpenTable,
    rows: Vec<Row>,
    limit: usize,
    /// The keys that are wanted; a statement may return more.
    lower: &'a [u8],
    upper: Option<&'a [u8]>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn load(
        &self,
        table: &OpenTable,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        if let [key] = keys {
            return Ok(vec![self.load_one(table, key).await?]);
        }
        let requests: Vec<BoxFuture<'_, _>> =
            keys.iter().map(|key| self.load_one(table, key).boxed()).collect();
        stream::iter(requests).buffered(self.settings.in_flight.max(1)).try_collect().await
    }

    async fn load_one(&self, table: &OpenTable, key: &Bytes) -> Result<Option<Bytes>, StoreError> {
        let mut cells = Cells::default();
        table.shape.key(key, &mut cells).map_err(|_| misshapen(&table.id, key))?;
        let rows = self.whole(table, &table.load, &cells).await?;
        let row = rows.maybe_first_row::<Fetched<'_>>().map_err(|error| answer("to read", &error))?;
        row.map(|row| value(table, key, &row.0)).transpose()
    }

    pub(crate) async fn scan(&self, table: &OpenTable, scan: &Scan) -> Result<Vec<Row>, StoreError> {
        match scan {
            Scan::All { after, limit } => self.all(table, after.as_deref(), *limit).await,
            Scan::Range { prefix, limit, .. } => {
                let Some((Bound::Included(lower), upper)) = scan.bounds() else { return Ok(vec![]) };
                let upper = match &upper {
                    Bound::Excluded(upper) => Some(&**upper),
                    _ => None,
                };
                let mut collecting = Collecting { table, rows: vec![], limit: *limit, lower: &lower, upper };
                self.within(&mut collecting, prefix.bytes()).await?;
                Ok(collecting.rows)
            }
        }
    }

    /// Rows of the one partition `prefix` names.
    async fn within(&self, collecting: &mut Collecting<'_>, prefix: &[u8]) -> Result<(), StoreError> {
        let table = collecting.table;
        let mut partition = Cells::default();
        let rest =
            table.shape.partition_key(prefix, &mut partition).map_err(|_| misshapen(&table.id, prefix))?;
        let partition_bytes = prefix.get(..prefix.len() - rest.len()).unwrap_or_default();
        let lower = collecting.lower.strip_prefix(partition_bytes).unwrap_or_default();
        let upper = collecting.upper.and_then(|upper| upper.strip_prefix(partition_bytes));
        for segment in &segments(table.shape.clustering(), lower, upper) {
            if collecting.is_full() {
                break;
            }
            let prepared = table.scan(self, table.segment_cql(segment)).await?;
            self.collect(collecting, prepared, &markers(&partition, segment)).await?;
        }
        Ok(())
    }

    /// Rows in the order of their partitions' tokens; within one, in key order. (Two partition keys with one token of 64
    /// bits would be a page's end apart from each other; nobody has seen such two.)
    async fn all(
        &self,
        table: &OpenTable,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let behind = after.map(|after| [after, &[0]].concat()).unwrap_or_default();
        let mut collecting = Collecting { table, rows: vec![], limit, lower: &behind, upper: None };
        let mut partition = Cells::default();
        if let Some(after) = after {
            let shape = &table.shape;
            let rest = shape.partition_key(after, &mut partition).map_err(|_| misshapen(&table.id, after))?;
            if !shape.clustering().is_empty() {
                let prefix = after.get(..after.len() - rest.len()).unwrap_or_default();
                self.within(&mut collecting, prefix).await?;
            }
        }
        collecting.lower = &[];
        let prepared = table.scan(self, table.all_cql(after.is_some())).await?;
        self.collect(&mut collecting, prepared, &partition).await?;
        Ok(collecting.rows)
    }

    /// Collects a statement's rows until there are enough.
    async fn collect(
        &self,
        collecting: &mut Collecting<'_>,
        mut prepared: PreparedStatement,
        cells: &Cells,
    ) -> Result<(), StoreError> {
        let mut state = PagingState::start();
        while !collecting.is_full() {
            let missing = (collecting.limit - collecting.rows.len()).min(PAGE);
            prepared.set_page_size(i32::try_from(missing).unwrap_or(i32::MAX));
            let (rows, next) = self.page(collecting.table, &prepared, cells, state).await?;
            collecting.take(&rows)?;
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => break,
            }
        }
        Ok(())
    }

    /// An answer without pages: no server has to keep a place for more of it.
    async fn whole(
        &self,
        table: &OpenTable,
        prepared: &PreparedStatement,
        cells: &Cells,
    ) -> Result<QueryRowsResult, StoreError> {
        let _permit = self.permits.acquire().await;
        let what = || format!("to read table {}", table.id);
        let answered = Box::pin(self.session.execute_unpaged(prepared, cells)).await;
        let answered = answered.map_err(|error| executing(&what(), &error))?;
        answered.into_rows_result().map_err(|error| answer(&what(), &error))
    }

    async fn page(
        &self,
        table: &OpenTable,
        prepared: &PreparedStatement,
        cells: &Cells,
        state: PagingState,
    ) -> Result<(QueryRowsResult, PagingStateResponse), StoreError> {
        let _permit = self.permits.acquire().await;
        let what = || format!("to read table {}", table.id);
        let answered = Box::pin(self.session.execute_single_page(prepared, cells, state)).await;
        let (result, next) = answered.map_err(|error| executing(&what(), &error))?;
        Ok((result.into_rows_result().map_err(|error| answer(&what(), &error))?, next))
    }
}

// === impl Collecting ===

impl Collecting<'_> {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    fn take(&mut self, rows: &QueryRowsResult) -> Result<(), StoreError> {
        let parts = self.table.shape.parts.len();
        for row in rows.rows::<Fetched<'_>>().map_err(|error| answer("a scan", &error))? {
            let row = row.map_err(|error| answer("a scan", &error))?;
            let key = key(self.table, &row.0, parts)?;
            let is_wanted = *key >= *self.lower && self.upper.is_none_or(|upper| *key < *upper);
            if is_wanted && !self.is_full() {
                let value = value(self.table, &key, row.0.get(parts..).unwrap_or_default())?;
                self.rows.push(Row { key, value });
            }
        }
        Ok(())
    }
}

fn markers(partition: &Cells, segment: &Segment) -> Cells {
    let mut cells = partition.clone();
    segment.equal.iter().for_each(|cell| cells.put(cell));
    for (cell, _) in segment.low.iter().chain(&segment.high) {
        cells.put(cell);
    }
    cells
}

/// The key bytes of the first `parts` key columns.
fn key(table: &OpenTable, cells: &[Option<&[u8]>], parts: usize) -> Result<Bytes, StoreError> {
    let mut key = Vec::new();
    for (part, cell) in table.shape.parts.iter().zip(cells).take(parts) {
        let read = cell.map(|cell| part.read(cell, &mut key));
        if read != Some(Ok(())) {
            let found = format!("column {} holds no value of its type", part.name);
            return Err(damaged(table, format!("the row behind key {}", hex(&key)), found));
        }
    }
    Ok(key.into())
}

/// The value of a row: the cells behind its key, if we wrote them. Further ones are the times at which shown columns
/// were written, which have none where they are null. A rollup's may be older than the row: an earlier version, which shows
/// none, wrote it last.
fn value(table: &OpenTable, key: &[u8], cells: &[Option<&[u8]>]) -> Result<Bytes, StoreError> {
    let number = |cell: Option<&[u8]>| Some(i64::from_be_bytes(cell?.try_into().ok()?));
    let by_hand = match cells {
        [Some(value), offset, written, shown @ ..] => {
            let offset = number(*offset).and_then(|offset| u64::try_from(offset).ok());
            let stamp = offset
                .filter(|offset| *offset < 1 << 62)
                .and_then(|offset| i64::try_from(Stamp::put(Offset(offset)).0).ok());
            let may_be_older = table.shape.kind == TableKind::Rollup;
            let is_ours = |written: &Option<&[u8]>| {
                written.is_none() || stamp == number(*written) || (may_be_older && number(*written) < stamp)
            };
            let row_is_ours = stamp.is_some() && stamp == number(*written);
            let columns = table.shape.shown.columns().iter();
            match columns.zip(shown).find(|(_, written)| !is_ours(written)) {
                None if row_is_ours => return Ok(Bytes::copy_from_slice(value)),
                Some((column, _)) if row_is_ours => column.name.as_str(),
                None | Some(_) => "_value",
            }
        }
        _ => "_value",
    };
    let found = format!("a statement without our timestamp wrote its column {by_hand}");
    Err(damaged(table, table.layout.key_text(key), found))
}

fn damaged(table: &OpenTable, key: String, found: String) -> StoreError {
    Damaged { table: table.id.to_string(), key, found, remedy: table.layout.kind.remedy().to_owned() }.into()
}
