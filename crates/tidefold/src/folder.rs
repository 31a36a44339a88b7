//! App folders on disk.

use std::path::Path;

use tidefold_app::diagnostic::Style;
use tidefold_app::{App, Diagnostics, SourceFile};

use crate::failure::{Code, Failure};
use crate::output::Output;

/// Reads `app.toml`, every `*.avsc` and, where asked, `scenarios/*.toml` of a folder.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn read(folder: &Path, scenarios: bool) -> Result<(Vec<SourceFile>, Vec<SourceFile>), Failure> {
    let sources = files(folder, "", |name| name == "app.toml" || name.ends_with(".avsc"))?;
    let there = folder.join("scenarios");
    let tests = if scenarios && there.is_dir() {
        files(&there, "scenarios/", |name| name.ends_with(".toml"))?
    } else {
        Vec::new()
    };
    if !sources.iter().any(|file| file.path == "app.toml") {
        let text = format!("{} has no app.toml: it is not an app folder", folder.display());
        return Err(Failure::new(Code::NotFound, text));
    }
    Ok((sources, tests))
}

/// The checked app of a folder.
///
/// # Errors
/// When it cannot be read or is wrong: every mistake, printed as a compiler would.
pub fn load(folder: &Path, output: &Output) -> Result<App, Failure> {
    let (sources, _) = read(folder, false)?;
    tidefold_app::load(sources).map_err(|wrong| refuse(&wrong, folder, output))
}

/// All mistakes as one failure.
#[must_use]
pub fn refuse(wrong: &Diagnostics, folder: &Path, output: &Output) -> Failure {
    let style = if output.colors() { Style::Colored } else { Style::Plain };
    let text = wrong.render(style);
    let text = format!("{}\n\n{}: {}", text.trim_end(), folder.display(), wrong.count());
    Failure::new(Code::Failed, text)
}

fn files(folder: &Path, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<SourceFile>, Failure> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Failed };
        Failure::new(code, format!("{} cannot be read\n  because: {error}", path.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| wanted(name)) else {
            continue;
        };
        let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let text =
            text(bytes).map_err(|why| Failure::new(Code::Failed, format!("{}: {why}", path.display())))?;
        files.push(SourceFile { path: format!("{prefix}{name}"), text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// A file's text, or why it has none.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    if let Some(foreign) = tidefold_codec::encoding::foreign(&bytes) {
        return Err(foreign.to_string());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text; save the file as UTF-8")
    })
}
