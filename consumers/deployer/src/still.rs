//! Letting an active generation stand still for a moment, to look at its tables.

use std::time::Duration;

use crate::deployer::Deployer;
use crate::error::DeployError;
use crate::node::Hold;

/// A generation that stands still, until this is dropped.
pub struct Still {
    /// The generation.
    pub generation: u32,
    _hold: Hold,
}

impl Deployer {
    /// Lets the active generation of a topic finish the batches in hand and stand still. Its log goes on growing.
    ///
    /// # Errors
    /// When the topic has no active generation or its partitions are not all here, or a lane does not come to a stand within `limit`.
    pub async fn still(&self, topic: &str, limit: Duration) -> Result<Still, DeployError> {
        let place = self.place(topic)?;
        let active = self.node().driver.control().active(topic);
        let generation =
            active.ok_or_else(|| DeployError::NoGeneration { topic: topic.to_owned(), wanted: "active" })?;
        let owned = self.node().all_owned(place)?;
        let hold = self.node().hold((place, generation));
        let standing = async {
            for mut lane in self.node().lanes((place, generation)) {
                // A lane that is gone stands still, too.
                let _ = lane.wait_for(|status| status.state.is_still()).await;
            }
        };
        let late = |()| DeployError::NotTogether {
            topic: topic.to_owned(),
            from: generation,
            to: generation,
            limit,
        };
        tokio::time::timeout(limit, standing).await.map_err(|_| late(()))?;
        if self.node().all_owned(place)? != owned {
            return Err(late(()));
        }
        Ok(Still { generation, _hold: hold })
    }
}
