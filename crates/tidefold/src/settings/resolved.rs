//! What the layers come to: a text for every setting, and where it came from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The settings file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// This command-line flag.
    Flag(String),
}

/// Every setting's text and origin, by key; the properties of the section `kafka`, by librdkafka's names; and what was said of
/// settings that there are not.
#[derive(Clone, Default)]
pub struct Resolved(
    pub BTreeMap<&'static str, (String, Origin)>,
    pub BTreeMap<String, (String, Origin)>,
    pub(super) Vec<SettingError>,
);

/// A setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("{origin}: there is no setting `{key}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// The key as written.
        key: String,
        /// The nearest valid key.
        nearest: Option<String>,
    },
    /// Its text is not of its kind.
    #[error("{origin}: {key} = \"{text}\" is not {expected}")]
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// What was given.
        text: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// It names a log or a store that there is not.
    #[error("{origin}: {detail}")]
    Backend {
        /// Where it stands.
        origin: Origin,
        /// What was given, and what it has to be.
        detail: String,
    },
    /// The settings file cannot be read or is not TOML.
    #[error("{}: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

// === impl Origin ===

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

// === impl Resolved ===

impl std::fmt::Debug for Resolved {
    /// Values of secrets are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.0.iter().map(|(key, (text, origin))| ((*key).to_owned(), text, origin));
        let properties = self.1.iter().map(|(name, (text, origin))| (format!("kafka.{name}"), text, origin));
        f.debug_map()
            .entries(known.chain(properties).map(|(k, t, o)| {
                let shown = shown(&k, t).into_owned();
                (k, (shown, o))
            }))
            .finish()
    }
}

/// A setting's value as it may be printed: secrets, and logins in an address, are not.
#[must_use]
pub fn shown<'t>(key: &str, text: &'t str) -> Cow<'t, str> {
    const SECRET: [&str; 6] = ["password", "secret", "jaas", "token", "key.pem", "oauthbearer.config"];
    if SECRET.iter().any(|word| key.contains(word)) && !text.is_empty() {
        return Cow::Borrowed("***");
    }
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            Cow::Owned(format!("{}***{}", &text[..scheme + 3], &text[at..]))
        }
        _ => Cow::Borrowed(text),
    }
}
