//! Whether a topic is still the one that was opened, with all its records.

use std::collections::BTreeMap;

use tidefold_log::{LogError, Topic, TopicSpec};
use tidefold_projector::Place;
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;

use crate::lanes::Wrong;
use crate::process::Process;
use crate::source::Source;

/// What a look at a topic finds.
pub(crate) enum Looked {
    /// The one that was opened, with all its records.
    Right,
    /// It is not what it has to be.
    Wrong(Wrong),
    /// What passes by itself is no answer.
    Untold,
}

// === impl Process ===

impl Process {
    /// Looks whether a topic is still the one that was opened, with all its records, and says what to do where it is not.
    pub(crate) async fn look(&self, source: &Source) -> Looked {
        match self.is_other(&source.there).await {
            Ok(()) => self.cut(source).await,
            Err(looked) => looked,
        }
    }

    /// Why nothing can be built from a topic in this process: it is not the one that was opened.
    pub(crate) async fn replaced(&self, source: &Source) -> Option<String> {
        if let Some(known) = self.lanes.wrong(&source.name) {
            return Some(known.reason);
        }
        match self.is_other(&source.there).await {
            Err(Looked::Wrong(wrong)) => Some(wrong.reason),
            Err(Looked::Right | Looked::Untold) | Ok(()) => None,
        }
    }

    /// An error where a topic is not the one that was opened, or cannot be looked at.
    async fn is_other(&self, was: &Topic) -> Result<(), Looked> {
        let spec = TopicSpec { name: was.name.clone(), partitions: was.partitions, create: false };
        let mut opened = self.components.log.open(&spec).await;
        if matches!(opened, Err(LogError::NoSuchPartition { .. })) {
            // A server that has just started may not have heard of it.
            clock::pause(self.options.look_at_topics).await;
            opened = self.components.log.open(&spec).await;
        }
        let lasting = |reason| Looked::Wrong(Wrong { reason, may_be_right_again: false });
        Err(match opened {
            Ok(is) if is == *was => return Ok(()),
            Ok(is) => lasting(format!(
                "topic {} was incarnation {} in log {} with {} partitions, and is {} in log {} with {}: it was \
                 replaced while it was folded. Put back the topic that was folded and start again; to go on with this \
                 one, start again and build the tables anew with `tidefold replay`",
                was.name,
                was.incarnation,
                was.cluster,
                was.partitions,
                is.incarnation,
                is.cluster,
                is.partitions
            )),
            Err(error @ LogError::Mismatch { .. }) => Looked::Wrong(Wrong {
                reason: format!("{error}. All projections of the topic stand until it is right"),
                may_be_right_again: true,
            }),
            Err(LogError::NoSuchPartition { .. }) => lasting(format!(
                "topic {} was deleted while it was folded: put it back, then start again; to go on without its records, \
                 start again and build the tables anew with `tidefold replay`",
                was.name
            )),
            Err(_) => Looked::Untold,
        })
    }

    /// Looks whether records are gone. A topic is folded from its very first record, so none ever starts later.
    async fn cut(&self, source: &Source) -> Looked {
        // Read before the log's ends: those only grow, unless the log is cut.
        let folded = self.folded(source);
        let Ok(bounds) = self.bounds(source).await else { return Looked::Untold };
        let mut gone = Vec::new();
        for (partition, bounds) in (0..).map(Partition).zip(bounds) {
            if bounds.start > Offset::ZERO {
                gone.push(format!("partition {partition} starts at {} instead of 0", bounds.start));
            }
            if let Some(next) = folded.get(&partition).filter(|next| **next > bounds.end) {
                gone.push(format!("partition {partition} ends at {} and is folded up to {next}", bounds.end));
            }
        }
        if gone.is_empty() {
            return Looked::Right;
        }
        let reason = format!(
            "topic {} has lost records while it was folded: {}. The tables stand as they were folded. Put the records \
             back from a backup, set the topic's retention to unlimited, and start again; to go on without what is \
             missing at its end, start again and build the tables anew with `tidefold replay` (without its beginning \
             nothing can be built)",
            source.there.name,
            gone.join(", ")
        );
        Looked::Wrong(Wrong { reason, may_be_right_again: false })
    }

    /// How far the lanes that are here have folded a topic, whichever generation is ahead.
    fn folded(&self, source: &Source) -> BTreeMap<Partition, Offset> {
        let mut folded = BTreeMap::new();
        let control = self.control_log.control();
        for (of, number, _) in self.generations(&control) {
            if of.name != source.name {
                continue;
            }
            for lane in self.lanes.of(&source.key(number)) {
                let status = lane.borrow();
                // What only a checkpoint claims may be damage, and is its own lane's concern.
                if status.place != Place::Found {
                    continue;
                }
                let next = folded.entry(status.partition).or_insert(status.next);
                *next = status.next.max(*next);
            }
        }
        folded
    }
}
