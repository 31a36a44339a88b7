//! Reading a body that has to be whole, within bounds.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tidefold_telemetry::clock;

use crate::catalog::ProblemKind;
use crate::limits::Limits;
use crate::problem::Problem;

/// How fast a body has to come. Only the time that is spent waiting for its bytes counts, so a caller is not blamed for
/// what takes time here.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest pause.
    stall: Duration,
    /// For how long it may be slower than `rate`, over all.
    grace: Duration,
    /// Bytes a second.
    rate: usize,
    /// How long all of it may take.
    time: Option<Duration>,
    waited: Duration,
    bytes: u64,
}

// === impl Pace ===

impl Pace {
    /// Of a body that is read whole.
    #[must_use]
    pub fn whole(limits: &Limits) -> Pace {
        Pace { time: Some(limits.body_time), ..Pace::streamed(limits) }
    }

    /// Of a body that is read in a stream, for as long as it comes.
    #[must_use]
    pub fn streamed(limits: &Limits) -> Pace {
        Pace {
            stall: limits.body_stall,
            grace: limits.body_grace,
            rate: limits.body_rate.max(1),
            time: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// How long the next byte may take by each of the bounds: pause, rate, whole time.
    fn bounds(&self) -> [Duration; 3] {
        let earned = Duration::from_secs_f64(self.bytes as f64 / self.rate as f64);
        let slow = (self.grace + earned).saturating_sub(self.waited);
        let over = self.time.map_or(Duration::MAX, |time| time.saturating_sub(self.waited));
        [self.stall, slow, over]
    }

    fn patience(&self) -> Duration {
        let [stall, slow, over] = self.bounds();
        stall.min(slow).min(over)
    }

    /// What to say once that is over.
    fn late(&self) -> String {
        let [stall, slow, over] = self.bounds();
        if stall <= slow.min(over) {
            return format!("no byte of the body arrived for {} ms", stall.as_millis());
        }
        if over < slow {
            return format!("the body took longer than {} s", self.time.unwrap_or_default().as_secs());
        }
        format!(
            "{} bytes of the body arrived in {} s; after the first {} s a body has to bring {} bytes a second",
            self.bytes,
            (self.waited + slow).as_secs(),
            self.grace.as_secs(),
            self.rate
        )
    }
}

/// Reads a whole body. A body that says it is larger than `limit` is refused without reading it; one that does not say
/// is read up to the limit. `room` is asked for the bytes that came, before they are kept.
///
/// # Errors
/// A problem when the body is too large, comes too slowly, breaks off, or `room` has none.
pub async fn read_whole(
    mut body: Body,
    limit: usize,
    mut pace: Pace,
    mut room: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit, Some(body.size_hint().lower())));
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(chunk) = next_chunk(&mut body, &mut pace).await? {
        if rest.as_ref().map_or(first.len(), BytesMut::len) + chunk.len() > limit {
            return Err(too_large(limit, None));
        }
        room(chunk.len())?;
        match &mut rest {
            None if first.is_empty() => first = chunk,
            None => {
                let mut both = BytesMut::with_capacity((first.len() + chunk.len()) * 2);
                both.extend_from_slice(&first);
                both.extend_from_slice(&chunk);
                rest = Some(both);
            }
            Some(rest) => rest.extend_from_slice(&chunk),
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// A problem when it comes too slowly, or the connection breaks.
pub async fn next_chunk(body: &mut Body, pace: &mut Pace) -> Result<Option<Bytes>, Problem> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        let Some(frame) = in_time(body, pace).await? else { return Ok(None) };
        match frame.into_data() {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                pace.bytes += chunk.len() as u64;
                return Ok(Some(chunk));
            }
            Err(_trailers) => {}
        }
    }
}

async fn in_time(body: &mut Body, pace: &mut Pace) -> Result<Option<hyper::body::Frame<Bytes>>, Problem> {
    let mut frame = std::pin::pin!(body.frame());
    // A body that is there already costs no timer.
    let ready = futures_util::FutureExt::now_or_never(frame.as_mut());
    let frame = match ready {
        Some(frame) => frame,
        None => {
            let since = clock::instant();
            let frame = tokio::time::timeout(pace.patience(), frame).await;
            let frame = frame.map_err(|_| Problem::new(ProblemKind::BodyTimeout, pace.late()))?;
            pace.waited += since.elapsed();
            frame
        }
    };
    frame.transpose().map_err(|error| {
        Problem::new(ProblemKind::BodyBroken, format!("the connection broke in the body: {error}"))
    })
}

fn too_large(limit: usize, actual: Option<u64>) -> Problem {
    let detail = match actual {
        Some(actual) => format!("the body has {actual} bytes; this path takes {limit}"),
        None => format!("the body has more than {limit} bytes, which is what this path takes"),
    };
    let problem = Problem::new(ProblemKind::BodyTooLarge, detail).with_member("limit_bytes", limit);
    match actual {
        Some(actual) => problem.with_member("actual_bytes", actual),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_with_a_body_is_the_least_of_what_it_may_take() {
        let pace = Pace { bytes: 0, waited: Duration::ZERO, ..Pace::whole(&Limits::default()) };
        let limits = Limits::default();
        let table = [
            // (bytes, seconds waited, seconds left, what is said)
            (0, 0, limits.body_grace.as_secs().min(limits.body_stall.as_secs()), "bytes a second"),
            (0, 15, limits.body_grace.as_secs() - 15, "bytes a second"),
            (100_000, 60, limits.body_stall.as_secs(), "no byte"),
            (100_000, 119, 1, "longer than 120 s"),
            (1_000, 22, 0, "1000 bytes of the body arrived in 22 s"),
        ];
        for (bytes, waited, left, said) in table {
            let pace = Pace { bytes, waited: Duration::from_secs(waited), ..pace };
            let (patience, late) = (pace.patience(), pace.late());
            assert_eq!(patience.as_secs(), left, "{bytes} bytes in {waited} s: {late}");
            assert!(late.contains(said), "{late}");
        }
    }
}
