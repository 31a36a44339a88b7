//! Where many partitions start or end, asked with one question: over a slow link each question takes its time.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::{Bounds, LogError};
use tidefold_record::{Offset, Partition};
use tokio::time::Instant;

use crate::known::KnownTopic;
use crate::native::{Side, list_offsets};
use crate::topics::{ASK, Cluster, blocking, leaderless, pause};

/// What was told of some partitions.
pub(crate) struct Offsets {
    pub(crate) told: Vec<(Partition, Offset)>,
    /// Why others were not.
    pub(crate) untold: Option<Code>,
}

// === impl Cluster ===

impl Cluster {
    /// Asks the leaders of partitions.
    pub(crate) fn offsets_blocking(
        &self,
        topic: &KnownTopic,
        partitions: impl Iterator<Item = Partition>,
        side: Side,
        timeout: Duration,
    ) -> Result<Offsets, LogError> {
        let partitions: Vec<_> = partitions.collect();
        let mut offsets = Offsets { told: Vec::new(), untold: None };
        if partitions.is_empty() {
            return Ok(offsets);
        }
        let all = list_offsets(self.admin.inner(), &topic.name, &partitions, side, timeout);
        let all = all.map_err(|code| {
            self.unavailable(&format!("the offsets of topic {} are not told", topic.name), code)
        })?;
        for (partition, told) in all {
            match told {
                Ok(offset) => offsets.told.push((partition, offset)),
                Err(code) => offsets.untold = Some(code),
            }
        }
        Ok(offsets)
    }

    /// Asks where partitions end that may be read. What is told stands in the topic.
    pub(crate) fn ends_blocking(
        &self,
        topic: &KnownTopic,
        partitions: impl Iterator<Item = Partition>,
        timeout: Duration,
    ) -> Result<Offsets, LogError> {
        let offsets = self.offsets_blocking(topic, partitions, Side::End, timeout)?;
        for (partition, end) in &offsets.told {
            topic.raise(*partition, *end);
        }
        Ok(offsets)
    }

    /// Learns where all partitions end, so that who watches them starts there.
    pub(crate) async fn learn_ends(self: &Arc<Self>, topic: &Arc<KnownTopic>) -> Result<(), LogError> {
        let deadline = Instant::now() + ASK;
        loop {
            let (this, asked) = (Arc::clone(self), Arc::clone(topic));
            let offsets = blocking(move || this.ends_blocking(&asked, asked.all(), ASK)).await?;
            match offsets.untold {
                None => return Ok(()),
                Some(code) if leaderless(code) && Instant::now() < deadline => {
                    pause(Duration::from_millis(20)).await;
                }
                Some(code) => {
                    let what = format!("the ends of topic {} are not told", topic.name);
                    return Err(self.unavailable(&what, code));
                }
            }
        }
    }

    /// The bounds, with the end of what was appended but cannot be read yet: that of an open transaction, and behind it.
    pub(crate) async fn whole_bounds(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
    ) -> Result<Bounds, LogError> {
        let (this, asked) = (Arc::clone(self), Arc::clone(topic));
        let one = std::iter::once(partition);
        let appended = blocking(move || this.offsets_blocking(&asked, one, Side::Appended, ASK));
        let (bounds, appended) = futures_util::future::join(self.bounds(topic, partition), appended).await;
        let mut bounds = bounds?;
        let told = appended.ok().and_then(|offsets| offsets.told.into_iter().next());
        let appended = told.map_or(bounds.end, |(_, end)| end);
        if appended > bounds.end {
            // A transaction is open; or what was appended between the two answers is all there is to it.
            bounds = self.bounds(topic, partition).await?;
        }
        Ok(Bounds { appended: appended.max(bounds.end), ..bounds })
    }
}
