//! A mistake in an app folder, and how it is printed.

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule it breaks, a kebab-case name documented in `docs/app-language.md`.
    pub rule: &'static str,
    /// The file, relative to the app folder.
    pub file: String,
    /// Byte range in the file; empty ranges point between bytes.
    pub span: std::ops::Range<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do: the nearest valid name, the allowed values.
    pub help: Option<String>,
}

/// All mistakes of a folder, with the texts they point into.
#[derive(Debug)]
pub struct Diagnostics {
    /// The mistakes, by file and place.
    pub list: Vec<Diagnostic>,
    /// The texts of the folder.
    pub sources: Vec<crate::SourceFile>,
}
