//! Tasks that last as long as the process: one that ends or panics before is not passed over in silence.
//!
//! What ends outside the shutdown is an ERROR line, a metric, and a reason in [`Supervisor::ended`], by which the node
//! is not ready any more: only a new start helps. The other parts go on.
//!
//! Work that is meant to end belongs to a `JoinSet` or `TaskTracker` of its owner; of that only a panic is told, where its owner
//! runs it by [`Supervisor::until_done`]. Threads are the backends', who tell of their end by `ended`.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::Telemetry;

/// Watches over a process's lasting tasks. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    telemetry: Telemetry,
    stopping: AtomicBool,
    ended: Mutex<BTreeMap<&'static str, String>>,
}

/// A task under supervision. Dropped, the task is ended in order: whoever owned it needs it no more.
#[derive(Debug)]
pub struct Supervised<T = ()> {
    task: JoinHandle<Option<T>>,
    wanted: Arc<AtomicBool>,
}

// === impl Supervisor ===

impl Supervisor {
    /// Of a process that counts here.
    #[must_use]
    pub fn new(telemetry: Telemetry) -> Supervisor {
        let ended = Mutex::new(BTreeMap::new());
        Supervisor(Arc::new(Shared { telemetry, stopping: AtomicBool::new(false), ended }))
    }

    /// Where it counts.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// Runs a task on the current runtime, until what is returned is dropped or the process stops.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Supervised<T> {
        self.spawn_on(&Handle::current(), name, task)
    }

    /// Runs a task on a runtime, until what is returned is dropped or the process stops.
    pub fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Supervised<T> {
        self.watch(runtime, name, task.map(|end| (end, "ended; start again".to_owned())))
    }

    /// Work that is meant to end, to be run by its owner: a panic of it is told, and what it said returned.
    ///
    /// # Errors
    /// What a panic said.
    pub async fn until_done<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let _ended = self.0.telemetry.tasks_ended(name);
        AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
            self.0.note(name, Err(&panic));
            message(&*panic).to_owned()
        })
    }

    /// Runs a task on the current runtime that comes to an end where it must not go on, and says why, and what to do.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn spawn_until_halted<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = E> + Send + 'static,
    ) -> Supervised {
        self.watch(&Handle::current(), name, task.map(|why| ((), format!("halted: {why}"))))
    }

    /// Runs a task that says at its end what is to be said of that.
    #[expect(clippy::disallowed_methods, reason = "this is the sanctioned place")]
    fn watch<T: Send + 'static>(
        &self,
        runtime: &Handle,
        name: &'static str,
        task: impl Future<Output = (T, String)> + Send + 'static,
    ) -> Supervised<T> {
        // It is there from the start, so that its rise is seen.
        let _ended = self.0.telemetry.tasks_ended(name);
        let wanted = Arc::new(AtomicBool::new(true));
        let (shared, still_wanted) = (Arc::clone(&self.0), Arc::clone(&wanted));
        let watched = async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            if still_wanted.load(Ordering::Acquire) {
                shared.note(name, ended.as_ref().map(|(_, said)| said.clone()));
            }
            ended.ok().map(|(end, _)| end)
        };
        Supervised { task: runtime.spawn(watched), wanted }
    }

    /// The process stops: what ends from now on ends in order.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// What has ended before its time, and why, once something has.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let reasons: Vec<_> = ended.iter().map(|(name, why)| format!("{name} {why}")).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

// === impl Shared ===

impl Shared {
    fn note(&self, name: &'static str, ended: Result<String, &Box<dyn Any + Send>>) {
        let why = match ended {
            Ok(_) if self.stopping.load(Ordering::Acquire) => return,
            Ok(said) => said,
            // A mistake in any case, also on the way out.
            Err(panic) => format!("panicked: {}; start again", message(&**panic)),
        };
        self.telemetry.tasks_ended(name).inc();
        tracing::error!(task = name, reason = why, "a task that lasts as long as the process is over");
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(name, why);
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is no text")
}

// === impl Supervised ===

impl<T> Supervised<T> {
    /// What it came to, once it has ended; none where it panicked.
    pub async fn ended(mut self) -> Option<T> {
        (&mut self.task).await.ok().flatten()
    }

    /// Ends it in order, and waits until it has let go of what it holds.
    pub async fn end(mut self) {
        self.wanted.store(false, Ordering::Release);
        self.task.abort();
        let _ended = (&mut self.task).await;
    }
}

impl<T> Drop for Supervised<T> {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Release);
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor, a task of its that is over, and whether it was noticed: the reason, and the metric.
    async fn noticed(
        supervisor: &Supervisor,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> (Option<String>, u64) {
        supervisor.spawn("follow-control", task).ended().await;
        (supervisor.ended(), supervisor.0.telemetry.tasks_ended("follow-control").get())
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named_with_what_it_said() {
        let supervisor = Supervisor::new(Telemetry::new());
        let told = noticed(&supervisor, async { panic!("no row {}", 7) }).await;
        assert_eq!(told, (Some("follow-control panicked: no row 7; start again".to_owned()), 1));
    }

    #[tokio::test]
    async fn a_task_that_ends_before_its_time_is_named() {
        let supervisor = Supervisor::new(Telemetry::new());
        let told = noticed(&supervisor, async {}).await;
        assert_eq!(told, (Some("follow-control ended; start again".to_owned()), 1));
    }

    #[tokio::test]
    async fn a_task_that_halts_is_named_with_its_reason_and_nothing_is_added_to_that() {
        let supervisor = Supervisor::new(Telemetry::new());
        supervisor.spawn_until_halted("copy", async { "a row is damaged; restore it" }).ended().await;
        assert_eq!(supervisor.ended().as_deref(), Some("copy halted: a row is damaged; restore it"));
        assert_eq!(supervisor.0.telemetry.tasks_ended("copy").get(), 1);
    }

    #[tokio::test]
    async fn a_task_that_ends_while_the_process_stops_is_in_order() {
        let supervisor = Supervisor::new(Telemetry::new());
        supervisor.stopping();
        assert_eq!(noticed(&supervisor, async {}).await, (None, 0));
        let told = noticed(&supervisor, async { panic!("late") }).await;
        assert_eq!(told.1, 1, "a panic never is: {told:?}");
    }

    #[tokio::test]
    async fn work_that_is_done_is_in_order_and_work_that_panics_is_named() {
        let supervisor = Supervisor::new(Telemetry::new());
        assert_eq!(supervisor.until_done("build", async { 7 }).await, Ok(7));
        assert_eq!(supervisor.ended(), None);
        let done: Result<(), _> = supervisor.until_done("build", async { panic!("no row {}", 7) }).await;
        assert_eq!(done, Err("no row 7".to_owned()));
        assert_eq!(supervisor.ended().as_deref(), Some("build panicked: no row 7; start again"));
        assert_eq!(supervisor.telemetry().tasks_ended("build").get(), 1);
    }

    #[tokio::test]
    async fn a_task_whose_owner_is_gone_is_in_order() {
        let supervisor = Supervisor::new(Telemetry::new());
        let (over, waits) = tokio::sync::oneshot::channel::<()>();
        drop(supervisor.spawn("follow-control", async move {
            let _over = over;
            std::future::pending::<()>().await;
        }));
        assert!(waits.await.is_err());
        assert_eq!(supervisor.ended(), None);
    }
}
