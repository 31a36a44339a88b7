//! What runs beside a coordinator, for as long as it.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Tasks that end together.
pub(crate) struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
    runtime: Handle,
}

// === impl Tasks ===

impl Tasks {
    pub(crate) fn on(runtime: &Handle) -> Tasks {
        Tasks { tracker: TaskTracker::new(), end: CancellationToken::new(), runtime: runtime.clone() }
    }

    /// Runs a task until it is done, or until all are ended: then it stops where it waits.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        let task = async move {
            end.run_until_cancelled_owned(task).await;
        };
        self.tracker.spawn_on(task, &self.runtime);
    }

    /// Ends all where they wait once this is dropped.
    pub(crate) fn end_on_drop(&self) -> DropGuard {
        self.end.clone().drop_guard()
    }

    /// Lets all come to their own end for so long, then ends them where they wait.
    pub(crate) async fn end_within(&self, limit: Duration) {
        self.tracker.close();
        // What has not come to its end in time is cut off.
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.end.cancel();
        self.tracker.wait().await;
    }
}
