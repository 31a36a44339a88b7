//! How lanes wait, hold, follow, drain and tell.

use std::sync::Arc;
use std::time::Duration;

use tidefold_record::Offset;
use tidefold_store::memory::Effect;
use tidefold_telemetry::clock;

use super::{GENERATION, WINDOW, assignment, components, settings, shop, start, until, until_folded};
use crate::support::{TOPIC, app_files, differences, open_tables, stored};
use crate::{Assignment, LaneState, Orders, Projector, Settings};

#[tokio::test(start_paused = true)]
async fn what_is_appended_is_folded_once_and_counted() {
    let (mut shop, store) = shop(3, 7).await;
    let store = Arc::new(store);
    let projector = start(&components(&shop, store.clone(), settings(11)), &shop);
    for _ in 0..5 {
        shop.trade(60).await;
        assert!(until_folded(&projector, &shop).await);
    }
    assert!(until(&projector, |status| status.state == LaneState::Waiting).await);
    let status = projector.status();
    assert_eq!(status.iter().map(|s| s.verdicts.total()).sum::<u64>(), 300);
    assert!(status.iter().all(|s| s.lag() == 0 && s.next == s.end && s.appended_at_micros > 0));
    let wrong = differences(&stored(&shop.app, &store, GENERATION), &shop.folded(GENERATION, WINDOW).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_holds_the_partition_and_makes_no_dead_letters() {
    let (mut shop, store) = shop(1, 3).await;
    let store = Arc::new(store);
    for order in 0..50 {
        shop.place(&format!("o-{order}")).await;
    }
    store.faults().fail_writes(40, Effect::First(3));
    let components = components(&shop, store.clone(), settings(20));
    let projector = start(&components, &shop);
    assert!(until(&projector, |s| matches!(s.state, LaneState::Retrying { doing: "write rows", .. })).await);
    assert!(until_folded(&projector, &shop).await);
    let telemetry = &components.telemetry;
    let (retried, waiting) = (telemetry.retries("write rows").get(), telemetry.retrying("write rows").get());
    assert_eq!((retried, waiting), (40, 0), "the one retry policy counts");
    let verdicts = projector.status()[0].verdicts;
    assert_eq!((verdicts.applied, verdicts.total()), (50, 50));
    let wrong = differences(&stored(&shop.app, &store, GENERATION), &shop.folded(GENERATION, WINDOW).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_held_lane_stands_still_until_it_is_told_to_go() {
    let (mut shop, store) = shop(1, 3).await;
    let projector = start(&components(&shop, Arc::new(store), settings(20)), &shop);
    shop.trade(30).await;
    assert!(until_folded(&projector, &shop).await);
    projector.order(Orders { hold: true, ..Orders::ACTIVE });
    assert!(until(&projector, |status| status.state == LaneState::Held).await);
    shop.trade(30).await;
    clock::pause(Duration::from_secs(60)).await;
    assert_eq!(projector.status()[0].next, Offset(30));
    projector.order(Orders::ACTIVE);
    assert!(until_folded(&projector, &shop).await);
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_follows_never_passes_the_active_one_and_comes_to_the_same_rows() {
    let (mut shop, store) = shop(2, 5).await;
    let store = Arc::new(store);
    open_tables(&shop.app, &*store, 2).await;
    let components = components(&shop, store.clone(), settings(10));
    let active = start(&components, &shop);
    shop.trade(100).await;
    assert!(until_folded(&active, &shop).await);
    active.order(Orders { hold: true, ..Orders::ACTIVE });
    assert!(until(&active, |status| status.state == LaneState::Held).await);
    shop.trade(100).await;

    let orders = Orders::follow(GENERATION);
    let follower = Projector::start(&components, &assignment(&shop, 2, 1 << 20), orders);
    let stands: Vec<_> = active.status().iter().map(|status| status.next).collect();
    assert!(until(&follower, |s| s.next == stands[s.partition.0 as usize]).await);
    clock::pause(Duration::from_secs(60)).await;
    assert_eq!(follower.status().iter().map(|status| status.next).collect::<Vec<_>>(), stands);

    active.order(Orders::ACTIVE);
    assert!(until_folded(&active, &shop).await && until_folded(&follower, &shop).await);
    let wrong = differences(&stored(&shop.app, &store, 2), &shop.folded(2, WINDOW).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn generations_of_different_definitions_are_folded_side_by_side_each_by_its_own() {
    let (mut shop, store) = shop(2, 5).await;
    let store = Arc::new(store);
    let mut files = app_files("storefront", 2);
    let text = &mut files.iter_mut().find(|file| file.path == "app.toml").unwrap().text;
    text.push_str(
        "\n[views.orders_by_status]\nsql = \"SELECT status, order_id, total_cents FROM orders\"\n\
         partition_key = [\"status\"]\nclustering = [\"order_id\"]\n",
    );
    let changed = Arc::new(tidefold_app::load(files).unwrap());
    open_tables(&changed, &*store, 2).await;
    let components = components(&shop, store.clone(), settings(10));
    let active = start(&components, &shop);
    let of_changed =
        Assignment { projection: Arc::clone(&changed.projections[TOPIC]), ..assignment(&shop, 2, 1 << 20) };
    let follows = Orders::follow(GENERATION);
    let build = Projector::start(&components, &of_changed, follows);
    for _ in 0..3 {
        shop.trade(80).await;
        assert!(until_folded(&active, &shop).await && until_folded(&build, &shop).await);
    }
    for (app, generation) in [(&shop.app, GENERATION), (&changed, 2)] {
        let found = stored(app, &store, generation);
        let wrong = differences(&found, &shop.folded_by(app, generation, WINDOW).await);
        assert!(wrong.is_empty(), "generation {generation}:\n{}", wrong.join("\n"));
        let by_status = found.keys().filter(|table| table.to_string().contains("orders_by_status")).count();
        assert_eq!(by_status, usize::from(generation == 2), "{:?}", found.keys());
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_lane_finishes_the_batch_in_hand() {
    let (mut shop, store) = shop(1, 3).await;
    let store = Arc::new(store);
    shop.trade(30).await;
    store.faults().hold_writes();
    let projector = start(&components(&shop, store.clone(), settings(10)), &shop);
    store.faults().writes_held(1).await;
    let lane = projector.lanes()[0].clone();
    let drained = projector.drain(Duration::from_secs(60));
    let release = async {
        tokio::task::yield_now().await;
        store.faults().release();
    };
    tokio::join!(drained, release);
    let status = lane.borrow().clone();
    assert_eq!((status.next, status.state), (Offset(10), LaneState::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_far_behind_folds_large_batches() {
    let (mut shop, store) = shop(1, 3).await;
    let store = Arc::new(store);
    shop.trade(40).await;
    store.faults().hold_writes();
    let settings = Settings { far_behind: 15, ..settings(10) };
    let projector = start(&components(&shop, store.clone(), settings), &shop);
    store.faults().writes_held(1).await;
    let lane = projector.lanes()[0].clone();
    let drained = projector.drain(Duration::from_secs(60));
    let release = async {
        tokio::task::yield_now().await;
        store.faults().release();
    };
    tokio::join!(drained, release);
    assert_eq!(lane.borrow().next, Offset(30));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_stuck_is_reported_while_its_log_moves() {
    let (mut shop, store) = shop(1, 3).await;
    let store = Arc::new(store);
    let stalled_after = Duration::from_secs(30);
    let components = components(&shop, store.clone(), Settings { stalled_after, ..settings(10) });
    let projector = start(&components, &shop);
    assert!(until(&projector, |status| status.state == LaneState::Waiting).await);
    clock::pause(Duration::from_secs(600)).await;
    assert!(!projector.status()[0].stalled, "a lane without work is not stuck");
    store.faults().hold_writes();
    shop.trade(5).await;
    assert!(until(&projector, |status| status.stalled).await);
    assert_eq!(projector.status()[0].end, Offset(5));
    store.faults().release();
    assert!(until_folded(&projector, &shop).await);
    assert!(until(&projector, |status| !status.stalled).await);
}
