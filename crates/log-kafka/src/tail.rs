//! The ends of partitions that are watched and that no feed follows; and the identity of all topics that are in use.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::feed::Feeds;
use crate::topics::Cluster;

/// A thread that asks for the ends of watched partitions, and sends feeds there, which hear of new records at once. It
/// also asks for the ids of topics now and then: a process that only appends would not notice another one under the name.
pub(crate) struct Tail {
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    look: bool,
    stop: bool,
}

/// How often the ends are asked for.
const EVERY: Duration = Duration::from_millis(200);
const ASK: Duration = Duration::from_secs(2);

// === impl Tail ===

impl Tail {
    pub(crate) fn start(cluster: &Arc<Cluster>, feeds: &Arc<Feeds>) -> std::io::Result<Tail> {
        let signal = Arc::new(Signal::default());
        let (waits, cluster, feeds) = (Arc::clone(&signal), Arc::clone(cluster), Arc::clone(feeds));
        let thread = std::thread::Builder::new().name("kafka-tail".to_owned());
        let thread = thread.spawn(move || {
            while waits.wait() {
                look(&cluster, &feeds);
            }
        })?;
        Ok(Tail { signal, thread })
    }

    /// Whether the thread is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Looks at once.
    pub(crate) fn look(&self) {
        self.signal.set(|state| state.look = true);
    }

    pub(crate) fn stop(&self) {
        self.signal.set(|state| state.stop = true);
    }
}

// === impl Signal ===

impl Signal {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for the next look; false when there is none.
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.look && !state.stop;
        let waited = self.changed.wait_timeout_while(state, EVERY, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }
}

fn look(cluster: &Cluster, feeds: &Feeds) {
    // Nobody else takes the client's log lines; they would pile up.
    while cluster.meta.poll(Duration::ZERO).is_some() {}
    for topic in cluster.known() {
        cluster.recheck_blocking(&topic);
        for partition in topic.watched() {
            if feeds.follows(&topic, partition) {
                continue;
            }
            let Ok(bounds) = cluster.bounds_blocking(&topic, partition, ASK) else { continue };
            if !feeds.has(&topic, partition)
                && let Err(error) = feeds.place(&topic, partition, bounds.end)
            {
                tracing::debug!(%error, topic = %topic.name, %partition, "no feed for a watched partition");
            }
        }
    }
}
