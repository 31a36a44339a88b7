//! What ingest needs of the projections that are served: an entry for each message type, with its encoder, topic and schema
//! id. Messages are written by the schemas of the active generations, so the entries change when another one is activated.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tidefold_app::model::{MessageKind, Projection};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::nearest::nearest;
use tidefold_control::Control;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::{Partition, SchemaId, TopicName, partition_of};
use tokio::sync::watch;

use crate::settings::Settings;

/// The catalog as control says it is now.
#[derive(Debug)]
pub(crate) struct Catalogs {
    control: watch::Receiver<Arc<Control>>,
    limits: JsonLimits,
    last: ArcSwap<Catalog>,
}

/// Every message type, as one state of control has it. A request goes by one catalog from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Catalog {
    of: Arc<Control>,
    served: Arc<Served>,
    /// By the place of the message type.
    ids: Vec<Option<SchemaId>>,
}

/// What stays the same until another generation is activated.
#[derive(Debug, Default)]
struct Served {
    projections: Vec<Arc<Projection>>,
    topics: Vec<Arc<TopicEntry>>,
    messages: Vec<MessageEntry>,
    by_name: HashMap<String, usize>,
    lanes: usize,
    schemas: Vec<String>,
}

/// A topic.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    /// What its messages are written by.
    pub(crate) projection: Arc<Projection>,
    /// Its name in the app: what positions say.
    pub(crate) name: TopicName,
    /// Its name in the log.
    pub(crate) log_name: TopicName,
    pub(crate) partitions: u32,
    /// The largest message as an Avro datum.
    pub(crate) max_message_bytes: usize,
    /// The place of its first partition among all partitions of the catalog.
    first_lane: usize,
}

/// A message type.
#[derive(Debug)]
pub(crate) struct MessageEntry {
    pub(crate) name: String,
    pub(crate) kind: MessageKind,
    pub(crate) topic: Arc<TopicEntry>,
    /// Its own place in its catalog.
    pub(crate) place: usize,
    pub(crate) encoder: JsonEncoder,
}

// === impl Catalogs ===

impl Catalogs {
    pub(crate) fn new(control: watch::Receiver<Arc<Control>>, settings: &Settings) -> Catalogs {
        let limits = JsonLimits { depth: settings.limits.depth, ..JsonLimits::default() };
        let now = Arc::clone(&control.borrow());
        let last = Catalog::of(now, None, limits);
        Catalogs { control, limits, last: ArcSwap::from_pointee(last) }
    }

    /// The catalog of now.
    pub(crate) fn now(&self) -> Arc<Catalog> {
        let (control, last) = (self.control(), self.last.load_full());
        if Arc::ptr_eq(&control, &last.of) {
            return last;
        }
        // Two that make it anew at once make the same.
        let now = Arc::new(Catalog::of(control, Some(&last), self.limits));
        self.last.store(Arc::clone(&now));
        now
    }

    /// What tells when that is another.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Control>> {
        let mut changes = self.control.clone();
        changes.mark_unchanged();
        changes
    }

    /// The control state of now.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.borrow())
    }
}

// === impl Catalog ===

impl Catalog {
    /// What a state of control says. Entries of the `last` one are kept where nothing else is served.
    fn of(control: Arc<Control>, last: Option<&Catalog>, limits: JsonLimits) -> Catalog {
        let projections = control.serving();
        let same = |last: &&Catalog| {
            let before = &last.served.projections;
            before.len() == projections.len()
                && before.iter().zip(&projections).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let kept = last.filter(same).map(|last| Arc::clone(&last.served));
        let served = kept.unwrap_or_else(|| Arc::new(Served::new(projections, limits)));
        let ids = served.schemas.iter().map(|schema| control.id_of(schema)).collect();
        Catalog { of: control, served, ids }
    }

    /// The message type of a name.
    pub(crate) fn message(&self, name: &str) -> Option<&MessageEntry> {
        self.message_at(*self.served.by_name.get(name)?)
    }

    /// The message type at a place.
    pub(crate) fn message_at(&self, place: usize) -> Option<&MessageEntry> {
        self.served.messages.get(place)
    }

    /// Every topic.
    pub(crate) fn topics(&self) -> &[Arc<TopicEntry>] {
        &self.served.topics
    }

    /// How many partitions the topics have in all.
    pub(crate) fn lanes(&self) -> usize {
        self.served.lanes
    }

    /// The schema id of a message type.
    pub(crate) fn schema_id(&self, message: &MessageEntry) -> Result<SchemaId, Problem> {
        self.ids.get(message.place).copied().flatten().ok_or_else(|| {
            let detail =
                format!("the schema of {} has no id yet; the node is starting or deploying", message.name);
            Problem::new(ProblemKind::SchemaNotRegistered, detail)
                .with_retry_after(std::time::Duration::from_secs(1))
        })
    }

    /// What to answer to a message type that the app does not have.
    pub(crate) fn unknown_type(&self, name: &str) -> Problem {
        let shown: String = name.chars().take(80).collect();
        let messages = &self.served.messages;
        // For those who mix up what is read and what is sent.
        let mut tables = self.served.projections.iter().flat_map(|projection| projection.layouts());
        if tables.any(|table| table.name == name) {
            let all: Vec<_> = messages.iter().map(|m| m.name.as_str()).take(50).collect();
            let detail =
                format!("`{shown}` is a table: it is read, with GET; message types are {}", all.join(", "));
            return Problem::new(ProblemKind::UnknownMessageType, detail);
        }
        let detail = match nearest(&shown, messages.iter().map(|m| m.name.as_str())) {
            Some(near) => format!("there is no message type `{shown}`; did you mean `{near}`?"),
            None => {
                let all: Vec<_> = messages.iter().map(|m| m.name.as_str()).take(50).collect();
                format!("there is no message type `{shown}`; the app has {}", all.join(", "))
            }
        };
        Problem::new(ProblemKind::UnknownMessageType, detail)
    }
}

// === impl Served ===

impl Served {
    fn new(projections: Vec<Arc<Projection>>, limits: JsonLimits) -> Served {
        let mut served = Served { projections, ..Served::default() };
        for projection in &served.projections {
            let topic = Arc::new(TopicEntry::new(projection, served.lanes));
            served.lanes += topic.partitions as usize;
            for message in &projection.topic.messages {
                served.messages.push(MessageEntry {
                    name: message.name.clone(),
                    kind: message.kind,
                    topic: Arc::clone(&topic),
                    place: served.messages.len(),
                    encoder: JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), limits),
                });
                served.schemas.push(message.schema_json.clone());
            }
            served.topics.push(topic);
        }
        served.by_name =
            served.messages.iter().map(|message| (message.name.clone(), message.place)).collect();
        served
    }
}

// === impl TopicEntry ===

impl TopicEntry {
    fn new(projection: &Arc<Projection>, first_lane: usize) -> TopicEntry {
        let topic = &projection.topic;
        TopicEntry {
            projection: Arc::clone(projection),
            name: topic.name.clone(),
            log_name: projection.log_topic(),
            partitions: topic.partitions,
            max_message_bytes: topic.max_message_bytes,
            first_lane,
        }
    }

    pub(crate) fn partition_of(&self, key: &[u8]) -> Partition {
        partition_of(key, self.partitions)
    }

    /// The place of one of its partitions among all partitions of the catalog.
    pub(crate) fn lane(&self, partition: Partition) -> usize {
        self.first_lane + partition.0 as usize
    }
}

// === impl MessageEntry ===

impl MessageEntry {
    /// Why a message of this type cannot be made conditional on a version, if so.
    pub(crate) fn unconditional(&self) -> Option<String> {
        if self.kind == MessageKind::Event {
            Some(format!("{} is an event, a fact that no version can refuse", self.name))
        } else if self.topic.projection.entity.is_some() {
            None
        } else {
            Some(format!("the topic {} of {} has no entity with a version", self.topic.name, self.name))
        }
    }
}
