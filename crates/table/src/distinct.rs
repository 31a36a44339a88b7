//! `approx_count_distinct`: exact up to [`EXACT`] values, whose hashes are listed; above that HyperLogLog with 4,096
//! registers (a standard error of 1.6 %), estimated as Ertl's "New cardinality estimation algorithms" (2017) does, without
//! a bias table. What is kept is a function of the set of values alone, and so are the bytes: few registers are listed,
//! many are written out.
//!
//! Earlier releases had registers from the first value on. Such a row is read and stays an estimate.

use twox_hash::XxHash3_64;

use crate::wire::Reader;

const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;
/// The largest register: leading zeros of what the index leaves of the hash, plus one.
const LARGEST: u8 = (64 - BITS + 1) as u8;
/// Up to so many registers are listed.
const LISTED: usize = 1_024;
/// Up to so many values the count is exact (hashes have 64 bits: two of so few values hardly ever share one).
pub const EXACT: usize = 512;
/// The most bytes of a sketch: a mark and every register, or a mark and every hash.
pub const MAX_BYTES: usize = 1 + REGISTERS;
const HASH_BYTES: usize = 8;

// First bytes of a sketch. They are stored: append, never renumber.
const SPARSE: u8 = 0;
const DENSE: u8 = 1;
const HASHES: u8 = 2;

/// The sketch of a set of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    registers: Registers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Registers {
    /// No registers yet: the hashes of all values, rising.
    Hashes(Vec<u64>),
    /// Registers above zero, by rising number.
    Sparse(Vec<(u16, u8)>),
    /// All of them.
    Dense(Vec<u8>),
}

/// The hash of a value's canonical bytes.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct { registers: Registers::Hashes(Vec::new()) }
    }
}

// === impl Distinct ===

impl Distinct {
    /// Adds a value by its hash.
    pub fn add(&mut self, hash: u64) {
        let Registers::Hashes(hashes) = &mut self.registers else { return self.observe(hash) };
        let Err(at) = hashes.binary_search(&hash) else { return };
        if hashes.len() < EXACT {
            return hashes.insert(at, hash);
        }
        self.give_up_exactness();
        self.observe(hash);
    }

    /// From hashes to registers.
    fn give_up_exactness(&mut self) {
        if let Registers::Hashes(hashes) = &mut self.registers {
            let hashes = std::mem::take(hashes);
            self.registers = Registers::Sparse(Vec::new());
            hashes.into_iter().for_each(|hash| self.observe(hash));
        }
    }

    fn observe(&mut self, hash: u64) {
        let register = (hash >> (64 - BITS)) as u16;
        let rank = (hash << BITS).leading_zeros().min(64 - BITS) as u8 + 1;
        self.raise(register, rank);
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, other: &Distinct) {
        if !matches!(other.registers, Registers::Hashes(_)) {
            self.give_up_exactness();
        }
        match &other.registers {
            Registers::Hashes(hashes) => hashes.iter().for_each(|hash| self.add(*hash)),
            Registers::Sparse(list) => list.iter().for_each(|(at, rank)| self.raise(*at, *rank)),
            Registers::Dense(all) => {
                all.iter().enumerate().filter(|(_, rank)| **rank > 0).for_each(|(at, rank)| {
                    self.raise(at as u16, *rank);
                });
            }
        }
    }

    /// How many different values were added: exactly if there are at most [`EXACT`], else about.
    #[must_use]
    pub fn estimate(&self) -> i64 {
        let mut counts = [0u32; LARGEST as usize + 1];
        let mut count = |rank: u8, times: u32| {
            if let Some(found) = counts.get_mut(usize::from(rank)) {
                *found += times;
            }
        };
        match &self.registers {
            Registers::Hashes(hashes) => return i64::try_from(hashes.len()).unwrap_or(i64::MAX),
            Registers::Sparse(list) => {
                list.iter().for_each(|(_, rank)| count(*rank, 1));
                count(0, (REGISTERS - list.len()) as u32);
            }
            Registers::Dense(all) => all.iter().for_each(|rank| count(*rank, 1)),
        }
        let registers = REGISTERS as f64;
        let [empty, ranks @ .., full] = counts;
        let mut z = registers * tau(1.0 - f64::from(full) / registers);
        for rank in ranks.iter().rev() {
            z = 0.5 * (z + f64::from(*rank));
        }
        z += registers * sigma(f64::from(empty) / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * z)).round() as i64
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.registers {
            Registers::Hashes(hashes) => {
                out.push(HASHES);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
            }
            Registers::Sparse(list) => {
                out.push(SPARSE);
                for (at, rank) in list {
                    out.extend_from_slice(&at.to_be_bytes());
                    out.push(*rank);
                }
            }
            Registers::Dense(all) => {
                out.push(DENSE);
                out.extend_from_slice(all);
            }
        }
    }

    /// Reads what [`Distinct::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Distinct> {
        let mut reader = Reader::new(bytes);
        let registers = match reader.byte()? {
            HASHES => {
                let (words, rest) = reader.rest().as_chunks::<HASH_BYTES>();
                let hashes: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
                let rising = hashes.is_sorted_by(|a, b| a < b);
                (rising && rest.is_empty() && hashes.len() <= EXACT).then_some(Registers::Hashes(hashes))?
            }
            SPARSE => {
                let entries = reader.rest().chunks_exact(3).map(|entry| match entry {
                    [high, low, rank] => Some((u16::from_be_bytes([*high, *low]), *rank)),
                    _ => None,
                });
                let list = entries.collect::<Option<Vec<_>>>()?;
                let rising = list.is_sorted_by(|a, b| a.0 < b.0);
                let small = list.iter().all(|(at, rank)| usize::from(*at) < REGISTERS && *rank <= LARGEST);
                (rising && small && list.len() * 3 == reader.rest().len())
                    .then_some(Registers::Sparse(list))?
            }
            DENSE => {
                let all = reader.rest();
                let whole = all.len() == REGISTERS && all.iter().all(|rank| *rank <= LARGEST);
                whole.then(|| Registers::Dense(all.to_vec()))?
            }
            _ => return None,
        };
        Some(Distinct { registers })
    }

    fn raise(&mut self, register: u16, rank: u8) {
        match &mut self.registers {
            Registers::Hashes(_) => {}
            Registers::Dense(all) => {
                if let Some(found) = all.get_mut(usize::from(register)) {
                    *found = rank.max(*found);
                }
            }
            Registers::Sparse(list) => {
                match list.binary_search_by_key(&register, |(at, _)| *at) {
                    Ok(at) => {
                        if let Some((_, found)) = list.get_mut(at) {
                            *found = rank.max(*found);
                        }
                    }
                    Err(at) => list.insert(at, (register, rank)),
                }
                if list.len() > LISTED {
                    let mut all = vec![0; REGISTERS];
                    for (at, rank) in list.drain(..) {
                        if let Some(found) = all.get_mut(usize::from(at)) {
                            *found = rank;
                        }
                    }
                    self.registers = Registers::Dense(all);
                }
            }
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    if x >= 1.0 {
        return f64::INFINITY;
    }
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(values: impl Iterator<Item = u64>) -> Distinct {
        let mut sketch = Distinct::default();
        values.for_each(|value| sketch.add(hash(&value.to_be_bytes())));
        sketch
    }

    #[test]
    fn small_sets_are_counted_exactly() {
        for count in (0..=EXACT as u64).chain([EXACT as u64]) {
            let twice = sketch((0..count).chain(0..count));
            assert_eq!(twice.estimate(), count as i64);
        }
        assert!(sketch(0..=EXACT as u64).estimate() != 0);
    }

    /// The bound that the documents name: a standard error of 1.04 / 64 = 1.6 %, and 5 % in (nearly) every case.
    #[test]
    fn large_sets_are_counted_within_the_documented_bound() {
        let (mut squares, mut sets) = (0.0, 0.0);
        for count in [513_u64, 600, 1_000, 3_000, 10_000, 30_000, 100_000] {
            for set in 0..40_u64 {
                let values = (0..count).map(|value| value * 1_000 + set);
                let off = sketch(values).estimate() as f64 / count as f64 - 1.0;
                assert!(off.abs() <= 0.07, "{count} values of set {set}: off by {off:.4}");
                squares += off * off;
                sets += 1.0;
            }
        }
        let standard_error = f64::sqrt(squares / sets);
        assert!((0.008..0.018).contains(&standard_error), "{standard_error}");
    }

    #[test]
    fn a_sketch_of_an_earlier_release_is_read_and_goes_on() {
        // What release 7ea10d2 wrote of the values 0, 1 and 2: registers from the first one on.
        let mut old = Distinct { registers: Registers::Sparse(Vec::new()) };
        (0..3_u64).for_each(|value| old.observe(hash(&value.to_be_bytes())));
        let mut bytes = Vec::new();
        old.encode(&mut bytes);
        assert_eq!((bytes[0], bytes.len()), (SPARSE, 10));
        let mut read = Distinct::decode(&bytes).unwrap();
        assert_eq!(read, old);
        (0..600_u64).for_each(|value| read.add(hash(&value.to_be_bytes())));
        read.merge(&sketch(0..600));
        assert!((570..630).contains(&read.estimate()), "{}", read.estimate());
        let mut merged = sketch(0..600);
        merged.merge(&old);
        assert_eq!(merged, read, "it does not matter which came first");
    }

    #[test]
    fn no_sketch_is_larger_than_said() {
        for count in [512, 513, 1_100, 100_000] {
            let mut bytes = Vec::new();
            sketch(0..count).encode(&mut bytes);
            assert!(bytes.len() <= MAX_BYTES, "{count}: {}", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn the_bytes_depend_on_the_set_alone(values in prop::collection::vec(0u64..5_000, 0..1_500), cut in any::<prop::sample::Index>()) {
            let whole = sketch(values.iter().copied());
            let (left, right) = values.split_at(cut.index(values.len() + 1));
            let mut merged = sketch(right.iter().copied());
            merged.merge(&sketch(left.iter().rev().copied()));
            let (mut a, mut b) = (Vec::new(), Vec::new());
            whole.encode(&mut a);
            merged.encode(&mut b);
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(Distinct::decode(&a), Some(whole));
        }
    }
}
