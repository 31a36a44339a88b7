//! What the hash of a projection is over: all that the projection depends on, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not there")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidefold_app::{SourceFile, load};

const APP: &str = r#"app = "shop"

[topics.orders]
key = ["order_id"]
partitions = 2
commands = ["PlaceOrder", "PayOrder"]
events = []

[topics.visits]
key = ["page"]
partitions = 1
commands = []
events = ["PageVisited", "PageLeft"]

[entities.orders]
topic = "orders"
[entities.orders.columns]
status = "string"
items = "array<Item>"
placed_at = "timestamp-millis"

[entities.orders.on.PlaceOrder]
when = "absent"
require.nothing_ordered = "cardinality(msg.items) > 0"
set = "status = 'placed', items = msg.items, placed_at = event_time()"

[entities.orders.on.PayOrder]
let.next = "'paid'"
set = "status = next"

[views.orders_by_status]
sql = "SELECT status, order_id FROM orders"
partition_key = ["status"]
clustering = ["order_id"]

[views.clicks]
sql = """SELECT v.page AS page, v.fast AS fast, count(*) AS clicks,
                count(*) FILTER (WHERE CAST(CASE WHEN v.fast THEN 'QUICK' ELSE 'SLOW' END AS Pace) IS NOT NULL) AS paced
         FROM PageVisited AS v GROUP BY 1, 2"""
partition_key = ["page"]
clustering = ["fast"]
"#;

const SCHEMAS: [(&str, &str); 6] = [
    (
        "PlaceOrder.avsc",
        r#"{"type": "record", "name": "PlaceOrder", "fields": [
            {"name": "order_id", "type": "string"}, {"name": "items", "type": {"type": "array", "items": "Item"}}]}"#,
    ),
    (
        "PayOrder.avsc",
        r#"{"type": "record", "name": "PayOrder", "fields": [{"name": "order_id", "type": "string"}]}"#,
    ),
    (
        "Item.avsc",
        r#"{"type": "record", "name": "Item", "fields": [
            {"name": "sku", "type": "string"}, {"name": "size", "type": "Size"}]}"#,
    ),
    ("Size.avsc", r#"{"type": "enum", "name": "Size", "symbols": ["SMALL", "LARGE"]}"#),
    (
        "visits.avsc",
        r#"[{"type": "record", "name": "PageVisited", "fields": [
            {"name": "page", "type": "string"}, {"name": "fast", "type": "boolean"}]},
        {"type": "record", "name": "PageLeft", "fields": [{"name": "page", "type": "string"}]}]"#,
    ),
    ("Pace.avsc", r#"{"type": "enum", "name": "Pace", "symbols": ["QUICK", "SLOW"]}"#),
];

/// A change to one file, by what stands there and what is written instead.
struct Change {
    what: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    /// The projections whose hashes change.
    changed: &'static [&'static str],
}

const fn change(
    what: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    changed: &'static [&'static str],
) -> Change {
    Change { what, file, find, replace, changed }
}

const ORDERS: &[&str] = &["orders"];
const VISITS: &[&str] = &["visits"];
const NONE: &[&str] = &[];

/// Each touches a place of its own, so that any of them can be made together.
const CHANGES: &[Change] = &[
    change("the app is renamed", "app.toml", "app = \"shop\"", "app = \"store\"", NONE),
    change("a comment", "app.toml", "[topics.orders]", "# About orders.\n[topics.orders]", NONE),
    change(
        "a comment in SQL",
        "app.toml",
        "cardinality(msg.items) > 0",
        "cardinality(msg.items) /* all */ > 0",
        NONE,
    ),
    change(
        "SQL with other layout",
        "app.toml",
        "SELECT status, order_id FROM orders",
        "SELECT  status,order_id  FROM orders",
        NONE,
    ),
    change(
        "keys of a section in another order",
        "app.toml",
        "partition_key = [\"status\"]\nclustering = [\"order_id\"]",
        "clustering = [\"order_id\"]\npartition_key = [\"status\"]",
        NONE,
    ),
    change(
        "commands in another order",
        "app.toml",
        "[\"PlaceOrder\", \"PayOrder\"]",
        "[\"PayOrder\", \"PlaceOrder\"]",
        NONE,
    ),
    change(
        "events in another order",
        "app.toml",
        "[\"PageVisited\", \"PageLeft\"]",
        "[\"PageLeft\", \"PageVisited\"]",
        NONE,
    ),
    change(
        "a default written out",
        "app.toml",
        "[entities.orders.on.PayOrder]",
        "[entities.orders.on.PayOrder]\nwhen = \"present\"",
        NONE,
    ),
    change(
        "documentation in a schema",
        "PayOrder.avsc",
        "\"name\": \"PayOrder\"",
        "\"name\": \"PayOrder\", \"doc\": \"Pays.\"",
        NONE,
    ),
    change("layout of a schema", "Size.avsc", "\"SMALL\", \"LARGE\"", "\"SMALL\",\n \"LARGE\"", NONE),
    change(
        "a view is added",
        "app.toml",
        "[views.orders_by_status]",
        "[views.orders_by_time]\nsql = \"SELECT placed_at, order_id FROM orders\"\npartition_key = [\"placed_at\"]\n\
         clustering = [\"order_id\"]\n[views.orders_by_status]",
        ORDERS,
    ),
    change("a guard", "app.toml", "nothing_ordered = ", "empty_order = ", ORDERS),
    change("a let", "app.toml", "let.next = \"'paid'\"", "let.next = \"'payed'\"", ORDERS),
    change("what is set", "app.toml", "'placed', items", "'open', items", ORDERS),
    change(
        "columns in another order",
        "app.toml",
        "status = \"string\"\nitems = \"array<Item>\"",
        "items = \"array<Item>\"\nstatus = \"string\"",
        ORDERS,
    ),
    change("when a message applies", "app.toml", "when = \"absent\"", "when = \"any\"", ORDERS),
    change("the partitions", "app.toml", "partitions = 2", "partitions = 3", ORDERS),
    change(
        "the largest message",
        "app.toml",
        "key = [\"page\"]",
        "key = [\"page\"]\nmax_message_bytes = 1000",
        VISITS,
    ),
    change(
        "the largest state",
        "app.toml",
        "topic = \"orders\"",
        "topic = \"orders\"\nmax_state_bytes = 1000",
        ORDERS,
    ),
    change("a view's SELECT", "app.toml", "count(*) AS clicks", "count(*) AS visits", VISITS),
    change("a view's key", "app.toml", "clustering = [\"fast\"]", "clustering = [\"fast DESC\"]", VISITS),
    change(
        "a field of a message",
        "visits.avsc",
        "{\"name\": \"fast\", \"type\": \"boolean\"}",
        "{\"name\": \"fast\", \"type\": \"boolean\"}, {\"name\": \"by\", \"type\": \"string\"}",
        VISITS,
    ),
    change(
        "a type within a type of a column",
        "Size.avsc",
        "\"enum\", \"name\": \"Size\"",
        "\"enum\", \"default\": \"SMALL\", \"name\": \"Size\"",
        ORDERS,
    ),
    change(
        "a type that only a CAST names",
        "Pace.avsc",
        "\"QUICK\", \"SLOW\"",
        "\"QUICK\", \"STEADY\", \"SLOW\"",
        VISITS,
    ),
];

fn files() -> Vec<SourceFile> {
    let mut files = vec![SourceFile { path: "app.toml".into(), text: APP.into() }];
    files.extend(SCHEMAS.map(|(path, text)| SourceFile { path: path.into(), text: text.into() }));
    files
}

fn apply(files: &mut [SourceFile], change: &Change) {
    let file = files.iter_mut().find(|file| file.path == change.file).unwrap();
    assert!(file.text.contains(change.find), "{}: {}", change.what, change.find);
    file.text = file.text.replacen(change.find, change.replace, 1);
}

/// The hashes of all projections, by topic.
fn hashes(files: Vec<SourceFile>) -> BTreeMap<String, String> {
    let app = load(files).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    app.projections
        .iter()
        .map(|projection| (projection.name().to_owned(), projection.hash.to_string()))
        .collect()
}

fn changed(files: Vec<SourceFile>) -> Vec<String> {
    let (before, after) = (hashes(self::files()), hashes(files));
    before
        .into_iter()
        .filter(|(topic, hash)| after.get(topic) != Some(hash))
        .map(|(topic, _)| topic)
        .collect()
}

#[test]
fn a_change_changes_the_hashes_of_the_projections_that_depend_on_it_and_no_others() {
    for change in CHANGES {
        let mut files = files();
        apply(&mut files, change);
        assert_eq!(changed(files), change.changed, "{}", change.what);
    }
}

#[test]
fn where_things_stand_does_not_count() {
    let mut renamed = files();
    renamed.iter_mut().find(|file| file.path == "Item.avsc").unwrap().path = "types.avsc".into();
    renamed.reverse();
    assert_eq!(changed(renamed), NONE, "files have other names and another order");

    let mut moved = files();
    let (head, views) = APP.split_once("[views.orders_by_status]").unwrap();
    let (_, head) = head.split_once('\n').unwrap();
    moved[0].text = format!("app = \"shop\"\n[views.orders_by_status]{views}{head}");
    assert_eq!(changed(moved), NONE, "views stand before topics and entities");
}

#[test]
fn a_topic_more_changes_no_other_projection() {
    let mut files = files();
    files[0]
        .text
        .push_str("[topics.pings]\nkey = [\"page\"]\npartitions = 1\ncommands = []\nevents = [\"Pinged\"]\n");
    let schema =
        r#"{"type": "record", "name": "Pinged", "fields": [{"name": "page", "type": "string"}]}"#.to_owned();
    files.push(SourceFile { path: "Pinged.avsc".into(), text: schema });
    assert_eq!(changed(files), NONE);
}

proptest! {
    #[test]
    fn changes_made_together_change_what_each_changes(
        chosen in prop::collection::vec(any::<bool>(), CHANGES.len()),
    ) {
        let mut files = files();
        let mut expected = std::collections::BTreeSet::new();
        // Of two changes at one place, the first is made.
        let mut touched: Vec<(&str, &str)> = Vec::new();
        for change in CHANGES.iter().zip(chosen).filter_map(|(change, chosen)| chosen.then_some(change)) {
            let overlaps = |(file, find): &(&str, &str)| {
                *file == change.file && (find.contains(change.find) || change.find.contains(find))
            };
            let file = files.iter().find(|file| file.path == change.file).unwrap();
            if touched.iter().any(overlaps) || !file.text.contains(change.find) {
                continue;
            }
            touched.push((change.file, change.find));
            apply(&mut files, change);
            expected.extend(change.changed.iter().map(|topic| (*topic).to_owned()));
        }
        prop_assert_eq!(changed(files), expected.into_iter().collect::<Vec<_>>());
    }
}
