//! What the log and the store do, as metrics.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tidefold_log::LogError;
use tidefold_log::observer::Operation as LogOperation;
use tidefold_store::StoreError;
use tidefold_store::observer::Operation as StoreOperation;

use crate::Telemetry;

/// Counts the calls of a log.
#[derive(Clone, Debug)]
pub struct LogObserver {
    operations: [Operation<{ LogError::KINDS.len() }>; LogOperation::ALL.len()],
}

/// Counts the calls of a store.
#[derive(Clone, Debug)]
pub struct StoreObserver {
    operations: [Operation<{ StoreError::KINDS.len() }>; StoreOperation::ALL.len()],
}

/// What is counted of one kind of call.
#[derive(Clone, Debug)]
struct Operation<const KINDS: usize> {
    in_flight: Gauge,
    seconds: Histogram,
    bytes: Counter,
    retries: Counter,
    /// By the places of the kinds' names.
    kinds: [&'static str; KINDS],
    errors: [Counter; KINDS],
}

// === impl Operation ===

impl<const KINDS: usize> Operation<KINDS> {
    fn ended(&self, after: Duration, answer: Result<usize, &'static str>) {
        self.in_flight.dec();
        self.seconds.observe(after.as_secs_f64());
        match answer {
            Ok(0) => {}
            Ok(bytes) => drop(self.bytes.inc_by(bytes as u64)),
            Err(kind) => {
                let counted = self.kinds.iter().zip(&self.errors).find(|(name, _)| **name == kind);
                counted.map(|(_, counter)| counter.inc());
            }
        }
    }
}

// === impl LogObserver ===

impl tidefold_log::observer::Observer for LogObserver {
    fn began(&self, operation: LogOperation) {
        self.operations[operation as usize].in_flight.inc();
    }

    fn ended(&self, operation: LogOperation, after: Duration, answer: Result<usize, &LogError>) {
        self.operations[operation as usize].ended(after, answer.map_err(LogError::kind));
    }

    fn given_up(&self, operation: LogOperation) {
        self.operations[operation as usize].in_flight.dec();
    }

    fn retried(&self, operation: LogOperation) {
        self.operations[operation as usize].retries.inc();
    }
}

// === impl StoreObserver ===

impl tidefold_store::observer::Observer for StoreObserver {
    fn began(&self, operation: StoreOperation) {
        self.operations[operation as usize].in_flight.inc();
    }

    fn ended(&self, operation: StoreOperation, after: Duration, answer: Result<usize, &StoreError>) {
        self.operations[operation as usize].ended(after, answer.map_err(StoreError::kind));
    }

    fn given_up(&self, operation: StoreOperation) {
        self.operations[operation as usize].in_flight.dec();
    }

    fn retried(&self, operation: StoreOperation) {
        self.operations[operation as usize].retries.inc();
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Who counts what a log does; `backend` says which (embedded, kafka, …).
    #[must_use]
    pub fn log(&self, backend: &str) -> LogObserver {
        let operation = |operation: LogOperation| {
            let name = operation.name();
            Operation {
                in_flight: self.log_operations_in_flight(backend, name),
                seconds: self.log_operation_seconds(backend, name),
                bytes: self.log_bytes(backend, name),
                retries: self.log_retries(backend, name),
                kinds: LogError::KINDS,
                errors: LogError::KINDS.map(|kind| self.log_errors(backend, name, kind)),
            }
        };
        LogObserver { operations: LogOperation::ALL.map(operation) }
    }

    /// Who counts what a store does; `backend` says which (embedded, scylla, …).
    #[must_use]
    pub fn store(&self, backend: &str) -> StoreObserver {
        let operation = |operation: StoreOperation| {
            let name = operation.name();
            Operation {
                in_flight: self.store_operations_in_flight(backend, name),
                seconds: self.store_operation_seconds(backend, name),
                bytes: self.store_bytes(backend, name),
                retries: self.store_retries(backend, name),
                kinds: StoreError::KINDS,
                errors: StoreError::KINDS.map(|kind| self.store_errors(backend, name, kind)),
            }
        };
        StoreObserver { operations: StoreOperation::ALL.map(operation) }
    }
}
