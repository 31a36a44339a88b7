//! Base64 with the standard alphabet and padding (RFC 4648 section 4), strict.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the text of the bytes.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let (a, b, c) = match chunk {
            [a, b, c] => (*a, *b, *c),
            [a, b] => (*a, *b, 0),
            [a] => (*a, 0, 0),
            _ => continue,
        };
        let group = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        for place in 0..4 {
            if place > chunk.len() {
                out.push(b'=');
            } else {
                out.push(ALPHABET[(group >> (18 - 6 * place)) as usize & 63]);
            }
        }
    }
}

/// Appends the bytes of a text; on `None` part of them may have been appended.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = match text {
        [body @ .., b'=', b'='] | [body @ .., b'='] => body,
        _ => text,
    };
    for chunk in body.chunks(4) {
        let mut group = 0u32;
        for byte in chunk {
            group = group << 6 | u32::from(value(*byte)?);
        }
        let bits = chunk.len() * 6;
        let spare = bits % 8;
        if bits < 8 || group & ((1 << spare) - 1) != 0 {
            return None;
        }
        group >>= spare;
        for place in (0..bits / 8).rev() {
            out.push((group >> (8 * place)) as u8);
        }
    }
    Some(())
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
