//! The watchdog, by a clock that stands until it is moved.

use tidefold_record::TopicName;

use super::*;
use crate::native::Described;

const P0: Partition = Partition(0);
const PATIENCE: Patience = Patience { stuck: Duration::from_secs(2), rebuild: Duration::from_secs(20) };

impl Feeds {
    /// Stops fetching behind the cursors' backs, as a consumer does that lost its place; what reads now.
    pub(crate) fn freeze(&self) -> Vec<Arc<FeedConsumer>> {
        let freeze = |feed: &Arc<Feed>| {
            let consumer = feed.consumer();
            for cursor in &feed.lock().all {
                consumer.consumer().pause(&place(cursor, 0).unwrap()).unwrap();
            }
            consumer
        };
        self.all().iter().map(freeze).collect()
    }

    /// What reads now.
    pub(crate) fn consumers(&self) -> Vec<Arc<FeedConsumer>> {
        self.all().iter().map(|feed| feed.consumer()).collect()
    }
}

/// Cursors with one in a partition, placed and read to its end.
fn caught_up() -> (Cursors, Arc<KnownTopic>) {
    let described = Described { partitions: 1, id: "mock".to_owned() };
    let topic = Arc::new(KnownTopic::new(&TopicName::new("watched"), described));
    let mut cursor = Cursor::new(&topic, P0, Offset(0));
    (cursor.placing, cursor.assigned) = (false, true);
    cursor.accept_end(Offset(0));
    (Cursors { all: vec![cursor], ..Cursors::default() }, topic)
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_after_a_long_silence_is_not_late() {
    let (mut cursors, topic) = caught_up();
    pass(3_600).await;
    topic.raise(P0, Offset(1));
    assert!(!cursors.nudge(PATIENCE));
    assert!(!cursors.all[0].placing, "it came just now");
    pass(1).await;
    cursors.all[0].accept_end(Offset(1));
    topic.raise(P0, Offset(2));
    pass(1).await;
    assert!(!cursors.nudge(PATIENCE));
    assert!(!cursors.all[0].placing, "it moved within the time");
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_stands_still_is_placed_again_and_then_replaced() {
    let (mut cursors, topic) = caught_up();
    topic.raise(P0, Offset(1));
    assert!(!cursors.nudge(PATIENCE));
    pass(2).await;
    assert!(!cursors.nudge(PATIENCE), "it is placed again first");
    assert!(cursors.all[0].placing && cursors.wanted);
    cursors.all[0].placing = false;
    pass(1).await;
    assert!(!cursors.nudge(PATIENCE), "that is given its time");
    pass(2).await;
    assert!(cursors.nudge(PATIENCE), "it did not help");
    cursors.start_again();
    assert!(cursors.all[0].placing && !cursors.all[0].assigned, "another consumer begins where it stood");
    assert_eq!(cursors.all[0].position, Offset(0));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_was_just_replaced_is_left_alone() {
    let (mut cursors, topic) = caught_up();
    topic.raise(P0, Offset(1));
    cursors.start_again();
    for _ in 0..4 {
        assert!(!cursors.nudge(PATIENCE), "no more than one in twenty seconds");
        pass(4).await;
    }
    pass(5).await;
    assert!(cursors.nudge(PATIENCE));
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_was_paused_or_told_of_a_fault_does_not_stand_still() {
    let (mut cursors, topic) = caught_up();
    topic.raise(P0, Offset(1));
    for (paused, fault) in [(true, None), (false, Some(Code::OffsetOutOfRange))] {
        (cursors.all[0].paused, cursors.all[0].fault) = (paused, fault);
        assert!(!cursors.nudge(PATIENCE));
        pass(60).await;
        assert!(!cursors.nudge(PATIENCE));
        assert!(!cursors.all[0].placing);
    }
}
