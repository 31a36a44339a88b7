//! `app.toml` as it is written: sections, names and texts with their places, before anything is resolved.

use std::ops::Range;

use tidefold_table::limits::STATE_BYTES;
use toml::de::DeTable;

use super::names::{NAME_MAX, TABLE_NAME_MAX, TOPIC_NAME_MAX, nearest_or_all, snake_case};
use super::reader::{Reader, Table};
use super::report::Report;
use super::text::Text;
use crate::model::When;
use crate::rules;

/// The largest message, where a topic does not say: below Kafka's default of 1 MiB with room for headers.
pub(crate) const MAX_MESSAGE_BYTES: i64 = 1_000_000;
/// The largest entity state, where an entity does not say.
pub(crate) const MAX_STATE_BYTES: i64 = 65_536;

/// The whole file.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    pub app: Option<Text>,
    pub topics: Vec<TopicSpec>,
    pub entities: Vec<EntitySpec>,
    pub views: Vec<ViewSpec>,
}

/// `[topics.x]`.
#[derive(Debug)]
pub(crate) struct TopicSpec {
    pub name: Text,
    pub key: Vec<Text>,
    pub partitions: u32,
    pub commands: Vec<Text>,
    pub events: Vec<Text>,
    pub max_message_bytes: usize,
}

/// `[entities.x]`.
#[derive(Debug)]
pub(crate) struct EntitySpec {
    pub name: Text,
    pub topic: Option<Text>,
    /// Names and type texts.
    pub columns: Vec<(Text, Text)>,
    pub max_state_bytes: usize,
    pub on: Vec<ClauseSpec>,
}

/// `[entities.x.on.Msg]`.
#[derive(Debug)]
pub(crate) struct ClauseSpec {
    pub message: Text,
    /// `None`: something else stands there.
    pub when: Option<When>,
    pub requires: Vec<(Text, Text)>,
    pub lets: Vec<(Text, Text)>,
    pub set: Option<Text>,
    /// The place of `delete = true`.
    pub delete: Option<Range<usize>>,
}

/// `[views.x]`.
#[derive(Debug)]
pub(crate) struct ViewSpec {
    pub name: Text,
    pub sql: Option<Text>,
    pub partition_key: Vec<Text>,
    pub clustering: Vec<ClusteringSpec>,
    /// `buckets`: how many, at the key's place. `None`: there are none, or a mistake was reported.
    pub buckets: Option<(u32, Range<usize>)>,
    pub bucket_by: Option<Text>,
}

/// An element of `clustering`.
#[derive(Debug)]
pub(crate) struct ClusteringSpec {
    pub text: Text,
    pub column: String,
    pub descending: bool,
}

/// Reads the document.
pub(crate) fn read(document: &DeTable<'_>, file: &str, report: &mut Report) -> Spec {
    let mut reader = Reader { file, report };
    let root = Table { table: document, span: 0..0, title: "`app.toml`".to_owned() };
    reader.only(&root, &["app", "topics", "entities", "views"]);
    let app =
        reader.required_text(&root, "app", "write the app's name in the first line: app = \"storefront\"");
    if let Some(app) = &app {
        snake_case(reader.report, "an app", &app.value, &app.span, TABLE_NAME_MAX);
    }
    let mut spec = Spec { app, ..Spec::default() };
    if let Some(topics) = reader.table(&root, "topics", "[topics]") {
        let tables = reader.tables(&topics, "topics");
        spec.topics = tables.into_iter().map(|(name, table)| topic(&mut reader, name, &table)).collect();
    }
    if let Some(entities) = reader.table(&root, "entities", "[entities]") {
        let tables = reader.tables(&entities, "entities");
        spec.entities = tables.into_iter().map(|(name, table)| entity(&mut reader, name, &table)).collect();
    }
    if let Some(views) = reader.table(&root, "views", "[views]") {
        let tables = reader.tables(&views, "views");
        spec.views = tables.into_iter().map(|(name, table)| view(&mut reader, name, &table)).collect();
    }
    if spec.topics.is_empty() && !document.contains_key("topics") {
        reader.missing(&root, "topics", "declare the topics that messages come from: [topics.orders]");
    }
    spec
}

fn topic(reader: &mut Reader<'_>, name: Text, table: &Table<'_>) -> TopicSpec {
    reader.only(table, &["key", "partitions", "commands", "events", "max_message_bytes"]);
    snake_case(reader.report, "a topic", &name.value, &name.span, TOPIC_NAME_MAX);
    if name.value == "control" {
        let message = "`control` is the name of the app's own control topic";
        reader.report.toml(rules::RESERVED_NAME, &name.span, message, "choose another name");
    }
    let mut partitions = reader.integer(table, "partitions", 1..=1000);
    if !table.table.contains_key("partitions") {
        reader.missing(table, "partitions", "choose once, it cannot change later: partitions = 12");
        partitions = Some(1);
    }
    let key = reader.texts(table, "key");
    match (&key, reader.key(table, "key")) {
        (None, None) => {
            reader.missing(
                table,
                "key",
                "name fields that every message of the topic has: key = [\"order_id\"]",
            );
        }
        (Some(fields), Some(at)) if fields.is_empty() => {
            let help = "name fields that every message of the topic has: key = [\"order_id\"]";
            reader.report.toml(rules::EMPTY_KEY, &at.span, "a topic needs at least one key field", help);
        }
        _ => {}
    }
    let commands = reader.texts(table, "commands").unwrap_or_default();
    let events = reader.texts(table, "events").unwrap_or_default();
    let named = table.table.contains_key("commands") || table.table.contains_key("events");
    if commands.is_empty() && events.is_empty() {
        let help = "name the Avro records that are sent to it: commands = [\"PlaceOrder\"], events = [\"OrderShipped\"]";
        let message = format!("{} has no messages", table.title);
        let wrong = named && reader.report.list.last().is_some_and(|last| last.rule == rules::WRONG_VALUE);
        if !wrong {
            reader.report.toml(rules::NO_MESSAGES, &table.span, message, help);
        }
    }
    TopicSpec {
        name,
        key: key.unwrap_or_default(),
        partitions: partitions.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        commands,
        events,
        max_message_bytes: bytes(reader, table, "max_message_bytes", MAX_MESSAGE_BYTES, 1..=10_000_000),
    }
}

fn bytes(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    key: &str,
    default: i64,
    allowed: std::ops::RangeInclusive<i64>,
) -> usize {
    usize::try_from(reader.integer(table, key, allowed).unwrap_or(default)).unwrap_or(usize::MAX)
}

fn entity(reader: &mut Reader<'_>, name: Text, table: &Table<'_>) -> EntitySpec {
    reader.only(table, &["topic", "columns", "max_state_bytes", "on"]);
    let topic = reader.required_text(table, "topic", "name the topic whose messages it is folded from");
    let title = |part: &str| format!("[entities.{}.{part}]", name.value);
    let mut columns = Vec::new();
    if let Some(inner) = reader.table(table, "columns", &title("columns")) {
        columns = reader.named_texts(&inner);
    }
    let mut on = Vec::new();
    if let Some(inner) = reader.table(table, "on", &title("on")) {
        let prefix = format!("entities.{}.on", name.value);
        let tables = reader.tables(&inner, &prefix);
        on = tables.into_iter().map(|(message, table)| clause(reader, message, &table)).collect();
    }
    let max_state_bytes = bytes(reader, table, "max_state_bytes", MAX_STATE_BYTES, 1..=STATE_BYTES as i64);
    EntitySpec { name, topic, columns, max_state_bytes, on }
}

fn clause(reader: &mut Reader<'_>, message: Text, table: &Table<'_>) -> ClauseSpec {
    reader.only(table, &["when", "require", "let", "set", "delete"]);
    let when = match reader.text(table, "when") {
        Some(text) => when(reader, &text),
        None if table.table.contains_key("when") => None,
        None => Some(When::Present),
    };
    let title = |part: &str| format!("{}.{part}]", table.title.trim_end_matches(']'));
    let mut named = |part: &str| match reader.table(table, part, &title(part)) {
        Some(inner) => reader.named_texts(&inner),
        None => Vec::new(),
    };
    let (requires, lets) = (named("require"), named("let"));
    for (what, list) in [("a guard", &requires), ("a `let`", &lets)] {
        for (name, _) in list {
            snake_case(reader.report, what, &name.value, &name.span, NAME_MAX);
        }
    }
    let set = reader.text(table, "set");
    let delete = match reader.boolean(table, "delete") {
        Some((true, span)) => Some(span),
        _ => None,
    };
    ClauseSpec { message, when, requires, lets, set, delete }
}

fn when(reader: &mut Reader<'_>, text: &Text) -> Option<When> {
    match text.value.as_str() {
        "absent" => Some(When::Absent),
        "present" => Some(When::Present),
        "any" => Some(When::Any),
        other => {
            let help = nearest_or_all(other, ["absent", "present", "any"].into_iter(), "value");
            let message = format!("`when` cannot be `{other}`");
            reader.report.toml(rules::UNKNOWN_WHEN, &text.span, message, help);
            None
        }
    }
}

fn view(reader: &mut Reader<'_>, name: Text, table: &Table<'_>) -> ViewSpec {
    reader.only(table, &["sql", "partition_key", "clustering", "buckets", "bucket_by"]);
    let sql = reader.required_text(table, "sql", "write its SELECT: sql = \"SELECT … FROM …\"");
    let partition_key = reader.texts(table, "partition_key");
    match (&partition_key, reader.key(table, "partition_key")) {
        (None, None) => reader.missing(
            table,
            "partition_key",
            "name the columns that a query always gives: partition_key = [\"customer_id\"]",
        ),
        (Some(columns), Some(at)) if columns.is_empty() => {
            let help = "name the columns that a query always gives: partition_key = [\"customer_id\"]";
            reader.report.toml(
                rules::EMPTY_KEY,
                &at.span,
                "a view needs at least one partition key column",
                help,
            );
        }
        _ => {}
    }
    let clustering = reader.texts(table, "clustering").unwrap_or_default();
    let clustering = clustering.into_iter().map(|text| clustering_column(reader, text)).collect();
    let place = reader.key(table, "buckets").map(|key| key.span);
    let buckets = reader.integer(table, "buckets", 2..=1024).and_then(|count| u32::try_from(count).ok());
    let buckets = buckets.zip(place);
    let bucket_by = reader.text(table, "bucket_by");
    let partition_key = partition_key.unwrap_or_default();
    ViewSpec { name, sql, partition_key, clustering, buckets, bucket_by }
}

/// `column`, `column ASC` or `column DESC`.
fn clustering_column(reader: &mut Reader<'_>, text: Text) -> ClusteringSpec {
    let mut words = text.value.split_ascii_whitespace();
    let column = words.next().unwrap_or("").to_owned();
    let direction = words.next().unwrap_or("ASC").to_ascii_uppercase();
    let known = matches!(direction.as_str(), "ASC" | "DESC") && words.next().is_none() && !column.is_empty();
    if !known {
        let message = format!("`{}` is no clustering column", text.value);
        let help = "write a column, with ASC or DESC behind it: \"placed_at DESC\"";
        reader.report.toml(rules::BAD_CLUSTERING, &text.span, message, help);
    }
    ClusteringSpec { column, descending: direction == "DESC", text }
}
