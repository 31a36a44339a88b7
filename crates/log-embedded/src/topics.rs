//! Topics and partitions as they are now. fjall holds the records; here stands where each partition ends, which is what
//! readers may see, and its newest units, which is what they mostly ask for.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ahash::HashMap;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use tidefold_embedded_files::Marks;
use tidefold_log::{LogError, TopicSpec};
use tidefold_record::{Offset, Partition, Position, TopicName};
use tokio::sync::watch;

use crate::id::random_id;
use crate::stored::{self, Unit};

const CATALOG: &str = "catalog";
const CATALOG_FORMAT: u8 = 1;
/// The keyspace of [`Marks`].
pub(crate) const MARKS: &str = "marks";
const TOPIC: &str = "topic ";

/// So many bytes of the newest units of a partition stay in memory, or the newest one alone.
const RECENT_BYTES: usize = 128 << 10;

/// All topics of the log.
pub(crate) struct Topics {
    catalog: Keyspace,
    memtable_bytes: u64,
    by_name: RwLock<HashMap<TopicName, Arc<StoredTopic>>>,
    creating: Mutex<()>,
}

/// One topic.
pub(crate) struct StoredTopic {
    pub name: TopicName,
    pub incarnation: String,
    pub records: Keyspace,
    partitions: Vec<StoredPartition>,
}

struct StoredPartition {
    end: watch::Sender<Offset>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    units: VecDeque<Unit>,
    bytes: usize,
}

/// Why the topics could not be loaded.
pub(crate) enum LoadFault {
    Store(fjall::Error),
    Damaged { place: String, detail: String },
}

// === impl Topics ===

impl Topics {
    /// Reads the catalog and finds the end of every partition.
    pub fn load(database: &Database, memtable_bytes: u64) -> Result<Topics, LoadFault> {
        let catalog = database.keyspace(CATALOG, || small(KeyspaceCreateOptions::default()))?;
        let mut by_name = HashMap::default();
        for entry in catalog.iter() {
            let (name, value) = entry.into_inner()?;
            let damaged = |detail: &str| LoadFault::Damaged {
                place: format!("the entry of topic {}", String::from_utf8_lossy(&name)),
                detail: detail.to_owned(),
            };
            let text = std::str::from_utf8(&name).map_err(|_| damaged("its name is not text"))?;
            let (partitions, incarnation) =
                decode_entry(&value).ok_or_else(|| damaged("it does not decode"))?;
            if !database.keyspace_exists(&keyspace_name(text)) {
                return Err(damaged("its records are missing"));
            }
            let records = database.keyspace(&keyspace_name(text), || options(memtable_bytes))?;
            let topic = StoredTopic::load(TopicName::new(text), incarnation, records, partitions)?;
            by_name.insert(topic.name.clone(), Arc::new(topic));
        }
        Ok(Topics { catalog, memtable_bytes, by_name: RwLock::new(by_name), creating: Mutex::default() })
    }

    /// Marks the journal that is written, and sees to those that follow.
    pub fn marks(&self, database: &Database, fjall: &Path) -> Result<Marks, LoadFault> {
        let keyspace = database.keyspace(MARKS, || small(KeyspaceCreateOptions::default()))?;
        let marks = Marks::new(fjall, keyspace).map_err(fjall::Error::Io)?;
        let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
        marks.add(database, &mut batch)?;
        batch.commit()?;
        marks.note().map_err(fjall::Error::Io)?;
        Ok(marks)
    }

    pub fn get(&self, name: &TopicName) -> Option<Arc<StoredTopic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    /// The topic, if it has that partition.
    pub fn find(&self, name: &TopicName, partition: Partition) -> Result<Arc<StoredTopic>, LogError> {
        self.get(name)
            .filter(|topic| partition.0 < topic.partition_count())
            .ok_or_else(|| no_such(name, partition))
    }

    /// Creates a topic, durably, unless somebody else just did.
    pub fn create(&self, database: &Database, spec: &TopicSpec) -> Result<Arc<StoredTopic>, LogError> {
        let _one_at_a_time = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = self.get(&spec.name) {
            return Ok(topic);
        }
        let mismatch =
            |detail: &str| Err(LogError::Mismatch { topic: spec.name.clone(), detail: detail.to_owned() });
        if spec.partitions == 0 || spec.partitions > MOST_PARTITIONS {
            return mismatch("a topic has 1 to 65,536 partitions; ask for a number in that range");
        }
        if !legal(spec.name.as_str()) {
            return mismatch(
                "a topic's name has 1 to 200 of the characters a-z A-Z 0-9 . _ -; choose another name",
            );
        }
        let unavailable = |error: String| LogError::Unavailable {
            detail: format!("topic {} was not created: {error}; see that the disk has room", spec.name),
        };
        let incarnation = random_id().map_err(|error| unavailable(error.to_string()))?;
        let records = database
            .keyspace(&keyspace_name(spec.name.as_str()), || options(self.memtable_bytes))
            .map_err(|error| unavailable(error.to_string()))?;
        let partitions = spec.partitions;
        let topic = StoredTopic::load(spec.name.clone(), incarnation.clone(), records, partitions)
            .map_err(|fault| unavailable(fault.to_string()))?;
        let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.catalog, spec.name.as_str(), encode_entry(partitions, &incarnation));
        batch.commit().map_err(|error| LogError::Unknown {
            detail: format!("topic {} may not have been created: {error}; restart", spec.name),
        })?;
        let topic = Arc::new(topic);
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(spec.name.clone(), Arc::clone(&topic));
        Ok(topic)
    }
}

const MOST_PARTITIONS: u32 = 65_536;

// === impl StoredTopic ===

impl StoredTopic {
    fn load(
        name: TopicName,
        incarnation: String,
        records: Keyspace,
        partitions: u32,
    ) -> Result<StoredTopic, LoadFault> {
        let mut found = Vec::new();
        for partition in (0..partitions).map(Partition) {
            let mut recent = Recent::default();
            let mut end = Offset::ZERO;
            let all = stored::key(partition, Offset::ZERO)..=stored::key(partition, Offset(u64::MAX));
            if let Some(newest) = records.range(all).next_back() {
                let (key, value) = newest.into_inner()?;
                let unit = Unit::check(partition, &key, value).map_err(|detail| LoadFault::Damaged {
                    place: format!("the newest records of partition {partition} of topic {name}"),
                    detail,
                })?;
                end = unit.next();
                recent.push(unit);
            }
            found.push(StoredPartition { end: watch::Sender::new(end), recent: Mutex::new(recent) });
        }
        Ok(StoredTopic { name, incarnation, records, partitions: found })
    }

    pub fn partition_count(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Where a partition ends; of one that is not there, at 0.
    pub fn end(&self, partition: Partition) -> Offset {
        self.partition(partition).map_or(Offset::ZERO, |place| *place.end.borrow())
    }

    pub fn watch(&self, partition: Partition) -> Result<watch::Receiver<Offset>, LogError> {
        let place = self.partition(partition).ok_or_else(|| no_such(&self.name, partition))?;
        Ok(place.end.subscribe())
    }

    /// Lets readers see a unit that is durable now.
    pub fn publish(&self, partition: Partition, unit: Unit) {
        if let Some(place) = self.partition(partition) {
            let end = unit.next();
            place.recent().push(unit);
            place.end.send_replace(end);
        }
    }

    /// The newest units, from the one that holds `from` on; nothing if that one is not in memory.
    pub fn recent_from(&self, partition: Partition, from: Offset) -> Vec<Unit> {
        let Some(place) = self.partition(partition) else { return Vec::new() };
        let recent = place.recent();
        if recent.units.front().is_none_or(|oldest| from < oldest.first) {
            return Vec::new();
        }
        let at = recent.units.partition_point(|unit| unit.next() <= from);
        recent.units.iter().skip(at).cloned().collect()
    }

    pub fn position(&self, partition: Partition, offset: Offset) -> Position {
        Position::new(self.name.clone(), partition, offset)
    }

    fn partition(&self, partition: Partition) -> Option<&StoredPartition> {
        self.partitions.get(partition.0 as usize)
    }
}

// === impl StoredPartition ===

impl StoredPartition {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Recent ===

impl Recent {
    fn push(&mut self, unit: Unit) {
        self.bytes += unit.size_bytes();
        self.units.push_back(unit);
        while self.bytes > RECENT_BYTES && self.units.len() > 1 {
            self.bytes -= self.units.pop_front().map_or(0, |oldest| oldest.size_bytes());
        }
    }
}

// === impl LoadFault ===

impl From<fjall::Error> for LoadFault {
    fn from(error: fjall::Error) -> LoadFault {
        LoadFault::Store(error)
    }
}

impl std::fmt::Display for LoadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadFault::Store(error) => error.fmt(f),
            LoadFault::Damaged { place, detail } => write!(f, "{place}: {detail}"),
        }
    }
}

pub(crate) fn no_such(topic: &TopicName, partition: Partition) -> LogError {
    LogError::NoSuchPartition { topic: topic.clone(), partition }
}

fn keyspace_name(topic: &str) -> String {
    format!("{TOPIC}{topic}")
}

fn legal(name: &str) -> bool {
    let character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=200).contains(&name.len()) && name.bytes().all(character)
}

/// Whether a keyspace has its values in blob files.
pub(crate) fn is_separated(keyspace: &str) -> bool {
    keyspace.starts_with(TOPIC)
}

/// Records go to blob files, which compaction leaves where they are; the tables hold keys and small units.
fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .with_kv_separation(Some(KvSeparationOptions::default()))
}

fn small(options: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    options.max_memtable_size(1 << 20)
}

fn encode_entry(partitions: u32, incarnation: &str) -> Vec<u8> {
    let mut entry = vec![CATALOG_FORMAT];
    entry.extend_from_slice(&partitions.to_le_bytes());
    entry.extend_from_slice(incarnation.as_bytes());
    entry.extend_from_slice(&crc32c::crc32c(&entry).to_le_bytes());
    entry
}

fn decode_entry(entry: &[u8]) -> Option<(u32, String)> {
    let (body, sum) = entry.split_last_chunk::<4>()?;
    let (format, rest) = body.split_first()?;
    let (partitions, incarnation) = rest.split_first_chunk::<4>()?;
    let whole = *format == CATALOG_FORMAT && u32::from_le_bytes(*sum) == crc32c::crc32c(body);
    let incarnation = String::from_utf8(incarnation.to_vec()).ok()?;
    whole.then_some((u32::from_le_bytes(*partitions), incarnation))
}
