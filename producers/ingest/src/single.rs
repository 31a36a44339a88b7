//! `POST /v1/{app}/{MessageType}` with one JSON message.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tidefold_http::body::{self, Pace};
use tidefold_http::{Asking, Problem, ProblemKind};
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId};

use crate::answer;
use crate::catalog::{MessageEntry, TopicEntry};
use crate::failure::{Failure, advise, field_errors, invalid_message};
use crate::head::Head;
use crate::intake::Intake;
use crate::media::Media;
use crate::outcomes::{self, Waited};
use crate::record::{Given, Scratch};
use crate::shape;
use crate::stream::{self, Route};

/// A message that stands in the log.
pub(crate) struct Standing<'a> {
    pub(crate) topic: &'a TopicEntry,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) id: &'a str,
}

/// The route.
pub(crate) async fn post_named(
    State(intake): State<Arc<Intake>>,
    asking: Asking,
    request: Request,
) -> Result<Response, Problem> {
    let (app, name) = named(request.uri().path());
    intake.check_app(app)?;
    let message = intake.catalog.message(name).ok_or_else(|| intake.catalog.unknown_type(name))?;
    let media = Media::of(request.headers())?;
    let head = Head::of(request.headers(), &asking, intake.settings.wait_max)?;
    let schema = intake.catalog.schema_id(message)?;
    match media {
        Media::Json => one(&intake, asking, message, schema, head, request).await,
        Media::Lines => {
            let route = Route::One { message: message.place, schema };
            stream::answer(Arc::clone(&intake), asking, route, head, request)
        }
    }
}

/// App and name of `/v1/{app}/{name}`. Both are plain ASCII in every app, so an escaped one is just not found.
fn named(path: &str) -> (&str, &str) {
    path.strip_prefix("/v1/").and_then(|rest| rest.split_once('/')).unwrap_or_default()
}

async fn one(
    intake: &Intake,
    asking: Asking,
    message: &MessageEntry,
    schema: SchemaId,
    head: Head,
    request: Request,
) -> Result<Response, Problem> {
    let Some(topic) = intake.catalog.topic_of(message) else {
        return Err(Problem::new(ProblemKind::Internal, "a message type without a topic"));
    };
    of_this_path(message, topic, &head)?;
    let Asking { caller, principal, .. } = asking;
    intake.check_source(&principal, &head.attributes)?;
    let limits = &intake.settings.limits;
    let full = |_: &Problem| {
        intake.metrics.full.inc();
    };
    let mut room = intake.room.open(&caller, usize::MAX).inspect_err(full)?;
    let more = |bytes| if room.grow(bytes) { Ok(()) } else { Err(intake.room.full()) };
    let json = body::read_whole(request.into_body(), limits.body_bytes, Pace::whole(limits), more).await;
    let json = json.inspect_err(|problem| count_unread(intake, problem))?;
    intake.metrics.body_bytes.inc_by(json.len() as u64);

    let now = intake.now();
    let mut fresh = uuid::Uuid::encode_buffer();
    let id: &str = match &head.attributes.id {
        Some(id) => id,
        None => intake.ids.fresh(now.micros).hyphenated().encode_lower(&mut fresh),
    };
    let source = intake.source_of(&principal);
    let given =
        Given { id, source: &source, caller: principal.as_str(), attributes: &head.attributes, head: &head };
    let (partition, batch) = Scratch::with(|scratch| {
        scratch.encode(message, schema, &json)?;
        let mut batch = BatchBuilder::with_capacity(1, scratch.size_hint());
        scratch.push(message, &given, &now, &mut batch);
        Ok((topic.partition_of(scratch.key()), batch))
    })
    .map_err(|violations| {
        intake.metrics.invalid.inc();
        let mut errors: Vec<_> = field_errors(violations, "").collect();
        advise(&mut errors, || shape::of_message(&json));
        invalid_message(message, errors)
    })?;
    drop(json);

    let appended = intake.append(topic, partition, batch).await.and_then(|appended| appended.offset(0));
    let offset = appended.map_err(|error| {
        let failure = Failure::Log(error);
        failure.count(&intake.metrics);
        failure.problem(id)
    })?;
    drop(room);
    intake.metrics.accepted.inc();
    let standing = Standing { topic, partition, offset, id };
    match head.wait {
        Some(wait) => outcomes::wait(intake, &standing, Waited { asked: wait, caller }).await,
        None => Ok(standing.accepted(&intake.app.name)),
    }
}

/// Whether what the headers say can hold for a message of this type.
fn of_this_path(message: &MessageEntry, topic: &TopicEntry, head: &Head) -> Result<(), Problem> {
    if head.attributes.if_match.is_some()
        && let Some(reason) = message.unconditional(topic)
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

// === impl Standing ===

impl Standing<'_> {
    /// Its position's text.
    pub(crate) fn position(&self) -> Vec<u8> {
        let mut position = Vec::with_capacity(48);
        answer::write_position(&self.topic.name, self.partition, self.offset, &mut position);
        position
    }

    pub(crate) fn position_text(&self) -> String {
        match String::from_utf8_lossy(&self.position()) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        }
    }

    /// `202`.
    pub(crate) fn accepted(&self, app: &str) -> Response {
        answer::accepted(app, self.id, &self.position())
    }
}
