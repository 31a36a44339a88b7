//! Why a folder is not given to fjall.

use std::io;
use std::path::PathBuf;

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
