//! Rows of a range in key order, whatever buckets they are stored in. What leaves here has keys without the bucket, so
//! that pages, cursors and groups know nothing of buckets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tidefold_codec::ordered::OrderedError;
use tidefold_http::Problem;
use tidefold_store::{Scan, SharedStore};
use tidefold_table::bucket::{BUCKET_BYTES, cut_bucket};
use tidefold_table::{Broken, Row};

use crate::request::{Buckets, Query};
use crate::table::{ReadTable, store_problem};

/// How many buckets are read at once.
const AT_ONCE: usize = 16;

/// A scan of one table for one query.
pub(crate) struct Scanner<'s> {
    pub(crate) store: &'s SharedStore,
    pub(crate) table: &'s ReadTable,
    pub(crate) query: &'s Query,
}

/// Rows of one bucket, on their way into the merge.
struct Run {
    bucket: [u8; BUCKET_BYTES],
    rows: std::vec::IntoIter<Row>,
    /// How many rows were asked for and how many came: fewer means that the bucket ends.
    ended: bool,
}

// === impl Scanner ===

impl Scanner<'_> {
    /// At most `limit` rows from `from` on; fewer where the range ends.
    ///
    /// # Errors
    /// The store's trouble, or a damaged key.
    pub(crate) async fn rows(&self, from: Option<Bytes>, limit: usize) -> Result<Vec<Row>, Problem> {
        match &self.query.buckets {
            None => {
                let prefix = self.table.prefix(&self.query.prefix)?;
                let scan = Scan::Range { prefix, from, until: self.query.until.clone(), limit };
                self.store.scan(&self.table.table.id, &scan).await.map_err(store_problem)
            }
            Some(buckets) if buckets.in_order => self.walk(buckets, from, limit).await,
            Some(buckets) => self.merge(buckets, from, limit).await,
        }
    }

    /// One bucket after the other: the buckets are in the order of their rows. First one at a time, since it may fill the
    /// page; then more at once, since many may be empty.
    async fn walk(&self, buckets: &Buckets, from: Option<Bytes>, limit: usize) -> Result<Vec<Row>, Problem> {
        let bucketing = self.table.table.layout.bucketing();
        let first = from.as_ref().and_then(|from| from.get(buckets.at..)).zip(bucketing);
        let first = first.filter(|(behind, _)| behind.len() >= BUCKET_BYTES);
        let first = first.map_or([0; BUCKET_BYTES], |(behind, bucketing)| bucketing.of(behind));
        let mut left = buckets.each.get(buckets.each.partition_point(|b| *b < first)..).unwrap_or_default();
        let (mut rows, mut width) = (Vec::new(), 1);
        while !left.is_empty() && rows.len() < limit {
            let (now, later) = left.split_at(width.min(left.len()));
            let wanted = limit - rows.len();
            let scans = now.iter().map(|bucket| self.bucket(buckets.at, *bucket, from.as_ref(), wanted));
            try_join_all(scans).await?.into_iter().for_each(|found| rows.extend(found));
            left = later;
            width = (width * 2).min(AT_ONCE);
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// All buckets at once, their rows merged by key. Each gives its share of the page and some more; one that is used up
    /// is asked again.
    async fn merge(&self, buckets: &Buckets, from: Option<Bytes>, limit: usize) -> Result<Vec<Row>, Problem> {
        let share = (limit / buckets.each.len().max(1) * 2 + 4).min(limit);
        let mut runs = Vec::with_capacity(buckets.each.len());
        for some in buckets.each.chunks(AT_ONCE) {
            let scans = some.iter().map(|bucket| self.bucket(buckets.at, *bucket, from.as_ref(), share));
            for (bucket, rows) in some.iter().zip(try_join_all(scans).await?) {
                let ended = rows.len() < share;
                runs.push(Run { bucket: *bucket, rows: rows.into_iter(), ended });
            }
        }
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            heap.extend(run.rows.next().map(|row| Reverse((row.key, at, row.value))));
        }
        let mut merged = Vec::with_capacity(limit.min(1_024));
        while let Some(Reverse((key, at, value))) = heap.pop() {
            let behind: Bytes = [&key[..], &[0]].concat().into();
            merged.push(Row { key, value });
            if merged.len() == limit {
                break;
            }
            let Some(run) = runs.get_mut(at) else { continue };
            let mut next = run.rows.next();
            if next.is_none() && !run.ended {
                let rows = self.bucket(buckets.at, run.bucket, Some(&behind), share).await?;
                run.ended = rows.len() < share;
                run.rows = rows.into_iter();
                next = run.rows.next();
            }
            heap.extend(next.map(|row| Reverse((row.key, at, row.value))));
        }
        Ok(merged)
    }

    /// Rows of one bucket, their keys without it.
    async fn bucket(
        &self,
        at: usize,
        bucket: [u8; BUCKET_BYTES],
        from: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<Row>, Problem> {
        let Query { prefix, until, .. } = self.query;
        let partition = prefix.get(..at).unwrap_or_default();
        let stored = |key: &Bytes| -> Option<Bytes> {
            let behind = key.strip_prefix(partition)?;
            Some([partition, &bucket, behind].concat().into())
        };
        // A bound outside the partition is one of its ends, or leaves nothing of it.
        if from.is_some_and(|from| !from.starts_with(partition) && from[..] > *partition)
            || until.as_ref().is_some_and(|until| !until.starts_with(partition) && until[..] < *partition)
        {
            return Ok(Vec::new());
        }
        let scan = Scan::Range {
            prefix: self.table.prefix(&stored(prefix).unwrap_or_default())?,
            from: from.and_then(stored),
            until: until.as_ref().and_then(stored),
            limit,
        };
        let rows = self.store.scan(&self.table.table.id, &scan).await.map_err(store_problem)?;
        let cut = |row: Row| {
            let broken = Broken::Key(OrderedError { at: row.key.len() });
            let key = cut_bucket(&row.key, at).ok_or(broken).map_err(self.table.broken(&row.key))?;
            Ok(Row { key: key.into(), value: row.value })
        };
        rows.into_iter().map(cut).collect()
    }
}
