//! What the entries of the control topic come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_app::SourceFile;
use tidefold_record::{Offset, SchemaId};

use crate::entry::{Entry, Envelope, Manifest};

/// The control topic, folded up to [`Control::next`]. Cheap to clone behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    next: Offset,
    definition: Option<Definition>,
    schemas: BTreeMap<SchemaId, SchemaRecord>,
    projections: BTreeMap<String, Projection>,
}

/// The definition in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The control offset that brought it.
    pub offset: Offset,
    /// Its hash.
    pub hash: String,
    /// The folder's files.
    pub sources: Vec<SourceFile>,
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
pub struct Projection {
    /// The generation queries read.
    pub active: Option<u32>,
    /// All generations that ever were, by number from 1.
    pub generations: BTreeMap<u32, Generation>,
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

// === impl Control ===

impl Control {
    /// The next control offset to read: what a new entry has to expect.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The definition in force.
    #[must_use]
    pub fn definition(&self) -> Option<&Definition> {
        self.definition.as_ref()
    }

    /// What a schema id stands for; `None` while no entry says.
    #[must_use]
    pub fn schema(&self, id: SchemaId) -> Option<&SchemaRecord> {
        self.schemas.get(&id)
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

    /// The smallest id above all that were decided, from 1: what our own id authority gives next.
    #[must_use]
    pub fn free_id(&self) -> SchemaId {
        SchemaId(self.schemas.keys().next_back().map_or(1, |id| id.0 + 1))
    }

    /// The generations of a topic's projection.
    #[must_use]
    pub fn projection(&self, topic: &str) -> Option<&Projection> {
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
        let envelope: Envelope = match serde_json::from_slice(value) {
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
            Entry::Defined { hash, sources } => {
                self.definition = Some(Definition { offset, hash, sources });
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
            Entry::Abandoned { topic, generation } => {
                self.change(&topic)?.end(generation, GenerationState::Building)
            }
            Entry::Retired { topic, generation } => {
                self.change(&topic)?.end(generation, GenerationState::Kept)
            }
        }
    }

    fn decide_schema(&mut self, id: SchemaId, record: SchemaRecord) -> Result<(), String> {
        if self.schemas.contains_key(&id) {
            return Err(format!("schema id {} was decided before", id.0));
        }
        self.schemas.insert(id, record);
        Ok(())
    }

    fn change(&mut self, topic: &str) -> Result<&mut Projection, String> {
        self.projections.get_mut(topic).ok_or_else(|| format!("there is no projection {topic}"))
    }
}

// === impl Projection ===

impl Projection {
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
        Ok(())
    }

    fn end(&mut self, number: u32, only: GenerationState) -> Result<(), String> {
        match self.generations.get_mut(&number) {
            Some(generation) if generation.state == only => {
                generation.state = GenerationState::Gone;
                Ok(())
            }
            Some(generation) => Err(format!("generation {number} is {:?}, not {only:?}", generation.state)),
            None => Err(format!("there is no generation {number}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            definition: "d".into(),
            cluster: "c".into(),
            incarnation: "i".into(),
            partitions: 1,
            partitioner: "murmur2".into(),
            semantics: 1,
            window: 10,
            verdicts_of: None,
        }
    }

    fn apply(control: &mut Control, expects: u64, entry: Entry) -> Outcome {
        let at = control.next();
        control.apply(at, &Envelope { expects, entry }.to_json().unwrap())
    }

    fn building(generation: u32) -> Entry {
        Entry::Building { topic: "orders".into(), generation, manifest: manifest() }
    }

    fn activated(generation: u32) -> Entry {
        Entry::Activated { topic: "orders".into(), generation }
    }

    #[test]
    fn an_entry_that_expected_another_offset_does_not_count() {
        let mut control = Control::default();
        assert_eq!(apply(&mut control, 0, building(1)), Outcome::Taken);
        assert_eq!(apply(&mut control, 0, activated(1)), Outcome::Lost { expected: Offset(0) });
        assert_eq!(control.active("orders"), None);
        assert_eq!(apply(&mut control, 2, activated(1)), Outcome::Taken);
        assert_eq!(control.active("orders"), Some(1));
    }

    #[test]
    fn the_first_entry_about_a_schema_id_decides_it_for_ever() {
        let mut control = Control::default();
        let id = SchemaId(7);
        let registered = |schema: &str| Entry::SchemaRegistered { id, schema: schema.into() };
        assert_eq!(apply(&mut control, 99, registered("first")), Outcome::Taken);
        assert!(matches!(apply(&mut control, 1, registered("second")), Outcome::Refused { .. }));
        assert!(matches!(
            apply(&mut control, 2, Entry::SchemaRefused { id, reason: "late".into() }),
            Outcome::Refused { .. }
        ));
        assert_eq!(control.schema(id), Some(&SchemaRecord::Registered("first".into())));
        assert_eq!(control.id_of("first"), Some(id));
        assert_eq!(control.free_id(), SchemaId(8));
    }

    #[test]
    fn one_generation_is_active_and_the_one_before_is_kept_until_retired() {
        let mut control = Control::default();
        let retired = |generation| Entry::Retired { topic: "orders".into(), generation };
        for (expects, entry) in [building(1), activated(1), building(2), activated(2)].into_iter().enumerate()
        {
            assert_eq!(apply(&mut control, expects as u64, entry), Outcome::Taken);
        }
        let projection = control.projection("orders").unwrap();
        assert_eq!(projection.active, Some(2));
        assert_eq!(projection.generations[&1].state, GenerationState::Kept);
        assert!(matches!(apply(&mut control, 4, retired(2)), Outcome::Refused { .. }));
        assert_eq!(apply(&mut control, 5, activated(1)), Outcome::Taken);
        assert_eq!(apply(&mut control, 6, retired(2)), Outcome::Taken);
        assert!(matches!(apply(&mut control, 7, activated(2)), Outcome::Refused { .. }));
        assert_eq!(control.active("orders"), Some(1));
    }

    #[test]
    fn garbage_in_the_control_topic_changes_nothing() {
        let mut control = Control::default();
        assert!(matches!(control.apply(Offset(0), b"{"), Outcome::Refused { .. }));
        assert_eq!(control.next(), Offset(1));
        assert_eq!(apply(&mut control, 1, building(1)), Outcome::Taken);
    }
}
