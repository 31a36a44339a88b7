//! What the fold promises, whatever the log: batches, crashes and caches leave no trace in the rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use proptest::prelude::*;
use support::machine::{run, run_two};
use support::{Lab, Message, VIEWS, history, message};
use tidefold_fold::{FoldSettings, TableSlot};
use tidefold_record::partition_of;
use tidefold_table::Verdict;
use tidefold_table::entity::StateRef;

const SETTINGS: FoldSettings = FoldSettings { window: 12 };

fn cuts() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(1..9u64, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_split_into_batches_gives_the_same_rows(log in history(0..40), cuts in cuts(), budget in 0..6_000usize) {
        let lab = Lab::new(VIEWS);
        let one = run(&lab, &log, SETTINGS, usize::MAX, &[1_000], &[]);
        let many = run(&lab, &log, SETTINGS, budget, &cuts, &[]);
        prop_assert_eq!(one.live(), many.live());
        let whole = lab.whole(&log, 0, SETTINGS);
        let mut count = 0;
        for table in lab.tables() {
            for (key, value) in whole.rows(table) {
                prop_assert_eq!(one.get(table, &key), Some(value));
                count += 1;
            }
        }
        prop_assert_eq!(one.live().len(), count);
    }

    #[test]
    fn a_crash_after_any_write_leaves_no_trace(
        log in history(1..30),
        cuts in cuts(),
        crashes in prop::collection::vec((1..12u64, 0..40usize), 1..8),
    ) {
        let lab = Lab::new(VIEWS);
        let calm = run(&lab, &log, SETTINGS, usize::MAX, &[1_000], &[]);
        let wild = run(&lab, &log, SETTINGS, 4_000, &cuts, &crashes);
        prop_assert_eq!(calm.live(), wild.live());
    }

    #[test]
    fn two_owners_at_once_leave_no_trace(
        log in history(1..30),
        turns in prop::collection::vec((any::<bool>(), 1..6u64, prop::option::weighted(0.2, 0..30usize)), 1..20),
    ) {
        let lab = Lab::new(VIEWS);
        let calm = run(&lab, &log, SETTINGS, usize::MAX, &[1_000], &[]);
        let wild = run_two(&lab, &log, SETTINGS, &turns);
        prop_assert_eq!(calm.live(), wild.live());
    }

    #[test]
    fn adding_a_view_leaves_entities_and_verdicts_as_they_are(log in history(0..40)) {
        let (plain, rich) = (Lab::new(""), Lab::new(VIEWS));
        let (plain, rich) = (plain.whole(&log, 0, SETTINGS), rich.whole(&log, 0, SETTINGS));
        for table in [TableSlot::Entity, TableSlot::Verdicts] {
            prop_assert_eq!(plain.rows(table), rich.rows(table));
        }
    }

    #[test]
    fn what_is_removed_leaves_nothing_but_offsets(log in history(0..40)) {
        let lab = Lab::new(VIEWS);
        let mut log = log;
        for thing in ["p", "q", "r", "s", "t", "u"] {
            log.push(message("Remove", thing, ""));
        }
        let whole = lab.whole(&log, 0, SETTINGS);
        for (_, blob) in whole.rows(TableSlot::Entity) {
            let state = StateRef::parse(&blob).unwrap();
            prop_assert!(state.deleted && state.columns.is_empty());
        }
        for index in [0, 1] {
            prop_assert_eq!(whole.rows(TableSlot::View(index)), vec![]);
        }
        for rollup in [2, 3] {
            for (_, row) in whole.rows(TableSlot::View(rollup)) {
                prop_assert!(row[8..].iter().all(|byte| *byte == 0), "{row:?}");
            }
        }
    }

    #[test]
    fn what_becomes_of_a_message_does_not_depend_on_the_number_of_partitions(log in history(0..60)) {
        let settings = FoldSettings { window: 1_000 };
        let one = outcomes(&Lab::with_partitions(VIEWS, 1), &log, settings);
        for partitions in [2, 5, 12] {
            prop_assert_eq!(&outcomes(&Lab::with_partitions(VIEWS, partitions), &log, settings), &one);
        }
    }
}

/// What became of each message; a duplicate says of which.
fn outcomes(lab: &Lab, log: &[Message], settings: FoldSettings) -> Vec<String> {
    let partitions = lab.app.projections[0].topic.partitions;
    let mut outcomes = vec!["applied".to_owned(); log.len()];
    for partition in 0..partitions {
        let here: Vec<_> = (0..log.len())
            .filter(|at| partition_of(log[*at].key.as_bytes(), partitions).0 == partition)
            .collect();
        let messages: Vec<_> = here.iter().map(|at| log[*at].clone()).collect();
        let whole = lab.whole(&messages, partition, settings);
        for (key, row) in whole.rows(TableSlot::Verdicts) {
            let at = u64::from_be_bytes(key[4..].try_into().unwrap()) as usize;
            outcomes[here[at]] = match Verdict::decode(&row).unwrap() {
                Verdict::Duplicate(of) => format!("duplicate of message {}", here[of.0 as usize]),
                other => format!("{other:?}"),
            };
        }
    }
    outcomes
}
