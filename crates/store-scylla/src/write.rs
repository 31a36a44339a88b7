//! Writing: rows of one table partition travel together, everything else side by side.

use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::statement::batch::{Batch, BatchType};
use tidefold_store::{StoreError, TableWrites};
use tidefold_table::{RowWrite, Stamp};

use crate::cells::Cells;
use crate::connect::Server;
use crate::error::{executing, hex, misshapen, refused};
use crate::statements::OpenTable;

/// A batch ends with the statement that reaches this: servers warn of batches of 5 KiB and more by default, and refuse
/// them at 50.
const BATCH_BYTES: usize = 16 << 10;
/// A batch has at most so many statements.
const BATCH_ROWS: usize = 100;

/// Rows of one partition of a table, as statements.
struct Parcel<'a> {
    table: &'a OpenTable,
    rows: Vec<(bool, Cells)>,
    weight: usize,
}

// === impl Server ===

impl Server {
    /// Writes everything; returns when all of it is acknowledged.
    pub(crate) async fn write(
        &self,
        tables: &[Arc<OpenTable>],
        writes: &[TableWrites],
    ) -> Result<(), StoreError> {
        let mut parcels = Vec::new();
        for (table, part) in tables.iter().zip(writes) {
            pack(table, &part.rows, &mut parcels)?;
        }
        let requests: Vec<BoxFuture<'_, _>> =
            parcels.into_iter().map(|parcel| self.send(parcel).boxed()).collect();
        stream::iter(requests).buffer_unordered(self.settings.in_flight.max(1)).try_collect().await
    }

    async fn send(&self, parcel: Parcel<'_>) -> Result<(), StoreError> {
        let _permit = self.permits.acquire().await;
        let Parcel { table, rows, .. } = parcel;
        let statement = |is_put: bool| if is_put { &table.put } else { &table.delete };
        let sent = match rows.as_slice() {
            [(is_put, cells)] => self.session.execute_unpaged(statement(*is_put), cells).await,
            rows => {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                batch.set_retry_policy(table.put.get_retry_policy().cloned());
                rows.iter().for_each(|(is_put, _)| batch.append_statement(statement(*is_put).clone()));
                let cells: Vec<&Cells> = rows.iter().map(|(_, cells)| cells).collect();
                self.session.batch(&batch, cells).await
            }
        };
        sent.map(drop).map_err(|error| executing(&format!("to write to table {}", table.id), &error))
    }
}

/// Rows by their partitions, in parcels of bounded size.
fn pack<'a>(
    table: &'a OpenTable,
    rows: &[RowWrite],
    parcels: &mut Vec<Parcel<'a>>,
) -> Result<(), StoreError> {
    let is_shared = !table.shape.clustering().is_empty();
    let mut open: AHashMap<&[u8], usize> = AHashMap::new();
    for row in rows {
        let cells = statement(table, row)?;
        let weight = cells.weight();
        let add = (row.value.is_some(), cells);
        let partition = match is_shared {
            true => partition_bytes(table, &row.key)?,
            false => &[],
        };
        let known = if is_shared { open.get(partition).and_then(|at| parcels.get_mut(*at)) } else { None };
        match known {
            Some(parcel) if parcel.rows.len() < BATCH_ROWS && parcel.weight + weight <= BATCH_BYTES => {
                parcel.rows.push(add);
                parcel.weight += weight;
            }
            _ => {
                if is_shared {
                    open.insert(partition, parcels.len());
                }
                parcels.push(Parcel { table, rows: vec![add], weight });
            }
        }
    }
    Ok(())
}

fn partition_bytes<'k>(table: &OpenTable, key: &'k [u8]) -> Result<&'k [u8], StoreError> {
    let rest =
        table.shape.partition_key(key, &mut Cells::default()).map_err(|_| misshapen(&table.id, key))?;
    Ok(key.get(..key.len() - rest.len()).unwrap_or_default())
}

/// The cells of a row's statement.
fn statement(table: &OpenTable, row: &RowWrite) -> Result<Cells, StoreError> {
    let offset = row.stamp.offset();
    let expected = if row.value.is_some() { Stamp::put(offset) } else { Stamp::delete(offset) };
    let stamp = i64::try_from(row.stamp.0).ok().filter(|stamp| *stamp > 1 && row.stamp == expected);
    let Some(stamp) = stamp else {
        let kind = if row.value.is_some() { "put" } else { "delete" };
        return Err(refused(
            format!("a {kind} in table {}", table.id),
            format!("{} is no stamp of a {kind}; key {}", row.stamp.0, hex(&row.key)),
        ));
    };
    let shape = &table.shape;
    // About: what is shown of the value is mostly shorter than it, or than this.
    let bytes = 2 * (row.key.len() + row.value.as_ref().map_or(0, Bytes::len)) + 64;
    let mut cells = Cells::with_room(bytes, shape.parts.len() + shape.shown.columns().len() + 3);
    let misshapen = |_| misshapen(&table.id, &row.key);
    match &row.value {
        Some(value) => {
            shape.key(&row.key, &mut cells).map_err(misshapen)?;
            shape.show(value, &mut cells).map_err(misshapen)?;
            cells.put(&offset.0.to_be_bytes());
            cells.put(value);
            cells.put(&stamp.to_be_bytes());
        }
        None => {
            cells.put(&stamp.to_be_bytes());
            shape.key(&row.key, &mut cells).map_err(misshapen)?;
        }
    }
    Ok(cells)
}
