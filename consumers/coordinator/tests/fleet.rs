//! One app folded by many processes: partitions move, processes come and go, and topics are replaced.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

mod fleet_support;

use std::time::Duration;

use fleet_support::{Member, all_folded, deal, equals_one_fold, options, run};
use support::stepped::Stepped;
use support::{Dice, Shop, stored, storefront};
use tidefold_log::memory::MemoryLog;
use tidefold_record::{Offset, Partition};
use tidefold_store::memory::MemoryStore;
use tidefold_telemetry::clock;

const PARTITIONS: u32 = 3;

async fn open_shop(seed: u64) -> (Shop, MemoryStore) {
    (Shop::open(storefront(PARTITIONS), MemoryLog::new(), seed).await, MemoryStore::new())
}

fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
}

#[test]
fn partitions_moved_at_random_under_traffic_end_in_tables_equal_to_one_fold() {
    for seed in 0..12 {
        run(async {
            let mut dice = Dice::new(seed);
            let (mut shop, store) = open_shop(seed).await;
            let mut members = Vec::new();
            for _ in 0..3 {
                members.push(Member::start(&shop, &store).await);
            }
            for _ in 0..40 {
                let member = &members[dice.roll(3) as usize];
                let partition = Partition(dice.roll(u64::from(PARTITIONS)) as u32);
                // Two owners at once, and none at all, come about as well.
                match dice.roll(5) {
                    0 | 1 => member.membership.give(&shop.topic, partition),
                    2 => member.membership.take(&shop.topic, partition),
                    _ => deal(&members, &shop, &mut dice),
                }
                shop.trade(dice.roll(12) as usize).await;
                clock::pause(Duration::from_millis(dice.roll(30))).await;
            }
            deal(&members, &shop, &mut dice);
            all_folded(&members, &shop, 1).await;
            equals_one_fold(&shop, &store, 1).await;
        });
    }
}

#[test]
fn a_stale_owner_that_goes_on_writing_does_no_harm() {
    for seed in 0..12 {
        run(async {
            let mut dice = Dice::new(seed);
            let (mut shop, store) = open_shop(seed).await;
            let slow = Stepped::over(&store, seed, 20);
            slow.grant(1_000);
            let stale = Member::over(&shop, slow.clone()).await;
            let owner = Member::start(&shop, &store).await;
            for partition in partitions() {
                stale.membership.give(&shop.topic, partition);
            }
            shop.trade(60).await;
            clock::pause(Duration::from_secs(1)).await;
            for partition in partitions() {
                // The stale one is never told.
                owner.membership.give(&shop.topic, partition);
            }
            for _ in 0..30 {
                shop.trade(dice.roll(10) as usize).await;
                slow.grant(dice.roll(12) as usize);
                clock::pause(Duration::from_millis(50)).await;
            }
            let members = [owner];
            all_folded(&members, &shop, 1).await;
            // What it still had in hand lands now.
            slow.grant(1 << 20);
            clock::pause(Duration::from_secs(10)).await;
            equals_one_fold(&shop, &store, 1).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_it_has_and_hands_over() {
    let (mut shop, store) = open_shop(5).await;
    let first = Member::start(&shop, &store).await;
    let second = Member::start(&shop, &store).await;
    partitions().for_each(|partition| first.membership.give(&shop.topic, partition));
    shop.trade(100).await;
    all_folded(std::slice::from_ref(&first), &shop, 1).await;
    let ends = shop.ends().await;
    clock::pause(Duration::from_secs(3)).await;
    for (partition, end) in partitions().zip(ends) {
        assert_eq!(
            first.membership.told(&shop.topic, partition),
            Some(end),
            "the group's lag tools are told"
        );
    }
    let elsewhere = second.coordinator.elsewhere().await.unwrap();
    let told: Vec<Offset> = elsewhere.iter().map(|partition| partition.next).collect();
    assert_eq!(vec![told], second.coordinator.ends().await.unwrap());
    assert!(elsewhere.len() == PARTITIONS as usize && elsewhere.iter().all(|p| p.next > Offset::ZERO));

    let membership = first.membership.clone();
    first.coordinator.shutdown().await;
    assert!(membership.has_left());
    partitions().for_each(|partition| second.membership.give(&shop.topic, partition));
    shop.trade(60).await;
    let members = [second];
    all_folded(&members, &shop, 1).await;
    assert!(members[0].coordinator.elsewhere().await.unwrap().is_empty());
    equals_one_fold(&shop, &store, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_replaced_or_cut_halts_its_projection_in_every_process_and_changes_no_row() {
    for told in ["was replaced", "was deleted", "starts at 5 instead of 0", "ends at 5 and is folded up to"] {
        let (mut shop, store) = open_shop(6).await;
        let members = [Member::start(&shop, &store).await, Member::start(&shop, &store).await];
        deal(&members, &shop, &mut Dice::new(1));
        shop.trade(60).await;
        all_folded(&members, &shop, 1).await;
        let before = stored(&shop.app, &store, 1);
        match told {
            "was replaced" => shop.log.faults().recreate(&shop.topic),
            "was deleted" => shop.log.faults().delete(&shop.topic),
            "starts at 5 instead of 0" => {
                partitions().for_each(|p| shop.log.faults().trim(&shop.topic, p, Offset(5)));
            }
            _ => partitions().for_each(|p| {
                shop.log.faults().truncate(&shop.topic, p, Offset(5));
            }),
        }
        clock::pause(options().look_at_topics * 4).await;
        for member in &members {
            let status = member.coordinator.status().remove(0);
            let halted = status.halted.unwrap();
            assert!(halted.contains(told) && halted.contains("start again"), "{halted}");
            assert!(status.lanes.is_empty());
        }
        if told != "was deleted" {
            // More than there was, so that no offset tells.
            shop.trade(200).await;
            clock::pause(Duration::from_secs(60)).await;
        }
        assert_eq!(stored(&shop.app, &store, 1), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_finish_does_not_hold_up_what_else_moves() {
    let (mut shop, store) = open_shop(7).await;
    let slow = Stepped::over(&store, 1, 0);
    slow.grant(1_000);
    let stuck = Member::over(&shop, slow.clone()).await;
    partitions().for_each(|partition| stuck.membership.give(&shop.topic, partition));
    clock::pause(Duration::from_secs(1)).await;
    while slow.left() > 0 {
        shop.trade(5).await;
        clock::pause(Duration::from_millis(20)).await;
    }
    stuck.membership.take(&shop.topic, Partition(0));
    clock::pause(Duration::from_millis(20)).await;
    assert_eq!(stuck.lanes(1), [Partition(1), Partition(2)]);
    stuck.membership.give(&shop.topic, Partition(0));
    clock::pause(Duration::from_millis(20)).await;
    assert_eq!(stuck.lanes(1), [Partition(0), Partition(1), Partition(2)]);
    slow.grant(1 << 20);
    let members = [stuck];
    all_folded(&members, &shop, 1).await;
    equals_one_fold(&shop, &store, 1).await;
}
