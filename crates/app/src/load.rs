//! The texts of an app folder to an [`App`].

use crate::{App, Diagnostics};

/// A file of an app folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// Its path relative to the folder, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Checks the folder's files: `app.toml` and every `*.avsc`.
///
/// # Errors
/// Every mistake in them.
pub fn load(files: Vec<SourceFile>) -> Result<App, Diagnostics> {
    let _ = files;
    unimplemented!()
}
