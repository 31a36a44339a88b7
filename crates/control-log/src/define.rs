//! The app's definition, made known to its control topic.

use std::collections::BTreeSet;

use tidefold_app::difference::difference;
use tidefold_app::{App, SourceFile};
use tidefold_control::{Control, Definition, Entry};

use crate::error::ControlLogError;
use crate::topic::ControlLog;

/// Adds the app's definition, unless it stands there.
///
/// # Errors
/// When another one stands there, or the log does not answer.
pub async fn define(app: &App, control_log: &ControlLog) -> Result<(), ControlLogError> {
    let decide = |control: &Control| match control.definition() {
        None => Ok(Some(Entry::defined(app))),
        Some(definition) if definition.is(app) => Ok(None),
        Some(definition) => Err(ControlLogError::DefinitionChanged {
            app: app.name.clone(),
            differences: differences(definition, app),
        }),
    };
    control_log.try_append(decide).await.map(|_| ())
}

/// What differs between the definition in force and the folder: in meaning, or, where the one in force does not load any
/// more, file by file.
fn differences(definition: &Definition, app: &App) -> Vec<String> {
    if let Ok(old) = definition.app() {
        return difference(old, app).into_iter().map(|line| format!("  {line}")).collect();
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
