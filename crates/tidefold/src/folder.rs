//! App folders on disk.

use std::path::{Path, PathBuf};

use tidefold_app::diagnostic::Style;
use tidefold_app::source::APP_FILE;
use tidefold_app::{App, Diagnostics, SourceFile};

use crate::failure::{Code, Failure};
use crate::output::Output;

/// Reads `app.toml`, every `*.avsc` and, where asked, `scenarios/*.toml` of a folder.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn read(folder: &Path, scenarios: bool) -> Result<(Vec<SourceFile>, Vec<SourceFile>), Failure> {
    let sources = files(folder, "", |name| name == APP_FILE || name.ends_with(".avsc"))?;
    let there = folder.join("scenarios");
    let tests = if scenarios && there.is_dir() {
        files(&there, "scenarios/", |name| name.ends_with(".toml"))?
    } else {
        Vec::new()
    };
    if !sources.iter().any(|file| file.path == APP_FILE) {
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

/// The checked app of a name: of a folder, or of one in it, whatever those are called.
///
/// # Errors
/// When there is none, or it cannot be read or is wrong.
pub fn find(folder: &Path, name: &str, output: &Output) -> Result<App, Failure> {
    if folder.join(APP_FILE).is_file() {
        return match name_of(folder) {
            Some(other) if other != name => {
                let text = format!("{} is the folder of the app {other}, not of {name}", folder.display());
                Err(Failure::new(Code::NotFound, text))
            }
            _ => load(folder, output),
        };
    }
    let named: Vec<_> = folders(folder)?.into_iter().map(|inner| (name_of(&inner), inner)).collect();
    // One that cannot be read to its name may be the one that is called so.
    let is_it = |of: &Option<String>, inner: &Path| match of {
        Some(of) => of == name,
        None => inner.file_name().is_some_and(|called| called == name),
    };
    if let Some((_, inner)) = named.iter().find(|(of, inner)| is_it(of, inner)) {
        return load(inner, output);
    }
    let there =
        |(of, inner): &(Option<String>, PathBuf)| Some(format!("{} in {}", of.as_ref()?, inner.display()));
    let there: Vec<_> = named.iter().filter_map(there).collect();
    let text = match there.is_empty() {
        true => format!("{} is no app folder, and none lies in it", folder.display()),
        false => format!("{} has no app {name}; it has {}", folder.display(), there.join(", ")),
    };
    Err(Failure::new(Code::NotFound, text))
}

/// The app folders that lie in a folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.join(APP_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The name that an app folder gives itself, if it can be read that far.
fn name_of(folder: &Path) -> Option<String> {
    let text = text(std::fs::read(folder.join(APP_FILE)).ok()?).ok()?;
    let table: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    table.get("app")?.as_str().map(str::to_owned)
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

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let code = if error.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Failed };
    Failure::new(code, format!("{} cannot be read\n  because: {error}", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An app folder of a name, called otherwise.
    fn app(folder: &Path, name: &str) {
        let schema = r#"{"type":"record","name":"Seen","fields":[{"name":"id","type":"string"}]}"#;
        let text = format!(
            "app = \"{name}\"\n[topics.t]\nkey = [\"id\"]\npartitions = 1\nevents = [\"Seen\"]\n\
             [views.v]\nsql = \"SELECT id FROM Seen\"\npartition_key = [\"id\"]\n"
        );
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("Seen.avsc"), schema).unwrap();
        std::fs::write(folder.join(APP_FILE), text).unwrap();
    }

    #[test]
    fn an_app_is_found_by_the_name_in_its_definition() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        app(&path("mine"), "shop");
        app(&path("shop"), "other");
        let found = |folder: &Path, name| {
            find(folder, name, &Output::plain()).map(|app| app.name).map_err(|failure| failure.text)
        };
        assert_eq!(found(root.path(), "shop").as_deref(), Ok("shop"));
        assert_eq!(found(&path("mine"), "shop").as_deref(), Ok("shop"));
        let wrong = found(&path("shop"), "shop").unwrap_err();
        assert!(wrong.ends_with("is the folder of the app other, not of shop"), "{wrong}");
        let wrong = found(root.path(), "none").unwrap_err();
        assert!(wrong.contains("has no app none; it has shop in ") && wrong.contains("other in "), "{wrong}");
        assert!(found(&path("nowhere"), "shop").unwrap_err().contains("cannot be read"));
        std::fs::create_dir(path("empty")).unwrap();
        assert!(found(&path("empty"), "shop").unwrap_err().contains("is no app folder"));
    }

    #[test]
    fn what_is_wrong_with_the_folder_that_is_called_so_is_told() {
        let root = tempfile::tempdir().unwrap();
        app(&root.path().join("shop"), "shop");
        std::fs::write(root.path().join("shop/app.toml"), "app = \n").unwrap();
        let wrong = find(root.path(), "shop", &Output::plain()).unwrap_err();
        assert!(wrong.text.contains("app.toml:1:"), "{}", wrong.text);
    }
}
