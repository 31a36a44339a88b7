//! Confluent's wire format: byte 0, the schema id as four bytes big-endian, then the Avro datum.

/// The number under which a schema registry knows one schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u32);

/// A value that does not start with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Fewer than five bytes.
    #[error("the value has {0} bytes; the wire format starts with five")]
    TooShort(usize),
    /// The first byte is not 0.
    #[error("the value starts with byte {0}; the wire format starts with 0")]
    Magic(u8),
}

/// Appends the frame to `out`; the caller appends the datum.
pub fn frame(id: SchemaId, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.0.to_be_bytes());
}

/// The schema id and the datum of a framed value.
///
/// # Errors
/// When the value is shorter than the frame or does not start with byte 0.
pub fn unframe(value: &[u8]) -> Result<(SchemaId, &[u8]), FramingError> {
    match value {
        [0, a, b, c, d, datum @ ..] => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), datum)),
        [first, ..] if *first != 0 => Err(FramingError::Magic(*first)),
        _ => Err(FramingError::TooShort(value.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_value_gives_back_its_schema_and_datum() {
        let mut value = Vec::new();
        frame(SchemaId(77), &mut value);
        value.extend_from_slice(b"datum");
        assert_eq!(value[..5], [0, 0, 0, 0, 77]);
        assert_eq!(unframe(&value), Ok((SchemaId(77), &b"datum"[..])));
    }

    #[test]
    fn what_is_not_framed_is_refused() {
        assert_eq!(unframe(b"\0\0\0\0"), Err(FramingError::TooShort(4)));
        assert_eq!(unframe(b""), Err(FramingError::TooShort(0)));
        assert_eq!(unframe(b"{\"json\""), Err(FramingError::Magic(b'{')));
    }
}
