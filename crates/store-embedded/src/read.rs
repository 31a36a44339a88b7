//! Loads and scans.

use std::sync::PoisonError;

use bytes::Bytes;
use tidefold_store::{Scan, StoreError};
use tidefold_table::{Row, Stamp};

use crate::row::Stored;
use crate::tables::{Mirror, OpenTable};

impl OpenTable {
    /// The row under a key.
    pub(crate) fn load(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(mirror) = &self.mirror {
            let mirror = mirror.read().unwrap_or_else(PoisonError::into_inner);
            return Ok(mirror.get(key).and_then(|(_, value)| value.clone()));
        }
        let Some(bytes) = self.keyspace.get(key).map_err(|error| self.unread(error))? else {
            return Ok(None);
        };
        match Stored::decode(&bytes) {
            Some(Stored::Put(_, value)) => Ok(Some(Bytes::copy_from_slice(value))),
            Some(Stored::Deleted(..)) => Ok(None),
            None => Err(self.no_row(key)),
        }
    }

    /// The stamp under a key, of a put or a delete.
    pub(crate) fn stamp(&self, key: &[u8]) -> Result<Option<Stamp>, StoreError> {
        let bytes = self.keyspace.get(key).map_err(|error| self.unread(error))?;
        bytes
            .map(|bytes| Stored::decode(&bytes).map(|row| row.stamp()).ok_or_else(|| self.no_row(key)))
            .transpose()
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Result<Vec<Row>, StoreError> {
        let Some(bounds) = scan.bounds() else { return Ok(Vec::new()) };
        if let Some(mirror) = &self.mirror {
            let mirror = mirror.read().unwrap_or_else(PoisonError::into_inner);
            return Ok(scan_mirror(&mirror, scan));
        }
        self.collect(self.keyspace.range(bounds), scan.limit())
    }

    fn collect(
        &self,
        entries: impl Iterator<Item = fjall::Guard>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        for entry in entries {
            let (key, value) = entry.into_inner().map_err(|error| self.unread(error))?;
            match Stored::decode(&value) {
                Some(Stored::Deleted(..)) => {}
                Some(Stored::Put(_, value)) => {
                    rows.push(Row { key: Bytes::copy_from_slice(&key), value: Bytes::copy_from_slice(value) })
                }
                None => return Err(self.no_row(&key)),
            }
            if rows.len() == limit {
                break;
            }
        }
        Ok(rows)
    }
}

fn scan_mirror(mirror: &Mirror, scan: &Scan) -> Vec<Row> {
    let Some(bounds) = scan.bounds() else { return Vec::new() };
    let rows = mirror
        .range(bounds)
        .filter_map(|(key, (_, value))| Some(Row { key: key.clone(), value: value.clone()? }));
    rows.take(scan.limit()).collect()
}
