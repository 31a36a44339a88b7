//! The bounds of the rows that one record makes in views.

use tidefold_app::model::View;
use tidefold_table::{Verdict, limits};

/// A row beyond the bounds of rows.
#[derive(Debug)]
pub(crate) struct TooLarge {
    code: &'static str,
    table: String,
    what: &'static str,
    found: usize,
    bound: usize,
}

/// The bytes of rows that a record may still make.
#[derive(Debug)]
pub(crate) struct Room {
    left: usize,
    /// The most that rows have which stay as they are and were not made, so that their bytes are not counted.
    unmade: usize,
    /// Whether such rows are made all the same.
    pub(crate) makes_all: bool,
}

// === impl Room ===

impl Room {
    pub(crate) fn new(makes_all: bool) -> Room {
        Room { left: limits::RECORD_ROWS_BYTES, unmade: 0, makes_all }
    }

    /// Takes a row's bytes.
    pub(crate) fn take(&mut self, view: &View, size: usize) -> Result<(), TooLarge> {
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let found = limits::RECORD_ROWS_BYTES - self.left + size;
                let what = "the rows that the record makes in views up to this one";
                bound("rows_too_large", view, what, found, limits::RECORD_ROWS_BYTES)
            }
        }
    }

    /// So many rows, none of them larger than this, stay as they are and are not made.
    pub(crate) fn leave(&mut self, rows: usize, most: usize) {
        self.unmade = self.unmade.saturating_add(rows.saturating_mul(most));
    }

    /// Whether there is room for what was not made as well, however large it is: a row that stays was within its bound.
    pub(crate) fn holds_unmade(&self) -> bool {
        self.unmade <= self.left
    }
}

// === impl TooLarge ===

impl TooLarge {
    pub(crate) fn verdict(&self) -> Verdict {
        let TooLarge { code, table, what, found, bound } = self;
        Verdict::dead(code, format_args!("table {table}: {what} has {found} bytes, more than {bound}"))
    }
}

pub(crate) fn bound(
    code: &'static str,
    view: &View,
    what: &'static str,
    found: usize,
    bound: usize,
) -> Result<(), TooLarge> {
    if found <= bound {
        return Ok(());
    }
    Err(TooLarge { code, table: view.name.clone(), what, found, bound })
}
