//! Where the change feed goes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_fold::Publication;
use tidefold_record::{Partition, TopicName};

/// Takes the change feed of topics that have one. Whoever reads it drops offsets seen before, so entries may be published
/// again, by this lane or by another one; but none is ever published before all of lower offsets were.
pub trait Feed: Send + Sync + 'static {
    /// Publishes entries of a partition, in offset order; returns once all are acknowledged. After an error nothing is known
    /// of them, save that they were published in order: the lane publishes all of them again.
    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        entries: &'a [Publication],
    ) -> BoxFuture<'a, Result<(), FeedError>>;
}

/// A feed that lanes share.
pub type SharedFeed = Arc<dyn Feed>;

/// The feed did not acknowledge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change feed did not acknowledge: {detail}")]
pub struct FeedError {
    /// Why.
    pub detail: String,
}
