//! Appends that wait for their delivery reports: one object an append, none a record.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};

use tidefold_log::{Appended, LogError};
use tidefold_record::{Offset, Partition};
use tokio::sync::oneshot;

use crate::known::KnownTopic;

pub(crate) type Answer = Result<Appended, LogError>;

/// All that wait. A record is told apart by its append's slot and its index in it.
#[derive(Default)]
pub(crate) struct Pending {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    appends: Vec<Option<Append>>,
    free: Vec<u32>,
    bytes: usize,
}

struct Append {
    topic: Arc<KnownTopic>,
    partition: Partition,
    fates: Fates,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// The fates of an append's records, as they come. As long as they come in order and stand one after the other, two
/// numbers tell them all.
struct Fates {
    count: u32,
    left: u32,
    first: Offset,
    split: Option<Vec<Result<Offset, LogError>>>,
}

// === impl Pending ===

impl Pending {
    /// A place for an append, unless so many bytes wait already; a queue that is empty takes any one append.
    pub(crate) fn admit(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        count: u32,
        bytes: usize,
        most: usize,
    ) -> Option<(u32, oneshot::Receiver<Answer>)> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.bytes > 0 && slots.bytes + bytes > most {
            return None;
        }
        slots.bytes += bytes;
        let (answer, waiting) = oneshot::channel();
        let append = Append { topic: Arc::clone(topic), partition, fates: Fates::new(count), bytes, answer };
        let slot = slots.free.pop().unwrap_or(slots.appends.len() as u32);
        match slots.appends.get_mut(slot as usize) {
            Some(place) => *place = Some(append),
            None => slots.appends.push(Some(append)),
        }
        Some((slot, waiting))
    }

    /// Notes a record's fate; the last one answers the append.
    pub(crate) fn deliver(&self, slot: u32, index: u32, fate: Result<Offset, LogError>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Some(append)) = slots.appends.get_mut(slot as usize) else { return };
        append.fates.note(index, fate);
        if append.fates.left > 0 {
            return;
        }
        let done = slots.appends.get_mut(slot as usize).and_then(Option::take);
        slots.free.push(slot);
        slots.bytes = slots.bytes.saturating_sub(done.as_ref().map_or(0, |append| append.bytes));
        drop(slots);
        if let Some(append) = done {
            append.finish();
        }
    }
}

// === impl Append ===

impl Append {
    fn finish(self) {
        if let Some(end) = self.fates.end() {
            self.topic.raise(self.partition, end);
        }
        // Who appended may be gone.
        let _gone = self.answer.send(self.fates.answer());
    }
}

// === impl Fates ===

impl Fates {
    fn new(count: u32) -> Fates {
        Fates { count, left: count, first: Offset::ZERO, split: None }
    }

    fn note(&mut self, index: u32, fate: Result<Offset, LogError>) {
        let done = self.count - self.left;
        self.left = self.left.saturating_sub(1);
        if self.split.is_none() && index == done {
            match fate {
                Ok(offset) if index == 0 => {
                    self.first = offset;
                    return;
                }
                Ok(offset) if offset == self.first.advance(u64::from(index)) => return,
                _ => {}
            }
        }
        let (count, first) = (self.count, self.first);
        let fates = self.split.get_or_insert_with(|| {
            let missing = || Err(LogError::Unknown { detail: "the record got no answer".to_owned() });
            let known = |i: u32| if i < done { Ok(first.advance(u64::from(i))) } else { missing() };
            (0..count).map(known).collect()
        });
        if let Some(place) = fates.get_mut(index as usize) {
            *place = fate;
        }
    }

    fn end(&self) -> Option<Offset> {
        match &self.split {
            None => Some(self.first.advance(u64::from(self.count))),
            Some(fates) => fates.iter().filter_map(|fate| fate.as_ref().ok()).max().map(|last| last.next()),
        }
    }

    /// One answer where all records fared alike.
    fn answer(self) -> Answer {
        let Some(fates) = self.split else { return Ok(Appended::From(self.first)) };
        if let Some(Err(first)) = fates.first()
            && fates
                .iter()
                .all(|fate| fate.as_ref().is_err_and(|error| discriminant(error) == discriminant(first)))
        {
            return Err(first.clone());
        }
        Ok(Appended::Each(fates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(notes: &[(u32, Result<u64, ()>)]) -> Answer {
        let mut fates = Fates::new(notes.len() as u32);
        for (index, fate) in notes {
            let fate = fate.map(Offset).map_err(|()| LogError::Unknown { detail: String::new() });
            fates.note(*index, fate);
        }
        assert_eq!(fates.left, 0);
        fates.answer()
    }

    #[test]
    fn records_in_a_row_are_one_answer() {
        assert_eq!(answered(&[(0, Ok(7)), (1, Ok(8)), (2, Ok(9))]), Ok(Appended::From(Offset(7))));
    }

    #[test]
    fn a_split_append_tells_each_fate() {
        let Ok(Appended::Each(fates)) = answered(&[(0, Ok(7)), (1, Ok(9)), (2, Err(()))]) else { panic!() };
        assert_eq!(fates[..2], [Ok(Offset(7)), Ok(Offset(9))]);
        assert!(matches!(fates[2], Err(LogError::Unknown { .. })));
        let Ok(Appended::Each(fates)) = answered(&[(1, Err(())), (0, Ok(3))]) else { panic!() };
        assert_eq!(fates[0], Ok(Offset(3)));
    }

    #[test]
    fn records_that_all_fail_alike_are_one_failure() {
        assert!(matches!(answered(&[(0, Err(())), (1, Err(()))]), Err(LogError::Unknown { .. })));
    }
}
