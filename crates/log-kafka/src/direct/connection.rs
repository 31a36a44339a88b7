//! One connection to a broker: requests and their answers, one after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes, VersionRange};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::context::ClientCounts;

/// A request that is made here. (The library pairs requests and answers only for who is client and broker at once.)
pub(crate) trait Request: Message + Encodable + HeaderVersion {
    const KEY: ApiKey;
    type Response: Decodable + HeaderVersion;
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What a connection is made of, plain or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that stands. After an error it is of no use any more.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    client_id: StrBytes,
    largest: usize,
    tally: Arc<Tally>,
    versions: Vec<(i16, VersionRange)>,
    asked: i32,
    out: BytesMut,
    read: BytesMut,
}

/// How long connecting, and an answer to a question about the cluster, may take: some round trips of a slow link.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// What went over all connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    errors: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    appended: AtomicU64,
}

// === impl Tally ===

impl Tally {
    fn sent(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn appended(&self, records: usize) {
        self.appended.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self, name: &str, waiting: u64) -> ClientCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ClientCounts {
            client: "direct",
            name: name.to_owned(),
            requests: read(&self.requests),
            errors: read(&self.errors),
            sent_bytes: read(&self.sent_bytes),
            received_bytes: read(&self.received_bytes),
            appended: read(&self.appended),
            waiting,
            round_trip_seconds: None,
        }
    }
}

// === impl Request ===

macro_rules! requests {
    ($($key:ident: $request:ty => $response:ty),+ $(,)?) => {
        $(impl Request for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Response = $response;
        })+
    };
}

requests! {
    ApiVersions: ApiVersionsRequest => ApiVersionsResponse,
    Fetch: FetchRequest => FetchResponse,
    InitProducerId: InitProducerIdRequest => InitProducerIdResponse,
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse,
    Metadata: MetadataRequest => MetadataResponse,
    Produce: ProduceRequest => ProduceResponse,
    SaslAuthenticate: SaslAuthenticateRequest => SaslAuthenticateResponse,
    SaslHandshake: SaslHandshakeRequest => SaslHandshakeResponse,
}

// === impl Address ===

impl Address {
    /// `host:port`, as brokers are named in settings; a protocol before it is left out, and port 9092 is meant where none
    /// is said, as librdkafka does.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok()?),
            _ => (text, 9092),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then_some(Address { host, port })
    }
}

// === impl Connection ===

impl Connection {
    /// Over a stream on which nothing went yet; learns what the broker knows.
    pub(crate) async fn over(
        stream: Box<dyn Stream>,
        client_id: StrBytes,
        largest: usize,
        tally: Arc<Tally>,
    ) -> io::Result<Connection> {
        let (out, read) = (BytesMut::with_capacity(16 << 10), BytesMut::with_capacity(16 << 10));
        let mut connection =
            Connection { stream, client_id, largest, tally, versions: Vec::new(), asked: 0, out, read };
        connection.learn_versions().await?;
        Ok(connection)
    }

    /// The highest version of a request that both sides know.
    pub(crate) fn version<R: Request>(&self) -> io::Result<i16> {
        let theirs =
            self.versions.iter().find(|(key, _)| *key == R::KEY as i16).map(|(_, versions)| versions);
        let version = theirs.map(|theirs| theirs.max.min(R::VERSIONS.max));
        let both = version.filter(|version| {
            *version >= R::VERSIONS.min && theirs.is_some_and(|theirs| *version >= theirs.min)
        });
        both.ok_or_else(|| {
            let detail = format!("the broker and this program have no version of {:?} in common", R::KEY);
            io::Error::new(io::ErrorKind::Unsupported, detail)
        })
    }

    /// A question about the cluster.
    pub(crate) async fn ask<R: Request>(&mut self, request: &R) -> io::Result<R::Response> {
        let version = self.version::<R>()?;
        within(PATIENCE, self.call(request, version)).await
    }

    /// Sends a request and takes its answer; waits for as long as it takes.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        let answered = self.exchange(request, version).await;
        answered.inspect_err(|_| self.tally.failed())
    }

    async fn exchange<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        self.send(request, version).await?;
        let answer = self.answer().await?;
        self.decode::<R>(answer, version)
    }

    /// Asks which versions of requests the broker knows: the one question whose version must be known beforehand. Who does
    /// not know version 3 says so in a form where only the error stands in the same place.
    async fn learn_versions(&mut self) -> io::Result<()> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("tidefold"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut version = 3;
        self.send(&request, version).await?;
        let mut answer = self.answer().await?;
        let error = answer.get(size_of::<i32>()..).and_then(|rest| rest.first_chunk().copied());
        if error.map(i16::from_be_bytes) == Some(ResponseError::UnsupportedVersion.code()) {
            version = 0;
            self.send(&ApiVersionsRequest::default(), version).await?;
            answer = self.answer().await?;
        }
        let answer = self.decode::<ApiVersionsRequest>(answer, version)?;
        let known =
            |key: &ApiVersion| (key.api_key, VersionRange { min: key.min_version, max: key.max_version });
        self.versions = answer.api_keys.iter().map(known).collect();
        Ok(())
    }

    async fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<()> {
        self.asked = self.asked.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.asked)
            .with_client_id(Some(self.client_id.clone()));
        self.out.clear();
        self.out.put_i32(0);
        header.encode(&mut self.out, R::header_version(version)).map_err(invalid)?;
        request.encode(&mut self.out, version).map_err(invalid)?;
        let size = (self.out.len() - size_of::<i32>()) as i32;
        if let Some(place) = self.out.get_mut(..size_of::<i32>()) {
            place.copy_from_slice(&size.to_be_bytes());
        }
        self.stream.write_all(&self.out).await?;
        self.tally.sent(self.out.len());
        self.stream.flush().await
    }

    fn decode<R: Request>(&self, mut answer: Bytes, version: i16) -> io::Result<R::Response> {
        let header =
            ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(invalid)?;
        if header.correlation_id != self.asked {
            return Err(invalid("the broker answered another request"));
        }
        R::Response::decode(&mut answer, version).map_err(invalid)
    }

    async fn answer(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(prefix) = self.read.first_chunk() {
                let size = u32::from_be_bytes(*prefix) as usize;
                if size > self.largest {
                    return Err(invalid(format!("the broker announces an answer of {size} bytes")));
                }
                if self.read.len() >= size_of::<u32>() + size {
                    self.read.advance(size_of::<u32>());
                    self.tally.received(size);
                    return Ok(self.read.split_to(size).freeze());
                }
                self.read.reserve(size_of::<u32>() + size - self.read.len());
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Fails when it takes longer.
pub(crate) async fn within<T>(time: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, what).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_as_librdkafka_lets_them() {
        let parsed = |text| Address::parse(text).map(|address| (address.host, address.port));
        assert_eq!(parsed("127.0.0.1:9093"), Some(("127.0.0.1".to_owned(), 9093)));
        assert_eq!(parsed(" PLAINTEXT://kafka:1 "), Some(("kafka".to_owned(), 1)));
        assert_eq!(parsed("kafka"), Some(("kafka".to_owned(), 9092)));
        assert_eq!(parsed("[::1]:9092"), Some(("::1".to_owned(), 9092)));
        assert_eq!(parsed("kafka:many"), None);
        assert_eq!(parsed(" "), None);
    }
}
