//! Ids for messages that come without one: UUIDs of version 7, so that they sort by time.
//!
//! The random part is a counter of this process, scrambled and seeded once from the system's randomness: unique within
//! the process by construction, and no system call for each message.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes ids.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    count: AtomicU64,
}

// === impl Ids ===

impl Ids {
    #[expect(clippy::disallowed_methods, reason = "this is the sanctioned place")]
    pub(crate) fn new() -> Ids {
        let (_, low) = Uuid::now_v7().as_u64_pair();
        Ids { seed: scramble(low), count: AtomicU64::new(0) }
    }

    /// A fresh id at this time.
    pub(crate) fn fresh(&self, now_micros: i64) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let low = scramble(self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_be_bytes();
        let high = scramble(self.seed ^ count).to_be_bytes();
        let [a, b, ..] = high;
        let [c, d, e, f, g, h, i, j] = low;
        let millis = u64::try_from(now_micros / 1_000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
    }
}

/// The finalizer of splitmix64, a bijection.
fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_never_the_same() {
        let ids = Ids::new();
        let mut seen = std::collections::HashSet::new();
        for n in 0..20_000 {
            let id = ids.fresh(1_700_000_000_000_000 + n / 100);
            assert_eq!(id.get_version_num(), 7);
            assert!(seen.insert(id));
        }
        assert_ne!(Ids::new().fresh(0), Ids::new().fresh(0));
    }
}
