//! What the fold says of one record. Everything downstream is a function of it: the dedupe window, verdict rows, dead
//! letters, views, entity rows, the feed.

use tidefold_codec::Datum;
use tidefold_record::{Headers, Offset, RecordRef};
use tidefold_table::Verdict;
use tidefold_table::entity::Seen;

/// What the fold says of one record.
#[derive(Debug)]
pub struct Transition<'a> {
    /// The record.
    pub offset: Offset,
    /// Its key, as it stands in the log.
    pub key: Option<&'a [u8]>,
    /// Its headers, as they stand in the log.
    pub headers: Headers<'a>,
    /// What became of it.
    pub verdict: Verdict,
    /// The entity's columns before it, where it was applied and there was one.
    pub old: Option<&'a [Datum<'a>]>,
    /// The entity's columns after it, where it was applied and there is one.
    pub new: Option<&'a [Datum<'a>]>,
    /// What it says, as far as it could be read and had to be.
    pub message: Option<Message<'a>>,
    /// What its identity is and a digest of its value, where it has an id.
    pub(crate) seen: Option<Seen>,
    /// The entity has the record in it: an earlier run folded it, and all that comes of it is acknowledged (I1, I7). So
    /// nothing is to be done but to remember that it was seen.
    pub known: bool,
}

/// A message, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its place in the topic.
    pub index: usize,
    /// Its fields; NULL where nothing reads them.
    pub fields: &'a [Datum<'a>],
    /// What the headers say of it.
    pub envelope: Envelope<'a>,
}

/// What the headers say to a fold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// `event_time()`.
    pub event_time_micros: Option<i64>,
    /// `append_time()`.
    pub append_time_micros: Option<i64>,
    /// `caller()`.
    pub caller: Option<&'a str>,
    /// The version that the entity has to have.
    pub if_match: Option<u64>,
}

// === impl Transition ===

impl<'a> Transition<'a> {
    /// Of a record of which nothing is known yet.
    pub(crate) fn of(record: &RecordRef<'a>) -> Transition<'a> {
        Transition {
            offset: record.offset,
            key: record.key,
            headers: record.headers,
            verdict: Verdict::Applied,
            old: None,
            new: None,
            message: None,
            seen: None,
            known: false,
        }
    }

    /// The message, if it counts: one with its id that comes later is a duplicate.
    pub(crate) fn counts(&self) -> Option<Seen> {
        self.seen.filter(|_| self.verdict.counts())
    }

    /// Whether it changes what tables say.
    #[must_use]
    pub fn applies(&self) -> bool {
        !self.known && matches!(self.verdict, Verdict::Applied)
    }
}
