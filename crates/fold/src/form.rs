//! What can be said of a record without its entity: whether it is a message of this topic and partition at all.

use std::sync::Arc;

use ahash::AHashMap;
use bumpalo::Bump;
use smallvec::SmallVec;
use tidefold_app::model::{MessageKind, Topic};
use tidefold_codec::decode::Plan;
use tidefold_codec::text::{parse_rfc3339_micros, write_key};
use tidefold_codec::{Datum, Type};
use tidefold_record::headers::Known;
use tidefold_record::{HeaderName, Headers, Partition, RecordRef, SchemaId, partition_of, unframe};
use tidefold_table::Verdict;
use tidefold_table::entity::Seen;
use tidefold_table::limits::RECORD_KEY_BYTES;

use crate::dedupe::{PayloadSeed, message_id};
use crate::given::SchemaFate;
use crate::transition::{Envelope, Message, Transition};

/// What the topic's schema ids stand for.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    known: AHashMap<SchemaId, Learned>,
}

#[derive(Debug)]
enum Learned {
    /// Messages of this place in the topic, read by the plan.
    Message(usize, PayloadSeed, Box<Plan>),
    /// Records with it are dead, for this reason.
    Dead(&'static str, Box<str>),
}

/// Ids that are kept in mind; anybody may send any.
const MOST_IDS: usize = 4_096;

/// Headers by name, the first of each.
#[derive(Clone, Copy, Debug, Default)]
struct Found<'a> {
    id: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    ce_type: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    append_time: Option<&'a [u8]>,
    caller: Option<&'a [u8]>,
    if_match: Option<&'a [u8]>,
}

/// What a record is read by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) partition: Partition,
    pub(crate) schemas: &'a Schemas,
    pub(crate) arena: &'a Bump,
}

/// Whether a row may be kept under a key.
pub(crate) fn is_row_key(key: &[u8]) -> bool {
    (1..=RECORD_KEY_BYTES).contains(&key.len())
}

/// The schema id of a record that is judged by its schema.
pub(crate) fn schema_of(record: &RecordRef<'_>) -> Option<SchemaId> {
    unframe(record.value?).ok().map(|(id, _)| id)
}

/// The message a record carries, or why it is dead; what was learned on the way is told to its transition. `key_text` is a
/// buffer.
pub(crate) fn read<'a>(
    by: Reading<'a>,
    record: &RecordRef<'a>,
    key_text: &mut Vec<u8>,
    transition: &mut Transition<'a>,
) -> Result<Message<'a>, Verdict> {
    let Reading { topic, partition, schemas, arena } = by;
    let found = Found::new(record.headers);
    let key = match record.key {
        None => return Err(Verdict::dead("no_key", "the record has no key")),
        Some([]) => return Err(Verdict::dead("no_key", "the record's key is empty")),
        Some(key) if key.len() > RECORD_KEY_BYTES => {
            let detail = format_args!("the key has {} bytes, more than {RECORD_KEY_BYTES}", key.len());
            return Err(Verdict::dead("key_too_long", detail));
        }
        Some(key) => key,
    };
    let right = partition_of(key, topic.partitions);
    if right != partition {
        let detail = format_args!("the key belongs to partition {right}, as the Java client hashes it");
        return Err(Verdict::dead("wrong_partition", detail));
    }
    let value = record.value.ok_or_else(|| Verdict::dead("no_value", "the record has no value"))?;
    let (id, datum) = unframe(value).map_err(|error| Verdict::dead("bad_frame", error))?;
    let (index, seed, plan) = match schemas.known.get(&id) {
        Some(Learned::Message(index, seed, plan)) => (*index, *seed, plan),
        Some(Learned::Dead(code, detail)) => return Err(Verdict::dead(code, detail)),
        None => return Err(Verdict::dead("unknown_schema", format_args!("schema id {}", id.0))),
    };
    let Some(message) = topic.messages.get(index) else {
        return Err(Verdict::dead("unknown_schema", format_args!("schema id {}", id.0)));
    };
    if let Some(ce_type) = found.ce_type
        && ce_type != message.name.as_bytes()
    {
        let ce_type = String::from_utf8_lossy(ce_type);
        let detail = format_args!("ce_type says {ce_type:?}, schema id {} is {}", id.0, message.name);
        return Err(Verdict::dead("type_mismatch", detail));
    }
    let fields = arena.alloc_slice_fill_copy(message.record.fields.len(), Datum::Null);
    let is_canonical =
        plan.read(datum, fields, arena).map_err(|error| Verdict::dead("undecodable", error))?;
    check_key(topic, &message.key, key, fields, key_text)?;
    let envelope = found.envelope(message.kind == MessageKind::Command)?;
    transition.seen = found.id.map(|id| Seen {
        id: message_id(found.source.unwrap_or_default(), id, key),
        payload: seed.digest(plan.value_bytes(datum, is_canonical, arena)),
        offset: record.offset,
    });
    let message = Message { index, fields, envelope };
    transition.message = Some(message);
    Ok(message)
}

/// The identity and value of a record whose verdict is known already. One that cannot be read (any more) stands for its
/// bytes.
pub(crate) fn seen(by: Reading<'_>, record: &RecordRef<'_>) -> Option<Seen> {
    let Reading { topic, schemas, arena, .. } = by;
    let found = Found::new(record.headers);
    let id = message_id(found.source.unwrap_or_default(), found.id?, record.key.unwrap_or_default());
    let value = record.value.unwrap_or_default();
    let (schema, datum) = unframe(value).map_or((None, value), |(schema, datum)| (Some(schema), datum));
    let message = match schema.and_then(|schema| schemas.known.get(&schema)) {
        Some(Learned::Message(index, seed, plan)) => {
            topic.messages.get(*index).map(|message| (message, *seed, plan))
        }
        _ => None,
    };
    let payload = match message {
        Some((message, seed, plan)) => {
            let fields = arena.alloc_slice_fill_copy(message.record.fields.len(), Datum::Null);
            let is_canonical = plan.read(datum, fields, arena).unwrap_or(true);
            seed.digest(plan.value_bytes(datum, is_canonical, arena))
        }
        None => PayloadSeed::of(found.ce_type.unwrap_or_default()).digest(datum),
    };
    Some(Seen { id, payload, offset: record.offset })
}

/// Who sent a record, as far as that is known: the caller that ingest saw, whatever source the message names; of what came
/// another way, the source.
#[cold]
pub(crate) fn publisher(headers: Headers<'_>) -> Option<&[u8]> {
    let found = Found::new(headers);
    found.caller.or(found.source)
}

/// The record key has to be the key fields' text.
fn check_key(
    topic: &Topic,
    places: &[usize],
    key: &[u8],
    fields: &[Datum<'_>],
    text: &mut Vec<u8>,
) -> Result<(), Verdict> {
    if let ([field], [at]) = (&topic.key[..], places)
        && let (Type::String, Some(Datum::Text(text))) = (&field.column.ty, fields.get(*at))
        && text.as_bytes() == key
    {
        // A text alone is its own key text.
        return Ok(());
    }
    let types: SmallVec<[&Type; 4]> = topic.key.iter().map(|field| &field.column.ty).collect();
    let datums: SmallVec<[Datum<'_>; 4]> =
        places.iter().map(|at| fields.get(*at).copied().unwrap_or(Datum::Null)).collect();
    text.clear();
    write_key(&types, &datums, text);
    if *text == key {
        return Ok(());
    }
    let (key, text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(text));
    Err(Verdict::dead("key_mismatch", format_args!("the record key is {key:?}, the key fields say {text:?}")))
}

// === impl Found ===

impl<'a> Found<'a> {
    #[inline]
    fn new(headers: Headers<'a>) -> Found<'a> {
        let mut found = Found::default();
        for (name, value) in headers.iter() {
            let HeaderName::Known(known) = name else { continue };
            let place = match known {
                Known::CeId => &mut found.id,
                Known::CeSource => &mut found.source,
                Known::CeType => &mut found.ce_type,
                Known::CeTime => &mut found.time,
                Known::AppendTime => &mut found.append_time,
                Known::Caller => &mut found.caller,
                Known::IfMatch => &mut found.if_match,
                Known::CeSpecversion
                | Known::CeSubject
                | Known::CeDataschema
                | Known::ContentType
                | Known::Traceparent
                | Known::Tracestate
                | Known::RedriveOf => continue,
            };
            if !known.is_absent(value) {
                place.get_or_insert(value);
            }
        }
        found
    }

    /// An event that is conditional is dead: what is a fact is one whatever the entity's version.
    fn envelope(&self, is_command: bool) -> Result<Envelope<'a>, Verdict> {
        let bad = |name: Known, value: &[u8], what: &str| {
            let (name, value) = (name.as_str(), String::from_utf8_lossy(value));
            Verdict::dead("bad_header", format_args!("{name} is {value:?}, {what}"))
        };
        let time = |name: Known, value: Option<&[u8]>| match value {
            None => Ok(None),
            Some(text) => match parse_rfc3339_micros(text) {
                Some(micros) => Ok(Some(micros)),
                None => Err(bad(name, text, "which is no RFC 3339 time")),
            },
        };
        let caller = match self.caller {
            None => None,
            Some(text) => match std::str::from_utf8(text) {
                Ok(caller) => Some(caller),
                Err(_) => return Err(bad(Known::Caller, text, "which is not UTF-8")),
            },
        };
        let if_match = match self.if_match {
            None => None,
            Some(text) if !is_command => {
                return Err(bad(Known::IfMatch, text, "but an event has no condition"));
            }
            Some(text) => match decimal(text) {
                Some(version) => Some(version),
                None => return Err(bad(Known::IfMatch, text, "which is no version number")),
            },
        };
        let event_time_micros = time(Known::CeTime, self.time)?;
        let append_time_micros = match self.append_time {
            // Ingest sets both to one time where the publisher names none.
            same if same == self.time => event_time_micros,
            other => time(Known::AppendTime, other)?,
        };
        Ok(Envelope { event_time_micros, append_time_micros, caller, if_match })
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

// === impl Schemas ===

impl Schemas {
    pub(crate) fn knows(&self, id: SchemaId) -> bool {
        self.known.contains_key(&id)
    }

    /// Forgets what is dead once there is much of it: it can be learnt again.
    pub(crate) fn tidy(&mut self) {
        if self.known.len() > MOST_IDS {
            self.known.retain(|_, learned| matches!(learned, Learned::Message(..)));
        }
    }

    pub(crate) fn learn(&mut self, topic: &Topic, id: SchemaId, fate: &SchemaFate) {
        let learned = match fate {
            SchemaFate::Refused => dead("unknown_schema", format!("schema id {} is refused", id.0)),
            SchemaFate::Registered(text) => plan(topic, id, text),
        };
        self.known.insert(id, learned);
    }
}

fn dead(code: &'static str, detail: String) -> Learned {
    Learned::Dead(code, detail.into())
}

fn plan(topic: &Topic, id: SchemaId, text: &Arc<str>) -> Learned {
    let parsed = match apache_avro::Schema::parse_str(text) {
        Ok(schema) => schema,
        Err(error) => return dead("unknown_schema", format!("schema id {} is no schema: {error}", id.0)),
    };
    let name = parsed.name().map(|name| name.name().to_owned()).unwrap_or_default();
    let Some(index) = topic.messages.iter().position(|message| message.name == name) else {
        let detail = format!("schema id {} is of {name:?}, no message of topic {}", id.0, topic.name);
        return dead("unknown_schema", detail);
    };
    let Some(message) = topic.messages.get(index) else { return dead("unknown_schema", name) };
    match Plan::new(&parsed, &message.record, &message.used) {
        Ok(plan) => Learned::Message(index, PayloadSeed::of(message.name.as_bytes()), Box::new(plan)),
        Err(errors) => {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let detail = format!("schema id {} cannot be read as {name}: {}", id.0, errors.join("; "));
            dead("undecodable", detail)
        }
    }
}
