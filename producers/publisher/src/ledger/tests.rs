//! Ledgers of runs that were cut, finished, mended and mixed up.

use proptest::prelude::*;

use super::*;

fn subject() -> Subject {
    Subject { app: "shop".into(), reads: "ndjson".into(), input: None }
}

fn line(number: u64) -> Line {
    Line { number, text: format!("{{\"n\":{number}}}"), is_runs: true }
}

fn numbers(lines: impl Iterator<Item = Result<Line, SourceError>>) -> Vec<u64> {
    lines.map(|line| line.unwrap().number).collect()
}

fn source(count: u64) -> impl Iterator<Item = Result<Line, SourceError>> + Send {
    (1..=count).map(|number| Ok(line(number)))
}

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.ndjson.publish-ledger");
    Place { _folder: folder, path }
}

/// A run that settled its first lines and was cut.
fn cut(place: &Place, lines: u64, refused: Vec<u64>) -> RunId {
    let mut ledger = Ledger::begin(&place.path, subject(), false).unwrap();
    let settled: Vec<_> = (1..=lines).map(line).collect();
    ledger.settle(&settled, lines, refused).unwrap();
    ledger.run().clone()
}

#[test]
fn a_run_that_was_cut_is_gone_on_with_under_its_id_behind_what_it_settled() {
    let place = place();
    let run = cut(&place, 3, vec![2]);
    let mut ledger = Ledger::resume(&place.path, &subject()).unwrap();
    assert_eq!((ledger.run(), ledger.standing().accepted), (&run, 2));
    assert_eq!(numbers(ledger.rest(source(6)).unwrap()), [4, 5, 6]);
}

#[test]
fn a_new_run_does_not_pass_over_one_that_left_something_to_do() {
    let place = place();
    let run = cut(&place, 3, vec![]);
    let error = Ledger::begin(&place.path, subject(), false).unwrap_err();
    assert!(matches!(&error, LedgerError::Unfinished { standing, .. } if standing.done == 3), "{error}");
    let mut again = Ledger::begin(&place.path, subject(), true).unwrap();
    assert_ne!(again.run(), &run);
    assert_eq!(numbers(again.rest(source(4)).unwrap()), [1, 2, 3, 4]);
    drop(again);
    let kept = Ledger::resume(&place.path, &subject()).unwrap();
    assert_eq!(kept.run(), &run, "a run that has sent nothing leaves the earlier one's ledger");
}

#[test]
fn a_finished_run_leaves_no_ledger_and_one_that_sent_nothing_neither() {
    let place = place();
    let mut ledger = Ledger::begin(&place.path, subject(), false).unwrap();
    ledger.begin_sending().unwrap();
    assert!(place.path.exists());
    ledger.finish().unwrap();
    assert!(!place.path.exists());
    assert!(matches!(Ledger::resume(&place.path, &subject()), Err(LedgerError::Missing(_))));
    drop(Ledger::begin(&place.path, subject(), false).unwrap());
    assert!(!place.path.exists());
    let mut unanswered = Ledger::begin(&place.path, subject(), false).unwrap();
    unanswered.begin_sending().unwrap();
    unanswered.discard().unwrap();
    assert!(!place.path.exists());
}

#[test]
fn refused_lines_are_sent_again_alone_until_none_is_left() {
    let place = place();
    cut(&place, 5, vec![2, 4]);
    Ledger::resume(&place.path, &subject()).unwrap().finish().unwrap();
    for (left, still) in [(vec![2, 4], vec![4]), (vec![4], vec![])] {
        let error = Ledger::begin(&place.path, subject(), false).unwrap_err();
        assert!(matches!(&error, LedgerError::Unfinished { standing, .. } if standing.ended), "{error}");
        let mut ledger = Ledger::resume(&place.path, &subject()).unwrap();
        assert_eq!(numbers(ledger.rest(source(5)).unwrap()), left);
        let lines: Vec<_> = left.iter().copied().map(line).collect();
        ledger.settle(&lines, 4, still.clone()).unwrap();
        let refused: Vec<_> = ledger.standing().refused.iter().copied().collect();
        assert_eq!(refused, still);
        ledger.finish().unwrap();
    }
    assert!(!place.path.exists());
}

#[test]
fn what_a_run_is_about_may_not_change_under_it() {
    let place = place();
    cut(&place, 3, vec![]);
    let others = [
        Subject { app: "other".into(), ..subject() },
        Subject { reads: "csv".into(), ..subject() },
        Subject { input: Some(Pin { bytes: 7, head: "h".into() }), ..subject() },
    ];
    for other in others {
        let error = Ledger::resume(&place.path, &other).unwrap_err();
        assert!(matches!(error, LedgerError::Other { .. }), "{error}");
    }
    for changed in [vec![1, 2], vec![1, 2, 4, 5], vec![2, 3, 4]] {
        let mut ledger = Ledger::resume(&place.path, &subject()).unwrap();
        let lines = changed.into_iter().map(|number| Ok(line(number)));
        assert!(matches!(ledger.rest(lines).err(), Some(LedgerError::Changed { done: 3, .. })));
    }
    let mut ledger = Ledger::resume(&place.path, &subject()).unwrap();
    let other = source(4).map(|line| line.map(|line| Line { text: line.text.replace("2", "7"), ..line }));
    assert!(matches!(ledger.rest(other).err(), Some(LedgerError::Changed { .. })));
}

#[test]
fn two_runs_at_once_do_not_share_a_ledger() {
    let place = place();
    let _first = Ledger::begin(&place.path, subject(), false).unwrap();
    for error in [
        Ledger::begin(&place.path, subject(), true).unwrap_err(),
        Ledger::resume(&place.path, &subject()).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Busy(_)), "{error}");
    }
}

#[test]
fn a_file_of_something_else_is_left_as_it_is() {
    let place = place();
    for text in ["{\"n\":1}\n", "notes", "{\"tidefold_publish\":1,}\n"] {
        std::fs::write(&place.path, text).unwrap();
        for again in [false, true] {
            let error = Ledger::begin(&place.path, subject(), again).unwrap_err();
            assert!(matches!(error, LedgerError::Foreign(_)), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&place.path).unwrap(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever of the ledger reached the disk: what it does not say was settled is sent again under the same id, and
    /// nothing else.
    #[test]
    fn a_ledger_that_was_cut_anywhere_tells_a_beginning_of_the_run(
        steps in prop::collection::vec(1..5u64, 1..6),
        kept in any::<prop::sample::Index>(),
    ) {
        let place = place();
        let mut ledger = Ledger::begin(&place.path, subject(), false).unwrap();
        ledger.begin_sending().unwrap();
        let (run, mut at, mut places) = (ledger.run().clone(), 0, vec![0]);
        for step in steps {
            let lines: Vec<_> = (at + 1..=at + step).map(line).collect();
            at += step;
            ledger.settle(&lines, at, vec![]).unwrap();
            places.push(at);
        }
        drop(ledger);
        let whole = std::fs::read(&place.path).unwrap();
        let kept = kept.index(whole.len() + 1);
        std::fs::write(&place.path, &whole[..kept]).unwrap();
        match Ledger::resume(&place.path, &subject()) {
            Ok(mut ledger) => {
                prop_assert_eq!(ledger.run(), &run);
                let rest = numbers(ledger.rest(source(at)).unwrap());
                prop_assert!(places.contains(&(at - rest.len() as u64)), "{:?}", rest);
                prop_assert!(rest.iter().copied().eq(at - rest.len() as u64 + 1..=at));
                let next: Vec<_> = rest.into_iter().map(line).collect();
                ledger.settle(&next, at, vec![]).unwrap();
                prop_assert_eq!(ledger.standing().accepted, at);
                ledger.finish().unwrap();
            }
            Err(error) => {
                let head = whole.iter().position(|byte| *byte == b'\n').unwrap();
                prop_assert!(matches!(error, LedgerError::Missing(_)) && kept <= head, "{}", error);
            }
        }
    }
}
