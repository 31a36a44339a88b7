//! A node operated from the command line: how it stops, what its generations are, what is said where there is nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::io::{Read, Write};

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node, root, tidefold, tidefold_given};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Generations and their states, as `status` has them.
fn generations(node: &Node) -> Vec<(u64, String)> {
    let (code, out, err) = tidefold(&["status", "-o", "json", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    let all = json(&out)["generations"].as_array().unwrap().clone();
    let of = |one: &Value| (one["generation"].as_u64().unwrap(), one["state"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = all.iter().map(of).collect();
    all.sort();
    all
}

fn states(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(generation, state)| (*generation, (*state).to_owned())).collect()
}

on_every_log_and_store!(
    status_tells_the_generations_after_replay_rollback_and_retire,
    inspect_shows_why_a_step_was_rejected,
    an_interrupted_node_stops_in_order_and_its_exit_code_says_what_ended_it,
    a_second_signal_ends_a_node_that_waits_for_a_request,
    the_operators_port_in_use_is_refused_before_anything_is_touched,
);

async fn status_tells_the_generations_after_replay_rollback_and_retire(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let run = |verb: &str| {
        let (code, out, err) = tidefold(&[verb, "storefront", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{verb}: {err}");
        out
    };
    assert!(run("retire").starts_with("there is nothing to retire"));
    assert!(run("abandon").starts_with("there is nothing to abandon"));
    assert_eq!(generations(&node), states(&[(1, "active")]));
    run("replay");
    assert_eq!(generations(&node), states(&[(1, "kept"), (2, "active")]));
    assert_eq!(run("rollback"), "topic   active\norders  g1\n");
    assert_eq!(generations(&node), states(&[(1, "active"), (2, "kept")]));
    assert_eq!(run("retire"), "topic   retired\norders  g2\n");
    assert_eq!(generations(&node), states(&[(1, "active")]));
    let (code, out, _) = tidefold(&["retire", "storefront", "-o", "json", "--node", &node.admin]);
    assert_eq!((code, json(&out)), (0, json!([{ "topic": "orders", "generations": [] }])));
    for verb in ["rollback", "retire", "abandon"] {
        assert_eq!(tidefold(&[verb, "another", "--node", &node.admin]).0, 3, "{verb}");
        assert_eq!(tidefold(&[verb, "storefront", "nothing", "--node", &node.admin]).0, 3, "{verb}");
    }
    assert_eq!(tidefold(&["rollback", "storefront", "--node", &node.admin]).0, 5);
}

async fn inspect_shows_why_a_step_was_rejected(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    let order =
        json!({ "order_id": "o-1", "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": [] });
    for (message, id, data, outcome) in [
        ("PlaceOrder", "m-1", order, "applied"),
        ("ShipOrder", "m-2", json!({ "order_id": "o-1" }), "rejected"),
        ("PayOrder", "m-3", json!({ "order_id": "o-1" }), "applied"),
        ("ShipOrder", "m-2", json!({ "order_id": "o-1" }), "rejected"),
    ] {
        let url = format!("{}/v1/storefront/{message}", node.http);
        let headers = [("prefer", "wait=10"), ("idempotency-key", id)];
        let answer = client.post(&url, &headers, &data).await.unwrap();
        assert_eq!(answer.body["outcome"], outcome);
    }
    let inspect = ["inspect", "orders", "o-1", "--node", &node.admin];
    let (code, out, _) = tidefold(&[&inspect[..], &["-o", "json"]].concat());
    let steps = json(&out)["steps"].clone();
    let seen: Vec<_> = steps.as_array().unwrap().iter().map(|s| (&s["verdict"], &s["version"])).collect();
    let (applied, rejected) = (json!("applied"), json!("rejected"));
    let versions = [1, 1, 2, 2].map(Value::from);
    let wanted: Vec<_> = [&applied, &rejected, &applied, &rejected].into_iter().zip(&versions).collect();
    assert_eq!((code, seen), (0, wanted));
    for refused in [1, 3] {
        assert_eq!(steps[refused]["detail"], json!(["not_paid"]));
    }
    // The retry came when the order was paid, and is answered as the first attempt was.
    assert_eq!((&steps[1]["of"], &steps[3]["of"]), (&Value::Null, &steps[1]["position"]));
    let (code, out, _) = tidefold(&inspect);
    assert_eq!(code, 0);
    assert!(out.lines().any(|line| line == "  rejected not_paid"), "{out}");
    assert!(out.lines().any(|line| line.starts_with("  rejected not_paid (a retry of orders:")), "{out}");
    assert!(out.lines().all(|line| line == line.trim_end()), "{out:?}");
}

async fn an_interrupted_node_stops_in_order_and_its_exit_code_says_what_ended_it(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Node::start_with("storefront", folder.path(), &backends.flags()).interrupt(), Some(130));
    assert_eq!(Node::start_with("storefront", folder.path(), &backends.flags()).terminate(), Some(0));
}

async fn a_second_signal_ends_a_node_that_waits_for_a_request(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let mut open = std::net::TcpStream::connect(node.http.trim_start_matches("http://")).unwrap();
    // The answer `100 Continue` says that the request is being served; its body never comes.
    open.write_all(
        b"POST /v1/storefront/PlaceOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
          Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    let mut answer = [0; 12];
    open.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    assert_eq!(node.terminate_again(), Some(128 + 15));
    assert_eq!(Node::start_with("storefront", folder.path(), &backends.flags()).terminate(), Some(0));
}

async fn the_operators_port_in_use_is_refused_before_anything_is_touched(backends: &Backends) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, data_text) = (taken.local_addr().unwrap().to_string(), data.to_string_lossy().into_owned());
    let up = ["up", "schemas/storefront", "--data", &data_text, "--http", "127.0.0.1:0", "--admin", &address];
    let (code, _, err) = tidefold(&[&up[..], &backends.flags()].concat());
    assert_eq!((code, err.contains(&address)), (5, true), "{err}");
    assert!(backends.hold_nothing(&data, "storefront").await, "{err}");
}

/// What `status --wait` says of a node with this status.
async fn wait_for_status(
    status: Value,
    timeout: &'static str,
    format: &'static str,
) -> (i32, String, String) {
    let route = axum::routing::get(async move || axum::Json(status));
    let router = axum::Router::new().route("/admin/v1/status", route);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(std::future::IntoFuture::into_future(axum::serve(listener, router)));
    let asked = tokio::task::spawn_blocking(move || {
        tidefold(&["status", "--wait", "-q", "--node", &url, "--timeout", timeout, "-o", format])
    });
    asked.await.unwrap()
}

fn status_with(lag: u64, lane: &str, halted: Option<&str>) -> Value {
    let partitions = json!([{ "partition": 0, "next": 5, "end": 5 + lag, "lag_records": lag, "lag_seconds": 1.0,
                              "state": lane, "stalled": false }]);
    json!({ "app": "shop", "definition": "", "generations": [{
        "topic": "orders", "generation": 1, "state": "active", "tables": [], "halted": halted, "lag_records": lag,
        "lag_seconds": 1.0, "verdicts": { "applied": 0, "rejected": 0, "duplicate": 0, "dead": 0 },
        "partitions": if halted.is_some() { json!([]) } else { partitions } }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_what_does_not_come_names_it_and_ends_with_an_exit_code_of_its_own() {
    for format in ["table", "json"] {
        for (status, exit, named) in [
            (status_with(0, "waiting", None), 0, ""),
            (status_with(7, "folding", None), 7, "orders:0:5: behind, 7 records are not folded"),
            (status_with(7, "owned elsewhere", None), 7, "orders:0:5: behind"),
            (status_with(7, "halted: cut", None), 6, "orders:0:5: halted, 7 records are not folded: cut"),
            (status_with(0, "halted: cut", None), 6, "orders:0:5: halted: cut"),
            (status_with(0, "", Some("it was replaced")), 6, "orders g1: halted: it was replaced"),
        ] {
            let (code, out, err) = wait_for_status(status, "200ms", format).await;
            assert_eq!(code, exit, "{named}: {out}{err}");
            assert!(err.contains(named) && out.contains("orders"), "{named}: {out}{err}");
        }
    }
    let (code, _, err) = wait_for_status(status_with(0, "waiting", None), "soon", "table").await;
    assert_eq!((code, err.contains("--timeout soon")), (2, true), "{err}");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_refused_with_its_name() {
    let (code, out, err) = tidefold_given(&["config"], &[("TIDEFOLD_LISTEN_ADMIN", "127.0.0.1:9")], "");
    assert_eq!(code, 2, "{out}{err}");
    assert!(err.contains("did you mean `TIDEFOLD_LISTEN__ADMIN`?"), "{err}");
    // What holds without it is shown all the same.
    assert!(out.contains("listen.admin") && !out.contains("127.0.0.1:9 "), "{out}");
}

#[test]
fn a_scenario_that_does_not_hold_is_shown_with_what_came_instead() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root().join("schemas/storefront")).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    std::fs::create_dir(folder.path().join("scenarios")).unwrap();
    let scenario = "[[scenario]]\nname = \"an order that is not there is paid\"\n\
                    when = { type = \"PayOrder\", data = { order_id = \"o-404\" } }\n\
                    then.outcome = \"applied\"\n";
    std::fs::write(folder.path().join("scenarios/pay.toml"), scenario).unwrap();
    let check = ["check", &folder.path().to_string_lossy(), "--scenarios"];
    let (code, out, _) = tidefold(&check);
    assert_eq!(code, 1);
    for said in ["FAIL an order that is not there is paid", "applied", "rejected", "not_found", "1 do not"] {
        assert!(out.contains(said), "{said} is not in: {out}");
    }
    let (code, out, _) = tidefold(&[&check[..], &["-o", "json"]].concat());
    assert_eq!((code, &json(&out)[0]["holds"]), (1, &json!(false)));
}

#[test]
fn the_mistakes_of_an_app_are_json_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let app = "app = \"x\"\n[topics.t]\nkey = [\"k\"]\npartitons = 1\nevents = [\"E\"]\n";
    std::fs::write(folder.path().join("app.toml"), app).unwrap();
    let (code, out, err) = tidefold(&["check", &folder.path().to_string_lossy(), "-o", "json"]);
    assert_eq!((code, err.contains("mistakes")), (1, true), "{err}");
    let mistakes = json(&out);
    let mistakes = mistakes.as_array().unwrap();
    assert!(mistakes.len() >= 2, "{out}");
    assert!(mistakes.iter().any(|mistake| mistake["line"] == 4 && mistake["file"] == "app.toml"), "{out}");
}
