//! What an observer of a log is told.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

use tidefold_record::HeadersBuilder;

use super::*;
use crate::memory::{Failure, MemoryLog};

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Arc<Told> {
    fn began(&self, operation: Operation) {
        self.note(format!("{} began", operation.name()));
    }

    fn ended(&self, operation: Operation, _: Duration, answer: Result<usize, &LogError>) {
        self.note(format!("{} ended: {:?}", operation.name(), answer.map_err(LogError::kind)));
    }

    fn given_up(&self, operation: Operation) {
        self.note(format!("{} given up", operation.name()));
    }
}

fn observed() -> (MemoryLog, Observed, Arc<Told>) {
    let (log, told) = (MemoryLog::new(), Arc::new(Told::default()));
    let observed = Observed::new(Arc::new(log.clone()), SharedObserver::new(Arc::clone(&told)));
    (log, observed, told)
}

fn batch() -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    batch.push(Some(b"k"), Some(b"value"), HeadersBuilder::new().as_headers());
    batch
}

#[tokio::test]
async fn every_call_is_told_when_it_begins_and_with_its_answer_when_it_ends() {
    let (memory, log, told) = observed();
    let topic = TopicName::new("t");
    log.open(&TopicSpec { name: topic.clone(), partitions: 1, create: true }).await.unwrap();
    let bytes = batch().size_bytes();
    log.append(&topic, Partition(0), batch()).await.unwrap();
    let limit = ReadLimit { records: 10, bytes: 1_000 };
    let read = log.read(&topic, Partition(0), Offset::ZERO, limit).await.unwrap();
    assert_eq!(read.size_bytes(), bytes);
    log.bounds(&topic, Partition(0)).await.unwrap();
    memory.faults().fail_next(1, Failure::Unavailable);
    log.append(&topic, Partition(0), batch()).await.unwrap_err();
    log.bounds(&topic, Partition(7)).await.unwrap_err();
    let expected = [
        "open began".to_owned(),
        "open ended: Ok(0)".to_owned(),
        "append began".to_owned(),
        format!("append ended: Ok({bytes})"),
        "read began".to_owned(),
        format!("read ended: Ok({bytes})"),
        "bounds began".to_owned(),
        "bounds ended: Ok(0)".to_owned(),
        "append began".to_owned(),
        "append ended: Err(\"unavailable\")".to_owned(),
        "bounds began".to_owned(),
        "bounds ended: Err(\"no_such_partition\")".to_owned(),
    ];
    assert_eq!(told.take(), expected);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_does_not_stay_under_way() {
    let (memory, log, told) = observed();
    let topic = TopicName::new("t");
    log.open(&TopicSpec { name: topic.clone(), partitions: 1, create: true }).await.unwrap();
    told.take();
    memory.faults().hold();
    let mut append = log.append(&topic, Partition(0), batch());
    assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(told.take(), ["append began"]);
    drop(append);
    assert_eq!(told.take(), ["append given up"]);
}

#[test]
fn the_numbers_of_operations_are_their_places() {
    for (place, operation) in Operation::ALL.into_iter().enumerate() {
        assert_eq!(operation as usize, place, "{operation:?}");
    }
}
