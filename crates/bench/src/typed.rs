//! What the fold is compared to: the storefront's orders, folded by a program that was written for them by hand. It knows the
//! messages' fields, keeps orders as a struct in a map, and cannot be changed without being compiled. It reads the same
//! records, drops what it has seen, judges, and makes the same rows of each batch: orders, the index, the rollup.
//!
//! What it needs to fold each message once, whatever crashes, it has: ids that mean the same in the next process, in a
//! window and in the rows; an offset in every row, at or before which nothing is folded again; rows as writes of the
//! store. What it leaves out of what the fold does: whether a key belongs to its partition, whether an id that comes again
//! has another payload, whether a type is the one that `ce_type` names, why a record is refused, and every bound of sizes.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_record::headers::Known;
use tidefold_record::{HeaderName, Offset, RecordBatch, RecordRef, unframe};
use tidefold_table::{RowWrite, Stamp};
use twox_hash::XxHash3_128;

/// Offsets that messages are remembered for.
const WINDOW: u64 = 100_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// The messages, by schema id.
const PLACE: u32 = 0;
const PAY: u32 = 1;
const SHIP: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Placed,
    Paid,
    Shipped,
}

struct Item {
    sku: String,
    qty: i64,
    price_cents: i64,
}

struct Order {
    key: Box<[u8]>,
    offset: u64,
    version: u64,
    ids: VecDeque<u128>,
    customer_id: String,
    currency: String,
    status: Status,
    total_cents: i64,
    items: Vec<Item>,
    placed_at: i64,
    paid_at: Option<i64>,
    touched: bool,
}

struct Group {
    /// What is at or behind it is not in the group yet.
    next: u64,
    orders: i64,
    revenue_cents: i64,
    touched: bool,
}

/// The fold: what it remembers, and the rows of the batch in hand.
#[derive(Default)]
pub(crate) struct TypedFold {
    /// What an id is a hash of.
    identity: Vec<u8>,
    seen: AHashSet<u128>,
    window: VecDeque<(u64, u128)>,
    places: AHashMap<Box<[u8]>, usize>,
    orders: Vec<Order>,
    groups: AHashMap<(String, i64), Group>,
    touched: Vec<usize>,
    touched_groups: Vec<(String, i64)>,
}

/// Rows of a batch, in one buffer until all are there.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Where each row's key and value end, and the record that touched it last.
    rows: Vec<(usize, usize, u64)>,
}

/// Reads an Avro datum.
struct Datum<'a>(&'a [u8]);

// === impl TypedFold ===

impl TypedFold {
    /// Folds a batch; how many records were applied, and the rows it comes to.
    pub(crate) fn fold(&mut self, batch: &RecordBatch) -> (u64, Vec<RowWrite>) {
        let applied = batch.iter().filter(|record| self.record(record).is_some()).count();
        (applied as u64, self.write())
    }

    fn record(&mut self, record: &RecordRef<'_>) -> Option<()> {
        let (mut id, mut source, mut time) = (None, None, None);
        for (name, value) in record.headers.iter() {
            match name {
                HeaderName::Known(Known::CeId) => id = Some(value),
                HeaderName::Known(Known::CeSource) => source = Some(value),
                HeaderName::Known(Known::CeTime) => time = Some(value),
                _ => {}
            }
        }
        let (key, offset) = (record.key?, record.offset.0);
        let id = self.identity(source.unwrap_or_default(), id?, key);
        while self.window.front().is_some_and(|(old, _)| offset - old > WINDOW) {
            self.window.pop_front().map(|(_, id)| self.seen.remove(&id));
        }
        if self.seen.contains(&id) {
            return None;
        }
        let (schema, value) = unframe(record.value?).ok()?;
        let mut datum = Datum(value);
        if datum.text()?.as_bytes() != key {
            return None;
        }
        let at = match (schema.0, self.places.get(key).copied()) {
            (PLACE, None) => {
                let order = Order::placed(key, &mut datum, parse_rfc3339_micros(time?)?)?;
                self.places.insert(key.into(), self.orders.len());
                self.orders.push(order);
                self.orders.len() - 1
            }
            (PAY | SHIP, Some(at)) => at,
            _ => return None,
        };
        let order = self.orders.get_mut(at)?;
        if (order.version > 0 && offset <= order.offset) || order.ids.contains(&id) {
            return None;
        }
        match (schema.0, order.status) {
            (PLACE, _) => {}
            (PAY, Status::Placed) => {
                let paid_at = parse_rfc3339_micros(time?)?;
                (order.status, order.paid_at) = (Status::Paid, Some(paid_at));
                let group = (order.currency.clone(), paid_at.div_euclid(MINUTE_MICROS));
                let new = Group { next: 0, orders: 0, revenue_cents: 0, touched: false };
                let found = self.groups.entry(group.clone()).or_insert(new);
                if offset >= found.next {
                    found.next = offset + 1;
                    found.orders += 1;
                    found.revenue_cents += order.total_cents;
                }
                if !std::mem::replace(&mut found.touched, true) {
                    self.touched_groups.push(group);
                }
            }
            (SHIP, Status::Paid) => order.status = Status::Shipped,
            _ => return None,
        }
        (order.offset, order.version) = (offset, order.version + 1);
        if order.ids.len() == 8 {
            order.ids.pop_front();
        }
        order.ids.push_back(id);
        if !std::mem::replace(&mut order.touched, true) {
            self.touched.push(at);
        }
        self.seen.insert(id);
        self.window.push_back((offset, id));
        Some(())
    }

    /// The same in every process.
    fn identity(&mut self, source: &[u8], id: &[u8], key: &[u8]) -> u128 {
        self.identity.clear();
        for part in [source, id] {
            self.identity.extend_from_slice(&(part.len() as u32).to_be_bytes());
            self.identity.extend_from_slice(part);
        }
        self.identity.extend_from_slice(key);
        XxHash3_128::oneshot(&self.identity)
    }

    /// The touched rows.
    fn write(&mut self) -> Vec<RowWrite> {
        let mut rows = Rows::default();
        for at in self.touched.drain(..) {
            let Some(order) = self.orders.get_mut(at) else { continue };
            order.touched = false;
            rows.put(order.offset, |key| key.extend_from_slice(&order.key), |value| order.write(value));
            let key = |key: &mut Vec<u8>| {
                text(key, &order.customer_id);
                key.extend_from_slice(&(!order.placed_at).to_be_bytes());
                key.extend_from_slice(&order.key);
            };
            rows.put(order.offset, key, |value| {
                value.extend_from_slice(&order.offset.to_be_bytes());
                value.push(order.status as u8);
                value.extend_from_slice(&order.total_cents.to_be_bytes());
            });
        }
        for key in self.touched_groups.drain(..) {
            let Some(group) = self.groups.get_mut(&key) else { continue };
            group.touched = false;
            let offset = group.next.saturating_sub(1);
            let write_key = |bytes: &mut Vec<u8>| {
                text(bytes, &key.0);
                bytes.extend_from_slice(&(!key.1).to_be_bytes());
            };
            rows.put(offset, write_key, |value| {
                value.extend_from_slice(&offset.to_be_bytes());
                value.extend_from_slice(&group.orders.to_be_bytes());
                value.extend_from_slice(&group.revenue_cents.to_be_bytes());
            });
        }
        rows.finish()
    }
}

// === impl Rows ===

impl Rows {
    fn put(&mut self, offset: u64, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        key(&mut self.bytes);
        let key_end = self.bytes.len();
        value(&mut self.bytes);
        self.rows.push((key_end, self.bytes.len(), offset));
    }

    fn finish(self) -> Vec<RowWrite> {
        let (bytes, mut start) = (Bytes::from(self.bytes), 0);
        let rows = self.rows.into_iter().map(|(key_end, end, offset)| {
            let key = bytes.slice(start..key_end);
            start = end;
            RowWrite { key, value: Some(bytes.slice(key_end..end)), stamp: Stamp::put(Offset(offset)) }
        });
        rows.collect()
    }
}

// === impl Order ===

impl Order {
    fn placed(key: &[u8], datum: &mut Datum<'_>, placed_at: i64) -> Option<Order> {
        let (customer_id, currency) = (datum.text()?.to_owned(), datum.text()?.to_owned());
        let (total_cents, mut items) = (datum.long()?, Vec::new());
        loop {
            let count = match datum.long()? {
                0 => break,
                count if count < 0 => {
                    datum.long()?;
                    count.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let sku = datum.text()?.to_owned();
                items.push(Item { sku, qty: datum.long()?, price_cents: datum.long()? });
            }
        }
        Some(Order {
            key: key.into(),
            offset: 0,
            version: 0,
            ids: VecDeque::with_capacity(8),
            customer_id,
            currency,
            status: Status::Placed,
            total_cents,
            items,
            placed_at,
            paid_at: None,
            touched: false,
        })
    }

    fn write(&self, rows: &mut Vec<u8>) {
        rows.extend_from_slice(&self.offset.to_be_bytes());
        rows.extend_from_slice(&self.version.to_be_bytes());
        rows.push(self.ids.len() as u8);
        self.ids.iter().for_each(|id| rows.extend_from_slice(&id.to_be_bytes()));
        text(rows, &self.customer_id);
        text(rows, &self.currency);
        rows.push(self.status as u8);
        rows.extend_from_slice(&self.total_cents.to_be_bytes());
        rows.extend_from_slice(&(self.items.len() as u32).to_be_bytes());
        for Item { sku, qty, price_cents } in &self.items {
            text(rows, sku);
            rows.extend_from_slice(&qty.to_be_bytes());
            rows.extend_from_slice(&price_cents.to_be_bytes());
        }
        rows.extend_from_slice(&self.placed_at.to_be_bytes());
        rows.push(u8::from(self.paid_at.is_some()));
        rows.extend_from_slice(&self.paid_at.unwrap_or_default().to_be_bytes());
    }
}

fn text(rows: &mut Vec<u8>, text: &str) {
    rows.extend_from_slice(&(text.len() as u32).to_be_bytes());
    rows.extend_from_slice(text.as_bytes());
}

// === impl Datum ===

impl<'a> Datum<'a> {
    fn long(&mut self) -> Option<i64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
            shift += 7;
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.long()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(bytes).ok()
    }
}
