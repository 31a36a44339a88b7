//! Random schedules: exactly-once effects, and what each rule is worth.

use std::sync::Arc;
use std::time::Duration;

use tidefold_store::SharedStore;
use tidefold_store::memory::MemoryStore;
use tidefold_telemetry::clock;

use super::feed::{MemoryFeed, SteppedFeed};
use super::{GENERATION, WINDOW, assignment, components, settings, shop_of, until_folded};
use crate::rules::{Carried, Rule, Rules};
use crate::support::stepped::Stepped;
use crate::support::{Dice, Shop, differences, metering, open_tables, stored, storefront};
use crate::{Orders, Projector, SharedFeed};

/// Calls that let a process run to its end.
const ALL: usize = 1 << 24;

/// One process, over and over: killed, started again, with the partitions taken from it and given back.
#[derive(Default)]
struct Process {
    running: Option<(Projector, Arc<Stepped>)>,
    /// Its caches, where the rule to forget them is taken away.
    carried: Carried,
}

struct World {
    shop: Shop,
    store: MemoryStore,
    dice: Dice,
    rules: Rules,
    loses_power: bool,
    /// The change feed, where there is one.
    feed: Option<MemoryFeed>,
    processes: Vec<Process>,
}

impl World {
    async fn new(seed: u64, broken: Option<Rule>) -> World {
        let mut dice = Dice::new(seed);
        let partitions = 1 + dice.roll(2) as u32;
        // Every fourth schedule is over events without an entity: then only the rollups' own offsets protect them.
        let app = if seed % 4 == 3 { metering(partitions) } else { storefront(partitions) };
        let (shop, store) = shop_of(app, seed).await;
        store.mark();
        let processes = (0..3).map(|_| Process::default()).collect();
        let feed = seed.is_multiple_of(2).then(MemoryFeed::default);
        World { shop, store, dice, rules: Rules { broken }, loses_power: seed % 3 == 2, feed, processes }
    }

    async fn start(&mut self, at: usize) {
        let store = Stepped::over(&self.store, self.dice.roll(u64::MAX), 15);
        open_tables(&self.shop.app, &*store, GENERATION).await;
        let mut settings = settings(1 + self.dice.roll(9) as usize);
        settings.rules = self.rules;
        settings.carried = Arc::clone(&self.processes[at].carried);
        let mut components = components(&self.shop, Arc::clone(&store) as SharedStore, settings);
        components.feed = self.feed.clone().map(|feed| {
            let store = Arc::clone(&store);
            Arc::new(SteppedFeed { feed, store }) as SharedFeed
        });
        // Caches of every size, from one batch's rows to all rows.
        let cache_bytes = [0, 2_000, 20_000, 1 << 20][self.dice.roll(4) as usize];
        let assignment = assignment(&self.shop, GENERATION, cache_bytes);
        let projector = Projector::start(&components, &assignment, Orders::ACTIVE);
        self.processes[at].running = Some((projector, store));
    }

    /// One random thing happens.
    async fn step(&mut self) {
        let at = self.dice.roll(self.processes.len() as u64) as usize;
        match self.dice.roll(16) {
            0 | 1 => self.shop.trade(1 + self.dice.roll(8) as usize).await,
            2 => drop(self.processes[at].running.take()),
            3 => {
                if let Some((projector, store)) = self.processes[at].running.take() {
                    store.grant(self.dice.roll(20) as usize);
                    projector.drain(Duration::from_secs(1)).await;
                }
            }
            // The machine loses power, and the store the last of what it acknowledged.
            4 if self.loses_power && self.dice.roll(4) == 0 => {
                self.processes.iter_mut().for_each(|process| *process = Process::default());
                let written = self.store.written_since_mark() as u64;
                self.store.crash(written.saturating_sub(self.dice.roll(written.min(20) + 1)) as usize);
            }
            _ => match &self.processes[at].running {
                None => self.start(at).await,
                Some((_, store)) => store.grant(1 + self.dice.roll(6) as usize),
            },
        }
        // Time stands still: this ends as soon as nobody can go on.
        clock::pause(Duration::from_secs(1)).await;
    }

    /// Everybody runs to the end, the last owner first; an error when somebody does not get there.
    async fn finish(&mut self) -> Result<(), String> {
        let last = self.processes.len();
        self.processes.push(Process::default());
        self.start(last).await;
        for process in self.processes.iter().rev() {
            let Some((projector, store)) = &process.running else { continue };
            store.grant(ALL);
            if !until_folded(projector, &self.shop).await {
                return Err(format!("a lane did not come to the end: {:?}", projector.status()));
            }
        }
        Ok(())
    }
}

/// What is wrong with the tables and the feed after one schedule; empty when they equal one fold of the log. An error when a lane did
/// not come to the end.
fn schedule(seed: u64, broken: Option<Rule>) -> Result<Vec<String>, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, broken).await;
        world.shop.trade(10).await;
        for _ in 0..100 {
            world.step().await;
        }
        world.finish().await?;
        let expected = world.shop.folded(GENERATION, WINDOW).await;
        let mut wrong = differences(&stored(&world.shop.app, &world.store, GENERATION), &expected);
        if let Some(feed) = &world.feed {
            wrong.extend(feed.differences(&world.shop.fed(WINDOW).await));
        }
        Ok(wrong)
    })
}

#[test]
fn tables_equal_one_fold_of_the_log_however_lanes_are_killed_and_interleaved() {
    // More of them: TIDEFOLD_SCHEDULES=20000.
    let schedules =
        std::env::var("TIDEFOLD_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(150);
    for seed in 0..schedules {
        let wrong = schedule(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    }
}

/// Takes a rule away, and looks for a schedule that comes out wrong.
fn is_caught(rule: Rule) {
    let caught = (0..1_500).find(|seed| schedule(*seed, Some(rule)).is_ok_and(|wrong| !wrong.is_empty()));
    assert!(caught.is_some(), "without {rule:?} no schedule came out wrong");
}

#[test]
fn without_i1_entities_before_derived_rows_lose_changes() {
    is_caught(Rule::DerivedFirst);
}

#[test]
fn without_i2_rows_evicted_before_they_are_written_lose_changes() {
    is_caught(Rule::KeepUnacknowledged);
}

#[test]
fn without_i3_a_checkpoint_before_the_rows_loses_records() {
    is_caught(Rule::CheckpointLast);
}

#[test]
fn without_i4_rollups_older_than_an_entity_lose_changes() {
    is_caught(Rule::ReadInMirrorImage);
}

#[test]
fn without_i5_caches_kept_over_a_revoke_lose_changes() {
    is_caught(Rule::ForgetAtRevoke);
}

#[test]
fn without_i6_a_write_that_is_not_repeated_is_lost() {
    is_caught(Rule::RepeatUnknown);
}

#[test]
fn without_i7_entities_before_the_feed_leave_entries_out() {
    is_caught(Rule::FeedFirst);
}
