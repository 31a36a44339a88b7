//! How a lane stands until it may go on: held by the breaker, or halted on a record that an operator may pass over.

use tidefold_control::{Control, Generations};
use tidefold_record::{Offset, Position, RecordBatch};
use tokio::time::Instant;

use crate::breaker::Tripped;
use crate::halt::{Halt, Stop};
use crate::lane::{InHand, Lane};
use crate::status::LaneState;

// === impl InHand ===

impl InHand {
    /// A batch that has records.
    pub(crate) fn of(batch: &RecordBatch) -> Option<InHand> {
        let first = batch.iter().next()?.offset;
        Some(InHand { first, records: batch.len(), next: batch.next_offset() })
    }
}

// === impl Lane ===

impl Lane {
    /// Stands until the lane may begin anew at its checkpoint. `Some`: the state in which it ends.
    pub(crate) async fn stand(&mut self, stop: Stop) -> Option<LaneState> {
        match stop {
            Stop::Cancelled => Some(LaneState::Stopped),
            Stop::Tripped(tripped) => self.until_lifted(tripped).await,
            Stop::Halt(halt) => {
                let halt = halt.over(&self.tables);
                match halt.may_be_of_a_record() {
                    true => self.until_passed_over(halt).await,
                    false => Some(LaneState::Halted(halt)),
                }
            }
        }
    }

    /// Tells the fold which records of the batch operators declared dead.
    pub(crate) fn pass_over(&mut self, batch: &RecordBatch) {
        let control = self.control.borrow();
        let Some(known) = control.generations(self.io.observer.topic.as_str()) else { return };
        let dead = known.dead_letters(self.io.partition.0, self.checkpoint.next);
        for (offset, reason) in dead.take_while(|(offset, _)| *offset < batch.next_offset()) {
            self.folder.pass_over(offset, reason);
        }
    }

    /// The breaker's hold: for a while, until an operator lifts it, or until another generation speaks for the projection.
    async fn until_lifted(&mut self, tripped: Tripped) -> Option<LaneState> {
        let hold = self.breaker.as_ref().map(|breaker| breaker.settings().hold).unwrap_or_default();
        let (next, partition, topic) =
            (self.checkpoint.next, self.io.partition.0, self.io.observer.topic.clone());
        self.io.observer.state(LaneState::Tripped(tripped));
        let is_lifted = |control: &Control| {
            control.generations(topic.as_str()).and_then(|known| known.lifted(partition)) >= Some(next)
        };
        let lifted = tokio::select! {
            () = self.io.cancel.cancelled() => return Some(LaneState::Stopped),
            Ok(_) = self.orders.wait_for(|orders| !orders.publishes) => return None,
            lifted = tokio::time::timeout(hold, self.control.wait_for(|control| is_lifted(control))) => lifted.is_ok(),
        };
        if let Some(breaker) = &mut self.breaker {
            breaker.lifted(Instant::now());
        }
        tracing::warn!(%topic, partition, next = %next, by_an_operator = lifted, "the breaker lets dead letters pass");
        None
    }

    /// Finds the record that halts the lane, by folding one at a time what it had in hand; then stands there until an
    /// operator declares the record dead.
    async fn until_passed_over(&mut self, halt: Halt) -> Option<LaneState> {
        let Some(InHand { first, records, next }) = self.in_hand else {
            return Some(LaneState::Halted(halt));
        };
        if records > 1 {
            self.careful = Some(next);
            return None;
        }
        let (topic, partition) = (self.io.observer.topic.clone(), self.io.partition);
        let position = Position::new(topic.clone(), partition, first);
        let state = LaneState::Halted(Halt::Record { position, halt: Box::new(halt) });
        self.io.observer.state(state.clone());
        let is_dead = |projection: &Generations| {
            let mut dead = projection.dead_letters(partition.0, first);
            dead.next().is_some_and(|(offset, _): (Offset, &str)| offset == first)
        };
        let passed_over =
            self.control.wait_for(|control| control.generations(topic.as_str()).is_some_and(is_dead));
        tokio::select! {
            () = self.io.cancel.cancelled() => Some(state),
            passed_over = passed_over => match passed_over {
                Ok(_) => None,
                Err(_) => Some(state),
            },
        }
    }
}
