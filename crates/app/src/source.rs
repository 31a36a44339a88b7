//! The files of an app folder.

/// The file that makes a folder an app.
pub const APP_FILE: &str = "app.toml";

/// A file of an app folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// Its path relative to the folder, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}
