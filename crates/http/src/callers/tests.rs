//! Shares, and who makes room.

use super::*;

fn callers(limits: Limits) -> Arc<Callers> {
    Callers::new(Limits { address_share: 4, ..limits })
}

fn open(callers: &Arc<Callers>, address: &str) -> Option<Connected> {
    callers.open(address.parse().unwrap())
}

#[test]
fn a_caller_is_an_address_or_a_network_of_64_bits() {
    let group = |text: &str| group_of(text.parse().unwrap()).to_string();
    assert_eq!(group("192.0.2.7"), "192.0.2.7");
    assert_eq!(group("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(group("2001:db8:1:2:ffff::1"), group("2001:db8:1:2::9"));
}

#[test]
fn whatever_one_caller_takes_the_others_find_theirs() {
    let callers = callers(Limits { connections: 100, ..Limits::default() });
    let greedy = open(&callers, "192.0.2.1").unwrap();
    let polite = open(&callers, "192.0.2.2").unwrap();
    for what in [Shared::Places, Shared::Waits, Shared::Bytes, Shared::Answers] {
        let mut held = Vec::new();
        while let Some(one) = greedy.caller.take(what, 1, 40, 1) {
            held.push(one);
        }
        assert_eq!(held.len(), 10, "{what:?}");
        assert!(polite.caller.take(what, 10, 40, 1).is_some(), "{what:?}");
        drop(held);
        assert!(greedy.caller.take(what, 10, 40, 1).is_some(), "{what:?} was given back");
    }
}

#[test]
fn one_caller_can_do_the_largest_thing_and_all_together_stay_below_the_bound() {
    let callers = callers(Limits::default());
    let connections: Vec<_> = (0..8).map(|n| open(&callers, &format!("192.0.2.{n}")).unwrap()).collect();
    let take = |n: usize, amount| connections[n].caller.take(Shared::Bytes, amount, 40, 30);
    let mut largest = take(0, 30).unwrap();
    assert!(!largest.grow(1), "over the share");
    assert!(take(1, 11).is_none() && take(2, 10).is_some());
    let rest = take(2, 10).unwrap();
    assert!(take(3, 1).is_none());
    largest.shrink_to(5);
    assert!(take(3, 25).is_some() && rest.amount() == 10);
}

#[test]
fn who_waits_gives_its_place_to_others() {
    let callers = callers(Limits { requests: 4, waits: 8, ..Limits::default() });
    let connected = open(&callers, "192.0.2.1").unwrap();
    let (_first, placed) = callers.answering(&connected.caller);
    assert!(placed && !callers.answering(&connected.caller).1);
    let waiting = connected.caller.wait().unwrap();
    let (second, placed) = callers.answering(&connected.caller);
    assert!(placed, "the place is another's meanwhile");
    let also = connected.caller.wait().unwrap();
    assert!(connected.caller.wait().is_none(), "a quarter of 8 may wait");
    drop((waiting, also, second));
    assert!(!callers.answering(&connected.caller).1, "the first works again");
}

#[test]
fn the_longest_idle_makes_room_and_the_busy_stay() {
    let callers = callers(Limits { connections: 8, ..Limits::default() });
    let first = open(&callers, "192.0.2.1").unwrap();
    let second = open(&callers, "192.0.2.1").unwrap();
    let (answering, _) = callers.answering(&first.caller);
    let third = open(&callers, "192.0.2.1").unwrap();
    assert!(second.caller.cut().is_cancelled() && !first.caller.cut().is_cancelled());
    let (_also, _) = callers.answering(&third.caller);
    assert!(open(&callers, "192.0.2.1").is_none(), "both are busy");
    assert!(open(&callers, "192.0.2.2").is_some(), "another finds its share");
    drop(answering);
    assert!(open(&callers, "192.0.2.1").is_some() && first.caller.cut().is_cancelled());
}

#[test]
fn at_the_bound_the_caller_with_the_most_makes_room() {
    let callers = callers(Limits { connections: 6, ..Limits::default() });
    let two = [open(&callers, "192.0.2.1").unwrap(), open(&callers, "192.0.2.1").unwrap()];
    let others: Vec<_> = (2..6).map(|n| open(&callers, &format!("192.0.2.{n}")).unwrap()).collect();
    let last = open(&callers, "192.0.2.9").unwrap();
    assert_eq!(two.iter().filter(|one| one.caller.cut().is_cancelled()).count(), 1);
    assert!(!others.iter().any(|one| one.caller.cut().is_cancelled()));
    drop((two, others, last));
    let open = callers.lock();
    assert_eq!((open.count, open.of.len()), (0, 0));
}

#[test]
fn who_is_connected_and_asks_later_is_not_cut_by_a_crowd_that_comes() {
    let callers = callers(Limits { connections: 28, ..Limits::default() });
    let first = open(&callers, "192.0.2.1").unwrap();
    let crowd: Vec<_> = (0..100).map(|_| open(&callers, "192.0.2.1").unwrap()).collect();
    assert!(!first.caller.cut().is_cancelled());
    assert_eq!(crowd.iter().filter(|one| !one.caller.cut().is_cancelled()).count(), 6);
}

#[test]
fn who_was_there_long_before_is_not_cut_by_a_crowd_that_comes_at_once() {
    let callers = callers(Limits { connections: 28, ..Limits::default() });
    let first = open(&callers, "192.0.2.1").unwrap();
    first.caller.0.idle_since.store(0, Ordering::Relaxed);
    let long_after = 10 * NEW_MS;
    let crowd: Vec<_> = (0..20).map(|_| open(&callers, "192.0.2.1").unwrap()).collect();
    for one in &crowd {
        one.caller.0.idle_since.store(long_after, Ordering::Relaxed);
    }
    let address = "192.0.2.1".parse().unwrap();
    for _ in 0..5 {
        callers.lock().evict(address, long_after).unwrap();
    }
    assert!(!first.caller.cut().is_cancelled());
    // Of a crowd that had the time to ask and did not, the youngest goes first.
    callers.lock().evict(address, 20 * NEW_MS).unwrap();
    assert!(!first.caller.cut().is_cancelled() && callers.lock().count == 1);
}

#[test]
fn among_many_connections_too_the_idle_make_room_and_the_busy_stay() {
    let callers = callers(Limits { connections: 4_000, ..Limits::default() });
    let mut connected: Vec<_> = (0..1_000).map(|_| open(&callers, "192.0.2.1").unwrap()).collect();
    // Every other one is busy.
    let busy: Vec<_> =
        connected.iter().step_by(2).map(|connected| callers.answering(&connected.caller)).collect();
    let is_cut = |connected: &Connected| connected.caller.cut().is_cancelled();
    let mut came = Vec::new();
    for _ in 0..500 {
        came.push(open(&callers, "192.0.2.1").unwrap());
    }
    let cut = connected.iter().chain(&came).filter(|connected| is_cut(connected)).count();
    assert_eq!(cut, 500);
    assert!(connected.iter().step_by(2).all(|connected| !is_cut(connected)), "the busy stay");
    // What became idle meanwhile makes room, too.
    drop(busy);
    connected.retain(|connected| !is_cut(connected));
    came.retain(|connected| !is_cut(connected));
    let before = connected.len() + came.len();
    assert_eq!(before, 1_000);
    for _ in 0..before {
        came.push(open(&callers, "192.0.2.1").unwrap());
    }
}
