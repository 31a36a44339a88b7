//! What becomes of single records: verdict by verdict, and what is written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use support::{Lab, Message, VIEWS, message};
use tidefold_codec::Datum;
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{
    Changes, Effect, FoldError, FoldSettings, Folder, Given, RowCache, TableSlot, checkpoint_after,
};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, RecordBatch};
use tidefold_table::entity::{RING_IDS, StateRef};
use tidefold_table::verdict::{DeadReason, Key, REJECTION_CODES};
use tidefold_table::{Checkpoint, Verdict};

const SETTINGS: FoldSettings = FoldSettings { window: 100 };

fn make(thing: &str) -> Message {
    message("Make", thing, r#","kind":"a","amount":10,"tags":[],"at":"2026-01-01T00:00:00Z""#)
}

fn add(thing: &str, by: i64) -> Message {
    message("Add", thing, &format!(r#","by":{by}"#))
}

fn with_id(id: &str, message: Message) -> Message {
    Message { id: Some(id.into()), ..message }
}

fn verdicts(whole: &WholeFold) -> BTreeMap<u64, Verdict> {
    let rows = whole.rows(TableSlot::Verdicts).into_iter();
    rows.map(|(key, row)| (u64::from_be_bytes(key[4..].try_into().unwrap()), Verdict::decode(&row).unwrap()))
        .collect()
}

fn fold(lab: &Lab, log: &[Message]) -> WholeFold {
    lab.whole(log, 0, SETTINGS)
}

fn rejected(codes: &[&str]) -> Verdict {
    Verdict::Rejected(codes.iter().map(|code| (*code).to_owned()).collect())
}

fn dead_code(verdict: Option<&Verdict>) -> &str {
    match verdict {
        Some(Verdict::Dead(reason)) => &reason.code,
        other => panic!("{other:?} is not dead"),
    }
}

fn version(whole: &WholeFold, thing: &str) -> u64 {
    StateRef::parse(&whole.row(TableSlot::Entity, thing.as_bytes()).unwrap()).unwrap().version
}

fn column(lab: &Lab, whole: &WholeFold, thing: &str, name: &str) -> String {
    let entity = lab.app.projections[0].entity.as_ref().unwrap();
    let blob = whole.row(TableSlot::Entity, thing.as_bytes()).unwrap();
    let mut slots = vec![Datum::Null; entity.columns.len()];
    StateRef::parse(&blob).unwrap().slots(&entity.columns, &mut slots).unwrap();
    let at = entity.columns.iter().position(|column| column.name == name).unwrap();
    format!("{:?}", slots[at])
}

/// A batch of one record as it is given.
fn raw(key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) -> RecordBatch {
    let mut batch = BatchBuilder::new();
    batch.push(key, value, headers);
    batch.build(Partition(0), Offset(0))
}

fn raw_code(lab: &Lab, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let mut whole = WholeFold::new(Arc::clone(&lab.app.projections[0]), Partition(0), SETTINGS);
    whole.fold(&raw(key, value, Headers::default()), None, |id| lab.fate(id)).unwrap();
    assert_eq!(whole.rows(TableSlot::Entity), vec![]);
    dead_code(verdicts(&whole).get(&0)).to_owned()
}

#[test]
fn what_is_no_message_of_the_topic_is_dead() {
    let lab = Lab::new("");
    let (value, _) = lab.encode(&make("p"));
    let unknown = [0, 0, 0, 0, 99, 1];
    let mut cut = value.clone();
    cut.pop();
    for (key, value, code) in [
        (None, Some(&value[..]), "no_key"),
        (Some(&b""[..]), Some(&value[..]), "no_key"),
        (Some(&[b'k'; 1_025][..]), Some(&value[..]), "key_too_long"),
        (Some(b"p"), None, "no_value"),
        (Some(b"p"), Some(b"{\"id\"".as_slice()), "bad_frame"),
        (Some(b"p"), Some(b"".as_slice()), "bad_frame"),
        (Some(b"p"), Some(&unknown[..]), "unknown_schema"),
        (Some(b"p"), Some(&cut[..]), "undecodable"),
        (Some(b"q"), Some(&value[..]), "key_mismatch"),
        (Some(b"\xff"), Some(&value[..]), "key_mismatch"),
    ] {
        assert_eq!(raw_code(&lab, key, value), code);
    }
}

#[test]
fn a_record_in_another_partition_than_its_key_hashes_to_is_dead() {
    let lab = Lab::with_partitions("", 12);
    let (value, key) = lab.encode(&make("p"));
    let mut codes = Vec::new();
    for partition in 0..12 {
        let mut whole = WholeFold::new(Arc::clone(&lab.app.projections[0]), Partition(partition), SETTINGS);
        let batch = raw(Some(&key), Some(&value), Headers::default());
        whole.fold(&batch, None, |id| lab.fate(id)).unwrap();
        codes.extend(verdicts(&whole).get(&0).map(|verdict| dead_code(Some(verdict)).to_owned()));
    }
    assert_eq!(codes, vec!["wrong_partition"; 11]);
}

#[test]
fn headers_that_do_not_fit_make_a_record_dead() {
    let lab = Lab::new("");
    let code = |headers: &HeadersBuilder, message: &Message| {
        let (value, key) = lab.encode(message);
        let mut whole = WholeFold::new(Arc::clone(&lab.app.projections[0]), Partition(0), SETTINGS);
        let batch = raw(Some(&key), Some(&value), headers.as_headers());
        whole.fold(&batch, None, |id| lab.fate(id)).unwrap();
        verdicts(&whole).get(&0).map(|verdict| dead_code(Some(verdict)).to_owned())
    };
    for (name, value, expected) in [
        (Known::CeType, &b"Put"[..], Some("type_mismatch")),
        (Known::CeType, b"Make", None),
        (Known::CeTime, b"yesterday", Some("bad_header")),
        (Known::AppendTime, b"2026-13-01T00:00:00Z", Some("bad_header")),
        (Known::Caller, b"\xff", Some("bad_header")),
        (Known::IfMatch, b"+1", Some("bad_header")),
        (Known::IfMatch, b"", Some("bad_header")),
        (Known::IfMatch, b"99999999999999999999", Some("bad_header")),
        (Known::IfMatch, b"0", None),
    ] {
        let mut headers = HeadersBuilder::new();
        headers.push(name, value);
        assert_eq!(code(&headers, &make("p")).as_deref(), expected, "{name:?} {value:?}");
    }
    let mut headers = HeadersBuilder::new();
    headers.push(Known::IfMatch, b"0");
    assert_eq!(code(&headers, &message("Note", "p", "")).as_deref(), Some("bad_header"));
}

#[test]
fn commands_are_refused_and_events_are_dead() {
    let lab = Lab::new(VIEWS);
    let log = [
        add("p", 1),
        message("Note", "p", ""),
        make("p"),
        make("p"),
        add("p", -11),
        add("p", 81),
        add("p", 80),
    ];
    let whole = fold(&lab, &log);
    let found = verdicts(&whole);
    assert_eq!(found[&0], rejected(&["not_found"]));
    assert_eq!(dead_code(found.get(&1)), "not_found");
    assert_eq!(found[&3], rejected(&["already_exists"]));
    assert_eq!(found[&4], rejected(&["too_small"]));
    assert_eq!(found[&5], rejected(&["too_large"]));
    assert_eq!(found.len(), 5);
    assert_eq!(version(&whole, "p"), 2);
    assert_eq!(column(&lab, &whole, "p", "amount"), "Long(90)");
}

#[test]
fn what_fails_in_the_action_is_dead_unless_a_guard_refuses_first() {
    let lab = Lab::new("");
    let share = |parts: i64, kind: &str| message("Share", "p", &format!(r#","parts":{parts},"kind":{kind}"#));
    let log = [make("p"), share(0, "\"a\""), share(2, "null"), share(2, "\"b\""), add("p", i64::MAX)];
    let whole = fold(&lab, &log);
    let found = verdicts(&whole);
    assert_eq!(found[&1], rejected(&["no_parts"]), "the let that divides by zero is only used by set");
    let Verdict::Dead(DeadReason { code, detail }) = &found[&2] else { panic!("{:?}", found[&2]) };
    assert_eq!((code.as_str(), detail.contains("kind")), ("null_column", true));
    assert_eq!(dead_code(found.get(&4)), "evaluation_failed");
    assert_eq!(column(&lab, &whole, "p", "amount"), "Long(5)");
    assert_eq!(found.len(), 3);
}

#[test]
fn a_state_over_the_limit_is_refused() {
    let lab = Lab::new("");
    let kind = "k".repeat(700);
    let long = message(
        "Put",
        "p",
        &format!(
            r#","kind":"{kind}","amount":1,"tags":[],"at":"2026-01-01T00:00:00Z","region":null,"price":null,"score":null,"flag":null"#
        ),
    );
    let whole = fold(&lab, &[long]);
    assert_eq!(verdicts(&whole)[&0], rejected(&["state_too_large"]));
    assert_eq!(whole.rows(TableSlot::Entity), vec![]);
}

#[test]
fn a_condition_is_asked_against_the_version() {
    let lab = Lab::new("");
    let on = |version: &str, message: Message| Message { if_match: Some(version.into()), ..message };
    let log = [
        on("1", make("p")),
        on("0", make("p")),
        on("1", add("p", 1)),
        on("1", add("p", 1)),
        on("2", message("Remove", "p", "")),
        on("0", make("p")),
        on("3", make("p")),
    ];
    let whole = fold(&lab, &log);
    let mismatched: Vec<_> = verdicts(&whole).into_iter().collect();
    assert_eq!(mismatched, [0, 3, 5].map(|at| (at, rejected(&["version_mismatch"]))));
    assert_eq!(version(&whole, "p"), 4, "versions go on over a delete");
    for (_, verdict) in mismatched {
        let Verdict::Rejected(codes) = verdict else { panic!() };
        assert!(codes.iter().all(|code| REJECTION_CODES.contains(&code.as_str())));
    }
}

#[test]
fn a_message_sent_again_is_a_duplicate_and_another_one_with_its_id_a_conflict() {
    let lab = Lab::new(VIEWS);
    let log = [
        with_id("m", make("p")),
        with_id("m", make("p")),
        with_id("m", add("p", 3)),
        with_id("m", make("p")),
        with_id("r", add("p", 1_000)),
        with_id("r", add("p", 1_000)),
        with_id("d", message("Note", "zz", "")),
        with_id("d", message("Note", "p", "")),
    ];
    let whole = fold(&lab, &log);
    let found = verdicts(&whole);
    assert_eq!(found[&1], Verdict::Duplicate(Offset(0)));
    assert_eq!(found[&2], rejected(&["idempotency_conflict"]));
    assert_eq!(found[&3], Verdict::Duplicate(Offset(0)), "a conflict does not take the id over");
    assert_eq!(found[&5], Verdict::Duplicate(Offset(4)), "a rejected message counts");
    assert_eq!(dead_code(found.get(&6)), "not_found");
    assert_eq!(found.get(&7), None, "a dead letter does not count");
    assert_eq!(whole.rows(TableSlot::View(2)).len(), 1);
}

#[test]
fn one_id_for_two_keys_names_two_messages() {
    let lab = Lab::new("");
    let log = [
        with_id("m", make("p")),
        with_id("m", make("q")),
        with_id("m", make("q")),
        with_id("m", make("p")),
        with_id("m", add("q", 1)),
    ];
    let whole = fold(&lab, &log);
    let found = verdicts(&whole);
    assert_eq!(found.get(&1), None, "it counts beside the one of the other key");
    assert_eq!(found[&2], Verdict::Duplicate(Offset(1)));
    assert_eq!(found[&3], Verdict::Duplicate(Offset(0)));
    assert_eq!(found[&4], rejected(&["idempotency_conflict"]));
}

#[test]
fn the_entity_remembers_its_last_eight_messages_past_the_window() {
    let lab = Lab::new("");
    let settings = FoldSettings { window: 2 };
    let mut log = vec![with_id("first", make("p"))];
    log.extend((1..RING_IDS).map(|i| with_id(&format!("m-{i}"), add("p", i as i64))));
    log.push(with_id("first", make("p")));
    log.push(with_id("last", add("p", 1)));
    log.extend((0..3).map(|i| make(&format!("other-{i}"))));
    log.push(with_id("first", make("p")));
    log.push(with_id("m-1", add("p", 1)));
    let found = verdicts(&lab.whole(&log, 0, settings));
    assert_eq!(found[&(RING_IDS as u64)], Verdict::Duplicate(Offset(0)), "the eighth from the end");
    assert_eq!(found[&(RING_IDS as u64 + 5)], rejected(&["already_exists"]), "the ninth is forgotten");
    assert_eq!(found[&(RING_IDS as u64 + 6)], Verdict::Duplicate(Offset(1)));
}

#[test]
fn a_message_that_was_refused_for_a_taken_id_does_not_take_the_id_itself() {
    let lab = Lab::new("");
    let settings = FoldSettings { window: 2 };
    let mut log = vec![with_id("x", make("p"))];
    log.extend((0..3).map(|i| make(&format!("other-{i}"))));
    // By now the entity alone remembers who has the id.
    log.extend([with_id("x", add("p", 1)), with_id("x", add("p", 1)), with_id("x", make("p"))]);
    let found = verdicts(&lab.whole(&log, 0, settings));
    assert_eq!(found[&4], rejected(&["idempotency_conflict"]));
    assert_eq!(found[&5], rejected(&["idempotency_conflict"]), "no duplicate of what was refused");
    assert_eq!(found[&6], Verdict::Duplicate(Offset(0)), "the first bearer of the id has it still");
}

#[test]
fn a_rejection_is_remembered_by_the_window_alone() {
    let lab = Lab::new("");
    let settings = FoldSettings { window: 2 };
    let mut log = vec![make("p"), with_id("r", add("p", 1_000))];
    log.extend((0..3).map(|i| make(&format!("other-{i}"))));
    log.push(with_id("r", add("p", 1_000)));
    let found = verdicts(&lab.whole(&log, 0, settings));
    assert_eq!(found[&5], rejected(&["too_large"]));
}

#[test]
fn a_message_without_an_id_is_never_a_duplicate() {
    let lab = Lab::new("");
    let whole = fold(&lab, &[make("p"), add("p", 1), add("p", 1)]);
    assert_eq!(column(&lab, &whole, "p", "amount"), "Long(12)");
}

#[test]
fn a_rebuild_takes_published_verdicts_and_asks_no_guards() {
    let lab = Lab::new("");
    let log = [
        make("p"),
        add("p", 1),
        add("p", 500),
        make("p"),
        with_id("x", message("Note", "q", "")),
        add("p", 2),
    ];
    let dead = Verdict::Dead(DeadReason { code: "undecodable".into(), detail: "then".into() });
    let published = BTreeMap::from([
        (Offset(1), rejected(&["closed_that_day"])),
        (Offset(4), dead),
        (Offset(5), Verdict::Duplicate(Offset(1))),
    ]);
    let mut whole = WholeFold::new(Arc::clone(&lab.app.projections[0]), Partition(0), SETTINGS);
    whole.fold(&lab.batch(&log, 0, 0), Some(&published), |id| lab.fate(id)).unwrap();
    let found = verdicts(&whole);
    assert_eq!(found[&1], rejected(&["closed_that_day"]));
    assert_eq!(dead_code(found.get(&4)), "not_found", "a dead letter is judged anew");
    assert_eq!(found[&5], Verdict::Duplicate(Offset(1)));
    assert_eq!(found.len(), 3);
    assert_eq!(version(&whole, "p"), 3, "a guard that would refuse now is not asked");
    assert_eq!(column(&lab, &whole, "p", "amount"), "Long(10)");
}

#[test]
fn a_row_that_is_ahead_is_told_of_once_and_written_back_before_the_checkpoint_passes_it() {
    let lab = Lab::new("");
    let log = [make("p"), add("p", 1), add("p", 2), make("q")];
    let ahead = fold(&lab, &log).row(TableSlot::Entity, b"p").unwrap();
    let mut folder = Folder::new(Arc::clone(&lab.app.projections[0]), Partition(0), SETTINGS);
    let (mut entities, mut changes) = (RowCache::new(usize::MAX, false), Changes::default());
    let own = BTreeMap::new();
    let mut written = Vec::new();
    for (from, until) in [(0, 2), (2, 4)] {
        let batch = lab.batch(&log[from..until], 0, from as u64);
        folder.unknown_schemas(&batch).into_iter().for_each(|id| folder.learn(id, &lab.fate(id)));
        for key in entities.missing(batch.iter().filter_map(|record| record.key)) {
            let row = (&key[..] == b"p").then(|| ahead.clone());
            entities.loaded(key, row);
        }
        let found = folder.fold(&batch, Given::default(), &mut entities, &mut changes);
        assert_eq!(found, Err(FoldError::RowAhead { key: "p".into(), row_offset: Offset(2) }));
        assert_eq!(folder.ahead_until(), Some(Offset(2)));
        let given = Given { published: None, own: Some(&own) };
        folder.fold(&batch, given, &mut entities, &mut changes).unwrap();
        assert_eq!(changes.applied, u64::from(from == 2), "only q is new");
        let next = checkpoint_after(&Checkpoint::START, &batch);
        let effects = folder.effects(&mut changes, &mut entities, &mut [], next);
        let rows = effects.into_iter().flat_map(Effect::into_rows).flat_map(|table| table.rows);
        written.push(rows.map(|row| row.key.to_vec()).collect::<Vec<_>>());
    }
    assert_eq!(written[0], Vec::<Vec<u8>>::new());
    assert_eq!(written[1], [b"q".to_vec(), b"p".to_vec()]);
    assert_eq!(folder.ahead_until(), None);
}

#[test]
fn a_fold_that_stops_changes_nothing() {
    let lab = Lab::new(VIEWS);
    let mut folder = Folder::new(Arc::clone(&lab.app.projections[0]), Partition(0), SETTINGS);
    let (mut entities, mut changes) = (RowCache::new(usize::MAX, false), Changes::default());
    let batch = lab.batch(&[make("p")], 0, 0);
    let found = folder.fold(&batch, Given::default(), &mut entities, &mut changes);
    assert!(matches!(found, Err(FoldError::UnlearnedSchema { .. })), "{found:?}");
    folder.unknown_schemas(&batch).into_iter().for_each(|id| folder.learn(id, &lab.fate(id)));
    let found = folder.fold(&batch, Given::default(), &mut entities, &mut changes);
    assert_eq!(found, Err(FoldError::NotLoaded { table: "things".into() }));
    for key in entities.missing([&b"p"[..]].into_iter()) {
        entities.loaded(key, Some(b"short".as_slice().into()));
    }
    let found = folder.fold(&batch, Given::default(), &mut entities, &mut changes);
    assert!(matches!(found, Err(FoldError::Damaged(_))), "{found:?}");
    assert_eq!((changes.applied, changes.verdicts.len(), changes.rollup_keys(1).count()), (0, 0, 0));
}

#[test]
fn verdict_rows_sort_as_the_log_does() {
    let key = |partition, offset| Key { partition: Partition(partition), offset }.encode();
    assert!(key(1, Offset(255)) < key(1, Offset(256)));
    assert!(key(1, Offset::MAX) < key(2, Offset(0)));
}
