//! What stands in a ledger: who runs, and behind each answer how far it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::line::{Line, SourceError};

/// How much of a file's beginning tells it from another.
const HEAD_BYTES: u64 = 1 << 20;

/// How every ledger begins.
const MARK: &str = "{\"tidefold_publish\":2,";

/// How those began that kept no fingerprints.
const OLDER_MARK: &str = "{\"tidefold_publish\":1,";

/// Hexadecimal digits of a fingerprint: 64 bits, since what it guards against is an edit, not an attack.
const PRINT_DIGITS: usize = 16;

/// The id of a run: random, so that no other has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(pub(super) String);

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
    pub(super) bytes: u64,
    pub(super) head: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) tidefold_publish: u32,
    pub(super) run: String,
    #[serde(flatten)]
    pub(super) subject: Subject,
}

/// How far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Every line up to this one was accepted or refused.
    pub(super) done: u64,
    /// Which were accepted since the entry before: the first and the last line of each stretch without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) accepted: Vec<(u64, u64)>,
    /// Their fingerprints, one behind the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) prints: String,
    /// Which were refused since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<u64>,
    /// Which are sent next, by stretches as above. Until they are answered they may have been taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sent: Vec<(u64, u64)>,
    /// Their fingerprints, one behind the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) sent_prints: String,
    /// The source has no more lines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) end: bool,
    /// Behind an end: the source was mended, and what was refused is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mended: Option<Mended>,
}

/// What a source is since it was mended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mended {
    pub(super) input: Option<Pin>,
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
    /// Each line that was accepted or on its way when the run was cut, as the ledger had them when it was opened.
    pub(super) known: BTreeMap<u64, Known>,
}

/// What is known of a line that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) print: u64,
    /// Else nobody knows whether it was taken.
    pub(super) was_accepted: bool,
}

/// Text that is no ledger to go by.
pub(super) enum Unread {
    /// It is of a version that kept no fingerprints.
    Older,
    /// It is something else.
    Foreign,
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
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.mended.is_some() {
            self.refused.clear();
            self.ended = false;
        }
        self.done = entry.done;
        self.refused.extend(&entry.refused);
        for line in &entry.refused {
            self.known.remove(line);
        }
        for line in lines(&entry.accepted) {
            self.accepted += 1;
            self.refused.remove(&line);
        }
        self.ended |= entry.end;
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn accept(&mut self, line: &Line) {
        add(&mut self.accepted, &mut self.prints, line);
    }

    pub(super) fn send(&mut self, line: &Line) {
        add(&mut self.sent, &mut self.sent_prints, line);
    }
}

fn lines(stretches: &[(u64, u64)]) -> impl Iterator<Item = u64> {
    stretches.iter().flat_map(|(first, last)| *first..=*last)
}

fn add(stretches: &mut Vec<(u64, u64)>, prints: &mut String, line: &Line) {
    match stretches.last_mut() {
        Some((_, last)) if *last + 1 == line.number => *last = line.number,
        _ => stretches.push((line.number, line.number)),
    }
    prints.push_str(&format!("{:0PRINT_DIGITS$x}", print(line)));
}

/// Of each line the number and the fingerprint; nothing where they are not as many.
fn printed(stretches: &[(u64, u64)], prints: &str) -> Option<Vec<(u64, u64)>> {
    let digits = prints.as_bytes().chunks(PRINT_DIGITS);
    let prints = digits.map(|print| u64::from_str_radix(std::str::from_utf8(print).ok()?, 16).ok());
    let prints = prints.collect::<Option<Vec<_>>>()?;
    let count = stretches
        .iter()
        .try_fold(0u64, |count, (first, last)| count.checked_add(last.checked_sub(*first)?.checked_add(1)?));
    (count == Some(prints.len() as u64)).then(|| lines(stretches).zip(prints).collect())
}

/// What stands in a ledger; nothing where its first line was cut off, before anything was sent.
pub(super) fn read(text: &str) -> Result<Option<(Header, Standing)>, Unread> {
    if text.starts_with(OLDER_MARK) {
        return Err(Unread::Older);
    }
    if !text.starts_with(MARK) && !MARK.starts_with(text) {
        return Err(Unread::Foreign);
    }
    let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let Some(first) = lines.next() else { return Ok(None) };
    let mut header: Header = serde_json::from_str(first).map_err(|_| Unread::Foreign)?;
    let mut standing = Standing::default();
    for line in lines {
        let mut entry: Entry = serde_json::from_str(line).map_err(|_| Unread::Foreign)?;
        standing.add(&entry);
        let accepted = printed(&entry.accepted, &entry.prints).ok_or(Unread::Foreign)?;
        let sent = printed(&entry.sent, &entry.sent_prints).ok_or(Unread::Foreign)?;
        let known = |was_accepted| move |(line, print)| (line, Known { print, was_accepted });
        standing.known.extend(accepted.into_iter().map(known(true)));
        standing.known.extend(sent.into_iter().map(known(false)));
        if let Some(mended) = entry.mended.take() {
            header.subject.input = mended.input;
        }
    }
    Ok(Some((header, standing)))
}

/// A line's fingerprint: of its number and its text.
pub(super) fn print(line: &Line) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&line.number.to_be_bytes());
    hasher.update(line.text.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}
