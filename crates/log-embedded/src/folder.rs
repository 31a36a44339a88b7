//! The log's folder: one process has it, and it is a log's whole folder or it is refused.
//!
//! ```text
//! lock      held by the process that has the log open
//! format    version and id, written when everything else stood for the first time
//! creating  the same, until then: what lies beside it may be thrown away
//! records/  fjall
//! closed    the files as the last process left them in order; gone while the log is open
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tidefold_embedded_files::{self as files, Expected, Fault, Tail};

use crate::id::random_id;
use crate::topics::{LoadFault, MARKS, is_separated};

const FORMAT: &str = "tidefold-log 1";
const RECORDS: &str = "records";

/// Why a folder could not be opened as a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the log in {} is open in another process; stop that one, or give this one another folder",
        folder.display()
    )]
    Locked {
        /// The log's folder.
        folder: PathBuf,
    },
    /// There is something in the folder, but not a log.
    #[error("{} is not the folder of a log: {detail}; give an empty folder, or restore the log from a copy", folder.display())]
    NotALog {
        /// The folder given.
        folder: PathBuf,
        /// What is there, or missing.
        detail: String,
    },
    /// Another version wrote it.
    #[error("the log in {} has the format `{found}`, and this version reads `{FORMAT}`; use the version that wrote it", folder.display())]
    Format {
        /// The log's folder.
        folder: PathBuf,
        /// The format found, cut to 80 characters.
        found: String,
    },
    /// Files are missing or damaged.
    #[error(
        "the log in {} is damaged or copied in part: {detail}; restore it from a copy made while it was closed",
        folder.display()
    )]
    Damaged {
        /// The log's folder.
        folder: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file system refuses.
    #[error("{} cannot be used", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A folder, claimed for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    id: String,
    complete: bool,
    /// Whether all that was written is synced, and nothing will be.
    in_order: bool,
    _lock: File,
}

// === impl Folder ===

impl Folder {
    /// Locks the folder, creating it if need be, and finds out whose it is.
    pub fn claim(path: &Path) -> Result<Folder, OpenError> {
        let disk = |source| OpenError::Disk { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(disk)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock"));
        let lock = lock.map_err(disk)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(disk(source)),
        }
        let mut folder = Folder {
            path: path.to_owned(),
            id: String::new(),
            complete: false,
            in_order: false,
            _lock: lock,
        };
        match fs::read_to_string(path.join("format")) {
            Ok(text) => folder.recognize(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => folder.begin()?,
            Err(source) => return Err(OpenError::Disk { path: path.join("format"), source }),
        }
        Ok(folder)
    }

    /// A folder with a format: it must have the rest as well.
    fn recognize(&mut self, text: &str) -> Result<(), OpenError> {
        let mut lines = text.lines();
        let format = lines.next().unwrap_or_default();
        if format != FORMAT && format.starts_with("tidefold-log ") {
            let found = format.chars().take(80).collect();
            return Err(OpenError::Format { folder: self.path.clone(), found });
        }
        let id = lines.next().and_then(|line| line.strip_prefix("id "));
        self.id = match id {
            Some(id) if id.len() == 32 && text == described(id) => id.to_owned(),
            _ => return Err(self.damaged("its format file does not match its checksum".to_owned())),
        };
        self.complete = true;
        let closed = files::check_list(&self.path).map_err(|fault| self.refused(fault, ""))?;
        let expected = Expected { closed, tail: Tail::OneBatch, marks: MARKS, separated: is_separated };
        files::inspect(&self.store_path(), &expected).map_err(|fault| self.refused(fault, "records/: "))?;
        // Before fjall changes anything.
        files::remove_list(&self.path)
            .map_err(|source| OpenError::Disk { path: self.path.join("closed"), source })
    }

    fn refused(&self, fault: Fault, place: &str) -> OpenError {
        match fault {
            Fault::Disk { path, source } => OpenError::Disk { path, source },
            Fault::Damaged { detail } | Fault::Unproved { detail } => {
                self.damaged(format!("{place}{detail}"))
            }
        }
    }

    /// A folder without a format: empty, or one whose creation was interrupted before anything was acknowledged.
    fn begin(&mut self) -> Result<(), OpenError> {
        let disk = |source| OpenError::Disk { path: self.path.clone(), source };
        let interrupted = self.path.join("creating").exists();
        for entry in fs::read_dir(&self.path).map_err(disk)? {
            let name = entry.map_err(disk)?.file_name();
            let ours = name == "lock" || interrupted && (name == "creating" || name == RECORDS);
            if !ours {
                let detail = format!("it has `{}` and no file `format`", name.to_string_lossy());
                return Err(OpenError::NotALog { folder: self.path.clone(), detail });
            }
        }
        if interrupted && self.store_path().exists() {
            fs::remove_dir_all(self.store_path()).map_err(disk)?;
        }
        self.id = random_id().map_err(disk)?;
        let mut file = File::create(self.path.join("creating")).map_err(disk)?;
        file.write_all(described(&self.id).as_bytes()).and_then(|()| file.sync_all()).map_err(disk)?;
        sync_folder(&self.path).map_err(disk)
    }

    /// Writes down that everything stands.
    pub fn complete(mut self) -> Result<Folder, OpenError> {
        if !self.complete {
            let renamed = fs::rename(self.path.join("creating"), self.path.join("format"));
            renamed
                .and_then(|()| sync_folder(&self.path))
                .map_err(|source| OpenError::Disk { path: self.path.join("format"), source })?;
            self.complete = true;
        }
        Ok(self)
    }

    /// All that was written is synced: once this is dropped, the files are listed.
    pub fn closes_in_order(&mut self) {
        self.in_order = self.complete;
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn store_path(&self) -> PathBuf {
        self.path.join(RECORDS)
    }

    /// What it means that fjall does not open.
    pub fn unreadable(&self, error: fjall::Error) -> OpenError {
        match error {
            fjall::Error::Locked => OpenError::Locked { folder: self.path.clone() },
            fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
                if !missing(&source) =>
            {
                OpenError::Disk { path: self.store_path(), source }
            }
            other => self.damaged(other.to_string()),
        }
    }

    /// What it means that the topics do not load.
    pub fn faulty(&self, fault: LoadFault) -> OpenError {
        match fault {
            LoadFault::Store(error) => self.unreadable(error),
            fault => self.damaged(fault.to_string()),
        }
    }

    pub fn damaged(&self, detail: String) -> OpenError {
        OpenError::Damaged { folder: self.path.clone(), detail }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.in_order
            && let Err(error) = files::write_list(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "the log's files could not be listed");
        }
    }
}

/// What stands in the format file.
fn described(id: &str) -> String {
    let text = format!("{FORMAT}\nid {id}\n");
    format!("{text}sum {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// Errors that come from files that are gone or too short, not from a disk that refuses.
fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
