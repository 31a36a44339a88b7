//! What a lane does about a log that is not the one it folded, and about dead letters.

use std::sync::Arc;

use tidefold_fold::Checkpoint;
use tidefold_record::{Offset, Partition};
use tidefold_store::Store;
use tidefold_store::memory::MemoryStore;

use super::{GENERATION, components, settings, shop, start, until, until_folded};
use crate::support::{STRANGE, Shop, TOPIC, open_tables};
use crate::{BreakerSettings, Halt, LaneState, Projector, Settings};

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
    let tables = tidefold_app::tables::GenerationTables::new(&shop.app, &shop.app.topics[TOPIC], GENERATION);
    let row = tidefold_app::layout::RowWrite {
        key: bytes::Bytes::from_static(&[0, 0, 0, 0]),
        value: Some(bytes::Bytes::from_static(b"nonsense")),
        stamp: tidefold_app::layout::Stamp::put(Offset(1)),
    };
    let lane = tidefold_store::Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    let writes = [tidefold_store::TableWrites { table: tables.checkpoints.id.clone(), rows: vec![row] }];
    store.write(&lane, &writes).await.unwrap();
    let projector = start(&components(&shop, Arc::new(store), settings(7)), &shop);
    assert!(until(&projector, |status| status.state.is_still()).await);
    let states: Vec<_> = projector.status().into_iter().map(|status| status.state).collect();
    assert!(matches!(halt_of(&states), Halt::DamagedRow { .. }), "{states:?}");
}

/// A lane over records of which most are dead.
async fn over_dead_letters(breaker: Option<BreakerSettings>) -> (Projector, Shop, MemoryStore) {
    let (mut shop, store) = shop(1, 1).await;
    for order in 0..40 {
        shop.place(&format!("good-{order}")).await;
    }
    let mut value = Vec::new();
    tidefold_record::frame(STRANGE, &mut value);
    for bad in 0..100 {
        shop.append(b"bad", &value, &format!("bad-{bad}"), "PlaceOrder").await;
    }
    let view = store.restarted();
    open_tables(&shop.app, &view, GENERATION).await;
    let components = components(&shop, Arc::new(view), Settings { breaker, ..settings(20) });
    let projector = start(&components, &shop);
    (projector, shop, store)
}

fn stored_checkpoint(shop: &Shop, store: &MemoryStore) -> Option<Checkpoint> {
    let tables = tidefold_app::tables::GenerationTables::new(&shop.app, &shop.app.topics[TOPIC], GENERATION);
    let rows = store.rows(&tables.checkpoints.id);
    rows.into_values().next().and_then(|(_, value)| Checkpoint::decode(&value?))
}

#[tokio::test(start_paused = true)]
async fn dead_letters_past_the_limit_hold_the_partition_before_they_are_written() {
    let breaker = BreakerSettings { ratio: 0.5, at_least: 1_000, run: 50 };
    let (projector, shop, store) = over_dead_letters(Some(breaker)).await;
    assert!(until(&projector, |status| status.state.is_still()).await);
    let status = &projector.status()[0];
    let LaneState::Halted(Halt::DeadLetters { tripped }) = &status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!((tripped.run, tripped.code.as_str()), (50, "unknown_schema"));
    // The batch with the fiftieth dead letter in a row starts at 80 and is not written.
    assert_eq!(status.next, Offset(80));
    assert_eq!(stored_checkpoint(&shop, &store).unwrap().next, Offset(80));
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_dead_letters_pass() {
    let (projector, shop, _store) = over_dead_letters(None).await;
    assert!(until_folded(&projector, &shop).await);
    let verdicts = projector.status()[0].verdicts;
    assert_eq!((verdicts.applied, verdicts.dead), (40, 100));
}
