//! What goes wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use tidefold_embedded_files as files;
use tidefold_store::StoreError;
use tidefold_table::{Damaged, TableId};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store {} is in use by another process: stop that one first, or choose another folder", folder.display())]
    InUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The folder has something else in it.
    #[error("{} is not a store: it has {found} in it; choose an empty folder or one that does not exist", folder.display())]
    NotAStore {
        /// The folder.
        folder: PathBuf,
        /// Something that a store has not.
        found: String,
    },
    /// The format is not this program's.
    #[error(
        "the store {} has format {found}, this program reads {reads}: use the program that wrote it, or delete the \
         folder and let its tables be built again from the log", folder.display()
    )]
    Format {
        /// The store's folder.
        folder: PathBuf,
        /// Its format.
        found: String,
        /// The format this program reads.
        reads: u32,
    },
    /// The rows are someone else's.
    #[error(
        "the store {} belongs to {found:?}, not to {expected:?}: choose the folder that belongs with this log and \
         app, or delete it and let its tables be built again from the log", folder.display()
    )]
    Identity {
        /// The store's folder.
        folder: PathBuf,
        /// Whose rows it has.
        found: String,
        /// Whose it was opened as.
        expected: String,
    },
    /// Files are missing, cut or damaged.
    #[error(
        "the store {} is damaged or was copied in part: {detail}. Copy it again while no process has it, or delete the \
         folder and let its tables be built again from the log", folder.display()
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The folder cannot be read or written.
    #[error("the store {} cannot be opened: {what}: check the disk and who may write there", folder.display())]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

pub(crate) fn unopened(table: &TableId, what: &str) -> StoreError {
    StoreError::Refused {
        what: format!("{what} table {table}"),
        detail: "it is not opened; open it first".to_owned(),
    }
}

/// A write failed. fjall takes no further ones then, since it cannot know what reached the disk. `folder` is fjall's.
pub(crate) fn writing(folder: &Path, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Poisoned => StoreError::Failed {
            detail: format!(
                "{}, then start again: what is missing is folded from the log",
                files::explain_background(folder)
            ),
        },
        error => StoreError::Unavailable { detail: format!("writing failed: {}", cause(folder, &error)) },
    }
}

/// What an error of fjall means, and what to do.
pub(crate) fn cause(folder: &Path, error: &fjall::Error) -> String {
    match error {
        fjall::Error::Poisoned => files::explain_background(folder),
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => files::explain(io),
        error => text(error),
    }
}

pub(crate) fn reading(table: &TableId, error: fjall::Error) -> StoreError {
    match &error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => {
            StoreError::Unavailable { detail: format!("reading table {table} failed: {io}") }
        }
        error => Damaged {
            table: table.to_string(),
            key: "a row that the file does not name".to_owned(),
            found: text(error),
            remedy: DELETE.to_owned(),
        }
        .into(),
    }
}

pub(crate) fn no_row(table: &TableId, key: String) -> StoreError {
    let found = "what stands there is no row".to_owned();
    Damaged { table: table.to_string(), key, found, remedy: DELETE.to_owned() }.into()
}

const DELETE: &str = "delete the store's folder and let its tables be built again";

pub(crate) fn text(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => io.to_string(),
        error => format!("{error:?}"),
    }
}
