//! A small app with a rich entity, its messages as JSON, and the batches they make.

#![allow(dead_code)]

use std::sync::Arc;

use proptest::prelude::*;
use tidefold_app::{App, SourceFile};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot, whole::WholeFold};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, SchemaId, frame, partition_of};

pub mod machine;

const APP: &str = r#"
app = "lab"

[topics.things]
key = ["id"]
partitions = PARTITIONS
commands = ["Put", "Make", "Add", "Remove", "Share"]
events = ["Note"]

[entities.things]
topic = "things"
max_state_bytes = 600
[entities.things.columns]
kind = "string"
region = "string?"
amount = "long"
price = "decimal(12,2)?"
score = "int?"
flag = "boolean?"
tags = "array<Tag>"
at = "timestamp-millis"
seen = "timestamp-micros?"

[entities.things.on.Put]
when = "any"
set = """kind = msg.kind, region = msg.region, amount = msg.amount, price = msg.price, score = msg.score,
         flag = msg.flag, tags = msg.tags, at = msg.at, seen = event_time()"""

[entities.things.on.Make]
when = "absent"
set = "kind = msg.kind, amount = msg.amount, tags = msg.tags, at = msg.at"

[entities.things.on.Add]
let.after = "state.amount + msg.by"
require.too_small = "after >= 0"
require.too_large = "after <= 90"
set = "amount = after, score = nullif(state.score, 3)"

[entities.things.on.Share]
let.share = "state.amount / msg.parts"
require.no_parts = "msg.parts <> 0"
set = "amount = share, region = CASE WHEN msg.parts = 7 THEN NULL ELSE state.region END, kind = msg.kind"

[entities.things.on.Remove]
delete = true

[entities.things.on.Note]
set = "score = coalesce(state.score, 0) + 1, seen = event_time()"
"#;

const THING: &str = r#"{"name": "kind", "type": "string"}, {"name": "amount", "type": "long"},
    {"name": "tags", "type": {"type": "array", "items": "Tag"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}"#;

const MORE: &str = r#"{"name": "region", "type": ["null", "string"], "default": null},
    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}], "default": null},
    {"name": "score", "type": ["null", "int"], "default": null},
    {"name": "flag", "type": ["null", "boolean"], "default": null}"#;

const TAG: &str = r#"{"type": "record", "name": "Tag", "fields": [{"name": "name", "type": "string"},
    {"name": "qty", "type": "int"}, {"name": "note", "type": ["null", "string"], "default": null}]}"#;

/// Views that most tests work with: one of each kind.
pub const VIEWS: &str = r#"
[views.by_kind]
sql = "SELECT kind, at, id, amount, region FROM things WHERE amount > 5"
partition_key = ["kind"]
clustering = ["at DESC", "id"]

[views.by_tag]
sql = "SELECT tag.name AS name, id, n, tag.qty AS qty FROM things, UNNEST(tags) WITH ORDINALITY AS t(tag, n)"
partition_key = ["name"]
clustering = ["id", "n"]

[views.totals]
sql = """SELECT kind, count(*) AS things, sum(amount) AS amount, avg(score) AS score, sum(price) AS price,
         count(region) FILTER (WHERE flag) AS regions FROM things GROUP BY 1"""
partition_key = ["kind"]

[views.tags]
sql = "SELECT tag.name AS name, sum(tag.qty) AS qty, count(tag.note) AS notes FROM things, UNNEST(tags) AS tag GROUP BY 1"
partition_key = ["name"]
"#;

/// The app, and what writes its messages.
pub struct Lab {
    pub app: Arc<App>,
    encoders: Vec<JsonEncoder>,
}

/// A message and its headers.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub name: &'static str,
    pub key: String,
    pub json: String,
    pub id: Option<String>,
    pub if_match: Option<String>,
    pub time: Option<String>,
    /// Replaces the value altogether.
    pub raw: Option<Vec<u8>>,
}

// === impl Lab ===

impl Lab {
    pub fn new(views: &str) -> Lab {
        Lab::with_partitions(views, 1)
    }

    pub fn with_partitions(views: &str, partitions: u32) -> Lab {
        let record = |name: &str, fields: &str| SourceFile {
            path: format!("{name}.avsc"),
            text: format!(
                r#"{{"type": "record", "name": "{name}", "fields": [{{"name": "id", "type": "string"}}{fields}]}}"#
            ),
        };
        let files = vec![
            SourceFile {
                path: "app.toml".into(),
                text: APP.replace("PARTITIONS", &partitions.to_string()) + views,
            },
            SourceFile { path: "Tag.avsc".into(), text: TAG.into() },
            record("Put", &format!(", {THING}, {MORE}")),
            record("Make", &format!(", {THING}")),
            record("Add", r#", {"name": "by", "type": "long"}"#),
            record(
                "Share",
                r#", {"name": "parts", "type": "long"}, {"name": "kind", "type": ["null", "string"], "default": null}"#,
            ),
            record("Remove", ""),
            record("Note", ""),
        ];
        let app = match tidefold_app::load(files) {
            Ok(app) => Arc::new(app),
            Err(mistakes) => panic!("{mistakes}"),
        };
        let encoders = app.projections[0].topic.messages.iter().map(|message| {
            JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), JsonLimits::default())
        });
        Lab { encoders: encoders.collect(), app }
    }

    pub fn fate(&self, id: SchemaId) -> SchemaFate {
        match self.app.projections[0].topic.messages.get(id.0 as usize) {
            Some(message) => SchemaFate::Registered(message.schema_json.as_str().into()),
            None => SchemaFate::Refused,
        }
    }

    /// The message's schema id, framed datum and key text.
    pub fn encode(&self, message: &Message) -> (Vec<u8>, Vec<u8>) {
        let messages = &self.app.projections[0].topic.messages;
        let at = messages.iter().position(|found| found.name == message.name).unwrap();
        let (mut value, mut key) = (Vec::new(), Vec::new());
        frame(SchemaId(at as u32), &mut value);
        let encoded = self.encoders[at].encode(message.json.as_bytes(), &mut value, &mut key);
        assert!(encoded.is_ok(), "{encoded:?} of {}", message.json);
        (value, key)
    }

    pub fn push(&self, message: &Message, batch: &mut BatchBuilder) {
        let (value, key) = match &message.raw {
            Some(raw) => (raw.clone(), message.key.clone().into_bytes()),
            None => self.encode(message),
        };
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeType, message.name.as_bytes());
        let named =
            [(Known::CeId, &message.id), (Known::IfMatch, &message.if_match), (Known::CeTime, &message.time)];
        for (name, header) in named {
            header.iter().for_each(|text| headers.push(name, text.as_bytes()));
        }
        batch.push(Some(&key), Some(&value), headers.as_headers());
    }

    /// The messages as one batch, the first at `first`.
    pub fn batch(&self, messages: &[Message], partition: u32, first: u64) -> RecordBatch {
        let mut batch = BatchBuilder::new();
        messages.iter().for_each(|message| self.push(message, &mut batch));
        batch.build(Partition(partition), Offset(first))
    }

    /// Folds the messages of one partition in memory.
    pub fn whole(&self, messages: &[Message], partition: u32, settings: FoldSettings) -> WholeFold {
        let mut whole = WholeFold::new(Arc::clone(&self.app.projections[0]), Partition(partition), settings);
        whole.fold(&self.batch(messages, partition, 0), None, |id| self.fate(id)).unwrap();
        whole
    }

    /// The messages of each partition.
    pub fn split(&self, messages: &[Message]) -> Vec<Vec<Message>> {
        let partitions = self.app.projections[0].topic.partitions;
        let mut split = vec![Vec::new(); partitions as usize];
        for message in messages {
            split[partition_of(message.key.as_bytes(), partitions).0 as usize].push(message.clone());
        }
        split
    }

    pub fn tables(&self) -> Vec<TableSlot> {
        let views = (0..self.app.projections[0].views.len()).map(TableSlot::View);
        [TableSlot::Verdicts, TableSlot::Entity].into_iter().chain(views).collect()
    }
}

// === messages ===

pub fn message(name: &'static str, thing: &str, rest: &str) -> Message {
    let json = format!(r#"{{"id":"{thing}"{rest}}}"#);
    Message { name, key: thing.to_owned(), json, ..Message::default() }
}

fn nullable(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".into())
}

fn tags() -> impl Strategy<Value = String> {
    let tag = ("[xyz]", 0..9i32, prop::option::of(Just(r#""n""#.to_owned())));
    prop::collection::vec(tag, 0..4).prop_map(|tags| {
        let tags = tags
            .into_iter()
            .map(|(name, qty, note)| format!(r#"{{"name":"{name}","qty":{qty},"note":{}}}"#, nullable(note)));
        format!("[{}]", tags.collect::<Vec<_>>().join(","))
    })
}

fn thing() -> impl Strategy<Value = String> {
    let at = (0..3u32, 0..24u32, 0..60u32)
        .prop_map(|(d, h, m)| format!("2026-02-{:02}T{h:02}:{m:02}:07.5Z", d + 26));
    ("a|ab|b|cc", 0..80i64, tags(), at).prop_map(|(kind, amount, tags, at)| {
        format!(r#","kind":"{kind}","amount":{amount},"tags":{tags},"at":"{at}""#)
    })
}

fn more() -> impl Strategy<Value = String> {
    let region = prop::option::of("north|south|nowhere");
    let price = prop::option::of((0..20u32, 0..100u32));
    (region, price, prop::option::of(-1..6i32), prop::option::of(any::<bool>())).prop_map(
        |(region, price, score, flag)| {
            format!(
                r#","region":{},"price":{},"score":{},"flag":{}"#,
                nullable(region.map(|text| format!("\"{text}\""))),
                nullable(price.map(|(whole, cents)| format!("\"{whole}.{cents:02}\""))),
                nullable(score.map(|score| score.to_string())),
                nullable(flag.map(|flag| flag.to_string())),
            )
        },
    )
}

/// One message to one of six things; half of them with an id out of few, so that ids come back.
pub fn any_message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        5 => (thing(), more()).prop_map(|(thing, more)| ("Put", thing + &more)),
        2 => thing().prop_map(|thing| ("Make", thing)),
        3 => (-40..40i64).prop_map(|by| ("Add", format!(r#","by":{by}"#))),
        2 => (prop_oneof![Just(0i64), Just(2), Just(7)], prop::option::of(Just(r#""ab""#.to_owned())))
            .prop_map(|(parts, kind)| ("Share", format!(r#","parts":{parts},"kind":{}"#, nullable(kind)))),
        2 => Just(("Remove", String::new())),
        2 => Just(("Note", String::new())),
    ];
    let id = prop::option::of((0..30u32).prop_map(|id| format!("m-{id}")));
    let time = prop::option::of((0..60u32).prop_map(|s| format!("2026-03-01T00:00:{s:02}Z")));
    let version = prop::option::weighted(0.05, (0..3u32).prop_map(|version| version.to_string()));
    let damage = prop::option::weighted(0.04, 0..3u32);
    ("[p-u]", body, id, time, version, damage).prop_map(|(thing, (name, rest), id, time, version, damage)| {
        let mut made = Message { id, time, if_match: version, ..message(name, &thing, &rest) };
        match damage {
            Some(0) => made.raw = Some(vec![0, 0, 0, 0, 2, 1]),
            Some(1) => made.raw = Some(vec![0, 0, 0, 9, 9]),
            Some(_) => made.time = Some("yesterday".into()),
            None => {}
        }
        made
    })
}

pub fn history(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Message>> {
    prop::collection::vec(any_message(), len)
}
