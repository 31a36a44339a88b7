//! The list that a folder has once it was closed in order: each file with its size, and with the checksum of its bytes
//! where fjall has none of its own.
//!
//! ```text
//! closed 2
//! 65 4a3b2c1d format        bytes, CRC-32C or `-`, name
//! sum 1a2b3c4d              CRC-32C of the lines before
//! ```
//!
//! Earlier releases wrote lines of bytes and name alone, and no first or last line. Such a list still counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::fault::{Fault, damaged, disk};

const NAME: &str = "closed";
const FIRST_LINE: &str = "closed 2";

/// How the folder was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// In order: all files are those that were there, as far as the list tells.
    InOrder,
    /// Suddenly, or it was never open: there is no list, or an empty one.
    Suddenly,
}

/// Compares the files under `root` with the list in it.
///
/// # Errors
/// A file is missing, shorter, longer or other than it was, all of them named; the list itself is damaged; the disk
/// refuses.
pub fn check_list(root: &Path) -> Result<Closed, Fault> {
    let path = root.join(NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Closed::Suddenly),
        Err(source) => return Err(Fault::Disk { path, source }),
    };
    if text.is_empty() {
        return Ok(Closed::Suddenly);
    }
    let broken = || damaged(format!("{NAME}, the list of the folder's files, is damaged"));
    let text = String::from_utf8(text).map_err(|_| broken())?;
    let there = files(root).map_err(disk(root))?;
    let mut wrong = Vec::new();
    for (bytes, sum, name) in entries(&text).ok_or_else(broken)? {
        match there.get(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(found) if *found != bytes => {
                wrong.push(format!("{name} has {found} bytes and had {bytes}"));
            }
            Some(_) => {
                let path = root.join(name);
                if let Some(sum) = sum
                    && checksum(&path).map_err(disk(&path))? != sum
                {
                    wrong.push(format!("{name} has other bytes than when it was closed"));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(Closed::InOrder) } else { Err(damaged(wrong.join(", "))) }
}

/// Lists the files as they are, now that nobody writes them and they are synced.
///
/// # Errors
/// The disk does not take it.
pub fn write_list(root: &Path) -> io::Result<()> {
    let mut text = format!("{FIRST_LINE}\n");
    for (name, bytes) in files(root)? {
        let sum = match has_own_checksums(&name) {
            true => "-".to_owned(),
            false => format!("{:08x}", checksum(&root.join(&name))?),
        };
        let _ = writeln!(text, "{bytes} {sum} {name}");
    }
    let _ = writeln!(text, "sum {:08x}", crc32c::crc32c(text.as_bytes()));
    let beside = root.join("closed.new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, root.join(NAME))?;
    File::open(root)?.sync_all()
}

/// Removes the list: from now on files change.
///
/// # Errors
/// The disk does not take it.
pub fn remove_list(root: &Path) -> io::Result<()> {
    match fs::remove_file(root.join(NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        // Synced, or a list from before could outlive a loss of power.
        Ok(()) => File::open(root)?.sync_all(),
    }
}

/// The entries of a whole list.
fn entries(text: &str) -> Option<Vec<(u64, Option<u32>, &str)>> {
    let Some(rest) = text.strip_prefix(FIRST_LINE) else {
        return text.lines().map(|line| line.split_once(' ').and_then(without_sum)).collect();
    };
    let (entries, sum) = rest.strip_prefix('\n')?.rsplit_once("sum ")?;
    let listed = text.get(..text.len() - "sum 00000000\n".len())?;
    if sum.strip_suffix('\n')? != format!("{:08x}", crc32c::crc32c(listed.as_bytes())) {
        return None;
    }
    entries
        .lines()
        .map(|line| {
            let (bytes, rest) = line.split_once(' ')?;
            let (sum, name) = rest.split_once(' ')?;
            let sum = if sum == "-" { None } else { Some(u32::from_str_radix(sum, 16).ok()?) };
            Some((bytes.parse().ok()?, sum, name))
        })
        .collect()
}

fn without_sum<'a>((bytes, name): (&str, &'a str)) -> Option<(u64, Option<u32>, &'a str)> {
    Some((bytes.parse().ok()?, None, name))
}

/// Tables and blob files are written once and have a checksum a block. Locks have no bytes that count.
fn has_own_checksums(name: &str) -> bool {
    name.contains("/tables/") || name.contains("/blobs/") || name == "lock" || name.ends_with("/lock")
}

fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; 256 << 10];
    let mut sum = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sum),
            length => sum = crc32c::crc32c_append(sum, piece.get(..length).unwrap_or_default()),
        }
    }
}

/// Every file under a folder but the list itself, with its size.
fn files(root: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(root)
                && name != Path::new(NAME)
                && name != Path::new("closed.new")
            {
                found.insert(name.to_string_lossy().replace('\\', "/"), entry.metadata()?.len());
            }
        }
    }
    Ok(found)
}
