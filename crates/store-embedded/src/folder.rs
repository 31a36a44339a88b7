//! The folder: whose it is, that nobody else has it, and that all its files are there.
//!
//! A store is made beside its place and renamed into it, so `rows` is there whole or not at all. What lies in it is looked
//! at before fjall opens it (`tidefold-embedded-files`). Damage is refused. Of a store that was not closed, a suffix of the
//! writes may be missing, of all tables alike; where that cannot be proved, the store begins anew, and the log is folded
//! again.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::Database;
use fjall::compaction::filter::Factory;
use tidefold_embedded_files::{self as files, Expected, Fault, Tail};

use crate::error::{OpenError, text};
use crate::forget::{ForgetDeletes, Passed};
use crate::settings::Settings;
use crate::{lanes, tables};

const VERSION: u32 = 1;
const FIRST_WORD: &str = "tidefold-store";
const LOCK: &str = "lock";
const ROWS: &str = "rows";
const MAKING: &str = "rows.making";
const FORMAT: &str = "format";
const FJALL: &str = "fjall";
/// Threads that flush and merge: two, so that a flush need not wait for a merge.
const WORKERS: usize = 2;

/// A store's folder, held by this process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    id: String,
    /// Whether all that was written is synced, and nothing will be.
    in_order: bool,
    /// Released when the folder is dropped, or the process ends.
    _lock: File,
}

// === impl Folder ===

impl Folder {
    /// Takes the folder, makes the store if there is none, and checks that it is the one that is meant.
    pub(crate) fn open(path: PathBuf, identity: Option<&str>) -> Result<Folder, OpenError> {
        let fails = |what: &'static str| {
            let folder = path.clone();
            move |source| OpenError::Io { folder, what: what.to_owned(), source }
        };
        fs::create_dir_all(&path).map_err(fails("making the folder"))?;
        if !path.join(ROWS).exists() {
            only_ours(&path)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(fails("opening its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { folder: path }),
            Err(TryLockError::Error(source)) => return Err(fails("locking it")(source)),
        }
        let mut folder = Folder { path: path.clone(), id: String::new(), in_order: false, _lock: lock };
        if !path.join(ROWS).exists() {
            folder.make(identity.unwrap_or_default())?;
        }
        let found = folder.read_format()?;
        folder.id = found.id;
        if let Some(expected) = identity
            && found.identity != expected
        {
            return Err(OpenError::Identity {
                folder: path,
                found: found.identity,
                expected: expected.to_owned(),
            });
        }
        match folder.look() {
            Ok(()) => Ok(folder),
            Err(Fault::Damaged { detail }) => Err(folder.damage(format!("{ROWS}/{detail}"))),
            Err(Fault::Disk { path: place, source }) => {
                Err(OpenError::Io { folder: path, what: format!("reading {}", place.display()), source })
            }
            Err(Fault::Unproved { detail }) => {
                folder.begin_anew(&found.identity, &detail)?;
                folder.id = folder.read_format()?.id;
                Ok(folder)
            }
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens fjall's database.
    pub(crate) fn database(&self, settings: &Settings, passed: &Arc<Passed>) -> Result<Database, OpenError> {
        let path = self.fjall();
        let passed = Arc::clone(passed);
        let filters = move |keyspace: &str| -> Option<Arc<dyn Factory>> {
            let table = keyspace.strip_prefix(tables::PREFIX)?;
            Some(Arc::new(ForgetDeletes::new(Arc::clone(&passed), table)))
        };
        let builder = Database::builder(&path)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(128 << 20)
            .worker_threads(WORKERS)
            .with_compaction_filter_factories(Arc::new(filters));
        // fjall panics at some kinds of damage; to us it is damage like any other.
        self.unlist()?;
        match catch_unwind(AssertUnwindSafe(|| builder.open())) {
            Ok(Ok(database)) => Ok(database),
            Ok(Err(error)) => Err(self.damaged(error)),
            Err(_) => Err(self.damage("its files do not fit together".to_owned())),
        }
    }

    /// What it means that fjall does not open or write.
    pub(crate) fn damaged(&self, error: fjall::Error) -> OpenError {
        match error {
            fjall::Error::Locked => OpenError::InUse { folder: self.path.clone() },
            fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
                if !missing(&source) =>
            {
                self.fails("reading or writing its files")(source)
            }
            error => self.damage(text(&error)),
        }
    }

    fn damage(&self, detail: String) -> OpenError {
        OpenError::Damaged { folder: self.path.clone(), detail }
    }

    fn fails(&self, what: &str) -> impl Fn(io::Error) -> OpenError + use<> {
        let (folder, what) = (self.path.clone(), what.to_owned());
        move |source| OpenError::Io { folder: folder.clone(), what: what.clone(), source }
    }

    /// Makes an empty store beside its place, and moves it there.
    fn make(&self, identity: &str) -> Result<(), OpenError> {
        let fails = self.fails("making the store");
        let making = self.path.join(MAKING);
        if making.exists() {
            fs::remove_dir_all(&making).map_err(&fails)?;
        }
        fs::create_dir(&making).map_err(&fails)?;
        let format = Format { version: VERSION, id: new_id(), identity: identity.to_owned() };
        write_synced(&making.join(FORMAT), &format.to_text()).map_err(&fails)?;
        let database = Database::builder(making.join(FJALL)).worker_threads(1).open();
        drop(database.map_err(|error| fails(io::Error::other(text(&error))))?);
        File::open(&making).and_then(|folder| folder.sync_all()).map_err(&fails)?;
        fs::rename(&making, self.path.join(ROWS)).map_err(&fails)?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(&fails)
    }

    fn read_format(&self) -> Result<Format, OpenError> {
        let path = self.path.join(ROWS).join(FORMAT);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                return Err(self.damage(format!("the file {ROWS}/{FORMAT}: {error}")));
            }
            Err(error) => return Err(self.fails("reading its format")(error)),
        };
        let format = Format::parse(&text)
            .ok_or_else(|| self.damage(format!("the file {ROWS}/{FORMAT} is not a store's format")))?;
        if format.version != VERSION {
            return Err(OpenError::Format {
                folder: self.path.clone(),
                found: format.version.to_string(),
                reads: VERSION,
            });
        }
        Ok(format)
    }

    /// Looks at the files before fjall does.
    fn look(&self) -> Result<(), Fault> {
        let rows = self.path.join(ROWS);
        let closed = files::check_list(&rows)?;
        let expected =
            Expected { closed, tail: Tail::AnyBatches, marks: lanes::KEYSPACE, separated: |_| false };
        files::inspect(&rows.join(FJALL), &expected).map_err(|fault| match fault {
            Fault::Damaged { detail } => Fault::Damaged { detail: format!("{FJALL}/: {detail}") },
            other => other,
        })
    }

    /// Gives up rows of which nobody can tell whether they are all: the log has what they are made from.
    fn begin_anew(&self, identity: &str, detail: &str) -> Result<(), OpenError> {
        tracing::warn!(
            folder = %self.path.display(), reason = detail,
            "the store was not closed, and its rows cannot be proved to be all: they are folded again from the log"
        );
        fs::rename(self.path.join(ROWS), self.path.join(MAKING)).map_err(self.fails("giving up its rows"))?;
        self.make(identity)
    }

    /// All that was written is synced: once this is dropped, the files are listed.
    pub(crate) fn closes_in_order(&mut self) {
        self.in_order = true;
    }

    /// The folder of fjall's database.
    pub(crate) fn fjall(&self) -> PathBuf {
        self.path.join(ROWS).join(FJALL)
    }

    fn unlist(&self) -> Result<(), OpenError> {
        files::remove_list(&self.path.join(ROWS)).map_err(self.fails("removing the list of its files"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.in_order
            && let Err(error) = files::write_list(&self.path.join(ROWS))
        {
            tracing::warn!(folder = %self.path.display(), %error, "the store's files could not be listed");
        }
    }
}

/// What the format file says.
struct Format {
    version: u32,
    id: String,
    identity: String,
}

// === impl Format ===

impl Format {
    fn to_text(&self) -> String {
        format!("{FIRST_WORD} {}\nid {}\nof {}\n", self.version, self.id, self.identity)
    }

    fn parse(text: &str) -> Option<Format> {
        let mut lines = text.splitn(3, '\n');
        let version = lines.next()?.strip_prefix(FIRST_WORD)?.trim().parse().ok()?;
        if version != VERSION {
            return Some(Format { version, id: String::new(), identity: String::new() });
        }
        let id = lines.next()?.strip_prefix("id ")?.to_owned();
        let identity = lines.next()?.strip_prefix("of ")?.strip_suffix('\n')?.to_owned();
        Some(Format { version, id, identity })
    }
}

/// A folder without a store may have nothing in it but what a first start that was cut short leaves.
fn only_ours(path: &Path) -> Result<(), OpenError> {
    let fails = |source| OpenError::Io { folder: path.to_owned(), what: "listing it".to_owned(), source };
    for entry in fs::read_dir(path).map_err(fails)? {
        let name = entry.map_err(fails)?.file_name();
        if name != LOCK && name != MAKING {
            return Err(OpenError::NotAStore {
                folder: path.to_owned(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

/// Errors that come from files that are gone or too short, not from a disk that refuses.
fn missing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | UnexpectedEof | InvalidData)
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// 128 bits that the operating system drew: the standard library's hashers are keyed with them.
fn new_id() -> String {
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}
