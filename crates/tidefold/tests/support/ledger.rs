//! What clients send, what was acknowledged, and what the tables have to say in the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Client, Draw};

/// A message and its id; sent with that id until it is acknowledged.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub message_type: &'static str,
    pub data: Value,
    /// What has to become of it: `applied`, `duplicate` or `rejected`.
    pub fate: &'static str,
}

/// What the clients know: orders whose messages are to be sent, in their order, and what was acknowledged.
#[derive(Default)]
pub struct Ledger {
    pub queue: Mutex<VecDeque<VecDeque<Message>>>,
    pub acknowledged: AtomicU64,
    pub moved: Notify,
    /// The highest position acknowledged, of each partition.
    positions: Mutex<BTreeMap<String, u64>>,
    /// Messages whose outcome nobody has asked for yet, and where they stand.
    pub unasked: Mutex<Vec<(String, Message)>>,
}

/// What the tables have to say in the end.
#[derive(Default)]
pub struct Expected {
    pub units: BTreeMap<String, i64>,
    pub paid: BTreeMap<String, i64>,
    /// Orders by customer and id.
    pub orders: BTreeMap<(String, String), Order>,
}

/// An order, as it has to stand in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub status: &'static str,
    pub total_cents: i64,
}

/// When everything happens, for the tables.
const AT: &str = "2026-03-01T12:00:00Z";

/// An order placed, mostly paid; now and then its payment is sent twice, and now and then another is refused.
pub fn order(draw: &mut Draw, number: u64, expected: &mut Expected) -> VecDeque<Message> {
    let (order_id, customer) = (format!("o-{number}"), format!("c-{}", number % 50));
    let total = draw.between(1, 10_000) as i64;
    let currency = ["EUR", "GBP"][draw.between(0, 2) as usize];
    let mut items = Vec::new();
    for _ in 0..draw.between(1, 4) {
        let (sku, qty) = (format!("sku-{}", draw.between(0, 20)), draw.between(1, 5) as i64);
        *expected.units.entry(sku.clone()).or_default() += qty;
        items.push(json!({ "sku": sku, "qty": qty, "price_cents": 100 }));
    }
    let data = json!({ "order_id": order_id, "customer_id": customer, "currency": currency,
                       "total_cents": total, "items": items });
    let place = Message { id: format!("place-{number}"), message_type: "PlaceOrder", data, fate: "applied" };
    let mut messages = VecDeque::from([place]);
    let is_paid = draw.between(0, 4) > 0;
    if is_paid {
        *expected.paid.entry(currency.to_owned()).or_default() += total;
        let pay = |id, fate| {
            let data = json!({ "order_id": order_id });
            Message { id, message_type: "PayOrder", data, fate }
        };
        messages.push_back(pay(format!("pay-{number}"), "applied"));
        if draw.between(0, 3) == 0 {
            messages.push_back(pay(format!("pay-{number}"), "duplicate"));
        }
        if draw.between(0, 8) == 0 {
            messages.push_back(pay(format!("again-{number}"), "rejected"));
        }
    }
    let status = if is_paid { "paid" } else { "placed" };
    expected.orders.insert((customer, order_id), Order { status, total_cents: total });
    messages
}

impl Ledger {
    fn saw(&self, position: &str, message: Message) {
        let (partition, offset) = position.rsplit_once(':').unwrap();
        let offset: u64 = offset.parse().unwrap();
        let mut positions = self.positions.lock().unwrap();
        let highest = positions.entry(partition.to_owned()).or_default();
        *highest = offset.max(*highest);
        drop(positions);
        self.unasked.lock().unwrap().push((position.to_owned(), message));
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// What `Tidefold-Min-Position` has to say to see everything acknowledged, partitions that stand aside.
    pub fn min_position(&self, standing: &[u32]) -> String {
        let positions = self.positions.lock().unwrap();
        let stands = |partition: &str| standing.iter().any(|number| partition == format!("orders:{number}"));
        let all = positions.iter().filter(|(partition, _)| !stands(partition));
        let all = all.map(|(partition, offset)| format!("{partition}:{offset}"));
        all.collect::<Vec<_>>().join(",")
    }

    /// Waits until so many messages are acknowledged, or none is left.
    pub async fn acknowledged(&self, wanted: u64) {
        loop {
            let moved = self.moved.notified();
            let done =
                self.acknowledged.load(Ordering::SeqCst) >= wanted || self.queue.lock().unwrap().is_empty();
            if done {
                return;
            }
            moved.await;
        }
    }
}

/// Sends to whichever node answers, trying again with the same id, until nothing is left or `stop` is set; what was not
/// acknowledged then goes back to the front of the queue.
pub async fn client(ledger: Arc<Ledger>, client: Client, urls: Vec<String>, stop: Arc<AtomicBool>) {
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        let Some(mut messages) = ledger.queue.lock().unwrap().pop_front() else { return };
        while let Some(message) = messages.front() {
            if stop.load(Ordering::SeqCst) {
                ledger.queue.lock().unwrap().push_front(messages);
                return;
            }
            let address = format!("{}/v1/storefront/{}", urls[turn % urls.len()], message.message_type);
            let headers = [("idempotency-key", message.id.as_str()), ("ce-time", AT)];
            match client.post(&address, &headers, &message.data).await {
                Ok(answer) if answer.status == 202 => {
                    let message = messages.pop_front().unwrap();
                    ledger.saw(answer.body["position"].as_str().unwrap(), message);
                }
                Ok(answer) if answer.status >= 500 => turn += 1,
                Ok(answer) => panic!("{} {}: {answer:?}", message.message_type, message.id),
                Err(_) => turn += 1,
            }
        }
    }
}
