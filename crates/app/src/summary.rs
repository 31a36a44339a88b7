//! What an app holds, for people: its topics, messages and tables with their keys and columns.

use std::fmt;

use serde::Serialize;
use tidefold_codec::schema::type_text;
use tidefold_table::{TableKind, TableLayout};

use crate::App;
use crate::model::{MessageKind, Projection};

/// An app at a glance. Its `Display` is the plain text that `tidefold check` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The app's name.
    pub app: String,
    /// The hash of what its folder means.
    pub definition_hash: String,
    /// Its topics.
    pub topics: Vec<TopicSummary>,
}

/// A topic at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicSummary {
    /// Its name in the app.
    pub topic: String,
    /// Its key fields.
    pub key: Vec<String>,
    /// How many partitions.
    pub partitions: u32,
    /// Message types that may be refused.
    pub commands: Vec<String>,
    /// Message types that may not.
    pub events: Vec<String>,
    /// The tables folded from it.
    pub tables: Vec<TableSummary>,
}

/// A table at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSummary {
    /// Its name.
    pub table: String,
    /// entity, index or rollup.
    pub kind: &'static str,
    /// The columns that every query gives.
    pub partition_key: Vec<String>,
    /// The columns that order the rows under them, `DESC` behind those where larger values come first.
    pub clustering: Vec<String>,
    /// How its partitions are split, as `app.toml` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// All columns, in order.
    pub columns: Vec<ColumnSummary>,
}

/// A column at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// Its type as `app.toml` writes it.
    pub r#type: String,
}

/// What an app holds.
#[must_use]
pub fn summary(app: &App) -> Summary {
    Summary {
        app: app.name.clone(),
        definition_hash: app.definition_hash.clone(),
        topics: app.projections.iter().map(|projection| topic(projection)).collect(),
    }
}

fn topic(projection: &Projection) -> TopicSummary {
    let topic = &projection.topic;
    let messages = |kind: MessageKind| {
        let of_kind = topic.messages.iter().filter(move |message| message.kind == kind);
        of_kind.map(|message| message.name.clone()).collect()
    };
    TopicSummary {
        topic: topic.name.to_string(),
        key: topic.key.iter().map(|field| field.name.clone()).collect(),
        partitions: topic.partitions,
        commands: messages(MessageKind::Command),
        events: messages(MessageKind::Event),
        tables: projection.layouts().map(|layout| table(layout)).collect(),
    }
}

fn table(layout: &TableLayout) -> TableSummary {
    let name = |at: usize| layout.columns.get(at).map_or(String::new(), |column| column.name.clone());
    let clustering = layout.clustering.iter().map(|clustering| {
        let direction = if clustering.descending { " DESC" } else { "" };
        format!("{}{direction}", name(clustering.column))
    });
    let columns = layout
        .columns
        .iter()
        .map(|column| ColumnSummary { name: column.name.clone(), r#type: type_text(&column.column) });
    TableSummary {
        table: layout.name.clone(),
        kind: match layout.kind {
            TableKind::Entity => "entity",
            TableKind::Index => "index",
            TableKind::Rollup => "rollup",
            TableKind::Verdicts => "verdicts",
            TableKind::Checkpoints => "checkpoints",
            TableKind::ControlCopy => "control",
        },
        partition_key: layout.partition_key.iter().map(|at| name(*at)).collect(),
        clustering: clustering.collect(),
        bucket: layout.bucket.map(|bucket| bucket.to_string()),
        columns: columns.collect(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables: usize = self.topics.iter().map(|topic| topic.tables.len()).sum();
        let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        writeln!(f, "{}: {}, {}", self.app, counted(self.topics.len(), "topic"), counted(tables, "table"))?;
        for topic in &self.topics {
            writeln!(f)?;
            let partitions = counted(topic.partitions as usize, "partition");
            writeln!(f, "topic {}  key ({}), {partitions}", topic.topic, topic.key.join(", "))?;
            for (kind, names) in [("commands", &topic.commands), ("events", &topic.events)] {
                if !names.is_empty() {
                    writeln!(f, "  {kind:<9} {}", names.join(", "))?;
                }
            }
            for table in &topic.tables {
                write!(f, "  {:<9} {}  key ({})", table.kind, table.table, table.partition_key.join(", "))?;
                if !table.clustering.is_empty() {
                    write!(f, ", by {}", table.clustering.join(", "))?;
                }
                if let Some(bucket) = &table.bucket {
                    write!(f, ", {bucket}")?;
                }
                writeln!(f)?;
                let width = table.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
                for column in &table.columns {
                    writeln!(f, "              {:<width$}  {}", column.name, column.r#type)?;
                }
            }
        }
        Ok(())
    }
}
