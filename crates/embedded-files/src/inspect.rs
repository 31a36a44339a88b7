//! A folder of fjall as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::fault::{Fault, damaged, disk};
use crate::journal::{self, Journals, Tail};
use crate::list::Closed;
use crate::marks;
use crate::trees::{self, Tree};

/// What the folder's owner knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// How the folder was left.
    pub closed: Closed,
    /// What a sudden end leaves.
    pub tail: Tail,
    /// The keyspace that [`crate::Marks`] are kept in.
    pub marks: &'static str,
    /// Whether the values of the keyspace of this name lie in blob files.
    pub separated: fn(&str) -> bool,
}

/// Looks at the folder, and cuts off what breaks off at the end of the newest journal. With an error nothing is changed.
///
/// # Errors
/// [`Fault::Damaged`] where bytes are wrong or missing that no sudden end takes; [`Fault::Unproved`] where it may have;
/// [`Fault::Disk`] where the system refuses.
pub fn inspect(fjall: &Path, expected: &Expected) -> Result<(), Fault> {
    for needed in ["version", "lock", "keyspaces"] {
        if !fjall.join(needed).exists() {
            return Err(damaged(format!("{needed} is missing")));
        }
    }
    let trees = trees::look(fjall, expected.separated)?;
    let marks_in = trees.iter().find(|(_, tree)| tree.name == expected.marks).map(|(id, _)| *id);
    let journals = journal::read_all(fjall, expected.tail, marks_in)?;
    check_newest(&trees, &journals, expected, marks_in.is_some())?;
    if expected.closed == Closed::Suddenly {
        check_marks(&trees, &journals, expected.tail)?;
        if expected.tail == Tail::OneBatch {
            check_note(fjall, marks_in.and_then(|id| trees.get(&id)), &journals)?;
        }
    }
    let Some(cut) = journals.cut else { return Ok(()) };
    if expected.closed == Closed::InOrder {
        return Err(damaged(format!("{} breaks off at byte {}", cut.path.display(), cut.at)));
    }
    tracing::warn!(
        journal = %cut.path.display(), at = cut.at, bytes = cut.bytes, "cut off {}",
        match expected.tail {
            Tail::OneBatch => "a write that was not finished and not acknowledged",
            Tail::AnyBatches => "writes that had not reached the disk; they are made again",
        }
    );
    let file = File::options().write(true).open(&cut.path).map_err(disk(&cut.path))?;
    file.set_len(cut.at as u64).and_then(|()| file.sync_all()).map_err(disk(&cut.path))
}

/// No tree's file is newer than the journals: they are synced before it is written.
fn check_newest(
    trees: &BTreeMap<u64, Tree>,
    journals: &Journals,
    expected: &Expected,
    marked: bool,
) -> Result<(), Fault> {
    let newest = trees.iter().filter_map(|(id, tree)| Some((tree.persisted?, id, &tree.name))).max();
    match (newest, journals.sequences.last()) {
        (Some((persisted, id, name)), Some(last)) if persisted > *last => Err(damaged(format!(
            "the journals end with write {last}, and keyspaces/{id} ({name}) has write {persisted}: what was between \
             is lost from journal {}",
            journals.newest
        ))),
        (Some((persisted, id, name)), None) if journals.newest == 0 => {
            Err(damaged(format!("journal 0 has no write, and keyspaces/{id} ({name}) has write {persisted}")))
        }
        // Since the marks are written when a folder is opened, a journal that was never rotated has them.
        (None, None) if marked && journals.newest == 0 && expected.closed == Closed::Suddenly => {
            let detail = "journal 0 has no write, and was begun with one".to_owned();
            match expected.tail {
                Tail::OneBatch => Err(Fault::Damaged { detail }),
                Tail::AnyBatches => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// What was in journals that are gone is in the trees' files.
fn check_marks(trees: &BTreeMap<u64, Tree>, journals: &Journals, tail: Tail) -> Result<(), Fault> {
    for (id, mark) in &journals.marks {
        let Some(tree) = trees.get(id) else { continue };
        let in_files = tree.persisted.is_some_and(|persisted| *mark <= persisted);
        if in_files || journals.sequences.binary_search(mark).is_ok() {
            continue;
        }
        let detail = format!(
            "write {mark} of keyspaces/{id} ({}) is neither in its files nor in a journal: a journal from {} on is \
             missing or cut",
            tree.name,
            journals.oldest.saturating_sub(1)
        );
        return Err(match tail {
            Tail::OneBatch => Fault::Damaged { detail },
            Tail::AnyBatches => Fault::Unproved { detail },
        });
    }
    let unmarked = journals.oldest > 0 && journals.marks.is_empty();
    if unmarked && tail == Tail::AnyBatches {
        let detail = format!("journal {} does not say what the journals before it held", journals.oldest);
        return Err(Fault::Unproved { detail });
    }
    Ok(())
}

/// The write that was noted when the newest journal was marked is there: it was synced.
fn check_note(fjall: &Path, marked: Option<&Tree>, journals: &Journals) -> Result<(), Fault> {
    let Some((journal, write)) = marks::noted(fjall) else { return Ok(()) };
    if journals.newest < journal {
        return Err(damaged(format!("journal {journal}.jnl is missing")));
    }
    let in_files = marked.is_some_and(|tree| tree.persisted >= Some(write));
    if in_files || journals.sequences.binary_search(&write).is_ok() {
        return Ok(());
    }
    Err(damaged(format!("write {write} was synced in journal {journal}, and is not there")))
}
