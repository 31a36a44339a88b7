//! Marks: how far each tree had come when a journal was begun.
//!
//! fjall removes a journal once all that it holds is in the trees' files, and nothing tells a journal that was removed
//! from one that went missing. So the first writes to each journal are marks: of every tree the highest sequence number
//! it had then. Whoever looks at the folder after a crash sees from the oldest journal's marks what the trees' files must
//! hold. They are a row in the database, written like any other: format byte, then tree and sequence number in pairs,
//! eight bytes each, then a CRC-32C; all little-endian.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use crate::journal_files::find;

/// The key of the row.
pub const MARKS_KEY: &[u8] = b"\0marks";

const FORMAT: u8 = 1;
/// So often the next journal is looked for though their number is the same: a look costs a microsecond.
const LOOK_EVERY: usize = 64;
/// Where the newest marks are noted.
const NOTE: &str = "newest";

/// Sees when fjall begins a journal, and makes the marks for it.
pub struct Marks {
    fjall: PathBuf,
    keyspace: Keyspace,
    /// How many journals there were when it was last asked, and how often it was.
    count: AtomicUsize,
    asked: AtomicUsize,
    /// The journal that comes next.
    next: Mutex<(u64, PathBuf)>,
}

// === impl Marks ===

impl Marks {
    /// Marks for the database in a folder, kept in `keyspace` of it. The journal that is written now has none yet.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn new(fjall: &Path, keyspace: Keyspace) -> std::io::Result<Marks> {
        let newest = find(fjall)?.last().map_or(0, |(number, _)| *number);
        let next = Mutex::new((newest + 1, path_of(fjall, newest + 1)));
        let (count, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Marks { fjall: fjall.to_owned(), keyspace, count, asked, next })
    }

    /// Whether fjall began a journal since the last time. To be asked after every batch: if so, marks are due.
    pub fn due(&self, database: &Database) -> bool {
        let count = database.journal_count();
        let changed = self.count.swap(count, Ordering::Relaxed) != count;
        // One begun while another was removed leaves the count as it was.
        if !changed && !self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = false;
        while next.1.exists() {
            due = true;
            *next = (next.0 + 1, path_of(&self.fjall, next.0 + 1));
        }
        due
    }

    /// Adds the marks of all trees to a batch. No keyspace may be deleted meanwhile.
    ///
    /// # Errors
    /// A keyspace cannot be opened.
    pub fn add(&self, database: &Database, batch: &mut OwnedWriteBatch) -> fjall::Result<()> {
        let mut row = vec![FORMAT];
        for name in database.list_keyspace_names() {
            let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default)?;
            if let Some(highest) = keyspace.tree.get_highest_seqno() {
                row.extend_from_slice(&keyspace.id().to_le_bytes());
                row.extend_from_slice(&highest.to_le_bytes());
            }
        }
        row.extend_from_slice(&crc32c::crc32c(&row).to_le_bytes());
        batch.insert(&self.keyspace, MARKS_KEY, row);
        Ok(())
    }

    /// The marks are written and synced: notes in which journal they are, in a file of its own, so that a journal that
    /// goes missing later is missed.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn note(&self) -> io::Result<()> {
        let journal = self.next.lock().unwrap_or_else(PoisonError::into_inner).0 - 1;
        let write = self.keyspace.tree.get_highest_seqno().unwrap_or(0);
        let text = format!("journal {journal} write {write}");
        let beside = self.fjall.join("newest.new");
        let mut file = File::create(&beside)?;
        write!(file, "{text} sum {:08x}", crc32c::crc32c(text.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&beside, self.fjall.join(NOTE))?;
        File::open(&self.fjall)?.sync_all()
    }
}

/// The journal and the write that were noted last. A note that is gone or damaged says nothing.
pub(crate) fn noted(fjall: &Path) -> Option<(u64, u64)> {
    let note = fs::read_to_string(fjall.join(NOTE)).ok()?;
    let (text, sum) = note.rsplit_once(" sum ")?;
    let (journal, write) = text.strip_prefix("journal ")?.split_once(" write ")?;
    let whole = sum == format!("{:08x}", crc32c::crc32c(text.as_bytes()));
    whole.then_some((journal.parse().ok()?, write.parse().ok()?))
}

fn path_of(fjall: &Path, journal: u64) -> PathBuf {
    fjall.join(format!("{journal}.jnl"))
}

/// Tree and sequence number, of each.
pub(crate) fn decode(row: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (body, sum) = row.split_last_chunk::<4>()?;
    let (format, pairs) = body.split_first()?;
    let whole = *format == FORMAT && u32::from_le_bytes(*sum) == crc32c::crc32c(body);
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    let pairs = pairs.chunks(16).map(|pair| Some((number(pair.get(..8)?)?, number(pair.get(8..)?)?)));
    if whole { pairs.collect() } else { None }
}
