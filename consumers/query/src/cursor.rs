//! Where the next page goes on: the last key of this one, and a hash of the query it belongs to, in base64url. It is no
//! secret and holds no state of ours: whoever changes it asks another question, and is told so.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

const FORMAT: u8 = 1;

/// A cursor's text for the page after the row with this key.
#[must_use]
pub fn write(filter_hash: u64, last_key: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(9 + last_key.len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(&filter_hash.to_be_bytes());
    bytes.extend_from_slice(last_key);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The last key in a cursor, if it is one of a query with this filter.
#[must_use]
pub fn read(text: &str, filter_hash: u64) -> Option<Bytes> {
    if text.len() > 4_096 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (format, rest) = bytes.split_first()?;
    let (hash, key) = rest.split_at_checked(8)?;
    (*format == FORMAT && hash == filter_hash.to_be_bytes()).then(|| Bytes::copy_from_slice(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_written_for_its_own_query_only() {
        let text = write(7, b"key");
        assert_eq!(read(&text, 7), Some(Bytes::from_static(b"key")));
        assert_eq!(read(&text, 8), None);
        assert_eq!(read("", 7), None);
        assert_eq!(read("????", 7), None);
        assert_eq!(read(&text[..8], 7), None);
    }
}
