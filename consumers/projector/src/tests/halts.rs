//! What a lane does about a log that is not the one it folded, and about dead letters.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry, Envelope, Manifest};
use tidefold_record::{Offset, Partition};
use tidefold_store::Store;
use tidefold_store::memory::MemoryStore;
use tidefold_table::Checkpoint;
use tokio::sync::watch;

use super::{GENERATION, WINDOW, components, settings, shop, start, until, until_folded};
use crate::support::{STRANGE, Shop, TOPIC, open_tables};
use crate::{BreakerSettings, Components, Halt, LaneState, LaneStatus, Projector, Settings};

/// Folds everything, then looks again with the next process.
async fn folded_then(change: impl FnOnce(&Shop)) -> (Shop, Vec<LaneState>) {
    let (mut shop, store) = shop(1, 1).await;
    shop.trade(50).await;
    let store = Arc::new(store);
    let components = components(&shop, store, settings(7));
    let projector = start(&components, &shop);
    assert!(until_folded(&projector, &shop).await);
    drop(projector);
    change(&shop);
    let projector = start(&components, &shop);
    assert!(until(&projector, |s| s.state.is_still() || s.state == LaneState::Waiting).await);
    (shop, projector.status().into_iter().map(|status| status.state).collect())
}

fn halt_of(states: &[LaneState]) -> &Halt {
    match states {
        [LaneState::Halted(halt)] => halt,
        other => panic!("the lane is {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_as_it_was_is_folded_on() {
    let (_, states) = folded_then(|_| ()).await;
    assert_eq!(states, [LaneState::Waiting]);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_halts_the_lane_and_says_what_to_do() {
    let (_, states) = folded_then(|shop| {
        assert!(shop.log.faults().truncate(&shop.topic, Partition(0), Offset(30)));
    })
    .await;
    let halt = halt_of(&states);
    assert!(matches!(halt, Halt::PastEnd { end: Offset(30), next } if next.offset == Offset(50)), "{halt:?}");
    let text = halt.to_string();
    assert!(text.contains("storefront.orders:0:50") && text.contains("ends at 30"), "{text}");
    assert!(text.contains("Put back the log") && text.contains("tidefold replay"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_truncated_while_it_is_folded_halts_the_lane() {
    let (mut shop, store) = shop(1, 1).await;
    shop.trade(50).await;
    let projector = start(&components(&shop, Arc::new(store), settings(7)), &shop);
    assert!(until_folded(&projector, &shop).await);
    assert!(shop.log.faults().truncate(&shop.topic, Partition(0), Offset(30)));
    assert!(until(&projector, |status| status.state.is_still()).await);
    let states: Vec<_> = projector.status().into_iter().map(|status| status.state).collect();
    assert!(matches!(halt_of(&states), Halt::PastEnd { end: Offset(30), .. }), "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recreated_topic_of_the_same_length_halts_the_lane() {
    let (mut shop, store) = shop(1, 1).await;
    shop.trade(50).await;
    let components = components(&shop, Arc::new(store), settings(7));
    let projector = start(&components, &shop);
    assert!(until_folded(&projector, &shop).await);
    drop(projector);
    shop.log.faults().recreate(&shop.topic);
    shop.trade(60).await;
    let projector = start(&components, &shop);
    assert!(until(&projector, |status| status.state.is_still()).await);
    let states: Vec<_> = projector.status().into_iter().map(|status| status.state).collect();
    let halt = halt_of(&states);
    assert!(matches!(halt, Halt::OtherRecord { position } if position.offset == Offset(49)), "{halt:?}");
    assert!(halt.to_string().contains("storefront.orders:0:49"), "{halt}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_starts_after_the_checkpoint_halts_the_lane() {
    let (mut shop, store) = shop(1, 1).await;
    shop.trade(50).await;
    shop.log.faults().trim(&shop.topic, Partition(0), Offset(20));
    let components = components(&shop, Arc::new(store), settings(7));
    let projector = start(&components, &shop);
    assert!(until(&projector, |status| status.state.is_still()).await);
    let states: Vec<_> = projector.status().into_iter().map(|status| status.state).collect();
    let halt = halt_of(&states);
    assert!(matches!(halt, Halt::BeforeStart { start: Offset(20), .. }), "{halt:?}");
    assert!(halt.to_string().contains("retention"), "{halt}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_halts_the_lane() {
    let (shop, store) = shop(1, 1).await;
    let tables = shop.app.projections[TOPIC].tables(GENERATION);
    let row = tidefold_table::RowWrite {
        key: bytes::Bytes::from_static(&[0, 0, 0, 0]),
        value: Some(bytes::Bytes::from_static(b"nonsense")),
        stamp: tidefold_table::Stamp::put(Offset(1)),
    };
    let lane = tidefold_store::Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    let writes = [tidefold_store::TableWrites { table: tables.checkpoints.id.clone(), rows: vec![row] }];
    store.write(&lane, &writes).await.unwrap();
    let projector = start(&components(&shop, Arc::new(store), settings(7)), &shop);
    assert!(until(&projector, |status| status.state.is_still()).await);
    let states: Vec<_> = projector.status().into_iter().map(|status| status.state).collect();
    assert!(matches!(halt_of(&states), Halt::Damaged(_)), "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_the_store_refuses_halts_its_own_partition_and_no_other() {
    let (mut shop, store) = shop(4, 1).await;
    shop.trade(200).await;
    let store = Arc::new(store);
    let components = components(&shop, Arc::<MemoryStore>::clone(&store), settings(7));
    let projector = start(&components, &shop);
    assert!(until_folded(&projector, &shop).await);
    drop(projector);
    let tables = shop.app.projections[TOPIC].tables(GENERATION);
    let entity = &tables.entity.as_ref().unwrap().id;
    // The first row is the one that a look for any row at all comes upon.
    let key = store.rows(entity).into_keys().next().unwrap();
    let its = tidefold_record::partition_of(&key, shop.partitions);
    store.faults().damage(entity, key);
    let no_checkpoint = Partition((its.0 + 1) % shop.partitions);
    let checkpoints = &tables.checkpoints.id;
    store.faults().damage(checkpoints, tidefold_table::checkpoint::key(no_checkpoint));
    shop.trade(200).await;
    let ends = shop.ends().await;

    let projector = start(&components, &shop);
    let done =
        |status: &LaneStatus| status.state.is_still() || status.next >= ends[status.partition.0 as usize];
    assert!(until(&projector, done).await);
    for LaneStatus { partition, state, .. } in projector.status() {
        let said = state.reason().unwrap_or_default();
        match partition {
            _ if partition == its => assert!(said.contains(entity.as_str()), "{partition}: {said}"),
            _ if partition == no_checkpoint => {
                assert!(said.contains(checkpoints.as_str()), "{partition}: {said}")
            }
            _ => assert_eq!(said, "", "{partition}"),
        }
    }
}

/// A lane over records of which most are dead, of so many publishers, each under a key of its own.
async fn over_dead_letters(
    breaker: Option<BreakerSettings>,
    publishers: usize,
    control: watch::Receiver<Arc<Control>>,
) -> (Projector, Shop, MemoryStore) {
    let (mut shop, store) = shop(1, 1).await;
    for order in 0..40 {
        shop.place(&format!("good-{order}")).await;
    }
    let mut value = Vec::new();
    tidefold_record::frame(STRANGE, &mut value);
    for bad in 0..200 {
        let (source, key) = (format!("/publisher/{}", bad % publishers), format!("bad-{bad}"));
        shop.append_from(&source, key.as_bytes(), &value, &key, "PlaceOrder").await;
    }
    let view = store.restarted();
    open_tables(&shop.app, &view, GENERATION).await;
    let components = components(&shop, Arc::new(view), Settings { breaker, ..settings(20) });
    let projector = start(&Components { control, ..components }, &shop);
    (projector, shop, store)
}

const BREAKER: BreakerSettings = BreakerSettings {
    ratio: 0.5,
    at_least: 100,
    hold: Duration::from_secs(600),
    rest: Duration::from_secs(3_600),
};

fn control() -> (watch::Sender<Arc<Control>>, watch::Receiver<Arc<Control>>) {
    let mut control = Control::default();
    let manifest = Manifest {
        definition: "d".into(),
        cluster: "c".into(),
        incarnation: "i".into(),
        partitions: 1,
        partitioner: "murmur2".into(),
        semantics: 1,
        window: WINDOW,
        verdicts_of: None,
    };
    for entry in [
        Entry::Building { topic: "orders".into(), generation: GENERATION, manifest },
        Entry::Activated { topic: "orders".into(), generation: GENERATION },
    ] {
        say(&mut control, entry);
    }
    watch::channel(Arc::new(control))
}

fn say(control: &mut Control, entry: Entry) {
    let at = control.next();
    let outcome = control.apply(at, &Envelope { expects: at.0, entry }.to_json().unwrap());
    assert_eq!(outcome, tidefold_control::Outcome::Taken);
}

fn stored_checkpoint(shop: &Shop, store: &MemoryStore) -> Option<Checkpoint> {
    let tables = shop.app.projections[TOPIC].tables(GENERATION);
    let rows = store.rows(&tables.checkpoints.id);
    rows.into_values().next().and_then(|(_, value)| Checkpoint::decode(&value?).ok())
}

/// Waits until the breaker holds the partition; where it stands.
async fn until_tripped(projector: &Projector, shop: &Shop, store: &MemoryStore) -> Offset {
    assert!(until(projector, |status| status.state.is_still()).await);
    let status = &projector.status()[0];
    let LaneState::Tripped(tripped) = &status.state else { panic!("{:?}", status.state) };
    assert_eq!(tripped.code, "unknown_schema");
    assert!(status.state.reason().unwrap().contains("breaker lift"));
    assert_eq!(stored_checkpoint(shop, store).unwrap().next, status.next, "nothing behind it is written");
    status.next
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_several_publishers_hold_the_partition_for_a_while_before_they_are_written() {
    let since = tokio::time::Instant::now();
    let (_control, control) = control();
    let (projector, shop, store) = over_dead_letters(Some(BREAKER), 3, control).await;
    let next = until_tripped(&projector, &shop, &store).await;
    assert!(next > Offset(40) && next < Offset(240), "{next}");
    assert!(until_folded(&projector, &shop).await);
    assert!(since.elapsed() >= BREAKER.hold, "it goes on by itself only after that");
    let verdicts = projector.status()[0].verdicts;
    assert_eq!((verdicts.applied, verdicts.dead), (40, 200));
}

#[tokio::test(start_paused = true)]
async fn an_operator_lifts_the_breaker_where_it_holds_and_not_elsewhere() {
    let since = tokio::time::Instant::now();
    let (sender, control) = control();
    let (projector, shop, store) = over_dead_letters(Some(BREAKER), 3, control).await;
    let next = until_tripped(&projector, &shop, &store).await;
    let lifted = |next: u64| Entry::BreakerLifted { topic: "orders".into(), partition: 0, next };
    sender.send_modify(|control| say(Arc::make_mut(control), lifted(next.0 - 1)));
    tokio::task::yield_now().await;
    assert!(matches!(projector.status()[0].state, LaneState::Tripped(_)), "that was another hold");
    sender.send_modify(|control| say(Arc::make_mut(control), lifted(next.0)));
    assert!(until_folded(&projector, &shop).await);
    assert!(since.elapsed() < BREAKER.hold);
    assert_eq!(projector.status()[0].verdicts.dead, 200);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_one_publisher_or_without_a_breaker_pass() {
    for (breaker, publishers) in [(Some(BREAKER), 1), (None, 3)] {
        let since = tokio::time::Instant::now();
        let (_control, control) = control();
        let (projector, shop, _store) = over_dead_letters(breaker, publishers, control).await;
        assert!(until_folded(&projector, &shop).await);
        let verdicts = projector.status()[0].verdicts;
        assert_eq!((verdicts.applied, verdicts.dead), (40, 200));
        assert!(since.elapsed() < BREAKER.hold);
    }
}

/// The entity row of an order, as no fold writes it: whatever touches it halts.
async fn poison(shop: &Shop, store: &MemoryStore, order: &str) {
    let tables = shop.app.projections[TOPIC].tables(GENERATION);
    let row = tidefold_table::RowWrite {
        key: bytes::Bytes::copy_from_slice(order.as_bytes()),
        value: Some(bytes::Bytes::from_static(b"nonsense")),
        stamp: tidefold_table::Stamp::put(Offset(0)),
    };
    let lane = tidefold_store::Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    let table = tables.entity.unwrap().id;
    store.write(&lane, &[tidefold_store::TableWrites { table, rows: vec![row] }]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_halts_its_partition_is_found_and_passed_over_once_an_operator_says_so() {
    let (mut shop, store) = shop(1, 1).await;
    for order in ["a", "b", "poisoned", "c", "d"] {
        shop.place(order).await;
    }
    poison(&shop, &store, "poisoned").await;
    let (sender, control) = control();
    let components = components(&shop, Arc::new(store.restarted()), settings(20));
    open_tables(&shop.app, &*components.store, GENERATION).await;
    let projector = start(&Components { control, ..components }, &shop);
    assert!(until(&projector, |status| status.state.is_still()).await);
    let status = projector.status().remove(0);
    let LaneState::Halted(Halt::Record { position, .. }) = &status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!(
        (position.to_string().as_str(), status.next),
        ("orders:0:2", Offset(2)),
        "what is before it is folded"
    );
    let text = status.state.reason().unwrap();
    assert!(text.contains("tidefold dead-letters add orders:0:2 --reason"), "{text}");

    let added = |offset| Entry::DeadLetterAdded {
        topic: "orders".into(),
        partition: 0,
        offset,
        reason: "poison".into(),
    };
    sender.send_modify(|control| say(Arc::make_mut(control), added(3)));
    tokio::task::yield_now().await;
    assert!(projector.status()[0].state.is_still(), "another record");
    sender.send_modify(|control| say(Arc::make_mut(control), added(2)));
    assert!(until_folded(&projector, &shop).await);
    let tables = shop.app.projections[TOPIC].tables(GENERATION);
    let verdicts: Vec<_> = store.rows(&tables.verdicts.id).into_iter().collect();
    let dead = |(key, (_, value)): &(bytes::Bytes, (_, Option<bytes::Bytes>))| {
        let offset = u64::from_be_bytes(key[4..].try_into().unwrap());
        (offset, tidefold_table::Verdict::decode(value.as_ref().unwrap()).unwrap())
    };
    let reason = tidefold_table::verdict::DeadReason { code: "passed_over".into(), detail: "poison".into() };
    let expected = |offset| (offset, tidefold_table::Verdict::Dead(reason.clone()));
    let found: Vec<_> = verdicts.iter().map(dead).collect();
    assert_eq!(found, [expected(2), expected(3)], "what was declared dead is dead, whether it halted or not");

    // A build from the first record goes by the same entries.
    let mut whole = tidefold_fold::whole::WholeFold::new(
        Arc::clone(&shop.app.projections[TOPIC]),
        Partition(0),
        tidefold_fold::FoldSettings { window: WINDOW },
    );
    for (offset, reason) in sender.borrow().generations("orders").unwrap().dead_letters(0, Offset::ZERO) {
        whole.pass_over(offset, reason);
    }
    let app = Arc::clone(&shop.app);
    whole.fold(&shop.records(Partition(0)).await, None, |id| crate::support::fate(&app, id)).unwrap();
    let again: Vec<_> =
        whole.rows(tidefold_fold::TableSlot::Verdicts).into_iter().map(|(_, value)| value).collect();
    let stored: Vec<_> = verdicts.into_iter().map(|(_, (_, value))| value.unwrap()).collect();
    assert_eq!(again, stored);
    assert_eq!(whole.rows(tidefold_fold::TableSlot::Entity).len(), 3);
}
