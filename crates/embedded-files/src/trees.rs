//! The trees of a database: that each which is named is there, as its own files say, and how new its files are.
//!
//! ```text
//! keyspaces/0/current        number of the version that counts, XXH3-128 of its file, kind of checksum
//! keyspaces/0/v5             which tables and blob files the version has
//! keyspaces/0/tables/        and so on: tree 0 has the names of the others
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use lsm_tree::{AbstractTree as _, AnyTree, Config, Guard as _, KvSeparationOptions, SequenceNumberCounter};
use twox_hash::XxHash3_128;

use crate::fault::{Fault, damaged, disk};
use crate::versions;

/// What [`look`] found of one tree.
pub(crate) struct Tree {
    pub name: String,
    /// The highest sequence number in its files.
    pub persisted: Option<u64>,
}

/// Looks at all trees, by their number. `separated` tells of which the values lie in blob files.
pub(crate) fn look(fjall: &Path, separated: fn(&str) -> bool) -> Result<BTreeMap<u64, Tree>, Fault> {
    let folder = fjall.join("keyspaces");
    let names = guarded("keyspaces/0", || names(&folder))?;
    let mut trees = BTreeMap::new();
    for (id, name) in names {
        let place = format!("keyspaces/{id}");
        let persisted = guarded(&place, || {
            Ok(open(&folder.join(id.to_string()), &place, separated(&name))?.get_highest_persisted_seqno())
        })?;
        trees.insert(id, Tree { name, persisted });
    }
    Ok(trees)
}

/// The names of all trees but the first, which holds them: `n` and the number, big-endian, in front.
fn names(folder: &Path) -> Result<BTreeMap<u64, String>, Fault> {
    let meta = open(&folder.join("0"), "keyspaces/0", false)?;
    let mut names = BTreeMap::new();
    for entry in meta.prefix("n", u64::MAX, None) {
        let (key, name) = entry.into_inner().map_err(|error| unreadable("keyspaces/0", error))?;
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
        let name = String::from_utf8(name.to_vec()).ok();
        let (id, name) = id.zip(name).ok_or_else(|| damaged("keyspaces/0 has a name that is none"))?;
        names.insert(id, name);
    }
    Ok(names)
}

/// Opens a tree after its list of files was found to be whole. fjall would make a new one where `current` is missing.
fn open(path: &Path, place: &str, separated: bool) -> Result<AnyTree, Fault> {
    check_version(path, place)?;
    let counter = SequenceNumberCounter::default();
    Config::new(path, counter.clone(), counter)
        .with_kv_separation(separated.then(KvSeparationOptions::default))
        .open()
        .map_err(|error| unreadable(place, error))
}

fn check_version(path: &Path, place: &str) -> Result<(), Fault> {
    let read = |name: &str| match fs::read(path.join(name)) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(damaged(format!("{place}/{name} is missing")))
        }
        Err(error) => Err(disk(&path.join(name))(error)),
    };
    let current = read("current")?;
    let parts = current.split_first_chunk::<8>().and_then(|(version, rest)| {
        let (sum, kind) = rest.split_first_chunk::<16>()?;
        (kind == [0]).then_some((u64::from_le_bytes(*version), u128::from_le_bytes(*sum)))
    });
    let Some((version, sum)) = parts else {
        return Err(damaged(format!("{place}/current is damaged ({} bytes of 25)", current.len())));
    };
    if XxHash3_128::oneshot(&read(&format!("v{version}"))?) != sum {
        let detail = format!("{place}/v{version} or {place}/current is damaged: the checksum does not match");
        return Err(damaged(detail));
    }
    versions::check_listed(path, &path.join(format!("v{version}")), place)
}

fn unreadable(place: &str, error: lsm_tree::Error) -> Fault {
    match error {
        lsm_tree::Error::Io(source)
            if !matches!(
                source.kind(),
                ErrorKind::NotFound
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
            ) =>
        {
            Fault::Disk { path: place.into(), source }
        }
        error => damaged(format!("{place} does not read: {error:?}")),
    }
}

/// lsm-tree panics at some kinds of damage; to us it is damage like any other.
fn guarded<T>(place: &str, look: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|_| Err(damaged(format!("the files of {place} do not fit together"))))
}
