//! A look at fjall's journals before fjall reads them. fjall cuts a journal at the first thing it cannot read, whatever
//! stands behind it, and refuses one whose last batch is torn. Both are wrong for a log: records behind damage were
//! acknowledged, and those of a torn last batch were not. So:
//!
//! * the last batch of the newest journal is unfinished (it breaks off, or sectors of it were never written): it was
//!   never acknowledged, and is cut off;
//! * anything else that does not read is damage: the log is not opened.
//!
//! A batch is what one fsync covered: at most the last one of the newest journal can be unfinished.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

/// How fjall ends a batch.
const MAGIC: [u8; 4] = *b"FJL\x03";
/// The least that a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// Why a journal is not given to fjall.
pub(crate) enum JournalFault {
    Disk { path: PathBuf, source: io::Error },
    Damaged { detail: String },
}

/// A batch that reads well.
struct Batch {
    end: usize,
    sequence: u64,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Tail {
    Clean,
    /// To be cut off.
    Unfinished,
    Damaged(&'static str),
}

/// Looks through all journals in fjall's folder and cuts off an unfinished batch.
pub(crate) fn inspect(store: &Path) -> Result<(), JournalFault> {
    let journals = find(store).map_err(|source| JournalFault::Disk { path: store.to_owned(), source })?;
    let Some(((_, newest), older)) = journals.split_last() else {
        return Err(JournalFault::Damaged { detail: "there is no journal (*.jnl)".to_owned() });
    };
    let mut last = None;
    for (_, path) in older {
        inspect_one(path, false, &mut last)?;
    }
    inspect_one(newest, true, &mut last)
}

fn find(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|ending| ending == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

fn inspect_one(path: &Path, newest: bool, last: &mut Option<u64>) -> Result<(), JournalFault> {
    let disk = |source| JournalFault::Disk { path: path.to_owned(), source };
    let damaged = |at: usize, what: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        JournalFault::Damaged { detail: format!("{what} (journal {name}, byte {at})") }
    };
    let bytes = &read_used(path).map_err(disk)?[..];
    let mut at = 0;
    while let Some(batch) = batch_at(bytes, at) {
        if last.is_some_and(|last| batch.sequence <= last) || batch.sequence >= 1 << 62 {
            return Err(damaged(at, "writes are out of sequence"));
        }
        *last = Some(batch.sequence);
        at = batch.end;
    }
    match tail(bytes, at) {
        Tail::Clean => Ok(()),
        Tail::Unfinished if newest => {
            tracing::warn!(
                journal = %path.display(), at, bytes = bytes.len() - at,
                "cut off a write that was not finished and not acknowledged"
            );
            let file = File::options().write(true).open(path).map_err(disk)?;
            file.set_len(at as u64).and_then(|()| file.sync_all()).map_err(disk)
        }
        Tail::Unfinished => Err(damaged(at, "an older journal breaks off")),
        Tail::Damaged(what) => Err(damaged(at, what)),
    }
}

/// The file up to its last byte that is not zero: fjall allocates a journal's 64 MiB beforehand.
fn read_used(path: &Path) -> io::Result<Vec<u8>> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut file = File::open(path)?;
    let (mut used, mut zeros) = (Vec::new(), 0);
    let mut piece = vec![0; ZEROS.len()];
    loop {
        let length = file.read(&mut piece)?;
        match piece.get(..length) {
            None | Some([]) => break,
            Some(read) if ZEROS.get(..length) == Some(read) => zeros += length,
            Some(read) => {
                used.resize(used.len() + zeros, 0);
                used.extend_from_slice(read);
                zeros = 0;
            }
        }
    }
    let end = used.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    used.truncate(end);
    Ok(used)
}

/// Judges what stands from `at` on, where no batch reads well. The bytes end with the last that is not zero.
fn tail(bytes: &[u8], at: usize) -> Tail {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Tail::Clean;
    }
    if (at + 1..bytes.len()).any(|later| bytes.get(later) == Some(&1) && batch_at(bytes, later).is_some()) {
        return Tail::Damaged("a write does not read, and later ones do");
    }
    let to_sector_end = SECTOR_BYTES - at % SECTOR_BYTES;
    let (begun, whole) = rest.split_at(to_sector_end.min(rest.len()));
    let unwritten = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    if unwritten(begun) || whole.chunks(SECTOR_BYTES).any(unwritten) {
        return Tail::Unfinished;
    }
    // One damaged byte does not hide that the batch was written to its end.
    let ending = rest.iter().rev().zip(MAGIC.iter().rev()).filter(|(found, wanted)| found == wanted).count();
    if rest.len() >= MAGIC.len() && ending >= MAGIC.len() - 1 {
        return Tail::Damaged("the newest write is whole and does not match its checksum");
    }
    Tail::Unfinished
}

/// The batch that starts at `at`, if it is whole and matches its checksum.
fn batch_at(bytes: &[u8], at: usize) -> Option<Batch> {
    let mut cursor = Cursor { bytes, at };
    let [1] = cursor.take()? else { return None };
    let count = u32::from_le_bytes(cursor.take()?);
    let sequence = u64::from_le_bytes(cursor.take()?);
    let items = cursor.at;
    for _ in 0..count {
        cursor.item()?;
    }
    let items = bytes.get(items..cursor.at)?;
    let [3] = cursor.take()? else { return None };
    let sum = u64::from_le_bytes(cursor.take()?);
    let whole = cursor.take()? == MAGIC && sum == XxHash3_64::oneshot(items);
    whole.then_some(Batch { end: cursor.at, sequence })
}

// === impl Cursor ===

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(taken)
    }

    /// Moves past one item of a batch: a value or tombstone, or the clearing of a keyspace.
    fn item(&mut self) -> Option<()> {
        match self.take()? {
            [2] => {
                let [_kind, 0] = self.take()? else { return None };
                let _keyspace: [u8; 8] = self.take()?;
                let key = u16::from_le_bytes(self.take()?);
                let value = u32::from_le_bytes(self.take()?);
                let on_disk = u32::from_le_bytes(self.take()?);
                let end = self.at.checked_add(usize::from(key))?.checked_add(on_disk as usize)?;
                self.at = (value == on_disk && end <= self.bytes.len()).then_some(end)?;
            }
            [4] => {
                let _keyspace: [u8; 8] = self.take()?;
            }
            _ => return None,
        }
        Some(())
    }
}
