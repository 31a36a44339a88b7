//! The one answer to damage: whoever meets a row that is not what its table holds stops, and says which row it is, what
//! stands there, and what to do. Nothing is guessed, and nothing is passed over.

use std::fmt::Display;

use tidefold_codec::decode::DecodeError;
use tidefold_codec::ordered::OrderedError;

/// A stored row that is not what its table holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table} is damaged at {key}: {found}; {remedy}")]
pub struct Damaged {
    /// The table.
    pub table: String,
    /// The row's key as text, or what of the table where no single row is known.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What an operator has to do.
    pub remedy: String,
}

/// Bytes of a row that are not what its room writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The format is none that this version knows.
    #[error("the row has format {format}, and this version reads formats up to {newest}")]
    Newer {
        /// The row's.
        format: u8,
        /// The newest that is read.
        newest: u8,
    },
    /// They end early, or hold what cannot be.
    #[error("its {part} cannot be: byte {at} of {size}")]
    Part {
        /// Which part of the row.
        part: &'static str,
        /// Where that was noticed.
        at: usize,
        /// How many bytes there are.
        size: usize,
    },
    /// More follows.
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    /// The columns' datums.
    #[error("{0}")]
    Columns(#[from] DecodeError),
    /// The key's columns.
    #[error("{0}")]
    Key(#[from] OrderedError),
}

/// What to do about tables that are damaged.
pub const REBUILD: &str = "build the tables anew with `tidefold replay --accept-differences`";

/// What to do about the copy of control, which is made from its topic and from nothing else.
pub const COPY_AGAIN: &str = "stop every process, drop the table (of an embedded store: delete its folder) and start again: it is copied anew from the \
     control topic";

// === impl Broken ===

impl Broken {
    /// The damage, with the row named.
    #[must_use]
    pub fn of(self, table: &dyn Display, key: String) -> Damaged {
        self.with_remedy(table, key, REBUILD)
    }

    pub(crate) fn with_remedy(self, table: &dyn Display, key: String, remedy: &str) -> Damaged {
        let remedy = match self {
            Broken::Newer { .. } => {
                format!("it was written by a newer version of Tidefold: run that one, or {remedy}")
            }
            Broken::Part { .. } | Broken::Trailing(_) | Broken::Columns(_) | Broken::Key(_) => {
                remedy.to_owned()
            }
        };
        Damaged { table: table.to_string(), key, found: self.to_string(), remedy }
    }
}
