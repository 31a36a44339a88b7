//! A data folder that does not fit is refused with what differs and what to do, and nothing in it changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::Path;

use serde_json::json;
use support::{Client, Node, root};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A data folder with one order in it, and its node stopped.
async fn used_data(data: &Path) {
    let node = Node::start("storefront", data);
    let order =
        json!({ "order_id": "o-1", "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": [] });
    let placed = Client::new()
        .post(&format!("{}/v1/storefront/PlaceOrder", node.http), &[("prefer", "wait=10")], &order)
        .await;
    assert_eq!(placed.unwrap().body["outcome"], "applied");
    assert_eq!(node.terminate(), Some(0));
}

fn refused(folder: &Path, data: &Path) -> String {
    match Node::try_start(folder, data, &[]) {
        Ok(_) => panic!("the node came up"),
        Err(printed) => printed,
    }
}

async fn still_has_its_order(data: &Path) {
    let node = Node::start("storefront", data);
    let order = Client::new().get(&format!("{}/v1/storefront/orders/o-1", node.http), &[]).await;
    assert_eq!((order.status, order.body["status"].as_str()), (200, Some("placed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_was_changed_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used_data(&data).await;
    let changed = folder.path().join("storefront");
    copy(&root().join("schemas/storefront"), &changed);
    let toml = std::fs::read_to_string(changed.join("app.toml")).unwrap();
    std::fs::write(changed.join("app.toml"), toml.replace("'shipped'\"", "'sent'\"")).unwrap();
    let printed = refused(&changed, &data);
    assert!(printed.contains("ShipOrder"), "{printed}");
    still_has_its_order(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_another_app_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used_data(&data).await;
    std::fs::rename(data.join("storefront"), data.join("pizzeria")).unwrap();
    let printed = refused(&root().join("schemas/pizzeria"), &data);
    assert!(printed.contains("storefront") && printed.contains("pizzeria"), "{printed}");
    std::fs::rename(data.join("pizzeria"), data.join("storefront")).unwrap();
    still_has_its_order(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_another_log_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used_data(&data).await;
    std::fs::rename(data.join("storefront/log"), data.join("kept")).unwrap();
    let printed = refused(&root().join("schemas/storefront"), &data);
    assert!(printed.contains("belongs to"), "{printed}");
    std::fs::remove_dir_all(data.join("storefront/log")).unwrap();
    std::fs::rename(data.join("kept"), data.join("storefront/log")).unwrap();
    still_has_its_order(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_was_half_copied_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used_data(&data).await;
    for missing in ["store/rows/fjall/keyspaces", "log/records"] {
        let half = folder.path().join(missing.replace('/', "-"));
        copy(&data, &half);
        std::fs::remove_dir_all(half.join("storefront").join(missing)).unwrap();
        let printed = refused(&root().join("schemas/storefront"), &half);
        assert!(printed.contains("storefront/"), "without {missing}: {printed}");
    }
    still_has_its_order(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_gone_are_folded_again_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    used_data(&data).await;
    std::fs::remove_dir_all(data.join("storefront/store")).unwrap();
    let node = Node::start("storefront", &data);
    let (code, _, err) = support::tidefold(&["status", "--wait", "-q", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(node.terminate(), Some(0));
    still_has_its_order(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Node::start("storefront", &data);
    let printed = refused(&root().join("schemas/storefront"), &data);
    assert!(printed.contains("process"), "{printed}");
    drop(first);
}

#[test]
fn an_app_folder_with_a_mistake_in_every_kind_of_file_is_refused_before_any_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("storefront");
    copy(&root().join("schemas/storefront"), &app);
    std::fs::write(app.join("PayOrder.avsc"), "{ \"type\": \"record\", ").unwrap();
    let toml = std::fs::read_to_string(app.join("app.toml")).unwrap();
    std::fs::write(app.join("app.toml"), toml.replacen("state.status = 'placed'", "state.status == ", 1))
        .unwrap();
    let printed = refused(&app, &folder.path().join("data"));
    assert!(printed.contains("PayOrder.avsc:1"), "{printed}");
    assert!(printed.contains("app.toml:"), "{printed}");
    assert!(!folder.path().join("data").exists());
}
