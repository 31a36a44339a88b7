//! What became of the lines that were accepted: which of them did not count, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, ClientError};
use crate::publish::{Placed, pause};

/// A line that was accepted and did not count.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Uncounted {
    /// Its place in the source.
    pub line: u64,
    /// `duplicate`, `rejected` or `dead`.
    pub outcome: String,
    /// Why, where it was rejected or is dead.
    pub codes: Vec<String>,
}

/// What became of a run's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Lines that did not count, by outcome.
    pub uncounted: BTreeMap<String, u64>,
    /// The first of them, by line.
    pub first: Vec<Uncounted>,
    /// Lines of which nothing is known yet.
    pub pending: u64,
}

/// Asks what became of every accepted line, once it is folded. What is not known when nothing was folded for `patience` is
/// pending.
///
/// # Errors
/// When the write API cannot say.
pub async fn judged(
    client: &Client,
    placed: &Placed,
    patience: Duration,
    shown: usize,
) -> Result<Judged, ClientError> {
    let mut judged = Judged::default();
    for (partition, places) in placed.partitions() {
        let (Some(first), Some(last)) = (places.keys().next(), places.keys().next_back()) else { continue };
        let (mut at, end) = (*first, last + 1);
        let mut moved = Instant::now();
        while at < end {
            let told = client.outcomes(partition, at, end).await?;
            for item in told.items {
                let offset = item.position.rsplit(':').next().and_then(|offset| offset.parse().ok());
                let Some(place) = offset.and_then(|offset: u64| places.get(&offset)) else { continue };
                if place.is_runs && item.outcome == "duplicate" {
                    continue; // It was sent twice, and counted once.
                }
                *judged.uncounted.entry(item.outcome.clone()).or_default() += 1;
                judged.first.push(Uncounted { line: place.line, outcome: item.outcome, codes: item.codes });
            }
            if told.until > at {
                (at, moved) = (told.until, Instant::now());
            } else if moved.elapsed() > patience {
                judged.pending += places.range(at..).count() as u64;
                break;
            } else {
                pause(Duration::from_millis(20)).await;
            }
            judged.first.sort_by_key(|uncounted| uncounted.line);
            judged.first.truncate(shown);
        }
    }
    Ok(judged)
}
