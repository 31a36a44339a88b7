//! What a generation was built from, against what is there now.

use tidefold_control::Manifest;
use tidefold_control::entry::FOLD_SEMANTICS;
use tidefold_log::Topic;

/// The partitioner of every topic.
pub const PARTITIONER: &str = "murmur2";

/// The manifest of a generation that is built now, from the definition of a name.
#[must_use]
pub fn manifest(definition: &str, topic: &Topic, window: u64, verdicts_of: Option<u32>) -> Manifest {
    Manifest {
        definition: definition.to_owned(),
        cluster: topic.cluster.clone(),
        incarnation: topic.incarnation.clone(),
        partitions: topic.partitions,
        partitioner: PARTITIONER.to_owned(),
        semantics: FOLD_SEMANTICS,
        window,
        verdicts_of,
    }
}

/// What keeps a generation from being folded on: each line has both values and what to do. Empty when nothing does. Its
/// definition never does: a generation is folded by its own, whatever else is defined.
#[must_use]
pub fn mismatches(built: &Manifest, there: &Manifest) -> Vec<String> {
    let other_log = "put back the log it was folded from, or build the tables anew with `tidefold replay`";
    let rebuild = "start with the release it was built with, or build the tables anew with `tidefold replay`";
    let lines = [
        (
            "the log's identity",
            &built.cluster,
            &there.cluster,
            "connect to that log, or start with a new store",
        ),
        ("the topic's incarnation", &built.incarnation, &there.incarnation, other_log),
        ("the number of partitions", &built.partitions.to_string(), &there.partitions.to_string(), other_log),
        ("the partitioner", &built.partitioner, &there.partitioner, other_log),
        (
            "the number of the fold's semantics",
            &built.semantics.to_string(),
            &there.semantics.to_string(),
            rebuild,
        ),
        (
            "the dedupe window",
            &built.window.to_string(),
            &there.window.to_string(),
            "set it back, or build the tables anew with `tidefold replay`",
        ),
    ];
    let differs = lines.into_iter().filter(|(_, built, there, _)| built != there);
    differs
        .map(|(what, built, there, todo)| {
            format!("{what} was {built} when the tables were built and is {there}: {todo}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> Manifest {
        Manifest {
            definition: "d1".into(),
            cluster: "c1".into(),
            incarnation: "i1".into(),
            partitions: 12,
            partitioner: PARTITIONER.into(),
            semantics: 1,
            window: 100,
            verdicts_of: None,
        }
    }

    #[test]
    fn the_same_manifest_has_no_mismatch_whoever_gave_the_verdicts() {
        assert_eq!(mismatches(&built(), &Manifest { verdicts_of: Some(3), ..built() }), Vec::<String>::new());
    }

    #[test]
    fn every_mismatch_is_told_with_both_values_and_what_to_do() {
        let there = Manifest { incarnation: "i2".into(), partitions: 24, window: 7, ..built() };
        let lines = mismatches(&built(), &there);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("i1") && lines[0].contains("i2") && lines[0].contains("tidefold replay"));
        assert!(lines[1].contains("12") && lines[1].contains("24"));
        assert!(lines[2].contains("was 100") && lines[2].contains("is 7"));
    }
}
