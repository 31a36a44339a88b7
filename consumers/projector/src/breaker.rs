//! Holds a partition when dead letters pile up: that is a bad deploy or a broken publisher, not bad records.

use std::collections::BTreeMap;
use std::fmt;

/// When to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Hold when more than this share of the records looked at is dead.
    pub ratio: f64,
    /// How many records to look at before the ratio counts.
    pub at_least: u64,
    /// Hold when this many records in a row are dead.
    pub run: u64,
}

/// Counts dead letters of one lane, without a clock: over the last one to two times `at_least` records.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    records: u64,
    dead: u64,
    run: u64,
    codes: BTreeMap<String, u64>,
}

/// What tripped the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tripped {
    /// Dead records.
    pub dead: u64,
    /// Of how many.
    pub records: u64,
    /// How many of the last ones in a row.
    pub run: u64,
    /// The most frequent code.
    pub code: String,
}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings { ratio: 0.5, at_least: 1_000, run: 1_000 }
    }
}

impl Breaker {
    /// A breaker that has seen nothing.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Breaker {
        Breaker { settings, records: 0, dead: 0, run: 0, codes: BTreeMap::new() }
    }

    /// Sees `count` records that are not dead.
    pub fn alive(&mut self, count: u64) {
        self.records += count;
        self.run = 0;
        self.age();
    }

    /// Sees a dead record. `Some` when that is one too many.
    pub fn dead(&mut self, code: &str) -> Option<Tripped> {
        self.records += 1;
        self.dead += 1;
        self.run += 1;
        match self.codes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.codes.insert(code.to_owned(), 1);
            }
        }
        let many = self.records >= self.settings.at_least
            && self.dead as f64 > self.settings.ratio * self.records as f64;
        let tripped = (many || self.run >= self.settings.run).then(|| self.tripped());
        self.age();
        tripped
    }

    /// Halves what was seen, so that old records lose their weight.
    fn age(&mut self) {
        while self.records >= self.settings.at_least.max(1).saturating_mul(2) {
            self.records /= 2;
            self.dead /= 2;
            self.codes.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    fn tripped(&self) -> Tripped {
        let code = self.codes.iter().max_by_key(|(_, count)| **count).map(|(code, _)| code.clone());
        Tripped { dead: self.dead, records: self.records, run: self.run, code: code.unwrap_or_default() }
    }
}

impl fmt::Display for Tripped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tripped { dead, records, run, code } = self;
        write!(
            f,
            "dead letters pass the limit: {dead} of the last {records} records, {run} in a row, mostly `{code}`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(ratio: f64, at_least: u64, run: u64) -> Breaker {
        Breaker::new(BreakerSettings { ratio, at_least, run })
    }

    #[test]
    fn a_few_dead_letters_pass() {
        let mut breaker = breaker(0.5, 100, 100);
        for _ in 0..10_000 {
            breaker.alive(2);
            assert_eq!(breaker.dead("undecodable"), None);
        }
    }

    #[test]
    fn the_ratio_counts_only_over_enough_records() {
        let mut breaker = breaker(0.5, 100, 1_000);
        for _ in 0..99 {
            assert_eq!(breaker.dead("undecodable"), None);
        }
        let tripped = breaker.dead("no_key").unwrap();
        assert_eq!(tripped, Tripped { dead: 100, records: 100, run: 100, code: "undecodable".into() });
    }

    #[test]
    fn a_long_run_trips_it_whatever_came_before() {
        let mut breaker = breaker(2.0, 1_000, 50);
        breaker.alive(1_000_000);
        assert!((0..49).all(|_| breaker.dead("bad_frame").is_none()));
        breaker.alive(1);
        assert!((0..49).all(|_| breaker.dead("bad_frame").is_none()));
        assert_eq!(breaker.dead("bad_frame").unwrap().run, 50);
    }

    #[test]
    fn a_good_past_does_not_hide_a_bad_present() {
        let mut breaker = breaker(0.5, 100, u64::MAX);
        breaker.alive(1_000_000);
        assert!((0..1_000).any(|_| breaker.dead("bad_frame").is_some()));
    }
}
