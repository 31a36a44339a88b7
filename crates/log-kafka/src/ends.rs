//! Where partitions start and end, and the two tasks that look: one at the ends that are waited for and that no follower hears of,
//! one at the identity of all topics that are in use. A process that only appends would not notice that by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tidefold_log::{Bounds, LogError};
use tidefold_record::Partition;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::direct::describe::{Offsets, Side};
use crate::known::KnownTopic;
use crate::topics::{ASK, CALL, Cluster};

/// The tasks that look.
pub(crate) struct Looks {
    now: Arc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

/// How often the ends are asked for.
const EVERY: Duration = Duration::from_millis(200);
/// How often topics are looked at.
const TOPICS_EVERY: Duration = Duration::from_secs(4);
/// How long an answer about ends may take.
const PATIENCE: Duration = Duration::from_secs(2);

// === impl Cluster ===

impl Cluster {
    /// Asks where partitions end that may be read. What is told stands in the topic.
    pub(crate) async fn ends(
        &self,
        topic: &Arc<KnownTopic>,
        partitions: impl Iterator<Item = Partition>,
        timeout: Duration,
    ) -> Offsets {
        let offsets = self.wire.offsets(topic, partitions, Side::End, timeout).await;
        for (partition, end) in &offsets.told {
            topic.raise(*partition, *end);
        }
        offsets
    }

    /// Learns where all partitions end, so that who watches them starts there.
    pub(crate) async fn learn_ends(&self, topic: &Arc<KnownTopic>) -> Result<(), LogError> {
        match self.ends(topic, topic.all(), ASK).await.untold {
            None => Ok(()),
            Some(why) => Err(self.failed(&format!("the ends of topic {} are not told", topic.name), &why)),
        }
    }

    /// Where the partition starts and ends now: asked of its leader.
    pub(crate) async fn bounds(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
    ) -> Result<Bounds, LogError> {
        let before = topic.end(partition);
        let one = || std::iter::once(partition);
        let start = self.wire.offsets(topic, one(), Side::Start, ASK);
        let (start, end) = futures_util::future::join(start, self.ends(topic, one(), ASK)).await;
        match (start.told.first(), end.told.first()) {
            (Some((_, start)), Some((_, end))) => {
                if *end < before {
                    self.recheck_now(topic).await?;
                }
                let end = *end.max(start);
                Ok(Bounds { start: *start, end, appended: end })
            }
            _ => {
                self.recheck_now(topic).await?;
                let what =
                    format!("the bounds of partition {partition} of topic {} are not told", topic.name);
                let why = start.untold.or(end.untold);
                Err(self.failed(&what, &why.unwrap_or_else(|| std::io::ErrorKind::TimedOut.into())))
            }
        }
    }

    /// The bounds as [`Cluster::whole_bounds`] tells them, asked for once for all who want to know meanwhile: who waits for
    /// positions comes in crowds, and each asks whether the log reaches to its own.
    pub(crate) async fn shared_bounds(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
    ) -> Result<Bounds, LogError> {
        let (this, of) = (Arc::clone(self), Arc::clone(topic));
        let ask = move || -> BoxFuture<'static, _> {
            let (this, of) = (Arc::clone(&this), Arc::clone(&of));
            Box::pin(async move { this.whole_bounds(&of, partition).await })
        };
        let answer = topic.part(partition)?.bounds.answer(|asks| self.wire.spawn(asks), ask);
        // It may have to wait for a question that is under way, which nobody answers either.
        let answer = tokio::time::timeout(CALL, answer).await.ok().flatten();
        answer.unwrap_or_else(|| {
            let what = format!("the bounds of partition {partition} of topic {} are not told", topic.name);
            Err(self.failed(&what, &std::io::ErrorKind::TimedOut.into()))
        })
    }

    /// The bounds, with the end of what was appended but cannot be read yet: that of an open transaction, and behind it.
    async fn whole_bounds(&self, topic: &Arc<KnownTopic>, partition: Partition) -> Result<Bounds, LogError> {
        let appended = self.wire.offsets(topic, std::iter::once(partition), Side::Appended, ASK);
        let (bounds, appended) = futures_util::future::join(self.bounds(topic, partition), appended).await;
        let mut bounds = bounds?;
        let appended = appended.told.first().map_or(bounds.end, |(_, end)| *end);
        if appended > bounds.end {
            // A transaction is open; or what was appended between the two answers is all there is to it.
            bounds = self.bounds(topic, partition).await?;
        }
        Ok(Bounds { appended: appended.max(bounds.end), ..bounds })
    }

    /// Asks for the ends that somebody waits for, or once did, unless a follower hears of them.
    async fn look_at_ends(&self) {
        let topics = self.known();
        let asks = topics.iter().map(|topic| async move {
            let heard = |at: &Partition| topic.is_waited_for(*at) && self.wire.is_followed(topic, *at);
            let watched: Vec<_> = topic.watched().filter(|at| !heard(at)).collect();
            let untold = self.ends(topic, watched.into_iter(), PATIENCE).await.untold;
            if let Some(why) = untold {
                tracing::debug!(topic = %topic.name, %why, "where partitions end is not told just now");
            }
        });
        join_all(asks).await;
    }
}

// === impl Looks ===

impl Looks {
    pub(crate) fn start(cluster: &Arc<Cluster>) -> Looks {
        let now = Arc::new(Notify::new());
        let (of_ends, asked) = (Arc::clone(cluster), Arc::clone(&now));
        let ends = cluster.wire.spawn(async move {
            let closed = of_ends.wire.closed();
            while !closed.is_cancelled() {
                let some = async {
                    tokio::select! {
                        () = asked.notified() => {}
                        () = closed.cancelled() => {}
                    }
                };
                let _time_is_up = tokio::time::timeout(EVERY, some).await;
                of_ends.look_at_ends().await;
            }
        });
        let of_topics = Arc::clone(cluster);
        let topics = cluster.wire.spawn(async move {
            let closed = of_topics.wire.closed();
            while tokio::time::timeout(TOPICS_EVERY, closed.cancelled()).await.is_err() {
                for topic in of_topics.known() {
                    of_topics.look(&topic).await;
                }
            }
        });
        Looks { now, tasks: [ends, topics] }
    }

    /// Whether one of the tasks is gone.
    pub(crate) fn have_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Looks at the ends at once.
    pub(crate) fn look(&self) {
        self.now.notify_one();
    }
}
