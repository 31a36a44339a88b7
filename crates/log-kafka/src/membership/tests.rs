//! A group whose members come, go, hang and wake up in an order that a seed decides. It is formed on a real broker: the
//! mock cluster's groups do not stand members that ask twice.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use futures_util::future::select_all;
use tidefold_log::{Log, TopicSpec};

use super::*;
use crate::{KafkaLog, Settings};

const PARTITIONS: u32 = 8;
const MOST: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

type Place = (TopicName, Partition);

struct Member {
    seat: KafkaMembership,
    owned: watch::Receiver<Owned>,
    hangs: bool,
}

struct Group {
    topic: TopicName,
    settings: Settings,
    members: Vec<Member>,
    /// The newest epoch that was seen of each partition, and which member had it.
    newest: BTreeMap<Place, Epoch>,
    /// Every epoch there was, and whose it was.
    given: BTreeMap<Epoch, (usize, Place)>,
    /// How often a partition was seen with two owners.
    doubled: usize,
    random: u64,
    what: String,
}

// === impl Member ===

impl Member {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.seat.seat) as usize
    }

    /// Wakes up, and hears that what it owned is others' by now.
    async fn wake(&mut self) {
        let stale: BTreeSet<Epoch> = self.owned.borrow().partitions.values().copied().collect();
        self.hang(false);
        let lost = self.owned.wait_for(|owned| owned.partitions.values().all(|epoch| !stale.contains(epoch)));
        tokio::time::timeout(PATIENCE, lost).await.expect("a stale owner hears of it").unwrap();
    }

    fn hang(&mut self, hangs: bool) {
        self.hangs = hangs;
        self.seat.seat.hangs.store(hangs, Ordering::Release);
    }
}

// === impl Group ===

impl Group {
    /// A group on a topic of its own.
    async fn new(assignor: &str, seed: u64) -> Group {
        let broker = std::env::var("TIDEFOLD_TEST_KAFKA");
        let broker = broker.expect("TIDEFOLD_TEST_KAFKA was set when the tests were built");
        let unique = RandomState::new().build_hasher().finish();
        let topic = TopicName::new(format!("t{unique:016x}.{assignor}"));
        let spec = TopicSpec { name: topic.clone(), partitions: PARTITIONS, create: true };
        let plain = Settings { bootstrap: vec![broker.clone()], ..Settings::default() };
        KafkaLog::connect(plain).unwrap().open(&spec).await.unwrap();
        // Whoever does not poll for so long is out.
        let properties = BTreeMap::from([("max.poll.interval.ms".to_owned(), "2000".to_owned())]);
        let settings = Settings {
            bootstrap: vec![broker],
            session_timeout: Duration::from_secs(2),
            assignor: assignor.to_owned(),
            properties,
            ..Settings::default()
        };
        Group {
            topic,
            settings,
            members: Vec::new(),
            newest: BTreeMap::new(),
            given: BTreeMap::new(),
            doubled: 0,
            random: seed,
            what: String::new(),
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below.max(1) as u64) as usize
    }

    fn join(&mut self) {
        let topics = [(self.topic.clone(), PARTITIONS)];
        let seat = KafkaMembership::join(&self.settings, self.topic.as_str(), &topics).unwrap();
        let owned = seat.owned();
        self.members.push(Member { seat, owned, hangs: false });
    }

    async fn act(&mut self) {
        let live: Vec<usize> = (0..self.members.len()).filter(|at| !self.members[*at].hangs).collect();
        let hung: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].hangs).collect();
        let (one, other) = (self.draw(live.len()), self.draw(hung.len()));
        match self.draw(4) {
            0 if live.len() > 1 => {
                let gone = self.members.remove(live[one]);
                gone.seat.leave().await;
                assert!(gone.owned.borrow().partitions.is_empty(), "who left owns nothing");
                self.what = format!("member {} of {} left", live[one], self.members.len() + 1);
            }
            1 if live.len() > 1 && hung.is_empty() => {
                self.members[live[one]].hang(true);
                self.what = format!("member {} of {} hangs", live[one], self.members.len());
            }
            2 if !hung.is_empty() => {
                self.members[hung[other]].wake().await;
                self.what = format!("member {} of {} wakes up", hung[other], self.members.len());
            }
            _ if self.members.len() < MOST => {
                self.join();
                self.what = format!("member {} joined", self.members.len());
            }
            _ => self.what = "nothing".to_owned(),
        }
    }

    /// What the members that are not stopped own. A partition may have two owners for a moment: one that got no turn for as
    /// long as its session lasts is out of the group and does not know it yet, as one that hangs.
    fn snapshot(&mut self) -> BTreeMap<Place, Epoch> {
        let mut all: BTreeMap<Place, (usize, Epoch)> = BTreeMap::new();
        for (at, member) in self.members.iter().enumerate().filter(|(_, member)| !member.hangs) {
            let owned = member.owned.borrow().clone();
            for (place, epoch) in owned.partitions {
                if let Some((other, before)) = all.insert(place.clone(), (at, epoch)) {
                    let still = self.members[other].owned.borrow().partitions.get(&place).copied();
                    self.doubled += usize::from(still == Some(before));
                }
                let known = self.given.entry(epoch).or_insert_with(|| (member.id(), place.clone()));
                assert_eq!(*known, (member.id(), place), "{}: an epoch is given once", self.what);
            }
        }
        all.into_iter().map(|(place, (_, epoch))| (place, epoch)).collect()
    }

    /// Waits until every partition has one owner, and whoever owns it has an epoch no older than any before.
    async fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.members.iter_mut().for_each(|member| drop(member.owned.borrow_and_update()));
            let owned = self.snapshot();
            let live = self.members.iter().filter(|member| !member.hangs);
            let shares: Vec<usize> = live.map(|member| member.owned.borrow().partitions.len()).collect();
            let places: BTreeSet<&Place> = owned.keys().collect();
            let even =
                shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1);
            if places.len() == PARTITIONS as usize && shares.iter().sum::<usize>() == places.len() && even {
                for (place, epoch) in owned {
                    let before = self.newest.insert(place, epoch).unwrap_or(Epoch(0));
                    assert!(epoch >= before, "{}: an old epoch is valid again", self.what);
                }
                return;
            }
            assert!(Instant::now() < deadline, "{}: partitions are shared as {shares:?}", self.what);
            let moves = self.members.iter_mut().map(|member| Box::pin(member.owned.changed()));
            let (changed, ..) = tokio::time::timeout_at(deadline, select_all(moves))
                .await
                .unwrap_or_else(|_| panic!("{}: partitions stay shared as {shares:?}", self.what));
            changed.unwrap();
        }
    }
}

async fn soak(assignor: &str, seed: u64) {
    let rounds = std::env::var("TIDEFOLD_REBALANCES").map_or(8, |rounds| rounds.parse().unwrap());
    let mut group = Group::new(assignor, seed).await;
    group.join();
    group.settle().await;
    for _ in 0..rounds {
        group.act().await;
        group.settle().await;
    }
    let (epochs, doubled) = (group.given.len(), group.doubled);
    println!("{assignor}: {rounds} changes of the group, {epochs} epochs, two owners seen {doubled} times");
    group.members.iter_mut().for_each(|member| member.hang(false));
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn after_every_change_each_partition_has_one_owner_with_range() {
    soak("range", 0x5eed).await;
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn after_every_change_each_partition_has_one_owner_with_cooperative_sticky() {
    soak("cooperative-sticky", 0x5eed).await;
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn where_brokers_take_no_session_so_short_a_member_comes_in_with_a_longer_one() {
    let mut group = Group::new("range", 0x5eed).await;
    // Below what any broker takes that was told a bound at all; what a longer session goes with is left as usual.
    group.settings.session_timeout = Duration::from_millis(200);
    group.settings.properties.clear();
    group.join();
    group.settle().await;
}
