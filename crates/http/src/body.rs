//! Reading a body that has to be whole, within bounds.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::catalog::ProblemKind;
use crate::problem::Problem;

/// Reads a whole body. A body that says it is larger than `limit` is refused without reading it; one that does not say
/// is read up to the limit.
///
/// # Errors
/// A problem when the body is too large, stops for longer than `stall`, or breaks off.
pub async fn read_whole(mut body: Body, limit: usize, stall: Duration) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit, Some(body.size_hint().lower())));
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(chunk) = next_chunk(&mut body, stall).await? {
        if rest.as_ref().map_or(first.len(), BytesMut::len) + chunk.len() > limit {
            return Err(too_large(limit, None));
        }
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
/// A problem when nothing arrives for longer than `stall`, or the connection breaks.
pub async fn next_chunk(body: &mut Body, stall: Duration) -> Result<Option<Bytes>, Problem> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        let Some(frame) = in_time(body, stall).await? else { return Ok(None) };
        match frame.into_data() {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => return Ok(Some(chunk)),
            Err(_trailers) => {}
        }
    }
}

async fn in_time(body: &mut Body, stall: Duration) -> Result<Option<hyper::body::Frame<Bytes>>, Problem> {
    let mut frame = std::pin::pin!(body.frame());
    // A body that is there already costs no timer.
    let ready = futures_util::FutureExt::now_or_never(frame.as_mut());
    let frame = match ready {
        Some(frame) => frame,
        None => tokio::time::timeout(stall, frame).await.map_err(|_| {
            let detail = format!("no byte of the body arrived for {} ms", stall.as_millis());
            Problem::new(ProblemKind::BodyTimeout, detail)
        })?,
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
