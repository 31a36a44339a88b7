//! An app from its first start through replays, roll backs and retirement, on the memory log and store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use support::stepped::Stepped;
use support::{Dice, Rows, STRANGE, Shop, TOPIC, app_files, differences, open_tables, stored, storefront};
use tidefold_app::App;
use tidefold_control::{Control, Entry, GenerationState, SchemaRecord};
use tidefold_control_log::{ControlLog, ControlLogError};
use tidefold_coordinator::{Build, Coordinator, CoordinatorError, Options, Phase, ReplayOptions};
use tidefold_log::memory::MemoryLog;
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_projector::{Halt, LaneState, Settings};
use tidefold_record::{Offset, frame};
use tidefold_store::memory::{Effect, MemoryStore};
use tidefold_store::{Lane, SharedStore, Store, TableWrites};
use tidefold_table::{RowWrite, Stamp};
use tidefold_telemetry::{Backoff, Supervisor, Telemetry, clock};

const WINDOW: u64 = 40;

fn options() -> Options {
    let lanes = Settings {
        batch: ReadLimit { records: 7, bytes: 1 << 20 },
        build_batch: ReadLimit { records: 20, bytes: 1 << 20 },
        breaker: None,
        backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) },
        ..Settings::default()
    };
    Options { lanes, cache_bytes: 1 << 20, window: WINDOW, near: 10, ..Options::default() }
}

async fn try_start(
    app: &Arc<App>,
    log: &MemoryLog,
    store: SharedStore,
    options: Options,
) -> Result<Coordinator, CoordinatorError> {
    let log = Arc::new(log.clone()) as SharedLog;
    let (runtime, supervisor) = (tokio::runtime::Handle::current(), Supervisor::new(Telemetry::default()));
    Coordinator::start(Arc::clone(app), log, store, supervisor, runtime, options).await
}

async fn start(shop: &Shop, store: &MemoryStore) -> Coordinator {
    try_start(&shop.app, &shop.log, Arc::new(store.restarted()), options()).await.unwrap()
}

async fn open_shop(partitions: u32, seed: u64) -> (Shop, MemoryStore) {
    (Shop::open(storefront(partitions), MemoryLog::new(), seed).await, MemoryStore::new())
}

/// Waits until a generation has folded all there is.
async fn folded(coordinator: &Coordinator, shop: &Shop, generation: u32) {
    let ends = shop.ends().await;
    let lanes = coordinator.lanes("orders", generation);
    assert_eq!(lanes.len(), ends.len(), "generation {generation} has a lane for each partition");
    for (mut lane, end) in lanes.into_iter().zip(ends) {
        let all = lane.wait_for(|status| status.next >= end);
        let folded =
            tokio::time::timeout(Duration::from_secs(100_000), all).await.is_ok_and(|all| all.is_ok());
        assert!(folded, "generation {generation} did not come to {end}");
    }
}

/// The rows without their generation, so that two can be compared.
fn nameless(rows: Rows) -> Vec<std::collections::BTreeMap<bytes::Bytes, (Stamp, Option<bytes::Bytes>)>> {
    rows.into_values().collect()
}

async fn assert_equals_one_fold(shop: &Shop, store: &MemoryStore, generation: u32) {
    let wrong = differences(&stored(&shop.app, store, generation), &shop.folded(generation, WINDOW).await);
    assert!(wrong.is_empty(), "generation {generation}:\n{}", wrong.join("\n"));
}

async fn replay(coordinator: &Coordinator, options: ReplayOptions) -> Build {
    coordinator.replay(Some(&["orders".to_owned()]), options).await.unwrap().remove(0)
}

fn state_of(control: &Control, generation: u32) -> Option<GenerationState> {
    control.generations("orders")?.generations.get(&generation).map(|generation| generation.state)
}

/// Overwrites a row of the entity's table with nonsense, later than anything.
async fn damage_a_row(app: &App, store: &MemoryStore, generation: u32) {
    let view = store.restarted();
    open_tables(app, &view, generation).await;
    let tables = app.projections[TOPIC].tables(generation);
    let entity = tables.entity.unwrap().id;
    let (key, (stamp, value)) = store.rows(&entity).into_iter().next().unwrap();
    let mut value = value.unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    let row = RowWrite { key, value: Some(value.into()), stamp: Stamp(stamp.0 + 2) };
    let lane = Lane { checkpoints: tables.checkpoints.id, partition: 0 };
    view.write(&lane, &[TableWrites { table: entity, rows: vec![row] }]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_start_makes_the_app_known_and_later_ones_add_nothing() {
    let (mut shop, store) = open_shop(2, 1).await;
    let coordinator = start(&shop, &store).await;
    let control = coordinator.control().borrow().clone();
    assert_eq!(control.definition().unwrap().hash, shop.app.definition_hash);
    assert_eq!(control.active("orders"), Some(1));
    let schemas: Vec<_> = control.schemas().map(|(id, _)| id.0).collect();
    assert_eq!(schemas, [1, 2, 3, 4]);
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    drop(coordinator);

    let next = control.next();
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    let control = coordinator.control().borrow().clone();
    // Only the unknown id that the trade comes across is new.
    assert!(control.next().0 <= next.0 + 1, "{} entries", control.next());
    coordinator.shutdown().await;
    assert_equals_one_fold(&shop, &store, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_killed_after_any_entry_is_finished_by_the_next() {
    let entries = {
        let (shop, store) = open_shop(1, 1).await;
        start(&shop, &store).await.control_log().control().next().0
    };
    for kept in 0..entries {
        let (shop, store) = open_shop(1, 1).await;
        drop(start(&shop, &store).await);
        let control = tidefold_record::TopicName::new("storefront.control");
        let partition = tidefold_record::Partition(0);
        shop.log.faults().truncate(&control, partition, Offset(kept));
        let coordinator = start(&shop, &store).await;
        assert_eq!(coordinator.control_log().control().next().0, entries, "after {kept} entries");
        assert_eq!(coordinator.control_log().control().active("orders"), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_means_something_else_is_refused_with_what_differs() {
    let (shop, store) = open_shop(1, 1).await;
    drop(start(&shop, &store).await);
    let mut files = app_files("storefront", 1);
    let app = files.iter_mut().find(|file| file.path == "app.toml").unwrap();
    app.text = app.text.replace("status = 'shipped'", "status = 'gone'");
    let changed = Arc::new(tidefold_app::load(files).unwrap());
    assert_ne!(changed.definition_hash, shop.app.definition_hash);
    let refused = try_start(&changed, &shop.log, Arc::new(store.restarted()), options()).await;
    let Err(error) = refused else { panic!("a changed folder started") };
    let CoordinatorError::Control(ControlLogError::DefinitionChanged { differences, .. }) = &error else {
        panic!("{error}")
    };
    assert!(differences.iter().any(|line| line.contains("ShipOrder")), "{differences:?}");
    assert!(error.to_string().contains("Start with the folder as it was"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_nobody_registered_is_refused_once_for_all() {
    let (mut shop, store) = open_shop(1, 1).await;
    let coordinator = start(&shop, &store).await;
    let mut value = Vec::new();
    frame(STRANGE, &mut value);
    for message in 0..3 {
        shop.append(b"o-1", &value, &format!("m-{message}"), "PlaceOrder").await;
        folded(&coordinator, &shop, 1).await;
    }
    let control = coordinator.control_log().control();
    assert!(matches!(control.schema(STRANGE), Some(SchemaRecord::Refused(_))));
    assert_eq!(coordinator.status()[0].lanes[0].verdicts.dead, 3);
}

#[tokio::test(start_paused = true)]
async fn of_two_writers_to_the_control_topic_one_counts_and_both_agree() {
    let log = MemoryLog::new();
    let control_log = async || ControlLog::open(Arc::new(log.clone()) as SharedLog, "shop").await.unwrap();
    let (one, two) = (control_log().await, control_log().await);
    for round in 0..20 {
        let define = |hash: &'static str| {
            let mut asked = 0;
            move |control: &Control| {
                asked += 1;
                let done = control.definition().is_some_and(|definition| definition.offset.0 >= round);
                (!done).then(|| Entry::Defined {
                    hash: format!("{hash}-{asked}"),
                    sources: vec![],
                    projections: [].into(),
                })
            }
        };
        let (a, b) = tokio::join!(one.append(define("one")), two.append(define("two")));
        a.unwrap();
        b.unwrap();
        assert_eq!(one.advance().await.unwrap(), two.advance().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_or_log_that_is_away_at_the_start_is_waited_for() {
    let (mut shop, store) = open_shop(1, 1).await;
    shop.log.faults().fail_next(5, tidefold_log::memory::Failure::Unavailable);
    store.faults().fail_loads(5);
    store.faults().fail_writes(5, Effect::First(1));
    let coordinator = start(&shop, &store).await;
    shop.trade(20).await;
    folded(&coordinator, &shop, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_recreated_topic_halts_the_projection_until_it_is_replayed() {
    let (mut shop, store) = open_shop(1, 1).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    drop(coordinator);
    shop.log.faults().recreate(&shop.topic);
    shop.trade(90).await;
    let coordinator = start(&shop, &store).await;
    let halted = coordinator.status()[0].halted.clone().unwrap();
    assert!(
        halted.contains("the topic's incarnation was memory-1") && halted.contains("tidefold replay"),
        "{halted}"
    );
    assert!(coordinator.lanes("orders", 1).is_empty());

    // Verdicts about records of the other log say nothing about these.
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    let phase = build.finished().await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
    assert_eq!(coordinator.control_log().control().active("orders"), Some(2));
    folded(&coordinator, &shop, 2).await;
    assert_equals_one_fold(&shop, &store, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_a_topic_that_was_replaced_under_it_begins_nothing_before_the_restart() {
    let (mut shop, store) = open_shop(1, 1).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    shop.log.faults().recreate(&shop.topic);
    for _ in 0..2 {
        let refused = coordinator.replay(None, ReplayOptions::default()).await.unwrap_err().to_string();
        assert!(refused.contains("start again and build the tables anew"), "{refused}");
        assert_eq!(state_of(&coordinator.control_log().control(), 2), None);
    }
    drop(coordinator);
    shop.trade(20).await;
    let coordinator = start(&shop, &store).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    assert!(matches!(build.finished().await, Phase::Done(_)));
    assert_eq!(coordinator.control_log().control().active("orders"), Some(2));
}

/// Whatever became of what a build was begun from, `replay` is what every message advises: so it helps.
#[tokio::test(start_paused = true)]
async fn a_build_that_cannot_end_is_given_up_for_a_new_one_by_the_next_replay() {
    for what in ["topic", "window", "log"] {
        let (mut shop, store) = open_shop(1, 1).await;
        let coordinator = start(&shop, &store).await;
        shop.trade(80).await;
        folded(&coordinator, &shop, 1).await;
        store.faults().hold_writes();
        let build = replay(&coordinator, ReplayOptions::default()).await;
        assert_eq!(build.generation, 2, "{what}");
        drop(coordinator);
        store.faults().release();
        let mut options = options();
        match what {
            "topic" => shop.log.faults().recreate(&shop.topic),
            "window" => options.window = 7,
            _ => assert!(shop.log.faults().truncate(&shop.topic, tidefold_record::Partition(0), Offset(50))),
        }
        shop.trade(20).await;
        let coordinator =
            try_start(&shop.app, &shop.log, Arc::new(store.restarted()), options).await.unwrap();
        let mut build = replay(&coordinator, ReplayOptions::default()).await;
        let phase = build.finished().await;
        assert!(matches!(phase, Phase::Done(_)), "{what}: {phase:?}");
        let control = coordinator.control_log().control();
        assert_eq!((control.active("orders"), state_of(&control, 2)), (Some(3), Some(GenerationState::Gone)));
        folded(&coordinator, &shop, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_halts_the_lanes_until_what_is_left_is_replayed() {
    let (mut shop, store) = open_shop(1, 6).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(80).await;
    folded(&coordinator, &shop, 1).await;
    drop(coordinator);
    assert!(shop.log.faults().truncate(&shop.topic, tidefold_record::Partition(0), Offset(50)));
    shop.trade(10).await;
    let coordinator = start(&shop, &store).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    let phase = build.finished().await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
    assert!(matches!(coordinator.status()[0].lanes[0].state, LaneState::Halted(Halt::PastEnd { .. })));
    shop.trade(30).await;
    folded(&coordinator, &shop, 2).await;
    assert_equals_one_fold(&shop, &store, 2).await;
}

#[tokio::test(start_paused = true)]
async fn another_window_halts_the_projection_says_both_values_and_is_mended_by_a_replay() {
    let (mut shop, store) = open_shop(1, 1).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    coordinator.shutdown().await;
    let other = Options { window: 7, ..options() };
    let coordinator = try_start(&shop.app, &shop.log, Arc::new(store.restarted()), other).await.unwrap();
    let halted = coordinator.status()[0].halted.clone().unwrap();
    assert!(halted.contains("dedupe window was 40") && halted.contains("is 7"), "{halted}");
    let phase = replay(&coordinator, ReplayOptions::default()).await.finished().await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
    shop.trade(30).await;
    folded(&coordinator, &shop, 2).await;
    let wrong = differences(&stored(&shop.app, &store, 2), &shop.folded(2, 7).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_replay_under_traffic_is_equal_activated_rolled_back_and_retired() {
    let (mut shop, store) = open_shop(2, 9).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(300).await;
    folded(&coordinator, &shop, 1).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    while !build.progress.borrow_and_update().phase.is_final() {
        shop.trade(3).await;
        build.progress.changed().await.unwrap();
    }
    let Phase::Done(comparison) = build.finished().await else { panic!("{:?}", build.progress.borrow()) };
    assert_eq!(comparison.differing(), 0);
    assert!(comparison.rows() > 20, "{comparison:?}");
    let control = coordinator.control_log().control();
    assert_eq!((control.active("orders"), state_of(&control, 1)), (Some(2), Some(GenerationState::Kept)));

    // The old generation stays current, so that rolling back loses nothing.
    shop.trade(100).await;
    folded(&coordinator, &shop, 2).await;
    folded(&coordinator, &shop, 1).await;
    assert_equals_one_fold(&shop, &store, 2).await;
    assert_equals_one_fold(&shop, &store, 1).await;
    assert_eq!(coordinator.rollback("orders").await.unwrap(), 1);
    shop.trade(50).await;
    folded(&coordinator, &shop, 1).await;
    folded(&coordinator, &shop, 2).await;
    assert_eq!(nameless(stored(&shop.app, &store, 1)), nameless(stored(&shop.app, &store, 2)));

    assert_eq!(coordinator.retire("orders").await.unwrap(), [2]);
    assert!(stored(&shop.app, &store, 2).is_empty());
    assert!(coordinator.lanes("orders", 2).is_empty());
    assert!(matches!(coordinator.rollback("orders").await, Err(CoordinatorError::NoGeneration { .. })));
    shop.trade(50).await;
    folded(&coordinator, &shop, 1).await;
    assert_equals_one_fold(&shop, &store, 1).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_differ_are_shown_and_activated_only_when_accepted() {
    let (mut shop, store) = open_shop(1, 4).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(120).await;
    folded(&coordinator, &shop, 1).await;
    damage_a_row(&shop.app, &store, 1).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    let Phase::Differs(comparison) = build.finished().await else { panic!("{:?}", build.progress.borrow()) };
    assert_eq!(comparison.differing(), 1);
    let table = comparison.tables.iter().find(|table| table.differing == 1).unwrap();
    assert_eq!((table.table.as_str(), table.first[0].what.as_str()), ("orders", "the values differ"));
    assert_eq!(coordinator.control_log().control().active("orders"), Some(1));

    let mut build = replay(&coordinator, ReplayOptions { accept_differences: true }).await;
    assert_eq!(build.generation, 2, "the build is joined, not begun again");
    let phase = build.finished().await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
    assert_eq!(coordinator.control_log().control().active("orders"), Some(2));
    assert_equals_one_fold(&shop, &store, 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_build_leaves_nothing_behind() {
    let (mut shop, store) = open_shop(1, 4).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    damage_a_row(&shop.app, &store, 1).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    assert!(matches!(build.finished().await, Phase::Differs(_)));
    assert_eq!(coordinator.abandon("orders").await.unwrap(), [2]);
    assert!(stored(&shop.app, &store, 2).is_empty());
    assert_eq!(replay(&coordinator, ReplayOptions::default()).await.generation, 3);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_is_abandoned_under_way_says_so() {
    let (mut shop, store) = open_shop(1, 4).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(200).await;
    folded(&coordinator, &shop, 1).await;
    store.faults().hold_writes();
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    store.faults().writes_held(1).await;
    let abandoned = coordinator.abandon("orders");
    let release = async {
        tokio::task::yield_now().await;
        store.faults().release();
    };
    assert_eq!(tokio::join!(abandoned, release).0.unwrap(), [2]);
    assert_eq!(build.finished().await, Phase::Failed("it was abandoned".to_owned()));
    assert!(stored(&shop.app, &store, 2).is_empty());
}

#[tokio::test(start_paused = true)]
async fn tables_of_a_generation_that_is_gone_are_dropped_at_the_next_start() {
    let (mut shop, store) = open_shop(1, 4).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(60).await;
    folded(&coordinator, &shop, 1).await;
    let mut build = replay(&coordinator, ReplayOptions::default()).await;
    assert!(matches!(build.finished().await, Phase::Done(_)));
    folded(&coordinator, &shop, 1).await;
    drop(coordinator);
    // Killed right after the entry: control says gone, the tables are still there.
    let control_log = ControlLog::open(Arc::new(shop.log.clone()) as SharedLog, "storefront").await.unwrap();
    let retired = |control: &Control| {
        let kept = state_of(control, 1) == Some(GenerationState::Kept);
        kept.then(|| Entry::Retired { topic: "orders".to_owned(), generation: 1 })
    };
    control_log.append(retired).await.unwrap();
    assert!(!stored(&shop.app, &store, 1).is_empty());
    let _coordinator = start(&shop, &store).await;
    assert!(stored(&shop.app, &store, 1).is_empty());
}

#[test]
fn a_replay_killed_anywhere_under_traffic_is_finished_by_a_later_start() {
    for seed in 0..25 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(replay_with_kills(seed));
    }
}

async fn replay_with_kills(seed: u64) {
    let mut dice = Dice::new(seed);
    let (mut shop, store) = open_shop(2, seed).await;
    let coordinator = start(&shop, &store).await;
    shop.trade(150).await;
    folded(&coordinator, &shop, 1).await;
    replay(&coordinator, ReplayOptions::default()).await;
    drop(coordinator);
    for life in 0..8 {
        // The last life is as long as it takes.
        let calls = if life == 7 { 1 << 24 } else { dice.roll(120) as usize };
        let stepped = Stepped::over(&store, dice.roll(u64::MAX), 10);
        let coordinator = try_start(&shop.app, &shop.log, stepped.clone(), options()).await.unwrap();
        for _ in 0..4 {
            stepped.grant(calls / 4);
            shop.trade(dice.roll(10) as usize).await;
            clock::pause(Duration::from_secs(1)).await;
        }
        if life == 7 {
            for mut build in coordinator.builds() {
                let phase = build.finished().await;
                assert!(matches!(phase, Phase::Done(_)), "seed {seed}: {phase:?}");
            }
            let control = coordinator.control_log().control();
            assert_eq!(control.active("orders"), Some(2), "seed {seed}");
            folded(&coordinator, &shop, 2).await;
            folded(&coordinator, &shop, 1).await;
        }
    }
    assert_equals_one_fold(&shop, &store, 1).await;
    assert_equals_one_fold(&shop, &store, 2).await;
}
