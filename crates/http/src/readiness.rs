//! Whether the node is ready: what its parts say.
//!
//! Each part holds a [`Gate`] and says when it is ready, and what tells that it has ended; the node is ready while all are,
//! and until it drains.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// Why a part has ended, once it has.
type Ended = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A part of the node.
#[derive(Clone)]
struct Check {
    name: String,
    /// Why it is not ready if it is not.
    state: Result<(), String>,
    ended: Option<Ended>,
}

/// What has to be ready before the node is.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<Mutex<Vec<Check>>>,
    notes: Arc<Mutex<Option<Notes>>>,
}

/// Tells what is wrong without making the node unready.
struct Notes(Box<dyn Fn() -> Vec<String> + Send + Sync>);

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

/// A part's name, and why it is not ready if it is not.
pub(crate) type State = (String, Result<(), String>);

/// Whether all of these are ready.
pub(crate) fn is_ready(states: &[State]) -> bool {
    states.iter().all(|(_, state)| state.is_ok())
}

/// One part's say in it.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    place: usize,
}

// === impl Readiness ===

impl Readiness {
    /// Nothing to wait for yet.
    #[must_use]
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// A part that is not ready until its gate opens.
    #[must_use]
    pub fn gate(&self, name: &str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push(Check { name: name.to_owned(), state: Err("starting".to_owned()), ended: None });
        Gate { readiness: self.clone(), place: gates.len() - 1 }
    }

    /// Whether every gate is open.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        is_ready(&self.snapshot())
    }

    /// What to say beside the gates, asked at each answer: trouble that does not make the node unready.
    pub fn notes(&self, tell: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = Some(Notes(Box::new(tell)));
    }

    /// What there is to say beside the gates.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.as_ref().map(|notes| (notes.0)()).unwrap_or_default()
    }

    /// States that were asked for once, for programs: a part may have changed by the next time.
    pub(crate) fn report(&self, states: &[State]) -> Value {
        let ready = is_ready(states);
        let checks = states.iter().map(|(name, state)| match state {
            Ok(()) => json!({ "name": name, "ready": true }),
            Err(reason) => json!({ "name": name, "ready": false, "reason": reason }),
        });
        json!({ "ready": ready, "checks": checks.collect::<Vec<_>>(), "notes": self.told() })
    }

    /// Every part with its state now: why it is not ready, or why it has ended.
    #[must_use]
    pub fn snapshot(&self) -> Vec<State> {
        let checks = self.gates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        checks.into_iter().map(|check| (check.name.clone(), check.now())).collect()
    }
}

// === impl Check ===

impl Check {
    fn now(self) -> Result<(), String> {
        self.state?;
        self.ended.and_then(|ended| ended()).map_or(Ok(()), Err)
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("state", &self.state).finish_non_exhaustive()
    }
}

// === impl Gate ===

impl Gate {
    /// The part is ready, for ever.
    pub fn open(&self) {
        self.set(Ok(()));
    }

    /// The part is ready until it ends: `ended` is asked at each answer, and tells why once it has. It has to answer at
    /// once, from what the part knows of itself: an outage of what the part talks to is not its end.
    pub fn open_until(&self, ended: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let mut gates = self.readiness.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get_mut(self.place) {
            gate.ended = Some(Arc::new(ended));
            gate.state = Ok(());
        }
    }

    /// The part is not ready, with the reason.
    pub fn close(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, state: Result<(), String>) {
        let mut gates = self.readiness.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get_mut(self.place) {
            gate.state = state;
        }
    }
}
