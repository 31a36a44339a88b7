//! One message as a record: key, framed Avro value, CloudEvents headers.

use std::cell::RefCell;

use tidefold_codec::json_in::Violation;
use tidefold_codec::text::write_rfc3339_micros;
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, HeadersBuilder, SchemaId, frame};

use crate::attributes::Attributes;
use crate::catalog::MessageEntry;
use crate::head::Head;

thread_local! {
    /// Buffers of this thread, so that a message costs none.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A record in the making. Buffers are kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    value: Vec<u8>,
    key: Vec<u8>,
    headers: HeadersBuilder,
    number: Vec<u8>,
}

/// The time of a request or chunk, taken once.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    pub(crate) micros: i64,
    text: Vec<u8>,
}

/// What is said about a message besides what it says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) id: &'a str,
    /// Its source where its attributes name none.
    pub(crate) source: &'a str,
    pub(crate) caller: &'a str,
    pub(crate) attributes: &'a Attributes<'a>,
    /// What the request says of all its messages.
    pub(crate) head: &'a Head,
}

// === impl Now ===

impl Now {
    pub(crate) fn at(micros: i64) -> Now {
        let mut text = Vec::with_capacity(32);
        write_rfc3339_micros(micros, &mut text);
        Now { micros, text }
    }
}

// === impl Scratch ===

impl Scratch {
    /// Lends this thread's buffers.
    pub(crate) fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => {
                let result = work(&mut scratch);
                scratch.shrink();
                result
            }
            Err(_) => work(&mut Scratch::default()),
        })
    }

    /// Encodes the message; key and value are its own afterwards.
    pub(crate) fn encode(
        &mut self,
        message: &MessageEntry,
        schema: SchemaId,
        json: &[u8],
    ) -> Result<(), Vec<Violation>> {
        self.value.clear();
        self.key.clear();
        frame(schema, &mut self.value);
        message.encoder.encode(json, &mut self.value, &mut self.key)
    }

    /// The key of the message encoded last.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Adds the message encoded last to a batch.
    pub(crate) fn push(
        &mut self,
        message: &MessageEntry,
        given: &Given<'_>,
        now: &Now,
        batch: &mut BatchBuilder,
    ) {
        self.headers.clear();
        self.headers.push(Known::CeSpecversion, b"1.0");
        self.headers.push(Known::CeId, given.id.as_bytes());
        let Given { attributes, head, .. } = given;
        let source = attributes.source.as_deref().unwrap_or(given.source);
        self.headers.push(Known::CeSource, source.as_bytes());
        self.headers.push(Known::CeType, message.name.as_bytes());
        match attributes.time.or(head.attributes.time) {
            Some(micros) => {
                self.number.clear();
                write_rfc3339_micros(micros, &mut self.number);
                self.headers.push(Known::CeTime, &self.number);
            }
            None => self.headers.push(Known::CeTime, &now.text),
        }
        self.headers.push(Known::ContentType, b"application/avro");
        self.headers.push(Known::AppendTime, &now.text);
        self.headers.push(Known::Caller, given.caller.as_bytes());
        if let Some(version) = attributes.if_match {
            self.headers.push(Known::IfMatch, version.to_string().as_bytes());
        }
        if let Some(value) = &head.traceparent {
            self.headers.push(Known::Traceparent, value.as_bytes());
        }
        if let Some(value) = &head.tracestate {
            self.headers.push(Known::Tracestate, value.as_bytes());
        }
        for (name, value) in &attributes.others {
            self.headers.push_named(&format!("ce_{name}"), value.as_bytes());
        }
        batch.push(Some(&self.key), Some(&self.value), self.headers.as_headers());
    }

    /// About how many bytes the record will have.
    pub(crate) fn size_hint(&self) -> usize {
        self.key.len() + self.value.len() + 320
    }

    /// One large message must not keep its memory in every thread for ever.
    fn shrink(&mut self) {
        const KEPT: usize = 256 << 10;
        if self.value.capacity() > KEPT {
            self.value = Vec::new();
        }
        if self.key.capacity() > KEPT {
            self.key = Vec::new();
        }
    }
}
