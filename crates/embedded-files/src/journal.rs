//! The journals: which batches they hold, and where the newest one breaks off. fjall cuts a journal at the first thing it
//! cannot read, whatever stands behind it, and refuses one whose last batch is torn.
//!
//! A journal that is not the newest is whole: fjall syncs it before it begins the next. Of the newest, the end may be
//! unfinished (it breaks off, or sectors of it were never written).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

use crate::fault::{Fault, damaged, disk};
use crate::journal_files::find;
use crate::marks::{self, MARKS_KEY};

/// What breaks off at the end of the newest journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// At most one batch, which was not acknowledged: each batch is synced before it is. Anything else is damage.
    OneBatch,
    /// Any number of batches, in any order: they are not synced. What they held is made again.
    AnyBatches,
}

/// How fjall ends a batch.
const MAGIC: [u8; 4] = *b"FJL\x03";
/// The least that a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// All journals of a folder.
pub(crate) struct Journals {
    pub oldest: u64,
    pub newest: u64,
    /// The sequence numbers of all batches, ascending.
    pub sequences: Vec<u64>,
    /// Of all marks in them, tree and sequence number.
    pub marks: Vec<(u64, u64)>,
    /// What is to be cut off.
    pub cut: Option<Cut>,
}

/// The end of a journal that is to be cut off.
pub(crate) struct Cut {
    pub path: PathBuf,
    pub at: usize,
    pub bytes: usize,
}

/// A batch that reads well.
struct Batch<'a> {
    end: usize,
    sequence: u64,
    marks: Option<&'a [u8]>,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Ending {
    Clean,
    /// To be cut off.
    Unfinished,
    Damaged(&'static str),
}

/// Reads all journals; marks are looked for in the tree `marks_in`.
pub(crate) fn read_all(fjall: &Path, tail: Tail, marks_in: Option<u64>) -> Result<Journals, Fault> {
    let all = find(fjall).map_err(disk(fjall))?;
    let (Some((oldest, _)), Some((newest, _))) = (all.first(), all.last()) else {
        return Err(damaged("there is no journal (*.jnl)"));
    };
    let mut journals =
        Journals { oldest: *oldest, newest: *newest, sequences: Vec::new(), marks: Vec::new(), cut: None };
    for (at, (number, path)) in all.iter().enumerate() {
        if *number != oldest + at as u64 {
            return Err(damaged(format!("journal {}.jnl is missing", oldest + at as u64)));
        }
        read_one(path, (number == newest).then_some(tail), marks_in, &mut journals)?;
    }
    Ok(journals)
}

/// Reads one; `tail` is how the newest one may end.
fn read_one(
    path: &Path,
    tail: Option<Tail>,
    marks_in: Option<u64>,
    journals: &mut Journals,
) -> Result<(), Fault> {
    let wrong = |at: usize, what: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        damaged(format!("{what} (journal {name}, byte {at})"))
    };
    let bytes = &read_used(path).map_err(disk(path))?[..];
    let mut at = 0;
    while let Some(batch) = batch_at(bytes, at, marks_in) {
        if journals.sequences.last().is_some_and(|last| batch.sequence <= *last) || batch.sequence >= 1 << 62
        {
            return Err(wrong(at, "writes are out of sequence"));
        }
        journals.sequences.push(batch.sequence);
        if let Some(row) = batch.marks {
            journals.marks.extend(marks::decode(row).ok_or_else(|| wrong(at, "marks that are none"))?);
        }
        at = batch.end;
    }
    let ending = match tail {
        Some(Tail::AnyBatches) if at < bytes.len() => Ending::Unfinished,
        _ => ending(bytes, at),
    };
    match (ending, tail) {
        (Ending::Clean, _) => Ok(()),
        (Ending::Unfinished, Some(_)) => {
            journals.cut = Some(Cut { path: path.to_owned(), at, bytes: bytes.len() - at });
            Ok(())
        }
        (Ending::Unfinished, None) => Err(wrong(at, "an older journal breaks off")),
        (Ending::Damaged(what), _) => Err(wrong(at, what)),
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
fn ending(bytes: &[u8], at: usize) -> Ending {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Ending::Clean;
    }
    if (at + 1..bytes.len())
        .any(|later| bytes.get(later) == Some(&1) && batch_at(bytes, later, None).is_some())
    {
        return Ending::Damaged("a write does not read, and later ones do");
    }
    let to_sector_end = SECTOR_BYTES - at % SECTOR_BYTES;
    let (begun, whole) = rest.split_at(to_sector_end.min(rest.len()));
    let unwritten = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    if unwritten(begun) || whole.chunks(SECTOR_BYTES).any(unwritten) {
        return Ending::Unfinished;
    }
    // One damaged byte does not hide that the batch was written to its end.
    let ending = rest.iter().rev().zip(MAGIC.iter().rev()).filter(|(found, wanted)| found == wanted).count();
    if rest.len() >= MAGIC.len() && ending >= MAGIC.len() - 1 {
        return Ending::Damaged("the newest write is whole and does not match its checksum");
    }
    Ending::Unfinished
}

/// The batch that starts at `at`, if it is whole and matches its checksum.
fn batch_at(bytes: &[u8], at: usize, marks_in: Option<u64>) -> Option<Batch<'_>> {
    let mut cursor = Cursor { bytes, at };
    let [1] = cursor.take()? else { return None };
    let count = u32::from_le_bytes(cursor.take()?);
    let sequence = u64::from_le_bytes(cursor.take()?);
    let items = cursor.at;
    let mut marks = None;
    for _ in 0..count {
        marks = cursor.item(marks_in)?.or(marks);
    }
    let items = bytes.get(items..cursor.at)?;
    let [3] = cursor.take()? else { return None };
    let sum = u64::from_le_bytes(cursor.take()?);
    let whole = cursor.take()? == MAGIC && sum == XxHash3_64::oneshot(items);
    whole.then_some(Batch { end: cursor.at, sequence, marks })
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(taken)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// Moves past one item of a batch: a value or tombstone, or the clearing of a keyspace. Gives marks.
    fn item(&mut self, marks_in: Option<u64>) -> Option<Option<&'a [u8]>> {
        match self.take()? {
            [2] => {
                let [_kind, compression @ 0..=1] = self.take()? else { return None };
                let keyspace = u64::from_le_bytes(self.take()?);
                let key = u16::from_le_bytes(self.take()?);
                let value = u32::from_le_bytes(self.take()?);
                let on_disk = u32::from_le_bytes(self.take()?);
                let key = self.slice(key.into())?;
                let bytes = self.slice(on_disk as usize)?;
                let plain = compression == 0;
                if plain && value != on_disk {
                    return None;
                }
                Some((plain && Some(keyspace) == marks_in && key == MARKS_KEY).then_some(bytes))
            }
            [4] => {
                let _keyspace: [u8; 8] = self.take()?;
                Some(None)
            }
            _ => None,
        }
    }
}
