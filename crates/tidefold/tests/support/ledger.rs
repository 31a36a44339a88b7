//! What clients send, what was acknowledged, and what the tables have to say in the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Client, Draw};

/// A message and its id; sent with that id until it is acknowledged.
#[derive(Clone)]
pub struct Message {
    pub id: String,
    pub message_type: &'static str,
    pub data: Value,
}

/// What the clients know: orders whose messages are to be sent, in their order, and how many were acknowledged.
#[derive(Default)]
pub struct Ledger {
    pub queue: Mutex<VecDeque<VecDeque<Message>>>,
    pub acknowledged: AtomicU64,
    pub moved: Notify,
    /// The highest position acknowledged, of each partition.
    pub positions: Mutex<BTreeMap<String, u64>>,
}

/// What the tables have to say in the end.
#[derive(Default)]
pub struct Expected {
    pub units: BTreeMap<String, i64>,
    pub paid: BTreeMap<String, i64>,
    pub orders: u64,
}

/// An order placed, mostly paid, and its payment sent twice now and then.
pub fn order(draw: &mut Draw, number: u64, expected: &mut Expected) -> VecDeque<Message> {
    let order_id = format!("o-{number}");
    let total = draw.between(1, 10_000) as i64;
    let currency = ["EUR", "GBP"][draw.between(0, 2) as usize];
    let mut items = Vec::new();
    for _ in 0..draw.between(1, 4) {
        let (sku, qty) = (format!("sku-{}", draw.between(0, 20)), draw.between(1, 5) as i64);
        *expected.units.entry(sku.clone()).or_default() += qty;
        items.push(json!({ "sku": sku, "qty": qty, "price_cents": 100 }));
    }
    expected.orders += 1;
    let data = json!({ "order_id": order_id, "customer_id": format!("c-{}", number % 50), "currency": currency,
                       "total_cents": total, "items": items });
    let place = Message { id: format!("place-{number}"), message_type: "PlaceOrder", data };
    let mut messages = VecDeque::from([place]);
    if draw.between(0, 4) > 0 {
        *expected.paid.entry(currency.to_owned()).or_default() += total;
        let pay = Message {
            id: format!("pay-{number}"),
            message_type: "PayOrder",
            data: json!({ "order_id": order_id }),
        };
        messages.push_back(pay.clone());
        if draw.between(0, 3) == 0 {
            messages.push_back(pay);
        }
    }
    messages
}

/// Sends until the node is gone; what was not acknowledged goes back to the front of the queue.
pub async fn client(ledger: Arc<Ledger>, client: Client, url: String) {
    loop {
        let Some(mut messages) = ledger.queue.lock().unwrap().pop_front() else { return };
        while let Some(message) = messages.front() {
            let address = format!("{url}/v1/storefront/{}", message.message_type);
            let headers = [("idempotency-key", message.id.as_str()), ("ce-time", "2026-03-01T12:00:00Z")];
            match client.post(&address, &headers, &message.data).await {
                Ok(answer) if answer.status == 202 => {
                    messages.pop_front();
                    ledger.acknowledged.fetch_add(1, Ordering::SeqCst);
                    ledger.moved.notify_waiters();
                }
                Ok(answer) if answer.status >= 500 => {}
                Ok(answer) => panic!("{} {}: {answer:?}", message.message_type, message.id),
                Err(_) => {
                    ledger.queue.lock().unwrap().push_front(messages);
                    return;
                }
            }
        }
    }
}

/// Waits until so many messages are acknowledged, or none is left.
pub async fn acknowledged(ledger: &Ledger, wanted: u64) {
    loop {
        let moved = ledger.moved.notified();
        let done =
            ledger.acknowledged.load(Ordering::SeqCst) >= wanted || ledger.queue.lock().unwrap().is_empty();
        if done {
            return;
        }
        moved.await;
    }
}

impl Ledger {
    fn saw(&self, position: &str) {
        let (partition, offset) = position.rsplit_once(':').unwrap();
        let offset: u64 = offset.parse().unwrap();
        let mut positions = self.positions.lock().unwrap();
        let highest = positions.entry(partition.to_owned()).or_default();
        *highest = offset.max(*highest);
    }

    /// What `Tidefold-Min-Position` has to say to see everything acknowledged.
    pub fn min_position(&self) -> String {
        let positions = self.positions.lock().unwrap();
        positions
            .iter()
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// Sends to whichever ingest answers, trying again with the same id, until nothing is left or `stop` is set.
pub async fn fleet_client(ledger: Arc<Ledger>, client: Client, urls: Vec<String>, stop: Arc<AtomicBool>) {
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        let Some(mut messages) = ledger.queue.lock().unwrap().pop_front() else { return };
        while let Some(message) = messages.front() {
            if stop.load(Ordering::SeqCst) {
                ledger.queue.lock().unwrap().push_front(messages);
                return;
            }
            let address = format!("{}/v1/storefront/{}", urls[turn % urls.len()], message.message_type);
            let headers = [("idempotency-key", message.id.as_str()), ("ce-time", "2026-03-01T12:00:00Z")];
            match client.post(&address, &headers, &message.data).await {
                Ok(answer) if answer.status == 202 => {
                    messages.pop_front();
                    ledger.saw(answer.body["position"].as_str().unwrap());
                    ledger.acknowledged.fetch_add(1, Ordering::SeqCst);
                    ledger.moved.notify_waiters();
                }
                Ok(answer) if answer.status >= 500 => turn += 1,
                Ok(answer) => panic!("{} {}: {answer:?}", message.message_type, message.id),
                Err(_) => turn += 1,
            }
        }
    }
}
