//! Answers to those who wait for a commit.
//!
//! A thread of its own that wakes task by task those of a runtime which sleeps wakes the runtime's threads again and again:
//! each does the little there is and goes back to sleep, while the next one is being woken. So where many share a commit
//! they are woken by a task of the runtime itself, and it is woken once. A few are not worth the way through that task.

use tidefold_log::{Appended, LogError};
use tidefold_record::Offset;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Who waits for an append, and where it begins.
pub(crate) type Answer = (oneshot::Sender<Result<Appended, LogError>>, Offset);

/// So many are woken by whoever gives the answers.
const FEW: usize = 16;

/// Answers for callers.
pub(crate) struct Answers(Option<mpsc::UnboundedSender<Vec<Answer>>>);

// === impl Answers ===

impl Answers {
    /// On the runtime that this is called on; without one, callers are answered by whoever gives the answers.
    pub fn here() -> Answers {
        let Ok(runtime) = Handle::try_current() else { return Answers(None) };
        // As many wait in it as there are callers who wait for an answer.
        let (give, mut given) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "it ends with the writer, who has the other end")]
        drop(runtime.spawn(async move {
            while let Some(answers) = given.recv().await {
                hand_out(answers);
            }
        }));
        Answers(Some(give))
    }

    /// Answers all of a commit, in its order.
    pub fn give(&self, answers: Vec<Answer>) {
        match &self.0 {
            // A runtime that is gone wakes nobody, but another one may have callers, too.
            Some(give) if answers.len() > FEW => {
                give.send(answers).unwrap_or_else(|back| hand_out(back.0));
            }
            _ => hand_out(answers),
        }
    }
}

fn hand_out(answers: Vec<Answer>) {
    for (answer, first) in answers {
        // A caller that went away needs no answer.
        let _gone = answer.send(Ok(Appended::From(first)));
    }
}
