//! NDJSON, streamed both ways: `POST /v1/{app}` and `POST /v1/{app}/{MessageType}`.
//!
//! ```text
//! body ─▶ lines ─▶ chunk being gathered ─▶ chunks in flight (at most a few) ─▶ answers, in line order
//!                  one batch a partition    each waits for its turn
//! ```
//!
//! The answer's body pulls everything: nothing is spawned, so nothing outlives its request. While fewer than two chunks
//! are on their way a chunk leaves as soon as no more of the body is here; under load chunks fill up while others are
//! on their way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{FuturesOrdered, StreamExt, unfold};
use futures_util::{FutureExt, future};
use tidefold_http::body::Pace;
use tidefold_http::{Asking, Caller, Held, Problem, ProblemKind};
use tidefold_telemetry::clock;
use tokio::sync::oneshot;

use crate::admission::Admitted;
use crate::answer;
use crate::attributes::ID_BYTES;
use crate::catalog::Catalog;
use crate::chunk::{Chunk, ChunkBuilder, LaneName, Route, Stream};
use crate::head::Head;
use crate::intake::Intake;
use crate::lane::{LaneBatch, Turn, append_in_turn};
use crate::lines::Lines;

/// One request, from its body to its answers.
struct Exchange {
    stream: Stream,
    lines: Lines,
    gathered: ChunkBuilder,
    /// For each partition of the catalog, what says that its last batch of this request is settled.
    tails: Vec<Option<oneshot::Receiver<bool>>>,
    in_flight: FuturesOrdered<BoxFuture<'static, Bytes>>,
    /// Why the body ended early, to be answered last.
    broken: Option<Problem>,
    over: bool,
    /// Room for what came, the chunk being gathered and one on its way.
    room: Admitted,
    /// Bytes that came and have no room yet: nothing more is read until they have.
    owed: usize,
    caller: Caller,
}

/// Starts answering a stream.
pub(crate) fn answer(
    intake: Arc<Intake>,
    catalog: Arc<Catalog>,
    asking: Asking,
    route: Route,
    head: Head,
    request: Request,
) -> Result<Response, Problem> {
    check(&head)?;
    let limits = intake.settings.limits;
    let Asking { caller, principal, .. } = asking;
    let room = intake.admission.open(&caller, 2 * intake.settings.chunk_bytes);
    let room = room.inspect_err(|_| {
        intake.metrics.full.inc();
    })?;
    let body = request.into_body();
    let source = intake.source_of(&principal).into_owned();
    let lanes = catalog.lanes();
    let exchange = Exchange {
        lines: Lines::new(body, limits.line_bytes, Pace::streamed(&limits)),
        gathered: ChunkBuilder::new(lanes),
        tails: std::iter::repeat_with(|| None).take(lanes).collect(),
        in_flight: FuturesOrdered::new(),
        broken: None,
        over: false,
        room,
        owed: 0,
        caller,
        stream: Stream { intake, catalog, principal, source, route, head },
    };
    let answers = unfold(exchange, async |mut exchange| {
        let answer = exchange.next().await?;
        Some((Ok::<_, Infallible>(answer), exchange))
    });
    let mut response = Response::new(Body::from_stream(answers));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// Headers that cannot hold for many messages.
fn check(head: &Head) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(ProblemKind::InvalidRequest, detail));
    if head.attributes.if_match.is_some() && !head.is_event {
        return refuse("If-Match is about one message; in a stream give a line its own `ifmatch`".to_owned());
    }
    if head.is_event {
        let detail = "CE- headers describe one event; in a stream each line has its own attributes (CE-Time alone holds \
                      for every line that has no time)";
        return refuse(detail.to_owned());
    }
    // The id of a line is the stream's, a colon and up to 20 digits.
    let longest = ID_BYTES - 21;
    match &head.attributes.id {
        Some(id) if id.len() > longest => {
            let length = id.len();
            refuse(format!(
                "the Idempotency-Key of a stream may have {longest} characters, this has {length}"
            ))
        }
        _ => Ok(()),
    }
}

// === impl Exchange ===

impl Exchange {
    /// The next answers; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.gather();
            if self.should_launch() {
                let intake = &self.stream.intake;
                let busy = self.in_flight.len();
                // The first goes by the stream's own room; without more, the others wait for it.
                let room = if busy == 0 {
                    None
                } else {
                    intake.admission.hold(&self.caller, self.gathered.size_bytes())
                };
                if busy >= intake.settings.chunks_in_flight || (busy > 0 && room.is_none()) {
                    return self.in_flight.next().await;
                }
                if let Some(answers) = self.launch(room) {
                    return Some(answers);
                }
                continue;
            }
            if self.over {
                return match self.in_flight.next().await {
                    Some(answers) => Some(answers),
                    None => self.last_words(),
                };
            }
            if !self.has_room().await {
                continue;
            }
            tokio::select! {
                biased;
                more = self.lines.fill(), if self.owed == 0 => self.note(more),
                answers = next_of(&mut self.in_flight) => return Some(answers),
            }
        }
    }

    /// Whether there is room for what came. Where there is none, batches on their way give theirs back first; then the
    /// stream waits for others to, and at last ends.
    async fn has_room(&mut self) -> bool {
        if self.gathered.is_empty() && self.in_flight.is_empty() {
            self.owed = self.room.keep(self.lines.held());
        }
        let (pause, patience) =
            (self.stream.intake.settings.wait_poll, self.stream.intake.settings.full_patience);
        let mut waited = Duration::ZERO;
        while !self.room.grow(self.owed) {
            if !self.in_flight.is_empty() {
                return true;
            }
            if waited >= patience {
                self.stream.intake.metrics.full.inc();
                self.broken = Some(self.stream.intake.admission.full());
                self.lines.give_up();
                self.over = true;
                return false;
            }
            clock::pause(pause).await;
            waited += pause;
        }
        self.owed = 0;
        true
    }

    /// Takes every line that is here into the chunk, until it is full.
    fn gather(&mut self) {
        while !self.is_full() {
            match self.lines.cut() {
                Some(piece) => self.gathered.add(&self.stream, piece),
                None => break,
            }
        }
    }

    fn is_full(&self) -> bool {
        let settings = &self.stream.intake.settings;
        self.gathered.lines() >= settings.chunk_lines || self.gathered.size_bytes() >= settings.chunk_bytes
    }

    /// Whether the chunk leaves now. May read more of the body, if it is here, to find out.
    fn should_launch(&mut self) -> bool {
        if self.gathered.is_empty() {
            return false;
        }
        loop {
            if self.is_full() || self.over {
                return true;
            }
            if self.in_flight.len() >= 2 {
                return false;
            }
            if self.owed > 0 {
                return true;
            }
            match self.lines.fill_now() {
                Some(more) => {
                    self.note(more);
                    self.gather();
                }
                None => return true,
            }
        }
    }

    fn note(&mut self, more: Result<bool, Problem>) {
        match more {
            Ok(true) => {
                let came = self.lines.bytes_read();
                self.stream.intake.metrics.body_bytes.inc_by(came);
                self.owed += usize::try_from(came).unwrap_or(usize::MAX);
                if self.room.grow(self.owed) {
                    self.owed = 0;
                }
            }
            Ok(false) => {
                // What stands behind the last line end is a line too.
                while let Some(piece) = self.lines.cut() {
                    self.gathered.add(&self.stream, piece);
                }
                self.over = true;
            }
            Err(problem) => {
                self.broken = Some(problem);
                self.over = true;
            }
        }
    }

    /// Sends the chunk on its way and gives back answers that are there at once.
    fn launch(&mut self, room: Option<Held>) -> Option<Bytes> {
        let (chunk, lanes) = self.gathered.take();
        let mut appends = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let name = LaneName { topic: Arc::clone(&lane.topic), partition: lane.partition };
            let turn = self.turn(&lane);
            let append = append_in_turn(Arc::clone(&self.stream.intake), lane, turn);
            appends.push(append.map(move |fates| (name, fates)));
        }
        let intake = Arc::clone(&self.stream.intake);
        self.in_flight.push_back(answered(intake, chunk, room, join_all(appends)).boxed());
        // Polled once, the log has the batches before the next chunk is gathered.
        self.in_flight.next().now_or_never().flatten()
    }

    /// The place of a batch behind those of the same partition.
    fn turn(&mut self, lane: &LaneBatch) -> Turn {
        let (done, tail) = oneshot::channel();
        let slot = self.tails.get_mut(lane.topic.lane(lane.partition));
        let before = slot.and_then(|slot| slot.replace(tail));
        Turn { before, done }
    }

    /// What is said about a body that broke off, behind all other answers.
    fn last_words(&mut self) -> Option<Bytes> {
        let problem = self.broken.take()?;
        if problem.kind() == ProblemKind::BodyTimeout {
            self.stream.intake.metrics.timeout.inc();
        }
        let mut out = Vec::new();
        answer::write_problem_line(self.gathered.next_index(), None, &problem, &mut out);
        Some(out.into())
    }
}

async fn answered(
    intake: Arc<Intake>,
    chunk: Chunk,
    room: Option<Held>,
    appends: impl Future<Output = Vec<(LaneName, crate::lane::Fates)>>,
) -> Bytes {
    let lanes = appends.await;
    drop(room);
    chunk.answers(&intake, &lanes)
}

/// The next answers of chunks in flight; never, where there are none.
async fn next_of(in_flight: &mut FuturesOrdered<BoxFuture<'static, Bytes>>) -> Bytes {
    match in_flight.next().await {
        Some(answers) => answers,
        None => future::pending().await,
    }
}
