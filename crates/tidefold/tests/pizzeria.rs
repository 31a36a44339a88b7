//! The demo's import, against figures computed here straight from the file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::backends::Backends;
use support::{Client, Node, root, tidefold, verify};

/// Cents and counts of the file: by type and name, by day, by hour, by type and size.
#[derive(Default)]
struct Figures {
    orders: u64,
    by_name: BTreeMap<(String, String), (i64, i64)>,
    by_day: BTreeMap<String, (i64, i64)>,
    by_hour: BTreeMap<String, (i64, i64)>,
    by_size: BTreeMap<(String, String), (i64, i64)>,
}

fn cents(price: &str) -> i64 {
    let (whole, rest) = price.split_once('.').unwrap_or((price, ""));
    whole.parse::<i64>().unwrap() * 100 + format!("{rest:0<2}").parse::<i64>().unwrap()
}

fn figures() -> Figures {
    let bytes = std::fs::read(root().join("schemas/pizzeria/orders.ndjson.zst")).unwrap();
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let mut figures = Figures::default();
    for line in text.lines() {
        let order: Value = serde_json::from_str(line).unwrap();
        let time = order["data"]["ordered_at"].as_str().unwrap();
        let (day, hour) = (time[..10].to_owned(), time[..13].to_owned());
        figures.orders += 1;
        for item in order["data"]["items"].as_array().unwrap() {
            let word = |name: &str| item[name].as_str().unwrap().to_owned();
            let price = cents(&word("price"));
            let add = |entry: &mut (i64, i64)| *entry = (entry.0 + 1, entry.1 + price);
            add(figures.by_name.entry((word("type"), word("name"))).or_default());
            add(figures.by_size.entry((word("type"), word("size"))).or_default());
            add(figures.by_day.entry(day.clone()).or_default());
            add(figures.by_hour.entry(hour.clone()).or_default());
        }
    }
    figures
}

async fn items(client: &Client, node: &Node, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{}/v1/pizzeria/{query}", node.http), &[]).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.body["items"].as_array().unwrap().clone()
}

/// Every hour of every day; how many there were.
async fn check_hours(client: &Client, node: &Node, expected: &Figures) -> usize {
    let mut hours = 0;
    for day in expected.by_day.keys() {
        for row in items(client, node, &format!("revenue_by_hour?day={day}T00:00:00")).await {
            let hour = row["hour"].as_str().unwrap();
            assert_eq!(&hour[..10], day, "{row}");
            let found = (row["pizzas"].as_i64().unwrap(), cents(row["revenue"].as_str().unwrap()));
            assert_eq!(found, expected.by_hour[&hour[..13]], "{row}");
            hours += 1;
        }
    }
    hours
}

fn import(node: &Node, folder: &Path, expected: i32) -> Value {
    let file = "schemas/pizzeria/orders.ndjson.zst";
    let ledger = folder.join("import-ledger").to_string_lossy().into_owned();
    let publish = ["publish", "pizzeria", file, "--ledger", &ledger, "--url", &node.http, "-o", "json", "-q"];
    let (code, out, err) = tidefold(&publish);
    assert_eq!(code, expected, "{err}");
    let (code, _, err) = tidefold(&["status", "--wait", "-q", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

on_every_log_and_store!(a_year_of_orders_adds_up_to_the_cent_and_a_second_import_changes_nothing);

async fn a_year_of_orders_adds_up_to_the_cent_and_a_second_import_changes_nothing(backends: &Backends) {
    let expected = figures();
    assert_eq!(expected.orders, 21_350);
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("pizzeria", folder.path(), &backends.flags());
    let client = Client::new();
    for (run, code) in [("first", 0), ("second", 6)] {
        assert_eq!(import(&node, folder.path(), code)["accepted"], expected.orders, "{run} import");
        let (mut names, mut sizes, mut days) = (0, 0, 0);
        for kind in ["chicken", "classic", "supreme", "veggie"] {
            for row in items(&client, &node, &format!("pizzas_by_name?type={kind}")).await {
                let (sold, revenue) =
                    expected.by_name[&(kind.to_owned(), row["name"].as_str().unwrap().to_owned())];
                assert_eq!(
                    (row["sold"].as_i64(), cents(row["revenue"].as_str().unwrap())),
                    (Some(sold), revenue),
                    "{row}"
                );
                names += 1;
            }
            for row in items(&client, &node, &format!("pizzas_by_size?type={kind}")).await {
                let (sold, revenue) =
                    expected.by_size[&(kind.to_owned(), row["size"].as_str().unwrap().to_owned())];
                let average = revenue as f64 / 100.0 / sold as f64;
                assert_eq!(row["sold"].as_i64(), Some(sold), "{row}");
                assert!(
                    (row["average_price"].as_f64().unwrap() - average).abs() < 1e-9,
                    "{row}, expected {average}"
                );
                sizes += 1;
            }
        }
        for month in 1..=12 {
            for row in
                items(&client, &node, &format!("revenue_by_day?month=2015-{month:02}-01T00:00:00")).await
            {
                let (pizzas, revenue) = expected.by_day[&row["day"].as_str().unwrap()[..10]];
                assert_eq!(
                    (row["pizzas"].as_i64(), cents(row["revenue"].as_str().unwrap())),
                    (Some(pizzas), revenue),
                    "{row}"
                );
                days += 1;
            }
        }
        assert_eq!(
            (names, sizes, days),
            (expected.by_name.len(), expected.by_size.len(), expected.by_day.len())
        );
        assert_eq!(check_hours(&client, &node, &expected).await, expected.by_hour.len(), "{run} import");
    }
    let order = client.get(&format!("{}/v1/pizzeria/orders/2015-000002", node.http), &[]).await;
    assert_eq!((order.status, order.body["items"].as_array().unwrap().len()), (200, 5));
    let listing = items(&client, &node, "orders_by_day?day=2015-01-01T00:00:00&limit=3").await;
    let ids: Vec<_> = listing.iter().map(|row| row["order_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["2015-000001", "2015-000002", "2015-000003"]);
    let status = client.get(&format!("{}/admin/v1/status", node.admin), &[]).await;
    let verdicts = &status.body["generations"][0]["verdicts"];
    assert_eq!(
        (&verdicts["applied"], &verdicts["duplicate"]),
        (&expected.orders.into(), &expected.orders.into())
    );
    verify(&node, "pizzeria");
}
