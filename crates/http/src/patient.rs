//! A connection that gives up on a caller who does not read, and says why where HTTP itself is the trouble.
//!
//! Without it a caller who asks for much and reads nothing would hold its request's place for ever: nothing else ends
//! a write that makes no progress.
//!
//! What is no request never reaches a route: the layer of HTTP below ends it with a bare status, or in silence. Here that
//! becomes a problem like every other refusal.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tidefold_telemetry::clock;
use tokio::net::TcpStream;

use crate::callers::Caller;
use crate::catalog::ProblemKind;
use crate::problem::Problem;

/// A connection whose writes may stand still only so long.
pub(crate) struct Patient {
    stream: TokioIo<TcpStream>,
    stall: Duration,
    /// Runs out when a write has stood still for too long; there is one only while a write stands still.
    waiting: Option<BoxFuture<'static, ()>>,
    caller: Caller,
    /// Whether bytes of a head came that nothing was answered to yet.
    begun: bool,
    /// Whether what came is the preface of HTTP/2.
    speaks_http2: bool,
    /// A head that came in parts, so far.
    head: Vec<u8>,
    first_line: FirstLine,
}

/// The first line of a head, which has the address, as far as it came.
#[derive(Default)]
struct FirstLine {
    bytes: usize,
    has_ended: bool,
}

/// How a connection of HTTP/2 begins whose client asked for no leave (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

const HTTP2_REFUSED: &str = "this port speaks HTTP/1.1 only, and this connection began as one of HTTP/2: ask without \
                             prior knowledge of HTTP/2, or let a proxy translate";

/// How much of a head is read at once.
const HEAD_READ: usize = 8 << 10;

/// How much of a head that comes in parts is kept to be looked at; one that is larger is refused.
const HEAD_KEPT: usize = 64 << 10;

/// The longest address that the layer below takes.
const ADDRESS: usize = 65_534;

// === impl Patient ===

impl Patient {
    pub(crate) fn new(stream: TcpStream, stall: Duration, caller: Caller) -> Patient {
        Patient {
            stream: TokioIo::new(stream),
            stall,
            waiting: None,
            caller,
            begun: false,
            speaks_http2: false,
            head: Vec::new(),
            first_line: FirstLine::default(),
        }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| clock::pause(self.stall).boxed());
        match waiting.poll_unpin(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Patient {
    /// Writes a problem instead of a bare refusal of the layer below, which ends the connection; `None` where these bytes
    /// are something else.
    fn refuse(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        self.begun = false;
        let kind = match refusal(bytes).filter(|_| !self.caller.is_busy())? {
            // The layer below calls an address too long only where there was room for the head around it.
            ProblemKind::HeadTooLarge if self.first_line.is_too_long() => ProblemKind::UriTooLong,
            kind => kind,
        };
        let detail = match kind {
            ProblemKind::HeadTooLarge => {
                "the head of the request is larger than 64 KiB or has more than 100 headers"
            }
            ProblemKind::UriTooLong => {
                "the address of the request is too long: the head that it is a part of has at most 64 KiB"
            }
            _ if self.speaks_http2 => HTTP2_REFUSED,
            _ => "the first line, or a header, is not what RFC 9112 allows",
        };
        let answer = Problem::new(kind, detail).last_answer();
        // It is far smaller than what a socket takes at once.
        Some(Pin::new(&mut self.stream).poll_write(context, &answer).map_ok(|_| bytes.len()))
    }
}

/// The kind of a refusal that has a status and nothing else: no answer of ours is so short.
fn refusal(bytes: &[u8]) -> Option<ProblemKind> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let kind = match status {
        b"400" => ProblemKind::BadRequest,
        b"414" => ProblemKind::UriTooLong,
        b"431" => ProblemKind::HeadTooLarge,
        _ => return None,
    };
    let bare = bytes.ends_with(b"\r\n\r\n")
        && bytes.windows(19).any(|part| part.eq_ignore_ascii_case(b"content-length: 0\r\n"));
    bare.then_some(kind)
}

/// Whether a head says the length of its body in both ways there are; `None` while it is not whole. The layer below takes
/// one of them and forgets the other, and a server behind another way round sees other requests than one before it.
fn says_both(head: &[u8]) -> Option<bool> {
    let (mut length, mut coding, mut begun, mut rest) = (false, false, false, head);
    loop {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && begun {
            return Some(length && coding);
        }
        begun |= !line.is_empty();
        let named =
            |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        length |= named(b"content-length:");
        coding |= named(b"transfer-encoding:");
    }
}

/// Whether what came of a head is the preface of HTTP/2, or as much of its first line as no other request begins with.
fn speaks_http2(head: &[u8]) -> bool {
    head.starts_with(HTTP2_PREFACE) || (head.starts_with(b"PRI * ") && HTTP2_PREFACE.starts_with(head))
}

impl Patient {
    /// Looks at bytes of a head on their way to who reads them.
    fn look(&mut self, came: &[u8]) {
        if !self.begun {
            self.first_line = FirstLine::default();
        }
        self.begun = !came.is_empty();
        self.first_line.come(came);
        let look = |head: &[u8]| (says_both(head), speaks_http2(head));
        let (mut both, mut http2) = if self.head.is_empty() { look(came) } else { (None, false) };
        if both.is_none() {
            self.head.extend_from_slice(came);
            (both, http2) = look(&self.head);
        }
        self.speaks_http2 = http2;
        if both.is_some() || self.head.len() > HEAD_KEPT {
            self.head = Vec::new();
        }
        if let Some(both) = both {
            self.caller.says_both_lengths(both);
        }
    }
}

// === impl FirstLine ===

impl FirstLine {
    fn come(&mut self, came: &[u8]) {
        if self.has_ended {
            return;
        }
        // Empty lines before it are none of it (RFC 9112, section 2.2).
        let empty = |byte: &&u8| self.bytes == 0 && matches!(byte, b'\r' | b'\n');
        let came = came.get(came.iter().take_while(empty).count()..).unwrap_or_default();
        let end = memchr::memchr(b'\n', came);
        self.bytes += end.unwrap_or(came.len());
        self.has_ended = end.is_some();
    }

    /// Whether it is what makes a head too large, of which it is a part.
    fn is_too_long(&self) -> bool {
        !self.has_ended || self.bytes > ADDRESS
    }
}

impl Drop for Patient {
    /// A head that stopped coming is told so, as far as that goes without waiting.
    fn drop(&mut self) {
        if self.begun && !self.caller.is_busy() && !self.caller.cut().is_cancelled() {
            let (kind, detail) = if self.speaks_http2 {
                (ProblemKind::BadRequest, HTTP2_REFUSED)
            } else {
                let detail = "the head of the request did not arrive in 30 s, or the node is stopping";
                (ProblemKind::HeadTimeout, detail)
            };
            let answer = Problem::new(kind, detail).last_answer();
            let _ = self.stream.inner().try_write(&answer);
        }
    }
}

impl Read for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.caller.is_busy() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut bytes = [const { MaybeUninit::uninit() }; HEAD_READ];
        let room = buffer.remaining().min(HEAD_READ);
        let mut part = ReadBuf::uninit(bytes.get_mut(..room).unwrap_or_default());
        let read = Pin::new(&mut self.stream).poll_read(context, part.unfilled());
        if read.is_ready() {
            self.look(part.filled());
            buffer.put_slice(part.filled());
        }
        read
    }
}

impl Write for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.refuse(context, bytes) {
            return refused;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What stood before it in the buffer was written by now.
        self.caller.answer_was_read();
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = buffers
            && let Some(refused) = self.refuse(context, only)
        {
            return refused;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.judge(context, written)
    }
}
