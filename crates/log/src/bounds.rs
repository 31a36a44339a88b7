//! Where a partition starts and ends.

use tidefold_record::Offset;

/// Where a partition starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset still there; equal to `end` when the partition is empty.
    pub start: Offset,
    /// The end of what can be read: the offset the next record will get, unless a transaction is open.
    pub end: Offset,
    /// The end of what was appended. It is beyond `end` while a transaction of another producer is open: what lies between
    /// stands in the log, and can be read once that transaction has ended.
    pub appended: Offset,
}
