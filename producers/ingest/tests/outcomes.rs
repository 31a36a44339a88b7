//! What became of a message, asked for and waited for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use support::Shop;
use tidefold_record::{Offset, partition_of};
use tidefold_table::Verdict;
use tidefold_table::verdict::DeadReason;

const PAY: &str = "/v1/shop/PayOrder";

fn rejected(codes: &[&str]) -> Verdict {
    Verdict::Rejected(codes.iter().map(|code| (*code).to_owned()).collect())
}

fn dead() -> Verdict {
    Verdict::Dead(DeadReason { code: "null_column".into(), detail: "total_cents would be NULL".into() })
}

async fn place(shop: &Shop, id: &str) -> (u32, u64) {
    let body = json!({"order_id": id, "total_cents": 1}).to_string();
    let answer = shop.post("/v1/shop/PlaceOrder", &[("idempotency-key", id)], body).await;
    assert_eq!(answer.status, 202);
    let position = answer.json()["position"].as_str().unwrap().to_owned();
    let mut parts = position.split(':').skip(1).map(|part| part.parse::<u64>().unwrap());
    (parts.next().unwrap() as u32, parts.next().unwrap())
}

async fn outcome(shop: &Shop, partition: u32, offset: u64) -> Value {
    let answer = shop.get(&format!("/v1/shop/outcomes/orders:{partition}:{offset}")).await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(answer.header("retry-after").is_some(), json["outcome"] == "pending");
    json
}

#[tokio::test]
async fn an_outcome_is_pending_until_the_checkpoint_passes_it() {
    let shop = Shop::open().await;
    let (partition, offset) = place(&shop, "o-1").await;
    let position = format!("orders:{partition}:{offset}");
    assert_eq!(
        outcome(&shop, partition, offset).await,
        json!({"id": "o-1", "position": position, "outcome": "pending"})
    );
    shop.fold("orders", partition, 0, &[]).await;
    assert_eq!(outcome(&shop, partition, offset).await["outcome"], "pending");
    shop.fold("orders", partition, 1, &[]).await;
    assert_eq!(
        outcome(&shop, partition, offset).await,
        json!({"id": "o-1", "position": position, "outcome": "applied"})
    );
}

#[tokio::test]
async fn every_verdict_is_told_with_its_particulars() {
    let shop = Shop::open().await;
    let mut partition = 0;
    for _ in 0..4 {
        (partition, _) = place(&shop, "o-1").await;
    }
    let verdicts =
        [(1, rejected(&["already_exists", "too_late"])), (2, Verdict::Duplicate(Offset(0))), (3, dead())];
    shop.fold("orders", partition, 4, &verdicts).await;
    assert_eq!(outcome(&shop, partition, 0).await["outcome"], "applied");
    let rejected = outcome(&shop, partition, 1).await;
    assert_eq!(
        (&rejected["outcome"], &rejected["codes"]),
        (&json!("rejected"), &json!(["already_exists", "too_late"]))
    );
    let duplicate = outcome(&shop, partition, 2).await;
    assert_eq!(duplicate["outcome"], "duplicate");
    assert_eq!(duplicate["of"], format!("orders:{partition}:0"));
    let dead = outcome(&shop, partition, 3).await;
    assert_eq!((&dead["outcome"], &dead["codes"]), (&json!("dead"), &json!(["null_column"])));
    assert_eq!(dead["detail"], "total_cents would be NULL");
}

#[tokio::test]
async fn positions_that_are_not_there_are_told() {
    let shop = Shop::open().await;
    shop.get("/v1/shop/outcomes/orders:0:0").await.problem(404, "unknown_position");
    for text in [
        "orders",
        "orders:0",
        "orders:0:-1",
        "orders:x:1",
        "baskets:0:0",
        "orders:4:0",
        "orders:0:99999999999999999999",
    ] {
        shop.get(&format!("/v1/shop/outcomes/{text}")).await.problem(400, "invalid_position");
    }
    shop.get("/v1/other/outcomes/orders:0:0").await.problem(404, "unknown_app");
    let (partition, offset) = place(&shop, "o-1").await;
    assert_eq!(shop.get(&format!("/v1/shop/outcomes/orders%3A{partition}%3a{offset}")).await.status, 200);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_does_not_undo_the_message() {
    let shop = Shop::open().await;
    let (partition, offset) = place(&shop, "o-1").await;
    shop.store.faults().fail_loads(1);
    let answer = shop.get(&format!("/v1/shop/outcomes/orders:{partition}:{offset}")).await;
    answer.problem(503, "store_unavailable");
    shop.store.faults().fail_loads(1);
    let answer = pay_and_fold(&shop, &[("prefer", "wait=20")], 2, &[]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (200, &json!("applied")));
}

/// Posts a record, and folds its partition up to `next` once it stands in the log.
async fn pay_and_fold(
    shop: &Shop,
    headers: &[(&str, &str)],
    next: u64,
    verdicts: &[(u64, Verdict)],
) -> support::Answer {
    let partition = partition_of(b"o-1", 4);
    let topic = shop.app.projection("orders").unwrap().log_topic();
    let mut end = tidefold_log::Log::watch_end(&shop.log, &topic, partition).unwrap();
    let folded = async {
        end.wait_for(|end| *end == Offset(next)).await.unwrap();
        shop.fold("orders", partition.0, next, verdicts).await;
    };
    tokio::join!(shop.post(PAY, headers, r#"{"order_id":"o-1"}"#), folded).0
}

/// Posts with a wait, and is told the verdict.
async fn waited(verdict: Option<Verdict>) -> support::Answer {
    let shop = Shop::open().await;
    let partition = partition_of(b"o-1", 4).0;
    place(&shop, "o-1").await;
    let verdicts: Vec<_> = verdict.into_iter().map(|verdict| (1, verdict)).collect();
    let headers = [("prefer", "respond-async, wait=20"), ("idempotency-key", "pay-1")];
    let answer = pay_and_fold(&shop, &headers, 2, &verdicts).await;
    assert_eq!(answer.header("preference-applied"), Some("wait=20"));
    assert_eq!(answer.header("location"), Some(&*format!("/v1/shop/outcomes/orders:{partition}:1")));
    answer
}

#[tokio::test]
async fn a_caller_who_waits_gets_the_outcome_itself() {
    let answer = waited(None).await;
    assert_eq!(answer.status, 200);
    let position = format!("orders:{}:1", partition_of(b"o-1", 4));
    assert_eq!(answer.json(), json!({"id": "pay-1", "position": position, "outcome": "applied"}));

    let answer = waited(Some(Verdict::Duplicate(Offset(0)))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["outcome"], "duplicate");
    assert!(answer.json()["of"].as_str().unwrap().ends_with(":0"));

    let problem = waited(Some(rejected(&["paid_before", "too_late"]))).await.problem(409, "rejected");
    assert_eq!(problem["codes"], json!(["paid_before", "too_late"]));
    assert_eq!((&problem["id"], &problem["position"]), (&json!("pay-1"), &json!(position)));
    waited(Some(rejected(&["version_mismatch"]))).await.problem(412, "version_mismatch");
    waited(Some(rejected(&["idempotency_conflict"]))).await.problem(422, "idempotency_conflict");
    let problem = waited(Some(dead())).await.problem(422, "dead");
    assert_eq!(problem["codes"], json!(["null_column"]));
}

#[tokio::test]
async fn a_caller_who_waits_is_told_as_soon_as_the_fold_has_judged() {
    let shop = Shop::open().await;
    let partition = partition_of(b"o-1", 4);
    let topic = shop.app.projection("orders").unwrap().log_topic();
    let mut end = tidefold_log::Log::watch_end(&shop.log, &topic, partition).unwrap();
    let headers = [("prefer", "wait=20"), ("content-type", "application/json")];
    let posted = shop.send(Method::POST, PAY, &headers, Body::from(r#"{"order_id":"o-1"}"#));
    let folded = async {
        end.wait_for(|end| *end > Offset::ZERO).await.unwrap();
        shop.fold("orders", partition.0, 1, &[(0, rejected(&["not_found"]))]).await;
    };
    let (answer, ()) = tokio::join!(posted, folded);
    answer.problem(409, "rejected");
}

#[tokio::test]
async fn a_caller_whose_time_runs_out_gets_what_is_known() {
    let shop = Shop::open().await;
    let answer = shop.post(PAY, &[("prefer", "wait=0")], r#"{"order_id":"o-1"}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (202, &json!("pending")));
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    assert!(answer.header("location").is_some());
}

/// A retry's verdict row says only which message it repeats.
#[tokio::test]
async fn a_retry_is_answered_as_the_first_attempt_was_whatever_that_was() {
    let again = |offset| Verdict::Duplicate(Offset(offset));
    // What the first message and its retries came to, and how the last of them is answered.
    let cases = [
        (vec![Verdict::Applied, again(0)], 200, "duplicate", None),
        (vec![rejected(&["not_found"]), again(0)], 409, "rejected", Some(vec!["not_found"])),
        (vec![rejected(&["too_late", "paid"]), again(0)], 409, "rejected", Some(vec!["too_late", "paid"])),
        (vec![rejected(&["version_mismatch"]), again(0)], 412, "rejected", Some(vec!["version_mismatch"])),
        (vec![rejected(&["x"]), again(0), again(0)], 409, "rejected", Some(vec!["x"])),
        (vec![rejected(&["x"]), again(0), again(1)], 409, "rejected", Some(vec!["x"])),
        (vec![Verdict::Applied, again(0), again(1)], 200, "duplicate", None),
        // A build may find that what was applied once cannot be folded; a retry of it is then no better.
        (vec![dead(), again(0)], 422, "dead", Some(vec!["null_column"])),
        (vec![dead(), rejected(&["x"]), again(1)], 409, "rejected", Some(vec!["x"])),
    ];
    for (verdicts, status, outcome_said, codes) in cases {
        let shop = Shop::open().await;
        let partition = partition_of(b"o-1", 4).0;
        let last = verdicts.len() - 1;
        let first = verdicts.iter().rposition(|verdict| !matches!(verdict, Verdict::Duplicate(_))).unwrap();
        for _ in 0..last {
            place(&shop, "o-1").await;
        }
        let rows: Vec<_> =
            (0..).zip(verdicts.clone()).filter(|(_, verdict)| *verdict != Verdict::Applied).collect();
        let headers = [("prefer", "wait=20"), ("idempotency-key", "pay-1")];
        let answer = pay_and_fold(&shop, &headers, last as u64 + 1, &rows).await;
        assert_eq!(answer.status, status, "{verdicts:?}");
        let waited = answer.json();
        let asked = outcome(&shop, partition, last as u64).await;
        for said in [&waited, &asked] {
            assert_eq!(said["outcome"], outcome_said, "{verdicts:?}");
            assert_eq!(said["of"], format!("orders:{partition}:{first}"), "{verdicts:?}");
            assert_eq!(said["position"], format!("orders:{partition}:{last}"), "{verdicts:?}");
            assert_eq!(said.get("codes"), codes.as_ref().map(|codes| json!(codes)).as_ref(), "{verdicts:?}");
        }
    }
}

#[tokio::test]
async fn a_retry_of_nothing_before_it_is_damage_and_said() {
    let shop = Shop::open().await;
    let (partition, offset) = place(&shop, "o-1").await;
    shop.fold("orders", partition, 1, &[(offset, Verdict::Duplicate(Offset(offset)))]).await;
    let answer = shop.get(&format!("/v1/shop/outcomes/orders:{partition}:{offset}")).await;
    answer.problem(500, "damaged");
}
