//! What lies in a folder that fjall is to open, looked at before fjall reads it.
//!
//! fjall takes a folder as it finds it: it cuts a journal at the first thing it cannot read, makes anew what has no file
//! `current`, and removes what its own list does not name. Each of these loses rows without a word when a file is
//! damaged or missing. So a folder is looked at first:
//!
//! * [`list`]: a folder that was closed in order lists its files, with sizes and checksums. What differs is damage.
//! * [`trees`]: each tree's `current` and version file match their checksums, and every tree that is named is there.
//! * [`journal`]: which batches the journals hold, and where the newest one breaks off.
//! * [`marks`]: how far each tree had come when the journals before this one were no longer needed.
//! * [`inspect`]: puts these together. A tree on the disk that is newer than the end of the journals is damage: fjall
//!   syncs the journal before it writes a tree's file, so no crash leaves that.
//!
//! [`cause`] says what it means when the system refuses a write.
//!
//! The bytes of tables and blob files are not read here: they have a checksum a block, which is verified at each read.

mod cause;
#[cfg(feature = "damage")]
pub mod damage;
mod inspect;
mod journal;
mod list;
mod marks;
mod trees;
mod versions;

use std::io;
use std::path::PathBuf;

pub use cause::{explain, explain_background, probe};
pub use inspect::{Expected, Tail, inspect};
pub use list::{Closed, check_list, remove_list, write_list};
pub use marks::{MARKS_KEY, Marks};

/// Why a folder is not given to fjall.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system does not let it be read.
    #[error("{} cannot be read: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Files are missing, cut, older than the others or otherwise changed.
    #[error("{detail}")]
    Damaged {
        /// Which file, and what is wrong with it.
        detail: String,
    },
    /// The process that had the folder ended suddenly, and what is left cannot be proved to be all there was.
    #[error("{detail}")]
    Unproved {
        /// What is missing for the proof.
        detail: String,
    },
}

pub(crate) fn disk(path: &std::path::Path) -> impl Fn(io::Error) -> Fault + use<> {
    let path = path.to_owned();
    move |source| Fault::Disk { path: path.clone(), source }
}

pub(crate) fn damaged(detail: impl Into<String>) -> Fault {
    Fault::Damaged { detail: detail.into() }
}
