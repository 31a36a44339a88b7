//! What the tests of the projector and of the coordinator share: the storefront app, its messages, a log full of them, a
//! store that is driven step by step, and the same log folded in one piece.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidefold_app::model::Topic as AppTopic;
use tidefold_app::{App, SourceFile};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_fold::{
    Changes, Effect, FoldSettings, Folder, Given, Publication, RowCache, SchemaFate, TableRows, TableSlot,
    checkpoint_after,
};
use tidefold_log::memory::MemoryLog;
use tidefold_log::{Log, ReadLimit, TopicSpec};
use tidefold_record::headers::Known;
use tidefold_record::{
    BatchBuilder, HeadersBuilder, Offset, Partition, RecordBatch, SchemaId, TopicName, frame, partition_of,
};
use tidefold_store::memory::{KeptRow, MemoryStore};
use tidefold_store::{Store, Table};
use tidefold_table::{Checkpoint, RowWrite, Stamp, TableId};

pub mod stepped;

/// The place of the topic that is folded: `orders` of storefront, which has an entity, or `usage` of metering, which has
/// events and rollups only.
pub const TOPIC: usize = 0;

/// A schema id that nobody registered.
pub const STRANGE: SchemaId = SchemaId(9_999);

/// The storefront app, with as many partitions as the test wants.
pub fn storefront(partitions: u32) -> Arc<App> {
    Arc::new(tidefold_app::load(app_files("storefront", partitions)).expect("the storefront app loads"))
}

/// The metering app, with as many partitions as the test wants.
pub fn metering(partitions: u32) -> Arc<App> {
    Arc::new(tidefold_app::load(app_files("metering", partitions)).expect("the metering app loads"))
}

pub fn app_files(app: &str, partitions: u32) -> Vec<SourceFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(app);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            files.push(SourceFile { path: name, text: set_partitions(&text, partitions) });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn set_partitions(text: &str, partitions: u32) -> String {
    let line = |line: &str| match line.starts_with("partitions = ") {
        true => format!("partitions = {partitions}"),
        false => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The id under which a message's schema is registered, the same that our own id authority gives.
pub fn schema_ids(app: &App) -> BTreeMap<String, SchemaId> {
    let messages = app.messages();
    messages.enumerate().map(|(i, message)| (message.name.clone(), SchemaId(i as u32 + 1))).collect()
}

/// What control would say of a schema id.
pub fn fate(app: &App, id: SchemaId) -> SchemaFate {
    let ids = schema_ids(app);
    let messages = app.messages();
    let schema = messages.filter(|m| ids[&m.name] == id).map(|m| m.schema_json.clone()).next();
    schema.map_or(SchemaFate::Refused, |schema| SchemaFate::Registered(schema.into()))
}

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// A publisher of storefront messages, good and bad.
pub struct Shop {
    pub app: Arc<App>,
    pub log: MemoryLog,
    pub topic: TopicName,
    pub partitions: u32,
    pub orders: u64,
    ids: BTreeMap<String, SchemaId>,
    encoders: BTreeMap<String, JsonEncoder>,
    dice: Dice,
    sent: Vec<(Vec<u8>, Vec<u8>, String, String)>,
}

impl Shop {
    pub async fn open(app: Arc<App>, log: MemoryLog, seed: u64) -> Shop {
        let orders: &AppTopic = &app.projections[TOPIC].topic;
        let topic = app.projections[TOPIC].log_topic();
        let partitions = orders.partitions;
        log.open(&TopicSpec { name: topic.clone(), partitions, create: true }).await.unwrap();
        let limits = JsonLimits { depth: 32, violations: 10 };
        let encoder = |m: &tidefold_app::model::Message| {
            (m.name.clone(), JsonEncoder::new(Arc::clone(&m.record), m.key.clone(), limits))
        };
        let encoders = orders.messages.iter().map(encoder).collect();
        let ids = schema_ids(&app);
        let dice = Dice::new(seed);
        Shop { app, log, topic, partitions, orders: 12, ids, encoders, dice, sent: Vec::new() }
    }

    /// Appends some random messages: orders placed, paid, shipped, cancelled, some refused, some sent twice, some that
    /// nobody can read.
    pub async fn trade(&mut self, count: usize) {
        for _ in 0..count {
            if self.app.name == "metering" {
                self.meter().await;
                continue;
            }
            let order = format!("o-{}", self.dice.roll(self.orders));
            let id = format!("m-{}", self.sent.len());
            match self.dice.roll(20) {
                0..=7 => self.send("PlaceOrder", &id, &self.order(&order)).await,
                8..=11 => self.send("PayOrder", &id, &format!(r#"{{"order_id":"{order}"}}"#)).await,
                12..=13 => self.send("ShipOrder", &id, &format!(r#"{{"order_id":"{order}"}}"#)).await,
                14..=16 => {
                    let json = format!(r#"{{"order_id":"{order}","reason":"late"}}"#);
                    self.send("CancelOrder", &id, &json).await;
                }
                17 if !self.sent.is_empty() => {
                    let again = self.dice.roll(self.sent.len() as u64) as usize;
                    let (key, value, id, ty) = self.sent[again].clone();
                    self.append(&key, &value, &id, &ty).await;
                }
                18 => self.append(order.as_bytes(), b"\0\0\0\0\x01\xff", &id, "PlaceOrder").await,
                _ => {
                    let mut value = Vec::new();
                    frame(STRANGE, &mut value);
                    self.append(order.as_bytes(), &value, &id, "PlaceOrder").await;
                }
            }
        }
    }

    /// Reports some usage, some of it twice.
    async fn meter(&mut self) {
        let mut dice = self.dice.clone();
        let (account, day) = (self.dice.roll(4), 1 + self.dice.roll(3));
        if self.dice.roll(6) == 0 && !self.sent.is_empty() {
            let again = self.dice.roll(self.sent.len() as u64) as usize;
            let (key, value, id, ty) = self.sent[again].clone();
            return self.append(&key, &value, &id, &ty).await;
        }
        let resource = ["compute", "storage", "egress"][dice.roll(3) as usize];
        let (units, ip, failed) = (dice.roll(1_000), dice.roll(20), dice.roll(5) == 0);
        let json = format!(
            r#"{{"account_id":"a-{account}","resource":"{resource}","units":{units},"recorded_at":"2026-01-0{day}T12:00:00Z","caller_ip":"10.0.0.{ip}","failed":{failed}}}"#
        );
        self.send("UsageRecorded", &format!("u-{}", self.sent.len()), &json).await;
    }

    fn order(&self, order: &str) -> String {
        let mut dice = Dice::new(self.sent.len() as u64);
        let sku = |n: u64| format!(r#"{{"sku":"s-{}","qty":{},"price_cents":{}}}"#, n % 5, 1 + n % 3, n);
        let items: Vec<_> = (0..dice.roll(4)).map(|_| sku(dice.clone().roll(100))).collect();
        let (customer, total) = (dice.roll(4), dice.roll(10_000));
        format!(
            r#"{{"order_id":"{order}","customer_id":"c-{customer}","currency":"EUR","total_cents":{total},"items":[{}]}}"#,
            items.join(",")
        )
    }

    /// Places an order that did not exist before.
    pub async fn place(&mut self, order: &str) {
        let json = self.order(order);
        self.send("PlaceOrder", &format!("place-{order}"), &json).await;
    }

    pub async fn send(&mut self, message: &str, id: &str, json: &str) {
        let mut value = Vec::new();
        frame(self.ids[message], &mut value);
        let (mut datum, mut key) = (Vec::new(), Vec::new());
        self.encoders[message].encode(json.as_bytes(), &mut datum, &mut key).expect("a valid message");
        value.extend_from_slice(&datum);
        self.append(&key, &value, id, message).await;
        self.sent.push((key, value, id.to_owned(), message.to_owned()));
    }

    pub async fn append(&mut self, key: &[u8], value: &[u8], id: &str, message: &str) {
        self.append_from("/shop", key, value, id, message).await;
    }

    /// Appends what another publisher sent.
    pub async fn append_from(&mut self, source: &str, key: &[u8], value: &[u8], id: &str, message: &str) {
        let minute = self.sent.len() % 60;
        let time = format!("2026-01-31T12:{minute:02}:00Z");
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeId, id.as_bytes());
        headers.push(Known::CeSource, source.as_bytes());
        headers.push(Known::CeType, message.as_bytes());
        headers.push(Known::CeTime, time.as_bytes());
        headers.push(Known::AppendTime, time.as_bytes());
        let mut batch = BatchBuilder::new();
        batch.push(Some(key), Some(value), headers.as_headers());
        let partition = partition_of(key, self.partitions);
        self.log.append(&self.topic, partition, batch).await.unwrap();
    }

    /// Where each partition ends.
    pub async fn ends(&self) -> Vec<Offset> {
        let mut ends = Vec::new();
        for partition in (0..self.partitions).map(Partition) {
            ends.push(self.log.bounds(&self.topic, partition).await.unwrap().end);
        }
        ends
    }

    /// Every record of a partition.
    pub async fn records(&self, partition: Partition) -> RecordBatch {
        let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        self.log.read(&self.topic, partition, Offset::ZERO, limit).await.unwrap()
    }

    /// Every row of a generation, deletes too, as one fold of the whole log gives them.
    pub async fn folded(&self, generation: u32, window: u64) -> Rows {
        self.folded_by(&self.app, generation, window).await
    }

    /// The same by another definition.
    pub async fn folded_by(&self, app: &Arc<App>, generation: u32, window: u64) -> Rows {
        let mut rows = Rows::new();
        for partition in (0..self.partitions).map(Partition) {
            let batch = self.records(partition).await;
            fold_whole(app, generation, partition, window, &batch, &mut rows);
        }
        rows
    }

    /// What the feed says of each partition, as one fold of the whole log gives it.
    pub async fn fed(&self, window: u64) -> BTreeMap<Partition, Vec<Publication>> {
        let mut feed = BTreeMap::new();
        for partition in (0..self.partitions).map(Partition) {
            let batch = self.records(partition).await;
            let entries = fold_whole(&self.app, 0, partition, window, &batch, &mut Rows::new());
            feed.insert(partition, entries);
        }
        feed
    }
}

/// Rows by table and key, with their stamps; deleted ones too.
pub type Rows = BTreeMap<TableId, BTreeMap<Bytes, KeptRow>>;

/// Folds a partition's records in one piece, in memory; what the feed says of them.
fn fold_whole(
    app: &Arc<App>,
    generation: u32,
    partition: Partition,
    window: u64,
    batch: &RecordBatch,
    rows: &mut Rows,
) -> Vec<Publication> {
    let tables = app.projections[TOPIC].tables(generation);
    let mut folder = Folder::new(Arc::clone(&app.projections[TOPIC]), partition, FoldSettings { window });
    for id in folder.unknown_schemas(batch) {
        folder.learn(id, &fate(app, id));
    }
    let cache = || RowCache::new(usize::MAX, true);
    let (mut entities, mut changes) = (cache(), Changes::default());
    let mut rollups: Vec<_> = tables.views.iter().map(|_| cache()).collect();
    if tables.entity.is_some() {
        let missing = entities.missing(batch.iter().filter_map(|record| record.key));
        assert_eq!(missing, Vec::<Bytes>::new(), "a complete cache misses nothing");
    }
    changes.keep_feed(true);
    folder.fold(batch, Given::default(), &mut entities, &mut changes).unwrap();
    for (view, rollup) in rollups.iter_mut().enumerate() {
        assert_eq!(rollup.missing(changes.rollup_keys(view)), Vec::<Bytes>::new());
    }
    folder.apply_rollups(&mut changes, &mut rollups).unwrap();
    let next = checkpoint_after(&Checkpoint::START, batch);
    let effects = folder.effects(&mut changes, &mut entities, &mut rollups, next);
    let mut feed = Vec::new();
    let effects = effects.into_iter().filter_map(|effect| match effect {
        Effect::Publish(entries) => {
            feed = entries;
            None
        }
        effect => Some(effect.into_rows()),
    });
    for TableRows { table, rows: writes } in effects.flatten() {
        let table = match table {
            TableSlot::Verdicts => &tables.verdicts,
            TableSlot::Entity => tables.entity.as_ref().unwrap(),
            TableSlot::View(view) => &tables.views[view],
        };
        let rows = rows.entry(table.id.clone()).or_default();
        for RowWrite { key, value, stamp } in writes {
            let kept: &mut (Stamp, Option<Bytes>) = rows.entry(key).or_insert((Stamp(0), None));
            if kept.0 < stamp {
                *kept = (stamp, value);
            }
        }
    }
    feed
}

/// Every row of a generation in the store, deletes too, checkpoints left out.
pub fn stored(app: &App, store: &MemoryStore, generation: u32) -> Rows {
    let tables = app.projections[TOPIC].tables(generation);
    let ids = tables.all().map(|table| table.id.clone()).filter(|id| *id != tables.checkpoints.id);
    ids.map(|id| (id.clone(), store.rows(&id))).filter(|(_, rows)| !rows.is_empty()).collect()
}

/// Says which rows differ, in words short enough to read.
pub fn differences(found: &Rows, expected: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    let tables: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    for table in tables {
        let none = BTreeMap::new();
        let (found, expected) = (found.get(table).unwrap_or(&none), expected.get(table).unwrap_or(&none));
        let keys: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        for key in keys.into_iter().filter(|key| found.get(*key) != expected.get(*key)) {
            lines.push(format!(
                "{table} {:?}\n  found    {:?}\n  expected {:?}",
                String::from_utf8_lossy(key),
                found.get(key),
                expected.get(key)
            ));
        }
    }
    lines
}

/// Opens a generation's tables.
pub async fn open_tables(app: &App, store: &dyn Store, generation: u32) {
    let tables = app.projections[TOPIC].tables(generation);
    let tables: Vec<_> =
        tables.all().map(|table| Table { id: table.id.clone(), layout: Arc::clone(&table.layout) }).collect();
    store.open(&tables).await.unwrap();
}

/// A schema source that knows the app's own messages and nothing else.
pub struct Schemas(pub Arc<App>);

impl Schemas {
    pub fn of(&self, id: SchemaId) -> BoxFuture<'static, SchemaFate> {
        let fate = fate(&self.0, id);
        Box::pin(std::future::ready(fate))
    }
}
