//! App folders of the repository, for the tests of the loader.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not there")]

use std::path::{Path, PathBuf};

use tidefold_app::{App, SourceFile, load};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text files of an app folder, scenarios included.
pub fn folder(name: &str) -> Vec<SourceFile> {
    let folder = root().join("schemas").join(name);
    let mut files = Vec::new();
    for (below, prefix) in [(folder.clone(), ""), (folder.join("scenarios"), "scenarios/")] {
        let Ok(entries) = std::fs::read_dir(&below) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".toml") || name.ends_with(".avsc") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push(SourceFile { path: format!("{prefix}{name}"), text });
            }
        }
    }
    assert!(!files.is_empty(), "there is no app {name}");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Loads files that are right.
#[allow(dead_code)]
pub fn app(files: Vec<SourceFile>) -> App {
    load(files).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// The storefront with pieces replaced.
#[allow(dead_code)]
pub fn storefront_with(patches: &[(&str, &str, &str)]) -> Vec<SourceFile> {
    let mut files = folder("storefront");
    for (path, find, replace) in patches {
        let file = files.iter_mut().find(|file| file.path == *path).unwrap();
        assert!(file.text.contains(find), "`{find}` does not occur in {path}");
        file.text = file.text.replacen(find, replace, 1);
    }
    files
}
