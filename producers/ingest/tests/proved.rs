//! What is said of a record in every state that a lane and a log can be in: a table of logs, checkpoints and positions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::json;
use support::Shop;
use tidefold_record::{Offset, Partition, TopicName, partition_of};
use tidefold_table::Verdict;
use tidefold_table::verdict::DeadReason;

const PAY: &str = "/v1/shop/PayOrder";

/// What is done to a partition before anything is asked.
#[derive(Clone, Copy, Debug)]
enum Do {
    /// So many records are appended.
    Append(usize),
    /// Offsets without a record: a transaction was aborted there, or ended.
    Skip(u64),
    /// A lane folds up to here.
    Fold(u64),
    /// The log loses its end.
    Cut(u64),
    /// The log loses its beginning.
    Trim(u64),
    /// The topic begins anew.
    Recreate,
    /// The process folds the topic and knows that it is halted.
    Refuse,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Applied,
    Pending,
    Dead,
    /// 404: no record stands there.
    Unknown,
    /// 400: it cannot be a position.
    Invalid,
    /// 503 `log-changed`.
    Changed,
}

use Do::{Append, Cut, Fold, Recreate, Refuse, Skip, Trim};
use Said::{Applied, Changed, Dead, Invalid, Pending, Unknown};

/// State; what is said of positions of the partition; what a write with a wait is answered.
type Case = (&'static str, &'static [Do], &'static [(u64, Said)], Said);

const CASES: &[Case] = &[
    ("nothing folded", &[Append(2)], &[(0, Pending), (1, Pending), (2, Unknown)], Pending),
    ("a live lane", &[Append(3), Fold(3)], &[(0, Applied), (2, Applied), (3, Unknown)], Pending),
    ("a lane that is behind", &[Append(3), Fold(1)], &[(0, Applied), (1, Pending), (2, Pending)], Pending),
    (
        "a lane halted on a record",
        &[Append(3), Fold(2)],
        &[(0, Applied), (1, Applied), (2, Pending), (9, Unknown)],
        Pending,
    ),
    ("a log begun anew", &[Append(5), Fold(5), Recreate], &[(0, Unknown), (4, Unknown)], Changed),
    (
        "a log begun anew, with records",
        &[Append(5), Fold(5), Recreate, Append(3)],
        &[(0, Changed), (2, Changed), (3, Unknown), (4, Unknown)],
        Changed,
    ),
    (
        "a log begun anew, grown past what was folded",
        &[Append(5), Fold(5), Recreate, Append(9)],
        &[(0, Changed), (4, Changed), (8, Changed), (9, Unknown)],
        Changed,
    ),
    (
        "a log cut short",
        &[Append(5), Fold(5), Cut(3)],
        &[(0, Changed), (2, Changed), (3, Unknown), (4, Unknown)],
        Changed,
    ),
    (
        "a log cut short that grew again",
        &[Append(5), Fold(5), Cut(3), Append(4)],
        &[(0, Changed), (4, Changed), (6, Changed)],
        Changed,
    ),
    (
        "a log cut behind what was folded",
        &[Append(5), Fold(3), Cut(4)],
        &[(2, Applied), (3, Pending), (4, Unknown)],
        Pending,
    ),
    ("a log without its beginning", &[Append(5), Fold(5), Trim(2)], &[(0, Unknown), (2, Changed)], Changed),
    (
        "aborted records and markers, folded past",
        &[Append(2), Skip(3), Append(1), Fold(6)],
        &[(1, Applied), (2, Unknown), (4, Unknown), (5, Applied)],
        Pending,
    ),
    (
        "aborted records at the end, folded past",
        &[Append(2), Skip(3), Fold(5)],
        &[(1, Applied), (2, Unknown), (4, Unknown)],
        Pending,
    ),
    ("aborted records at the start", &[Skip(3), Fold(3)], &[(0, Unknown), (2, Unknown)], Pending),
    (
        "a log begun anew under a checkpoint that has read no record",
        &[Skip(3), Fold(3), Recreate, Append(4)],
        &[(0, Pending), (2, Pending)],
        Pending,
    ),
    ("a halt that is known in the process", &[Append(2), Fold(2), Refuse], &[(0, Applied)], Changed),
];

async fn prepare(shop: &Shop, partition: u32, steps: &[Do]) {
    let name = TopicName::new("orders").in_app("shop");
    let (faults, at) = (shop.log.faults(), Partition(partition));
    let mut appended = 0;
    for step in steps {
        match step {
            Append(count) => {
                // Every record is another one: none comes to stand where an equal one stood.
                let ids: Vec<_> = (0..*count).map(|n| format!("foreign-{}", appended + n)).collect();
                let ids: Vec<_> = ids.iter().map(|id| Some(id.as_str())).collect();
                shop.append("orders", partition, &ids).await;
                appended += count;
            }
            Skip(count) => faults.skip(&name, at, *count),
            Fold(next) => shop.fold("orders", partition, *next, &[]).await,
            Cut(end) => assert!(faults.truncate(&name, at, Offset(*end))),
            Trim(start) => faults.trim(&name, at, Offset(*start)),
            Recreate => faults.recreate(&name),
            Refuse => {
                shop.refused.lock().unwrap().insert("orders".to_owned(), "it has 16 partitions".to_owned());
            }
        }
    }
}

fn said(answer: &support::Answer) -> Said {
    let json = answer.json();
    match (answer.status.as_u16(), json["outcome"].as_str().or(json["code"].as_str())) {
        (200, Some("applied")) => Applied,
        (200 | 202, Some("pending")) => Pending,
        (200 | 422, Some("dead")) => Dead,
        (404, Some("unknown_position")) => Unknown,
        (400, Some("invalid_position")) => Invalid,
        (503, Some("log_changed")) => Changed,
        other => panic!("{other:?}: {json}"),
    }
}

#[tokio::test]
async fn applied_is_said_only_of_records_that_a_lane_folded_out_of_this_log() {
    let partition = partition_of(b"o-1", 4).0;
    for (what, steps, positions, write) in CASES {
        let shop = Shop::open().await;
        prepare(&shop, partition, steps).await;
        for (offset, expected) in *positions {
            let answer = shop.get(&format!("/v1/shop/outcomes/orders:{partition}:{offset}")).await;
            assert_eq!(said(&answer), *expected, "{what}: orders:{partition}:{offset}");
        }
        let before = shop.bounds("orders", partition).await.end;
        let answer = shop.post(PAY, &[("prefer", "wait=0")], r#"{"order_id":"o-1"}"#).await;
        assert_eq!(said(&answer), *write, "{what}: a write");
        let grew = shop.bounds("orders", partition).await.end > before;
        assert_eq!(grew, *write == Pending, "{what}: what is refused is not appended");
        let line = shop.stream(PAY, &[], "{\"order_id\":\"o-1\"}\n").await.lines().remove(0);
        assert_eq!(line["status"], if *write == Pending { 202 } else { 503 }, "{what}: a line, {line}");
    }
}

#[tokio::test]
async fn a_partition_that_is_not_the_apps_has_no_outcomes_whatever_stands_in_the_store() {
    let shop = Shop::open().await;
    shop.append("orders", 0, &[Some("a")]).await;
    shop.fold("orders", 0, 1, &[]).await;
    assert_eq!(said(&shop.get("/v1/shop/outcomes/orders:0:0").await), Applied);
    assert_eq!(said(&shop.get("/v1/shop/outcomes/orders:4:0").await), Invalid);
    assert_eq!(said(&shop.get("/v1/shop/outcomes/orders:1:0").await), Unknown);
}

#[tokio::test]
async fn a_record_of_somebody_else_has_an_outcome_with_or_without_an_id() {
    let shop = Shop::open().await;
    shop.append("orders", 0, &[None, Some("a")]).await;
    let dead = Verdict::Dead(DeadReason { code: "bad_frame".into(), detail: "x".into() });
    shop.fold("orders", 0, 2, &[(0, dead)]).await;
    let answer = shop.get("/v1/shop/outcomes/orders:0:0").await;
    assert_eq!((said(&answer), answer.json()["id"].as_str()), (Dead, None));
    let answer = shop.get("/v1/shop/outcomes/orders:0:1").await;
    assert_eq!((said(&answer), answer.json()["id"].as_str()), (Applied, Some("a")));
}

#[tokio::test]
async fn a_write_that_was_taken_before_the_log_changed_stays_pending() {
    let shop = Shop::open().await;
    let partition = partition_of(b"o-1", 4).0;
    let name = TopicName::new("orders").in_app("shop");
    let answer = shop.post(PAY, &[], r#"{"order_id":"o-1"}"#).await;
    assert_eq!(said(&answer), Pending);
    // The checkpoint of another log: of this one nothing is folded. A look at the log is good for some seconds.
    shop.append("orders", partition, &[Some("a"), Some("b")]).await;
    shop.fold("orders", partition, 3, &[]).await;
    assert!(shop.log.faults().truncate(&name, Partition(partition), Offset(1)));
    let answer = shop.post(PAY, &[("prefer", "wait=0")], r#"{"order_id":"o-1"}"#).await;
    assert_eq!(said(&answer), Pending, "{}", answer.json());
}

#[tokio::test]
async fn a_refusal_says_what_contradicts_what_and_what_to_do() {
    let shop = Shop::open().await;
    let partition = partition_of(b"o-1", 4).0;
    prepare(&shop, partition, &[Append(5), Fold(5), Cut(3)]).await;
    let answer = shop.post(PAY, &[], r#"{"order_id":"o-1"}"#).await;
    let problem = answer.problem(503, "log_changed");
    let detail = problem["detail"].as_str().unwrap();
    for part in ["shop.orders", &format!("partition {partition}"), "offset 5", "ends at 3", "tidefold replay"]
    {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert_eq!((answer.header("retry-after"), &problem["retryable"]), (Some("60"), &json!(true)));
}

#[tokio::test]
async fn a_store_that_is_away_keeps_nobody_from_writing() {
    let shop = Shop::open().await;
    shop.store.faults().fail_loads(1);
    let answer = shop.post(PAY, &[], r#"{"order_id":"o-1"}"#).await;
    assert_eq!(said(&answer), Pending);
}
