//! Headers in one compact encoding. A record carries about eight of them, mostly with names that never change, so a
//! known name is one byte and reading is a scan over a slice: nothing is allocated.
//!
//! Encoding, for each header: a name code (1 byte); for code 0 the name itself, as a length-prefixed text; then the
//! length-prefixed value. A length is a LEB128 number. The codes are written to disk: append, never renumber.

/// A header's name: one that Tidefold knows, or any other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderName<'a> {
    /// A name with a code of its own.
    Known(Known),
    /// Any other name.
    Other(&'a str),
}

macro_rules! known_headers {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)*) => {
        /// The names that have a code of their own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { $($(#[$doc])* $variant = $code),* }

        impl Known {
            /// Every known name.
            pub const ALL: &'static [Known] = &[$(Known::$variant),*];

            /// The name as it stands in Kafka.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Known::$variant => $text),* }
            }

            /// Whether an empty value of it (in Kafka also: a null one) says that it is not there: no attribute of
            /// CloudEvents that has a meaning here may be empty.
            #[must_use]
            #[inline]
            pub fn is_absent(self, value: &[u8]) -> bool {
                value.is_empty() && (Known::CeId as u8..=Known::CeDataschema as u8).contains(&(self as u8))
            }

            #[inline]
            fn from_code(code: u8) -> Option<Known> {
                match code { $($code => Some(Known::$variant),)* _ => None }
            }

            fn from_text(text: &str) -> Option<Known> {
                match text { $($text => Some(Known::$variant),)* _ => None }
            }
        }
    };
}

known_headers! {
    /// CloudEvents `id`: with the source, what makes a message the same message.
    CeId = 1, "ce_id";
    /// CloudEvents `source`.
    CeSource = 2, "ce_source";
    /// CloudEvents `type`: the message type.
    CeType = 3, "ce_type";
    /// CloudEvents `time`, RFC 3339: what `event_time()` returns.
    CeTime = 4, "ce_time";
    /// CloudEvents `specversion`.
    CeSpecversion = 5, "ce_specversion";
    /// CloudEvents `subject`.
    CeSubject = 6, "ce_subject";
    /// CloudEvents `dataschema`.
    CeDataschema = 7, "ce_dataschema";
    /// The media type of the value.
    ContentType = 8, "content-type";
    /// W3C trace context.
    Traceparent = 9, "traceparent";
    /// W3C trace state.
    Tracestate = 10, "tracestate";
    /// When ingest appended the record, RFC 3339: what `append_time()` returns.
    AppendTime = 11, "tidefold-append-time";
    /// The authenticated principal: what `caller()` returns.
    Caller = 12, "tidefold-caller";
    /// The entity version a command is conditional on, in decimal.
    IfMatch = 13, "tidefold-if-match";
    /// The position of the dead letter this record is a redriven copy of.
    RedriveOf = 14, "tidefold-redrive-of";
}

/// Encoded headers, borrowed. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

/// Writes headers into a buffer, in the order given.
#[derive(Clone, Debug, Default)]
pub struct HeadersBuilder {
    bytes: Vec<u8>,
}

/// Bytes that are not encoded headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record's headers are damaged at byte {at}")]
pub struct HeadersError {
    /// Where the encoding breaks off.
    pub at: usize,
}

/// Iterates over headers; ends early at damage, which [`Headers::parse`] rules out.
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl Headers ===

impl<'a> Headers<'a> {
    /// Takes encoded bytes after checking them to the end.
    ///
    /// # Errors
    /// When the bytes are not an encoding of headers.
    pub fn parse(bytes: &'a [u8]) -> Result<Headers<'a>, HeadersError> {
        let mut iter = HeadersIter { bytes, at: 0 };
        while iter.at < bytes.len() {
            let at = iter.at;
            iter.step().ok_or(HeadersError { at })?;
        }
        Ok(Headers(bytes))
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The first value under a known name; an attribute of CloudEvents that is empty is none.
    #[must_use]
    pub fn get(self, name: Known) -> Option<&'a [u8]> {
        let found = |(found, value): &(HeaderName<'_>, &[u8])| {
            *found == HeaderName::Known(name) && !name.is_absent(value)
        };
        self.iter().find(found).map(|(_, value)| value)
    }

    /// All headers, in the order they were written.
    #[must_use]
    pub fn iter(self) -> HeadersIter<'a> {
        HeadersIter { bytes: self.0, at: 0 }
    }

    pub(crate) fn trusted(bytes: &'a [u8]) -> Headers<'a> {
        Headers(bytes)
    }
}

// === impl HeadersIter ===

impl<'a> HeadersIter<'a> {
    #[inline]
    fn step(&mut self) -> Option<(HeaderName<'a>, &'a [u8])> {
        let code = *self.bytes.get(self.at)?;
        self.at += 1;
        let name = if code == 0 {
            let text = std::str::from_utf8(self.chunk()?).ok()?;
            HeaderName::Other(text)
        } else {
            HeaderName::Known(Known::from_code(code)?)
        };
        Some((name, self.chunk()?))
    }

    #[inline]
    fn chunk(&mut self) -> Option<&'a [u8]> {
        let len = read_length(self.bytes, &mut self.at)?;
        let end = self.at.checked_add(len)?;
        let chunk = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(chunk)
    }
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (HeaderName<'a>, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}

impl<'a> HeaderName<'a> {
    /// The name as it stands in Kafka.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            HeaderName::Known(known) => known.as_str(),
            HeaderName::Other(text) => text,
        }
    }
}

// === impl HeadersBuilder ===

impl HeadersBuilder {
    /// No headers yet.
    #[must_use]
    pub fn new() -> HeadersBuilder {
        HeadersBuilder::default()
    }

    /// Adds a header under a known name.
    pub fn push(&mut self, name: Known, value: &[u8]) {
        self.bytes.push(name as u8);
        write_length(value.len(), &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// Adds a header under any name; one that is known gets its code.
    pub fn push_named(&mut self, name: &str, value: &[u8]) {
        if let Some(known) = Known::from_text(name) {
            return self.push(known, value);
        }
        self.bytes.push(0);
        write_length(name.len(), &mut self.bytes);
        self.bytes.extend_from_slice(name.as_bytes());
        write_length(value.len(), &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// Forgets the headers and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The headers so far.
    #[must_use]
    pub fn as_headers(&self) -> Headers<'_> {
        Headers(&self.bytes)
    }
}

/// Appends a LEB128 number.
pub(crate) fn write_length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push((len as u8) | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// Reads a LEB128 number of at most 32 bits, moving `at` past it.
#[inline]
pub(crate) fn read_length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    match bytes.get(*at) {
        Some(byte) if byte & 0x80 == 0 => {
            *at += 1;
            Some(usize::from(*byte))
        }
        _ => read_long_length(bytes, at),
    }
}

fn read_long_length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut len: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(len).ok().map(|n| n as usize);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_read_as_they_were_written(pairs in prop::collection::vec(("[a-z_-]{0,20}|ce_id|ce_time", prop::collection::vec(any::<u8>(), 0..200)), 0..12)) {
            let mut builder = HeadersBuilder::new();
            for (name, value) in &pairs {
                builder.push_named(name, value);
            }
            let headers = Headers::parse(builder.as_headers().as_bytes()).unwrap();
            let read: Vec<_> = headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.to_vec())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn any_bytes_are_headers_or_a_clear_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(headers) = Headers::parse(&bytes) {
                let _ = headers.iter().count();
            }
        }
    }

    #[test]
    fn an_empty_attribute_of_cloudevents_is_not_there_and_any_other_empty_header_is() {
        for known in Known::ALL {
            let mut builder = HeadersBuilder::new();
            builder.push(*known, b"");
            let is_attribute = known.as_str().starts_with("ce_");
            assert_eq!(builder.as_headers().get(*known).is_none(), is_attribute, "{}", known.as_str());
            builder.push(*known, b"x");
            let first = if is_attribute { &b"x"[..] } else { b"" };
            assert_eq!(builder.as_headers().get(*known), Some(first), "{}", known.as_str());
        }
    }

    #[test]
    fn every_code_leads_back_to_its_name() {
        for known in Known::ALL {
            assert_eq!(Known::from_code(*known as u8), Some(*known));
            assert_eq!(Known::from_text(known.as_str()), Some(*known));
        }
    }
}
