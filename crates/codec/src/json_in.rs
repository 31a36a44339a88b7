//! JSON to Avro: one pass over the text, straight into the datum, with every mistake named by its JSON pointer.

use std::sync::Arc;

use crate::types::RecordType;

/// Writes JSON objects as Avro datums of one record type.
#[derive(Debug)]
pub struct JsonEncoder {
    record: Arc<RecordType>,
    key: Vec<usize>,
    limits: JsonLimits,
}

/// Bounds that hold before anything is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// How deep arrays and objects may nest.
    pub depth: usize,
    /// How many mistakes are reported before the rest is left out.
    pub violations: usize,
}

/// One mistake in a JSON body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct Violation {
    /// RFC 6901 pointer to the place, as a URI fragment: `#/items/0/qty`.
    pub pointer: String,
    /// The rule, a snake_case constant: `invalid_json`, `too_deep`, `duplicate_key`, `unknown_field`,
    /// `missing_field`, `null_not_allowed`, `wrong_type`, `out_of_range`, `unknown_symbol`, `bad_format`,
    /// `ambiguous_union`, `empty_key`, `key_too_long`.
    pub code: &'static str,
    /// For humans: what was found, what is allowed, the nearest valid name.
    pub detail: String,
}

impl Default for JsonLimits {
    fn default() -> JsonLimits {
        JsonLimits { depth: 64, violations: 100 }
    }
}

impl JsonEncoder {
    /// An encoder for `record` whose fields at the places `key` make the record key.
    #[must_use]
    pub fn new(record: Arc<RecordType>, key: Vec<usize>, limits: JsonLimits) -> JsonEncoder {
        JsonEncoder { record, key, limits }
    }

    /// Appends the datum to `datum` and the key text to `key`. On error both are as they were.
    ///
    /// # Errors
    /// Every mistake in the text, in its order, up to the limit.
    pub fn encode(&self, json: &[u8], datum: &mut Vec<u8>, key: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
        let _ = (json, datum, key, &self.record, &self.key, &self.limits);
        unimplemented!()
    }
}
