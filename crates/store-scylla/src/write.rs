//! Writing: rows of one table partition travel together, and so do those of a few partitions that one node has; everything else
//! goes side by side.

use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::cluster::ClusterState;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
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

/// Rows of several partitions travel together while they are of at most so many, and below so many bytes: servers warn of more.
const BATCH_PARTITIONS: u32 = 10;
const TOGETHER_BYTES: usize = 4 << 10;

/// Rows that travel together, as statements.
struct Parcel<'a> {
    table: &'a OpenTable,
    rows: Vec<(&'a PreparedStatement, Cells)>,
    weight: usize,
    /// How many partitions they are of.
    partitions: u32,
}

/// A node, and what serves a row there.
type Place = (u128, u32);

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
        let parcels = self.together(parcels);
        let requests: Vec<BoxFuture<'_, _>> =
            parcels.into_iter().map(|parcel| self.send(parcel).boxed()).collect();
        stream::iter(requests).buffer_unordered(self.settings.in_flight.max(1)).try_collect().await
    }

    /// Parcels for one place as one: a request costs a server more than a row in it does, and a batch of few records has
    /// hardly two rows for one partition.
    fn together<'a>(&self, parcels: Vec<Parcel<'a>>) -> Vec<Parcel<'a>> {
        if parcels.len() < 2 {
            return parcels;
        }
        let state = self.session.get_cluster_state();
        let mut open: AHashMap<Place, usize> = AHashMap::new();
        let mut all: Vec<Parcel<'a>> = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            let Some(place) = self.place_of(&state, &parcel) else {
                all.push(parcel);
                continue;
            };
            match open.get(&place).and_then(|at| all.get_mut(*at)).filter(|there| there.has_room_for(&parcel))
            {
                Some(there) => there.add(parcel),
                None => {
                    open.insert(place, all.len());
                    all.push(parcel);
                }
            }
        }
        all
    }

    /// The first place that has the rows of a parcel; none where nobody knows.
    fn place_of(&self, state: &ClusterState, parcel: &Parcel<'_>) -> Option<Place> {
        // A node of Cassandra has no parts to tell apart.
        if let ([only], false) = (state.get_nodes_info(), self.is_scylla) {
            return Some((only.host_id.as_u128(), 0));
        }
        let (statement, cells) = parcel.rows.first()?;
        let (token, table) = (statement.calculate_token(cells).ok()??, statement.get_table_spec()?);
        let places = state.get_token_endpoints(table.ks_name(), table.table_name(), token);
        places.first().map(|(node, shard)| (node.host_id.as_u128(), *shard))
    }

    async fn send(&self, parcel: Parcel<'_>) -> Result<(), StoreError> {
        let Parcel { table, rows, partitions, .. } = parcel;
        let most = self.settings.in_flight.clamp(1, BATCH_PARTITIONS as usize) as u32;
        let _permit = self.permits.acquire_many(partitions.min(most)).await;
        let sent = match rows.as_slice() {
            [(statement, cells)] => self.session.execute_unpaged(statement, cells).await,
            rows => {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                batch.set_retry_policy(table.put.get_retry_policy().cloned());
                rows.iter().for_each(|(statement, _)| batch.append_statement((*statement).clone()));
                let cells: Vec<&Cells> = rows.iter().map(|(_, cells)| cells).collect();
                self.session.batch(&batch, cells).await
            }
        };
        sent.map(drop).map_err(|error| executing(&format!("to write to table {}", table.id), &error))
    }
}

// === impl Parcel ===

impl<'a> Parcel<'a> {
    fn has_room_for(&self, other: &Parcel<'a>) -> bool {
        self.rows.len() + other.rows.len() <= BATCH_ROWS
            && self.weight + other.weight <= TOGETHER_BYTES
            && self.partitions + other.partitions <= BATCH_PARTITIONS
    }

    fn add(&mut self, other: Parcel<'a>) {
        self.rows.extend(other.rows);
        self.weight += other.weight;
        self.partitions += other.partitions;
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
        let add = (if row.value.is_some() { &table.put } else { &table.delete }, cells);
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
                parcels.push(Parcel { table, rows: vec![add], weight, partitions: 1 });
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
