//! A run that a signal ends: what is said of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidefold_publisher::ledger;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::PublishArgs;
use crate::failure::{Code, Failure};

/// How long a run that is cut may take to let go; one that waits for a line of a pipe does not.
const GRACE: Duration = Duration::from_millis(500);

/// Where a run tells how far it is.
pub(super) struct Place {
    file: PathBuf,
    /// Where its ledger is, if it has one.
    ledger: Option<PathBuf>,
    /// Whether the same command may be run again: its messages have ids of their own.
    is_repeatable: bool,
    accepted: Arc<AtomicU64>,
}

impl Place {
    pub(super) fn of(args: &PublishArgs) -> Place {
        let file = args.file.clone().unwrap_or_else(|| "-".into());
        let is_repeatable = args.synthetic.is_some() || !args.id.is_empty();
        Place { ledger: super::ledger::path(args, &file), file, is_repeatable, accepted: Arc::default() }
    }

    /// How many lines were accepted so far.
    pub(super) fn accepted(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.accepted)
    }

    /// What there is to say once it is cut.
    fn told(&self) -> String {
        let accepted = self.accepted.load(Ordering::Relaxed);
        let standing = self.ledger.as_deref().and_then(|path| ledger::standing(path).ok().flatten());
        match standing {
            Some(standing) if standing.ended => format!(
                "{accepted} lines of {} were accepted; --resume sends those that were refused",
                self.file.display()
            ),
            Some(standing) => {
                format!(
                    "cut behind line {} of {}; --resume goes on from there",
                    standing.done,
                    self.file.display()
                )
            }
            None if self.is_repeatable => {
                format!(
                    "cut after {accepted} accepted lines; run again as it is, the command sends the same messages"
                )
            }
            None if accepted == 0 && self.ledger.is_some() => "cut before anything was sent".to_owned(),
            None if self.ledger.is_some() => {
                format!("all lines were sent, {accepted} accepted; what became of them was not waited for")
            }
            None => format!("cut after {accepted} accepted lines, without a ledger: --ledger FILE keeps one"),
        }
    }
}

/// Runs until it is done or SIGINT or SIGTERM comes. It has a task of its own, since it may wait for a line of a pipe without
/// end.
pub(super) async fn unless_signalled(
    place: Place,
    run: impl Future<Output = Result<ExitCode, Failure>> + Send + 'static,
) -> Result<ExitCode, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    #[expect(clippy::disallowed_methods, reason = "it is waited for or cut right below")]
    let mut running = tokio::runtime::Handle::current().spawn(run);
    let (code, by) = tokio::select! {
        done = &mut running => return match done {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(error.into()),
        },
        _ = interrupt.recv() => (Code::Interrupted, "SIGINT"),
        _ = terminate.recv() => (Code::Terminated, "SIGTERM"),
    };
    running.abort();
    let _ = tokio::time::timeout(GRACE, running).await;
    Err(Failure::new(code, format!("ended by {by}: {}", place.told())))
}
