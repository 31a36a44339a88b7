//! A checked app. Everything here is plain data, made by [`crate::load`] and never changed.

use std::fmt;
use std::sync::Arc;

use tidefold_codec::{ColumnType, RecordType};
use tidefold_record::TopicName;
use tidefold_table::aggregate::AggregateFunction;
use tidefold_table::{Column, GenerationTables, TableLayout};

use crate::expr::{Expr, ViewSource};

/// One app: the folder, checked. It is a proposal: what is folded, read and written by are the projections, one by one.
#[derive(Debug)]
pub struct App {
    /// Its name: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// One for each topic, in the order of `app.toml`.
    pub projections: Vec<Arc<Projection>>,
    /// A hash over everything in the folder that has meaning, as 64 hex digits: comments and layout do not count.
    pub definition_hash: String,
    /// What is right in it and probably meant otherwise.
    pub warnings: crate::Diagnostics,
    /// The texts it was made from, to be kept in the control topic.
    pub sources: Vec<crate::SourceFile>,
}

/// Everything folded from one topic, as one definition says: the unit that is built, compared, activated and read.
#[derive(Debug)]
pub struct Projection {
    /// The app's name, which the topic and the tables are stored under.
    pub app: Arc<str>,
    /// Where its messages come from.
    pub topic: Topic,
    /// The entity folded from the topic, if it has one.
    pub entity: Option<Entity>,
    /// The views of the entity or, where there is none, of the events.
    pub views: Vec<View>,
    /// A hash over everything in the definition that it depends on, and nothing else.
    pub hash: DefinitionHash,
}

/// What a projection's definition means, as 64 hex digits: equal where everything that the projection depends on is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionHash(pub(crate) Arc<str>);

/// A topic and its messages.
#[derive(Debug)]
pub struct Topic {
    /// Its name in the app.
    pub name: TopicName,
    /// Key fields, which every message of the topic has, with one type each.
    pub key: Vec<KeyField>,
    /// How many partitions.
    pub partitions: u32,
    /// The largest message, in bytes of its Avro datum; ingest refuses a larger one.
    pub max_message_bytes: usize,
    /// Commands and events, in the order of `app.toml`, commands first.
    pub messages: Vec<Message>,
}

/// A field of the record key.
#[derive(Clone, Debug)]
pub struct KeyField {
    /// Its name, in every message and as a column of every table of the topic that has it.
    pub name: String,
    /// Its type; never nullable.
    pub column: ColumnType,
}

/// Whether a message may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A command may be refused by a guard.
    Command,
    /// An event is a fact: what contradicts it is dead.
    Event,
}

/// A message type.
#[derive(Debug)]
pub struct Message {
    /// Its short name, PascalCase: the Avro record's name.
    pub name: String,
    /// Command or event.
    pub kind: MessageKind,
    /// Its fields.
    pub record: Arc<RecordType>,
    /// Its schema, parsed.
    pub schema: apache_avro::Schema,
    /// Its schema as JSON text, self-contained: with the named types it uses written out where they first stand.
    pub schema_json: String,
    /// The places of the topic's key fields in `record`.
    pub key: Vec<usize>,
    /// Which fields (by place in `record`) any expression of the projection reads, key fields included.
    pub used: Vec<bool>,
}

/// Keyed state folded from a topic.
#[derive(Debug)]
pub struct Entity {
    /// Its table's name.
    pub name: String,
    /// The key fields first (named and typed as the topic's), then the columns of `app.toml`. Slots of a state are in
    /// this order.
    pub columns: Vec<Column>,
    /// How many of the columns, from the front, are the key.
    pub key_columns: usize,
    /// What each message of the topic does: one for each of `Topic::messages`, `None` where the app says nothing (such
    /// a message is dead: `not_handled`).
    pub clauses: Vec<Option<Clause>>,
    /// The largest encoded state, in bytes; a message that makes it larger is rejected (an event: dead).
    pub max_state_bytes: usize,
    /// Its table.
    pub layout: Arc<TableLayout>,
}

/// Whether the entity has to exist for a message to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only while it does not exist; else rejected `already_exists`.
    Absent,
    /// Only while it exists; else rejected `not_found`.
    Present,
    /// Either way; where it does not exist every state column is NULL.
    Any,
}

/// What a message does to an entity.
#[derive(Debug)]
pub struct Clause {
    /// Whether the entity has to exist.
    pub when: When,
    /// Named sub-expressions, in an order in which each uses only earlier ones ([`Expr::Let`] is an index here).
    pub lets: Vec<Let>,
    /// Guards: a code and what has to be TRUE.
    pub requires: Vec<Require>,
    /// What happens when all guards pass.
    pub action: Action,
}

/// A named sub-expression.
#[derive(Debug)]
pub struct Let {
    /// Its name.
    pub name: String,
    /// What it stands for.
    pub expr: Expr,
}

/// A guard.
#[derive(Debug)]
pub struct Require {
    /// The code a rejection carries.
    pub code: String,
    /// Passes only on TRUE.
    pub expr: Expr,
}

/// The effect of a message that applies.
#[derive(Debug)]
pub enum Action {
    /// Columns get new values, all computed from the old state: (index in `Entity::columns`, value of the column's
    /// type). Others keep theirs; where the entity is new, they are NULL.
    Set(Vec<(usize, Expr)>),
    /// The entity is removed.
    Delete,
}

/// A table derived from an entity's states, or from events.
#[derive(Debug)]
pub struct View {
    /// Its table's name.
    pub name: String,
    /// Where its rows come from: rows of states or events, UNNEST, WHERE.
    pub source: ViewSource,
    /// Index or rollup.
    pub kind: ViewKind,
    /// Its table.
    pub layout: Arc<TableLayout>,
}

/// What a view keeps.
#[derive(Debug)]
pub enum ViewKind {
    /// One row for each source row. `columns[i]` computes column i of the layout.
    Index {
        /// One expression for each column of the layout.
        columns: Vec<Expr>,
    },
    /// One row for each group and source partition. The layout's columns are `SELECT`'s in order: each is a group
    /// expression or an aggregate.
    Rollup {
        /// What each column of the layout is.
        columns: Vec<RollupColumn>,
        /// The group expressions, each never NULL and of a key type where it is in the key.
        groups: Vec<Expr>,
        /// The aggregates, each with its state in the stored row, behind the hidden count.
        aggregates: Vec<Aggregate>,
    },
}

/// What a column of a rollup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollupColumn {
    /// `groups[i]`.
    Group(usize),
    /// `aggregates[i]`.
    Aggregate(usize),
}

/// An aggregate of a rollup.
#[derive(Debug)]
pub struct Aggregate {
    /// Which.
    pub function: &'static AggregateFunction,
    /// Its argument; `None` for `count(*)`.
    pub argument: Option<Expr>,
    /// The argument's type.
    pub argument_type: Option<ColumnType>,
    /// `FILTER (WHERE …)`: counts only on TRUE.
    pub filter: Option<Expr>,
}

// === impl App ===

impl App {
    /// The projection of a topic's name.
    #[must_use]
    pub fn projection(&self, topic: &str) -> Option<&Arc<Projection>> {
        self.projections.iter().find(|projection| projection.name() == topic)
    }

    /// The projection and place in its topic of a message type's name; names are unique in an app.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<(&Arc<Projection>, usize)> {
        self.projections.iter().find_map(|projection| {
            let place = projection.topic.messages.iter().position(|message| message.name == name)?;
            Some((projection, place))
        })
    }

    /// Every table that can be queried, topic by topic.
    pub fn layouts(&self) -> impl Iterator<Item = &Arc<TableLayout>> {
        self.projections.iter().flat_map(|projection| projection.layouts())
    }

    /// Every message, topic by topic.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.projections.iter().flat_map(|projection| &projection.topic.messages)
    }
}

// === impl Projection ===

impl Projection {
    /// Its name: its topic's, in the app.
    #[must_use]
    pub fn name(&self) -> &str {
        self.topic.name.as_str()
    }

    /// Its topic's name in the log.
    #[must_use]
    pub fn log_topic(&self) -> TopicName {
        self.topic.name.in_app(&self.app)
    }

    /// The tables that can be queried: the entity, then the views.
    pub fn layouts(&self) -> impl Iterator<Item = &Arc<TableLayout>> {
        self.entity.iter().map(|entity| &entity.layout).chain(self.views.iter().map(|view| &view.layout))
    }

    /// The stored tables of a generation.
    #[must_use]
    pub fn tables(&self, generation: u32) -> GenerationTables {
        let entity = self.entity.as_ref().map(|entity| &entity.layout);
        let views = self.views.iter().map(|view| &view.layout);
        GenerationTables::new(&self.app, &self.topic.name, entity, views, generation)
    }
}

// === impl DefinitionHash ===

impl DefinitionHash {
    /// The 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DefinitionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
