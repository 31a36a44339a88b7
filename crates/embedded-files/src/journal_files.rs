//! Which files are journals.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The journals with their numbers, in order.
pub(crate) fn find(fjall: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(fjall)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|ending| ending == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}
