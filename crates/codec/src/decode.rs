//! Reading a message's datum: a plan for (writer schema, reader type) that decodes just the wanted fields into slots.
//!
//! A wanted field of a scalar type becomes a slot directly. One of a complex type is a slice of the datum when writer
//! and reader agree on its form and the writer's bytes are canonical; otherwise it is written again in the arena.

use apache_avro::Schema;
use bumpalo::Bump;

use crate::columns::read_column;
use crate::datum::Datum;
use crate::types::{ColumnType, RecordType};
use crate::wire::Cursor;

mod error;
mod resolve;
mod rewrite;
mod shape;

pub use error::{DecodeError, PlanError};
use resolve::{Resolve, Resolver, Source};
use shape::{Shape, ShapeBuilder};

/// How to read records written with one schema as records of another; made once for each pair, used for every record.
#[derive(Debug)]
pub struct Plan {
    steps: Box<[Step]>,
    defaults: Box<[Default]>,
    canon: Canon,
}

/// How a datum becomes the canonical bytes of the whole reader record.
#[derive(Debug)]
enum Canon {
    /// Writer and reader agree on the form: canonical bytes are themselves.
    Alike(Resolve),
    /// They do not, so that every datum is written again.
    Rewritten(Resolve),
    /// A field that nothing wants does not resolve: a datum stands for itself.
    Unresolved,
}

/// What to do with one field of the writer.
#[derive(Debug)]
enum Step {
    Skip(Shape),
    Read { slot: usize, resolve: Resolve },
}

/// A wanted field that the writer does not have.
#[derive(Debug)]
struct Default {
    slot: usize,
    column: ColumnType,
    null_first: bool,
    datum: Vec<u8>,
}

impl Plan {
    /// A plan to read `wanted` fields of `reader` (by place, in schema order) from data written with `writer`, by the
    /// resolution rules of the Avro specification. The other slots stay NULL, but their bytes are checked.
    ///
    /// Two rules differ from the specification's text. Records and fixed types match by their form, whatever their
    /// names. Two different logical types never match, even over the same base type: reading milliseconds as
    /// microseconds would be silent damage.
    ///
    /// # Errors
    /// Every wanted field that does not resolve, and everything in the writer's schema that cannot be walked.
    pub fn new(writer: &Schema, reader: &RecordType, wanted: &[bool]) -> Result<Plan, Vec<PlanError>> {
        let mut builder = ShapeBuilder::new(writer);
        let shape = builder.shape(writer);
        let mut resolver = Resolver { path: Vec::new(), errors: builder.errors };
        let canon = canon(&shape, reader);
        let Shape::Record(fields) = shape else {
            resolver.refuse(format!("the writer's schema is {}, not a record", shape.describe()));
            return Err(resolver.errors);
        };
        let mut sources: Vec<(usize, usize, Resolve)> = Vec::new();
        let mut defaults = Vec::new();
        for (slot, field) in reader.fields.iter().enumerate() {
            if !wanted.get(slot).copied().unwrap_or(false) {
                continue;
            }
            match resolver.source(&fields, field) {
                Some(Source::Writer(place, _)) if sources.iter().any(|(taken, ..)| *taken == place) => {
                    resolver.refuse(format!(
                        "`{}` and another field come from one field of the writer",
                        field.name
                    ));
                }
                Some(Source::Writer(place, resolve)) => sources.push((place, slot, resolve)),
                Some(Source::Default(datum)) => defaults.push(Default {
                    slot,
                    column: field.column.clone(),
                    null_first: field.null_first,
                    datum,
                }),
                None => {}
            }
        }
        if !resolver.errors.is_empty() {
            return Err(resolver.errors);
        }
        let step = |(place, (_, shape)): (usize, (String, Shape))| match sources
            .iter()
            .position(|(source, ..)| *source == place)
        {
            Some(found) => {
                let (_, slot, resolve) = sources.swap_remove(found);
                Step::Read { slot, resolve }
            }
            None => Step::Skip(shape),
        };
        let steps = fields.into_iter().enumerate().map(step).collect();
        Ok(Plan { steps, defaults: defaults.into(), canon })
    }

    /// Reads a datum into `slots`, one for each field of the reader type. Slots borrow from the datum, or from the
    /// arena where the value had to be built. The answer says whether all of the datum's bytes were canonical.
    ///
    /// # Errors
    /// When the datum is not a datum of the writer schema, to the byte.
    pub fn read<'a>(
        &'a self,
        datum: &'a [u8],
        slots: &mut [Datum<'a>],
        arena: &'a Bump,
    ) -> Result<bool, DecodeError> {
        slots.fill(Datum::Null);
        let mut cursor = Cursor::new(datum);
        for step in &self.steps {
            match step {
                Step::Skip(shape) => shape.check(&mut cursor)?,
                Step::Read { slot, resolve } => {
                    let value = resolve.read(&mut cursor, arena)?;
                    if let Some(slot) = slots.get_mut(*slot) {
                        *slot = value;
                    }
                }
            }
        }
        cursor.finish()?;
        for Default { slot, column, null_first, datum } in &self.defaults {
            if let Some(slot) = slots.get_mut(*slot) {
                *slot = read_column(column, *null_first, &mut Cursor::new(datum))?;
            }
        }
        Ok(cursor.canonical)
    }

    /// The bytes that stand for the datum's value: of the whole record as the reader has it, fields that are not wanted
    /// too, canonically. Equal values have equal bytes, whatever the order of their maps and with whichever schema they
    /// were written. `is_canonical` is what [`Plan::read`] said. What cannot be written again stands for itself.
    #[must_use]
    pub fn value_bytes<'a>(&'a self, datum: &'a [u8], is_canonical: bool, arena: &'a Bump) -> &'a [u8] {
        let resolve = match &self.canon {
            Canon::Alike(_) if is_canonical => return datum,
            Canon::Alike(resolve) | Canon::Rewritten(resolve) => resolve,
            Canon::Unresolved => return datum,
        };
        match resolve.build(&mut Cursor::new(datum), arena) {
            Ok(Datum::Encoded(bytes)) => bytes,
            _ => datum,
        }
    }
}

fn canon(shape: &Shape, reader: &RecordType) -> Canon {
    let Shape::Record(fields) = shape else { return Canon::Unresolved };
    let mut resolver = Resolver { path: Vec::new(), errors: Vec::new() };
    match resolver.record(fields, reader).filter(|_| resolver.errors.is_empty()) {
        Some(record) if Shape::of_record(reader) == *shape => Canon::Alike(Resolve::Record(Box::new(record))),
        Some(record) => Canon::Rewritten(Resolve::Record(Box::new(record))),
        None => Canon::Unresolved,
    }
}
