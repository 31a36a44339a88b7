//! Cuts a streamed body into lines, holding at most one line and one chunk of the body.

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use tidefold_http::Problem;
use tidefold_http::body::{self, Pace};

/// A body, line by line. Waiting for more ([`Lines::fill`]) may be given up at any point without losing a byte.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Body,
    pace: Pace,
    limit: usize,
    /// Bytes that came and were not cut yet.
    buffer: Bytes,
    /// The start of a line whose end has not come.
    carry: Vec<u8>,
    /// Bytes of an over-long line passed over so far.
    skipped: Option<u64>,
    ended: bool,
    /// Bytes read so far.
    read: u64,
}

/// What stands between two line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line that is not blank, without its end.
    Line(Bytes),
    /// A line over the limit, passed over.
    TooLong {
        /// Its size.
        bytes: u64,
    },
}

// === impl Lines ===

impl Lines {
    pub(crate) fn new(body: Body, limit: usize, pace: Pace) -> Lines {
        Lines {
            body,
            pace,
            limit,
            buffer: Bytes::new(),
            carry: Vec::new(),
            skipped: None,
            ended: false,
            read: 0,
        }
    }

    /// The next line that is here as a whole.
    pub(crate) fn cut(&mut self) -> Option<Piece> {
        loop {
            let (mut line, whole) = match memchr::memchr(b'\n', &self.buffer) {
                Some(at) => {
                    let mut line = self.buffer.split_to(at + 1);
                    line.truncate(at);
                    (line, true)
                }
                None => (std::mem::take(&mut self.buffer), self.ended),
            };
            if let Some(skipped) = &mut self.skipped {
                *skipped += line.len() as u64;
                if whole {
                    return self.skipped.take().map(|bytes| Piece::TooLong { bytes });
                }
                return None;
            }
            let size = self.carry.len() + line.len();
            if size > self.limit {
                self.carry.clear();
                if whole {
                    return Some(Piece::TooLong { bytes: size as u64 });
                }
                self.skipped = Some(size as u64);
                return None;
            }
            if !whole {
                self.carry.extend_from_slice(&line);
                return None;
            }
            if !self.carry.is_empty() {
                self.carry.extend_from_slice(&line);
                line = std::mem::take(&mut self.carry).into();
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Piece::Line(line));
            }
            if self.ended && self.buffer.is_empty() {
                return None;
            }
        }
    }

    /// Waits for more of the body; false at its end, after which [`Lines::cut`] gives what is left.
    pub(crate) async fn fill(&mut self) -> Result<bool, Problem> {
        if self.ended {
            return Ok(false);
        }
        let more = body::next_chunk(&mut self.body, &mut self.pace).await?;
        Ok(self.take(more))
    }

    /// More of the body, if it is here already.
    pub(crate) fn fill_now(&mut self) -> Option<Result<bool, Problem>> {
        if self.ended {
            return Some(Ok(false));
        }
        let more = body::next_chunk(&mut self.body, &mut self.pace).now_or_never()?;
        Some(more.map(|more| self.take(more)))
    }

    /// Bytes that came and were not cut yet.
    pub(crate) fn held(&self) -> usize {
        self.buffer.len() + self.carry.len()
    }

    /// Forgets what came and reads no more.
    pub(crate) fn give_up(&mut self) {
        self.buffer.clear();
        self.carry.clear();
        self.ended = true;
    }

    /// Whether the body is over.
    #[cfg(test)]
    fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes that came since the last call.
    pub(crate) fn bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    fn take(&mut self, more: Option<Bytes>) -> bool {
        match more {
            Some(more) => {
                self.read += more.len() as u64;
                self.buffer = more;
                true
            }
            None => {
                self.ended = true;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_all(parts: &[&str], limit: usize) -> Vec<String> {
        let parts: Vec<Result<Bytes, std::convert::Infallible>> =
            parts.iter().map(|part| Ok(Bytes::copy_from_slice(part.as_bytes()))).collect();
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let mut lines = Lines::new(body, limit, Pace::streamed(&tidefold_http::Limits::default()));
        let mut found = Vec::new();
        loop {
            while let Some(piece) = lines.cut() {
                found.push(match piece {
                    Piece::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
                    Piece::TooLong { bytes } => format!("<{bytes}>"),
                });
            }
            if lines.ended() {
                return found;
            }
            lines.fill_now().unwrap().unwrap();
        }
    }

    #[test]
    fn lines_are_the_same_wherever_the_body_is_cut() {
        let text = "ab\ncd\r\n\n  \nefgh\nlast";
        for at in 0..=text.len() {
            assert_eq!(cut_all(&[&text[..at], &text[at..]], 10), ["ab", "cd", "efgh", "last"], "cut at {at}");
        }
        let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(cut_all(&bytes, 10), ["ab", "cd", "efgh", "last"]);
    }

    #[test]
    fn a_line_over_the_limit_is_passed_over_and_the_next_is_whole() {
        let text = "ab\n0123456789\ncd\n0123456789";
        for at in 0..=text.len() {
            assert_eq!(cut_all(&[&text[..at], &text[at..]], 5), ["ab", "<10>", "cd", "<10>"], "cut at {at}");
        }
        let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(cut_all(&bytes, 5), ["ab", "<10>", "cd", "<10>"]);
    }

    #[test]
    fn a_body_without_a_line_has_none() {
        assert_eq!(cut_all(&[], 5), Vec::<String>::new());
        assert_eq!(cut_all(&["\n\n", " \n"], 5), Vec::<String>::new());
    }
}
