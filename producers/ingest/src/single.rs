//! One message: `POST /v1/{app}/{MessageType}` with its JSON, or there and under `/v1/{app}` as a CloudEvent in JSON.

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use tidefold_codec::json_in::pointer_to_member;
use tidefold_http::body::{self, Pace};
use tidefold_http::{Asking, FieldError, Principal, Problem, ProblemKind};
use tidefold_record::{BatchBuilder, Partition, SchemaId};

use crate::admission::Admitted;
use crate::answer::Standing;
use crate::attributes::{Attributes, Known};
use crate::catalog::{Catalog, MessageEntry, TopicEntry};
use crate::envelope;
use crate::failure::{Failure, advise, field_errors, invalid_envelope, invalid_message};
use crate::head::Head;
use crate::intake::Intake;
use crate::outcomes::{self, Waited};
use crate::record::{Given, Now, Scratch};
use crate::shape;

/// The length of an id that is made here.
const FRESH: usize = uuid::fmt::Hyphenated::LENGTH;

/// One message, read.
struct Sent<'a> {
    message: &'a MessageEntry,
    topic: &'a TopicEntry,
    schema: SchemaId,
    attributes: &'a Attributes<'a>,
    head: &'a Head,
    json: &'a [u8],
    /// Where it stands in the body: nothing, or `/data`.
    inside: &'static str,
}

/// Takes a message whose attributes are headers.
pub(crate) async fn one(
    intake: &Intake,
    asking: Asking,
    message: &MessageEntry,
    schema: SchemaId,
    head: Head,
    request: Request,
) -> Result<Response, Problem> {
    let topic = &*message.topic;
    of_this_path(message, &head)?;
    intake.check_source(&asking.principal, &head.attributes)?;
    let (room, json) = read(intake, &asking, request).await?;
    let sent =
        Sent { message, topic, schema, attributes: &head.attributes, head: &head, json: &json, inside: "" };
    let now = intake.now();
    let mut fresh = [0; FRESH];
    let id = id_of(intake, &head.attributes, &now, &mut fresh);
    let (partition, batch) = sent.encode(intake, &asking.principal, (id, &now), Vec::new())?;
    drop(json);
    let standing = append(intake, topic, partition, batch, id).await?;
    drop(room);
    told(intake, asking, &head, &standing).await
}

/// Takes a CloudEvent in JSON: an envelope, of which the standard requires more than of a line.
pub(crate) async fn event(
    intake: &Intake,
    catalog: &Catalog,
    asking: Asking,
    path: Option<&MessageEntry>,
    head: Head,
    request: Request,
) -> Result<Response, Problem> {
    if head.is_event || head.attributes.id.is_some() || head.attributes.if_match.is_some() {
        let detail = "the body is an event with attributes of its own: leave out CE- headers, Idempotency-Key and \
                      If-Match, or send them with the data alone as application/json";
        return Err(Problem::new(ProblemKind::InvalidRequest, detail));
    }
    let (room, json) = read(intake, &asking, request).await?;
    let (envelope, mut errors) = envelope::parse(&json);
    let attributes = &envelope.attributes;
    require_whole(attributes, &mut errors);
    let refused = |problem| {
        intake.metrics.invalid.inc();
        problem
    };
    let kind = attributes.kind.as_deref().unwrap_or_default();
    let (Some(message), Some(data)) = (catalog.message(kind), envelope.data) else {
        return Err(refused(match errors.is_empty() {
            true => catalog.unknown_type(kind),
            false => invalid_envelope(errors),
        }));
    };
    if errors.is_empty() {
        intake.check_source(&asking.principal, attributes).map_err(refused)?;
        if let Some(path) = path.filter(|path| path.place != message.place) {
            let detail = format!("the event's type is `{kind}`; this path takes `{}`", path.name);
            return Err(refused(Problem::new(ProblemKind::InvalidRequest, detail)));
        }
    }
    let topic = &*message.topic;
    if attributes.if_match.is_some()
        && let Some(reason) = message.unconditional()
    {
        errors.push(FieldError::at("#/ifmatch", "not_conditional", reason));
    }
    let schema = catalog.schema_id(message)?;
    let sent = Sent { message, topic, schema, attributes, head: &head, json: data, inside: "/data" };
    let now = intake.now();
    let mut fresh = [0; FRESH];
    let id = id_of(intake, attributes, &now, &mut fresh);
    let (partition, batch) = sent.encode(intake, &asking.principal, (id, &now), errors)?;
    let standing = append(intake, topic, partition, batch, id).await?;
    drop(room);
    told(intake, asking, &head, &standing).await
}

/// Adds what the standard requires of an event and this has not.
fn require_whole(attributes: &Attributes<'_>, errors: &mut Vec<FieldError>) {
    let required = [
        (Known::Specversion, attributes.has(Known::Specversion)),
        (Known::Id, attributes.id.is_some()),
        (Known::Source, attributes.source.is_some()),
    ];
    for (required, is_there) in required {
        let pointer = pointer_to_member(required.name());
        // What is no object has no members, and what is wrong was told.
        let told = |error: &FieldError| error.pointer.as_deref().is_some_and(|at| at == "#" || at == pointer);
        if !is_there && !errors.iter().any(told) {
            errors.push(FieldError::at(pointer, "missing_field", "is missing; every CloudEvent has one"));
        }
    }
}

/// A message's own id, or a fresh one.
fn id_of<'a>(
    intake: &Intake,
    attributes: &'a Attributes<'_>,
    now: &Now,
    buffer: &'a mut [u8; FRESH],
) -> &'a str {
    match &attributes.id {
        Some(id) => id,
        None => intake.ids.fresh(now.micros).hyphenated().encode_lower(buffer),
    }
}

/// Reads the body whole, with room for it.
async fn read(intake: &Intake, asking: &Asking, request: Request) -> Result<(Admitted, Bytes), Problem> {
    let limits = &intake.settings.limits;
    let room = intake.admission.open(&asking.caller, usize::MAX);
    let mut room = room.inspect_err(|_| {
        intake.metrics.full.inc();
    })?;
    let more = |bytes| if room.grow(bytes) { Ok(()) } else { Err(intake.admission.full()) };
    let json = body::read_whole(request.into_body(), limits.body_bytes, Pace::whole(limits), more).await;
    let json = json.inspect_err(|problem| count_unread(intake, problem))?;
    intake.metrics.body_bytes.inc_by(json.len() as u64);
    Ok((room, json))
}

// === impl Sent ===

impl Sent<'_> {
    /// The message as a batch of one, with its partition. `errors` are what is wrong around it.
    fn encode(
        &self,
        intake: &Intake,
        principal: &Principal,
        (id, now): (&str, &Now),
        mut errors: Vec<FieldError>,
    ) -> Result<(Partition, BatchBuilder), Problem> {
        let source = intake.source_of(principal);
        let caller = principal.as_str();
        let given = Given { id, source: &source, caller, attributes: self.attributes, head: self.head };
        Scratch::with(|scratch| {
            let around = errors.len();
            if let Err(violations) = scratch.encode(self.message, self.schema, self.json) {
                errors.extend(field_errors(violations, self.inside));
                advise(&mut errors, || shape::of_message(self.json));
            }
            if !errors.is_empty() {
                intake.metrics.invalid.inc();
                return Err(match around {
                    0 => invalid_message(self.message, errors),
                    _ => invalid_envelope(errors),
                });
            }
            let mut batch = BatchBuilder::with_capacity(1, scratch.size_hint());
            scratch.push(self.message, &given, now, &mut batch);
            Ok((self.topic.partition_of(scratch.key()), batch))
        })
    }
}

async fn append<'a>(
    intake: &Intake,
    topic: &'a TopicEntry,
    partition: Partition,
    batch: BatchBuilder,
    id: &'a str,
) -> Result<Standing<'a>, Problem> {
    let appended = intake.append(topic, partition, batch).await.and_then(|appended| appended.offset(0));
    let offset = appended.map_err(|error| {
        let failure = Failure::Log(error);
        failure.count(&intake.metrics);
        failure.problem(id)
    })?;
    intake.metrics.accepted.inc();
    Ok(Standing { topic, partition, offset, id })
}

/// Answers a message that stands in the log, with its outcome if that is wanted.
async fn told(
    intake: &Intake,
    asking: Asking,
    head: &Head,
    standing: &Standing<'_>,
) -> Result<Response, Problem> {
    match head.wait {
        Some(wait) => outcomes::wait(intake, standing, Waited { asked: wait, caller: asking.caller }).await,
        None => Ok(standing.accepted(&intake.app)),
    }
}

/// Whether what the headers say can hold for a message of this type.
fn of_this_path(message: &MessageEntry, head: &Head) -> Result<(), Problem> {
    if head.attributes.if_match.is_some()
        && let Some(reason) = message.unconditional()
    {
        return Err(Problem::new(ProblemKind::InvalidRequest, format!("If-Match is of no use: {reason}")));
    }
    match &head.attributes.kind {
        Some(kind) if *kind != message.name => {
            let detail = format!("CE-Type is `{kind}`; this path takes `{}`", message.name);
            Err(Problem::new(ProblemKind::InvalidRequest, detail))
        }
        _ => Ok(()),
    }
}

fn count_unread(intake: &Intake, problem: &Problem) {
    match problem.kind() {
        ProblemKind::BodyTooLarge => intake.metrics.too_large.inc(),
        ProblemKind::BodyTimeout => intake.metrics.timeout.inc(),
        ProblemKind::Overloaded => intake.metrics.full.inc(),
        _ => intake.metrics.invalid.inc(),
    };
}
