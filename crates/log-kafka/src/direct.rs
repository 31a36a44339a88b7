//! Connections of our own: appends of few records, all reads, and questions about topics.
//!
//! **Appends.** librdkafka sends a request for each partition. Single messages that come for a dozen partitions at once make
//! requests of a few records each, and then broker and producer spend most of their time on requests. Here one request at
//! a time is under way to each broker, and the next takes along everything that came meanwhile, for all partitions: what
//! a database calls group commit. Nothing lingers.
//!
//! It keeps what an idempotent producer of librdkafka's keeps (acks=all; a batch that is sent again stands once), and
//! leaves everything else to it: appends that are large, that find no leader, or that a broker refuses come back as
//! [`Outcome::Back`], which says that they certainly do not stand in the log. Only what may stand is seen to here:
//! it is sent again as it was until its fate is known or the message timeout has passed.
//!
//! **Reads.** Topics go by their ids, so that records are never those of another topic of the name. [`follow`] waits at the
//! ends of partitions, for all of them at a broker with one request; [`fetch`] reads anywhere else.
//!
//! TLS and logins are by librdkafka's properties ([`security`]).
//!
//! * [`accumulator`]: what waits, and for whom; [`records`], [`fetched`] and [`unpack`]: Kafka's form of records, written and
//!   read. These are values only.
//! * [`connection`], [`connector`], [`pool`] and [`security`]: the protocol's frames. [`shared`]: what all of it shares, with
//!   [`fetches`] and [`followers`] in it; [`routes`]: who leads what. [`produce`], [`fetch`] and [`describe`]: requests, and
//!   what their answers mean. [`link`]: the loop that serves one broker's appends.

mod accumulator;
mod connection;
mod connector;
pub(crate) mod describe;
pub(crate) mod fetch;
mod fetched;
mod fetches;
mod follow;
mod followers;
mod link;
mod pool;
mod produce;
mod records;
mod routes;
mod security;
mod shared;
mod unpack;

use std::sync::Arc;

use tidefold_record::{BatchBuilder, Partition};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::known::KnownTopic;
use accumulator::Sent;
use routes::route_topic;

pub(crate) use accumulator::Outcome;
pub(crate) use shared::Shared;

/// The direct way of appends into the cluster; none where the operator says how records are compressed.
pub(crate) struct Direct(Arc<Shared>);

/// Larger appends fill requests of their own, and gain by being compressed.
pub(crate) const MOST_RECORDS: usize = 16;

// === impl Direct ===

impl Direct {
    pub(crate) fn of(shared: &Arc<Shared>) -> Direct {
        Direct(Arc::clone(shared))
    }

    /// Finds out who leads a topic's partitions, so that its first appends are taken.
    pub(crate) async fn prepare(&self, topic: &Arc<KnownTopic>) {
        let ask = self.0.accumulator().prepare(topic, Instant::now());
        if ask {
            // A task of its own: whoever asks may be gone before the answer is there, which others wait for, too.
            let asking = self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic)));
            let _ended = asking.await;
        }
    }

    /// Takes an append that is small enough and whose leader is known; any other is given back at once.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn send(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        batch: BatchBuilder,
    ) -> Result<oneshot::Receiver<Outcome>, BatchBuilder> {
        if batch.len() >= MOST_RECORDS || batch.size_bytes() > self.0.most_bytes {
            return Err(batch);
        }
        let sent = self.0.accumulator().send(topic, partition, batch, Instant::now());
        match sent {
            Sent::Waiting(waiting, work) => {
                work.notify_one();
                Ok(waiting)
            }
            Sent::Refused { batch, route } => {
                if route {
                    drop(self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic))));
                }
                Err(batch)
            }
        }
    }
}

#[cfg(test)]
mod tests;
