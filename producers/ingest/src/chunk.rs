//! Some lines of a stream on their way through: encoded into one batch for each partition, answered in line order.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_http::{FieldError, Principal, Problem, ProblemKind};
use tidefold_record::{BatchBuilder, SchemaId};

use crate::answer;
use crate::catalog::{Catalog, MessageEntry, TopicEntry};
use crate::envelope::{self, Envelope};
use crate::failure::{advise, field_errors, invalid_envelope, invalid_message};
use crate::head::Head;
use crate::intake::Intake;
use crate::lane::{Fates, LaneBatch};
use crate::lines::Piece;
use crate::record::{Given, Now, Scratch};
use crate::shape;

/// What the lines of a stream are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// Messages of one type, alone.
    One {
        /// The type's place in the catalog.
        message: usize,
        /// Its schema id.
        schema: SchemaId,
    },
    /// Messages of any type, each with its attributes.
    Any,
}

/// What holds for all lines of a stream.
pub(crate) struct Stream {
    pub(crate) intake: Arc<Intake>,
    /// What is served, as it was when the stream began.
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) principal: Principal,
    pub(crate) source: String,
    pub(crate) route: Route,
    pub(crate) head: Head,
}

/// Lines being gathered.
pub(crate) struct ChunkBuilder {
    chunk: Chunk,
    lanes: Vec<LaneBatch>,
    /// For each partition of the catalog, its place in `lanes`, if it is there.
    lane_of: Vec<Option<usize>>,
    bytes: usize,
    now: Option<Now>,
    next_index: u64,
    /// Why no line of this body is taken, once the first one has shown that they are no messages.
    laid_out: Option<&'static str>,
}

/// Lines gathered: what is needed to answer them.
#[derive(Default)]
pub(crate) struct Chunk {
    first_index: u64,
    lines: Vec<Line>,
    /// Ids of accepted lines, and answers of refused ones, one behind the other.
    texts: Vec<u8>,
}

struct Line {
    text: Range<usize>,
    fate: LineFate,
}

enum LineFate {
    /// In this place of this lane's batch; the text is the id.
    Sent { lane: usize, record: usize },
    /// Not sent; the text is the whole answer.
    Refused,
}

// === impl ChunkBuilder ===

impl ChunkBuilder {
    pub(crate) fn new(lanes: usize) -> ChunkBuilder {
        ChunkBuilder {
            chunk: Chunk::default(),
            lanes: Vec::new(),
            lane_of: vec![None; lanes],
            bytes: 0,
            now: None,
            next_index: 0,
            laid_out: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunk.lines.is_empty()
    }

    pub(crate) fn lines(&self) -> usize {
        self.chunk.lines.len()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The index that the next line gets.
    pub(crate) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The lines so far; gathering starts anew.
    pub(crate) fn take(&mut self) -> (Chunk, Vec<LaneBatch>) {
        self.lane_of.fill(None);
        self.bytes = 0;
        self.now = None;
        let next = Chunk { first_index: self.next_index, ..Chunk::default() };
        (std::mem::replace(&mut self.chunk, next), std::mem::take(&mut self.lanes))
    }

    /// Takes one line.
    pub(crate) fn add(&mut self, stream: &Stream, piece: Piece) {
        match piece {
            Piece::Line(line) => {
                self.bytes += line.len();
                if self.next_index == 0 {
                    self.laid_out = shape::of_first_line(&line);
                }
                if let Err((id, problem)) = self.add_line(stream, &line) {
                    let counter = match problem.kind() {
                        ProblemKind::SchemaNotRegistered => &stream.intake.metrics.unavailable,
                        _ => &stream.intake.metrics.invalid,
                    };
                    counter.inc();
                    self.refuse(id.as_deref(), &problem);
                }
            }
            Piece::TooLong { bytes } => {
                stream.intake.metrics.too_large.inc();
                let limit = stream.intake.settings.limits.line_bytes;
                let problem = Problem::new(
                    ProblemKind::LineTooLong,
                    format!("the line has {bytes} bytes; a line may have {limit}"),
                );
                let problem = problem.with_member("limit_bytes", limit).with_member("actual_bytes", bytes);
                self.refuse(None, &problem);
            }
        }
        self.next_index += 1;
    }

    fn refuse(&mut self, id: Option<&str>, problem: &Problem) {
        let start = self.chunk.texts.len();
        answer::write_problem_line(self.next_index, id, problem, &mut self.chunk.texts);
        self.chunk.lines.push(Line { text: start..self.chunk.texts.len(), fate: LineFate::Refused });
    }

    fn add_line(&mut self, stream: &Stream, line: &[u8]) -> Result<(), (Option<String>, Problem)> {
        if let Some(reason) = self.laid_out {
            return Err((None, invalid_envelope(vec![FieldError::at("#", "invalid_json", reason)])));
        }
        match stream.route {
            Route::One { message, schema } => {
                let Some(message) = stream.catalog.message_at(message) else {
                    return Err((None, Problem::new(ProblemKind::Internal, "no such message type")));
                };
                let envelope = Envelope { data: Some(line), ..Envelope::default() };
                self.encode(stream, message, schema, &envelope, vec![], "").map_err(|problem| (None, problem))
            }
            Route::Any => {
                let (envelope, errors) = envelope::parse(line);
                self.add_envelope(stream, &envelope, errors)
                    .map_err(|problem| (envelope.attributes.id.map(std::borrow::Cow::into_owned), problem))
            }
        }
    }

    fn add_envelope(
        &mut self,
        stream: &Stream,
        envelope: &Envelope<'_>,
        mut errors: Vec<FieldError>,
    ) -> Result<(), Problem> {
        let catalog = &stream.catalog;
        let attributes = &envelope.attributes;
        if errors.is_empty() {
            stream.intake.check_source(&stream.principal, attributes)?;
        }
        let kind = attributes.kind.as_deref().unwrap_or_default();
        let Some(message) = catalog.message(kind) else {
            if errors.is_empty() {
                return Err(catalog.unknown_type(kind));
            }
            if !kind.is_empty() {
                let detail = catalog.unknown_type(kind).detail().to_owned();
                errors.push(FieldError::at("#/type", "unknown_type", detail));
            }
            return Err(invalid_envelope(errors));
        };
        if attributes.if_match.is_some()
            && let Some(reason) = message.unconditional()
        {
            errors.push(FieldError::at("#/ifmatch", "not_conditional", reason));
        }
        let schema = catalog.schema_id(message)?;
        self.encode(stream, message, schema, envelope, errors, "/data")
    }

    /// Encodes a message into the batch of its partition. `errors` are what is wrong around it, `inside` where it stands.
    fn encode(
        &mut self,
        stream: &Stream,
        message: &MessageEntry,
        schema: SchemaId,
        envelope: &Envelope<'_>,
        mut errors: Vec<FieldError>,
        inside: &str,
    ) -> Result<(), Problem> {
        let topic = &message.topic;
        Scratch::with(|scratch| {
            if let Some(data) = envelope.data
                && let Err(violations) = scratch.encode(message, schema, data)
            {
                let around = errors.len();
                errors.extend(field_errors(violations, inside));
                if inside.is_empty() {
                    advise(&mut errors, || shape::of_line(data));
                }
                return Err(match around {
                    0 => invalid_message(message, errors),
                    _ => invalid_envelope(errors),
                });
            }
            if !errors.is_empty() || envelope.data.is_none() {
                return Err(invalid_envelope(errors));
            }
            let partition = topic.partition_of(scratch.key());
            let lane = self.lane(topic, partition);
            self.push(stream, message, envelope, lane, scratch);
            Ok(())
        })
    }

    /// The place of a partition's batch, which is begun if need be.
    fn lane(&mut self, topic: &Arc<TopicEntry>, partition: tidefold_record::Partition) -> usize {
        let place = topic.lane(partition);
        match self.lane_of.get(place) {
            Some(Some(lane)) => *lane,
            _ => {
                let topic = Arc::clone(topic);
                self.lanes.push(LaneBatch { topic, partition, batch: BatchBuilder::new() });
                let lane = self.lanes.len() - 1;
                if let Some(slot) = self.lane_of.get_mut(place) {
                    *slot = Some(lane);
                }
                lane
            }
        }
    }

    fn push(
        &mut self,
        stream: &Stream,
        message: &MessageEntry,
        envelope: &Envelope<'_>,
        lane: usize,
        scratch: &mut Scratch,
    ) {
        let now = self.now.get_or_insert_with(|| stream.intake.now());
        let start = self.chunk.texts.len();
        write_id(stream, envelope, self.next_index, now, &mut self.chunk.texts);
        let id = self.chunk.texts.get(start..).and_then(|id| std::str::from_utf8(id).ok());
        let given = Given {
            id: id.unwrap_or_default(),
            source: &stream.source,
            caller: stream.principal.as_str(),
            attributes: &envelope.attributes,
            head: &stream.head,
        };
        let Some(batch) = self.lanes.get_mut(lane).map(|lane| &mut lane.batch) else { return };
        let record = batch.len();
        scratch.push(message, &given, now, batch);
        let fate = LineFate::Sent { lane, record };
        self.chunk.lines.push(Line { text: start..self.chunk.texts.len(), fate });
    }
}

/// A line's id: its own; the stream's and the line's index; or a fresh one.
fn write_id(stream: &Stream, envelope: &Envelope<'_>, index: u64, now: &Now, out: &mut Vec<u8>) {
    use std::io::Write as _;
    match (&envelope.attributes.id, &stream.head.attributes.id) {
        (Some(own), _) => out.extend_from_slice(own.as_bytes()),
        (None, Some(prefix)) => {
            // Writing to a Vec does not fail.
            let _ = write!(out, "{prefix}:{index}");
        }
        (None, None) => {
            let mut buffer = uuid::Uuid::encode_buffer();
            let fresh = stream.intake.ids.fresh(now.micros);
            out.extend_from_slice(fresh.hyphenated().encode_lower(&mut buffer).as_bytes());
        }
    }
}

// === impl Chunk ===

impl Chunk {
    /// The answers to all lines, in their order.
    pub(crate) fn answers(&self, intake: &Intake, lanes: &[(LaneName, Fates)]) -> Bytes {
        let mut out = Vec::with_capacity(self.texts.len() + self.lines.len() * 72);
        let mut position = Vec::with_capacity(48);
        let mut accepted = 0;
        for (index, line) in (self.first_index..).zip(&self.lines) {
            let text = self.texts.get(line.text.clone()).unwrap_or_default();
            let LineFate::Sent { lane, record } = line.fate else {
                out.extend_from_slice(text);
                continue;
            };
            let id = std::str::from_utf8(text).unwrap_or_default();
            let Some((name, fates)) = lanes.get(lane) else { continue };
            match fates.of(record) {
                Ok(offset) => {
                    position.clear();
                    answer::write_position(&name.topic.name, name.partition, offset, &mut position);
                    answer::write_accepted_line(index, id, &position, &mut out);
                    accepted += 1;
                }
                Err(failure) => {
                    failure.count(&intake.metrics);
                    answer::write_problem_line(index, Some(id), &failure.problem(id), &mut out);
                }
            }
        }
        intake.metrics.accepted.inc_by(accepted);
        out.into()
    }
}

/// Which partition a lane is.
#[derive(Clone, Debug)]
pub(crate) struct LaneName {
    pub(crate) topic: Arc<TopicEntry>,
    pub(crate) partition: tidefold_record::Partition,
}
