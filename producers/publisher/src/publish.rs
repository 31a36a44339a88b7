//! Batches, pace, retries, the report.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::client::{Client, ClientError, LineAnswer};
use crate::ledger::{Ledger, LedgerError};
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

/// What is told while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It went on, or tried to.
    Progress(Progress),
    /// The write API broke off or is overloaded; the same lines are sent again. Told once an outage.
    Retrying(&'a ClientError),
}

/// A refused line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Its place in the source.
    pub line: u64,
    /// The status; none where the line was no message and was not sent.
    pub status: Option<u16>,
    /// What is wrong with it, as RFC 9457 has it.
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
    /// Where the accepted lines stand.
    pub placed: Placed,
}

/// A line that stands in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) line: u64,
    /// Whether its id is the run's.
    pub(crate) is_runs: bool,
}

/// Where accepted lines stand in the log.
#[derive(Clone, Debug, Default)]
pub struct Placed {
    /// By `topic:partition` and offset.
    by_partition: BTreeMap<String, BTreeMap<u64, Place>>,
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
    /// Nobody is there, and nobody was: nothing was sent.
    #[error("nothing was sent")]
    NoServer {
        /// Why.
        source: ClientError,
    },
    /// The write API does not take the lines.
    #[error("gave up after {accepted} accepted lines")]
    GaveUp {
        /// Lines accepted before.
        accepted: u64,
        /// Why.
        source: ClientError,
    },
    /// What was settled cannot be written down, so nothing more was sent.
    #[error("stopped after {accepted} accepted lines")]
    Ledger {
        /// Lines accepted before.
        accepted: u64,
        /// Why.
        source: LedgerError,
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
    ledger: Option<&'a mut Ledger>,
    /// Refused lines that the ledger does not have yet.
    refused: Vec<u64>,
    report: Report,
    /// Whether the write API ever answered.
    answered: bool,
    seen: &'a mut (dyn FnMut(Event<'_>) + Send),
}

/// Publishes lines in order: a line is sent before the next batch is, and again until it is accepted or refused for good.
/// A line that is no message ([`SourceError::Line`]) counts as refused, and the next one is read.
///
/// # Errors
/// When the source breaks, nobody is there from the beginning, or the write API stays away.
pub async fn publish(
    lines: impl Iterator<Item = Result<Line, SourceError>> + Send,
    client: &Client,
    options: Options,
    seen: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Report, PublishError> {
    publish_by(None, lines, client, options, seen).await
}

/// The same by a ledger: what is settled is noted there before more is sent.
///
/// # Errors
/// As without; and when the ledger cannot be written.
pub async fn publish_by(
    ledger: Option<&mut Ledger>,
    lines: impl Iterator<Item = Result<Line, SourceError>> + Send,
    client: &Client,
    options: Options,
    seen: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Report, PublishError> {
    let report = Report::default();
    let mut run = Run { client, options, ledger, refused: Vec::new(), report, answered: false, seen };
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
        let mut through = 0;
        while batch.len() < batch_lines {
            match lines.next() {
                Some(Ok(line)) => {
                    through = line.number;
                    batch.push(line);
                }
                Some(Err(SourceError::Line { number, detail })) => {
                    through = number;
                    run.refuse_unsent(number, &detail);
                }
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
        run.note_settled(&[], through)?;
    }
    run.report.refusals.sort_by_key(|refusal| refusal.line);
    Ok(run.report)
}

// === impl Placed ===

impl Placed {
    fn add(&mut self, position: &str, place: Place) {
        let Some((partition, offset)) = position.rsplit_once(':') else { return };
        let Ok(offset) = offset.parse() else { return };
        match self.by_partition.get_mut(partition) {
            Some(places) => {
                places.insert(offset, place);
            }
            None => {
                self.by_partition.insert(partition.to_owned(), BTreeMap::from([(offset, place)]));
            }
        }
    }

    /// Each `topic:partition` with what stands there, by offset.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&String, &BTreeMap<u64, Place>)> {
        self.by_partition.iter()
    }
}

// === impl Run ===

impl Run<'_> {
    /// Sends a batch until every line is accepted or refused for good.
    async fn send(&mut self, batch: &[Line]) -> Result<(), PublishError> {
        let mut rest = batch;
        let mut last_success = Instant::now();
        let mut back_off = Duration::from_millis(50);
        let mut told = false;
        if let Some(ledger) = &mut self.ledger
            && !batch.is_empty()
        {
            let begun = ledger.begin_sending(batch);
            let accepted = self.report.progress.accepted;
            begun.map_err(|source| PublishError::Ledger { accepted, source })?;
        }
        while !rest.is_empty() {
            let (done, pause) = match self.client.send(rest).await {
                Ok(answers) => {
                    self.answered = true;
                    let done = self.settle(rest, answers);
                    if done < rest.len() {
                        self.doubt();
                    }
                    if let Some(last) = rest[..done].last() {
                        self.note_settled(&rest[..done], last.number)?;
                    }
                    (done, None)
                }
                Err(source @ ClientError::Unreachable { .. }) if !self.answered => {
                    return Err(PublishError::NoServer { source });
                }
                Err(error) if is_final(&error) || last_success.elapsed() > self.options.patience => {
                    if !is_final(&error) {
                        self.doubt();
                    }
                    return Err(self.gave_up(error));
                }
                Err(error) => {
                    self.doubt();
                    self.answered |= !matches!(error, ClientError::Unreachable { .. });
                    if !std::mem::replace(&mut told, true) {
                        (self.seen)(Event::Retrying(&error));
                    }
                    (0, retry_after(&error))
                }
            };
            (self.seen)(Event::Progress(self.report.progress));
            rest = &rest[done..];
            if done > 0 {
                last_success = Instant::now();
                back_off = Duration::from_millis(50);
                told = false;
            }
            if !rest.is_empty() {
                self.report.progress.retries += 1;
                self::pause(pause.map_or(back_off, Duration::from_secs)).await;
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
                        self.report.placed.add(&position, Place { line: line.number, is_runs: line.is_runs });
                        self.note(position);
                    }
                }
                429 | 503 | 504 => return done,
                status => {
                    self.refuse(Refusal { line: line.number, status: Some(status), problem: answer.problem });
                }
            }
        }
        lines.len()
    }

    fn doubt(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.doubt();
        }
    }

    /// Notes in the ledger that lines are done with, and all up to `through`.
    fn note_settled(&mut self, lines: &[Line], through: u64) -> Result<(), PublishError> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        if lines.is_empty() && self.refused.is_empty() && through <= ledger.standing().done {
            return Ok(());
        }
        let noted = ledger.settle(lines, through, std::mem::take(&mut self.refused));
        noted.map_err(|source| PublishError::Ledger { accepted: self.report.progress.accepted, source })
    }

    /// A line that is no message. Lines of its batch before it may still be on their way.
    fn refuse_unsent(&mut self, line: u64, detail: &str) {
        let problem =
            serde_json::json!({ "title": "The line is no message and was not sent", "detail": detail });
        self.refuse(Refusal { line, status: None, problem: Some(problem) });
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.report.progress.refused += 1;
        if self.ledger.is_some() {
            self.refused.push(refusal.line);
        }
        if self.report.refusals.len() < self.options.refusals_shown {
            self.report.refusals.push(refusal);
        }
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
        ClientError::Unreachable { .. } | ClientError::NoAnswer { .. } => false,
        ClientError::Refused { status, .. } => !matches!(status, 429 | 500..=599),
    }
}

fn retry_after(error: &ClientError) -> Option<u64> {
    match error {
        ClientError::Refused { retry_after_seconds, .. } => *retry_after_seconds,
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "back-off between attempts")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
