//! What only the inside of the log can be made to do: a commit that fails, or does not return.

use super::*;
use std::sync::mpsc;
use tidefold_record::Headers;

const P: Partition = Partition(0);

fn batch(values: &[&str]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(None, Some(value.as_bytes()), Headers::default());
    }
    batch
}

async fn topic(log: &EmbeddedLog) -> TopicName {
    let spec = TopicSpec { name: TopicName::new("t"), partitions: 1, create: true };
    log.open(&spec).await.unwrap().name
}

async fn values(log: &EmbeddedLog, topic: &TopicName) -> Vec<String> {
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let batch = log.read(topic, P, Offset::ZERO, all).await.unwrap();
    batch.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

/// A log whose `nth` commit runs into `fate` instead.
fn failing(folder: &Path, nth: usize, fate: fn(OwnedWriteBatch) -> fjall::Result<()>) -> EmbeddedLog {
    let mut commits = 0;
    let commit = move |batch: OwnedWriteBatch| {
        commits += 1;
        if commits == nth { fate(batch) } else { batch.commit() }
    };
    EmbeddedLog::open_with(folder, Settings::default(), Box::new(commit)).unwrap()
}

#[tokio::test]
async fn a_failed_fsync_ends_the_log_and_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = failing(folder.path(), 2, |_| Err(fjall::Error::Io(std::io::Error::other("fsync: EIO"))));
    let t = topic(&log).await;
    log.append(&t, P, batch(&["kept"])).await.unwrap();
    let failed = log.append(&t, P, batch(&["unknown"])).await.unwrap_err();
    assert!(matches!(&failed, LogError::Unknown { detail } if detail.contains("EIO")), "{failed}");
    for _ in 0..2 {
        let refused = log.append(&t, P, batch(&["refused"])).await.unwrap_err();
        let LogError::Unavailable { detail } = &refused else { panic!("{refused}") };
        assert!(detail.contains("EIO") && detail.contains("restart"), "{detail}");
    }
    let spec = TopicSpec { name: TopicName::new("new"), partitions: 1, create: true };
    assert!(matches!(log.open(&spec).await, Err(LogError::Unavailable { .. })));
    assert_eq!(values(&log, &t).await, ["kept"], "what was acknowledged can be read");
    drop(log);
    let log = EmbeddedLog::open(folder.path(), Settings::default()).unwrap();
    assert_eq!(values(&log, &t).await, ["kept"]);
    assert_eq!(log.append(&t, P, batch(&["next"])).await, Ok(Appended::From(Offset(1))));
}

#[tokio::test]
async fn an_append_written_before_the_failure_may_stand_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let log = failing(folder.path(), 1, |batch| {
        batch.commit()?;
        Err(fjall::Error::Io(std::io::ErrorKind::StorageFull.into()))
    });
    let t = topic(&log).await;
    let failed = log.append(&t, P, batch(&["a", "b"])).await.unwrap_err();
    assert!(matches!(&failed, LogError::Unknown { detail } if detail.contains("disk is full")), "{failed}");
    assert_eq!(log.bounds(&t, P).await.unwrap().end, Offset(0), "nobody reads what was not acknowledged");
    drop(log);
    let log = EmbeddedLog::open(folder.path(), Settings::default()).unwrap();
    assert_eq!(values(&log, &t).await, ["a", "b"]);
}

#[tokio::test]
async fn a_failure_in_the_background_leaves_nothing_of_the_append() {
    let folder = tempfile::tempdir().unwrap();
    let log = failing(folder.path(), 1, |_| Err(fjall::Error::Poisoned));
    let t = topic(&log).await;
    let failed = log.append(&t, P, batch(&["a"])).await.unwrap_err();
    assert!(matches!(&failed, LogError::Unavailable { .. }), "{failed}");
}

#[tokio::test]
async fn a_writer_that_panics_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let log = failing(folder.path(), 1, |_| panic!("told to"));
    let t = topic(&log).await;
    assert!(matches!(log.append(&t, P, batch(&["a"])).await, Err(LogError::Unknown { .. })));
    while log.queue.refuse_if_failed().is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(log.append(&t, P, batch(&["b"])).await, Err(LogError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_beyond_the_queue_are_refused_and_the_others_share_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (entered, entries) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let commit = move |batch: OwnedWriteBatch| {
        entered.send(batch.len()).unwrap();
        released.recv().ok();
        batch.commit()
    };
    let settings = Settings { queue_appends: 3, ..Settings::default() };
    let log = Arc::new(EmbeddedLog::open_with(folder.path(), settings, Box::new(commit)).unwrap());
    let t = topic(&log).await;
    let first = log.send(&t, P, batch(&["0"])).unwrap();
    assert_eq!(entries.recv().unwrap(), 1, "the writer is at the first");
    let waiting: Vec<_> = (1..4).map(|i| log.send(&t, P, batch(&[&i.to_string()])).unwrap()).collect();
    let refused = log.append(&t, P, batch(&["too many"])).await.unwrap_err();
    assert!(matches!(refused, LogError::Full { .. }), "{refused}");
    assert_eq!(values(&log, &t).await.len(), 0, "not durable, not seen");
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap(), Ok(Appended::From(Offset(0))));
    for (i, waiting) in waiting.into_iter().enumerate() {
        assert_eq!(waiting.await.unwrap(), Ok(Appended::From(Offset(i as u64 + 1))));
    }
    assert_eq!(entries.recv().unwrap(), 1, "the three that waited are one unit");
    assert_eq!(values(&log, &t).await, ["0", "1", "2", "3"]);
    drop(release);
}

#[test]
fn who_shares_a_commit_is_answered_though_the_runtime_that_the_log_was_opened_in_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (entered, entries) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let commit = move |batch: OwnedWriteBatch| {
        entered.send(()).unwrap();
        released.recv().ok();
        batch.commit()
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let gone = runtime();
    let opened = async { EmbeddedLog::open_with(folder.path(), Settings::default(), Box::new(commit)) };
    let log = gone.block_on(opened).unwrap();
    let t = gone.block_on(topic(&log));
    drop(gone);
    let first = log.send(&t, P, batch(&["0"])).unwrap();
    entries.recv().unwrap();
    let together: Vec<_> = (1..4).map(|i| log.send(&t, P, batch(&[&i.to_string()])).unwrap()).collect();
    release.send(()).unwrap();
    release.send(()).unwrap();
    runtime().block_on(async {
        assert_eq!(first.await.unwrap(), Ok(Appended::From(Offset(0))));
        for (i, answer) in together.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap(), Ok(Appended::From(Offset(i as u64 + 1))));
        }
    });
}

#[tokio::test]
async fn a_queue_full_of_bytes_refuses_but_takes_one_large_append() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { queue_bytes: 10, ..Settings::default() };
    let log = EmbeddedLog::open(folder.path(), settings).unwrap();
    let t = topic(&log).await;
    let large = "x".repeat(1_000);
    assert_eq!(log.append(&t, P, batch(&[&large])).await, Ok(Appended::From(Offset(0))));
    assert_eq!(values(&log, &t).await, [large]);
}

#[tokio::test]
async fn a_record_over_the_limit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { record_bytes: 100, ..Settings::default() };
    let log = EmbeddedLog::open(folder.path(), settings).unwrap();
    let t = topic(&log).await;
    let error = log.append(&t, P, batch(&["small", &"x".repeat(200)])).await.unwrap_err();
    assert_eq!(error, LogError::TooLarge { index: 1, size_bytes: 204, limit_bytes: 100 });
    assert!(log.append(&t, P, batch(&[&"x".repeat(60), &"x".repeat(60)])).await.is_ok());
}

#[tokio::test]
async fn dropping_the_log_writes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), Settings::default()).unwrap();
    let t = topic(&log).await;
    let waiting: Vec<_> = (0..100).map(|i| log.send(&t, P, batch(&[&i.to_string()])).unwrap()).collect();
    drop(log);
    for (i, waiting) in waiting.into_iter().enumerate() {
        assert_eq!(waiting.await.unwrap(), Ok(Appended::From(Offset(i as u64))));
    }
    let log = EmbeddedLog::open(folder.path(), Settings::default()).unwrap();
    assert_eq!(values(&log, &t).await.len(), 100);
}
