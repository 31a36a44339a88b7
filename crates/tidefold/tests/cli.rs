//! The command line, as its users meet it: results on standard output, the rest on standard error, exit codes that tell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node, root, tidefold, verify};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn help_opens_with_examples_and_completions_are_printed() {
    let (code, out, _) = tidefold(&["--help"]);
    assert_eq!((code, out.starts_with("Examples:")), (0, true), "{out}");
    let (code, out, _) = tidefold(&["completions", "bash"]);
    assert_eq!((code, out.contains("tidefold")), (0, true));
    assert_eq!(tidefold(&["no-such-command"]).0, 2);
}

#[test]
fn check_says_what_is_in_an_app_or_all_that_is_wrong_with_it() {
    let (code, out, err) = tidefold(&["check", "schemas/storefront", "-o", "json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(json(&out)["app"], "storefront");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("app.toml"),
        "app = \"x\"\n[topics.t]\nkey = [\"k\"]\npartitons = 1\nevents = [\"E\"]\n",
    )
    .unwrap();
    let (code, out, err) = tidefold(&["check", &folder.path().to_string_lossy()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("app.toml:4:1") && err.contains("partitions") && err.contains('E'), "{err}");
    assert_eq!(tidefold(&["check", "no/such/folder"]).0, 3);
}

#[test]
fn check_reads_scenarios_and_says_where_one_is_wrong_or_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (app, path) = (root().join("schemas/storefront"), folder.path().to_string_lossy().into_owned());
    for entry in std::fs::read_dir(&app).unwrap().map(Result::unwrap).filter(|it| it.path().is_file()) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    std::fs::create_dir(folder.path().join("scenarios")).unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("scenarios/mine.toml"), text).unwrap();
    write("[[scenario]]\nname = \"x\"\nwhen = { type = \"PayOrders\" }\n");
    for arguments in [&["check", &path][..], &["check", &path, "--scenarios"]] {
        let (code, out, err) = tidefold(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("scenarios/mine.toml:3:17") && err.contains("`PayOrder`"), "{err}");
    }
    let (code, out, _) = tidefold(&["check", &path, "-o", "json"]);
    assert_eq!((code, &json(&out)[0]["line"]), (1, &json!(3)), "{out}");
    write("\n[[scenario]]\nname = \"paid\"\nwhen = { type = \"PayOrder\", data = { order_id = \"o-1\" } }\n");
    let (code, _, err) = tidefold(&["check", &path]);
    assert_eq!(code, 0, "{err}");
    let (code, out, _) = tidefold(&["check", &path, "--scenarios"]);
    assert!(code == 1 && out.contains("FAIL paid (scenarios/mine.toml:3)"), "{out}");
}

#[test]
fn what_is_right_and_probably_meant_otherwise_is_warned_of_and_files_are_read_as_editors_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_string_lossy().into_owned();
    let app = "app = \"x\"\n[topics.t]\nkey = [\"orderId\"]\npartitions = 1\nevents = [\"Opened\"]\n[views.v]\n\
               sql = \"SELECT orderId, mail FROM Opened\"\npartition_key = [\"orderId\"]\nclustering = [\"mail\"]\n";
    let schema = r#"{"type":"record","name":"Opened","fields":[{"name":"orderId","type":"string"},
        {"name":"mail","type":{"type":"string","logicalType":"email"}}]}"#;
    std::fs::write(folder.path().join("app.toml"), format!("\u{feff}{app}")).unwrap();
    std::fs::write(folder.path().join("Opened.avsc"), format!("\u{feff}{schema}")).unwrap();
    let (code, out, err) = tidefold(&["check", &path]);
    assert!(code == 0 && out.contains("Opened"), "{err}");
    assert!(err.contains("warning[unknown-logical-type]") && err.contains("Opened.avsc:2:"), "{err}");
    let (code, out, err) = tidefold(&["check", &path, "-o", "json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let warnings = &json(&out)["warnings"];
    assert_eq!(
        (&warnings[0]["severity"], &warnings[0]["rule"]),
        (&json!("warning"), &json!("unknown-logical-type"))
    );
    assert_eq!(warnings.as_array().map(Vec::len), Some(1));
    for (text, said) in [
        (schema.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), "UTF-16"),
        (schema.replace("mail", "m\u{e4}il").chars().map(|c| c as u8).collect(), "line 2 is not UTF-8"),
    ] {
        std::fs::write(folder.path().join("Opened.avsc"), text).unwrap();
        let (code, _, err) = tidefold(&["check", &path]);
        assert!(code == 1 && err.contains("Opened.avsc") && err.contains(said), "{err}");
    }
}

#[test]
fn config_says_where_each_value_came_from_and_refuses_unknown_names() {
    let (code, out, _) = tidefold(&["config", "--http", "127.0.0.1:9", "-o", "json"]);
    let settings = json(&out);
    let http = settings.as_array().unwrap().iter().find(|setting| setting["key"] == "listen.http").unwrap();
    assert_eq!((code, &http["value"], &http["origin"]), (0, &json!("127.0.0.1:9"), &json!("flag --http")));
    let (code, _, err) = tidefold(&["config", "--set", "listen.htpp=x"]);
    assert_eq!((code, err.contains("did you mean `listen.http`?")), (2, true), "{err}");
}

#[test]
fn a_node_that_is_not_there_is_said_with_what_to_do() {
    let (code, out, err) = tidefold(&["status", "--node", "http://127.0.0.1:1"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("tidefold up"), "{err}");
}

on_every_log_and_store!(
    a_node_is_operated_from_the_command_line,
    lines_that_are_refused_are_named_and_the_others_are_taken,
    a_port_in_use_is_refused_before_anything_is_touched,
);

async fn a_node_is_operated_from_the_command_line(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let publish = [
        "publish",
        "storefront",
        "--synthetic",
        "400",
        "--seed",
        "7",
        "--url",
        &node.http,
        "-o",
        "json",
        "-q",
    ];
    for run in ["first", "second"] {
        let (code, out, err) = tidefold(&publish);
        assert_eq!((code, &json(&out)["accepted"]), (0, &json!(400)), "{run}: {err}");
    }
    let (code, out, _) = tidefold(&["status", "--wait", "-q", "-o", "json", "--node", &node.admin]);
    let verdicts = json(&out)["generations"][0]["verdicts"].clone();
    assert_eq!((code, &verdicts["duplicate"]), (0, &json!(400)), "{verdicts}");
    let (code, out, err) =
        tidefold(&["inspect", "orders", "orders-7-0", "-o", "json", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    let steps = json(&out)["steps"].as_array().unwrap().clone();
    assert_eq!((&steps[0]["message"], &steps[0]["verdict"]), (&json!("PlaceOrder"), &json!("applied")));
    assert_eq!(steps.iter().filter(|step| step["of"].is_string()).count(), steps.len() / 2);
    assert_eq!(tidefold(&["inspect", "orders", "nobody", "--node", &node.admin]).0, 3);
    assert_eq!(tidefold(&["inspect", "nothing", "x", "--node", &node.admin]).0, 3);
    let (code, out, err) = tidefold(&["replay", "storefront", "-q", "-o", "json", "--node", &node.admin]);
    assert_eq!((code, &json(&out)[0]["phase"]), (0, &json!("done")), "{err}");
    let (code, out, _) = tidefold(&["rollback", "storefront", "-o", "json", "--node", &node.admin]);
    assert_eq!((code, &json(&out)[0]["generations"]), (0, &json!([1])));
    assert_eq!(tidefold(&["retire", "storefront", "--node", &node.admin]).0, 0);
    verify(&node, "storefront");
    let (code, out, _) =
        tidefold(&["dead-letters", "list", "storefront", "-o", "json", "--node", &node.admin]);
    assert_eq!((code, json(&out)), (0, json!([])));
    assert_eq!(tidefold(&["dead-letters", "show", "orders:0:0", "--node", &node.admin]).0, 3);
    assert_eq!(node.terminate(), Some(0));
}

async fn lines_that_are_refused_are_named_and_the_others_are_taken(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let file = folder.path().join("pay.csv");
    std::fs::write(&file, "order,why\no-1,late\n,empty\no-2,\n").unwrap();
    let schemas = root().join("schemas");
    let arguments = [
        "publish",
        "storefront",
        &file.to_string_lossy(),
        "--type",
        "CancelOrder",
        "--column",
        "order_id=order",
    ];
    let more = [
        "--column",
        "reason=why",
        "--id-column",
        "order",
        "--schemas",
        &schemas.to_string_lossy(),
        "--url",
        &node.http,
    ];
    let (code, out, err) = tidefold(&[&arguments[..], &more[..], &["-o", "json", "-q"]].concat());
    let report = json(&out);
    assert_eq!((code, &report["accepted"], &report["refused"]), (6, &json!(2), &json!(1)), "{err}");
    assert_eq!(report["refusals"][0]["line"], 3);
    let dead = Client::new().get(&format!("{}/v1/storefront/orders/o-1", node.http), &[]).await;
    assert_eq!(dead.status, 404);
}

async fn a_port_in_use_is_refused_before_anything_is_touched(backends: &Backends) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let address = taken.local_addr().unwrap().to_string();
    let data_text = data.to_string_lossy().into_owned();
    let up = ["up", "schemas/storefront", "--data", &data_text, "--http", &address];
    let (code, _, err) = tidefold(&[&up[..], &backends.flags()].concat());
    assert_eq!((code, err.contains(&address)), (5, true), "{err}");
    assert!(backends.hold_nothing(&data, "storefront").await, "{err}");
}
