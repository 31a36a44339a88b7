//! Batches, pace, retries, the report.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::client::{Client, ClientError, LineAnswer};
use crate::line::{Line, SourceError};

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lines in one request.
    pub batch_lines: usize,
    /// At most this many lines a second.
    pub rate: Option<u64>,
    /// Give up when nothing was accepted for this long.
    pub patience: Duration,
    /// How many refused lines the report shows.
    pub refusals_shown: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines the log acknowledged.
    pub accepted: u64,
    /// Lines that were refused for good.
    pub refused: u64,
    /// Requests that had to be repeated.
    pub retries: u64,
}

/// A refused line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Its place in the source.
    pub line: u64,
    /// The status.
    pub status: u16,
    /// What is wrong with it.
    pub problem: Option<serde_json::Value>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The final counts.
    pub progress: Progress,
    /// The first refused lines.
    pub refusals: Vec<Refusal>,
    /// The last position that was acknowledged, for each partition in the order of first sight.
    pub positions: Vec<String>,
}

/// Publishing that stopped.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The source cannot be read on.
    #[error("the source cannot be read on; {} lines were accepted before", accepted)]
    Source {
        /// Lines accepted before.
        accepted: u64,
        /// Why.
        source: SourceError,
    },
    /// The write API does not take the lines; running the same command again goes on from here, since ids are stable.
    #[error("gave up after {accepted} accepted lines; run the same command again to go on")]
    GaveUp {
        /// Lines accepted before.
        accepted: u64,
        /// Why.
        source: ClientError,
    },
}

impl Default for Options {
    fn default() -> Options {
        Options { batch_lines: 2_000, rate: None, patience: Duration::from_secs(60), refusals_shown: 20 }
    }
}

/// One run.
struct Run<'a> {
    client: &'a Client,
    options: Options,
    report: Report,
    seen: &'a mut (dyn FnMut(Progress) + Send),
}

/// Publishes lines in order: a line is sent before the next batch is, and again until it is accepted or refused for good.
///
/// # Errors
/// When the source breaks or the write API stays away.
pub async fn publish(
    lines: impl Iterator<Item = Result<Line, SourceError>> + Send,
    client: &Client,
    options: Options,
    seen: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, PublishError> {
    let mut run = Run { client, options, report: Report::default(), seen };
    let mut lines = lines.peekable();
    let batch_lines = options
        .rate
        .map_or(options.batch_lines, |rate| ((rate / 20).max(1) as usize).min(options.batch_lines));
    let mut pace = options.rate.map(|rate| {
        let mut interval =
            tokio::time::interval(Duration::from_secs_f64(batch_lines as f64 / rate.max(1) as f64));
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        interval
    });
    while lines.peek().is_some() {
        let mut batch = Vec::with_capacity(batch_lines);
        while batch.len() < batch_lines {
            match lines.next() {
                Some(Ok(line)) => batch.push(line),
                Some(Err(source)) => {
                    run.send(&batch).await?;
                    return Err(PublishError::Source { accepted: run.report.progress.accepted, source });
                }
                None => break,
            }
        }
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        run.send(&batch).await?;
    }
    Ok(run.report)
}

impl Run<'_> {
    /// Sends a batch until every line is accepted or refused for good.
    async fn send(&mut self, batch: &[Line]) -> Result<(), PublishError> {
        let mut rest = batch;
        let mut last_success = Instant::now();
        let mut back_off = Duration::from_millis(50);
        while !rest.is_empty() {
            let (done, pause) = match self.client.send(rest).await {
                Ok(answers) => (self.settle(rest, answers), None),
                Err(error) if is_final(&error) => return Err(self.gave_up(error)),
                Err(error) if last_success.elapsed() > self.options.patience => {
                    return Err(self.gave_up(error));
                }
                Err(ClientError::Refused { retry_after_seconds, .. }) => (0, retry_after_seconds),
                Err(_) => (0, None),
            };
            (self.seen)(self.report.progress);
            rest = &rest[done..];
            if done > 0 {
                last_success = Instant::now();
                back_off = Duration::from_millis(50);
            }
            if !rest.is_empty() {
                self.report.progress.retries += 1;
                let pause = pause.map_or(back_off, Duration::from_secs);
                back_off_for(pause).await;
                back_off = (back_off * 2).min(Duration::from_secs(2));
            }
        }
        Ok(())
    }

    /// Takes answers up to the first line that has to be sent again; returns how many lines are done with.
    fn settle(&mut self, lines: &[Line], answers: Vec<LineAnswer>) -> usize {
        for (done, (line, answer)) in lines.iter().zip(answers).enumerate() {
            match answer.status {
                202 => {
                    self.report.progress.accepted += 1;
                    if let Some(position) = answer.position {
                        self.note(position);
                    }
                }
                429 | 503 | 504 => return done,
                status => {
                    self.report.progress.refused += 1;
                    if self.report.refusals.len() < self.options.refusals_shown {
                        self.report.refusals.push(Refusal {
                            line: line.number,
                            status,
                            problem: answer.problem,
                        });
                    }
                }
            }
        }
        lines.len()
    }

    fn note(&mut self, position: String) {
        let partition =
            position.rsplit_once(':').map(|(partition, _)| partition.to_owned()).unwrap_or_default();
        let known = self
            .report
            .positions
            .iter_mut()
            .find(|known| known.rsplit_once(':').is_some_and(|(found, _)| found == partition));
        match known {
            Some(known) => *known = position,
            None => self.report.positions.push(position),
        }
    }

    fn gave_up(&self, source: ClientError) -> PublishError {
        PublishError::GaveUp { accepted: self.report.progress.accepted, source }
    }
}

/// A refusal that would be the same next time.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Url { .. } => true,
        ClientError::NoAnswer { .. } => false,
        ClientError::Refused { status, .. } => !matches!(status, 429 | 500..=599),
    }
}

#[expect(clippy::disallowed_methods, reason = "back-off between attempts")]
async fn back_off_for(duration: Duration) {
    tokio::time::sleep(duration).await;
}
