//! A question that is asked once for all who ask meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A question to which the answer changes, such as where a partition ends. However many ask, one question is on its way.
/// Its answer is that of all who asked before it was sent, never of who came later: they may know of something younger.
pub(crate) struct Question<T> {
    turns: Mutex<Turns>,
    /// What was answered last, and to the question of which number. Questions are numbered from 1 on.
    told: watch::Sender<(u64, Option<T>)>,
}

#[derive(Default)]
struct Turns {
    /// The last question that was sent.
    sent: u64,
    /// The last one that somebody waits for.
    wanted: u64,
    /// It asks until nobody waits. It is a task of its own: who asks may be gone before the answer is there, or wait for
    /// something else first.
    asking: Option<JoinHandle<()>>,
}

// === impl Question ===

impl<T> Default for Question<T> {
    fn default() -> Question<T> {
        Question { turns: Mutex::default(), told: watch::Sender::new((0, None)) }
    }
}

impl<T: Clone + Send + Sync + 'static> Question<T> {
    /// The answer to a question that is sent from now on. `ask` sends one, and `spawn` runs what asks.
    ///
    /// # Errors
    /// None: no answer comes any more, since what would ask has ended.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        spawn: impl FnOnce(BoxFuture<'static, ()>) -> JoinHandle<()>,
        ask: impl Fn() -> BoxFuture<'static, T> + Send + 'static,
    ) -> Option<T> {
        let mut told = self.told.subscribe();
        let mine = {
            let mut turns = self.turns();
            turns.wanted = turns.sent + 1;
            if turns.asking.as_ref().is_none_or(JoinHandle::is_finished) {
                turns.asking = Some(spawn(Box::pin(Arc::clone(self).ask_on(ask))));
            }
            turns.wanted
        };
        let answered = told.wait_for(|(number, _)| *number >= mine).await;
        answered.ok().and_then(|answered| answered.1.clone())
    }

    /// Asks until nobody waits.
    async fn ask_on(self: Arc<Self>, ask: impl Fn() -> BoxFuture<'static, T> + Send) {
        while let Some(number) = self.next() {
            let answer = ask().await;
            self.told.send_replace((number, Some(answer)));
        }
    }

    /// The number of the question to be sent now; none where nobody waits for one.
    fn next(&self) -> Option<u64> {
        let mut turns = self.turns();
        if turns.wanted <= turns.sent {
            // Under the lock: who comes from now on starts anew.
            turns.asking = None;
            return None;
        }
        turns.sent += 1;
        Some(turns.sent)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Answers by the number of the question, each when it is let.
    #[derive(Clone)]
    struct Oracle {
        question: Arc<Question<usize>>,
        sent: Arc<AtomicUsize>,
        lets: Arc<Semaphore>,
        tasks: TaskTracker,
    }

    impl Oracle {
        fn new() -> Oracle {
            let lets = Arc::new(Semaphore::new(0));
            Oracle { question: Arc::default(), sent: Arc::default(), lets, tasks: TaskTracker::new() }
        }

        async fn ask(&self) -> Option<usize> {
            let this = self.clone();
            let ask = move || {
                let this = this.clone();
                async move {
                    let number = this.sent.fetch_add(1, Ordering::Relaxed) + 1;
                    this.lets.acquire().await.unwrap().forget();
                    number
                }
                .boxed()
            };
            self.question.answer(|asks| self.tasks.spawn(asks), ask).await
        }

        /// Returns once so many were sent.
        async fn sent(&self, many: usize) {
            while self.sent.load(Ordering::Relaxed) < many {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn all_who_ask_meanwhile_share_the_next_question() {
        let oracle = Oracle::new();
        let (mut first, mut rest) =
            (Box::pin(oracle.ask()), Box::pin(join_all((0..500).map(|_| oracle.ask()))));
        assert!(futures_util::poll!(&mut first).is_pending());
        oracle.sent(1).await;
        assert!(futures_util::poll!(&mut rest).is_pending());
        oracle.lets.add_permits(1);
        assert_eq!(first.await, Some(1));
        assert!(futures_util::poll!(&mut rest).is_pending(), "the first was sent before they came");
        oracle.lets.add_permits(1);
        assert!(rest.await.iter().all(|answer| *answer == Some(2)));
        assert_eq!(oracle.sent.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn who_asks_first_may_go_or_wait_for_something_else() {
        let oracle = Oracle::new();
        let mut idle = Box::pin(oracle.ask());
        assert!(futures_util::poll!(&mut idle).is_pending());
        oracle.sent(1).await;
        drop(Box::pin(oracle.ask()));
        // It is not polled any more, and still the others are answered.
        oracle.lets.add_permits(2);
        assert_eq!(oracle.ask().await, Some(2));
        assert_eq!(idle.await, Some(2), "it would do with the first, or with any later one");
    }

    #[tokio::test]
    async fn it_is_asked_anew_where_nobody_waited_for_a_while() {
        let oracle = Oracle::new();
        oracle.lets.add_permits(2);
        assert_eq!(oracle.ask().await, Some(1));
        assert_eq!(oracle.ask().await, Some(2));
    }
}
