//! The ends of partitions that are watched and that no feed follows; and the identity of all topics that are in use.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidefold_record::Partition;

use crate::feed::Feeds;
use crate::topics::Cluster;

/// A thread that asks for the ends of watched partitions, and sends feeds there, which hear of new records at once. And one
/// that looks now and then whether the topics are what they were: a process that only appends would not notice it.
pub(crate) struct Tail {
    signals: [Arc<Signal>; 2],
    threads: [JoinHandle<()>; 2],
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
/// How often topics are looked at.
const TOPICS_EVERY: Duration = Duration::from_secs(4);
const ASK: Duration = Duration::from_secs(2);

// === impl Tail ===

impl Tail {
    pub(crate) fn start(cluster: &Arc<Cluster>, feeds: &Arc<Feeds>) -> std::io::Result<Tail> {
        let signals = [Arc::new(Signal::default()), Arc::new(Signal::default())];
        let [ends, topics] = signals.clone();
        let (of_ends, of_topics, feeds) = (Arc::clone(cluster), Arc::clone(cluster), Arc::clone(feeds));
        let ends = std::thread::Builder::new().name("kafka-tail".to_owned()).spawn(move || {
            while ends.wait(EVERY) {
                look(&of_ends, &feeds);
            }
        })?;
        let topics = std::thread::Builder::new().name("kafka-topics".to_owned()).spawn(move || {
            while topics.wait(TOPICS_EVERY) {
                of_topics.known().iter().for_each(|topic| of_topics.look_blocking(topic));
            }
        })?;
        Ok(Tail { signals, threads: [ends, topics] })
    }

    /// Whether one of the threads is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Looks at once.
    pub(crate) fn look(&self) {
        self.signals[0].set(|state| state.look = true);
    }

    pub(crate) fn stop(&self) {
        self.signals.iter().for_each(|signal| signal.set(|state| state.stop = true));
    }
}

// === impl Signal ===

impl Signal {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for the next look; false when there is none.
    fn wait(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.look && !state.stop;
        let waited = self.changed.wait_timeout_while(state, time, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }
}

fn look(cluster: &Cluster, feeds: &Feeds) {
    // Nobody else takes the client's log lines; they would pile up.
    while cluster.meta.poll(Duration::ZERO).is_some() {}
    for topic in cluster.known() {
        // A feed that stands at the end raises it only while somebody waits there.
        let heard = |at: &Partition| topic.is_waited_for(*at) && feeds.follows(&topic, *at);
        let watched: Vec<_> = topic.watched().filter(|at| !heard(at)).collect();
        let ends = cluster.ends_blocking(&topic, watched.iter().copied(), ASK);
        let mut told = ends.map_or_else(|_| Vec::new(), |offsets| offsets.told);
        // The question for all goes by what the client knows of leaders, which after a broker's restart can be nobody.
        for partition in watched {
            if !told.iter().any(|(known, _)| *known == partition)
                && let Ok(bounds) = cluster.bounds_blocking(&topic, partition, ASK)
            {
                told.push((partition, bounds.end));
            }
        }
        for (partition, end) in told {
            if topic.is_waited_for(partition)
                && !feeds.has(&topic, partition)
                && let Err(error) = feeds.place(&topic, partition, end)
            {
                tracing::debug!(%error, topic = %topic.name, %partition, "no feed for a watched partition");
            }
        }
    }
}
