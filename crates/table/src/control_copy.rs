//! The copy of control: every entry of the control topic as a row, so that who only reads needs nothing but the store.
//!
//! Key: partition 0 (4 bytes big-endian), the entry's offset in the topic (8 bytes big-endian). Value, by its first byte:
//!
//! | first byte | means |
//! |---|---|
//! | 0 | nothing that could be an entry stands at this offset; no more follows |
//! | tab, line feed, carriage return, 0x20 and above | an entry, as it stands in the topic: JSON starts with such a byte |
//! | any other below 0x20 | a format of a later version |

use std::fmt;

use bytes::Bytes;
use tidefold_record::Offset;

use crate::damage::{Broken, COPY_AGAIN, Damaged};
use crate::id::{Row, TableId};
use crate::layout::{TableKind, TableLayout};
use crate::prefix::Prefix;
use crate::verdict;
use tidefold_record::Partition;

const NOTHING: u8 = 0;
const TEXT_FROM: u8 = 0x20;

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub Offset);

/// What stands at an offset of the control topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied<'a> {
    /// What may be an entry, in the topic's own bytes.
    Entry(&'a [u8]),
    /// What is none in any case.
    Nothing,
}

/// The table's name for one app, and what it is. No generation of it ever goes.
#[must_use]
pub fn table(app: &str) -> (TableId, TableLayout) {
    const NAME: &str = "_control";
    (TableId::new(app, NAME, 0), TableLayout::untyped(NAME.to_owned(), TableKind::ControlCopy))
}

/// All of an app's entries.
#[must_use]
pub fn prefix() -> Prefix {
    verdict::prefix(Partition(0))
}

/// Takes a row apart.
///
/// # Errors
/// When it is no row of this kind.
pub fn decode<'r>(table: &TableId, row: &'r Row) -> Result<(Offset, Copied<'r>), Damaged> {
    let key =
        Key::decode(&row.key).map_err(|broken| damaged(broken, table, row.key.escape_ascii().to_string()))?;
    let copied = Copied::decode(&row.value).map_err(|broken| damaged(broken, table, key.to_string()))?;
    Ok((key.0, copied))
}

/// What is said of a row that can be read, but holds another entry than the topic.
#[must_use]
pub fn not_the_entry(table: &TableId, key: Key) -> Damaged {
    let found = "it is not the entry that stands in the control topic".to_owned();
    Damaged { table: table.to_string(), key: key.to_string(), found, remedy: COPY_AGAIN.to_owned() }
}

fn damaged(broken: Broken, table: &TableId, key: String) -> Damaged {
    broken.with_remedy(table, key, COPY_AGAIN)
}

// === impl Key ===

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn encode(self) -> Bytes {
        Bytes::copy_from_slice(&verdict::Key { partition: Partition(0), offset: self.0 }.encode())
    }

    /// Reads what [`Key::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no key of this kind.
    pub fn decode(bytes: &[u8]) -> Result<Key, Broken> {
        match verdict::Key::decode(bytes)? {
            verdict::Key { partition: Partition(0), offset } => Ok(Key(offset)),
            verdict::Key { .. } => Err(Broken::Part { part: "partition", at: 0, size: bytes.len() }),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}", self.0)
    }
}

// === impl Copied ===

impl<'a> Copied<'a> {
    /// What is to be copied of a record.
    #[must_use]
    pub fn of(record: &'a [u8]) -> Copied<'a> {
        match record.first() {
            Some(first) if is_text(*first) => Copied::Entry(record),
            _ => Copied::Nothing,
        }
    }

    /// The value's bytes.
    #[must_use]
    pub fn encode(self) -> Bytes {
        match self {
            Copied::Entry(entry) => Bytes::copy_from_slice(entry),
            Copied::Nothing => Bytes::from_static(&[NOTHING]),
        }
    }

    /// Reads what [`Copied::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no value of this kind.
    pub fn decode(bytes: &'a [u8]) -> Result<Copied<'a>, Broken> {
        match bytes {
            // Earlier versions copied an empty record as it is.
            [] | [NOTHING] => Ok(Copied::Nothing),
            [NOTHING, rest @ ..] => Err(Broken::Trailing(rest.len())),
            [first, ..] if is_text(*first) => Ok(Copied::Entry(bytes)),
            [first, ..] => Err(Broken::Newer { format: *first, newest: NOTHING }),
        }
    }

    /// The bytes that control folds: of nothing, none.
    #[must_use]
    pub fn entry(self) -> &'a [u8] {
        match self {
            Copied::Entry(entry) => entry,
            Copied::Nothing => &[],
        }
    }
}

fn is_text(first: u8) -> bool {
    first >= TEXT_FROM || matches!(first, b'\t' | b'\n' | b'\r')
}
