//! Data folders that an earlier release wrote are opened, or the remedy is named and helps. `data_folders/` has two of
//! one app, written by release 7ea10d2 (fold semantics 1): one that was closed in order, one whose process was killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Client, Node, tidefold};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_folders")
}

/// The rows that the folder's writer answered with: 40 orders of four customers, one command that was rejected.
async fn holds_its_rows(node: &Node, which: &str) {
    let client = Client::new();
    for customer in 0..4u64 {
        let url = format!("{}/v1/shop/cents_by_customer?customer_id=c-{customer}", node.http);
        let orders: Vec<u64> = (1..=40).filter(|n| n % 4 == customer).collect();
        let answer = client.get(&url, &[]).await;
        let row = &answer.body["items"][0];
        assert_eq!(row["orders"], 10, "{which}: {answer:?}");
        assert_eq!(row["cents"], orders.iter().sum::<u64>(), "{which}: {answer:?}");
        let list =
            client.get(&format!("{}/v1/shop/by_customer?customer_id=c-{customer}", node.http), &[]).await;
        assert_eq!(list.body["items"].as_array().map(Vec::len), Some(10), "{which}: {list:?}");
    }
    let outcome = client.get(&format!("{}/v1/shop/outcomes/orders:0:24", node.http), &[]).await;
    assert_eq!(outcome.body["outcome"], "rejected", "{which}: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_an_earlier_release_is_opened_and_a_replay_brings_its_tables() {
    for which in ["closed", "killed"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let archive = kept().join(format!("{which}.tar.gz"));
        let unpacked = Command::new("tar").arg("-xzSf").arg(&archive).arg("-C").arg(&data).status().unwrap();
        assert!(unpacked.success());
        let node = Node::try_start(&kept().join("shop"), &data, &[])
            .unwrap_or_else(|said| panic!("{which}: {said}"));
        let ready = Client::new().get(&format!("{}/readyz?verbose", node.admin), &[]).await;
        let said = ready.body.to_string();
        assert!(said.contains("tidefold replay"), "{which}: it says what to do: {said}");
        let (code, out, err) = tidefold(&["replay", "shop", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{which}: {out}{err}");
        holds_its_rows(&node, which).await;
        assert_eq!(node.terminate(), Some(0));
        let node = Node::try_start(&kept().join("shop"), &data, &[])
            .unwrap_or_else(|said| panic!("{which}: {said}"));
        holds_its_rows(&node, which).await;
    }
}
