//! Who asks a process of a fleet for what another one serves is told which; and what a write's `Location` names is there
//! wherever reads go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]
mod support;

use serde_json::json;
use support::fleet::{Fleet, Kind};
use support::{Client, tidefold};

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_fleet_serves_outcomes_or_says_which_process_serves_what_it_does_not() {
    let fleet = Fleet::of_kinds(&[Kind::Project, Kind::Ingest, Kind::Query]);
    let (project, ingest, query) = (&fleet.project[0], &fleet.ingest[0], &fleet.query[0]);
    let client = Client::new();
    let order = json!({ "order_id": "o-1", "customer_id": "c-1", "currency": "EUR", "total_cents": 5,
        "items": [{ "sku": "s", "qty": 1, "price_cents": 5 }] });
    let place = format!("{}/v1/storefront/PlaceOrder", ingest.http);
    let placed = client
        .send(
            "POST",
            &place,
            &[("content-type", "application/json"), ("prefer", "wait=30")],
            order.to_string(),
        )
        .await
        .unwrap();
    assert_eq!(placed.status, 200, "{:?}", placed.body);
    let location = placed.headers["location"].to_str().unwrap();
    for node in [ingest, query] {
        let outcome = client.get(&format!("{}{location}", node.http), &[]).await;
        assert_eq!(
            (outcome.status, &outcome.body["outcome"]),
            (200, &"applied".into()),
            "{:?}",
            outcome.body
        );
    }
    for (method, url, status, told) in [
        (
            "GET",
            format!("{}/v1/storefront", ingest.http),
            405,
            "this process is `ingest`; reads are served by `query`",
        ),
        ("GET", format!("{}/v1/storefront/orders/o-1", ingest.http), 404, "reads are served by `query`"),
        ("GET", format!("{}/", ingest.http), 404, "reads are served by `query`"),
        ("POST", format!("{}/v1/storefront/PlaceOrder", query.http), 405, "messages are taken by `ingest`"),
        (
            "GET",
            format!("{}/v1/storefront/outcomes", query.http),
            404,
            "/outcomes/{topic}:{partition}:{offset}",
        ),
        ("GET", format!("{}/v1/storefront/orders", project.admin), 404, "reads are served by `query`"),
    ] {
        let answer = client.send(method, &url, &[], String::new()).await.unwrap();
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == status && detail.contains(told), "{method} {url}: {:?}", answer.body);
    }
    for node in [ingest, query] {
        for call in ["status", "verify storefront", "dead-letters list storefront", "replay storefront"] {
            let call: Vec<_> = call.split(' ').chain(["--node", &node.admin]).collect();
            let (code, _, said) = tidefold(&call);
            let told = "operators' calls go to the admin port (listen.admin) of a `project` or `up` process";
            assert!(code == 3 && said.contains(told), "{call:?}: {code} {said}");
        }
    }
    fleet.end();
}
