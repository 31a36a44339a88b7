//! Filling an app's topic through the write API.

use std::time::Duration;

use tidefold_telemetry::clock;

use super::orders::line;
use super::rig::{Caller, Rig};
use crate::figure::Failed;
use crate::load::post;

/// Lines of one request.
const BATCH: u64 = 2_000;

/// Fills the app's topic with `records` messages over `keys` orders, by an ingest process that is gone afterwards.
pub(super) fn fill(rig: &Rig, records: u64, keys: u64) -> Result<(), Failed> {
    let node = rig.start("ingest")?;
    let path = format!("/v1/{}/OrderChanged", rig.name);
    let mut caller = Caller::connect(&node.server.address)?;
    let (mut request, mut body) = (Vec::new(), String::new());
    let (since, mut n) = (clock::instant(), 0);
    while n < records {
        body.clear();
        request.clear();
        let until = (n + BATCH).min(records);
        (n..until).for_each(|n| line(n, keys, &mut body));
        post(&path, "application/x-ndjson", "", body.as_bytes(), &mut request);
        let answer = caller.ask(&request)?;
        let good = answer.body.windows(13).filter(|window| window == b"\"status\":202,").count() as u64;
        if answer.status / 100 != 2 || good != until - n {
            let text = String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body)).into_owned();
            return Err(
                format!("filling {}: {} of {} were taken: {text}", rig.topic(), good, until - n).into()
            );
        }
        n = until;
        if since.elapsed() > Duration::from_secs(120) {
            return Err(format!("filling {} took too long: {n} of {records}", rig.topic()).into());
        }
    }
    Ok(())
}
