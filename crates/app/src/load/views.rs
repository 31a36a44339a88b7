//! Views: what they read, their SELECT compiled, and their key judged.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tidefold_codec::schema::type_text;
use tidefold_codec::text::is_key_type;
use tidefold_codec::{RecordType, Type};
use tidefold_table::aggregate::Aggregate;
use tidefold_table::{Clustering, TableKind, TableLayout};

use super::avro::Schemas;
use super::clauses::sql_problems;
use super::elsewhere;
use super::entities::{EntityDraft, table_name};
use super::names::{self, NAME_MAX, is_field_name};
use super::report::{Help, Report};
use super::spec::{Spec, ViewSpec};
use super::text::Text;
use super::topics::{TopicDraft, reserved_column};
use super::words::{mentions, source, words};
use crate::expr::{Expr, Node};
use crate::model::{RollupColumn, View, ViewKind};
use crate::rules;
use crate::sql::{self, SqlProblem, ViewScope, ViewSql};

/// A view and the place of its topic.
pub(crate) struct ViewDraft {
    pub topic: usize,
    pub view: View,
}

/// What a view reads from.
struct Source<'s> {
    topic: usize,
    /// The entity, or none: an event.
    entity: Option<&'s EntityDraft<'s>>,
    /// Names whose meaning has a mistake.
    broken: BTreeSet<String>,
}

/// Builds every view.
pub(crate) fn build(
    spec: &Spec,
    topics: &[TopicDraft<'_>],
    entities: &[EntityDraft<'_>],
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> Vec<ViewDraft> {
    let mut views = Vec::new();
    for view in &spec.views {
        table_name(report, "a view", &view.name);
        if spec.entities.iter().any(|entity| entity.name.value == view.name.value) {
            let message = format!("the table `{}` is declared twice", view.name.value);
            let help = "an entity has this name: views and entities share the tables' names";
            report.toml(rules::DUPLICATE_TABLE, &view.name.span, message, help);
        }
        let Some(text) = &view.sql else { continue };
        let Some(found) = find_source(text, view, spec, (topics, entities, schemas), report) else {
            continue;
        };
        if let Some(view) = compile(view, text, &found, (topics, &schemas.enums), report) {
            views.push(ViewDraft { topic: found.topic, view });
        }
    }
    views
}

/// The entity or event behind FROM; `None` where there is none, or its mistakes are reported already.
fn find_source<'s>(
    text: &Text,
    view: &ViewSpec,
    spec: &Spec,
    (topics, entities, schemas): (&[TopicDraft<'_>], &'s [EntityDraft<'s>], &Schemas<'_>),
    report: &mut Report,
) -> Option<Source<'s>> {
    let Some((name, span)) = source(&text.value) else {
        // Let SQL say what is wrong with the text.
        match sql::view(&text.value, &ViewScope::default()) {
            Err(mut problems) => {
                let names = spec.entities.iter().map(|entity| entity.name.value.as_str());
                let Help(help) = names::nearest_or_all("", names, "entity");
                problems.iter_mut().filter(|p| p.rule == "view-from").for_each(|p| p.help.clone_from(&help));
                sql_problems(text, problems, report);
            }
            Ok(_) => {
                let help = "add FROM and an entity, or an event of a topic without one";
                report.toml(rules::VIEW_WITHOUT_SOURCE, &text.span, "this view reads from nothing", help);
            }
        }
        return None;
    };
    if let Some(entity) = entities.iter().find(|draft| draft.spec.name.value == name) {
        return Some(Source { topic: entity.topic?, entity: Some(entity), broken: entity.broken.clone() });
    }
    let place = text.place(&span);
    for (at, topic) in topics.iter().enumerate() {
        let Some(message) = topic.messages.iter().find(|message| message.name.value == name) else {
            continue;
        };
        let topic_entity = entities.iter().find(|draft| draft.topic == Some(at));
        if let Some(entity) = topic_entity {
            let text = format!("the topic of `{name}` has the entity `{}`", entity.spec.name.value);
            let help = format!("read the entity: FROM {}", entity.spec.name.value);
            report.toml(rules::EVENT_HAS_ENTITY, &place, text, help);
            return None;
        }
        message.record.as_ref()?;
        return Some(Source { topic: at, entity: None, broken: BTreeSet::new() });
    }
    if shape_is_wrong(text, &span, report) {
        return None;
    }
    let message = match spec.views.iter().find(|other| other.name.value == name) {
        Some(other) if other.name == view.name => format!("`{name}` reads from itself"),
        Some(_) => format!("`{name}` is a view; a view reads from an entity or from events"),
        None => match elsewhere::kind(spec, &name) {
            Some(kind) => format!("`{name}` is {kind}; a view reads from an entity or from events"),
            None => format!("there is no entity and no event `{name}`"),
        },
    };
    let entity_names = spec.entities.iter().map(|entity| entity.name.value.as_str());
    let events = topics.iter().flat_map(|topic| topic.spec.events.iter().map(|event| event.value.as_str()));
    let behind = spec.views.iter().find(|other| other.name.value == name && other.name != view.name);
    let behind = behind.and_then(|other| source(&other.sql.as_ref()?.value)).map(|(table, _)| table);
    let help = match (behind, schemas.declared(&name).is_empty()) {
        (Some(table), _) => format!("read what `{name}` reads: FROM {table}").into(),
        (None, true) => names::nearest_or_all(&name, entity_names.chain(events), "source"),
        (None, false) => format!("`{name}` is a record: list it under `events` of a topic").into(),
    };
    report.toml(rules::VIEW_WITHOUT_SOURCE, &place, message, help);
    None
}

/// Reports what is wrong with the query as such, where the name behind FROM is no table's because of that: a name that WITH
/// made, a function, a name with points. Any other mistake of the query is reported beside that of the name.
fn shape_is_wrong(text: &Text, name: &Range<usize>, report: &mut Report) -> bool {
    let Err(mut problems) = sql::view(&text.value, &ViewScope::default()) else { return false };
    problems.retain(|problem| {
        problem.rule != "view-from"
            || problem.span != *name
            || !problem.message.starts_with("there is no table")
    });
    let is_cause = |problem: &SqlProblem| ["view-from", "sql-syntax", "view-select"].contains(&problem.rule);
    let has_with = problems.iter().any(|problem| problem.message.starts_with("a view has no WITH"));
    let is_wrong = has_with || problems.iter().any(is_cause);
    problems.iter_mut().filter(|problem| problem.message == "FROM names no table").for_each(|problem| {
        problem.help = Some("write FROM and the entity or event, then UNNEST(array) AS item".to_owned());
    });
    sql_problems(text, problems, report);
    is_wrong
}

fn compile(
    spec: &ViewSpec,
    text: &Text,
    source: &Source<'_>,
    (topics, enums): (&[TopicDraft<'_>], &[Type]),
    report: &mut Report,
) -> Option<View> {
    let topic = topics.get(source.topic)?;
    if mentions(&text.value, &source.broken) {
        unknown_key_columns(spec, text, report);
        return None;
    }
    let nothing = Arc::new(RecordType { full_name: String::new(), fields: Vec::new() });
    let records: Vec<(&str, &RecordType)> = topic
        .messages
        .iter()
        .map(|message| (message.name.value.as_str(), &**message.record.as_ref().unwrap_or(&nothing)))
        .collect();
    let scope = match source.entity {
        Some(draft) => {
            ViewScope { entity: Some((&draft.entity.name, &draft.entity.columns)), messages: &[], enums }
        }
        None => ViewScope { entity: None, messages: &records, enums },
    };
    let compiled = match sql::view(&text.value, &scope) {
        Ok(compiled) => compiled,
        Err(problems) => {
            sql_problems(text, problems, report);
            return None;
        }
    };
    let source_names: Vec<&str> = match (source.entity, compiled.source.event) {
        (Some(draft), _) => draft.entity.columns.iter().map(|column| column.name.as_str()).collect(),
        (None, Some(event)) => {
            let record = records.get(event).map(|(_, record)| *record);
            record.map_or(Vec::new(), |record| record.fields.iter().map(|field| &*field.name).collect())
        }
        (None, None) => Vec::new(),
    };
    let mut judge = Judge { spec, text, compiled: &compiled, source_names, report };
    judge.column_names();
    let (partition_key, clustering) = judge.key_places();
    judge.key_columns(&partition_key, &clustering);
    let key: BTreeSet<usize> =
        partition_key.iter().copied().chain(clustering.iter().map(|c| c.column)).collect();
    match &compiled.kind {
        ViewKind::Index { columns } => judge.index(columns, &key, source, topic),
        ViewKind::Rollup { columns, groups, .. } => judge.rollup(columns, groups.len(), &key),
    }
    let kind = match &compiled.kind {
        ViewKind::Index { .. } => TableKind::Index,
        ViewKind::Rollup { .. } => TableKind::Rollup,
    };
    let bucket = super::buckets::judge(spec, &compiled.columns, &clustering, judge.report);
    let layout = TableLayout {
        name: spec.name.value.clone(),
        kind,
        columns: compiled.columns.iter().map(|output| output.column.clone()).collect(),
        partition_key,
        clustering,
        bucket,
        aggregates: stored_aggregates(&compiled.kind),
    };
    Some(View {
        name: spec.name.value.clone(),
        source: compiled.source,
        kind: compiled.kind,
        layout: Arc::new(layout),
    })
}

/// What a view's rows keep of each aggregate.
fn stored_aggregates(kind: &ViewKind) -> Vec<Aggregate> {
    match kind {
        ViewKind::Index { .. } => Vec::new(),
        ViewKind::Rollup { aggregates, .. } => aggregates
            .iter()
            .map(|aggregate| Aggregate {
                function: aggregate.function,
                argument: aggregate.argument_type.as_ref().map(|column| column.ty.clone()),
            })
            .collect(),
    }
}

/// Judges the key of a view whose SELECT cannot be judged, by the names that seem to stand in it.
fn unknown_key_columns(spec: &ViewSpec, text: &Text, report: &mut Report) {
    let words = words(&text.value);
    let mut names: Vec<&str> = Vec::new();
    let selected = words.iter().take_while(|word| word.depth > 0 || !word.text.eq_ignore_ascii_case("from"));
    for (word, next) in selected.zip(words.iter().skip(1)) {
        let ends = next.depth == 0 && (next.text == "," || next.text.eq_ignore_ascii_case("from"));
        if ends {
            names.push(word.text);
        }
    }
    let partition_key = spec.partition_key.iter().map(|text| (text.value.as_str(), &text.span));
    let clustering = spec.clustering.iter().map(|column| (column.column.as_str(), &column.text.span));
    for (name, span) in partition_key.chain(clustering) {
        if !names.contains(&name) && !names.contains(&"*") {
            unknown_key_column(name, span, names.iter().copied(), report);
        }
    }
}

fn unknown_key_column<'n>(
    name: &str,
    span: &Range<usize>,
    known: impl Iterator<Item = &'n str> + Clone,
    report: &mut Report,
) {
    let help = names::nearest_or_all(name, known, "column");
    report.toml(rules::UNKNOWN_KEY_COLUMN, span, format!("the SELECT gives no column `{name}`"), help);
}

/// Judges a view's names and key.
struct Judge<'j> {
    spec: &'j ViewSpec,
    text: &'j Text,
    compiled: &'j ViewSql,
    /// The names of the source's columns or fields, by place.
    source_names: Vec<&'j str>,
    report: &'j mut Report,
}

impl Judge<'_> {
    fn column_names(&mut self) {
        for output in &self.compiled.columns {
            let name = &output.column.name;
            let span = self.text.place(&output.span);
            if !is_field_name(name) || name.len() > NAME_MAX {
                let help = "name it with AS: letters, digits and `_`, a letter first";
                self.report.toml(rules::BAD_NAME, &span, format!("`{name}` is no name for a column"), help);
            }
            reserved_column(self.report, name, &span);
        }
    }

    /// The places of the key's columns; those that do not exist are reported and left out.
    fn key_places(&mut self) -> (Vec<usize>, Vec<Clustering>) {
        let mut seen = BTreeSet::new();
        let mut partition_key = Vec::new();
        for text in &self.spec.partition_key {
            partition_key.extend(self.key_place(&text.value, &text.span, &mut seen));
        }
        let mut clustering = Vec::new();
        for column in &self.spec.clustering {
            let place = self.key_place(&column.column, &column.text.span, &mut seen);
            clustering.extend(place.map(|at| Clustering { column: at, descending: column.descending }));
        }
        (partition_key, clustering)
    }

    fn key_place(&mut self, name: &str, span: &Range<usize>, seen: &mut BTreeSet<usize>) -> Option<usize> {
        let columns = &self.compiled.columns;
        let found = columns.iter().position(|output| output.column.name == name);
        match found {
            None if name.is_empty() => {}
            None => {
                let known = columns.iter().map(|output| output.column.name.as_str());
                unknown_key_column(name, span, known, self.report);
            }
            Some(at) if !seen.insert(at) => {
                let message = format!("`{name}` stands in the key twice");
                self.report.toml(rules::REPEATED_KEY_COLUMN, span, message, "remove one of them");
                return None;
            }
            Some(_) => {}
        }
        found
    }

    /// Every key column has a key type and is never NULL.
    fn key_columns(&mut self, partition_key: &[usize], clustering: &[Clustering]) {
        let aggregates: Vec<usize> = match &self.compiled.kind {
            ViewKind::Rollup { columns, .. } => {
                let places = columns.iter().enumerate();
                places
                    .filter(|(_, column)| matches!(column, RollupColumn::Aggregate(_)))
                    .map(|(at, _)| at)
                    .collect()
            }
            ViewKind::Index { .. } => Vec::new(),
        };
        let places = partition_key.iter().copied().chain(clustering.iter().map(|c| c.column));
        for at in places.filter(|at| !aggregates.contains(at)) {
            let Some(output) = self.compiled.columns.get(at) else { continue };
            let name = &output.column.name;
            let span = self.text.place(&output.span);
            if !is_key_type(&output.column.column.ty) {
                let message =
                    format!("`{name}` is {} and cannot stand in a key", type_text(&output.column.column));
                let help = "use a string, uuid, enum, integer, boolean, decimal, date or time";
                self.report.toml(rules::KEY_COLUMN_TYPE, &span, message, help);
            } else if output.column.column.nullable {
                let help = self.null_help(at);
                let message = format!("the key column `{name}` may be NULL");
                self.report.toml(rules::KEY_COLUMN_NULL, &span, message, help);
            }
        }
    }

    /// What makes a key column NULL, and what to write against it.
    fn null_help(&self, at: usize) -> String {
        let expr = match &self.compiled.kind {
            ViewKind::Index { columns } => columns.get(at),
            ViewKind::Rollup { columns, groups, .. } => match columns.get(at) {
                Some(RollupColumn::Group(group)) => groups.get(*group),
                _ => None,
            },
        };
        let mut names = BTreeSet::new();
        if let Some(expr) = expr {
            expr.walk(&mut |inner| {
                if let Node::State(column) | Node::Message(column) = inner.node
                    && inner.column.nullable
                    && let Some(name) = self.source_names.get(column)
                {
                    names.insert(format!("{name} IS NOT NULL"));
                }
            });
        }
        if names.is_empty() {
            return "its computation may fail, which is NULL in a view: ask for the whole expression IS NOT NULL in the \
                    WHERE, or keep its value in a column"
                .to_owned();
        }
        format!("ask for `{}` in the WHERE", names.into_iter().collect::<Vec<_>>().join(" AND "))
    }

    /// An index row belongs to one state or event: its source's key stands in its own.
    fn index(
        &mut self,
        columns: &[Expr],
        key: &BTreeSet<usize>,
        source: &Source<'_>,
        topic: &TopicDraft<'_>,
    ) {
        let in_key = |wanted: &dyn Fn(&Node) -> bool| {
            key.iter().any(|at| columns.get(*at).is_some_and(|expr| wanted(&expr.node)))
        };
        let event = self.compiled.source.event.and_then(|at| topic.messages.get(at));
        let mut missing = Vec::new();
        for (place, field) in topic.spec.key.iter().enumerate() {
            let wanted = match source.entity {
                Some(_) => Some(place),
                None => event.and_then(|event| event.record.as_ref()?.field(&field.value)),
            };
            let Some(wanted) = wanted else { continue };
            let is_field = |node: &Node| match source.entity {
                Some(_) => matches!(node, Node::State(at) if *at == wanted),
                None => matches!(node, Node::Message(at) if *at == wanted),
            };
            if !in_key(&is_field) {
                missing.push(format!("`{}`", field.value));
            }
        }
        if !missing.is_empty() {
            let list = missing.join(", ");
            let message = format!(
                "the key of this index lacks {list}: rows of different keys would overwrite each other"
            );
            let help = format!("select {list} and put it into `clustering`");
            self.report.toml(rules::KEY_INCOMPLETE, &self.key_span(), message, help);
        }
        if self.compiled.source.unnest.is_some() && !in_key(&|node| matches!(node, Node::Ordinality)) {
            let message = "the key of this index lacks the ordinality: elements of one array would overwrite each other";
            let help =
                "write UNNEST(…) WITH ORDINALITY AS t(item, n), select `n` and put it into `clustering`";
            self.report.toml(rules::KEY_INCOMPLETE, &self.key_span(), message, help);
        }
    }

    /// A rollup's row is its group: the key is the group columns.
    fn rollup(&mut self, columns: &[RollupColumn], groups: usize, key: &BTreeSet<usize>) {
        for at in key {
            if let Some(RollupColumn::Aggregate(_)) = columns.get(*at) {
                let name = self.compiled.columns.get(*at).map_or("", |output| output.column.name.as_str());
                let message = format!("`{name}` is an aggregate and cannot stand in the key");
                let help = "the key of a rollup is its group columns; the order of aggregates is not kept";
                let span = self.named_in_key(name);
                self.report.toml(rules::ROLLUP_KEY, &span, message, help);
            }
        }
        let mut outside = Vec::new();
        let mut selected = BTreeSet::new();
        for (at, column) in columns.iter().enumerate() {
            let RollupColumn::Group(group) = column else { continue };
            selected.insert(*group);
            if !key.contains(&at) {
                outside
                    .extend(self.compiled.columns.get(at).map(|output| format!("`{}`", output.column.name)));
            }
        }
        let unknown =
            self.report.list.iter().any(|d| d.rule == rules::UNKNOWN_KEY_COLUMN && self.key_holds(&d.span));
        if !outside.is_empty() && !unknown {
            let list = outside.join(", ");
            let message = format!("the key of this rollup lacks its group column {list}");
            let help = "put every group column into `partition_key` or `clustering`";
            self.report.toml(rules::ROLLUP_KEY, &self.key_span(), message, Help::from(help));
        }
        if selected.len() < groups {
            let message = "this rollup groups by something that it does not select";
            let help = "select every expression of GROUP BY: the rows have to be told apart";
            let span = self
                .text
                .value
                .to_ascii_lowercase()
                .rfind("group by")
                .map_or(self.text.span.clone(), |at| self.text.place(&(at..self.text.value.len())));
            self.report.toml(rules::ROLLUP_KEY, &span, message, help);
        }
    }

    fn key_texts(&self) -> impl Iterator<Item = &Text> {
        self.spec.partition_key.iter().chain(self.spec.clustering.iter().map(|column| &column.text))
    }

    fn key_holds(&self, span: &Range<usize>) -> bool {
        self.key_texts().any(|text| text.span == *span)
    }

    /// Where the key is written: the clustering columns, or the partition key where there are none.
    fn key_span(&self) -> Range<usize> {
        let clustering: Vec<&Text> = self.spec.clustering.iter().map(|column| &column.text).collect();
        let texts = if clustering.is_empty() { self.spec.partition_key.iter().collect() } else { clustering };
        match (texts.first(), texts.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => self.spec.name.span.clone(),
        }
    }

    fn named_in_key(&self, name: &str) -> Range<usize> {
        let is_name = |text: &&Text| text.value.split_ascii_whitespace().next() == Some(name);
        self.key_texts().find(is_name).map_or(self.key_span(), |text| text.span.clone())
    }
}
