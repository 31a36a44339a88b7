//! What entries come to: definitions, schema ids, generations and holds.

use super::*;

fn manifest() -> Manifest {
    Manifest {
        definition: "d".into(),
        cluster: "c".into(),
        incarnation: "i".into(),
        partitions: 1,
        partitioner: "murmur2".into(),
        semantics: 1,
        window: 10,
        verdicts_of: None,
    }
}

fn apply(control: &mut Control, expects: u64, entry: Entry) -> Outcome {
    let at = control.next();
    control.apply(at, &Envelope { expects, entry }.to_json().unwrap())
}

fn building(generation: u32) -> Entry {
    Entry::Building { topic: "orders".into(), generation, manifest: manifest() }
}

fn activated(generation: u32) -> Entry {
    Entry::Activated { topic: "orders".into(), generation }
}

#[test]
fn an_entry_that_expected_another_offset_does_not_count() {
    let mut control = Control::default();
    assert_eq!(apply(&mut control, 0, building(1)), Outcome::Taken);
    assert_eq!(apply(&mut control, 0, activated(1)), Outcome::Lost { expected: Offset(0) });
    assert_eq!(control.active("orders"), None);
    assert_eq!(apply(&mut control, 2, activated(1)), Outcome::Taken);
    assert_eq!(control.active("orders"), Some(1));
}

#[test]
fn the_first_entry_about_a_schema_id_decides_it_for_ever() {
    let mut control = Control::default();
    let id = SchemaId(7);
    let registered = |schema: &str| Entry::SchemaRegistered { id, schema: schema.into() };
    assert_eq!(apply(&mut control, 99, registered("first")), Outcome::Taken);
    assert!(matches!(apply(&mut control, 1, registered("second")), Outcome::Refused { .. }));
    assert!(matches!(
        apply(&mut control, 2, Entry::SchemaRefused { id, reason: "late".into() }),
        Outcome::Refused { .. }
    ));
    assert_eq!(control.schema(id), Some(&SchemaRecord::Registered("first".into())));
    assert_eq!(control.id_of("first"), Some(id));
    assert_eq!(control.free_id(), Some(SchemaId(8)));
}

#[test]
fn one_generation_is_active_and_the_one_before_is_kept_until_retired() {
    let mut control = Control::default();
    let retired = |generation| Entry::Retired { topic: "orders".into(), generation };
    for (expects, entry) in [building(1), activated(1), building(2), activated(2)].into_iter().enumerate() {
        assert_eq!(apply(&mut control, expects as u64, entry), Outcome::Taken);
    }
    let known = control.generations("orders").unwrap();
    assert_eq!(known.active, Some(2));
    assert_eq!(known.generations[&1].state, GenerationState::Kept);
    assert!(matches!(apply(&mut control, 4, retired(2)), Outcome::Refused { .. }));
    assert_eq!(apply(&mut control, 5, activated(1)), Outcome::Taken);
    assert_eq!(apply(&mut control, 6, retired(2)), Outcome::Taken);
    assert!(matches!(apply(&mut control, 7, activated(2)), Outcome::Refused { .. }));
    assert_eq!(control.active("orders"), Some(1));
}

#[test]
fn garbage_in_the_control_topic_changes_nothing() {
    let mut control = Control::default();
    assert!(matches!(control.apply(Offset(0), b"{"), Outcome::Refused { .. }));
    assert_eq!(control.next(), Offset(1));
    assert_eq!(apply(&mut control, 1, building(1)), Outcome::Taken);
}

fn holding(generation: u32, renews: Option<u64>) -> Entry {
    Entry::Holding { topic: "orders".into(), generation, renews }
}

fn standing(generation: u32, partition: u32, next: u64) -> Entry {
    let partitions = vec![Stands { partition, next }];
    Entry::Standing { topic: "orders".into(), generation, partitions }
}

fn released(generation: u32) -> Entry {
    Entry::Released { topic: "orders".into(), generation }
}

/// Applies entries that all expect the right offset; tells which were taken.
fn apply_all(control: &mut Control, entries: Vec<Entry>) -> Vec<bool> {
    let apply = |entry| apply(control, control.next().0, entry) == Outcome::Taken;
    entries.into_iter().map(apply).collect()
}

#[test]
fn a_generation_is_held_once_and_what_stands_is_told_until_it_is_released() {
    let mut control = Control::default();
    let entries = vec![building(1), activated(1), standing(1, 0, 7), holding(1, None), holding(1, None)];
    assert_eq!(apply_all(&mut control, entries), [true, true, false, true, false]);
    let hold = control.generations("orders").unwrap().hold.clone().unwrap();
    assert_eq!((hold.at, hold.renewed, hold.generation), (Offset(3), Offset(3), 1));
    assert!(hold.standing.is_empty());

    let entries = vec![standing(1, 0, 7), standing(2, 1, 7), holding(1, Some(3)), holding(1, Some(2))];
    assert_eq!(apply_all(&mut control, entries), [true, false, true, false]);
    let hold = control.generations("orders").unwrap().hold.clone().unwrap();
    assert_eq!((hold.at, hold.renewed), (Offset(3), Offset(7)));
    assert_eq!(hold.standing, BTreeMap::from([(0, 7)]));

    let entries = vec![released(2), released(1), released(1), holding(1, Some(3))];
    assert_eq!(apply_all(&mut control, entries), [false, true, false, false]);
    assert_eq!(control.generations("orders").unwrap().hold, None);
}

#[test]
fn an_activation_and_the_end_of_a_generation_release_what_is_held() {
    let ended = |entry: fn(String, u32) -> Entry, generation| entry("orders".into(), generation);
    let activated_2 = ended(|topic, generation| Entry::Activated { topic, generation }, 2);
    let abandoned_2 = ended(|topic, generation| Entry::Abandoned { topic, generation }, 2);
    for end in [activated_2, abandoned_2] {
        let mut control = Control::default();
        apply_all(&mut control, vec![building(1), activated(1), building(2), holding(1, None)]);
        assert!(control.generations("orders").unwrap().hold.is_some());
        assert_eq!(apply_all(&mut control, vec![end]), [true]);
        assert_eq!(control.generations("orders").unwrap().hold, None);
    }
    let mut control = Control::default();
    let retired = Entry::Retired { topic: "orders".into(), generation: 1 };
    let entries = vec![building(1), activated(1), building(2), activated(2), holding(2, None), retired];
    assert_eq!(apply_all(&mut control, entries), [true; 6]);
    assert_eq!(control.generations("orders").unwrap().hold, None);
    assert_eq!(apply_all(&mut control, vec![holding(1, None)]), [false], "it is gone");
}

#[test]
fn a_build_is_told_which_partition_does_not_come_further() {
    let halted = |partition, reason: Option<&str>| Entry::Halted {
        topic: "orders".into(),
        generation: 2,
        partition,
        reason: reason.map(str::to_owned),
    };
    let mut control = Control::default();
    let entries = vec![building(1), activated(1), halted(1, Some("early")), building(2)];
    assert_eq!(apply_all(&mut control, entries), [true, true, false, true]);
    assert_eq!(apply_all(&mut control, vec![halted(1, Some("full")), halted(0, Some("dead"))]), [true; 2]);
    let first = |control: &Control| {
        let known = control.generations("orders").unwrap();
        known.halted(2).next().map(|(partition, reason)| (partition, reason.to_owned()))
    };
    assert_eq!(first(&control), Some((0, "dead".to_owned())));
    assert_eq!(apply_all(&mut control, vec![halted(0, None)]), [true]);
    assert_eq!(first(&control), Some((1, "full".to_owned())));
    assert_eq!(apply_all(&mut control, vec![activated(2)]), [true]);
    assert_eq!(first(&control), None);
}

#[test]
fn strange_ids_are_decided_by_few_entries_and_the_same_by_any_reader() {
    let registered = |id| Entry::SchemaRegistered { id: SchemaId(id), schema: format!("s{id}") };
    let mut control = Control::default();
    for id in 1..=3 {
        assert_eq!(apply(&mut control, 0, registered(id)), Outcome::Taken);
    }
    // What a reader says of an id once, it says for ever, however little of the topic it has read.
    let mut told = std::collections::BTreeMap::new();
    let mut entries = 0;
    let strange = (0..=2_000).chain((0..400).map(|i| i * 171)).chain((0..200).map(|i| u32::MAX - i * 7919));
    for id in strange.map(SchemaId) {
        if control.schema(id).is_none() {
            let refused = Entry::SchemaRefused { id: Control::to_refuse(id), reason: "strange".into() };
            assert_eq!(apply(&mut control, 0, refused), Outcome::Taken);
            entries += 1;
        }
        told.insert(id, control.schema(id).cloned().unwrap());
        assert_eq!(matches!(told[&id], SchemaRecord::Registered(_)), (1..=3).contains(&id.0), "{id:?}");
        assert!(matches!(apply(&mut control, 0, registered(id.0)), Outcome::Refused { .. }), "{id:?}");
        if let Some(next) = control.free_id() {
            assert!(control.schema(next).is_none());
        }
    }
    assert!(told.iter().all(|(id, said)| {
        let now = control.schema(*id);
        matches!(said, SchemaRecord::Registered(_)) == matches!(now, Some(SchemaRecord::Registered(_)))
    }));
    assert!(entries <= IDS / BLOCK, "{entries}");
    assert_eq!(control.free_id(), None, "all ids are decided");
}

#[test]
fn ids_that_were_refused_one_by_one_before_leave_the_next_ones_open() {
    let mut control = Control::default();
    let refused = |id| Entry::SchemaRefused { id: SchemaId(id), reason: "strange".into() };
    assert_eq!(
        apply(&mut control, 0, Entry::SchemaRegistered { id: SchemaId(1), schema: "s".into() }),
        Outcome::Taken
    );
    for id in [4, u32::MAX] {
        // Above the ids that are given, an entry says what is known without it.
        let _ = apply(&mut control, 0, refused(id));
        assert!(matches!(control.schema(SchemaId(id)), Some(SchemaRecord::Refused(_))));
    }
    assert_eq!(control.free_id(), Some(SchemaId(5)));
}

#[test]
fn a_record_that_was_declared_dead_stays_so_in_every_generation() {
    let added = |partition, offset, reason: &str| Entry::DeadLetterAdded {
        topic: "orders".into(),
        partition,
        offset,
        reason: reason.into(),
    };
    let mut control = Control::default();
    let entries = vec![added(0, 7, "early"), building(1), activated(1), added(0, 7, "a"), added(0, 7, "b")];
    assert_eq!(
        apply_all(&mut control, entries),
        [false, true, true, true, false],
        "there is a projection first"
    );
    let entries = vec![added(0, 3, "c"), added(1, 5, "d"), building(2), activated(2)];
    assert_eq!(apply_all(&mut control, entries), [true; 4]);
    let known = control.generations("orders").unwrap();
    let of = |partition, from| known.dead_letters(partition, Offset(from)).collect::<Vec<_>>();
    assert_eq!(of(0, 0), [(Offset(3), "c"), (Offset(7), "a")]);
    assert_eq!((of(0, 4), of(1, 5), of(2, 0)), (vec![(Offset(7), "a")], vec![(Offset(5), "d")], vec![]));
}

#[test]
fn the_breaker_is_lifted_where_a_partition_stands() {
    let lifted = |partition, next| Entry::BreakerLifted { topic: "orders".into(), partition, next };
    let mut control = Control::default();
    assert_eq!(
        apply_all(&mut control, vec![building(1), activated(1), lifted(0, 7), lifted(0, 9)]),
        [true; 4]
    );
    let known = control.generations("orders").unwrap();
    assert_eq!((known.lifted(0), known.lifted(1)), (Some(Offset(9)), None));
}
