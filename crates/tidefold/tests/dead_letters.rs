//! Dead letters, as an operator looks for them: how many, when, of which type, why, and what stands in one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node, tidefold};

const APP: &str = r#"
app = "doors"
[topics.doors]
key = ["door"]
partitions = 2
events = ["Made", "Moved"]
[entities.doors]
topic = "doors"
[entities.doors.columns]
place = "string"
[entities.doors.on.Made]
when = "absent"
set = "place = msg.place"
[entities.doors.on.Moved]
set = "place = msg.place"
"#;

fn schema(name: &str) -> String {
    let field = |name: &str| json!({ "name": name, "type": "string" });
    let weight = json!({ "name": "weight", "type": ["null", "long"], "default": null });
    json!({ "type": "record", "name": name, "fields": [field("door"), field("place"), weight] }).to_string()
}

on_every_log_and_store!(dead_letters_are_counted_filtered_and_shown_with_what_they_say,);

/// Lists with flags; the letters, and what was said of the rest.
fn list(node: &Node, flags: &str) -> (Vec<Value>, Value) {
    let call = ["dead-letters", "list", "doors", "-o", "json", "--node", &node.admin];
    let flags: Vec<_> = flags.split(' ').filter(|flag| !flag.is_empty()).collect();
    let (code, out, err) = tidefold(&[&call[..], &flags].concat());
    assert_eq!(code, 0, "{flags:?}: {err}");
    (serde_json::from_str(&out).unwrap(), serde_json::from_str(&err).unwrap_or_default())
}

async fn dead_letters_are_counted_filtered_and_shown_with_what_they_say(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_sixty_dead_letters(folder.path(), backends).await;
    let (all, rest) = list(&node, "--limit 1000");
    assert_eq!((all.len(), rest), (60, Value::Null));
    let first = &all[0];
    assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
    assert!(first["detail"].is_string() && first["key"].is_string() && first["id"].is_string(), "{first}");

    pages_have_all_letters_once(&node, &all);
    filters_and_their_counts_agree(&node, &all);
    wrong_calls_are_told_what_is_right(&node);
    a_letter_is_shown_with_headers_and_payload(&node, first);
}

async fn node_with_sixty_dead_letters(folder: &Path, backends: &Backends) -> Node {
    let app = folder.join("doors");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("app.toml"), APP).unwrap();
    for name in ["Made", "Moved"] {
        std::fs::write(app.join(format!("{name}.avsc")), schema(name)).unwrap();
    }
    let node = Node::try_start(&app, &folder.join("data"), &backends.flags()).unwrap();
    let client = Client::new();
    for n in 0..30 {
        // Every door is made twice, and one that was never made is moved: 60 dead letters, in both partitions.
        for (message, door) in [("Made", "d"), ("Made", "d"), ("Moved", "nowhere")] {
            let url = format!("{}/v1/doors/{message}", node.http);
            let body =
                json!({ "door": format!("{door}{n}"), "place": "hall", "weight": 9007199254740993_i64 });
            let answer = client.post(&url, &[("prefer", "wait=10")], &body).await.unwrap();
            assert!(answer.status < 300 || answer.status == 422, "{:?}", answer.body);
        }
    }
    node
}

/// Page by page: nothing twice, nothing left out, and the count goes down with it.
fn pages_have_all_letters_once(node: &Node, all: &[Value]) {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let (page, rest) = list(node, &format!("--limit 25 {after}"));
        pages.extend(page);
        assert_eq!(rest["more"].as_u64().unwrap_or(0), 60 - pages.len() as u64);
        let Some(next) = rest["next"].as_str() else { break };
        after = format!("--after {next}");
    }
    assert_eq!(pages, all);
}

fn filters_and_their_counts_agree(node: &Node, all: &[Value]) {
    let of = |name: &str, value: &str| all.iter().filter(|letter| letter[name] == value).count();
    let in_one = all.iter().filter(|l| l["position"].as_str().unwrap().starts_with("doors:1:")).count();
    let middle = all[30]["time"].as_str().unwrap();
    let later = all.iter().filter(|letter| letter["time"].as_str().unwrap() >= middle).count();
    for (flags, expected) in [
        ("--code already_exists".to_owned(), of("code", "already_exists")),
        ("--reason not_found --type Moved".to_owned(), of("code", "not_found")),
        ("--type Made".to_owned(), 30),
        ("--type Made --code not_found".to_owned(), 0),
        ("--key d7".to_owned(), 1),
        ("--partition 1 --topic doors".to_owned(), in_one),
        (format!("--since {middle}"), later),
        (format!("--until {middle}"), 60 - later),
        ("--since 24h".to_owned(), 60),
        ("--until 24h".to_owned(), 0),
    ] {
        assert_eq!(list(node, &format!("{flags} --limit 100")).0.len(), expected, "{flags}");
        let (two, rest) = list(node, &format!("{flags} --limit 2"));
        assert_eq!(two.len() as u64 + rest["more"].as_u64().unwrap_or(0), expected as u64, "{flags}");
    }
}

fn wrong_calls_are_told_what_is_right(node: &Node) {
    let (_, table, _) = tidefold(&["dead-letters", "list", "doors", "--node", &node.admin]);
    assert!(table.contains("\n10 more: go on with --after doors:"), "{table}");

    for (flags, code, said) in [
        ("list doors --code unheard_of", 2, "undecodable"),
        ("list doors --type Mode", 2, "did you mean Made?"),
        ("list doors --type Mode --code not_found --until 24h", 2, "did you mean Made?"),
        ("list doors --type Xylophone", 2, "the app has Made, Moved"),
        ("list doors --partition 99", 2, "topic doors has partitions 0 to "),
        ("list doors --partition 99 --topic doors", 2, "there is no partition 99"),
        ("list doors --after doors:99:0", 2, "there is no partition 99"),
        ("list doors --since yesterday", 2, "90m"),
        ("list doors --topic windows", 3, "there are doors"),
        ("list doors --after doors", 2, "position"),
        ("list doors --limit 0", 2, "10000"),
        ("show doors:0:100000", 3, "is not a dead letter"),
    ] {
        let call: Vec<_> = ["dead-letters"].into_iter().chain(flags.split(' ')).collect();
        let (found, _, err) = tidefold(&[&call[..], &["--node", &node.admin]].concat());
        assert_eq!((found, err.contains(said)), (code, true), "{flags}: {err}");
    }
}

fn a_letter_is_shown_with_headers_and_payload(node: &Node, first: &Value) {
    let position = first["position"].as_str().unwrap();
    let show = |more: &[&str]| {
        tidefold(&[&["dead-letters", "show", position, "--node", &node.admin], more].concat()).1
    };
    let shown: Value = serde_json::from_str(&show(&["-o", "json"])).unwrap();
    assert_eq!((&shown["code"], &shown["key"]), (&first["code"], &first["key"]));
    assert_eq!(
        shown["payload"],
        json!({ "door": first["key"], "place": "hall", "weight": 9007199254740993_i64 })
    );
    assert!(shown["headers"].as_array().unwrap().iter().any(|header| header[0] == "ce_type"), "{shown}");
    let text = show(&[]);
    assert!(text.contains("header     ce_type: ") && text.contains("\"place\": \"hall\""), "{text}");
}
