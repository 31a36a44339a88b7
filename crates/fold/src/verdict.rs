//! What became of a record.

use tidefold_record::Offset;

/// The verdict on one record. Applied costs no row: a record at or before the checkpoint without a verdict row was
/// applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changed the state (or was counted).
    Applied,
    /// A command that guards refused, with every failing code.
    Rejected(Vec<String>),
    /// The same message was applied or rejected before, at this offset of the same partition.
    Duplicate(Offset),
    /// It cannot be folded; the record stays in the log.
    Dead(DeadReason),
}

/// Why a record is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadReason {
    /// A snake_case constant from [`DEAD_CODES`].
    pub code: String,
    /// For operators: which field, which expression, which bytes.
    pub detail: String,
}

/// A verdict without its particulars, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum VerdictKind {
    Applied,
    Rejected,
    Duplicate,
    Dead,
}

/// Every code a dead letter may carry.
pub const DEAD_CODES: &[&str] = &[
    "no_key",
    "no_value",
    "key_too_long",
    "wrong_partition",
    "key_mismatch",
    "bad_frame",
    "unknown_schema",
    "type_mismatch",
    "undecodable",
    "bad_header",
    "not_handled",
    "already_exists",
    "not_found",
    "null_column",
    "evaluation_failed",
    "state_too_large",
];

impl Verdict {
    /// The kind, for counters.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Verdict::Applied => VerdictKind::Applied,
            Verdict::Rejected(_) => VerdictKind::Rejected,
            Verdict::Duplicate(_) => VerdictKind::Duplicate,
            Verdict::Dead(_) => VerdictKind::Dead,
        }
    }

    /// The value of a verdict row; its key is [`verdict_key`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let _ = out;
        unimplemented!()
    }

    /// Reads what [`Verdict::encode`] wrote; `None` when the bytes are something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Verdict> {
        let _ = bytes;
        unimplemented!()
    }
}

/// The key of a verdict row: partition and offset, big-endian, so that rows sort as the log does.
#[must_use]
pub fn verdict_key(partition: u32, offset: Offset) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&offset.0.to_be_bytes());
    key
}
