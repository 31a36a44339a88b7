//! A place in a partition from which a feed reads ahead, and the records it has read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::ReadLimit;
use tidefold_record::{BatchBuilder, HeadersBuilder, Offset, Partition, RecordBatch};
use tokio::time::Instant;

use crate::known::KnownTopic;
use crate::native::RecordView;

/// Records of one partition from `base` up to `position`, where the feed goes on.
pub(crate) struct Cursor {
    pub(crate) topic: Arc<KnownTopic>,
    pub(crate) partition: Partition,
    base: Offset,
    pub(crate) position: Offset,
    sealed: VecDeque<RecordBatch>,
    open: BatchBuilder,
    offsets: Vec<Offset>,
    pub(crate) bytes: usize,
    /// Stands at the end, and waits there for more.
    pub(crate) at_end: bool,
    pub(crate) paused: bool,
    /// Shall be fetched from `position`, and is not yet; what comes before that is of another place.
    pub(crate) placing: bool,
    pub(crate) assigned: bool,
    pub(crate) fault: Option<Code>,
    /// Moved since readers were told.
    pub(crate) moved: bool,
    pub(crate) used: Instant,
    pub(crate) progress: Instant,
    /// Since when there is more to read than was read, as far as that was looked at.
    behind: Option<Instant>,
    /// Was placed anew because it stood still.
    pub(crate) nudged: bool,
}

/// What there is for a read.
pub(crate) enum Taken {
    Batch(RecordBatch),
    /// Not yet: a feed is on its way.
    Waiting,
    /// No feed stands there.
    Nowhere,
    Fault(Code),
}

/// Records are sealed into batches of so many bytes, which readers share without copying.
const SEAL_BYTES: usize = 1 << 20;

// === impl Cursor ===

impl Cursor {
    pub(crate) fn new(topic: &Arc<KnownTopic>, partition: Partition, from: Offset) -> Cursor {
        let now = Instant::now();
        Cursor {
            topic: Arc::clone(topic),
            partition,
            base: from,
            position: from,
            sealed: VecDeque::new(),
            open: BatchBuilder::new(),
            offsets: Vec::new(),
            bytes: 0,
            at_end: false,
            paused: false,
            placing: true,
            assigned: false,
            fault: None,
            moved: false,
            used: now,
            progress: now,
            behind: None,
            nudged: false,
        }
    }

    pub(crate) fn is_of(&self, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        self.partition == partition && Arc::ptr_eq(&self.topic, topic)
    }

    pub(crate) fn covers(&self, from: Offset) -> bool {
        self.base <= from && from <= self.position
    }

    /// Goes elsewhere and forgets what was read.
    pub(crate) fn place(&mut self, topic: &Arc<KnownTopic>, from: Offset) {
        let (assigned, paused) = (self.assigned, self.paused);
        *self = Cursor { assigned, paused, ..Cursor::new(topic, self.partition, from) };
    }

    pub(crate) fn accept(&mut self, record: &RecordView<'_>, headers: &mut HeadersBuilder) {
        let offset = Offset(record.offset.max(0) as u64);
        if self.placing || offset < self.position {
            return;
        }
        headers.clear();
        record.headers(headers);
        let before = self.open.size_bytes();
        self.open.push(record.key, record.value, headers.as_headers());
        self.offsets.push(offset);
        self.bytes += self.open.size_bytes() - before;
        self.at_end = false;
        self.advance(offset.next());
        if self.open.size_bytes() >= SEAL_BYTES {
            self.seal();
        }
    }

    /// The partition ends at this offset, though the last record may stand well before it.
    pub(crate) fn accept_end(&mut self, offset: Offset) {
        if !self.placing && offset >= self.position {
            self.at_end = true;
            self.advance(offset);
        }
    }

    fn advance(&mut self, position: Offset) {
        self.position = position;
        self.fault = None;
        self.nudged = false;
        self.behind = None;
        self.progress = Instant::now();
        self.moved = true;
    }

    /// Whether it did not move for so long though its partition goes on. It counts from when that was first seen: a
    /// partition where nothing came for an hour is not late with what came just now.
    pub(crate) fn stands_still(&mut self, patience: Duration) -> bool {
        let behind = self.position < self.topic.end(self.partition);
        if !behind || self.paused || self.fault.is_some() {
            self.behind = None;
            return false;
        }
        self.behind.get_or_insert_with(Instant::now).elapsed() >= patience
    }

    /// Its consumer was given another chance.
    pub(crate) fn start_over(&mut self) {
        self.behind = None;
        self.placing = true;
        self.progress = Instant::now();
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.sealed.push_back(open.build_sparse(self.partition, &self.offsets, self.position));
            self.offsets.clear();
        }
    }

    /// Records from `from` on, which the cursor covers. Fewer than `limit` allows only where the partition ended at
    /// `target`, where reading ahead is paused, or where the reader has waited long enough.
    pub(crate) fn take(&mut self, from: Offset, limit: ReadLimit, target: Offset, patient: bool) -> Taken {
        self.used = Instant::now();
        while let Some(first) = self.sealed.front()
            && first.next_offset() <= from
        {
            self.bytes = self.bytes.saturating_sub(first.size_bytes());
            self.base = first.next_offset();
            self.sealed.pop_front();
        }
        if let Some(first) = self.sealed.front() {
            let part = first.part(from, limit.records, limit.bytes);
            if !part.is_empty() && part.next_offset() < first.next_offset() {
                return Taken::Batch(part);
            }
        }
        self.seal();
        // Dropping what was just sealed is for the next read.
        let batch = self.gather(from, limit);
        let cut = batch.next_offset() < self.position;
        let settled = cut || self.position >= target || self.fault.is_some();
        if settled && (!batch.is_empty() || self.fault.is_none()) {
            return Taken::Batch(batch);
        }
        let full = batch.len() >= limit.records || batch.size_bytes() >= limit.bytes;
        if !batch.is_empty() && (full || self.paused || !patient) {
            return Taken::Batch(batch);
        }
        self.fault.map_or(Taken::Waiting, Taken::Fault)
    }

    /// As many records as there are and `limit` allows; without copying where they lie in one batch.
    fn gather(&self, from: Offset, limit: ReadLimit) -> RecordBatch {
        let mut parts = self.sealed.iter().filter(|batch| batch.next_offset() > from);
        let Some(first) = parts.next() else { return RecordBatch::empty(self.partition, self.position) };
        let part = first.part(from, limit.records, limit.bytes);
        let cut = part.next_offset() < first.next_offset();
        if cut || first.next_offset() == self.position {
            return part;
        }
        let (mut builder, mut offsets) = (BatchBuilder::new(), Vec::new());
        for record in std::iter::once(&part).chain(parts).flat_map(RecordBatch::iter) {
            let some = !offsets.is_empty();
            if some && (offsets.len() >= limit.records || builder.size_bytes() >= limit.bytes) {
                return builder.build_sparse(self.partition, &offsets, record.offset);
            }
            builder.push(record.key, record.value, record.headers);
            offsets.push(record.offset);
        }
        builder.build_sparse(self.partition, &offsets, self.position)
    }
}
