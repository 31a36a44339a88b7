//! Settings: flag, environment, file, default, in that order; each knows where its value came from.
//!
//! One table (`table`) says what there is, by section. Everything else (types, the environment names, the file's sections,
//! the nearest valid name, `tidefold config`) follows from it.

mod parse;
mod resolved;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidefold_codec::nearest::{self, nearest};

pub use parse::{parse_bytes, parse_duration};
pub use resolved::{Origin, Resolved, SettingError, shown};
use table::NOT_SETTINGS;
pub use table::{Data, Fold, Ingest, Listen, Log, Projector, Run, SETTINGS, Setting, Settings, Store};

/// What the layers say, before anything is judged. Later layers win.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The settings file: path and text.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags: (`--http`, `listen.http`, value).
    pub flags: Vec<(&'static str, String, String)>,
}

// === impl Layers ===

impl Layers {
    /// The value of every setting and where it came from. What is wrong is kept for [`Resolved::settings`], which tells all
    /// of it: unknown keys of the file and of `TIDEFOLD_…` variables that name a section, and variables that are nearly the
    /// name of a setting. Other `TIDEFOLD_…` variables are left alone: orchestrators put some of their own beside ours.
    #[must_use]
    pub fn resolve(self) -> Resolved {
        let defaults = SETTINGS.iter().map(|s| (s.key, (s.default.to_owned(), Origin::Default)));
        let mut values = Resolved(defaults.collect(), BTreeMap::new(), Vec::new());
        let mut errors = Vec::new();
        if let Some((path, text)) = self.file {
            take_file(&path, &text, &mut values, &mut errors);
        }
        for (name, value) in self.environment {
            let Some(rest) = name.strip_prefix("TIDEFOLD_") else { continue };
            if !rest.contains("__") {
                errors.extend(nearly(&name, rest));
                continue;
            }
            let origin = Origin::Environment(name.clone());
            put(&mut values, &mut errors, &rest.replace("__", ".").to_ascii_lowercase(), value, origin);
        }
        for (flag, key, value) in self.flags {
            put(&mut values, &mut errors, &key, value, Origin::Flag(flag.to_owned()));
        }
        values.2 = errors;
        values
    }
}

fn put(values: &mut Resolved, errors: &mut Vec<SettingError>, key: &str, text: String, origin: Origin) {
    if let Some(known) = SETTINGS.iter().find(|s| s.key == key) {
        values.0.insert(known.key, (text, origin));
        return;
    }
    if let Some(property) = key.strip_prefix("kafka.") {
        // The environment has no dots; librdkafka's names have no underscores where it counts.
        values.1.insert(property.replace('_', "."), (text, origin));
        return;
    }
    let nearest = nearest(key, SETTINGS.iter().map(|s| s.key)).map(str::to_owned);
    errors.push(SettingError::Unknown { origin, key: key.to_owned(), nearest });
}

/// A variable without the two underscores that a setting's name has, but near to one.
fn nearly(name: &str, rest: &str) -> Option<SettingError> {
    if NOT_SETTINGS.contains(&rest) {
        return None;
    }
    let distance = |setting: &Setting| {
        let whole = setting.key.replace('.', "_").to_ascii_uppercase();
        let alone = whole.split_once('_').map(|(_, key)| key) == Some(rest);
        if alone { 0 } else { nearest::distance(rest, &whole) }
    };
    let (near, setting) = SETTINGS.iter().map(|s| (distance(s), s)).min_by_key(|(near, _)| *near)?;
    (near <= 2).then(|| SettingError::Unknown {
        origin: Origin::Environment(name.to_owned()),
        key: name.to_owned(),
        nearest: Some(setting.environment_name()),
    })
}

fn take_file(path: &std::path::Path, text: &str, values: &mut Resolved, errors: &mut Vec<SettingError>) {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            errors.push(SettingError::File { path: path.to_owned(), detail: error.to_string() });
            return;
        }
    };
    for (section, entries) in table {
        let Some(entries) = entries.as_table() else {
            put(values, errors, &section, String::new(), Origin::File(path.to_owned()));
            continue;
        };
        for (name, value) in entries {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            put(values, errors, &format!("{section}.{name}"), text, Origin::File(path.to_owned()));
        }
    }
}

// === impl Resolved ===

impl Resolved {
    /// Every setting that somebody gave another value than its default, as it may be printed.
    #[must_use]
    pub fn given(&self) -> BTreeMap<String, String> {
        let differs = |key: &str, text: &str| SETTINGS.iter().any(|s| s.key == key && s.default != text);
        let known = self.0.iter().filter(|(key, (text, _))| differs(key, text));
        let known = known.map(|(key, (text, _))| ((*key).to_owned(), text));
        let properties = self.1.iter().map(|(name, (text, _))| (format!("kafka.{name}"), text));
        known.chain(properties).map(|(key, text)| (key.clone(), shown(&key, text).into_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        Layers {
            file: Some((
                "tidefold.toml".into(),
                "[listen]\nhttp = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n".into(),
            )),
            environment: vec![
                ("TIDEFOLD_LISTEN__HTTP".into(), "127.0.0.1:3".into()),
                ("HOME".into(), "/".into()),
            ],
            flags: vec![("--http", "listen.http".into(), "127.0.0.1:4".into())],
        }
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let resolved = layers().resolve();
        assert_eq!(resolved.0["listen.http"].1, Origin::Flag("--http".into()));
        assert_eq!(resolved.0["listen.admin"].1, Origin::File("tidefold.toml".into()));
        assert_eq!(resolved.0["run.drain"].1, Origin::Default);
        let without_flag = Layers { flags: vec![], ..layers() }.resolve();
        assert_eq!(
            without_flag.0["listen.http"],
            ("127.0.0.1:3".into(), Origin::Environment("TIDEFOLD_LISTEN__HTTP".into()))
        );
        assert_eq!(resolved.settings().unwrap().listen.http.port(), 4);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let file = Some(("t.toml".into(), "[listen]\nhtpp = \"x\"\n[colour]\nx = 1\n".into()));
        let errors = Layers { file, ..Layers::default() }.resolve().settings().err().unwrap();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "file t.toml: there is no setting `listen.htpp`; did you mean `listen.http`?",
                "file t.toml: there is no setting `colour.x`"
            ]
        );
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_refused_and_others_are_left_alone() {
        let named = |name: &str| {
            let environment = vec![(name.to_owned(), "x".to_owned())];
            Layers { environment, ..Layers::default() }
                .resolve()
                .settings()
                .map(drop)
                .map_err(|e| e[0].to_string())
        };
        let nearest = |name: &str| named(name).unwrap_err().rsplit_once("mean ").unwrap().1.to_owned();
        assert_eq!(nearest("TIDEFOLD_LISTEN_ADMIN"), "`TIDEFOLD_LISTEN__ADMIN`?");
        assert_eq!(nearest("TIDEFOLD_LISTEN_ADMN"), "`TIDEFOLD_LISTEN__ADMIN`?");
        assert_eq!(nearest("TIDEFOLD_HTTP"), "`TIDEFOLD_LISTEN__HTTP`?");
        assert_eq!(nearest("TIDEFOLD_PROJECTOR_CACHE_BYTES"), "`TIDEFOLD_PROJECTOR__CACHE_BYTES`?");
        for other in ["CONFIG", "NODE", "URL", "SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8080_TCP_ADDR"] {
            assert_eq!(named(&format!("TIDEFOLD_{other}")), Ok(()), "{other}");
        }
    }

    #[test]
    fn every_wrong_text_is_named() {
        let environment = vec![
            ("TIDEFOLD_LISTEN__HTTP".into(), "localhost".into()),
            ("TIDEFOLD_RUN__DRAIN".into(), "ten".into()),
            ("TIDEFOLD_RUN__DRIAN".into(), "10s".into()),
            ("TIDEFOLD_LOG__GROUP_PROTOCOL".into(), "modern".into()),
        ];
        let errors = Layers { environment, ..Layers::default() }.resolve().settings().err().unwrap();
        assert_eq!(errors.len(), 4, "{errors:?}");
    }

    #[test]
    fn properties_of_kafka_pass_through_and_secrets_are_not_printed() {
        let environment = vec![
            ("TIDEFOLD_KAFKA__SASL_PASSWORD".into(), "hush".into()),
            ("TIDEFOLD_STORE__PASSWORD".into(), "hush".into()),
        ];
        let file = Some(("t.toml".into(), "[kafka]\n\"security.protocol\" = \"SASL_SSL\"\n".into()));
        let resolved = Layers { environment, file, ..Layers::default() }.resolve();
        assert!(!format!("{resolved:?}").contains("hush"));
        let settings = resolved.settings().ok().unwrap();
        assert_eq!(settings.kafka["sasl.password"], "hush");
        assert_eq!(settings.kafka["security.protocol"], "SASL_SSL");
        assert_eq!(settings.store.password.as_deref(), Some("hush"));
    }

    #[test]
    fn files_for_tls_are_refused_while_it_is_off() {
        let ca = ("TIDEFOLD_STORE__TLS_CA".to_owned(), "/ca.pem".to_owned());
        let tls = ("TIDEFOLD_STORE__TLS".to_owned(), "on".to_owned());
        let settings = |environment: Vec<(String, String)>| {
            Layers { environment, ..Layers::default() }.resolve().settings().map_err(|e| e[0].to_string())
        };
        let refused = settings(vec![ca.clone()]).err().unwrap();
        assert!(refused.contains("store.tls_ca") && refused.contains("set store.tls to on"), "{refused}");
        assert_eq!(settings(vec![ca, tls]).ok().unwrap().store.tls_ca, Some("/ca.pem".into()));
    }

    #[test]
    fn every_default_is_of_its_kind() {
        assert!(Layers::default().resolve().settings().is_ok());
    }
}
