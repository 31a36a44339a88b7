//! Looks at checkpoints for all who wait for one to move on.
//!
//! However many wait, one of them looks for all, and one look is under way. How often depends on how long they wait, never
//! on how many they are. An answer comes only of a look that began after it was asked for: what was read before may be
//! older than what the asker was told already.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_record::{Offset, Partition};
use tidefold_table::{Checkpoint, GenerationTables};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use crate::published::Published;
use crate::{Moves, SharedStore, StoreError};

/// The checkpoints of one generation, for those who wait.
pub struct Lookout {
    store: SharedStore,
    published: Published,
    board: Mutex<Board>,
    /// One permit, of whoever looks. It is given on when that one has its answer, or is gone.
    turn: Semaphore,
    joined: Notify,
}

/// A partition that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The partition.
    pub partition: Partition,
    /// The record that has to be folded; none where any checkpoint will do.
    pub past: Option<Offset>,
}

/// The checkpoints of the partitions that were wanted, in their order.
type Answer = Result<Vec<Option<Checkpoint>>, StoreError>;
/// What a look found of a partition.
type Found = Result<Option<Checkpoint>, StoreError>;

/// Who waits, and what was looked at. Looks are numbered from 1 on.
#[derive(Debug, Default)]
struct Board {
    /// Who came since the last look ended.
    fresh: Vec<Waiter>,
    /// Who waits on, by a record that has to be folded first: a look at a checkpoint that did not get so far is nothing to
    /// them, however many they are.
    parked: BTreeMap<(Partition, Offset), Vec<Waiter>>,
    /// How many want each partition.
    wanted: BTreeMap<Partition, usize>,
    /// The last look that began, and when.
    begun: u64,
    began_at: Option<Instant>,
    /// The last look that came to an end.
    ended: u64,
    /// Of how many partitions.
    partitions: u32,
    /// How often this process had moved checkpoints by then.
    moved: u64,
    /// Who came last: after which look, and when.
    newest: Option<(u64, Instant)>,
    /// When those were last let go who do not wait any more.
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    wanted: Vec<Wanted>,
    /// The last look that had begun before it came.
    after: u64,
    answer: oneshot::Sender<Answer>,
}

/// What a look says to a waiter.
enum Said {
    Answer(Answer),
    /// This record has to be folded first.
    Before(Partition, Offset),
}

/// A look that is under way.
struct Look {
    number: u64,
    partitions: Vec<Partition>,
}

/// How often to look again when nothing says that a checkpoint moved, since writes of other processes tell nobody. It is a
/// quarter of what the newest who waits has waited: to wait long costs few looks, and no wait becomes longer by more than
/// that quarter.
const SOONEST: Duration = Duration::from_millis(1);
const LATEST: Duration = Duration::from_millis(100);

/// A look at many partitions costs more than one at few: the soonest is for each of them, up to this many.
const PARTITIONS: u32 = 5;

// === impl Lookout ===

impl Lookout {
    /// That of a generation.
    #[must_use]
    pub fn of(store: &SharedStore, tables: &GenerationTables) -> Lookout {
        Lookout::over(store, Published::of(store, tables))
    }

    fn over(store: &SharedStore, published: Published) -> Lookout {
        Lookout {
            store: SharedStore::clone(store),
            published,
            board: Mutex::default(),
            turn: Semaphore::new(1),
            joined: Notify::new(),
        }
    }

    /// The checkpoints of these partitions, as they are once all that is wanted is folded; as they are now, where nothing
    /// has to be. It ends by itself only then: whoever has no more patience drops it.
    ///
    /// # Errors
    /// The store's, or damage: a look that fails is the answer to all whom it was for.
    pub async fn until(&self, wanted: Vec<Wanted>) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let mut answer = self.join(wanted);
        let _turn = tokio::select! {
            biased;
            answer = &mut answer => return answer.unwrap_or_else(|_| Err(unanswered())),
            turn = self.turn.acquire() => turn,
        };
        let Moves { times: mut moved, are_all } = self.store.checkpoints_moved();
        loop {
            // Only whoever has the turn answers: nothing comes while this one rests or looks, but something may have before.
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            self.rest(&mut moved, are_all).await;
            let look = self.board().begin(*moved.borrow_and_update());
            let found = self.published.each_checkpoint(look.partitions.iter().copied()).await;
            self.board().end(&look, found);
        }
    }

    fn join(&self, wanted: Vec<Wanted>) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        {
            let mut board = self.board();
            let after = board.begun;
            board.newest = Some((after, Instant::now()));
            for one in &wanted {
                *board.wanted.entry(one.partition).or_default() += 1;
            }
            board.fresh.push(Waiter { wanted, after, answer });
        }
        self.joined.notify_one();
        answered
    }

    /// Returns when it is time to look. Where all moves are told, nothing comes by time alone, and a timer would wake a
    /// thread for nothing each time.
    async fn rest(&self, moved: &mut watch::Receiver<u64>, are_all: bool) {
        loop {
            let (count, now) = (*moved.borrow_and_update(), Instant::now());
            let due = self.board().due(count, now);
            if due <= now {
                return;
            }
            let told = async {
                tokio::select! {
                    () = self.joined.notified() => {}
                    // A closed channel means that the store is shutting down: then only time passes.
                    Ok(()) = moved.changed() => {}
                }
            };
            // Who is told, and who has rested, asks again whether it is time.
            match are_all {
                true => told.await,
                false => drop(tokio::time::timeout_at(due, told).await),
            }
        }
    }

    /// A panic while it was held leaves at worst a waiter without its answer, who is looked for again.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Board ===

impl Board {
    /// When to look next: at once for somebody who came since the last look began, and when this process moved a checkpoint.
    fn due(&self, moved: u64, now: Instant) -> Instant {
        let (Some((after, came)), Some(began)) = (self.newest, self.began_at) else { return now };
        if after >= self.ended || moved != self.moved {
            return now;
        }
        let soonest = SOONEST * self.partitions.clamp(1, PARTITIONS);
        began + (began.saturating_duration_since(came) / 4).clamp(soonest, LATEST)
    }

    /// Begins a look at all that is waited for.
    fn begin(&mut self, moved: u64) -> Look {
        let now = Instant::now();
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= LATEST) {
            self.swept = Some(now);
            self.sweep();
        }
        let partitions: Vec<Partition> = self.wanted.keys().copied().collect();
        self.begun += 1;
        self.began_at = Some(now);
        self.partitions = partitions.len() as u32;
        self.moved = moved;
        Look { number: self.begun, partitions }
    }

    /// Lets those go who do not wait any more.
    fn sweep(&mut self) {
        let wanted = &mut self.wanted;
        let mut waits = |waiter: &Waiter| {
            let waits = !waiter.answer.is_closed();
            if !waits {
                forget(wanted, waiter);
            }
            waits
        };
        self.fresh.retain(&mut waits);
        self.parked.retain(|_, parked| {
            parked.retain(&mut waits);
            !parked.is_empty()
        });
    }

    /// Answers those who came before a look began, with what it found of their partitions.
    fn end(&mut self, look: &Look, found: Result<Vec<Found>, StoreError>) {
        self.ended = look.number;
        let found = found.map(|found| look.partitions.iter().copied().zip(found).collect());
        for waiter in self.meant(&found) {
            match (waiter.after < look.number).then(|| waiter.answer_of(&found)) {
                Some(Said::Answer(answer)) => {
                    forget(&mut self.wanted, &waiter);
                    // Who does not wait any more needs no answer.
                    drop(waiter.answer.send(answer));
                }
                Some(Said::Before(partition, offset)) => {
                    self.parked.entry((partition, offset)).or_default().push(waiter);
                }
                None => self.fresh.push(waiter),
            }
        }
    }

    /// Takes those off the board to whom what was found says anything.
    fn meant(&mut self, found: &Result<BTreeMap<Partition, Found>, StoreError>) -> Vec<Waiter> {
        let mut meant = std::mem::take(&mut self.fresh);
        let sound = found.as_ref().ok().filter(|found| found.values().all(Result::is_ok));
        let Some(found) = sound else {
            // Whom the trouble is about is for each to say.
            meant.extend(std::mem::take(&mut self.parked).into_values().flatten());
            return meant;
        };
        for (partition, checkpoint) in found {
            let Ok(Some(Checkpoint { next, .. })) = checkpoint else { continue };
            let reached = (*partition, Offset::ZERO)..(*partition, *next);
            meant.extend(self.parked.extract_if(reached, |_, _| true).flat_map(|(_, parked)| parked));
        }
        meant
    }
}

/// A waiter's partitions are not wanted for its sake any more.
fn forget(wanted: &mut BTreeMap<Partition, usize>, waiter: &Waiter) {
    for one in &waiter.wanted {
        if let Some(count) = wanted.get_mut(&one.partition) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(&one.partition);
            }
        }
    }
}

// === impl Waiter ===

impl Waiter {
    /// What a look says to this one. Damage in a partition is of no concern to those who wait for others.
    fn answer_of(&self, found: &Result<BTreeMap<Partition, Found>, StoreError>) -> Said {
        let found = match found {
            Ok(found) => found,
            Err(error) => return Said::Answer(Err(error.clone())),
        };
        let mut checkpoints = Vec::with_capacity(self.wanted.len());
        let mut before = None;
        for Wanted { partition, past } in &self.wanted {
            let checkpoint = match found.get(partition) {
                Some(Ok(checkpoint)) => *checkpoint,
                Some(Err(damage)) => return Said::Answer(Err(damage.clone())),
                None => None,
            };
            let reaches = |offset| checkpoint.is_some_and(|checkpoint| checkpoint.next > offset);
            before = before.or(past.filter(|offset| !reaches(*offset)).map(|offset| (*partition, offset)));
            checkpoints.push(checkpoint);
        }
        match before {
            Some((partition, offset)) => Said::Before(partition, offset),
            None => Said::Answer(Ok(checkpoints)),
        }
    }
}

fn unanswered() -> StoreError {
    StoreError::Unavailable { detail: "a look at checkpoints was given up; ask again".to_owned() }
}

#[cfg(test)]
mod tests;
