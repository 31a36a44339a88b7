//! The first start of an app, and every later one: the definition, the schema ids, the first generations.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidefold_app::difference::difference;
use tidefold_app::model::Message;
use tidefold_app::{App, SourceFile};
use tidefold_control::state::Definition;
use tidefold_control::{Control, Entry, GenerationState, Projection};
use tidefold_log::{Log, Topic, TopicSpec};
use tidefold_store::{Store, Table};
use tidefold_table::GenerationTables;

use crate::driver::Driver;
use crate::error::DeployError;
use crate::manifest::manifest;

/// Opens the app's data topics, in the order of the app.
pub(crate) async fn open_topics(app: &App, log: &dyn Log) -> Result<Vec<Topic>, DeployError> {
    let mut topics = Vec::new();
    for topic in &app.topics {
        let spec =
            TopicSpec { name: topic.name.in_app(&app.name), partitions: topic.partitions, create: true };
        topics.push(log.open(&spec).await.map_err(DeployError::log("open a topic"))?);
    }
    Ok(topics)
}

/// Opens the tables of a generation.
pub(crate) async fn open_tables(store: &dyn Store, tables: &GenerationTables) -> Result<(), DeployError> {
    let tables: Vec<_> =
        tables.all().map(|table| Table { id: table.id.clone(), layout: Arc::clone(&table.layout) }).collect();
    store.open(&tables).await.map_err(DeployError::store("open tables"))
}

/// Makes the app known to its control topic, as far as it is not: every step may be repeated.
pub(crate) async fn bootstrap(
    app: &App,
    topics: &[Topic],
    driver: &Driver,
    store: &dyn Store,
    window: u64,
) -> Result<(), DeployError> {
    define(app, driver).await?;
    for message in app.topics.iter().flat_map(|topic| &topic.messages) {
        register(&app.name, message, driver).await?;
    }
    for (topic, there) in app.topics.iter().zip(topics) {
        let name = topic.name.as_str();
        let begin = |control: &Control| {
            let manifest = manifest(app, there, window, None);
            let entry = Entry::Building { topic: name.to_owned(), generation: 1, manifest };
            Ok(control.projection(name).is_none().then_some(entry))
        };
        let control = driver.append(begin).await?;
        // Killed between the two entries, it goes on here: no other generation can have come in between.
        if control.projection(name).and_then(first_unfinished) != Some(1) {
            continue;
        }
        open_tables(store, &topic.generation(app, 1)).await?;
        let activate = |control: &Control| {
            let wanted = control.projection(name).and_then(first_unfinished) == Some(1);
            Ok(wanted.then(|| Entry::Activated { topic: name.to_owned(), generation: 1 }))
        };
        driver.append(activate).await?;
    }
    Ok(())
}

/// The first generation, while no generation was ever active: it is empty, so it is activated at once.
fn first_unfinished(projection: &Projection) -> Option<u32> {
    let building = projection.in_state(GenerationState::Building).next()?.0;
    projection.active.is_none().then_some(building)
}

pub(crate) async fn define(app: &App, driver: &Driver) -> Result<(), DeployError> {
    let decide = |control: &Control| match control.definition() {
        None => Ok(Some(Entry::Defined { hash: app.definition_hash.clone(), sources: app.sources.clone() })),
        Some(definition) if definition.hash == app.definition_hash => Ok(None),
        Some(definition) => Err(DeployError::DefinitionChanged {
            app: app.name.clone(),
            differences: differences(definition, app),
        }),
    };
    driver.append(decide).await.map(|_| ())
}

/// Our own id authority: the next free id, unless the schema has one.
pub(crate) async fn register(app: &str, message: &Message, driver: &Driver) -> Result<(), DeployError> {
    let schema = &message.schema_json;
    let decide = |control: &Control| {
        if control.id_of(schema).is_some() {
            return Ok(None);
        }
        let id = control.free_id().ok_or_else(|| DeployError::NoSchemaId { app: app.to_owned() })?;
        Ok(Some(Entry::SchemaRegistered { id, schema: schema.clone() }))
    };
    loop {
        match driver.append(decide).await {
            // The id was taken by another entry in between: the next free one is another.
            Err(DeployError::Refused { .. }) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// What differs between the definition in force and the folder: in meaning, or, where the one in force does not load any
/// more, file by file.
fn differences(definition: &Definition, app: &App) -> Vec<String> {
    if let Ok(old) = tidefold_app::load(definition.sources.clone()) {
        return difference(&old, app).into_iter().map(|line| format!("  {line}")).collect();
    }
    let text = |sources: &[SourceFile], path: &str| {
        sources.iter().find(|file| file.path == path).map(|file| file.text.clone())
    };
    let paths: BTreeSet<_> = definition.sources.iter().chain(&app.sources).map(|file| &file.path).collect();
    let mut lines = Vec::new();
    for path in paths {
        match (text(&definition.sources, path), text(&app.sources, path)) {
            (Some(old), Some(new)) if old == new => {}
            (Some(_), Some(_)) => lines.push(format!("  {path} is changed")),
            (Some(_), None) => lines.push(format!("  {path} is missing")),
            (None, _) => lines.push(format!("  {path} is new")),
        }
    }
    lines
}
