//! Time slicer: how long one thread may keep the GVL while others want it.
//!
//! What an app does between two points where it releases the GVL has always been nearly atomic: Ruby takes the GVL away after
//! 100 ms only, and transactions of 5 to 30 ms rely on that (SQLite refuses to upgrade a snapshot that another has overtaken,
//! whatever the busy timeout). On the other hand 100 ms are a long time for a request that needs the GVL for one.
//! So a slice ends in one of two ways:
//!
//! - Between two requests, where nothing is interrupted, a worker hands the GVL on soon ([`TimeSlicer::is_due`]).
//! - A *burst*, which is what one thread computes without a pause and in one request, is interrupted only once it has had a
//!   whole slice, at least half of it since another thread wants the GVL. Then it may have as much again.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

pub use crate::sys::CpuClock;
use crate::{config::TIME_SLICE, stats::SharedStats, sync::now};

/// The slice unless it is set: longer than most requests compute in one go, and short enough for those that wait.
pub(crate) const SLICE: Duration = TIME_SLICE;

/// How often the slicer looks which thread has the GVL, while another wants it. A worker between two requests hands the GVL on
/// after the same time, for a thread that has not had a slice of its own just now.
pub(crate) const STEP: Duration = Duration::from_millis(5);

/// After a thread has kept the GVL for this long beyond its slice the slicer stops asking: either no other thread waits (one
/// that was counted could not be created), or this thread cannot be interrupted.
const MAX_REFUSED: Duration = Duration::from_millis(500);

/// The thread with the GVL has no clock of its own. (The kernel's numbers for threads' clocks are negative.)
const NO_CLOCK: i32 = 0;

/// Which thread has the GVL, and how many want it. There is one for each GVL; any number of servers may run
/// `run`.
#[derive(Debug)]
pub struct TimeSlicer {
    /// How many threads want the GVL.
    wanting: AtomicUsize,
    /// How many of those have been interrupted, and so had a whole slice just before.
    interrupted: AtomicUsize,
    /// Whether a thread has the GVL, as far as the events tell.
    taken: AtomicBool,
    /// How often a thread has got it.
    turns: AtomicU64,
    /// The number of the burst that goes on.
    burst: AtomicU64,
    /// When that began, in nanoseconds since `first`.
    since: AtomicU64,
    /// When the first burst began.
    first: OnceLock<Instant>,
    /// The clock of the thread that has the GVL.
    clock: AtomicI32,
    /// The turn that ends at the next request.
    due: AtomicU64,
    /// The burst that is to let other threads go first.
    asked: AtomicU64,
    /// Whether a server's `run` looks at the GVL, or has been told to.
    kept: AtomicBool,
    /// Tells it to.
    contended: Notify,
    /// Asks the thread that has the GVL to release it for a moment. That may reach the thread late, or the next one:
    /// [`is_asked`](Self::is_asked) tells.
    interrupt: fn(),
}

impl TimeSlicer {
    /// A GVL of which no event has come yet.
    pub const fn new(interrupt: fn()) -> Self {
        Self {
            wanting: AtomicUsize::new(0),
            interrupted: AtomicUsize::new(0),
            taken: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            burst: AtomicU64::new(0),
            since: AtomicU64::new(0),
            first: OnceLock::new(),
            clock: AtomicI32::new(NO_CLOCK),
            due: AtomicU64::new(u64::MAX),
            asked: AtomicU64::new(u64::MAX),
            kept: AtomicBool::new(false),
            contended: Notify::const_new(),
            interrupt,
        }
    }

    /// A thread wants the GVL; `interrupted` if it had to release it at the end of a slice.
    pub fn ready(&self, interrupted: bool) {
        if interrupted {
            self.interrupted.fetch_add(1, SeqCst);
        }
        self.wanting.fetch_add(1, SeqCst);
        self.look_after(self.taken.load(SeqCst));
    }

    /// A thread that [wanted](Self::ready) the GVL has it, at `now`; or one that wanted it before the events came here. Its
    /// `clock` tells what it computes; without one, real time counts.
    pub fn resumed(&self, interrupted: bool, now: Instant, clock: Option<CpuClock>) {
        let less = |count: usize| count.checked_sub(1);
        if interrupted {
            let _ = self.interrupted.fetch_update(SeqCst, SeqCst, less);
        }
        let _ = self.wanting.fetch_update(SeqCst, SeqCst, less);
        self.turns.fetch_add(1, SeqCst);
        self.clock.store(clock.map_or(NO_CLOCK, |clock| clock.0), SeqCst);
        self.begin_burst(now);
        self.taken.store(true, SeqCst);
        // For threads that wanted it while it was free, nothing was told.
        self.look_after(self.wanting.load(SeqCst) > 0);
    }

    /// A thread that [wanted](Self::ready) the GVL turns out to want another one, that of a Ractor.
    pub fn withdrawn(&self) {
        let _ = self.wanting.fetch_update(SeqCst, SeqCst, |wanting| wanting.checked_sub(1));
    }

    /// A thread releases the GVL.
    pub fn suspended(&self) {
        self.taken.store(false, SeqCst);
    }

    /// What the thread with the GVL does from `now` on is another burst: a request begins.
    pub fn begin_burst(&self, now: Instant) {
        let first = *self.first.get_or_init(|| now);
        let since = u64::try_from(now.saturating_duration_since(first).as_nanos()).unwrap_or(u64::MAX);
        self.since.store(since, SeqCst);
        self.burst.fetch_add(1, SeqCst);
    }

    /// Whether the thread with the GVL, a worker between two requests, is to hand it on before it takes the next.
    pub fn is_due(&self) -> bool {
        self.due.load(SeqCst) == self.turns.load(SeqCst) && self.wanting.load(SeqCst) > 0
    }

    /// Whether the present burst is to be interrupted, and not one before it.
    pub fn is_asked(&self) -> bool {
        self.asked.load(SeqCst) == self.burst.load(SeqCst)
    }

    /// For a child of this process, which has one thread: none wants the GVL there. `contended` is not used any more, because a
    /// thread that is not there may have been using it at the fork; a server that starts in the child begins anew.
    pub fn forget(&self) {
        self.wanting.store(0, SeqCst);
        self.interrupted.store(0, SeqCst);
        self.kept.store(true, SeqCst);
    }

    /// What the thread with the GVL has computed in its life.
    fn computed(&self) -> Option<Duration> {
        let clock = self.clock.load(SeqCst);
        if clock == NO_CLOCK { None } else { CpuClock(clock).read() }
    }

    /// Tells a server to look at the GVL, if a thread has it and another wants it.
    fn look_after(&self, contended: bool) {
        if contended && !self.kept.swap(true, SeqCst) {
            self.contended.notify_one();
        }
    }

    /// Sees to it that no burst goes on for longer than `slice` while another thread wants the GVL, and counts those that
    /// had to be interrupted; `None` interrupts none. Never ends.
    pub(crate) async fn run(&self, slice: Option<Duration>, stats: SharedStats) {
        let _hand_over = HandOver(self);
        loop {
            let mut seen = Seen::new(self, slice, now());
            while self.is_wanted() {
                let step = seen.next_step(slice);
                tokio::time::sleep(step).await;
                seen.look(self, slice, step, now());
                if seen.turn_lasted >= slice.unwrap_or(SLICE) + MAX_REFUSED {
                    self.wanting.store(0, SeqCst);
                    self.interrupted.store(0, SeqCst);
                }
                if !self.is_wanted() {
                    break;
                }
                if seen.turn_lasted >= self.turn_limit(slice) {
                    self.due.store(seen.turn, SeqCst);
                }
                if slice.is_some_and(|slice| seen.burst_lasted >= slice) {
                    self.asked.store(seen.burst, SeqCst);
                    (self.interrupt)();
                    stats.preemptions.inc();
                }
            }
            self.contended.notified().await;
        }
    }

    /// How long a worker may go from request to request while other threads want the GVL: a step, or a slice if all of them have
    /// just had one. So they get as much as they leave to others.
    fn turn_limit(&self, slice: Option<Duration>) -> Duration {
        if self.wanting.load(SeqCst) > self.interrupted.load(SeqCst) { STEP } else { slice.unwrap_or(SLICE) }
    }

    /// Whether a thread wants the GVL; if not, the next one that does tells a server again.
    fn is_wanted(&self) -> bool {
        if self.wanting.load(SeqCst) == 0 {
            self.kept.store(false, SeqCst);
            // A thread that came just before that has told no server.
            return self.wanting.load(SeqCst) > 0 && !self.kept.swap(true, SeqCst);
        }
        true
    }
}

/// What [`TimeSlicer::run`] knows of the thread that has the GVL.
///
/// A burst's age is taken from the clock when it is first seen, up to half a slice: so it has at least the other half from the
/// moment when another thread wants the GVL. From then on the thread's CPU time counts: where the CPU is shared with other
/// processes, or the quota of the container is used up, a transaction takes longer and computes no more than it does elsewhere.
/// (Ruby's own slicer go by real time, and end bursts that keep the GVL while they sleep.)
struct Seen {
    /// The number of the thread's turn with the GVL, and for how long that goes on.
    turn: u64,
    turn_lasted: Duration,
    /// The same of its burst.
    burst: u64,
    burst_lasted: Duration,
    /// What the thread had computed in all when it was last looked at.
    computed: Option<Duration>,
}

impl Seen {
    fn new(slicer: &TimeSlicer, slice: Option<Duration>, now: Instant) -> Self {
        let turn = slicer.turns.load(SeqCst);
        let mut seen =
            Self { turn, turn_lasted: Duration::ZERO, burst: 0, burst_lasted: Duration::ZERO, computed: None };
        seen.first_sight(slicer, slice, now);
        seen
    }

    fn first_sight(&mut self, slicer: &TimeSlicer, slice: Option<Duration>, now: Instant) {
        self.burst = slicer.burst.load(SeqCst);
        let since = Duration::from_nanos(slicer.since.load(SeqCst));
        let began = slicer.first.get().map(|first| *first + since);
        let most = slice.unwrap_or_default() / 2;
        self.burst_lasted = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began)).min(most);
        self.computed = slicer.computed();
    }

    /// When to look next: at the end of the burst's slice, and every [`STEP`] before and after it.
    fn next_step(&self, slice: Option<Duration>) -> Duration {
        let left = slice.unwrap_or_default().saturating_sub(self.burst_lasted);
        if left.is_zero() { STEP } else { left.clamp(STEP / 5, STEP) }
    }

    /// Looks again, one `step` after the last look.
    fn look(&mut self, slicer: &TimeSlicer, slice: Option<Duration>, step: Duration, now: Instant) {
        let turn = slicer.turns.load(SeqCst);
        if turn == self.turn {
            self.turn_lasted += step;
        } else {
            (self.turn, self.turn_lasted) = (turn, Duration::ZERO);
        }
        if slicer.burst.load(SeqCst) != self.burst {
            return self.first_sight(slicer, slice, now);
        }
        let before = std::mem::replace(&mut self.computed, slicer.computed());
        let computed = self.computed.zip(before).map(|(now, before)| now.saturating_sub(before));
        self.burst_lasted += computed.unwrap_or(step);
    }
}

/// When a server ends, another server's [`TimeSlicer::run`] takes over.
struct HandOver<'a>(&'a TimeSlicer);

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        self.0.kept.store(true, SeqCst);
        self.0.contended.notify_one();
    }
}

#[cfg(test)]
mod tests;
