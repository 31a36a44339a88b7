//! What the entries of the control topic come to.

use std::collections::{BTreeMap, btree_map};
use std::sync::{Arc, LazyLock};

use tidefold_app::model::Projection;
use tidefold_record::{Offset, SchemaId};

use crate::definition::{Definition, NoProjection};
use crate::entry::{Entry, Envelope, Manifest, Stands};

/// The control topic, folded up to [`Control::next`]. Cheap to clone behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    next: Offset,
    /// In the order they came; the last one is in force.
    definitions: Vec<Arc<Definition>>,
    schemas: BTreeMap<SchemaId, SchemaRecord>,
    projections: BTreeMap<String, Generations>,
}

/// What a schema id stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaRecord {
    /// This schema, as JSON text.
    Registered(Arc<str>),
    /// Nothing; with the reason.
    Refused(String),
}

/// The generations of one projection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generations {
    /// The generation queries read.
    pub active: Option<u32>,
    /// All generations that ever were, by number from 1.
    pub generations: BTreeMap<u32, Generation>,
    /// The generation that is to stand still.
    pub hold: Option<Hold>,
    /// Partitions of generations being built that do not come further, and why.
    halted: BTreeMap<(u32, u32), String>,
    /// Records that operators declared dead, by partition and offset, and why.
    dead_letters: BTreeMap<(u32, Offset), String>,
    /// Where operators last lifted the breaker, by partition.
    lifted: BTreeMap<u32, Offset>,
}

/// A generation that is to stand still in every process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The control offset that began it: which hold it is.
    pub at: Offset,
    /// The control offset that last renewed it.
    pub renewed: Offset,
    /// The generation.
    pub generation: u32,
    /// The partitions that stand, and their next offsets.
    pub standing: BTreeMap<u32, u64>,
}

/// One build of a projection's tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// What it was built from.
    pub manifest: Manifest,
    /// Where it stands.
    pub state: GenerationState,
}

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// Being built; not read by queries.
    Building,
    /// Read by queries.
    Active,
    /// Was active; kept current for a roll back.
    Kept,
    /// Given up or no longer needed.
    Gone,
}

/// What became of a control record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It counts.
    Taken,
    /// Another entry came first: it does not count. Read to the end and decide again.
    Lost {
        /// The offset it expected.
        expected: Offset,
    },
    /// It contradicts what stands before it: it does not count.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Our own id authority gives ids below this, in rising order. Which ids it will never give can so be told from the number
/// alone, or from any later entry; what is sent under them is dead without an entry of its own, at any time, in a replay
/// too. Ids of another registry, or noise, would otherwise fill the topic.
pub const IDS: u32 = 1 << 16;
/// Ids that are refused together.
pub const BLOCK: u32 = 1 << 10;

static NEVER_GIVEN: LazyLock<SchemaRecord> =
    LazyLock::new(|| SchemaRecord::Refused("no message of the app was registered under it".to_owned()));

// === impl Control ===

impl Control {
    /// The next control offset to read: what a new entry has to expect.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The definition in force: what is proposed has to mean the same, and what is built now is built from it.
    #[must_use]
    pub fn definition(&self) -> Option<&Definition> {
        self.definitions.last().map(|definition| &**definition)
    }

    /// What a generation of a topic was built from.
    ///
    /// # Errors
    /// When there is no such generation, or its definition is not there or does not load.
    pub fn built_from(&self, topic: &str, generation: u32) -> Result<&Arc<Projection>, NoProjection> {
        let found = self.generations(topic).and_then(|known| known.generations.get(&generation));
        let Some(Generation { manifest, .. }) = found else {
            return Err(NoProjection::NoGeneration { topic: topic.to_owned(), generation });
        };
        let mut called =
            self.definitions.iter().rev().filter(|known| known.is_called(topic, &manifest.definition));
        let Some(definition) = called.next() else {
            let (topic, definition) = (topic.to_owned(), manifest.definition.clone());
            return Err(NoProjection::NotDefined { topic, definition });
        };
        definition.projection(topic)
    }

    /// What messages are written by and tables are read by, one projection a topic: that of the active generation, or of
    /// the definition in force while a topic has none. In the order of the definition in force; topics that it does not
    /// have any more stand behind.
    #[must_use]
    pub fn serving(&self) -> Vec<Arc<Projection>> {
        let proposed = self.definition().and_then(|definition| definition.app().ok());
        let proposed = proposed.map_or(&[][..], |app| &app.projections);
        let mut serving: Vec<Arc<Projection>> = Vec::new();
        for projection in proposed {
            let active = self.active(projection.name());
            let active = active.and_then(|active| self.built_from(projection.name(), active).ok());
            serving.push(Arc::clone(active.unwrap_or(projection)));
        }
        for (topic, known) in &self.projections {
            let gone = proposed.iter().all(|projection| projection.name() != topic);
            if let Some(active) = known.active.filter(|_| gone) {
                serving.extend(self.built_from(topic, active).ok().cloned());
            }
        }
        serving
    }

    /// What a schema id stands for; `None` while that is open. An id that will never be given stands for nothing, without
    /// an entry: see [`IDS`].
    #[must_use]
    pub fn schema(&self, id: SchemaId) -> Option<&SchemaRecord> {
        let void = || (id.0 >= IDS || id.0 < self.first_open()).then(|| &*NEVER_GIVEN);
        self.schemas.get(&id).or_else(void)
    }

    /// The smallest id that is open: ids are given in rising order, so none below is ever given.
    fn first_open(&self) -> u32 {
        self.schemas.range(..SchemaId(IDS)).next_back().map_or(1, |(id, _)| id.0 + 1)
    }

    /// All schema ids, in order.
    pub fn schemas(&self) -> impl Iterator<Item = (SchemaId, &SchemaRecord)> {
        self.schemas.iter().map(|(id, record)| (*id, record))
    }

    /// The id under which exactly this schema text is registered: the smallest, if several.
    #[must_use]
    pub fn id_of(&self, schema: &str) -> Option<SchemaId> {
        self.schemas.iter().find_map(|(id, record)| match record {
            SchemaRecord::Registered(text) if &**text == schema => Some(*id),
            _ => None,
        })
    }

    /// The smallest id above all that were decided, from 1: what our own id authority gives next. `None` when all are.
    #[must_use]
    pub fn free_id(&self) -> Option<SchemaId> {
        Some(self.first_open()).filter(|id| *id < IDS).map(SchemaId)
    }

    /// The id to refuse so that `id` is decided, which is open: the last of its block. All below it are decided with it, so
    /// that no number of strange ids makes more than [`IDS`] / [`BLOCK`] entries.
    #[must_use]
    pub fn to_refuse(id: SchemaId) -> SchemaId {
        SchemaId((id.0 | (BLOCK - 1)).min(IDS - 1))
    }

    /// The generations of a topic's projection.
    #[must_use]
    pub fn generations(&self, topic: &str) -> Option<&Generations> {
        self.projections.get(topic)
    }

    /// The active generation of a topic's projection.
    #[must_use]
    pub fn active(&self, topic: &str) -> Option<u32> {
        self.projections.get(topic)?.active
    }

    /// Folds the record at `offset`. Records come in order; a gap is no error.
    pub fn apply(&mut self, offset: Offset, value: &[u8]) -> Outcome {
        self.next = offset.next();
        let envelope: Envelope = match Envelope::from_json(value) {
            Ok(envelope) => envelope,
            Err(error) => return Outcome::Refused { reason: format!("not a control entry: {error}") },
        };
        let about_schema =
            matches!(envelope.entry, Entry::SchemaRegistered { .. } | Entry::SchemaRefused { .. });
        if !about_schema && envelope.expects != offset.0 {
            return Outcome::Lost { expected: Offset(envelope.expects) };
        }
        match self.take(offset, envelope.entry) {
            Ok(()) => Outcome::Taken,
            Err(reason) => Outcome::Refused { reason },
        }
    }

    fn take(&mut self, offset: Offset, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Defined { hash, sources, projections } => {
                let definition = Definition::new(offset, hash, sources, projections);
                self.definitions.push(Arc::new(definition));
                Ok(())
            }
            Entry::SchemaRegistered { id, schema } => {
                self.decide_schema(id, SchemaRecord::Registered(schema.into()))
            }
            Entry::SchemaRefused { id, reason } => self.decide_schema(id, SchemaRecord::Refused(reason)),
            Entry::Building { topic, generation, manifest } => {
                self.projections.entry(topic).or_default().begin(generation, manifest)
            }
            Entry::Activated { topic, generation } => self.change(&topic)?.activate(generation),
            Entry::Holding { topic, generation, renews } => {
                self.change(&topic)?.hold(offset, generation, renews.map(Offset))
            }
            Entry::Standing { topic, generation, partitions } => {
                self.change(&topic)?.stand(generation, &partitions)
            }
            Entry::Released { topic, generation } => self.change(&topic)?.release(generation),
            Entry::Halted { topic, generation, partition, reason } => {
                self.change(&topic)?.halt(generation, partition, reason)
            }
            Entry::DeadLetterAdded { topic, partition, offset, reason } => {
                self.change(&topic)?.add_dead_letter(partition, Offset(offset), reason)
            }
            Entry::BreakerLifted { topic, partition, next } => {
                self.change(&topic)?.lifted.insert(partition, Offset(next));
                Ok(())
            }
            Entry::Abandoned { topic, generation } => {
                self.change(&topic)?.end(generation, GenerationState::Building)
            }
            Entry::Retired { topic, generation } => {
                self.change(&topic)?.end(generation, GenerationState::Kept)
            }
        }
    }

    fn decide_schema(&mut self, id: SchemaId, record: SchemaRecord) -> Result<(), String> {
        if self.schema(id).is_some() {
            return Err(format!("schema id {} was decided before", id.0));
        }
        self.schemas.insert(id, record);
        Ok(())
    }

    fn change(&mut self, topic: &str) -> Result<&mut Generations, String> {
        self.projections.get_mut(topic).ok_or_else(|| format!("there is no projection {topic}"))
    }
}

// === impl Generations ===

impl Generations {
    /// Generations in a state.
    pub fn in_state(&self, state: GenerationState) -> impl Iterator<Item = (u32, &Generation)> {
        self.generations.iter().filter(move |(_, g)| g.state == state).map(|(number, g)| (*number, g))
    }

    /// The number the next build gets.
    #[must_use]
    pub fn next_generation(&self) -> u32 {
        self.generations.keys().next_back().map_or(1, |last| last + 1)
    }

    fn begin(&mut self, number: u32, manifest: Manifest) -> Result<(), String> {
        if number != self.next_generation() {
            return Err(format!("generation {number} is not the next one, {}", self.next_generation()));
        }
        self.generations.insert(number, Generation { manifest, state: GenerationState::Building });
        Ok(())
    }

    /// A generation's state.
    #[must_use]
    pub fn state(&self, number: u32) -> Option<GenerationState> {
        self.generations.get(&number).map(|generation| generation.state)
    }

    /// Partitions of a generation being built that do not come further, and why.
    pub fn halted(&self, number: u32) -> impl Iterator<Item = (u32, &str)> {
        let of_generation = self.halted.range((number, 0)..=(number, u32::MAX));
        of_generation.map(|((_, partition), reason)| (*partition, reason.as_str()))
    }

    /// The records of a partition that operators declared dead, from an offset on, and why.
    pub fn dead_letters(&self, partition: u32, from: Offset) -> impl Iterator<Item = (Offset, &str)> {
        let of_partition = self.dead_letters.range((partition, from)..=(partition, Offset(u64::MAX)));
        of_partition.map(|((_, offset), reason)| (*offset, reason.as_str()))
    }

    /// Where an operator last lifted the breaker of a partition: the next offset it would have folded.
    #[must_use]
    pub fn lifted(&self, partition: u32) -> Option<Offset> {
        self.lifted.get(&partition).copied()
    }

    /// What stands once: a record that one fold took for dead is dead for all.
    fn add_dead_letter(&mut self, partition: u32, offset: Offset, reason: String) -> Result<(), String> {
        match self.dead_letters.entry((partition, offset)) {
            btree_map::Entry::Vacant(free) => {
                free.insert(reason);
                Ok(())
            }
            btree_map::Entry::Occupied(_) => {
                Err(format!("the record at {partition}:{offset} was declared dead before"))
            }
        }
    }

    fn hold(&mut self, offset: Offset, number: u32, renews: Option<Offset>) -> Result<(), String> {
        match (&mut self.hold, renews) {
            (Some(hold), Some(at)) if hold.at == at && hold.generation == number => hold.renewed = offset,
            (_, Some(at)) => return Err(format!("the hold of {at} was released")),
            (Some(hold), None) => return Err(format!("generation {} is held", hold.generation)),
            (None, None) => {
                if self.state(number).is_none_or(|state| state == GenerationState::Gone) {
                    return Err(format!("generation {number} does not exist or is gone"));
                }
                let standing = BTreeMap::new();
                self.hold = Some(Hold { at: offset, renewed: offset, generation: number, standing });
            }
        }
        Ok(())
    }

    fn stand(&mut self, number: u32, partitions: &[Stands]) -> Result<(), String> {
        let hold = self.held(number)?;
        hold.standing.extend(partitions.iter().map(|stands| (stands.partition, stands.next)));
        Ok(())
    }

    fn release(&mut self, number: u32) -> Result<(), String> {
        self.held(number)?;
        self.hold = None;
        Ok(())
    }

    fn held(&mut self, number: u32) -> Result<&mut Hold, String> {
        let hold = self.hold.as_mut().filter(|hold| hold.generation == number);
        hold.ok_or_else(|| format!("generation {number} is not held"))
    }

    fn halt(&mut self, number: u32, partition: u32, reason: Option<String>) -> Result<(), String> {
        if self.state(number) != Some(GenerationState::Building) {
            return Err(format!("generation {number} is not being built"));
        }
        match reason {
            Some(reason) => self.halted.insert((number, partition), reason),
            None => self.halted.remove(&(number, partition)),
        };
        Ok(())
    }

    /// What was said of a generation while it was built says nothing any more, and what is held goes on.
    fn settle(&mut self, number: u32) {
        self.hold = None;
        self.halted.retain(|(generation, _), _| *generation != number);
    }

    fn activate(&mut self, number: u32) -> Result<(), String> {
        match self.generations.get(&number).map(|g| g.state) {
            Some(GenerationState::Building | GenerationState::Kept) => {}
            Some(GenerationState::Active) => return Ok(()),
            _ => return Err(format!("generation {number} does not exist or is gone")),
        }
        for (other, generation) in &mut self.generations {
            if *other == number {
                generation.state = GenerationState::Active;
            } else if generation.state == GenerationState::Active {
                generation.state = GenerationState::Kept;
            }
        }
        self.active = Some(number);
        self.settle(number);
        Ok(())
    }

    fn end(&mut self, number: u32, only: GenerationState) -> Result<(), String> {
        match self.generations.get_mut(&number) {
            Some(generation) if generation.state == only => {
                generation.state = GenerationState::Gone;
                self.settle(number);
                Ok(())
            }
            Some(generation) => Err(format!("generation {number} is {:?}, not {only:?}", generation.state)),
            None => Err(format!("there is no generation {number}")),
        }
    }
}

#[cfg(test)]
mod tests;
