//! Records by offset. The newest come from memory, the others from fjall: a point look-up of the unit that holds the
//! first record, then the units behind it.

use tidefold_log::{LogError, ReadLimit};
use tidefold_record::{Offset, Partition, RecordBatch};

use crate::stored::{self, Unit};
use crate::topics::StoredTopic;

/// A read returns no more than this, whatever it asks for.
const READ_BYTES: usize = 64 << 20;

/// Reads from `from` on, which is at most `end`; nothing at or past `end` is looked at.
pub(crate) fn read(
    topic: &StoredTopic,
    partition: Partition,
    from: Offset,
    end: Offset,
    limit: ReadLimit,
) -> Result<RecordBatch, LogError> {
    if from >= end {
        return Ok(RecordBatch::empty(partition, from));
    }
    let limit = ReadLimit { bytes: limit.bytes.min(READ_BYTES), ..limit };
    let recent = topic.recent_from(partition, from);
    if recent.is_empty() {
        let units = stored_from(topic, partition, from, end)?;
        gather(topic, partition, from, limit, units)
    } else {
        let known = recent.into_iter().take_while(|unit| unit.first < end).map(Ok);
        gather(topic, partition, from, limit, known)
    }
}

/// Units that follow one another, the first holding `from`, into one batch.
fn gather(
    topic: &StoredTopic,
    partition: Partition,
    from: Offset,
    limit: ReadLimit,
    mut units: impl Iterator<Item = Result<Unit, LogError>>,
) -> Result<RecordBatch, LogError> {
    let missing = |at| damaged(topic, partition, at, "records are missing here");
    let first = units.next().ok_or_else(|| missing(from))??;
    if first.first > from || first.next() <= from {
        return Err(missing(from));
    }
    let batch = first
        .decode(partition)
        .map_err(|detail| damaged(topic, partition, first.first, &detail))?
        .part(from, limit.records, limit.bytes);
    let mut next = first.next();
    let satisfied = batch.next_offset() < next;
    let enough =
        |next: Offset, bytes: usize| next.distance_from(from) >= limit.records as u64 || bytes >= limit.bytes;
    if satisfied || enough(next, batch.size_bytes()) {
        return Ok(batch);
    }
    let Some(second) = units.next() else { return Ok(batch) };
    let mut bytes = batch.as_bytes().to_vec();
    for unit in std::iter::once(second).chain(units) {
        let unit = unit?;
        if unit.first != next {
            return Err(missing(next));
        }
        bytes.extend_from_slice(unit.records());
        next = unit.next();
        if enough(next, bytes.len()) {
            break;
        }
    }
    stored::decode(partition, from, next, bytes.into())
        .map(|all| all.part(from, limit.records, limit.bytes))
        .map_err(|detail| damaged(topic, partition, from, &detail))
}

/// The stored units, from the one that holds `from` on. Lazy behind the first.
fn stored_from<'a>(
    topic: &'a StoredTopic,
    partition: Partition,
    from: Offset,
    end: Offset,
) -> Result<impl Iterator<Item = Result<Unit, LogError>> + 'a, LogError> {
    let check = move |entry: fjall::Guard, at: Offset| {
        let (key, value) = entry.into_inner().map_err(|error| unreadable(topic, partition, at, &error))?;
        let at = stored::first_of(&key).unwrap_or(at);
        Unit::check(partition, &key, value).map_err(|detail| damaged(topic, partition, at, &detail))
    };
    let before = stored::key(partition, Offset::ZERO)..=stored::key(partition, from);
    let first = topic.records.range(before).next_back().map(|entry| check(entry, from));
    let behind = stored::key(partition, from.next())..stored::key(partition, end);
    Ok(first.into_iter().chain(topic.records.range(behind).map(move |entry| check(entry, from))))
}

fn unreadable(topic: &StoredTopic, partition: Partition, at: Offset, error: &fjall::Error) -> LogError {
    match error {
        fjall::Error::Io(error) => {
            LogError::Unavailable { detail: format!("reading {}: {error}", topic.position(partition, at)) }
        }
        error => damaged(topic, partition, at, &error.to_string()),
    }
}

fn damaged(topic: &StoredTopic, partition: Partition, at: Offset, detail: &str) -> LogError {
    LogError::Damaged {
        position: topic.position(partition, at),
        detail: format!("{detail}; restore the log's folder from a copy, and look at the disk"),
    }
}
