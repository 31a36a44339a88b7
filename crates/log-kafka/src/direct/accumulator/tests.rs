//! What the accumulator takes, gives back and numbers.

use tidefold_record::headers::HeadersBuilder;

use super::*;
use crate::known::Described;

const SESSION: Session = Session { producer: 9, epoch: 0 };

fn topic(name: &str) -> Arc<KnownTopic> {
    Arc::new(KnownTopic::new(&TopicName::new(name), Described { partitions: 3, id: "an-id".to_owned() }))
}

/// Broker 1 leads partitions 0 and 1, broker 2 leads partition 2.
fn leaders() -> Leaders {
    let address = |port| Address { host: "127.0.0.1".to_owned(), port };
    Leaders {
        id: Uuid::nil(),
        of: [1, 1, 2].map(|id| Some(BrokerId(id))).to_vec(),
        addresses: [1, 2].map(|id| (BrokerId(id), address(id as u16))).into(),
    }
}

fn batch(records: usize, bytes: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    let value = vec![0; bytes / records];
    (0..records).for_each(|_| batch.push(None, Some(&value), HeadersBuilder::new().as_headers()));
    batch
}

fn routed(topic: &Arc<KnownTopic>) -> Accumulator {
    let mut accumulator = Accumulator::new(8 << 20);
    let now = Instant::now();
    assert!(matches!(
        accumulator.send(topic, Partition(0), batch(1, 1), now),
        Sent::Refused { route: true, .. }
    ));
    assert_eq!(accumulator.route(&topic.name, Some(leaders()), now).len(), 2);
    accumulator
}

fn send(
    accumulator: &mut Accumulator,
    topic: &Arc<KnownTopic>,
    partition: u32,
    batch: BatchBuilder,
) -> oneshot::Receiver<Outcome> {
    match accumulator.send(topic, Partition(partition), batch, Instant::now()) {
        Sent::Waiting(waiting, _) => waiting,
        Sent::Refused { .. } => panic!("refused"),
    }
}

fn taken(accumulator: &mut Accumulator, broker: i32) -> Vec<(u32, usize, i32)> {
    let portions = accumulator.take(BrokerId(broker), SESSION);
    portions
        .iter()
        .map(|portion| (portion.partition.0, portion.appends.len(), portion.sequence.first))
        .collect()
}

#[test]
fn a_request_takes_what_waits_for_all_partitions_of_its_broker_in_order_and_numbered() {
    let topic = topic("t");
    let mut accumulator = routed(&topic);
    let _waiting: Vec<_> = [(1, 2), (0, 1), (2, 1), (1, 3)]
        .map(|(partition, records)| send(&mut accumulator, &topic, partition, batch(records, 90)))
        .into();
    assert_eq!(taken(&mut accumulator, 1), [(1, 2, 0), (0, 1, 0)]);
    assert_eq!(accumulator.work(BrokerId(1)), Work::None);
    assert_eq!(taken(&mut accumulator, 2), [(2, 1, 0)]);
    let _more = send(&mut accumulator, &topic, 1, batch(1, 9));
    assert_eq!(taken(&mut accumulator, 1), [(1, 1, 5)], "numbers go on behind five records");
}

#[test]
fn a_new_session_counts_from_nothing() {
    let topic = topic("t");
    let mut accumulator = routed(&topic);
    assert_eq!(accumulator.begin(SESSION), SESSION);
    let other = Session { producer: 10, epoch: 0 };
    assert_eq!(accumulator.begin(other), SESSION, "there is one already");
    let _first = send(&mut accumulator, &topic, 0, batch(4, 40));
    assert_eq!(taken(&mut accumulator, 1), [(0, 1, 0)]);
    accumulator.end(other);
    assert_eq!(accumulator.session(), Some(SESSION), "somebody else's end");
    accumulator.end(SESSION);
    assert_eq!(accumulator.begin(other), other);
    let _second = send(&mut accumulator, &topic, 0, batch(1, 9));
    let portions = accumulator.take(BrokerId(1), other);
    assert_eq!(portions[0].sequence, Sequence { session: other, first: 0 });
}

#[test]
fn what_waits_for_a_broker_that_is_away_comes_back_and_its_partitions_are_asked_for_later() {
    let topic = topic("t");
    let mut accumulator = routed(&topic);
    let mut lost = send(&mut accumulator, &topic, 0, batch(3, 30));
    let mut kept = send(&mut accumulator, &topic, 2, batch(1, 10));
    let now = Instant::now();
    accumulator.unroute(BrokerId(1), None, now);
    assert!(matches!(lost.try_recv(), Ok(Outcome::Back(batch)) if batch.len() == 3));
    assert!(kept.try_recv().is_err(), "another broker's");
    assert_eq!(accumulator.work(BrokerId(1)), Work::None);
    let refused = accumulator.send(&topic, Partition(0), batch(1, 1), now);
    assert!(matches!(refused, Sent::Refused { route: false, .. }), "asked again only after a while");
    let refused = accumulator.send(&topic, Partition(0), batch(1, 1), now + ASK_AGAIN);
    assert!(matches!(refused, Sent::Refused { route: true, .. }));
    let refused = accumulator.send(&topic, Partition(1), batch(1, 1), now + ASK_AGAIN);
    assert!(matches!(refused, Sent::Refused { route: false, .. }), "somebody asks just now");
    assert_eq!(accumulator.route(&topic.name, Some(leaders()), now).len(), 0, "no broker is new");
    let _again = send(&mut accumulator, &topic, 0, batch(1, 1));
    assert_eq!(taken(&mut accumulator, 1), [(0, 1, 0)]);
}

#[test]
fn one_topic_is_forgotten_and_the_others_go_on() {
    let (one, other) = (topic("one"), topic("other"));
    let mut accumulator = routed(&one);
    let now = Instant::now();
    let _refused = accumulator.send(&other, Partition(0), batch(1, 1), now);
    accumulator.route(&other.name, Some(leaders()), now);
    let mut back = send(&mut accumulator, &one, 0, batch(1, 10));
    let _stays = send(&mut accumulator, &other, 0, batch(1, 10));
    accumulator.unroute(BrokerId(1), Some(&one.name), now);
    assert!(matches!(back.try_recv(), Ok(Outcome::Back(_))));
    let portions = accumulator.take(BrokerId(1), SESSION);
    assert_eq!(portions.len(), 1);
    assert_eq!(portions[0].topic.name, other.name);
}

#[test]
fn requests_portions_and_what_waits_are_bounded() {
    let topic = topic("t");
    let mut accumulator = Accumulator::new(700 << 10);
    let now = Instant::now();
    let _refused = accumulator.send(&topic, Partition(0), batch(1, 1), now);
    accumulator.route(&topic.name, Some(leaders()), now);
    let mut waiting = Vec::new();
    while let Sent::Waiting(one, _) = accumulator.send(&topic, Partition(0), batch(1, 60 << 10), now) {
        waiting.push(one);
    }
    assert_eq!(waiting.len(), 11, "of 60 KiB in 700");
    let mut counts = Vec::new();
    while accumulator.work(BrokerId(1)) != Work::None {
        counts.extend(taken(&mut accumulator, 1));
    }
    assert_eq!(counts, [(0, 4, 0), (0, 4, 4), (0, 3, 8)], "256 KiB a portion");
    assert_eq!(accumulator.bytes, 0);
}

#[test]
fn a_look_at_a_way_takes_nobodys_turn_to_ask_for_it() {
    let (one, now) = (topic("one"), Instant::now());
    let mut accumulator = Accumulator::new(1 << 20);
    assert_eq!(accumulator.route_now(&one, Partition(0)), None);
    assert_eq!(accumulator.route_of(&one, Partition(0), now), Err(true), "who comes first asks");
    assert_eq!(accumulator.route_of(&one, Partition(0), now), Err(false), "and the others wait");
    accumulator.route(&one.name, None, now);
    assert_eq!(accumulator.route_now(&one, Partition(0)), None);
    assert_eq!(
        accumulator.route_of(&one, Partition(0), now + ASK_AGAIN),
        Err(true),
        "the next turn is there"
    );
    accumulator.route(&one.name, Some(leaders()), now);
    assert!(accumulator.route_now(&one, Partition(0)).is_some());
}

#[test]
fn a_topic_opened_anew_is_another_one() {
    let (old, new) = (topic("t"), topic("t"));
    let mut accumulator = routed(&old);
    let waits = send(&mut accumulator, &old, 0, batch(1, 10));
    let refused = accumulator.send(&new, Partition(0), batch(1, 1), Instant::now());
    assert!(matches!(refused, Sent::Refused { route: true, .. }));
    assert_eq!(taken(&mut accumulator, 1), [(0, 1, 0)], "what waits still goes its way");
    drop(waits);
}

#[test]
fn who_closes_lets_what_waits_go_its_way() {
    let topic = topic("t");
    let mut accumulator = routed(&topic);
    let _waits = send(&mut accumulator, &topic, 0, batch(1, 10));
    accumulator.close();
    assert!(matches!(accumulator.work(BrokerId(1)), Work::At(_)));
    assert_eq!(accumulator.work(BrokerId(2)), Work::Over);
    let refused = accumulator.send(&topic, Partition(0), batch(1, 1), Instant::now());
    assert!(matches!(refused, Sent::Refused { route: false, .. }));
    assert_eq!(taken(&mut accumulator, 1).len(), 1);
    assert_eq!(accumulator.work(BrokerId(1)), Work::Over);
}
