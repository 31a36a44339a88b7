//! Entries added to one control topic by many at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use tidefold_control::{Control, Entry};
use tidefold_control_log::{ControlLog, ControlLogError};
use tidefold_log::{MemoryLog, SharedLog};
use tidefold_record::Offset;
use tokio::task::JoinSet;

const ENTRIES: u64 = 100;

/// Gives a schema the next free id.
async fn register(control_log: ControlLog, schema: String) -> Result<(), ControlLogError> {
    let next_free = |control: &Control| {
        let entry = Entry::SchemaRegistered { id: control.free_id()?, schema: schema.clone() };
        control.id_of(&schema).is_none().then_some(entry)
    };
    control_log.append(next_free).await.map(|_| ())
}

#[tokio::test]
async fn what_one_process_adds_at_once_counts_and_nothing_is_written_in_vain() {
    let log: SharedLog = Arc::new(MemoryLog::new());
    let control_log = ControlLog::open(Arc::clone(&log), "shop").await.unwrap();
    let mut all = JoinSet::new();
    for n in 0..ENTRIES {
        all.spawn(register(control_log.clone(), format!("\"s{n}\"")));
    }
    while let Some(registered) = all.join_next().await {
        registered.unwrap().unwrap();
    }
    let control = control_log.control();
    assert_eq!(control.schemas().count() as u64, ENTRIES);
    assert_eq!(control.next(), Offset(ENTRIES));
    // Another process reads the same.
    let other = ControlLog::open(log, "shop").await.unwrap();
    assert_eq!(other.control(), control);
}

#[tokio::test]
async fn what_two_processes_add_at_once_counts_in_both() {
    let log: SharedLog = Arc::new(MemoryLog::new());
    let one = ControlLog::open(Arc::clone(&log), "shop").await.unwrap();
    let two = ControlLog::open(log, "shop").await.unwrap();
    for n in 0..ENTRIES {
        let (a, b) = tokio::join!(
            register(one.clone(), format!("\"a{n}\"")),
            register(two.clone(), format!("\"b{n}\""))
        );
        // Whoever loses an id to the other is told so, and takes the next one.
        for (process, schema, registered) in [(&one, format!("\"a{n}\""), a), (&two, format!("\"b{n}\""), b)]
        {
            match registered {
                Ok(()) => {}
                Err(ControlLogError::Refused { .. }) => register(process.clone(), schema).await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let (one, two) = (one.advance().await.unwrap(), two.advance().await.unwrap());
    assert_eq!(one, two);
    assert_eq!(one.schemas().count() as u64, 2 * ENTRIES);
}
