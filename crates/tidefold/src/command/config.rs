//! `tidefold config`, and settings from flags for all who have them.

use std::process::ExitCode;

use serde_json::json;

use crate::backend;
use crate::cli::{ConfigArgs, SettingArgs};
use crate::failure::{Code, Failure};
use crate::output::{Output, columns};
use crate::settings::{Layers, Resolved, SETTINGS, Settings, shown};

/// What is said of a property of the section `kafka`.
const PROPERTY: &str = "a property of librdkafka";

pub(super) fn config(args: &ConfigArgs, output: &Output) -> Result<ExitCode, Failure> {
    let resolved = resolve(&args.settings)?;
    let valid = settings(&resolved);
    let rows: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| resolved.0.get(setting.key).map(|(value, origin)| (setting, value, origin)))
        .collect();
    let properties =
        resolved.1.iter().map(|(name, (value, origin))| (format!("kafka.{name}"), value, origin));
    let properties: Vec<_> = properties.collect();
    let mut items: Vec<_> = rows
        .iter()
        .map(|(setting, value, origin)| {
            json!({ "key": setting.key, "value": shown(setting.key, value), "origin": origin.to_string(),
                    "environment": setting.environment_name(), "about": setting.about })
        })
        .collect();
    items.extend(properties.iter().map(|(key, value, origin)| {
        json!({ "key": key, "value": shown(key, value), "origin": origin.to_string(), "about": PROPERTY })
    }));
    output.print(&items.into(), || {
        let mut table: Vec<_> = rows
            .iter()
            .map(|(setting, value, origin)| {
                vec![
                    setting.key.into(),
                    shown(setting.key, value).into_owned(),
                    origin.to_string(),
                    setting.about.into(),
                ]
            })
            .collect();
        table.extend(properties.iter().map(|(key, value, origin)| {
            vec![key.clone(), shown(key, value).into_owned(), origin.to_string(), PROPERTY.into()]
        }));
        columns(&["setting", "value", "from", "about"], &table)
    });
    valid.map(|_| ExitCode::SUCCESS)
}

/// Flags, environment and file, not judged yet.
pub(super) fn resolve(args: &SettingArgs) -> Result<Resolved, Failure> {
    let mut layers = Layers { environment: std::env::vars().collect(), ..Layers::default() };
    if let Some(path) = &args.config {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Code::NotFound, format!("{} cannot be read\n  because: {error}", path.display()))
        })?;
        layers.file = Some((path.clone(), text));
    }
    for setting in SETTINGS {
        let given = setting.flag.and_then(|flag| Some((flag, args.given(flag)?)));
        layers.flags.extend(given.map(|(flag, value)| (flag, setting.key.to_owned(), value.to_owned())));
    }
    for pair in &args.set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::new(Code::Usage, format!("--set {pair}: write --set section.key=value")));
        };
        layers.flags.push(("--set", key.to_owned(), value.to_owned()));
    }
    Ok(layers.resolve())
}

/// The settings, or every one that is wrong, one a line.
pub(super) fn settings(resolved: &Resolved) -> Result<Settings, Failure> {
    let (settings, mut errors) = match resolved.settings() {
        Ok(settings) => (Some(settings), Vec::new()),
        Err(errors) => (None, errors),
    };
    errors.extend(backend::mistakes(resolved));
    settings.filter(|_| errors.is_empty()).ok_or_else(|| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Code::Usage, lines.join("\n"))
    })
}
