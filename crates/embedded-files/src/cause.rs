//! What it means when the system refuses a write, and what to do.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// So many bytes are written to see whether a folder can be written.
const PROBE_BYTES: usize = 64 << 10;
const NO_DESCRIPTORS: [i32; 2] = [24, 23];
const IO: i32 = 5;

/// What an error of the system means, and what to do before the next start.
#[must_use]
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "the disk is full; make room".to_owned(),
        ErrorKind::QuotaExceeded => format!("the disk quota is used up ({error}); make room"),
        ErrorKind::FileTooLarge => {
            format!("a file may not become so large ({error}); look at `ulimit -f` and the file system")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!(
                "the file system can only be read ({error}); see why it was mounted so, often after a fault of the disk"
            )
        }
        ErrorKind::PermissionDenied => format!("{error}; see who may write there"),
        _ if error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code)) => {
            format!("{error}: no file descriptors are left; raise the limit (`ulimit -n`)")
        }
        _ if error.raw_os_error() == Some(IO) => {
            format!("the disk does not do it ({error}); look at the disk, its cables and the system's log")
        }
        _ => format!("{error}; look at the disk"),
    }
}

/// What keeps a folder from being written now: writes and syncs a little, and removes it.
///
/// fjall says of a write that failed in the background only that it did. Mostly the cause is still there.
#[must_use]
pub fn probe(folder: &Path) -> Option<io::Error> {
    let path = folder.join("probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed).err().filter(|error| error.kind() != ErrorKind::NotFound)
}

/// What to say of a write that failed before, maybe in the background, in a database in this folder.
#[must_use]
pub fn explain_background(folder: &Path) -> String {
    match probe(folder) {
        Some(error) => format!("an earlier write to the disk failed: {}", explain(&error)),
        None => {
            "an earlier write to the disk failed, and one can be done now; the cause stands in this process's log, in a \
                 line of fjall"
                .to_owned()
        }
    }
}
