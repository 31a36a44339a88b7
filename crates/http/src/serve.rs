//! The server: an accept loop, HTTP/1.1 with keep-alive, bounds, and a shutdown that drains.
//!
//! It wraps the router directly instead of in layers: nothing is boxed for it and nothing is looked up per request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
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

use crate::catalog::ProblemKind;
use crate::limits::Limits;
use crate::patient::Patient;
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
    metrics: HttpMetrics,
    in_flight: AtomicUsize,
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
}

/// Counts a connection while it is open.
struct ConnectionGuard(HttpMetrics);

/// Serves `routes` on `listener` until `shutdown` is cancelled, then answers what is open, for at most `limits.drain`.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    shutdown: CancellationToken,
    server: Server,
) -> Drained {
    let metrics = server.telemetry.http(server.name);
    let front = Arc::new(Front {
        routes: routes.into(),
        limits: server.limits,
        metrics: metrics.clone(),
        in_flight: AtomicUsize::new(0),
    });
    let http = http1_settings(&server.limits);
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some((stream, peer)) = accept(&listener, &shutdown).await {
        if tasks.len() >= server.limits.connections {
            metrics.refused_connections.inc();
            continue;
        }
        let _ = stream.set_nodelay(true);
        let front = Arc::clone(&front);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            answer(Arc::clone(&front), request)
        });
        let connection =
            graceful.watch(http.serve_connection(Patient::new(stream, server.limits.answer_stall), service));
        let guard = ConnectionGuard::new(&metrics);
        let cut = cut.clone();
        tasks.spawn(async move {
            let _open = guard;
            tokio::select! {
                // Clients break off connections all the time: that is their affair.
                _ = connection => {}
                () = cut.cancelled() => {}
            }
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

/// The next connection; `None` at shutdown. Running out of file descriptors is waited out, not died of.
async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                clock::pause(Duration::from_millis(50)).await;
            }
        }
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
async fn answer(front: Arc<Front>, request: Request<Incoming>) -> Result<Response<Counted>, Infallible> {
    let before = front.in_flight.fetch_add(1, Ordering::Relaxed);
    front.metrics.in_flight.inc();
    let mut guard = RequestGuard { front, since: clock::instant(), status: 0 };
    let caller = request.headers().get(request_id::HEADER).cloned();
    let response = if before >= guard.front.limits.requests {
        guard.front.metrics.refused_requests.inc();
        overloaded(guard.front.limits.requests).into_response()
    } else {
        let span = tracing::debug_span!("request", method = %request.method(), path = request.uri().path());
        let mut router = guard.front.routes.current();
        let Ok(response) = router.call(request).instrument(span).await;
        response
    };
    let response = match caller {
        Some(caller) => under_callers_id(response, caller),
        None => response,
    };
    guard.status = response.status().as_u16();
    tracing::debug!(status = guard.status, "answered");
    Ok(response.map(|body| Counted { body, _request: guard }))
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

fn overloaded(limit: usize) -> Problem {
    let detail =
        format!("this node answers {limit} requests at a time; try again shortly or ask another node");
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
        self.front.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.front.metrics.in_flight.dec();
        if self.status != 0 {
            let seconds = self.since.elapsed().as_secs_f64();
            self.front.metrics.seconds(self.status).observe(seconds);
        }
    }
}

// === impl ConnectionGuard ===

impl ConnectionGuard {
    fn new(metrics: &HttpMetrics) -> ConnectionGuard {
        metrics.connections.inc();
        ConnectionGuard(metrics.clone())
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
