//! The ledger of a run: what was settled of a source, so that a run that was cut is gone on with exactly.
//!
//! A file of JSON lines: first who runs (a run's id, the app, how the source is read, what the source was), then after each
//! answer how far it is. A message without an id of its own gets the run's id and its line's number. So the lines that were
//! on their way when a run was cut are sent again under the ids they had, and count once; and no other run can have them.
//!
//! The ledger is there while a run is unfinished. A finished run takes it away, unless some lines were accepted and others
//! refused: then those can be mended and sent without the others.
//!
//! Of every accepted line it keeps the number and a fingerprint, and of those that are sent next, since the write API may
//! have taken them when a run is cut. A run is gone on with only where each of them is as it was and stands where it stood;
//! whatever else the source has was never sent, or refused, so it is sent, under the run's id and its line's number.
//!
//! Everything that was settled is on the disk before the next lines are sent. A line that was cut off itself is passed over.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::notes::{Entry, Header, Known, Mended, Unread, print};
pub use self::notes::{Pin, RunId, Standing, Subject};
use crate::line::{Line, SourceError};

mod notes;

/// A ledger that is open, locked against other runs.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    run: RunId,
    standing: Standing,
    /// What a new ledger begins with, until something is sent.
    header: Option<Header>,
    /// What is noted before refused lines are sent again.
    mended: Option<Mended>,
    /// Whether the write API may have taken lines of which it has not said so.
    in_doubt: bool,
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
    /// A line that the run had accepted, or that was on its way when it was cut, is not as it was, or not where it was.
    #[error("{}: line {line} {}", path.display(), match (*is_gone, *was_accepted) {
        (true, true) => "was accepted, and there is none now",
        (false, true) => "is not the one that was accepted there",
        (true, false) => "was on its way when the run was cut, and there is none now",
        (false, false) => "is not the one that was on its way when the run was cut",
    })]
    Changed {
        /// The ledger.
        path: PathBuf,
        /// The first such line.
        line: u64,
        /// Whether there is no such line any more.
        is_gone: bool,
        /// Whether it was accepted; else it is not known whether the write API took it.
        was_accepted: bool,
    },
    /// It was written by an earlier version, which did not note what the accepted lines were.
    #[error("{} is of an earlier version of publish, which does not tell whether the accepted lines are as they were", .0.display())]
    Older(PathBuf),
    /// The file is something else.
    #[error("{} is no ledger of publish; it is left as it is", .0.display())]
    Foreign(PathBuf),
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
        match read(path, &text) {
            Err(LedgerError::Older(_)) if again => {}
            Ok(Some((_, standing))) if !again => {
                return Err(LedgerError::Unfinished { path: path.to_owned(), standing });
            }
            read => drop(read?),
        }
        let run = RunId::fresh();
        let header = Some(Header { tidefold_publish: 2, run: run.0.clone(), subject });
        Ok(Ledger {
            file,
            path: path.to_owned(),
            run,
            standing: Standing::default(),
            header,
            mended: None,
            in_doubt: false,
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
        let Some((header, mut standing)) = read(path, &text)? else {
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
        let mended = standing.ended.then(|| Mended { input: subject.input.clone() });
        if mended.is_some() {
            standing.refused.clear();
            standing.ended = false;
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
            header: None,
            mended,
            in_doubt: true,
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

    /// What of the source is left to send: every line that was not accepted, and of a run that was cut not what it had
    /// refused already. First all that was accepted or on its way is read, to be sure that it is as it was and where it was.
    ///
    /// # Errors
    /// When it is not: with the first line that differs.
    pub fn rest<'l>(
        &mut self,
        lines: impl Iterator<Item = Result<Line, SourceError>> + Send + 'l,
    ) -> Result<Rest<'l>, LedgerError> {
        let done = self.standing.done;
        let number = |line: &Result<Line, SourceError>| match line {
            Ok(line) => Some(line.number),
            Err(SourceError::Line { number, .. }) => Some(*number),
            Err(_) => None,
        };
        let known = std::mem::take(&mut self.standing.known);
        let through = done.max(known.last_key_value().map_or(0, |(line, _)| *line));
        let path = &self.path;
        let changed = |line, is_gone, was: Known| LedgerError::Changed {
            path: path.clone(),
            line,
            is_gone,
            was_accepted: was.was_accepted,
        };
        let mut expected = known.into_iter().peekable();
        let mut lines = lines.peekable();
        let mut unsent = Vec::new();
        while let Some(line) = lines.next_if(|line| number(line).is_some_and(|line| line <= through)) {
            let at = number(&line).unwrap_or_default();
            if let Some((gone, was)) = expected.next_if(|(expected, _)| *expected < at) {
                return Err(changed(gone, true, was));
            }
            match expected.next_if(|(expected, _)| *expected == at) {
                Some((_, was)) if line.as_ref().is_ok_and(|line| print(line) == was.print) => {
                    if !was.was_accepted {
                        unsent.push(line);
                    }
                }
                Some((_, was)) => return Err(changed(at, false, was)),
                None if self.standing.refused.contains(&at) => {}
                None => unsent.push(line),
            }
        }
        // Of a source that cannot be read on nothing is sent: what is behind may have changed.
        if let Some(broken) = lines.next_if(|line| number(line).is_none()) {
            return Ok(Box::new(std::iter::once(broken)));
        }
        match expected.next() {
            Some((gone, was)) => Err(changed(gone, true, was)),
            None => Ok(Box::new(unsent.into_iter().chain(lines))),
        }
    }

    /// Makes sure that the run's id, what was settled, and what is sent next are on the disk: before it is sent.
    ///
    /// # Errors
    /// When it cannot be written: nothing may be sent.
    pub(crate) fn begin_sending(&mut self, lines: &[Line]) -> Result<(), LedgerError> {
        self.head()?;
        let mut entry = Entry { done: self.standing.done, ..Entry::default() };
        lines.iter().for_each(|line| entry.send(line));
        self.put(&entry)?;
        let synced = self.file.sync_data();
        synced.map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    /// Writes what a run begins with, once.
    fn head(&mut self) -> Result<(), LedgerError> {
        if let Some(mended) = self.mended.take() {
            let entry = Entry { done: self.standing.done, mended: Some(mended), ..Entry::default() };
            return self.put(&entry);
        }
        let Some(header) = self.header.take() else { return Ok(()) };
        let file = &mut self.file;
        let written =
            file.set_len(0).and_then(|()| put(file, &header)).and_then(|()| sync_folder(&self.path));
        written.map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    /// Lines were sent, and whether they were taken is not known.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// A run that stops: where nothing of it was taken, its ledger is taken away. Returns whether there is one to go on with.
    ///
    /// # Errors
    /// When it cannot be taken away.
    pub fn stop(self) -> Result<bool, LedgerError> {
        let is_begun = self.header.is_none();
        match self.is_new && is_begun && !self.in_doubt && self.standing.accepted == 0 {
            true => self.remove().map(|()| false),
            false => Ok(is_begun),
        }
    }

    /// Notes that lines were answered, and with them every line up to `through`; `refused` are those that were not accepted,
    /// and others that were not even sent. It is on the disk before more is sent.
    ///
    /// # Errors
    /// When it cannot be written: nothing more may be sent.
    pub(crate) fn settle(
        &mut self,
        lines: &[Line],
        through: u64,
        refused: Vec<u64>,
    ) -> Result<(), LedgerError> {
        let mut entry = Entry { done: through.max(self.standing.done), ..Entry::default() };
        let unaccepted: BTreeSet<u64> = refused.iter().copied().collect();
        lines.iter().filter(|line| !unaccepted.contains(&line.number)).for_each(|line| entry.accept(line));
        entry.refused = refused;
        self.append(&entry)
    }

    /// The source was sent to its end: nothing is left to do, or its refused lines are. Where none was accepted the whole
    /// source can be sent as it were the first time.
    ///
    /// # Errors
    /// When the ledger can be neither written nor taken away.
    pub fn finish(mut self) -> Result<(), LedgerError> {
        if self.standing.refused.is_empty() || self.standing.accepted == 0 {
            return self.remove();
        }
        self.append(&Entry { done: self.standing.done, end: true, ..Entry::default() })?;
        self.file.sync_data().map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    fn remove(&self) -> Result<(), LedgerError> {
        std::fs::remove_file(&self.path).map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        self.head()?;
        // What cannot be noted was taken all the same.
        let noted = self.put(entry);
        self.in_doubt |= noted.is_err();
        noted?;
        self.standing.add(entry);
        Ok(())
    }

    fn put(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        put(&mut self.file, entry).map_err(|source| LedgerError::Io { path: self.path.clone(), source })
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

/// How far the run of a ledger is, without a lock; nothing where there is no ledger of a run.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn standing(path: &Path) -> Result<Option<Standing>, LedgerError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(read(path, &text)?.map(|(_, standing)| standing)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::Io { path: path.to_owned(), source }),
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

fn read(path: &Path, text: &str) -> Result<Option<(Header, Standing)>, LedgerError> {
    notes::read(text).map_err(|unread| match unread {
        Unread::Older => LedgerError::Older(path.to_owned()),
        Unread::Foreign => LedgerError::Foreign(path.to_owned()),
    })
}

fn put(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Sees to it that a new file is found again.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
