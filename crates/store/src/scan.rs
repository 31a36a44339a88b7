//! The bounds of a scan, the same for every store that keeps rows in key order.

use std::ops::Bound;

use bytes::Bytes;

use crate::Scan;

// === impl Scan ===

impl Scan {
    /// The keys between which the rows lie; `None` where no key can.
    #[must_use]
    pub fn bounds(&self) -> Option<(Bound<Bytes>, Bound<Bytes>)> {
        let (lower, upper) = match self {
            Scan::All { after, .. } => {
                return Some((after.clone().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            }
            Scan::Range { prefix, from, until, .. } => {
                let prefix = prefix.bytes();
                let lower = from.as_ref().map_or(prefix, |from| from.max(prefix)).clone();
                let upper = match (until.clone(), successor(prefix)) {
                    (Some(until), Some(end)) => Some(until.min(end)),
                    (until, end) => until.or(end),
                };
                (lower, upper)
            }
        };
        match upper {
            Some(upper) if upper <= lower => None,
            Some(upper) => Some((Bound::Included(lower), Bound::Excluded(upper))),
            None => Some((Bound::Included(lower), Bound::Unbounded)),
        }
    }

    /// At most this many rows.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self {
            Scan::Range { limit, .. } | Scan::All { limit, .. } => *limit,
        }
    }
}

/// The first key after all keys that start with `prefix`; `None` where there is none (nothing but `0xFF`, or empty).
#[must_use]
pub fn successor(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_the_first_key_without_the_prefix() {
        assert_eq!(successor(b"ab"), Some(Bytes::from_static(b"ac")));
        assert_eq!(successor(b"a\xFF\xFF"), Some(Bytes::from_static(b"b")));
        assert_eq!(successor(b"\xFF\xFF"), None);
        assert_eq!(successor(b""), None);
    }

    #[test]
    fn bounds_that_exclude_each_other_hold_no_key() {
        let scan = Scan::Range {
            prefix: tidefold_table::verdict::prefix(tidefold_record::Partition(2)),
            from: None,
            until: Some(Bytes::from_static(&[0, 0, 0, 1])),
            limit: 1,
        };
        assert_eq!(scan.bounds(), None);
    }
}
