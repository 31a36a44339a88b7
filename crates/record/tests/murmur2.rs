//! The partition choice against what Kafka's own Java client says (infra/interop/Murmur2Vectors.java).
#![allow(clippy::unwrap_used, reason = "the vectors are ours")]

use tidefold_record::{Partition, partition_of};

const VECTORS: &str = include_str!("vectors/murmur2-java.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let hex = if hex == "-" { "" } else { hex };
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn every_key_lands_where_the_java_client_puts_it() {
    let mut keys = 0;
    let mut not_ascii = 0;
    for line in VECTORS.lines() {
        let [key, of_12, of_64] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let key = bytes(key);
        for (partitions, expected) in [(12, of_12), (64, of_64)] {
            let expected = Partition(expected.parse().unwrap());
            assert_eq!(partition_of(&key, partitions), expected, "{key:?} of {partitions}");
        }
        keys += 1;
        not_ascii += usize::from(!key.is_ascii());
    }
    assert_eq!(keys, 10_000);
    assert!(not_ascii > 3_000);
}
