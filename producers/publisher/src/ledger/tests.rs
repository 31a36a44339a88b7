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

/// A run that settled its first lines, and was cut while others were on their way.
fn cut_on_the_way(place: &Place, settled: u64, through: u64) {
    let mut ledger = Ledger::begin(&place.path, subject(), false).unwrap();
    let lines: Vec<_> = (1..=through).map(line).collect();
    ledger.begin_sending(&lines).unwrap();
    ledger.settle(&lines[..settled as usize], settled, vec![]).unwrap();
}

#[test]
fn a_line_that_was_on_its_way_is_sent_again_as_it_was_or_not_at_all() {
    let place = place();
    cut_on_the_way(&place, 2, 5);
    let resumed = |source: Vec<Line>| {
        let mut ledger = Ledger::resume(&place.path, &subject()).unwrap();
        ledger.rest(source.into_iter().map(Ok)).map(numbers)
    };
    let as_it_was: Vec<_> = (1..=7).map(line).collect();
    assert_eq!(resumed(as_it_was.clone()).unwrap(), [3, 4, 5, 6, 7]);
    // Of the same length, beyond what was answered.
    let mut edited = as_it_was.clone();
    edited[3].text = edited[3].text.replace('4', "9");
    let told = resumed(edited).unwrap_err();
    assert!(
        matches!(told, LedgerError::Changed { line: 4, is_gone: false, was_accepted: false, .. }),
        "{told}"
    );
    let told = resumed(as_it_was[..4].to_vec()).unwrap_err();
    assert!(
        matches!(told, LedgerError::Changed { line: 5, is_gone: true, was_accepted: false, .. }),
        "{told}"
    );
    // What was never sent may be anything.
    let mut edited = as_it_was;
    edited[5].text = "{}".to_owned();
    assert_eq!(resumed(edited).unwrap(), [3, 4, 5, 6, 7]);
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
    ledger.begin_sending(&[line(1)]).unwrap();
    assert!(place.path.exists());
    ledger.finish().unwrap();
    assert!(!place.path.exists());
    assert!(matches!(Ledger::resume(&place.path, &subject()), Err(LedgerError::Missing(_))));
    drop(Ledger::begin(&place.path, subject(), false).unwrap());
    assert!(!place.path.exists());
    let mut unanswered = Ledger::begin(&place.path, subject(), false).unwrap();
    unanswered.begin_sending(&[line(1)]).unwrap();
    assert!(!unanswered.stop().unwrap());
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
        assert!(matches!(ledger.rest(lines).err(), Some(LedgerError::Changed { .. })));
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
    for text in ["{\"n\":1}\n", "notes", "{\"tidefold_publish\":2,}\n"] {
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
        ledger.begin_sending(&[line(1)]).unwrap();
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

/// What was accepted of which line, under the run's id: what a real server would count.
type Counted = std::collections::BTreeMap<u64, String>;

/// A file's lines: one with an `x` is refused, an empty one is none.
fn file(texts: &[String]) -> Vec<Result<Line, SourceError>> {
    let numbered = texts.iter().zip(1..).filter(|(text, _)| !text.is_empty());
    numbered.map(|(text, number)| Ok(Line { number, text: text.clone(), is_runs: true })).collect()
}

/// Sends what is left, `batch` lines at a time; stops behind `batches`. False where the file is refused.
fn send(mut ledger: Ledger, texts: &[String], counted: &mut Counted, batch: usize, batches: usize) -> bool {
    let Ok(rest) = ledger.rest(file(texts).into_iter()) else { return false };
    let lines: Vec<_> = rest.map(Result::unwrap).collect();
    for (at, lines) in lines.chunks(batch).enumerate() {
        if at == batches {
            return true;
        }
        ledger.begin_sending(lines).unwrap();
        let refused: Vec<_> =
            lines.iter().filter(|line| line.text.contains('x')).map(|line| line.number).collect();
        for line in lines.iter().filter(|line| !refused.contains(&line.number)) {
            assert_eq!(counted.insert(line.number, line.text.clone()), None, "line {} twice", line.number);
        }
        ledger.settle(lines, lines.last().unwrap().number, refused).unwrap();
    }
    ledger.finish().unwrap();
    true
}

/// An edit of a file, at a place in it.
fn edited(texts: &mut Vec<String>, (kind, place, text): &(u8, prop::sample::Index, String)) {
    let at = place.index(texts.len() + 1).min(texts.len().saturating_sub(1));
    match kind {
        0 if !texts.is_empty() => drop(texts.remove(at)),
        1 => texts.insert(at, text.clone()),
        2 => texts.push(text.clone()),
        3 if !texts.is_empty() => texts[at].clone_from(text),
        // What the documentation says is to be done.
        _ => texts.iter_mut().filter(|text| text.contains('x')).for_each(|line| *line = format!("{text}m")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However a file is edited behind a run with refusals, cut while it is mended or not: either every line of it counts
    /// exactly once and as it stands, or it is refused and nothing is sent.
    #[test]
    fn an_edited_file_counts_exactly_or_is_refused(
        first in prop::collection::vec("[ab]?x?", 0..8),
        rounds in prop::collection::vec(
            (prop::collection::vec((0..6u8, any::<prop::sample::Index>(), "[ab]?x?"), 0..3), 1..4usize, 0..5usize), 1..4),
    ) {
        let place = place();
        let about = |texts: &[String]| Subject {
            input: Some(Pin { bytes: texts.len() as u64, head: texts.join("\n") }), ..subject()
        };
        let (mut texts, mut counted) = (first, Counted::new());
        prop_assert!(send(Ledger::begin(&place.path, about(&texts), false).unwrap(), &texts, &mut counted, 3, 99));
        for (edits, batch, batches) in rounds {
            if !place.path.exists() {
                break; // Nothing was refused or nothing accepted: the next command is a run of its own.
            }
            edits.iter().for_each(|edit| edited(&mut texts, edit));
            let stands: Counted = file(&texts).into_iter().map(|line| line.unwrap())
                .filter(|line| !line.text.contains('x')).map(|line| (line.number, line.text)).collect();
            let is_as_it_was = counted.iter().all(|(number, text)| stands.get(number) == Some(text));
            let before = counted.clone();
            let Ok(ledger) = Ledger::resume(&place.path, &about(&texts)) else {
                continue; // It was cut while it was mended, and the file changed since.
            };
            let taken = send(ledger, &texts, &mut counted, batch, batches);
            prop_assert_eq!(taken, is_as_it_was);
            if !taken {
                prop_assert_eq!(&counted, &before);
            } else if batches >= 99 || !place.path.exists() {
                prop_assert_eq!(&counted, &stands);
            }
            prop_assert!(counted.iter().all(|(number, text)| !taken || stands.get(number) == Some(text)));
        }
        if let Ok(ledger) = Ledger::resume(&place.path, &about(&texts)) {
            let stands: Counted = file(&texts).into_iter().map(|line| line.unwrap())
                .filter(|line| !line.text.contains('x')).map(|line| (line.number, line.text)).collect();
            if send(ledger, &texts, &mut counted, 2, 99) {
                prop_assert_eq!(&counted, &stands);
            }
        }
    }
}

#[test]
fn the_first_accepted_line_that_differs_is_named_and_a_ledger_without_fingerprints_is_refused() {
    let texts = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (edited, line, gone) in
        [("a b", 3, true), ("a x x b", 3, false), ("a m c", 3, false), ("q m b", 1, false)]
    {
        let place = place();
        let ledger = Ledger::begin(&place.path, subject(), false).unwrap();
        assert!(send(ledger, &texts("a x b"), &mut Counted::new(), 9, 9));
        let error = Ledger::resume(&place.path, &subject()).unwrap();
        let error = { error }.rest(file(&texts(edited)).into_iter()).err();
        assert!(
            matches!(&error, Some(LedgerError::Changed { line: at, is_gone, .. }) if (*at, *is_gone) == (line, gone)),
            "{edited}: {error:?}"
        );
    }
    let place = place();
    std::fs::write(
        &place.path,
        "{\"tidefold_publish\":1,\"run\":\"r\",\"app\":\"shop\",\"reads\":\"ndjson\",\"input\":null}\n",
    )
    .unwrap();
    assert!(matches!(Ledger::resume(&place.path, &subject()), Err(LedgerError::Older(_))));
    assert!(matches!(Ledger::begin(&place.path, subject(), false), Err(LedgerError::Older(_))));
    assert!(Ledger::begin(&place.path, subject(), true).is_ok());
}

#[test]
fn a_run_of_which_nothing_was_accepted_leaves_no_ledger() {
    let place = place();
    let texts = ["x".to_owned(), "x".to_owned()];
    let ledger = Ledger::begin(&place.path, subject(), false).unwrap();
    assert!(send(ledger, &texts, &mut Counted::new(), 9, 9));
    assert!(!place.path.exists());
    // Where it is not known whether lines were taken, it stays.
    let mut ledger = Ledger::begin(&place.path, subject(), false).unwrap();
    ledger.begin_sending(&[line(1)]).unwrap();
    ledger.doubt();
    assert!(ledger.stop().unwrap() && place.path.exists());
}
