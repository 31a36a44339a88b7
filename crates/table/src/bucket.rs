//! Buckets: a hidden column that splits a huge partition of a view.
//!
//! The stored partition key of a view with a bucket has one column more than a query names: it stands behind the
//! partition key's columns and before the clustering columns, takes [`BUCKET_BYTES`] in the key, and is a pure function
//! of the clustering columns' bytes. So the fold and a reader find a row in the same bucket, for an index as for a
//! rollup, and no answer ever shows it: who reads stored keys drops it with [`TableLayout::without_bucket`].
//!
//! The bytes sort like the bucket's value as a key column, so a store with typed columns takes it for one:
//! [`TableLayout::stored_key_columns`] is the one place that says which columns a stored key has.

use std::borrow::Cow;

use bumpalo::Bump;
use tidefold_codec::Type;
use tidefold_codec::ordered::{self, KeyColumn, OrderedError};
use tidefold_codec::truncate::{TruncUnit, truncate, units_per_day};
use tidefold_record::murmur2::murmur2;

use crate::layout::{Bucket, TableKind, TableLayout};

/// How many bytes of a stored key are the bucket.
pub const BUCKET_BYTES: usize = 8;
/// The hidden column's name in a store with named columns; no column of an app starts with an underscore.
pub const BUCKET_COLUMN: &str = "_bucket";

/// A column of a stored key.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredColumn {
    /// A column of the layout, by its place.
    Column(usize, KeyColumn),
    /// The hidden bucket: an int of a hash, else of the first clustering column's type and direction.
    Bucket(KeyColumn),
}

/// What is worked out once to find rows' buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucketing {
    kind: Bucket,
    column: KeyColumn,
}

// === impl TableLayout ===

impl TableLayout {
    /// The columns of a stored key in key order: the partition key, the bucket where there is one, the clustering
    /// columns. Partition key and bucket together are what a store may partition by.
    pub fn stored_key_columns(&self) -> impl Iterator<Item = StoredColumn> + '_ {
        let column = |(at, column)| StoredColumn::Column(at, column);
        let partition = self.key_columns().take(self.partition_key.len()).map(column);
        let clustering = self.key_columns().skip(self.partition_key.len()).map(column);
        partition.chain(self.bucketing().map(|found| StoredColumn::Bucket(found.column))).chain(clustering)
    }

    /// How rows find their buckets, if they have any.
    #[must_use]
    pub fn bucketing(&self) -> Option<Bucketing> {
        let kind = self.bucket?;
        let column = match kind {
            Bucket::Hash { .. } => KeyColumn { ty: Type::Int, descending: false },
            Bucket::Trunc { .. } => self.key_columns().nth(self.partition_key.len())?.1,
        };
        Some(Bucketing { kind, column })
    }

    /// A stored key as its key columns make it: without the bucket.
    ///
    /// # Errors
    /// When the bytes are no key of this table.
    pub fn without_bucket<'k>(&self, stored: &'k [u8]) -> Result<Cow<'k, [u8]>, OrderedError> {
        if self.bucket.is_none() {
            return Ok(Cow::Borrowed(stored));
        }
        let at = self.partition_bytes(stored)?;
        cut_bucket(stored, at).map(Cow::Owned).ok_or(OrderedError { at: stored.len() })
    }

    /// What follows the partition key and the bucket of an index's or rollup's stored key; `None` where they are not whole,
    /// or of any other table.
    pub(crate) fn after_partition<'k>(&self, stored: &'k [u8]) -> Option<&'k [u8]> {
        let bucket = if self.bucket.is_some() { BUCKET_BYTES } else { 0 };
        match self.kind {
            TableKind::Index | TableKind::Rollup => stored.get(self.partition_bytes(stored).ok()? + bucket..),
            TableKind::Entity | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => None,
        }
    }

    /// How many bytes of a stored key are the partition key's columns.
    fn partition_bytes(&self, stored: &[u8]) -> Result<usize, OrderedError> {
        let arena = Bump::new();
        let columns: Vec<_> = self.key_columns().take(self.partition_key.len()).collect();
        let mut rest = stored;
        for (_, column) in &columns {
            rest = ordered::decode(column, rest, &arena)?.1;
        }
        Ok(stored.len() - rest.len())
    }
}

/// A stored key without the bucket behind its first `at` bytes; `None` where it ends before.
#[must_use]
pub fn cut_bucket(stored: &[u8], at: usize) -> Option<Vec<u8>> {
    let (partition, rest) = stored.split_at_checked(at)?;
    Some([partition, rest.get(BUCKET_BYTES..)?].concat())
}

// === impl Bucketing ===

impl Bucketing {
    /// The bucket of the row whose clustering columns have these bytes (of a rollup: with or without a shard behind
    /// them where it is by time; without where it is by hash). By time, the first column is enough.
    #[must_use]
    pub fn of(&self, clustering: &[u8]) -> [u8; BUCKET_BYTES] {
        match self.kind {
            Bucket::Hash { buckets } => {
                self.encode(i64::from((murmur2(clustering) & 0x7fff_ffff) % buckets.max(1)))
            }
            Bucket::Trunc { unit } => {
                let first = clustering.first_chunk::<BUCKET_BYTES>().copied().unwrap_or_default();
                let value = (u64::from_be_bytes(first) ^ self.invert() ^ (1 << 63)) as i64;
                self.encode(truncate(unit, value, &self.column.ty).unwrap_or(value))
            }
        }
    }

    /// Every bucket of a hash, in key order; none of a split by time.
    #[must_use]
    pub fn all(&self) -> Vec<[u8; BUCKET_BYTES]> {
        match self.kind {
            Bucket::Hash { buckets } => (0..buckets).map(|bucket| self.encode(bucket.into())).collect(),
            Bucket::Trunc { .. } => Vec::new(),
        }
    }

    /// The buckets by time that the values from `low` to `high` lie in, in key order; `None` where there are more than
    /// `most`, or where the split is not by time.
    #[must_use]
    pub fn between(&self, low: i64, high: i64, most: usize) -> Option<Vec<[u8; BUCKET_BYTES]>> {
        let Bucket::Trunc { unit } = self.kind else { return None };
        let ty = &self.column.ty;
        let day = units_per_day(ty)?;
        // From the start of a unit, so much on lies in the next.
        let step = match unit {
            TruncUnit::Second => day / 86_400,
            TruncUnit::Minute => day / 1_440,
            TruncUnit::Hour => day / 24,
            TruncUnit::Day => day,
            TruncUnit::Week => 7 * day,
            TruncUnit::Month => 31 * day,
            TruncUnit::Quarter => 92 * day,
            TruncUnit::Year => 366 * day,
        };
        let mut buckets = Vec::new();
        let mut at = truncate(unit, low, ty)?;
        while at <= high {
            if buckets.len() == most {
                return None;
            }
            buckets.push(self.encode(at));
            let next = truncate(unit, at.saturating_add(step), ty)?;
            if next <= at {
                break;
            }
            at = next;
        }
        if self.column.descending {
            buckets.reverse();
        }
        Some(buckets)
    }

    fn invert(&self) -> u64 {
        if self.column.descending { u64::MAX } else { 0 }
    }

    fn encode(&self, value: i64) -> [u8; BUCKET_BYTES] {
        ((value as u64) ^ (1 << 63) ^ self.invert()).to_be_bytes()
    }
}

#[cfg(test)]
#[path = "bucket/tests.rs"]
mod tests;
