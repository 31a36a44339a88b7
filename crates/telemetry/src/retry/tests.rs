//! What is repeated, how long it rests, and what is said of it.

use std::cell::Cell;
use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::troubles::REASONS;

/// Log lines of one test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Lines {
    fn collect() -> (Lines, tracing::subscriber::DefaultGuard) {
        let lines = Lines::default();
        let to =
            tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().finish();
        (lines, tracing::subscriber::set_default(to))
    }

    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Fails so many times with what `error` says of the attempt.
fn failing(
    times: u32,
    error: impl Fn(u32) -> String,
) -> impl FnMut() -> std::future::Ready<Result<u32, String>> {
    let attempts = Cell::new(0);
    move || {
        attempts.set(attempts.get() + 1);
        let attempt = attempts.get();
        std::future::ready(if attempt > times { Ok(attempt) } else { Err(error(attempt)) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_passing_is_tried_until_it_works_and_said_once_and_again_when_it_does() {
    let (lines, _guard) = Lines::collect();
    let telemetry = Telemetry::new();
    let away = |_| "the broker is away".to_owned();
    let done = telemetry.retry().run("read the log", |_| true, failing(6, away)).await;
    assert_eq!(done, Ok(7));
    let said = lines.take();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("retrying to read the log error=\"the broker is away\""), "{said:#?}");
    assert!(said[1].contains("works again: to read the log") && said[1].contains("attempts=6"), "{said:#?}");
    assert_eq!(telemetry.retries("read the log").get(), 6);
    assert_eq!(telemetry.retrying("read the log").get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_works_at_once_says_and_counts_nothing() {
    let (lines, _guard) = Lines::collect();
    let telemetry = Telemetry::new();
    telemetry.retry().run("write rows", |_| true, failing(0, |_| String::new())).await.unwrap();
    assert_eq!(lines.take(), Vec::<String>::new());
    assert_eq!(telemetry.retries("write rows").get(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_reason_has_its_line_as_long_as_they_do_not_go_on_for_ever() {
    let (lines, _guard) = Lines::collect();
    let telemetry = Telemetry::new();
    let short = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
    let numbered = |attempt| format!("attempt {attempt}");
    telemetry.retry().backoff(short).run("write rows", |_| true, failing(1_000, numbered)).await.unwrap();
    assert_eq!(lines.take().len(), REASONS + 1);
}

#[tokio::test(start_paused = true)]
async fn many_who_fail_at_the_same_thing_say_it_once() {
    let (lines, _guard) = Lines::collect();
    let telemetry = Telemetry::new();
    let away = |_| "the store is away".to_owned();
    let all = (0..12).map(|_| {
        let retry = telemetry.retry();
        let attempt = failing(5, away);
        async move { retry.run("load rows", |_| true, attempt).await }
    });
    for done in futures_util::future::join_all(all).await {
        assert_eq!(done, Ok(6));
    }
    let said = lines.take();
    assert_eq!(said.iter().filter(|line| line.contains("retrying to load rows")).count(), 1, "{said:#?}");
    assert_eq!(said.iter().filter(|line| line.contains("works again")).count(), 1, "{said:#?}");
    assert_eq!(telemetry.retries("load rows").get(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_will_not_pass_is_given_back_at_once() {
    let telemetry = Telemetry::new();
    let passes = |error: &String| error == "away";
    let error = |attempt| if attempt < 3 { "away".to_owned() } else { "refused".to_owned() };
    let done = telemetry.retry().run("write rows", passes, failing(9, error)).await;
    assert_eq!(done, Err(Stopped::Lasting("refused".to_owned())));
    assert_eq!(telemetry.retries("write rows").get(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_stops_resting_and_says_nothing_of_success() {
    let (lines, _guard) = Lines::collect();
    let telemetry = Telemetry::new();
    let cancel = CancellationToken::new();
    let long = Backoff { first: Duration::from_secs(3_600), most: Duration::from_secs(3_600) };
    let retry = telemetry.retry().backoff(long).until(cancel.clone());
    let attempt = || {
        cancel.cancel();
        std::future::ready(Err::<(), _>("away"))
    };
    let since = tokio::time::Instant::now();
    assert_eq!(retry.run("write rows", |_| true, attempt).await, Err(Stopped::Cancelled));
    assert_eq!(since.elapsed(), Duration::ZERO);
    assert_eq!(lines.take().len(), 1);
    assert_eq!(telemetry.retrying("write rows").get(), 0);
}

#[test]
fn rests_double_up_to_the_longest_and_half_of_each_is_chance() {
    let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
    let rests: Vec<Vec<Duration>> = (0..20).map(|_| backoff.rests().take(8).collect()).collect();
    for (place, longest) in [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000].into_iter().enumerate() {
        let (half, longest) = (Duration::from_millis(longest / 2), Duration::from_millis(longest));
        assert!(rests.iter().all(|rests| (half..=longest).contains(&rests[place])), "{place}: {rests:?}");
    }
    assert!(rests.iter().any(|one| one != &rests[0]), "no chance in {:?}", rests[0]);
}
