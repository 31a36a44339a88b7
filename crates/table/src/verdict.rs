//! What became of a record. A row stands only for what was not applied: what was costs no write.
//!
//! Key: partition (4 bytes big-endian), offset (8), so that rows lie as the log does. Value: a byte, whose upper half is the
//! format (0) and whose lower half says what follows; counts and lengths are LEB128.
//!
//! | lower half | verdict | then |
//! |---|---|---|
//! | 0 | applied | nothing; no such row is written |
//! | 1 | rejected | how many codes, each code behind its length |
//! | 2 | duplicate | the offset of the first message with the id (8 bytes big-endian) |
//! | 3 | dead | the code behind its length, the detail behind its length |

use std::fmt;
use std::fmt::Write as _;

use bytes::Bytes;
use tidefold_record::{Offset, Partition};

use crate::damage::Broken;
use crate::limits::DETAIL_CHARACTERS;
use crate::prefix::Prefix;
use crate::wire::{Reader, put_chunk, put_length};

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

/// What a verdict row says: the verdict, and whatever else is kept beside it of the record. The fold makes it in one place,
/// of what it knows whatever the verdict, so that a build which takes a verdict as given makes the same row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The verdict.
    pub verdict: Verdict,
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
    "key_too_large",
    "row_too_large",
    "rows_too_large",
    PASSED_OVER,
];

/// The code of a record that an operator declared dead.
pub const PASSED_OVER: &str = "passed_over";

/// The code of a message whose id was used by another message before.
pub const IDEMPOTENCY_CONFLICT: &str = "idempotency_conflict";

/// Every code of a rejection that is not one of the app's own.
pub const REJECTION_CODES: &[&str] =
    &[IDEMPOTENCY_CONFLICT, "version_mismatch", "already_exists", "not_found", "state_too_large"];

// Lower halves of a verdict row's first byte. They are stored: append, never renumber.
const FORMAT: u8 = 0;
const APPLIED: u8 = 0;
const REJECTED: u8 = 1;
const DUPLICATE: u8 = 2;
const DEAD: u8 = 3;

// === impl Verdict ===

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

    /// The value of a [`Row`] that says nothing else.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Verdict::Applied => out.push(APPLIED),
            Verdict::Rejected(codes) => {
                out.push(REJECTED);
                put_length(codes.len(), out);
                codes.iter().for_each(|code| put_chunk(code.as_bytes(), out));
            }
            Verdict::Duplicate(offset) => {
                out.push(DUPLICATE);
                out.extend_from_slice(&offset.0.to_be_bytes());
            }
            Verdict::Dead(reason) => {
                out.push(DEAD);
                put_chunk(reason.code.as_bytes(), out);
                put_chunk(reason.detail.as_bytes(), out);
            }
        }
    }

    /// The verdict that a row's value says, whatever its format.
    ///
    /// # Errors
    /// When the bytes are no value of a verdict row.
    pub fn decode(bytes: &[u8]) -> Result<Verdict, Broken> {
        Row::decode(bytes).map(|row| row.verdict)
    }

    /// What follows the first byte, whose lower half is `kind`, up to the verdict's end.
    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Verdict, Broken> {
        Ok(match kind {
            APPLIED => Verdict::Applied,
            REJECTED => {
                let count = reader.part("number of codes", Reader::length)?;
                let code = |_| reader.part("code", Reader::text).map(str::to_owned);
                Verdict::Rejected((0..count).map(code).collect::<Result<_, _>>()?)
            }
            DUPLICATE => Verdict::Duplicate(Offset(reader.part("first offset", Reader::u64)?)),
            DEAD => Verdict::Dead(DeadReason {
                code: reader.part("code", Reader::text)?.to_owned(),
                detail: reader.part("detail", Reader::text)?.to_owned(),
            }),
            _ => return Err(reader.broken("kind")),
        })
    }

    /// Whether the record's id counts in the dedupe window: applied and rejected ones do, save those rejected only
    /// because their id was taken (the first bearer of the id stays the one that counts).
    #[must_use]
    pub fn counts(&self) -> bool {
        match self {
            Verdict::Applied => true,
            Verdict::Rejected(codes) => codes.first().is_none_or(|code| code != IDEMPOTENCY_CONFLICT),
            Verdict::Duplicate(_) | Verdict::Dead(_) => false,
        }
    }

    /// Rejected for one reason.
    #[must_use]
    pub fn rejected(code: &str) -> Verdict {
        Verdict::Rejected(vec![code.to_owned()])
    }

    /// Dead; the detail is cut, since it goes into a row.
    #[must_use]
    pub fn dead(code: &str, detail: impl std::fmt::Display) -> Verdict {
        let mut cut = Cut { text: String::new(), left: DETAIL_CHARACTERS };
        // It ends with an error where it is cut: what comes behind is not even made.
        let _ = write!(cut, "{detail}");
        Verdict::Dead(DeadReason { code: code.to_owned(), detail: cut.text })
    }
}

// === impl Row ===

impl Row {
    /// The value of the row; its key is a [`Key`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.verdict.encode(out);
    }

    /// Reads what [`Row::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no value of a verdict row.
    pub fn decode(bytes: &[u8]) -> Result<Row, Broken> {
        let mut reader = Reader::new(bytes);
        let first = reader.part("first byte", Reader::byte)?;
        let (format, kind) = (first >> 4, first & 0x0f);
        if format != FORMAT {
            return Err(Broken::Newer { format, newest: FORMAT });
        }
        let verdict = Verdict::read(kind, &mut reader)?;
        reader.end()?;
        Ok(Row { verdict })
    }
}

/// A text that takes so many characters and no more.
struct Cut {
    text: String,
    left: usize,
}

impl std::fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(std::fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

/// Where a verdict row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The record's partition.
    pub partition: Partition,
    /// The record's offset.
    pub offset: Offset,
}

/// All verdict rows of a partition.
#[must_use]
pub fn prefix(partition: Partition) -> Prefix {
    Prefix::new(Bytes::copy_from_slice(&partition.0.to_be_bytes()))
}

// === impl Key ===

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; 12] {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&self.partition.0.to_be_bytes());
        key[4..].copy_from_slice(&self.offset.0.to_be_bytes());
        key
    }

    /// Reads what [`Key::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no key of a verdict row.
    pub fn decode(bytes: &[u8]) -> Result<Key, Broken> {
        let mut reader = Reader::new(bytes);
        let partition = reader.part("partition", Reader::array)?;
        let offset = reader.part("offset", Reader::u64)?;
        reader.end()?;
        Ok(Key { partition: Partition(u32::from_be_bytes(partition)), offset: Offset(offset) })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, offset {}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Applied),
            prop::collection::vec("[a-z_]{1,12}", 0..4).prop_map(Verdict::Rejected),
            any::<u64>().prop_map(|offset| Verdict::Duplicate(Offset(offset))),
            ("[a-z_]{1,12}", ".{0,40}").prop_map(|(code, detail)| Verdict::Dead(DeadReason { code, detail })),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        verdict().prop_map(|verdict| Row { verdict })
    }

    proptest! {
        #[test]
        fn a_verdict_row_reads_as_it_was_written(row in row(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            prop_assert!(Row::decode(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert_eq!(Row::decode(&bytes), Ok(row));
        }

        #[test]
        fn any_bytes_are_a_verdict_row_or_broken(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(row) = Row::decode(&bytes) {
                let mut again = Vec::new();
                row.encode(&mut again);
                prop_assert_eq!(Row::decode(&again), Ok(row));
            }
        }
    }
}
