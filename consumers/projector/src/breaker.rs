//! Holds a partition when dead letters pile up: that is a bad deploy, not a bad message and not a bad client.
//!
//! What one publisher sends never trips it, whatever it sends, under however many keys and ids: the publisher with the most
//! dead letters is left out of the count, and so are further ones of a key that has one. A hold ends by itself after a while;
//! then, or once an operator lifts it, the partition is not held again for a longer while. Dead letters that pass are not
//! lost: a build judges them anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// When to hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Hold when more than this share of the records that count is dead.
    pub ratio: f64,
    /// How many records have to count.
    pub at_least: u64,
    /// How long a partition is held, unless an operator lifts that.
    pub hold: Duration,
    /// How long it is not held again.
    pub rest: Duration,
}

/// Counts dead letters of one lane: over the last one to two times `at_least` records.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    /// Records that are not dead.
    alive: u64,
    /// Dead letters by publisher, one a key. Publishers past the bound count as one.
    dead: HashMap<u64, u64>,
    keys: HashSet<u64>,
    codes: BTreeMap<String, u64>,
    rests_until: Option<Instant>,
}

/// What tripped the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tripped {
    /// Keys with dead letters, without those of the publisher that has the most.
    pub dead: u64,
    /// Of how many records.
    pub records: u64,
    /// How many publishers have dead letters.
    pub publishers: usize,
    /// The most frequent code.
    pub code: String,
}

/// How many publishers are told apart.
const PUBLISHERS: usize = 1_024;

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings {
            ratio: 0.5,
            at_least: 1_000,
            hold: Duration::from_secs(10 * 60),
            rest: Duration::from_secs(60 * 60),
        }
    }
}

impl Breaker {
    /// A breaker that has seen nothing.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Breaker {
        Breaker {
            settings,
            alive: 0,
            dead: HashMap::new(),
            keys: HashSet::new(),
            codes: BTreeMap::new(),
            rests_until: None,
        }
    }

    /// How it is set.
    #[must_use]
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Sees `count` records that are not dead.
    pub fn alive(&mut self, count: u64) {
        self.alive += count;
        self.age();
    }

    /// Sees a dead record: hashes of who published it and of its key, and why it is dead. `Some` when that is one too many.
    pub fn dead(&mut self, publisher: u64, key: u64, code: &str, now: Instant) -> Option<Tripped> {
        if !self.keys.insert(key) {
            return None;
        }
        let told_apart = self.dead.len() < PUBLISHERS || self.dead.contains_key(&publisher);
        *self.dead.entry(if told_apart { publisher } else { 0 }).or_default() += 1;
        match self.codes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.codes.insert(code.to_owned(), 1);
            }
        }
        let most = self.dead.values().copied().max().unwrap_or(0);
        let dead = self.total() - most;
        let records = self.alive + dead;
        let many = records >= self.settings.at_least && dead as f64 > self.settings.ratio * records as f64;
        let rests = self.rests_until.is_some_and(|until| now < until);
        let tripped = (many && !rests).then(|| self.tripped(dead, records));
        self.age();
        tripped
    }

    /// A hold is over: the partition is not held again for a while.
    pub fn lifted(&mut self, now: Instant) {
        let rests_until = Some(now + self.settings.rest);
        *self = Breaker { rests_until, ..Breaker::new(self.settings) };
    }

    fn total(&self) -> u64 {
        self.dead.values().sum()
    }

    /// Halves what was seen, so that old records lose their weight.
    fn age(&mut self) {
        while self.alive + self.total() >= self.settings.at_least.max(1).saturating_mul(2) {
            self.alive /= 2;
            self.keys.clear();
            halve(&mut self.codes);
            self.dead.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    fn tripped(&self, dead: u64, records: u64) -> Tripped {
        let code = self.codes.iter().max_by_key(|(_, count)| **count).map(|(code, _)| code.clone());
        Tripped { dead, records, publishers: self.dead.len(), code: code.unwrap_or_default() }
    }
}

fn halve(codes: &mut BTreeMap<String, u64>) {
    codes.retain(|_, count| {
        *count /= 2;
        *count > 0
    });
}

impl fmt::Display for Tripped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tripped { dead, records, publishers, code } = self;
        write!(
            f,
            "dead letters pass the limit: {dead} of the last {records} records, of {publishers} publishers and without \
             the one that has the most, mostly `{code}`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Duration = Duration::from_secs(60);
    const REST: Duration = Duration::from_secs(600);

    fn breaker(ratio: f64, at_least: u64) -> Breaker {
        Breaker::new(BreakerSettings { ratio, at_least, hold: HOLD, rest: REST })
    }

    /// Dead letters of a publisher, each of a key of its own; whether one tripped the breaker.
    fn flood(breaker: &mut Breaker, publishers: u64, count: u64, now: Instant) -> bool {
        let mut tripped = false;
        for n in 0..count {
            let publisher = n % publishers;
            tripped |= breaker.dead(publisher, publisher << 32 | n, "not_handled", now).is_some();
        }
        tripped
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_dead_letters_pass() {
        let (mut breaker, now) = (breaker(0.5, 100), Instant::now());
        for n in 0..10_000 {
            breaker.alive(2);
            assert_eq!(breaker.dead(n % 7, n, "undecodable", now), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_deploy_is_noticed_over_enough_records_of_several_publishers() {
        let (mut breaker, now) = (breaker(0.5, 100), Instant::now());
        for n in 0..149 {
            assert_eq!(breaker.dead(n % 3, n, "null_column", now), None, "{n}");
        }
        let tripped = breaker.dead(2, 149, "null_column", now).unwrap();
        assert_eq!(tripped, Tripped { dead: 100, records: 100, publishers: 3, code: "null_column".into() });
        assert!(tripped.to_string().contains("100 of the last 100 records, of 3 publishers"), "{tripped}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_past_does_not_hide_a_bad_present() {
        let mut breaker = breaker(0.5, 100);
        breaker.alive(1_000_000);
        assert!(flood(&mut breaker, 3, 1_000, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_was_held_is_not_held_again_for_a_while() {
        let (mut breaker, now) = (breaker(0.5, 100), Instant::now());
        assert!(flood(&mut breaker, 3, 1_000, now));
        breaker.lifted(now);
        assert!(!flood(&mut breaker, 3, 100_000, now + REST - Duration::from_secs(1)));
        assert!(flood(&mut breaker, 3, 1_000, now + REST));
    }

    proptest! {
        #[test]
        fn one_publisher_never_trips_it(
            sent in prop::collection::vec((0..3_u64, any::<u64>(), 0..5_u64), 1..2_000),
            ratio in 0.0..1.0_f64,
            at_least in 1..200_u64,
        ) {
            let now = Instant::now();
            let mut breaker = breaker(ratio, at_least);
            for (kind, key, alive) in sent {
                if kind == 0 {
                    breaker.alive(alive);
                } else {
                    prop_assert_eq!(breaker.dead(7, key, "already_exists", now), None);
                }
            }
        }

        #[test]
        fn one_key_never_trips_it(publishers in prop::collection::vec(any::<u64>(), 1..2_000), at_least in 2..200_u64) {
            let now = Instant::now();
            let mut breaker = breaker(0.5, at_least);
            for publisher in publishers {
                prop_assert_eq!(breaker.dead(publisher, 1, "already_exists", now), None);
            }
        }
    }
}
