//! What was read last at the end of a partition, for whoever reads there next. Values only.

use std::collections::VecDeque;

use tidefold_log::ReadLimit;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch};

/// The records of a partition from `base` up to `next`, where the follower goes on.
#[derive(Debug)]
pub(crate) struct Tail {
    partition: Partition,
    base: Offset,
    next: Offset,
    kept: VecDeque<RecordBatch>,
    bytes: usize,
    /// Bytes that came since somebody last took some.
    unread: usize,
}

/// What there is for a read.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(RecordBatch),
    /// It is on its way.
    Waiting,
    /// Not here.
    Nowhere,
}

// === impl Tail ===

impl Tail {
    pub(crate) fn at(partition: Partition, next: Offset) -> Tail {
        Tail { partition, base: next, next, kept: VecDeque::new(), bytes: 0, unread: 0 }
    }

    /// Where the follower goes on.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn covers(&self, from: Offset) -> bool {
        self.base <= from && from <= self.next
    }

    /// Keeps what was read from `at` on, up to so many bytes of all. False: nobody takes it, so that nobody needs to be
    /// followed for.
    pub(crate) fn push(&mut self, at: Offset, batch: RecordBatch, most: usize) -> bool {
        if at != self.next || batch.next_offset() <= at {
            return true;
        }
        self.next = batch.next_offset();
        self.bytes += batch.size_bytes();
        self.unread += batch.size_bytes();
        self.kept.push_back(batch);
        while self.bytes > most
            && self.kept.len() > 1
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.size_bytes();
            self.base = oldest.next_offset();
        }
        self.unread <= most
    }

    /// Records from `from` on. Fewer than `limit` allows only where the partition ends at `target`.
    pub(crate) fn take(&mut self, from: Offset, limit: ReadLimit, target: Offset) -> Taken {
        if !self.covers(from) {
            return Taken::Nowhere;
        }
        self.unread = 0;
        let batch = self.gather(from, limit);
        let full = batch.len() >= limit.records || batch.size_bytes() >= limit.bytes;
        if full || batch.next_offset() < self.next || self.next >= target {
            return Taken::Batch(batch);
        }
        Taken::Waiting
    }

    /// As many records as there are and `limit` allows; without copying where they lie in one batch.
    fn gather(&self, from: Offset, limit: ReadLimit) -> RecordBatch {
        let at = self.kept.partition_point(|batch| batch.next_offset() <= from);
        let mut rest = self.kept.range(at..);
        let Some(first) = rest.next() else { return RecordBatch::empty(self.partition, self.next) };
        let part = first.part(from, limit.records, limit.bytes);
        if part.next_offset() < first.next_offset() || first.next_offset() == self.next {
            return part;
        }
        let (mut builder, mut offsets) = (BatchBuilder::new(), Vec::new());
        for record in std::iter::once(&part).chain(rest).flat_map(RecordBatch::iter) {
            let some = !offsets.is_empty();
            if some && (offsets.len() >= limit.records || builder.size_bytes() >= limit.bytes) {
                return builder.build_sparse(self.partition, &offsets, record.offset);
            }
            builder.push(record.key, record.value, record.headers);
            offsets.push(record.offset);
        }
        builder.build_sparse(self.partition, &offsets, self.next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidefold_record::Headers;

    use super::*;

    const P0: Partition = Partition(0);
    const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

    fn batch(at: u64, records: u64, gap: u64) -> RecordBatch {
        let mut batch = BatchBuilder::new();
        let offsets: Vec<_> = (at..at + records).map(Offset).collect();
        for offset in &offsets {
            batch.push(None, Some(offset.0.to_string().as_bytes()), Headers::default());
        }
        batch.build_sparse(P0, &offsets, Offset(at + records + gap))
    }

    fn offsets(taken: Taken) -> Vec<u64> {
        let Taken::Batch(batch) = taken else { panic!("{taken:?}") };
        batch.iter().map(|record| record.offset.0).collect()
    }

    #[test]
    fn who_stands_at_the_end_waits_for_what_is_known_to_be_there() {
        let mut tail = Tail::at(P0, Offset(5));
        assert!(matches!(tail.take(Offset(5), ALL, Offset(6)), Taken::Waiting));
        assert!(offsets(tail.take(Offset(5), ALL, Offset(5))).is_empty());
        assert!(tail.push(Offset(5), batch(5, 2, 0), 1 << 10));
        assert_eq!(offsets(tail.take(Offset(6), ALL, Offset(7))), [6]);
        assert!(matches!(tail.take(Offset(6), ALL, Offset(8)), Taken::Waiting));
        assert!(matches!(tail.take(Offset(4), ALL, Offset(8)), Taken::Nowhere));
        assert!(matches!(tail.take(Offset(8), ALL, Offset(8)), Taken::Nowhere));
    }

    #[test]
    fn what_comes_from_another_place_is_left_aside() {
        let mut tail = Tail::at(P0, Offset(5));
        assert!(tail.push(Offset(3), batch(3, 9, 0), 1 << 10));
        assert_eq!(tail.next(), Offset(5));
    }

    #[test]
    fn nobody_is_followed_for_who_does_not_come() {
        let mut tail = Tail::at(P0, Offset(0));
        let each = batch(0, 1, 0).size_bytes();
        assert!(tail.push(Offset(0), batch(0, 1, 0), 2 * each));
        assert!(tail.push(Offset(1), batch(1, 1, 0), 2 * each));
        assert!(!tail.push(Offset(2), batch(2, 1, 0), 2 * each));
        assert_eq!(
            offsets(tail.take(Offset(1), ALL, Offset(3))),
            [1, 2],
            "the oldest is gone, the others are not"
        );
        assert!(tail.push(Offset(3), batch(3, 1, 0), 2 * each), "somebody came");
    }

    proptest! {
        #[test]
        fn reads_of_any_size_find_every_record_once(
            batches in prop::collection::vec((1u64..5, 0u64..3), 1..20),
            records in 1usize..7,
        ) {
            let (mut tail, mut at, mut all) = (Tail::at(P0, Offset(10)), 10, Vec::new());
            for (count, gap) in batches {
                prop_assert!(tail.push(Offset(at), batch(at, count, gap), usize::MAX));
                all.extend(at..at + count);
                at += count + gap;
            }
            let (mut from, mut read) = (Offset(10), Vec::new());
            while from < Offset(at) {
                let limit = ReadLimit { records, bytes: usize::MAX };
                let Taken::Batch(some) = tail.take(from, limit, Offset(at)) else { panic!("it is all there") };
                prop_assert!(some.len() <= records && some.next_offset() > from);
                read.extend(some.iter().map(|record| record.offset.0));
                from = some.next_offset();
            }
            prop_assert_eq!(read, all);
        }
    }
}
