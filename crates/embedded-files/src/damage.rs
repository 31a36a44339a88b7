//! For tests: every damage that can be done to one file of a folder, and a table of where it was noticed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// One bit of the byte at this place is another.
    Flip(u64),
    /// Only so many bytes are left.
    Cut(u64),
    /// It is gone.
    Missing,
    /// It is as it was at an earlier time.
    Older,
}

/// One damage to one file.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file, relative to the folder.
    pub file: PathBuf,
    /// What is done to it.
    pub harm: Harm,
}

/// Where a damage was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noticed {
    /// The folder was refused.
    AtStart,
    /// A read failed.
    AtRead,
    /// Something was missing that belongs at the end, everywhere alike, and was made again.
    MadeAgain,
    /// The newest writes are gone, as a sudden end leaves it.
    CutOff,
    /// All is there: the bytes do not count.
    Harmless,
}

/// How many damages of a kind, of a file and what was done to it, were noticed where.
#[derive(Default)]
pub struct Table(Mutex<BTreeMap<Kind, BTreeMap<Noticed, usize>>>);

type Kind = (String, &'static str);

/// Every case of a folder: flips and cuts at each `stride`th byte of the used part of each file, and at the last ones.
///
/// # Errors
/// The folder cannot be read.
pub fn cases(folder: &Path, older: &Path, stride: impl Fn(&Path) -> u64) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in files(folder)? {
        let bytes = fs::read(folder.join(&file))?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
        let step = stride(&file).max(1) as usize;
        let near_end = used.saturating_sub(16)..used;
        let flips = (0..used).step_by(step).chain(near_end.clone()).map(Harm::Flip);
        let cuts = (0..used).step_by(step).chain(near_end).map(Harm::Cut);
        let is_older = fs::read(older.join(&file)).is_ok_and(|before| before != bytes);
        let whole = [Harm::Missing].into_iter().chain(is_older.then_some(Harm::Older));
        cases.extend(flips.chain(cuts).chain(whole).map(|harm| Case { file: file.clone(), harm }));
    }
    Ok(cases)
}

/// Makes a copy of the folder with the damage done. Files that are written once are linked.
///
/// # Errors
/// The copy cannot be made.
pub fn damaged_copy(folder: &Path, older: &Path, case: &Case, copy: &Path) -> io::Result<()> {
    for directory in directories(folder)? {
        fs::create_dir_all(copy.join(directory))?;
    }
    for file in files(folder)? {
        let (from, to) = (folder.join(&file), copy.join(&file));
        match (file == case.file).then_some(case.harm) {
            None if file
                .components()
                .any(|part| part.as_os_str() == "tables" || part.as_os_str() == "blobs") =>
            {
                fs::hard_link(from, to)?;
            }
            None => drop(fs::copy(from, to)?),
            Some(Harm::Missing) => {}
            Some(Harm::Older) => drop(fs::copy(older.join(&file), to)?),
            Some(Harm::Cut(length)) => {
                fs::copy(from, &to)?;
                File::options().write(true).open(to)?.set_len(length)?;
            }
            Some(Harm::Flip(at)) => {
                fs::copy(from, &to)?;
                let file = File::options().read(true).write(true).open(to)?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at)?;
            }
        }
    }
    Ok(())
}

/// Runs all cases on some threads.
pub fn run(cases: &[Case], look: impl Fn(&Case) -> Noticed + Sync) -> Table {
    let (next, table) = (AtomicUsize::new(0), Table::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    table.note(case, look(case));
                }
            });
        }
    });
    table
}

/// All files below a folder, relative to it, in a fixed order.
///
/// # Errors
/// The folder cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    walk(folder, false)
}

fn directories(folder: &Path) -> io::Result<Vec<PathBuf>> {
    walk(folder, true)
}

fn walk(root: &Path, directories: bool) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let is_directory = entry.file_type()?.is_dir();
            if is_directory == directories {
                found.extend(entry.path().strip_prefix(root).map(Path::to_owned));
            }
            if is_directory {
                left.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

// === impl Table ===

impl Table {
    /// Counts one.
    pub fn note(&self, case: &Case, noticed: Noticed) {
        let harm = match case.harm {
            Harm::Flip(_) => "flipped",
            Harm::Cut(0) => "emptied",
            Harm::Cut(_) => "cut",
            Harm::Missing => "missing",
            Harm::Older => "older",
        };
        // Numbers of trees, tables and versions differ from run to run.
        let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == 'v');
        let parts: Vec<String> = case
            .file
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .map(|part| {
                if digits(&part) {
                    part.trim_matches(|c: char| c.is_ascii_digit()).to_owned() + "#"
                } else {
                    part
                }
            })
            .collect();
        let mut table = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *table.entry((parts.join("/"), harm)).or_default().entry(noticed).or_default() += 1;
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        writeln!(
            f,
            "{:40} {:8} {:>8} {:>8} {:>10} {:>8} {:>9}",
            "file", "harm", "at start", "at read", "made again", "cut off", "harmless"
        )?;
        for ((file, harm), noticed) in table.iter() {
            let places =
                [Noticed::AtStart, Noticed::AtRead, Noticed::MadeAgain, Noticed::CutOff, Noticed::Harmless];
            let [start, read, again, cut, harmless] =
                places.map(|place| noticed.get(&place).copied().unwrap_or(0));
            writeln!(f, "{file:40} {harm:8} {start:8} {read:8} {again:10} {cut:8} {harmless:9}")?;
        }
        Ok(())
    }
}
