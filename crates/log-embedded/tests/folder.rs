//! Which folders are opened, and what the others are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;

use support::*;
use tidefold_log_embedded::{EmbeddedLog, OpenError, Settings};

#[tokio::test]
async fn a_folder_that_is_open_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let log = opened(folder.path(), Settings::default()).await;
    let Err(error) = EmbeddedLog::open(folder.path(), Settings::default()) else { panic!("opened twice") };
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&*folder.path().to_string_lossy()) && text.contains("stop that one"), "{text}");
    append(&log, 0, 3).await;
    drop(log);
    assert_eq!(look(folder.path()).await.unwrap(), [3, 0]);
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let error = look(folder.path()).await.unwrap_err();
    assert!(error.contains("letter.txt") && error.contains("not the folder of a log"), "{error}");
    assert!(!folder.path().join("records").exists());
}

#[tokio::test]
async fn records_without_a_format_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path(), Settings::default()).await);
    fs::remove_file(folder.path().join("format")).unwrap();
    let error = look(folder.path()).await.unwrap_err();
    assert!(error.contains("`records` and no file `format`"), "{error}");
}

#[tokio::test]
async fn a_format_file_without_records_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path(), Settings::default()).await);
    fs::remove_dir_all(folder.path().join("records")).unwrap();
    let error = look(folder.path()).await.unwrap_err();
    assert!(error.contains("copied in part") && error.contains("records/version is missing"), "{error}");
}

#[tokio::test]
async fn the_format_of_another_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path(), Settings::default()).await);
    fs::write(folder.path().join("format"), "tidefold-log 2\nid x\n").unwrap();
    let error = look(folder.path()).await.unwrap_err();
    assert!(error.contains("`tidefold-log 2`") && error.contains("`tidefold-log 1`"), "{error}");
}

#[tokio::test]
async fn a_creation_that_was_interrupted_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path(), Settings::default()).await);
    fs::remove_file(folder.path().join("closed")).unwrap();
    fs::rename(folder.path().join("format"), folder.path().join("creating")).unwrap();
    fs::remove_file(folder.path().join("records/version")).unwrap();
    let log = opened(folder.path(), Settings::default()).await;
    append(&log, 1, 2).await;
    drop(log);
    assert_eq!(look(folder.path()).await.unwrap(), [0, 2]);
}
