//! Requests that the driver sends again: it decides by its own policy, and each is told.

use std::sync::Arc;

use scylla::policies::retry::{DefaultRetryPolicy, RequestInfo, RetryDecision, RetryPolicy, RetrySession};
use tidefold_store::observer::{Operation, SharedObserver};

/// The driver's policy, told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    observer: SharedObserver,
    operation: Operation,
}

struct Request {
    decides: Box<dyn RetrySession>,
    told: Told,
}

// === impl Told ===

impl Told {
    /// The policy of the requests of `operation`.
    pub(crate) fn policy(observer: &SharedObserver, operation: Operation) -> Arc<dyn RetryPolicy> {
        Arc::new(Told { observer: observer.clone(), operation })
    }
}

impl RetryPolicy for Told {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Request { decides: DefaultRetryPolicy::new().new_session(), told: self.clone() })
    }
}

// === impl Request ===

impl RetrySession for Request {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        let decision = self.decides.decide_should_retry(request);
        match &decision {
            RetryDecision::RetrySameTarget(_) | RetryDecision::RetryNextTarget(_) => {
                self.told.observer.retried(self.told.operation);
            }
            // The driver's own list, which may grow.
            _ => {}
        }
        decision
    }

    fn reset(&mut self) {
        self.decides.reset();
    }
}
