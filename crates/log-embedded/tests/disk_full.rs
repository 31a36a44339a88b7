//! A disk that is full: appends fail with a clear text, what was acknowledged stays, and with room it goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::*;
use tidefold_log::{Log, LogError};
use tidefold_log_embedded::{EmbeddedLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Partition};

const MOUNTED: &str = "TIDEFOLD_LOG_SMALL_DISK";

/// Runs in a mount namespace of its own, in which that folder is a disk of 4 MiB.
#[tokio::test]
#[ignore = "the other test runs it on a small disk"]
async fn child() {
    let Ok(disk) = std::env::var(MOUNTED) else { return };
    let (folder, ballast) = (Path::new(&disk).join("log"), Path::new(&disk).join("ballast"));
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let log = opened(&folder, Settings::default()).await;
    let failed = loop {
        let end = log.bounds(&topic(), Partition(0)).await.unwrap().end;
        let mut batch = BatchBuilder::new();
        for offset in end.0..end.0 + 200 {
            batch.push(Some(b"key"), Some(&value(0, offset)), Headers::default());
        }
        if let Err(error) = log.append(&topic(), Partition(0), batch).await {
            break error;
        }
    };
    let text = failed.to_string();
    assert!(matches!(failed, LogError::Unknown { .. } | LogError::Unavailable { .. }), "{text}");
    assert!(text.contains("the disk is full; make room, and restart"), "{text}");
    let acknowledged = ends(&log).await.unwrap();
    assert!(acknowledged[0] > 0, "something was acknowledged before");
    drop(log);
    fs::remove_file(&ballast).unwrap();
    let log = EmbeddedLog::open(&folder, Settings::default()).unwrap();
    let kept = ends(&log).await.unwrap();
    assert!(kept[0] == acknowledged[0] || kept[0] == acknowledged[0] + 200, "{kept:?} of {acknowledged:?}");
    append(&log, 0, 10).await;
    append(&log, 1, 10).await;
    assert_eq!(ends(&log).await.unwrap(), [kept[0] + 10, 10]);
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs \"$TIDEFOLD_LOG_SMALL_DISK\" || exit 77; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(MOUNTED, folder.path())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: this machine has no unshare(1): {error}"),
    };
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return println!("skipped: this machine lets no test mount a small disk: {text}");
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
