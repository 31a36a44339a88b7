//! What a version of a tree lists, and the ends of the files that it lists.
//!
//! Each table, blob file and version ends with a table of contents and a trailer with its checksum. lsm-tree makes room for
//! as many entries as the contents say before it compares the checksum, and a flipped bit there asks for more memory
//! than there is, which ends the process.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use twox_hash::XxHash3_128;

use crate::fault::{Fault, damaged, disk};

/// Mark, version and kind of checksum, then the checksum of the contents, where they begin and how long they are.
const TRAILER_BYTES: usize = 38;
/// Contents have some ten entries of some ten bytes.
const MOST_CONTENTS_BYTES: u64 = 1 << 16;

struct Cursor<'a>(&'a [u8]);

/// Checks the ends of all files that a version lists, relative to the tree's folder. Files that no version lists are what
/// a sudden end leaves.
pub(crate) fn check_listed(tree: &Path, version: &Path, place: &str) -> Result<(), Fault> {
    check_end(version, place)?;
    let broken = || damaged(format!("{place}: {} does not decode", version.display()));
    let tables = section(version, b"tables").and_then(|bytes| tables(Cursor(&bytes))).ok_or_else(broken)?;
    let blobs = section(version, b"blob_files").and_then(|bytes| blobs(Cursor(&bytes))).ok_or_else(broken)?;
    for (folder, files) in [("tables", tables), ("blobs", blobs)] {
        for file in files {
            check_end(&tree.join(folder).join(file.to_string()), &format!("{place}/{folder}/{file}"))?;
        }
    }
    Ok(())
}

/// The contents at the end of a file match their checksum.
fn check_end(path: &Path, place: &str) -> Result<(), Fault> {
    match end_matches(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(format!(
            "{place} is damaged or breaks off: the checksum of its contents does not match"
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(damaged(format!("{place} is missing"))),
        Err(error) => Err(disk(path)(error)),
    }
}

fn end_matches(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, end)?;
    let mut cursor = Cursor(&trailer[6..]);
    let (Some(sum), Some(from)) = (cursor.take(), cursor.take()) else { return Ok(false) };
    let from = u64::from_le_bytes(from);
    let Some(length) = end.checked_sub(from).filter(|length| *length <= MOST_CONTENTS_BYTES) else {
        return Ok(false);
    };
    let mut contents = vec![0; length as usize];
    file.read_exact_at(&mut contents, from)?;
    Ok(XxHash3_128::oneshot(&contents) == u128::from_le_bytes(sum))
}

fn section(version: &Path, name: &[u8]) -> Option<Vec<u8>> {
    let reader = sfa::Reader::new(version).ok()?;
    let mut bytes = Vec::new();
    reader.toc().section(name)?.buf_reader(version).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Levels of runs of tables: number, kind of checksum, checksum, sequence number of each.
fn tables(mut cursor: Cursor<'_>) -> Option<Vec<u64>> {
    let mut tables = Vec::new();
    let [levels] = cursor.take()?;
    for _ in 0..levels {
        let [runs] = cursor.take()?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(cursor.take()?) {
                tables.push(u64::from_le_bytes(cursor.take()?));
                let _rest: [u8; 25] = cursor.take()?;
            }
        }
    }
    Some(tables)
}

/// Number, kind of checksum and checksum of each blob file.
fn blobs(mut cursor: Cursor<'_>) -> Option<Vec<u64>> {
    let mut blobs = Vec::new();
    for _ in 0..u32::from_le_bytes(cursor.take()?) {
        blobs.push(u64::from_le_bytes(cursor.take()?));
        let _rest: [u8; 17] = cursor.take()?;
    }
    Some(blobs)
}

// === impl Cursor ===

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}
