//! What a record is, wherever it lies: in Kafka, in the embedded log, in memory.
//!
//! A *record* is the encoded message at one offset: a key, a value, headers. This crate holds the words every
//! other crate uses for it, and nothing that does work on its own.
//!
//! It deliberately does not read or write logs, decode Avro, or know what an app is.
//!
//! A walk through it:
//! * [`position`]: [`Offset`], [`Partition`], [`TopicName`] and [`Position`], printed `orders:3:918`.
//! * [`headers`]: CloudEvents and `tidefold-` headers in one compact encoding, read without allocating.
//! * [`batch`]: [`RecordBatch`], many records in one buffer, and [`BatchBuilder`], which makes one.
//! * [`murmur2`]: the hash and partition choice of the Java client.
//! * [`framing`]: the five bytes that Confluent's wire format puts before an Avro datum.

pub mod batch;
pub mod framing;
pub mod headers;
pub mod murmur2;
pub mod position;

pub use batch::{BatchBuilder, BatchError, RecordBatch, RecordRef};
pub use framing::{SchemaId, frame, unframe};
pub use headers::{HeaderName, Headers, HeadersBuilder};
pub use murmur2::partition_of;
pub use position::{Offset, ParsePositionError, Partition, Position, TopicName};
