//! The metrics of one lane: handles taken once, so that counting is an addition.

use std::sync::Arc;
use std::time::Instant;

use tidefold_record::{Offset, Partition, TopicName};
use tidefold_telemetry::metrics::FloatGauge;
use tidefold_telemetry::{Counter, Gauge, Histogram, Telemetry, clock};

use crate::status::{LaneStatus, VerdictCounts};

/// One lane's handles. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LaneMetrics {
    handles: Arc<Handles>,
}

struct Handles {
    lag_records: Gauge,
    lag_seconds: FloatGauge,
    position: Gauge,
    /// Applied, rejected, duplicate, dead.
    records: [Counter; 4],
    errors: [(&'static str, Counter); 4],
    halted: Gauge,
    tripped: Gauge,
    batch_records: Histogram,
    steps: [Histogram; 6],
    rows: [Counter; 3],
    cache_hits: Counter,
    cache_misses: Counter,
    cache_bytes: Gauge,
    progress: FloatGauge,
}

/// A step of a batch that is timed, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Read,
    Load,
    Fold,
    Derived,
    Entities,
    Checkpoint,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Written {
    Verdicts,
    Views,
    Entities,
}

/// Times one step after the other.
pub(crate) struct Laps {
    handles: Arc<Handles>,
    last: Instant,
}

impl LaneMetrics {
    pub(crate) fn new(
        telemetry: &Telemetry,
        app: &str,
        topic: &TopicName,
        generation: u32,
        partition: Partition,
    ) -> LaneMetrics {
        let group = &group_of(app, topic, generation);
        let (topic, partition) = (topic.as_str(), &partition.to_string());
        let verdicts = ["applied", "rejected", "duplicate", "dead"];
        let steps = ["read", "load", "fold", "derived", "entities", "checkpoint"];
        let classes = ["log", "store", "schema", "halted"];
        let handles = Handles {
            lag_records: telemetry.consumer_lag_records(group, topic, partition),
            lag_seconds: telemetry.consumer_lag_seconds(group, topic, partition),
            position: telemetry.projection_position(group, topic, partition),
            records: verdicts.map(|verdict| telemetry.projection_records(group, topic, verdict)),
            errors: classes.map(|class| (class, telemetry.projection_errors(group, topic, class))),
            halted: telemetry.projection_halted(group, topic, partition),
            tripped: telemetry.projection_tripped(group, topic, partition),
            batch_records: telemetry.projection_batch_records(group, topic),
            steps: steps.map(|step| telemetry.projection_step_seconds(group, topic, step)),
            rows: ["verdict", "view", "entity"]
                .map(|rows| telemetry.projection_rows_written(group, topic, rows)),
            cache_hits: telemetry.projection_cache_hits(group, topic),
            cache_misses: telemetry.projection_cache_misses(group, topic),
            cache_bytes: telemetry.projection_cache_bytes(group, topic, partition),
            progress: telemetry.last_progress_timestamp_seconds(group, topic, partition),
        };
        LaneMetrics { handles: Arc::new(handles) }
    }

    pub(crate) fn placed(&self, next: Offset) {
        self.handles.position.set(signed(next.0));
        self.handles.halted.set(0);
    }

    pub(crate) fn folded(&self, next: Offset, counts: VerdictCounts, now_micros: i64) {
        self.handles.position.set(signed(next.0));
        let [applied, rejected, duplicate, dead] = &self.handles.records;
        applied.inc_by(counts.applied);
        rejected.inc_by(counts.rejected);
        duplicate.inc_by(counts.duplicate);
        dead.inc_by(counts.dead);
        self.handles.batch_records.observe(counts.total() as f64);
        self.handles.progress.set(now_micros as f64 / 1e6);
    }

    pub(crate) fn lag(&self, status: &LaneStatus, now_micros: i64) {
        self.handles.lag_records.set(signed(status.lag()));
        self.handles.lag_seconds.set(status.age_micros(now_micros) as f64 / 1e6);
    }

    /// A failure of a class: log, store, schema or halted.
    pub(crate) fn error(&self, class: &'static str) {
        if let Some((_, counter)) = self.handles.errors.iter().find(|(name, _)| *name == class) {
            counter.inc();
        }
    }

    /// Whether the breaker holds the partition.
    pub(crate) fn tripped(&self, tripped: bool) {
        self.handles.tripped.set(i64::from(tripped));
    }

    pub(crate) fn halted(&self) {
        self.error("halted");
        self.handles.halted.set(1);
    }

    pub(crate) fn written(&self, what: Written, rows: usize) {
        if let Some(counter) = self.handles.rows.get(what as usize) {
            counter.inc_by(rows as u64);
        }
    }

    /// Of `asked` rows, `missing` had to be loaded.
    pub(crate) fn looked_up(&self, asked: usize, missing: usize) {
        self.handles.cache_hits.inc_by(asked.saturating_sub(missing) as u64);
        self.handles.cache_misses.inc_by(missing as u64);
    }

    pub(crate) fn cached(&self, bytes: usize) {
        self.handles.cache_bytes.set(signed(bytes as u64));
    }

    pub(crate) fn laps(&self) -> Laps {
        Laps { handles: Arc::clone(&self.handles), last: clock::instant() }
    }
}

impl Laps {
    /// A step ended here.
    pub(crate) fn lap(&mut self, step: Step) {
        let now = clock::instant();
        if let Some(histogram) = self.handles.steps.get(step as usize) {
            histogram.observe(now.duration_since(self.last).as_secs_f64());
        }
        self.last = now;
    }
}

/// Raises the alert of a partition that is not folded because its generation as a whole is halted.
pub fn alert(telemetry: &Telemetry, app: &str, topic: &TopicName, generation: u32, partition: Partition) {
    let group = group_of(app, topic, generation);
    telemetry.projection_halted(&group, topic.as_str(), &partition.to_string()).set(1);
}

/// How far a partition is behind that is not folded because its generation as a whole is halted: it grows on.
pub fn lag(
    telemetry: &Telemetry,
    app: &str,
    topic: &TopicName,
    generation: u32,
    partition: Partition,
    records: u64,
) {
    let (group, partition) = (group_of(app, topic, generation), partition.to_string());
    telemetry.consumer_lag_records(&group, topic.as_str(), &partition).set(signed(records));
}

fn group_of(app: &str, topic: &TopicName, generation: u32) -> String {
    format!("{app}.{topic}.g{generation}")
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
