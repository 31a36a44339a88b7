//! Who calls, by address, and what each holds of what belongs to all.
//!
//! There are no credentials yet, so a caller is an address: one of IPv4, or 64 bits of IPv6, which is what one customer of
//! a network gets. Everything that a stranger can hold for a while has a bound over all callers and a share of it for each,
//! so that whoever takes his whole share leaves the rest to the others.
//!
//! A connection that answers nothing makes room for a new one, of the same address first: idle connections cost their owner.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidefold_telemetry::clock;
use tokio_util::sync::CancellationToken;

use crate::catalog::ProblemKind;
use crate::limits::Limits;
use crate::problem::Problem;

/// What callers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Requests being worked on.
    Places,
    /// Requests waiting for something to become true.
    Waits,
    /// Bytes of bodies, and of what they became on its way to the log.
    Bytes,
    /// Bytes of answers that their callers have not read.
    Answers,
}

/// How much of everything is held.
#[derive(Debug, Default)]
struct Holdings([AtomicUsize; 4]);

/// A caller, on one connection.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Link>);

/// Something of what belongs to all, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Held {
    mine: Arc<Holdings>,
    all: Arc<Holdings>,
    what: Shared,
    amount: usize,
    /// What one caller may hold, and all together.
    bounds: (usize, usize),
}

/// A request that waits: its place of working is another's meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Waiting {
    _wait: Held,
    caller: Caller,
}

#[derive(Debug)]
struct Link {
    mine: Arc<Holdings>,
    all: Arc<Holdings>,
    limits: Limits,
    /// Since when nothing is answered, in milliseconds of the server; `BUSY` while something is.
    idle_since: AtomicU64,
    /// Whether it ever asked for anything.
    asked: AtomicBool,
    /// Whether a part of the request's body is still to be read.
    body_arrives: AtomicBool,
    /// Whether the head says the length of its body twice, in two ways.
    says_both: AtomicBool,
    /// What a large answer holds until it was read.
    answer: Mutex<Option<Held>>,
    cut: CancellationToken,
}

const BUSY: u64 = u64::MAX;

/// For how long a connection is new: its first request may be on its way.
const NEW_MS: u64 = 100;

/// The connections of a server, by caller.
#[derive(Debug)]
pub(crate) struct Callers {
    limits: Limits,
    all: Arc<Holdings>,
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    next: u64,
    of: HashMap<IpAddr, Group>,
}

#[derive(Debug, Default)]
struct Group {
    mine: Arc<Holdings>,
    links: HashMap<u64, Arc<Link>>,
    /// Idle connections as they were when they were last looked through, in milliseconds of the server: since when each was
    /// idle, and its id. The last makes room first.
    idle: Vec<(u64, u64)>,
    looked: u64,
    /// How many there were.
    found: usize,
}

/// Among so few connections who makes room is looked for each time. Among more, a look is good for so many milliseconds, since
/// to go through thousands for each that comes would cost all others more than the crowd itself does.
const FEW: usize = 64;
const LOOK_MS: u64 = 10;

/// An open connection; closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) caller: Caller,
    callers: Arc<Callers>,
    address: IpAddr,
    id: u64,
}

/// Marks a connection as answering.
pub(crate) struct Answering {
    caller: Caller,
    callers: Arc<Callers>,
    _place: Option<Held>,
}

/// The part of an address that tells callers apart.
fn group_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// What one of so many callers may hold of a bound.
fn share(bound: usize, parts: usize) -> usize {
    bound.div_ceil(parts.max(1))
}

fn add(counter: &AtomicUsize, amount: usize, bound: usize) -> bool {
    let added = |now: usize| now.checked_add(amount).filter(|sum| *sum <= bound);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
}

// === impl Holdings ===

impl Holdings {
    fn of(&self, what: Shared) -> &AtomicUsize {
        let [places, waits, bytes, answers] = &self.0;
        match what {
            Shared::Places => places,
            Shared::Waits => waits,
            Shared::Bytes => bytes,
            Shared::Answers => answers,
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Somebody of whom nothing is known: no server took the request in.
    pub(crate) fn unknown() -> Caller {
        Caller(Arc::new(Link::new(Arc::default(), Arc::default(), Limits::default(), 0)))
    }

    /// Takes some of what belongs to all, of which there is `bound`; `None` where this caller has his share or others hold
    /// the rest. A share is never below `least`, so that one caller alone can do the largest thing there is.
    pub fn take(&self, what: Shared, amount: usize, bound: usize, least: usize) -> Option<Held> {
        let most = share(bound, self.0.limits.address_share).max(least.min(bound));
        let mut held = Held {
            mine: Arc::clone(&self.0.mine),
            all: Arc::clone(&self.0.all),
            what,
            amount: 0,
            bounds: (most, bound),
        };
        held.grow(amount).then_some(held)
    }

    /// Gives the request's place of working to others while it waits; `None` where this caller, or all together, wait for
    /// as much as they may.
    pub fn wait(&self) -> Option<Waiting> {
        let wait = self.take(Shared::Waits, 1, self.0.limits.waits, 1)?;
        for holdings in [&self.0.mine, &self.0.all] {
            holdings.of(Shared::Places).fetch_sub(1, Ordering::Relaxed);
        }
        Some(Waiting { _wait: wait, caller: self.clone() })
    }

    /// Whether something is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.idle_since.load(Ordering::Relaxed) == BUSY
    }

    /// Says whether a part of the request's body is still to be read.
    pub(crate) fn body_arrives(&self, arrives: bool) {
        self.0.body_arrives.store(arrives, Ordering::Relaxed);
    }

    pub(crate) fn is_body_arriving(&self) -> bool {
        self.0.body_arrives.load(Ordering::Relaxed)
    }

    /// Says whether the head that came has both a `Content-Length` and a `Transfer-Encoding`.
    pub(crate) fn says_both_lengths(&self, both: bool) {
        self.0.says_both.store(both, Ordering::Relaxed);
    }

    /// RFC 9112, section 6.1: who sends both may want one server to see another request than the next.
    pub(crate) fn judge_lengths(&self) -> Result<(), Problem> {
        if !self.0.says_both.load(Ordering::Relaxed) {
            return Ok(());
        }
        let detail = "a body's length is said once: by Content-Length, or by Transfer-Encoding";
        Err(Problem::new(ProblemKind::BadRequest, detail))
    }

    /// Keeps what an answer holds until it was read.
    pub(crate) fn hold_answer(&self, held: Held) {
        *self.0.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// All that was written was read, or is the system's.
    pub(crate) fn answer_was_read(&self) {
        if !self.is_busy() {
            *self.0.answer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Cancelled when the connection has to make room for another.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.0.cut
    }
}

// === impl Link ===

impl Link {
    fn new(mine: Arc<Holdings>, all: Arc<Holdings>, limits: Limits, now: u64) -> Link {
        Link {
            mine,
            all,
            limits,
            idle_since: AtomicU64::new(now),
            asked: AtomicBool::new(false),
            body_arrives: AtomicBool::new(false),
            says_both: AtomicBool::new(false),
            answer: Mutex::default(),
            cut: CancellationToken::new(),
        }
    }
}

// === impl Waiting ===

impl Drop for Waiting {
    /// Who has waited goes on at once: it was let in before.
    fn drop(&mut self) {
        for holdings in [&self.caller.0.mine, &self.caller.0.all] {
            holdings.of(Shared::Places).fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Held ===

impl Held {
    /// Takes so much more; false, and nothing taken, where it is not there.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let (most, bound) = self.bounds;
        if !add(self.mine.of(self.what), more, most) {
            return false;
        }
        if !add(self.all.of(self.what), more, bound) {
            self.mine.of(self.what).fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.amount += more;
        true
    }

    /// Gives back what is over `amount`.
    pub fn shrink_to(&mut self, amount: usize) {
        let over = self.amount.saturating_sub(amount);
        self.mine.of(self.what).fetch_sub(over, Ordering::Relaxed);
        self.all.of(self.what).fetch_sub(over, Ordering::Relaxed);
        self.amount -= over;
    }

    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

// === impl Callers ===

impl Callers {
    pub(crate) fn new(limits: Limits) -> Arc<Callers> {
        Arc::new(Callers { limits, all: Arc::default(), started: clock::instant(), open: Mutex::default() })
    }

    /// Lets a connection in. Where its caller has his share of connections, or there are as many as there may be, the
    /// longest idle makes room; `None` where none is idle.
    pub(crate) fn open(self: &Arc<Callers>, peer: IpAddr) -> Option<Connected> {
        let address = group_of(peer);
        let now = self.now();
        let mut open = self.lock();
        let most = share(self.limits.connections, self.limits.address_share);
        if open.of.get(&address).is_some_and(|group| group.links.len() >= most) {
            open.evict(address, now)?;
        } else if open.count >= self.limits.connections {
            let largest =
                open.of.iter().max_by_key(|(_, group)| group.links.len()).map(|(address, _)| *address);
            open.evict(largest?, now)?;
        }
        let id = open.next;
        open.next += 1;
        open.count += 1;
        let group = open.of.entry(address).or_default();
        let link = Arc::new(Link::new(Arc::clone(&group.mine), Arc::clone(&self.all), self.limits, now));
        group.links.insert(id, Arc::clone(&link));
        Some(Connected { caller: Caller(link), callers: Arc::clone(self), address, id })
    }

    /// Takes a place for a request of a caller; the place is missing where there is none.
    pub(crate) fn answering(self: &Arc<Callers>, caller: &Caller) -> (Answering, bool) {
        caller.0.asked.store(true, Ordering::Relaxed);
        caller.0.idle_since.store(BUSY, Ordering::Relaxed);
        let place = caller.take(Shared::Places, 1, self.limits.requests, 1);
        let has_place = place.is_some();
        (Answering { caller: caller.clone(), callers: Arc::clone(self), _place: place }, has_place)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Answering ===

impl Drop for Answering {
    fn drop(&mut self) {
        self.caller.0.idle_since.store(self.callers.now(), Ordering::Relaxed);
    }
}

// === impl Group ===

impl Group {
    /// An idle connection that makes room; none where none is idle.
    fn next_idle(&mut self, now: u64) -> Option<u64> {
        let is_due = self.links.len() <= FEW || now.saturating_sub(self.looked) >= LOOK_MS;
        if is_due {
            self.look(now);
        }
        let found = self.pop_idle();
        // Where all of them are gone within the time, those count that became idle since, if there were so many that going
        // through all was worth it.
        let was_in_vain = self.found < self.links.len() / FEW;
        if found.is_some() || (was_in_vain && self.looked == now) {
            return found;
        }
        self.look(now);
        self.pop_idle()
    }

    fn pop_idle(&mut self) -> Option<u64> {
        while let Some((since, id)) = self.idle.pop() {
            let link = self.links.get(&id);
            if link.is_some_and(|link| link.idle_since.load(Ordering::Relaxed) == since) {
                return Some(id);
            }
        }
        None
    }

    /// Puts idle connections in order: first of those that never asked for anything the youngest that had the time to, then
    /// the longest idle. Where most of those that never asked have only just come, the crowd makes room for itself, not who
    /// came before it.
    fn look(&mut self, now: u64) {
        let idle = self.links.iter().filter_map(|(id, link)| {
            let since = link.idle_since.load(Ordering::Relaxed);
            let (asked, new) = (link.asked.load(Ordering::Relaxed), now.saturating_sub(since) < NEW_MS);
            (since != BUSY).then_some((asked, new, since, *id))
        });
        let mut idle: Vec<_> = idle.collect();
        let silent = idle.iter().filter(|(asked, ..)| !asked).count();
        let just_came = idle.iter().filter(|(asked, new, ..)| !asked && *new).count();
        let is_crowd = just_came * 2 > silent;
        let rank = |(asked, new, since, id): &(bool, bool, u64, u64)| match (asked, new) {
            (false, false) => (u8::from(is_crowd), u64::MAX - since, u64::MAX - id),
            (false, true) => (u8::from(!is_crowd), u64::MAX - since, u64::MAX - id),
            (true, _) => (2, *since, *id),
        };
        idle.sort_unstable_by_key(|one| Reverse(rank(one)));
        self.idle.clear();
        self.idle.extend(idle.into_iter().map(|(_, _, since, id)| (since, id)));
        (self.looked, self.found) = (now, self.idle.len());
    }
}

// === impl Open ===

impl Open {
    /// Cuts an idle connection of a caller.
    fn evict(&mut self, address: IpAddr, now: u64) -> Option<()> {
        let id = self.of.get_mut(&address)?.next_idle(now)?;
        self.close(address, id)?.cut.cancel();
        Some(())
    }

    fn close(&mut self, address: IpAddr, id: u64) -> Option<Arc<Link>> {
        let group = self.of.get_mut(&address)?;
        let link = group.links.remove(&id)?;
        self.count -= 1;
        if group.links.is_empty() {
            self.of.remove(&address);
        }
        Some(link)
    }
}

// === impl Connected ===

impl Drop for Connected {
    fn drop(&mut self) {
        self.callers.lock().close(self.address, self.id);
    }
}

#[cfg(test)]
mod tests;
