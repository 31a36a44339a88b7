//! The client's ledger against the answers of a fleet: what was lost, and what is there twice.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::ledger::{Expected, Ledger, Message};
use super::{Client, Node, verify};

/// Questions under way at once.
const ASKERS: usize = 8;

/// What became of everything that was acknowledged since the fleet's first message.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub acknowledged: u64,
    pub applied: u64,
    pub rejected: u64,
    pub duplicate: u64,
    pub dead: u64,
    /// Messages without their effect, orders that are missing or not as they have to be, and what rollups lack.
    pub lost: u64,
    /// Effects that had no right to be, orders that nobody placed, and what rollups have too much.
    pub doubled: u64,
    /// The first of those, in words.
    pub said: Vec<String>,
}

/// Where a fleet's answers come from.
pub struct Asked<'a> {
    pub client: &'a Client,
    pub ingest: &'a str,
    pub query: &'a str,
}

impl Tally {
    fn lost(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.lost += count;
        self.say(count, what);
    }

    fn doubled(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.doubled += count;
        self.say(count, what);
    }

    fn say(&mut self, count: u64, what: impl FnOnce() -> String) {
        if count > 0 && self.said.len() < 10 {
            self.said.push(what());
        }
    }

    /// Compares a sum with what it has to be.
    fn sum(&mut self, what: &str, found: i64, wanted: i64) {
        self.lost((wanted - found).max(0) as u64, || format!("{what}: {found} instead of {wanted}"));
        self.doubled((found - wanted).max(0) as u64, || format!("{what}: {found} instead of {wanted}"));
    }

    /// Asks for the outcome of every message that was acknowledged since the last time, and looks at every order and every
    /// rollup row. The fleet has to have folded everything.
    pub async fn count(&mut self, asked: &Asked<'_>, ledger: &Ledger, expected: &Expected) {
        (self.lost, self.doubled) = (0, 0);
        self.said.clear();
        self.acknowledged = ledger.acknowledged.load(Ordering::SeqCst);
        self.outcomes(asked, ledger).await;
        self.orders(asked, expected).await;
        for (sku, wanted) in &expected.units {
            let url = format!("{}/v1/storefront/units_by_sku/{sku}", asked.query);
            let answer = asked.client.get(&url, &[]).await;
            self.sum(&format!("units of {sku}"), answer.body["units"].as_i64().unwrap_or(0), *wanted);
        }
        for (currency, wanted) in &expected.paid {
            let range = format!("currency={currency}&day=2026-03-01T00:00:00Z");
            let rows = rows(asked, "revenue_by_minute", &range).await;
            let found = rows.iter().map(|row| row["revenue_cents"].as_i64().unwrap()).sum();
            self.sum(&format!("revenue in {currency}"), found, *wanted);
        }
    }

    async fn outcomes(&mut self, asked: &Asked<'_>, ledger: &Ledger) {
        let unasked = std::mem::take(&mut *ledger.unasked.lock().unwrap());
        let (mut asking, mut left) = (JoinSet::new(), unasked.into_iter());
        loop {
            while asking.len() < ASKERS
                && let Some((position, message)) = left.next()
            {
                let (client, ingest) = (asked.client.clone(), asked.ingest.to_owned());
                asking.spawn(async move { (outcome(&client, &ingest, &position).await, position, message) });
            }
            let Some(answered) = asking.join_next().await else { return };
            let (outcome, position, message) = answered.unwrap();
            self.judge(&outcome, &position, &message);
        }
    }

    /// A message that was sent again because nobody knew what had become of it is a duplicate of itself.
    fn judge(&mut self, outcome: &str, position: &str, message: &Message) {
        let said = || format!("{} at {position}: {outcome} instead of {}", message.id, message.fate);
        match (outcome, message.fate) {
            ("applied", "applied") => self.applied += 1,
            ("rejected", "rejected") => self.rejected += 1,
            ("duplicate", _) => self.duplicate += 1,
            ("dead", _) => {
                self.dead += 1;
                self.lost(1, said);
            }
            ("applied", _) => self.doubled(1, said),
            _ => self.lost(1, said),
        }
    }

    async fn orders(&mut self, asked: &Asked<'_>, expected: &Expected) {
        let mut found = BTreeMap::new();
        let customers: std::collections::BTreeSet<_> = expected.orders.keys().map(|key| &key.0).collect();
        for customer in customers {
            for row in rows(asked, "orders_by_customer", &format!("customer_id={customer}")).await {
                let key = (customer.clone(), row["order_id"].as_str().unwrap().to_owned());
                if !expected.orders.contains_key(&key) || found.insert(key.clone(), row).is_some() {
                    self.doubled(1, || format!("order {key:?}"));
                }
            }
        }
        for (key, order) in &expected.orders {
            let is = found
                .get(key)
                .is_some_and(|row| row["status"] == order.status && row["total_cents"] == order.total_cents);
            self.lost(u64::from(!is), || {
                format!("order {key:?} is {:?} instead of {order:?}", found.get(key))
            });
        }
    }

    /// `verify` is clean, and counts as many orders as were placed.
    pub fn verified(&self, node: &Node, expected: &Expected) {
        let report = verify(node, "storefront");
        let tables = report["tables"].as_array().unwrap();
        let rows = &tables.iter().find(|table| table["table"] == "orders").unwrap()["rows"];
        assert_eq!(*rows, expected.orders.len());
    }

    /// Prints a line of the ledger, and fails if something is lost or there twice.
    pub fn report(&self, fault: &str) {
        let line = format!(
            "{fault:<66} {:>12} {:>8} {:>8} {:>9} {:>5} {:>6} {:>7}",
            self.acknowledged,
            self.applied,
            self.rejected,
            self.duplicate,
            self.dead,
            self.lost,
            self.doubled
        );
        println!("{line}");
        if let Some(path) = std::env::var_os("TIDEFOLD_CHAOS_LEDGER") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            writeln!(file.unwrap(), "{line}").unwrap();
        }
        assert!(self.lost == 0 && self.doubled == 0, "{fault}: {:#?}", self.said);
    }
}

async fn outcome(client: &Client, ingest: &str, position: &str) -> String {
    loop {
        let answer = client.get(&format!("{ingest}/v1/storefront/outcomes/{position}"), &[]).await;
        match answer.status {
            200 => return answer.body["outcome"].as_str().unwrap().to_owned(),
            // It may not have heard of the log's new end, or of the store's return.
            404 | 503 => tokio::task::yield_now().await,
            _ => panic!("{position}: {answer:?}"),
        }
    }
}

/// All rows of a range, page by page.
async fn rows(asked: &Asked<'_>, table: &str, range: &str) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let url = format!("{}/v1/storefront/{table}?{range}&limit=1000{cursor}", asked.query);
        let answer = asked.client.get(&url, &[]).await;
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        rows.extend(answer.body["items"].as_array().unwrap().iter().cloned());
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
