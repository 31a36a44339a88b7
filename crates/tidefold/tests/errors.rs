//! Errors for programs: one rule for every command, mistakes in the call included.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::{Value, json};
use support::{Client, Node, tidefold, tidefold_given};

/// Every command, with what it needs; the names have to be those that the help lists.
const COMMANDS: &[&str] = &[
    "up schemas/storefront",
    "ingest schemas/storefront",
    "project schemas/storefront",
    "query schemas/storefront",
    "check schemas/storefront",
    "publish storefront -",
    "status",
    "inspect orders o-1",
    "verify storefront",
    "replay storefront",
    "rollback storefront",
    "retire storefront",
    "abandon storefront",
    "schemas storefront",
    "breaker lift storefront",
    "dead-letters add orders:0:0 --reason because",
    "dead-letters list storefront",
    "dead-letters show orders:0:0",
    "config",
    "completions bash",
];

/// Runs a command line; its exit code and the errors it told, each of which has to be of the one shape.
fn errors(line: &str, node: Option<&str>) -> (i32, Vec<Value>) {
    let arguments: Vec<_> = line.split(' ').collect();
    let environment: Vec<_> = node.map(|node| ("TIDEFOLD_NODE", node)).into_iter().collect();
    let (code, out, err) = tidefold_given(&arguments, &environment, "");
    let lines =
        err.lines().map(|text| serde_json::from_str(text).unwrap_or_else(|_| panic!("{line}: {text:?}")));
    let errors: Vec<Value> = lines.filter(|value: &Value| !value["error"].is_null()).collect();
    assert_eq!(errors.len(), usize::from(code != 0), "{line}: exit code {code}, {err}");
    for error in &errors {
        assert_eq!(error["exit_code"], code, "{line}: {error}");
        assert!(error["error"].is_string() && !error["message"].as_str().unwrap().is_empty(), "{error}");
        assert!(!error["message"].as_str().unwrap().contains('\u{1b}'), "no colors: {error}");
    }
    if !out.is_empty() && !line.starts_with("completions") && !line.contains("--help") {
        let is_json = serde_json::from_str::<Value>(&out).is_ok();
        assert!(
            is_json || out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{line}: {out}"
        );
    }
    (code, errors)
}

#[test]
fn a_call_that_is_no_command_is_told_as_json_by_every_command() {
    let help = tidefold(&["--help"]).1;
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let listed = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in listed.map(|line| line.split_whitespace().next().unwrap()) {
        assert!(
            COMMANDS.iter().any(|line| line.split(' ').next() == Some(name)),
            "{name} is not in the table"
        );
    }
    for command in COMMANDS {
        for format in ["-o json", "--output=ndjson", "-qo json"] {
            let (code, errors) = errors(&format!("{command} --no-such-flag {format}"), None);
            assert_eq!((code, &errors[0]["error"]), (2, &"usage".into()), "{command}");
            assert!(errors[0]["message"].as_str().unwrap().contains("--no-such-flag"), "{}", errors[0]);
        }
        let name = command.split(' ').next().unwrap();
        assert_eq!(errors(&format!("{name} --help -o json"), None).0, 0);
    }
    for line in
        ["-o json", "-o json no-such-command", "dead-letters -o json", "inspect -o json", "up -o json"]
    {
        assert_eq!(errors(line, None).0, 2, "{line}");
    }
}

#[test]
fn where_no_node_answers_every_command_that_asks_one_says_so_as_json() {
    let asks = COMMANDS.iter().filter(|command| {
        let name = command.split(' ').next().unwrap();
        !["up", "ingest", "project", "query", "check", "publish", "config", "completions"].contains(&name)
    });
    for command in asks {
        let (code, errors) = errors(&format!("{command} --node http://127.0.0.1:1 -o json"), None);
        assert_eq!((code, &errors[0]["error"]), (1, &"failed".into()), "{command}");
        assert!(errors[0]["message"].as_str().unwrap().contains("does not answer"), "{command}");
        let (code, errors) = self::errors(&format!("{command} --node :// -o json"), None);
        assert_eq!((code, &errors[0]["error"]), (2, &"usage".into()), "{command}");
    }
}

#[test]
fn commands_that_fail_by_themselves_say_so_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong");
    std::fs::create_dir(&wrong).unwrap();
    std::fs::write(wrong.join("app.toml"), "app = \"wrong\"\nnothing = 1\n").unwrap();
    let wrong = wrong.to_string_lossy();
    let data = folder.path().join("data");
    for (line, code) in [
        ("check no/such/folder -o json".to_owned(), 3),
        (format!("check {wrong} -o json"), 1),
        (format!("check {wrong} -o ndjson --scenarios"), 1),
        (format!("up {wrong} -o json"), 1),
        ("up schemas/storefront -o json --set listen.htpp=x".to_owned(), 2),
        (format!("up schemas/storefront -o json --data {} --http 1.2.3.4:5", data.display()), 5),
        ("ingest schemas/storefront -o json".to_owned(), 2),
        ("project schemas/storefront -o json".to_owned(), 2),
        ("query schemas/storefront -o json --config no/such/file".to_owned(), 3),
        ("config --set a=b -o json".to_owned(), 2),
        ("config --set run.drain=x -o json".to_owned(), 2),
        ("config --set run.drain -o json".to_owned(), 2),
        ("publish storefront a.csv -o json".to_owned(), 3),
        ("publish storefront - --format csv --url http://127.0.0.1:1 -o json".to_owned(), 2),
        ("publish storefront --synthetic 1 --url http://127.0.0.1:1 -o json".to_owned(), 1),
        ("publish storefront --synthetic 1 --url x -o json".to_owned(), 2),
        ("status --wait --timeout soon -o json".to_owned(), 2),
    ] {
        assert_eq!(errors(&line, Some("http://127.0.0.1:1")).0, code, "{line}");
    }
}

#[test]
fn publish_tells_a_file_that_is_not_there_as_json() {
    let (code, errors) = errors("publish storefront no/such/file -o json", None);
    assert!(code == 3 && errors[0]["message"].as_str().unwrap().contains("no/such/file"), "{errors:?}");
}

#[test]
fn what_a_node_refuses_comes_with_its_problem() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start("storefront", folder.path());
    for (line, code, problem) in [
        ("rollback storefront", 5, "conflict"),
        ("verify nothing", 3, "unknown_app"),
        ("replay storefront nothing", 3, "not_found"),
        ("inspect nothing o-1", 3, "unknown_table"),
        ("inspect orders o-1", 3, ""),
        ("dead-letters show orders:0:0", 3, "not_found"),
        ("dead-letters show orders", 2, "invalid_position"),
    ] {
        let (found, errors) = errors(&format!("{line} -o json"), Some(&node.admin));
        let said = errors[0]["problem"]["code"].as_str().unwrap_or_default();
        assert_eq!((found, said), (code, problem), "{line}: {errors:?}");
    }
    for line in ["status", "status --wait", "verify storefront", "replay storefront", "retire storefront"] {
        assert_eq!(errors(&format!("{line} -o json"), Some(&node.admin)).0, 0, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_the_admin_port_for_what_the_other_has_is_told_which_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start("storefront", folder.path());
    let other = node.http.rsplit(':').next().unwrap();
    let said = |what: &str| format!("this is the admin port; {what} are on port {other} (listen.http)");
    let publish = ["publish", "storefront", "--synthetic", "5", "--url", &node.admin, "-q"];
    let (code, _, err) = tidefold(&publish);
    assert!(code == 1 && err.contains(&said("messages")), "{code}: {err}");
    let client = Client::new();
    for path in ["/v1/storefront", "/v1/storefront/PlaceOrder"] {
        let answer = client.post(&format!("{}{path}", node.admin), &[], &json!({})).await.unwrap();
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(answer.status == 404 && detail.contains(&said("messages")), "{path}: {detail}");
    }
    for (path, what) in [
        ("/", "reads"),
        ("/v1/storefront", "reads"),
        ("/v1/storefront/orders/o-1", "reads"),
        ("/v1/storefront/outcomes/orders:0:0", "outcomes"),
    ] {
        let answer = client.get(&format!("{}{path}", node.admin), &[]).await;
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(answer.status == 404 && detail.contains(&said(what)), "{path}: {detail}");
    }
    // What operators do still says who does it.
    let verify = format!("{}/admin/v1/storefront/verify", node.admin);
    let unnamed = client.send("POST", &verify, &[], String::new()).await.unwrap();
    assert_eq!((unnamed.status, &unnamed.body["code"]), (403, &json!("operator_missing")));
}
