//! What lanes count and log, in one place.

use std::sync::Arc;

use tidefold_record::{Offset, Partition, TopicName};
use tidefold_telemetry::clock;
use tokio::sync::watch;

use crate::breaker::Tripped;
use crate::halt::Halt;
use crate::metrics::LaneMetrics;
use crate::status::{LaneState, LaneStatus, Place, VerdictCounts};
use crate::watchdog::Noticed;

/// One lane's voice: its status, the log lines about it, its metrics.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) topic: TopicName,
    pub(crate) generation: u32,
    pub(crate) partition: Partition,
    pub(crate) metrics: LaneMetrics,
    pub(crate) status: Arc<watch::Sender<LaneStatus>>,
}

impl Observer {
    /// The lane is in a state now. Log lines only where that is a change.
    pub(crate) fn state(&self, state: LaneState) {
        let changed = self.status.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                status.state = state.clone();
            }
            changed
        });
        if !changed {
            return;
        }
        self.metrics.tripped(matches!(state, LaneState::Tripped(_)));
        match &state {
            LaneState::Halted(halt) => self.halted(halt),
            LaneState::Tripped(tripped) => self.tripped(tripped),
            LaneState::Starting
            | LaneState::Running
            | LaneState::Waiting
            | LaneState::Held
            | LaneState::Retrying { .. }
            | LaneState::Stopped => {}
        }
    }

    /// A batch is in the tables.
    pub(crate) fn folded(&self, next: Offset, appended_at_micros: i64, counts: VerdictCounts) {
        let now = clock::now_micros();
        self.status.send_modify(|status| {
            status.next = next;
            status.end = status.end.max(next);
            status.appended_at_micros = appended_at_micros;
            status.moved_at_micros = now;
            status.verdicts.add(counts);
        });
        self.metrics.folded(next, counts, now);
        self.metrics.lag(&self.status.borrow(), now);
    }

    /// The lane found its place.
    pub(crate) fn placed(&self, next: Offset, appended_at_micros: i64) {
        self.metrics.placed(next);
        tracing::debug!(topic = %self.topic, generation = self.generation, partition = %self.partition, next = %next, "lane starts");
        self.status.send_modify(|status| {
            status.next = next;
            status.place = Place::Found;
            status.end = status.end.max(next);
            status.appended_at_micros = appended_at_micros;
        });
    }

    /// What the lane's checkpoint says. Should the lane halt on the log, it is as far behind as that.
    pub(crate) fn claimed(&self, next: Offset, appended_at_micros: i64) {
        self.status.send_modify(|status| {
            status.next = next;
            status.place = Place::Claimed;
            status.appended_at_micros = appended_at_micros;
        });
    }

    /// Where the log ends now.
    pub(crate) fn end(&self, end: Offset) {
        self.status.send_if_modified(|status| {
            let moved = status.end != end;
            status.end = end;
            moved
        });
        let status = self.status.borrow();
        // One that starts and has not read its checkpoint yet seems to be as far behind as can be.
        if status.place != Place::Unknown || status.state.is_still() {
            self.metrics.lag(&status, clock::now_micros());
        }
    }

    /// Something did not answer; the lane tries again.
    pub(crate) fn retrying(&self, class: &'static str, doing: &'static str, error: &str) {
        self.metrics.error(class);
        self.state(LaneState::Retrying { doing, error: error.to_owned() });
    }

    /// What did not answer answers again.
    pub(crate) fn answered(&self) {
        self.state(LaneState::Running);
    }

    /// The watchdog noticed something.
    pub(crate) fn noticed(&self, noticed: Noticed) {
        let stalled = noticed == Noticed::Stalled;
        self.status.send_modify(|status| status.stalled = stalled);
        let status = self.status.borrow().clone();
        if stalled {
            tracing::warn!(topic = %self.topic, generation = self.generation, partition = %self.partition, next = %status.next, end = %status.end, state = status.state.as_str(), "lane stands still while its log moves");
        } else {
            tracing::info!(topic = %self.topic, generation = self.generation, partition = %self.partition, next = %status.next, "lane moves again");
        }
    }

    fn tripped(&self, tripped: &Tripped) {
        tracing::error!(topic = %self.topic, generation = self.generation, partition = %self.partition, reason = %tripped, "the breaker holds the partition");
    }

    fn halted(&self, halt: &Halt) {
        self.metrics.halted();
        self.metrics.lag(&self.status.borrow(), clock::now_micros());
        tracing::error!(topic = %self.topic, generation = self.generation, partition = %self.partition, reason = %halt, "lane halted");
    }
}
