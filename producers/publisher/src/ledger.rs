//! The ledger of a run: what was settled of a source, so that a run that was cut is gone on with exactly.
//!
//! A file of JSON lines: first who runs (a run's id, the app, how the source is read, what the source was), then after each
//! answer how far it is. A message without an id of its own gets the run's id and its line's number. So the lines that were
//! on their way when a run was cut are sent again under the ids they had, and count once; and no other run can have them.
//!
//! The ledger is there while a run is unfinished. A finished run takes it away, unless lines were refused: then it keeps
//! their numbers, so that they can be mended and sent without the others.
//!
//! Everything that was settled is on the disk before the next lines are sent. A line that was cut off itself is passed over.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::line::{Line, SourceError};

/// How much of a file's beginning tells it from another.
const HEAD_BYTES: u64 = 1 << 20;

/// How every ledger begins.
const MARK: &str = "{\"tidefold_publish\":1,";

/// The id of a run: random, so that no other has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

/// What a run is about. A run is gone on with under the same words only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The app.
    pub app: String,
    /// How the source is read: format, type, columns.
    pub reads: String,
    /// What the source is; nothing where it can be read once only.
    pub input: Option<Pin>,
}

/// What tells a file from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    bytes: u64,
    head: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    tidefold_publish: u32,
    run: String,
    #[serde(flatten)]
    subject: Subject,
}

/// How far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// Every line up to this one was accepted or refused.
    done: u64,
    /// A hash of the messages up to it.
    prefix: String,
    /// How many were accepted since the entry before.
    accepted: u64,
    /// Which were refused since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<u64>,
    /// Which had been refused and were accepted since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mended: Vec<u64>,
    /// The source has no more lines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    end: bool,
}

/// What a ledger says of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every line up to this one is settled.
    pub done: u64,
    /// How many lines were accepted.
    pub accepted: u64,
    /// Lines that were refused and not accepted since.
    pub refused: BTreeSet<u64>,
    /// Whether the source was read to its end.
    pub ended: bool,
    prefix: String,
}

/// A ledger that is open, locked against other runs.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    run: RunId,
    standing: Standing,
    hasher: blake3::Hasher,
    /// What a new ledger begins with, until something is sent.
    header: Option<Header>,
    /// Whether this run made it, and where there was none.
    is_new: bool,
    was_empty: bool,
}

/// What of a source is left to send.
pub type Rest<'l> = Box<dyn Iterator<Item = Result<Line, SourceError>> + Send + 'l>;

/// Why there is no ledger to go by.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be made, read or written.
    #[error("the ledger {} cannot be used", path.display())]
    Io {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process publishes by it.
    #[error("another run is publishing by the ledger {}", .0.display())]
    Busy(PathBuf),
    /// A new run was asked for, and there is a ledger of one that left something to do.
    #[error("there is a ledger of an earlier run, {}", path.display())]
    Unfinished {
        /// The ledger.
        path: PathBuf,
        /// How far that run came.
        standing: Standing,
    },
    /// A run was to be gone on with, and there is no ledger.
    #[error("there is no ledger {}: the run was finished, or none was begun", .0.display())]
    Missing(PathBuf),
    /// The run was begun otherwise.
    #[error("{}: the run was begun with {} = {was}; it is {is} now", path.display(), what)]
    Other {
        /// The ledger.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As it was.
        was: String,
        /// As it is.
        is: String,
    },
    /// What was sent is not what the source begins with.
    #[error("{}: the first {done} lines are not those that the run has sent", path.display())]
    Changed {
        /// The ledger.
        path: PathBuf,
        /// How many lines were settled.
        done: u64,
    },
    /// The file is something else.
    #[error("{} is no ledger of publish; it is left as it is", .0.display())]
    Foreign(PathBuf),
}

// === impl RunId ===

impl RunId {
    /// A fresh one.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "one id a run, made before anything is sent and kept in its ledger"
    )]
    pub fn fresh() -> RunId {
        RunId(uuid::Uuid::now_v7().simple().to_string())
    }

    /// The id of the message on a line that brings none.
    #[must_use]
    pub fn id(&self, line: u64) -> String {
        format!("{}-{line}", self.0)
    }
}

// === impl Pin ===

impl Pin {
    /// Of a file as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Pin, SourceError> {
        let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head).map_err(unreadable)?;
        Ok(Pin { bytes, head: blake3::hash(&head).to_hex()[..32].to_owned() })
    }
}

// === impl Standing ===

impl Standing {
    fn add(&mut self, entry: Entry) {
        self.done = entry.done;
        self.prefix = entry.prefix;
        self.accepted += entry.accepted;
        self.refused.extend(entry.refused);
        entry.mended.iter().for_each(|line| {
            self.refused.remove(line);
        });
        self.ended |= entry.end;
    }
}

// === impl Ledger ===

impl Ledger {
    /// Where the ledger of a file lies: beside it.
    #[must_use]
    pub fn beside(input: &Path) -> PathBuf {
        let mut name = input.as_os_str().to_owned();
        name.push(".publish-ledger");
        PathBuf::from(name)
    }

    /// Begins a run under a fresh id. `again`: an earlier run's ledger is written over, once something is sent.
    ///
    /// # Errors
    /// [`LedgerError::Unfinished`] where an earlier run left something to do, and when the ledger cannot be written.
    pub fn begin(path: &Path, subject: Subject, again: bool) -> Result<Ledger, LedgerError> {
        let (file, text) = open(path, true)?;
        if let Some((_, standing)) = read(path, &text)?
            && !again
        {
            return Err(LedgerError::Unfinished { path: path.to_owned(), standing });
        }
        let run = RunId::fresh();
        let header = Some(Header { tidefold_publish: 1, run: run.0.clone(), subject });
        Ok(Ledger {
            file,
            path: path.to_owned(),
            run,
            standing: Standing::default(),
            hasher: blake3::Hasher::new(),
            header,
            is_new: true,
            was_empty: text.is_empty(),
        })
    }

    /// Goes on with the run of a ledger.
    ///
    /// # Errors
    /// When there is none, or it is of another app or source, or cannot be read.
    pub fn resume(path: &Path, subject: &Subject) -> Result<Ledger, LedgerError> {
        let (mut file, text) = open(path, false)?;
        let Some((header, standing)) = read(path, &text)? else {
            return Err(LedgerError::Missing(path.to_owned()));
        };
        let other = |what: &'static str, was: &str, is: &str| LedgerError::Other {
            path: path.to_owned(),
            what,
            was: was.to_owned(),
            is: is.to_owned(),
        };
        if header.subject.app != subject.app {
            return Err(other("app", &header.subject.app, &subject.app));
        }
        if header.subject.reads != subject.reads {
            return Err(other("flags", &header.subject.reads, &subject.reads));
        }
        // Refused lines are mended before they are sent again, so a file that was read to its end may have changed.
        if header.subject.input != subject.input && !standing.ended {
            let said = |pin: &Option<Pin>| match pin {
                Some(pin) => format!("a file of {} bytes, head {}", pin.bytes, pin.head),
                None => "no file".to_owned(),
            };
            return Err(other("input", &said(&header.subject.input), &said(&subject.input)));
        }
        // A line that was cut off is overwritten.
        let whole = text.rfind('\n').map_or(0, |end| end + 1) as u64;
        let placed = file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0)));
        placed.map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
        Ok(Ledger {
            file,
            path: path.to_owned(),
            run: RunId(header.run),
            standing,
            hasher: blake3::Hasher::new(),
            header: None,
            is_new: false,
            was_empty: false,
        })
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// How far it is.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What of the source is left to send. The lines before it are read, to be sure that they are the ones that were settled.
    ///
    /// # Errors
    /// When they are not.
    pub fn rest<'l>(
        &mut self,
        lines: impl Iterator<Item = Result<Line, SourceError>> + Send + 'l,
    ) -> Result<Rest<'l>, LedgerError> {
        let Standing { done, prefix, refused, ended, .. } = self.standing.clone();
        let number = |line: &Result<Line, SourceError>| match line {
            Ok(line) => Some(line.number),
            Err(SourceError::Line { number, .. }) => Some(*number),
            Err(_) => None,
        };
        if ended {
            let is_left = move |line: &_| number(line).is_none_or(|line| refused.contains(&line));
            return Ok(Box::new(lines.filter(is_left)));
        }
        if done == 0 {
            return Ok(Box::new(lines));
        }
        let mut lines = lines.peekable();
        let mut hasher = blake3::Hasher::new();
        while let Some(line) = lines.next_if(|line| number(line).is_some_and(|line| line <= done)) {
            if let Ok(line) = line {
                hash(&mut hasher, &line);
            }
        }
        let is_broken = lines.peek().is_some_and(|line| number(line).is_none());
        if short(&hasher) != prefix && !is_broken {
            return Err(LedgerError::Changed { path: self.path.clone(), done });
        }
        self.hasher = hasher;
        Ok(Box::new(lines))
    }

    /// Makes sure that the run's id is on the disk: before the first lines are sent.
    ///
    /// # Errors
    /// When it cannot be written: nothing may be sent.
    pub(crate) fn begin_sending(&mut self) -> Result<(), LedgerError> {
        let Some(header) = self.header.take() else { return Ok(()) };
        let file = &mut self.file;
        let written =
            file.set_len(0).and_then(|()| put(file, &header)).and_then(|()| sync_folder(&self.path));
        written.map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    /// Whether anything may have been sent by it.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.header.is_none()
    }

    /// Nothing was sent after all: a ledger that this run made is taken away.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn discard(self) -> Result<(), LedgerError> {
        match self.is_new && self.header.is_none() {
            true => self.remove(),
            false => Ok(()),
        }
    }

    /// Notes that lines were answered, and with them every line up to `through`; `refused` are those that were not accepted,
    /// and others that were not even sent.
    ///
    /// # Errors
    /// When it cannot be written: nothing more may be sent.
    pub(crate) fn settle(
        &mut self,
        lines: &[Line],
        through: u64,
        refused: Vec<u64>,
    ) -> Result<(), LedgerError> {
        let is_mending = self.standing.ended;
        let accepted: Vec<u64> =
            lines.iter().map(|line| line.number).filter(|line| !refused.contains(line)).collect();
        if !is_mending {
            lines.iter().for_each(|line| hash(&mut self.hasher, line));
        }
        let entry = Entry {
            done: if is_mending { self.standing.done } else { through.max(self.standing.done) },
            prefix: if is_mending { self.standing.prefix.clone() } else { short(&self.hasher) },
            accepted: accepted.len() as u64,
            refused: if is_mending { Vec::new() } else { refused },
            mended: if is_mending { accepted } else { Vec::new() },
            end: false,
        };
        self.append(entry)
    }

    /// The source was sent to its end: nothing is left to do, or its refused lines are.
    ///
    /// # Errors
    /// When the ledger can be neither written nor taken away.
    pub fn finish(mut self) -> Result<(), LedgerError> {
        if self.standing.refused.is_empty() {
            return self.remove();
        }
        let (done, prefix) = (self.standing.done, self.standing.prefix.clone());
        self.append(Entry { done, prefix, end: true, ..Entry::default() })
    }

    fn remove(&self) -> Result<(), LedgerError> {
        std::fs::remove_file(&self.path).map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    fn append(&mut self, entry: Entry) -> Result<(), LedgerError> {
        self.begin_sending()?;
        let written = put(&mut self.file, &entry);
        written.map_err(|source| LedgerError::Io { path: self.path.clone(), source })?;
        self.standing.add(entry);
        Ok(())
    }
}

impl Drop for Ledger {
    /// A run that ends before it has sent anything leaves no file.
    fn drop(&mut self) {
        if self.header.is_some() && self.was_empty {
            let _ = self.remove();
        }
    }
}

/// Opens a ledger, locks it and reads it.
fn open(path: &Path, create: bool) -> Result<(File, String), LedgerError> {
    let unusable = |source| LedgerError::Io { path: path.to_owned(), source };
    let opened = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if !create => LedgerError::Missing(path.to_owned()),
        _ => unusable(source),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy(path.to_owned())),
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unusable)?;
    file.seek(SeekFrom::Start(0)).map_err(unusable)?;
    let text = String::from_utf8(bytes).map_err(|_| LedgerError::Foreign(path.to_owned()))?;
    Ok((file, text))
}

/// What stands in a ledger; nothing where its first line was cut off, before anything was sent.
fn read(path: &Path, text: &str) -> Result<Option<(Header, Standing)>, LedgerError> {
    let foreign = || LedgerError::Foreign(path.to_owned());
    if !text.starts_with(MARK) && !MARK.starts_with(text) {
        return Err(foreign());
    }
    let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let Some(first) = lines.next() else { return Ok(None) };
    let header: Header = serde_json::from_str(first).map_err(|_| foreign())?;
    let mut standing = Standing::default();
    for line in lines {
        standing.add(serde_json::from_str(line).map_err(|_| foreign())?);
    }
    Ok(Some((header, standing)))
}

fn put(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

/// Sees to it that a new file is found again.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn hash(hasher: &mut blake3::Hasher, line: &Line) {
    hasher.update(&line.number.to_be_bytes());
    hasher.update(&(line.text.len() as u64).to_be_bytes());
    hasher.update(line.text.as_bytes());
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests;
