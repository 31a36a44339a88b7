//! The server: an accept loop, HTTP/1.1 with keep-alive, bounds, and a shutdown that drains.
//!
//! It wraps the router directly instead of in layers: nothing is boxed for it and nothing is looked up per request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tidefold_telemetry::{HttpMetrics, Telemetry, clock};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::Instrument;

use crate::admission::Admission;
use crate::asking::Asking;
use crate::callers::{Answering, Caller, Callers, Connected, Shared};
use crate::catalog::ProblemKind;
use crate::limits::Limits;
use crate::patient::Patient;
use crate::present::{Asked, Present};
use crate::problem::Problem;
use crate::request_id::{self, RequestId};
use crate::routes::Routes;

/// What a server runs with.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in metrics: `public`, `admin`.
    pub name: &'static str,
    /// Its bounds.
    pub limits: Limits,
    /// What it lets in.
    pub admission: Admission,
    /// Where it counts.
    pub telemetry: Telemetry,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// Every open request was answered.
    Whole,
    /// This many connections had to be cut at the end of the time allowed.
    Cut(usize),
}

struct Front {
    routes: Routes,
    limits: Limits,
    admission: Admission,
    metrics: HttpMetrics,
    callers: Arc<Callers>,
}

/// A body on its way in, which says when all of it was read.
struct Arriving {
    body: Incoming,
    caller: Caller,
}

/// A body that knows when its request is over.
struct Counted {
    body: Body,
    _request: RequestGuard,
}

/// Counts a request while it is answered, body included.
struct RequestGuard {
    front: Arc<Front>,
    since: Instant,
    status: u16,
    _answering: Answering,
}

/// Counts a connection while it is open.
struct ConnectionGuard {
    metrics: HttpMetrics,
    connected: Connected,
}

/// Answers below this many bytes are not counted among those that wait to be read.
const SMALL_ANSWER: u64 = 16 << 10;

/// A body of up to this many bytes is passed over where it was not read, so that the connection can be kept.
const PASSED_OVER: u64 = 4 << 10;

/// How often trouble with accepting is logged, however often it comes.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Trouble with accepting connections, said once in a while.
#[derive(Default)]
struct Trouble {
    times: u64,
    said: Option<Instant>,
}

/// Serves `routes` on `listener` until `shutdown` is cancelled, then answers what is open, for at most `limits.drain`.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    shutdown: CancellationToken,
    server: Server,
) -> Drained {
    let metrics = server.telemetry.http(server.name);
    let callers = Callers::new(server.limits);
    let front = Arc::new(Front {
        routes: routes.into(),
        limits: server.limits,
        admission: server.admission,
        metrics: metrics.clone(),
        callers: Arc::clone(&callers),
    });
    let http = http1_settings(&server.limits);
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut trouble = Trouble::default();
    while let Some((stream, peer)) = accept(&listener, &shutdown, &mut trouble).await {
        let Some(connected) = callers.open(peer.ip()) else {
            metrics.refused_connections.inc();
            turn_away(stream, &server.limits);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (front, caller) = (Arc::clone(&front), connected.caller.clone());
        let service = service_fn(move |request| answer(Arc::clone(&front), caller.clone(), peer, request));
        let patient = Patient::new(stream, server.limits.answer_stall, connected.caller.clone());
        let connection = graceful.watch(http.serve_connection(patient, service));
        let guard = ConnectionGuard::new(&metrics, connected);
        let cut = cut.clone();
        tasks.spawn(async move {
            tokio::select! {
                // Clients break off connections all the time: that is their affair.
                _ = connection => {}
                () = cut.cancelled() => {}
                () = guard.connected.caller.cut().cancelled() => {}
            }
            drop(guard);
        });
    }
    drop(listener);
    tasks.close();
    drain(graceful, tasks, cut, server.limits.drain).await
}

/// `pipeline_flush` stays off: with it hyper buffers an answer without bound when its caller does not read.
fn http1_settings(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8192))
        .keep_alive(true);
    http
}

/// The next connection; `None` at shutdown. Running out of file descriptors is waited out, not died of: it costs new
/// connections only, which wait with the system meanwhile.
async fn accept(
    listener: &TcpListener,
    shutdown: &CancellationToken,
    trouble: &mut Trouble,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                trouble.report(&error);
                clock::pause(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Says 503 to a connection that finds no place, as far as that goes without waiting for it.
fn turn_away(stream: TcpStream, limits: &Limits) {
    let detail = format!(
        "this node serves {} connections at a time, a share of them for one address, and none of them is idle",
        limits.connections
    );
    let problem = Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1));
    if let Ok(mut stream) = stream.into_std() {
        let _ = std::io::Write::write(&mut stream, &problem.last_answer());
    }
}

async fn drain(
    graceful: GracefulShutdown,
    tasks: TaskTracker,
    cut: CancellationToken,
    time: Duration,
) -> Drained {
    let all = async {
        graceful.shutdown().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(time, all).await.is_ok() {
        return Drained::Whole;
    }
    let open = tasks.len();
    tracing::warn!(open, "connections are cut: they did not finish in {} ms", time.as_millis());
    cut.cancel();
    tasks.wait().await;
    Drained::Cut(open)
}

/// Answers one request, or turns it away when too many are being answered.
async fn answer(
    front: Arc<Front>,
    caller: Caller,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Counted>, Infallible> {
    front.metrics.in_flight.inc();
    let (answering, has_place) = front.callers.answering(&caller);
    let mut guard = RequestGuard { front, since: clock::instant(), status: 0, _answering: answering };
    let front = &guard.front;
    let present = Present::among(request.headers());
    let id = match present.has(Asked::RequestId) {
        true => request.headers().get(request_id::HEADER).cloned(),
        false => None,
    };
    caller.body_arrives(!request.body().is_end_stream());
    let long = is_long(request.body(), present);
    let judged = match has_place {
        true => caller
            .judge_lengths()
            .and_then(|()| front.admission.judge(&request, present))
            .and_then(|()| Asking::of(request.headers(), present, caller.clone(), Some(peer))),
        false => Err(overloaded(&front.limits)),
    };
    let response = match judged {
        Err(problem) => {
            if !has_place {
                front.metrics.refused_requests.inc();
            }
            problem.into_response()
        }
        Ok(asking) => {
            let span =
                tracing::debug_span!("request", method = %request.method(), path = request.uri().path());
            request.extensions_mut().insert(asking);
            let request = request.map(|body| Arriving { body, caller: caller.clone() });
            let mut router = front.routes.current();
            let Ok(response) = router.call(request).instrument(span).await;
            response
        }
    };
    let mut response = match hold_answer(&front.limits, &caller, &response) {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    };
    let closes = closes(&response);
    let problem = response.extensions().get::<Problem>().cloned();
    if let Some(id) = id {
        response = under_callers_id(response, id);
    }
    if let Some(problem) = problem {
        problem.log(response.headers().get(request_id::HEADER).and_then(|id| id.to_str().ok()));
    }
    if (long && caller.is_body_arriving() && response.body().size_hint().exact().is_some()) || closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    guard.status = response.status().as_u16();
    tracing::debug!(status = guard.status, "answered");
    Ok(response.map(|body| Counted { body, _request: guard }))
}

/// Whether a body is too long, or too far away, to be passed over unread: then the connection ends with the answer.
fn is_long(body: &Incoming, present: Present) -> bool {
    body.size_hint().exact().is_none_or(|bytes| bytes > PASSED_OVER) || present.has(Asked::Expect)
}

/// Whether nothing that may follow on the connection can be trusted.
fn closes(response: &Response<Body>) -> bool {
    let problem = response.extensions().get::<Problem>();
    problem.is_some_and(|problem| problem.kind() == ProblemKind::BadRequest)
}

/// Counts a large answer until its caller has read it.
fn hold_answer(limits: &Limits, caller: &Caller, response: &Response<Body>) -> Result<(), Problem> {
    let Some(bytes) = response.body().size_hint().exact().filter(|bytes| *bytes >= SMALL_ANSWER) else {
        return Ok(());
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let held = caller.take(Shared::Answers, bytes, limits.answer_bytes, bytes).ok_or_else(|| {
        let detail = format!(
            "answers that were not read hold the {} bytes that they may together, or one address's share of them; read \
             what was asked for, and ask again",
            limits.answer_bytes
        );
        Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1))
    })?;
    caller.hold_answer(held);
    Ok(())
}

/// The same answer, with the caller's own request id on it and, where it is a problem, in it.
fn under_callers_id(response: Response<Body>, caller: HeaderValue) -> Response<Body> {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(request_id::HEADER, caller.clone());
    let Some(id) = RequestId::of_caller(&headers) else { return response };
    let mut response = match response.extensions().get::<Problem>() {
        Some(problem) => {
            let mut again = problem.answer(&id);
            for (name, value) in response.headers() {
                let told = again.headers().contains_key(name) || name == axum::http::header::CONTENT_LENGTH;
                if !told {
                    again.headers_mut().append(name, value.clone());
                }
            }
            again
        }
        None => response,
    };
    response.headers_mut().insert(request_id::HEADER, caller);
    response
}

fn overloaded(limits: &Limits) -> Problem {
    let detail = format!(
        "this node answers {} requests at a time, a share of them for one address; try again shortly or ask another node",
        limits.requests
    );
    Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1))
}

// === impl Counted ===

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl RequestGuard ===

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.front.metrics.in_flight.dec();
        if self.status != 0 {
            let seconds = self.since.elapsed().as_secs_f64();
            self.front.metrics.seconds(self.status).observe(seconds);
        }
    }
}

// === impl Arriving ===

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.caller.body_arrives(false);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Trouble ===

impl Trouble {
    /// Says it, or counts it where it was said a moment ago.
    fn report(&mut self, error: &std::io::Error) {
        self.times += 1;
        let now = clock::instant();
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < SAY_AGAIN) {
            return;
        }
        tracing::warn!(%error, times = self.times, "cannot accept connections; trying again every 50 ms");
        *self = Trouble { times: 0, said: Some(now) };
    }
}

// === impl ConnectionGuard ===

impl ConnectionGuard {
    fn new(metrics: &HttpMetrics, connected: Connected) -> ConnectionGuard {
        metrics.connections.inc();
        ConnectionGuard { metrics: metrics.clone(), connected }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}
