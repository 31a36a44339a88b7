//! Reading a message's datum: a plan for (writer schema, reader type) that decodes just the wanted fields into slots.

use apache_avro::Schema;
use bumpalo::Bump;

use crate::datum::Datum;
use crate::types::RecordType;

/// How to read records written with one schema as records of another; made once for each pair, used for every record.
#[derive(Debug)]
pub struct Plan {}

/// Why two schemas have no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {detail}", path.join("."))]
pub struct PlanError {
    /// Field names from the outside in.
    pub path: Vec<String>,
    /// What does not fit.
    pub detail: String,
}

/// Why a datum could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The datum breaks off.
    #[error("the datum ends early, at byte {at}")]
    Truncated {
        /// Byte in the datum.
        at: usize,
    },
    /// Bytes follow the datum.
    #[error("{0} bytes follow the datum")]
    Trailing(usize),
    /// A number, length, branch, symbol, UTF-8 text or float (NaN, infinite) that the type does not allow.
    #[error("the datum is malformed at byte {at}: {what}")]
    Malformed {
        /// Byte in the datum.
        at: usize,
        /// Which rule it breaks.
        what: &'static str,
    },
}

impl Plan {
    /// A plan to read `wanted` fields of `reader` (by place, in schema order) from data written with `writer`, by the
    /// resolution rules of the Avro specification. The other slots stay NULL, but their bytes are checked.
    ///
    /// # Errors
    /// Every field that does not resolve.
    pub fn new(writer: &Schema, reader: &RecordType, wanted: &[bool]) -> Result<Plan, Vec<PlanError>> {
        let _ = (writer, reader, wanted);
        unimplemented!()
    }

    /// Reads a datum into `slots`, one for each field of the reader type. Slots borrow from the datum, or from the
    /// arena where the value had to be built.
    ///
    /// # Errors
    /// When the datum is not a datum of the writer schema, to the byte.
    pub fn read<'a>(
        &'a self,
        datum: &'a [u8],
        slots: &mut [Datum<'a>],
        arena: &'a Bump,
    ) -> Result<(), DecodeError> {
        let _ = (datum, slots, arena);
        unimplemented!()
    }
}
