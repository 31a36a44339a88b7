//! Who leads which partition: asked where that is due, and served from then on.

use std::sync::Arc;

use tidefold_record::Partition;
use tokio::time::Instant;

use super::accumulator::Route;
use super::link;
use super::shared::Shared;
use crate::known::KnownTopic;

// === impl Shared ===

impl Shared {
    /// The way to a partition's leader, who is asked for where that is due.
    pub(super) async fn find_route(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        deadline: Instant,
    ) -> Option<Route> {
        let found = self.accumulator().route_of(topic, partition, Instant::now());
        match found {
            Ok(route) => return Some(route),
            Err(true) => {
                let asking = self.spawn(route_topic(Arc::clone(self), Arc::clone(topic)));
                let _late = tokio::time::timeout_at(deadline, asking).await;
            }
            Err(false) => {}
        }
        self.accumulator().route_now(topic, partition)
    }
}

/// Asks who leads a topic's partitions, and serves the brokers that are new.
pub(super) async fn route_topic(shared: Arc<Shared>, topic: Arc<KnownTopic>) {
    let leaders = shared.leaders(&topic).await;
    if let Err(error) = &leaders {
        tracing::debug!(topic = %topic.name, %error, "nobody knows who leads; appends go through librdkafka");
    }
    let new = shared.accumulator().route(&topic.name, leaders.ok(), Instant::now());
    for (broker, work) in new {
        drop(shared.spawn(link::run(Arc::clone(&shared), broker, work)));
    }
}
