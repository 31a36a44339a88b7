//! What runs beside a coordinator, for as long as it.

use std::time::Duration;

use tidefold_telemetry::Supervisor;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Tasks that end together.
pub(crate) struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
    runtime: Handle,
    supervisor: Supervisor,
}

// === impl Tasks ===

impl Tasks {
    pub(crate) fn on(runtime: &Handle, supervisor: &Supervisor) -> Tasks {
        let (tracker, end) = (TaskTracker::new(), CancellationToken::new());
        Tasks { tracker, end, runtime: runtime.clone(), supervisor: supervisor.clone() }
    }

    /// Runs a task that lasts until all are ended: before that it ends by a mistake only, of which the supervisor tells.
    pub(crate) fn keep(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (end, kept) = (self.end.clone(), self.supervisor.spawn_on(&self.runtime, name, task));
        let ended = async move {
            end.cancelled().await;
            kept.end().await;
        };
        self.tracker.spawn_on(ended, &self.runtime);
    }

    /// Runs a task until it is done, or until all are ended: then it stops where it waits. The supervisor tells of a panic.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (end, supervisor) = (self.end.clone(), self.supervisor.clone());
        let task = async move {
            let _told = supervisor.until_done(name, end.run_until_cancelled_owned(task)).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tidefold_telemetry::Telemetry;

    #[tokio::test]
    async fn what_is_kept_and_ends_before_the_others_is_told_to_the_supervisor() {
        let supervisor = Supervisor::new(Telemetry::new());
        let tasks = Tasks::on(&Handle::current(), &supervisor);
        tasks.keep("follow-holds", async { panic!("no hold") });
        while supervisor.ended().is_none() {
            tokio::task::yield_now().await;
        }
        let told = supervisor.ended().unwrap();
        assert!(told.contains("follow-holds panicked: no hold"), "{told}");
        assert_eq!(supervisor.telemetry().tasks_ended("follow-holds").get(), 1);
        tasks.end_within(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn what_is_done_is_in_order_and_what_panics_is_told_to_the_supervisor() {
        let supervisor = Supervisor::new(Telemetry::new());
        let tasks = Tasks::on(&Handle::current(), &supervisor);
        tasks.spawn("quiesce", async {});
        tasks.end_within(Duration::from_secs(60)).await;
        assert_eq!(supervisor.ended(), None);
        let tasks = Tasks::on(&Handle::current(), &supervisor);
        tasks.spawn("quiesce", async { panic!("no hold") });
        tasks.end_within(Duration::from_secs(60)).await;
        assert_eq!(supervisor.ended().as_deref(), Some("quiesce panicked: no hold; start again"));
    }

    #[tokio::test]
    async fn what_is_ended_with_the_others_lets_go_of_what_it_holds_and_is_in_order() {
        let supervisor = Supervisor::new(Telemetry::new());
        let tasks = Tasks::on(&Handle::current(), &supervisor);
        let (held, mut seen) = tokio::sync::oneshot::channel::<()>();
        tasks.keep("follow-holds", async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        tasks.end_within(Duration::ZERO).await;
        assert_eq!(seen.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Closed));
        assert_eq!(supervisor.ended(), None);
    }
}
