//! Partitions that stand, and what an operator does about them from the command line: the breaker lifted, the record on
//! which the fold stops declared dead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use support::{Client, Node, tidefold, verify};
use tidefold_log::{Log, ReadLimit};
use tidefold_log_embedded::EmbeddedLog;
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, HeadersBuilder, Offset, Partition, TopicName};
use tidefold_store::{Lane, Scan, Store, Table, TableWrites};
use tidefold_store_embedded::EmbeddedStore;
use tidefold_table::{RowWrite, Stamp};

const APP: &str = r#"
app = "doors"
[topics.doors]
key = ["door"]
partitions = 1
events = ["Moved"]
[entities.doors]
topic = "doors"
[entities.doors.columns]
place = "string"
[entities.doors.on.Moved]
when = "any"
set = "place = msg.place"
"#;

fn write_app(folder: &Path) {
    let field = |name: &str| json!({ "name": name, "type": "string" });
    let moved = json!({ "type": "record", "name": "Moved", "fields": [field("door"), field("place")] });
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("app.toml"), APP).unwrap();
    std::fs::write(folder.join("Moved.avsc"), moved.to_string()).unwrap();
}

/// A folder with the app, and where its node keeps its data.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        write_app(&folder.path().join("doors"));
        House { folder }
    }

    fn start(&self) -> Node {
        Node::try_start(&self.folder.path().join("doors"), &self.folder.path().join("data"), &[]).unwrap()
    }

    fn part(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("data/doors").join(name)
    }
}

async fn moved(node: &Node, door: &str, place: &str, prefer: &str) -> Value {
    let url = format!("{}/v1/doors/Moved", node.http);
    let body = json!({ "door": door, "place": place });
    let answer = Client::new().post(&url, &[("prefer", prefer)], &body).await.unwrap();
    assert!(answer.status < 300, "{:?}", answer.body);
    answer.body
}

/// `tidefold status --wait`: its exit code and what it printed.
fn caught_up(node: &Node) -> (i32, String) {
    let (code, out, err) = tidefold(&["status", "--wait", "--node", &node.admin]);
    (code, format!("{out}{err}"))
}

#[tokio::test]
async fn a_partition_that_the_breaker_holds_goes_on_once_an_operator_lifts_it() {
    let house = House::new();
    let node = house.start();
    assert_eq!(moved(&node, "d-1", "hall", "wait=10").await["outcome"], "applied");
    assert_eq!(node.terminate(), Some(0));
    append_what_nobody_can_read(&house).await;

    let node = house.start();
    let (code, said) = caught_up(&node);
    assert!(code != 0 && said.contains("held by the breaker"), "{code}: {said}");
    let ready = Client::new().get(&format!("{}/readyz", node.admin), &[]).await;
    assert!(ready.body.to_string().contains("held by the breaker"), "{:?}", ready.body);

    let lift =
        |flags: &[&str]| tidefold(&[&["breaker", "lift", "doors", "--node", &node.admin], flags].concat());
    assert_eq!(lift(&["--partition", "7"]).0, 5, "there is no such partition to lift");
    let (code, out, err) = lift(&[]);
    assert_eq!((code, out.as_str()), (0, "doors:0:1 goes on\n"), "{err}");
    let (code, said) = caught_up(&node);
    assert_eq!(code, 0, "{said}");
    let (code, _, err) = lift(&[]);
    assert!(code == 5 && err.contains("holds no such partition"), "{code}: {err}");
    assert_eq!(moved(&node, "d-1", "attic", "wait=10").await["outcome"], "applied");
    let letters =
        tidefold(&["dead-letters", "list", "doors", "-o", "json", "--limit", "10000", "--node", &node.admin]);
    let letters: Value = serde_json::from_str(&letters.1).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 1_800);
    verify(&node, "doors");
}

/// From three publishers, so that the breaker does not take it for one client's mistake.
async fn append_what_nobody_can_read(house: &House) {
    let log = EmbeddedLog::open(house.part("log"), Default::default()).unwrap();
    let topic = TopicName::new("doors").in_app("doors");
    let good = log.read(&topic, Partition(0), Offset::ZERO, ReadLimit { records: 1, bytes: 1 << 20 });
    let frame = good.await.unwrap().get(Offset::ZERO).unwrap().value.unwrap()[..5].to_vec();
    let mut batch = BatchBuilder::new();
    for n in 0..1_800 {
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeId, format!("m-{n}").as_bytes());
        headers.push(Known::CeSource, format!("/publisher/{}", n % 3).as_bytes());
        headers.push(Known::CeType, b"Moved");
        let value = [&frame[..], &[0xff; 3]].concat();
        batch.push(Some(format!("k-{n}").as_bytes()), Some(&value), headers.as_headers());
    }
    log.append(&topic, Partition(0), batch).await.unwrap();
}

#[tokio::test]
async fn a_record_on_which_the_fold_stops_is_passed_over_for_good_once_an_operator_says_so() {
    let house = House::new();
    let node = house.start();
    for door in ["d-1", "d-2"] {
        assert_eq!(moved(&node, door, "hall", "wait=10").await["outcome"], "applied");
    }
    assert_eq!(node.terminate(), Some(0));
    damage_the_row(&house, b"d-1").await;

    let node = house.start();
    moved(&node, "d-1", "attic", "wait=0").await;
    moved(&node, "d-2", "attic", "wait=0").await;
    let (code, said) = caught_up(&node);
    assert!(code != 0 && said.contains("dead-letters add doors:0:2"), "{code}: {said}");

    let add = |position: &str| {
        tidefold(&["dead-letters", "add", position, "--reason", "its row is damaged", "--node", &node.admin])
    };
    for (position, code, told) in [
        ("doors:0:0", 5, "it is folded already"),
        ("doors:0:3", 5, "the partition is halted at doors:0:2"),
        ("doors:0:9", 3, "ends at 4"),
        ("doors:4:0", 2, "partitions 0 to 0"),
        ("windows:0:2", 3, "there are doors"),
    ] {
        let (found, _, err) = add(position);
        assert_eq!((found, err.contains(told)), (code, true), "{position}: {found} {err}");
    }
    let (code, out, err) = add("doors:0:2");
    assert!(code == 0 && out.contains("doors:0:2 is a dead letter now"), "{out}{err}");
    let (code, said) = caught_up(&node);
    assert_eq!(code, 0, "{said}");

    // For good: after a restart, and in a build, which has no damaged row.
    assert_eq!(node.terminate(), Some(0));
    let node = house.start();
    assert_eq!(caught_up(&node).0, 0);
    let replay = ["replay", "doors", "--accept-differences", "-q", "--node", &node.admin];
    let (code, _, err) = tidefold(&replay);
    assert_eq!(code, 0, "{err}");
    let client = Client::new();
    for (door, place) in [("d-1", "hall"), ("d-2", "attic")] {
        let row = client.get(&format!("{}/v1/doors/doors/{door}", node.http), &[]).await;
        assert_eq!(row.body["place"], place, "{:?}", row.body);
    }
    let outcome = client.get(&format!("{}/v1/doors/outcomes/doors:0:2", node.http), &[]).await;
    assert_eq!(outcome.body["outcome"], "dead", "{:?}", outcome.body);
    verify(&node, "doors");
}

/// Puts something in the place of an entity's row that no fold writes, as nothing but a mistake of ours could.
async fn damage_the_row(house: &House, key: &[u8]) {
    let store = EmbeddedStore::open(house.part("store"), Default::default()).unwrap();
    let app =
        tidefold_app::load(tidefold::folder::read(&house.folder.path().join("doors"), false).unwrap().0)
            .unwrap();
    let tables = app.projection("doors").unwrap().tables(1);
    let entity = tables.entity.clone().unwrap();
    let opened = Table { id: entity.id.clone(), layout: entity.layout.clone() };
    store.open(&[opened]).await.unwrap();
    let rows = store.scan(&entity.id, &Scan::All { after: None, limit: 10 }).await.unwrap();
    let row = rows.into_iter().find(|row| row.key == key).unwrap();
    let value = [&row.value[..8], &[0xff; 3]].concat();
    let row = RowWrite { key: row.key, value: Some(Bytes::from(value)), stamp: Stamp::put(Offset(1)) };
    let lane = Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    store.write(&lane, &[TableWrites { table: entity.id.clone(), rows: vec![row] }]).await.unwrap();
}
