//! The app as ingest needs it: one entry for each message type, with its encoder, topic and schema id.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tidefold_app::App;
use tidefold_app::model::MessageKind;
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_control::Control;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::{Partition, SchemaId, TopicName, partition_of};
use tokio::sync::watch;

use crate::settings::Settings;

/// Every message type of the app.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) topics: Vec<TopicEntry>,
    pub(crate) messages: Vec<MessageEntry>,
    by_name: HashMap<String, usize>,
    /// The names that are read, not sent: for those who mix them up.
    tables: Vec<String>,
    lanes: usize,
    schemas: Vec<String>,
    ids: ArcSwap<SchemaIds>,
    control: watch::Receiver<Arc<Control>>,
}

/// A topic.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    /// Its name in the app: what positions say.
    pub(crate) name: TopicName,
    /// Its name in the log.
    pub(crate) log_name: TopicName,
    pub(crate) partitions: u32,
    /// The largest message as an Avro datum.
    pub(crate) max_message_bytes: usize,
    /// The place of its first partition among all partitions of the app.
    first_lane: usize,
    /// Whether commands can be made conditional on an entity's version.
    pub(crate) has_entity: bool,
}

/// A message type.
#[derive(Debug)]
pub(crate) struct MessageEntry {
    pub(crate) name: String,
    pub(crate) kind: MessageKind,
    /// The place of its topic in [`Catalog::topics`].
    pub(crate) topic: usize,
    /// Its own place in [`Catalog::messages`].
    pub(crate) place: usize,
    pub(crate) encoder: JsonEncoder,
}

/// The schema ids that one state of control gives.
#[derive(Debug)]
struct SchemaIds {
    of: Arc<Control>,
    ids: Vec<Option<SchemaId>>,
}

// === impl Catalog ===

impl Catalog {
    pub(crate) fn new(app: &App, control: watch::Receiver<Arc<Control>>, settings: &Settings) -> Catalog {
        let limits = JsonLimits { depth: settings.limits.depth, ..JsonLimits::default() };
        let (mut topics, mut messages, mut schemas) = (Vec::new(), Vec::new(), Vec::new());
        let mut lanes = 0;
        for projection in &app.projections {
            let topic = &projection.topic;
            for message in &topic.messages {
                messages.push(MessageEntry {
                    name: message.name.clone(),
                    kind: message.kind,
                    topic: topics.len(),
                    place: messages.len(),
                    encoder: JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), limits),
                });
                schemas.push(message.schema_json.clone());
            }
            topics.push(TopicEntry {
                name: topic.name.clone(),
                log_name: projection.log_topic(),
                partitions: topic.partitions,
                max_message_bytes: topic.max_message_bytes,
                first_lane: lanes,
                has_entity: projection.entity.is_some(),
            });
            lanes += topic.partitions as usize;
        }
        let tables = app.layouts().map(|layout| layout.name.clone()).collect();
        let by_name = messages.iter().map(|m| (m.name.clone(), m.place)).collect();
        let ids = ArcSwap::from_pointee(SchemaIds::of(&control.borrow(), &schemas));
        Catalog { topics, messages, by_name, tables, lanes, schemas, ids, control }
    }

    /// The message type of a name.
    pub(crate) fn message(&self, name: &str) -> Option<&MessageEntry> {
        self.messages.get(*self.by_name.get(name)?)
    }

    /// The topic of a name, with its place.
    pub(crate) fn topic_named(&self, name: &str) -> Option<&TopicEntry> {
        self.topics.iter().find(|topic| topic.name.as_str() == name)
    }

    pub(crate) fn topic_of(&self, message: &MessageEntry) -> Option<&TopicEntry> {
        self.topics.get(message.topic)
    }

    /// How many partitions the app has in all.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The control state of now.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.borrow())
    }

    /// The schema id of a message type, looked up anew when control has moved.
    pub(crate) fn schema_id(&self, message: &MessageEntry) -> Result<SchemaId, Problem> {
        let ids = {
            let control = self.control.borrow();
            let ids = self.ids.load();
            if Arc::ptr_eq(&control, &ids.of) {
                ids.ids.get(message.place).copied().flatten()
            } else {
                let anew = Arc::new(SchemaIds::of(&control, &self.schemas));
                self.ids.store(Arc::clone(&anew));
                anew.ids.get(message.place).copied().flatten()
            }
        };
        ids.ok_or_else(|| {
            let detail =
                format!("the schema of {} has no id yet; the node is starting or deploying", message.name);
            Problem::new(ProblemKind::SchemaNotRegistered, detail)
                .with_retry_after(std::time::Duration::from_secs(1))
        })
    }

    /// What to answer to a message type that the app does not have.
    pub(crate) fn unknown_type(&self, name: &str) -> Problem {
        let shown: String = name.chars().take(80).collect();
        if self.tables.iter().any(|table| table == name) {
            let all: Vec<_> = self.messages.iter().map(|m| m.name.as_str()).take(50).collect();
            let detail =
                format!("`{shown}` is a table: it is read, with GET; message types are {}", all.join(", "));
            return Problem::new(ProblemKind::UnknownMessageType, detail);
        }
        let nearest = self
            .messages
            .iter()
            .map(|m| (strsim::jaro_winkler(&m.name, &shown), m.name.as_str()))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let detail = match nearest {
            Some((likeness, nearest)) if likeness > 0.7 => {
                format!("there is no message type `{shown}`; did you mean `{nearest}`?")
            }
            _ => {
                let all: Vec<_> = self.messages.iter().map(|m| m.name.as_str()).take(50).collect();
                format!("there is no message type `{shown}`; the app has {}", all.join(", "))
            }
        };
        Problem::new(ProblemKind::UnknownMessageType, detail)
    }
}

// === impl TopicEntry ===

impl TopicEntry {
    pub(crate) fn partition_of(&self, key: &[u8]) -> Partition {
        partition_of(key, self.partitions)
    }

    /// The place of one of its partitions among all partitions of the app.
    pub(crate) fn lane(&self, partition: Partition) -> usize {
        self.first_lane + partition.0 as usize
    }
}

// === impl MessageEntry ===

impl MessageEntry {
    /// Why a message of this type cannot be made conditional on a version, if so.
    pub(crate) fn unconditional(&self, topic: &TopicEntry) -> Option<String> {
        if self.kind == MessageKind::Event {
            Some(format!("{} is an event, a fact that no version can refuse", self.name))
        } else if topic.has_entity {
            None
        } else {
            Some(format!("the topic {} of {} has no entity with a version", topic.name, self.name))
        }
    }
}

// === impl SchemaIds ===

impl SchemaIds {
    fn of(control: &Arc<Control>, schemas: &[String]) -> SchemaIds {
        SchemaIds {
            of: Arc::clone(control),
            ids: schemas.iter().map(|schema| control.id_of(schema)).collect(),
        }
    }
}
