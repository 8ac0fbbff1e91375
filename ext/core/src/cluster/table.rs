//! The memory that the processes of a cluster share: atomics only. A worker writes its own line and records, and its siblings claim
//! its room; the master gives the places out and takes them back.

use std::{
    io,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
};

use super::figures::FigureCells;
use crate::{
    lifecycle::Phase,
    stats::{AddUp, Family, Of, Stats, counter::labels},
    sys::{
        clock,
        shared_memory::{atomics_only, shared},
    },
};

/// The most places there may be: a sum over them is made for each look at the metrics.
pub(super) const MOST_SLOTS: usize = 4096;

/// How many things one worker may tell for all.
pub(super) const TOLD: usize = 64;

/// Each part lies in a mapping of its own, so that what siblings look at while they serve is dense.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) totals: &'static Totals,
    /// By place.
    pub(super) lines: &'static [Line],
    /// By place.
    pub(super) records: &'static [Records],
    /// The requests that workers had read before they left, by the workers' indices: two pages, as of [`Totals::departed`].
    pub(super) departed_requests: &'static [AtomicU64],
}

/// What siblings and the master look at often.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Line {
    /// A [`WorkerState`].
    pub(super) state: AtomicU32,
    /// A [`Room`].
    pub(super) room: AtomicU32,
    pub(super) pid: AtomicU32,
    pub(super) index: AtomicU32,
    /// Threads in the app that have the GVL or want it.
    pub(super) active: AtomicU32,
    /// Threads in the app without it.
    pub(super) blocked: AtomicU32,
    /// Requests that wait for a thread.
    pub(super) waiting: AtomicU32,
    /// The most that have waited at a time since that was last asked.
    pub(super) deepest: AtomicU32,
    /// How many phased restarts there had been when the worker was started.
    pub(super) phase: AtomicU32,
    /// When a thread last took a request: the low bits of the milliseconds of the monotonic clock.
    pub(super) taken: AtomicU32,
    /// How many connections siblings are sending it for requests that will wait.
    pub(super) coming: AtomicU32,
    /// When its I/O thread last ran with a pool that lives: milliseconds of the monotonic clock, which all processes share.
    pub(super) heartbeat: AtomicU64,
    /// When it was started: seconds since 1970.
    pub(super) started_at: AtomicU64,
    /// For how many milliseconds requests have waited with nothing to run them, where that is too long; else 0.
    pub(super) unattended: AtomicU64,
}

atomics_only!(Line {
    state,
    room,
    pid,
    index,
    active,
    blocked,
    waiting,
    deepest,
    phase,
    taken,
    coming,
    heartbeat,
    started_at,
    unattended
});

impl Line {
    /// Whether there is a worker of this place.
    pub(super) fn is_taken(&self) -> bool {
        self.state.load(Acquire) != WorkerState::Free as u32
    }

    /// For how many milliseconds no thread has taken a request; none where one has since `now`.
    pub(super) fn since_taken(&self, now: u64) -> u32 {
        let since = low_bits(now).wrapping_sub(self.taken.load(Relaxed));
        if since > u32::MAX / 2 { 0 } else { since }
    }

    /// How many requests a new one would wait for, in a worker that has this [`Room`]: those that compute, wait, or are coming to wait;
    /// where there is no thread, those that wait for one.
    pub(super) fn load_in(&self, room: u32) -> u32 {
        let computing = if room == Room::Full as u32 { 0 } else { self.active.load(Relaxed) };
        [&self.waiting, &self.coming].iter().fold(computing, |sum, cell| cell.load(Relaxed).saturating_add(sum))
    }

    /// One that was coming has come, or does not come.
    pub(super) fn comes_no_more(&self) {
        // A heart-beat may have forgotten it.
        let _ = self.coming.fetch_update(Relaxed, Relaxed, |coming| coming.checked_sub(1));
    }

    /// Everything but the state, for the next worker.
    pub(super) fn clear(&self) {
        let Self {
            state: _,
            room,
            pid,
            index,
            active,
            blocked,
            waiting,
            deepest,
            phase,
            taken,
            coming,
            heartbeat,
            started_at,
            unattended,
        } = self;
        [room, pid, index, active, blocked, waiting, deepest, phase, taken, coming]
            .iter()
            .for_each(|cell| cell.store(0, Relaxed));
        [heartbeat, started_at, unattended].iter().for_each(|cell| cell.store(0, Relaxed));
    }
}

/// What a worker tells of itself, for reports.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Records {
    pub(crate) stats: Stats,
    pub(crate) figures: FigureCells,
}

atomics_only!(Records { stats, figures });

impl AddUp for Records {
    fn add(&self, other: &Self, of: Of) {
        self.stats.add(&other.stats, of);
        self.figures.add(&other.figures, of);
    }

    fn reset(&self) {
        self.stats.reset();
        self.figures.reset();
    }
}

/// What belongs to the cluster as a whole.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Totals {
    /// A [`Book`](super::departed::Book).
    pub(super) book: AtomicU64,
    /// When the cluster was made: seconds since 1970.
    pub(super) started_at: AtomicU64,
    /// The master's process.
    pub(super) master: AtomicU32,
    /// How many phased restarts there have been.
    pub(super) phase: AtomicU32,
    pub(super) restarts: Family<Restart>,
    /// What was told last of each thing that one worker tells for all: see [`Member::tells_first`](super::Member::tells_first).
    pub(super) told: [[AtomicU64; TOLD / 2]; 2],
    /// What the workers that have left had counted: two pages, of which the book names one.
    pub(super) departed: [Records; 2],
}

atomics_only!(Totals { book, started_at, master, phase, restarts, told, departed });

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WorkerState {
    /// There is no worker of this place.
    Free,
    /// Started, and not serving yet.
    Booting,
    /// Serves.
    Serving,
    /// Leaves alone, while its siblings serve.
    Retiring,
    /// The cluster drains: everything new is served.
    Draining,
    /// The cluster ends: nothing new is served.
    Closing,
    /// What is left is cut.
    Forcing,
    /// Has served all, and is about to end.
    Stopped,
}

impl WorkerState {
    /// All that a worker may be in, in their order.
    pub const ALL: [Self; 7] =
        [Self::Booting, Self::Serving, Self::Retiring, Self::Draining, Self::Closing, Self::Forcing, Self::Stopped];

    pub(super) fn from_number(number: u32) -> Self {
        Self::ALL.into_iter().find(|state| *state as u32 == number).unwrap_or(Self::Free)
    }

    /// As metrics and logs have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Booting => "booting",
            Self::Serving => "serving",
            Self::Retiring => "retiring",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Forcing => "forcing",
            Self::Stopped => "stopped",
        }
    }

    /// The state of a worker whose server is in this phase.
    pub(crate) fn of(phase: &Phase) -> Self {
        match phase {
            Phase::Booting => Self::Booting,
            Phase::Ready => Self::Serving,
            Phase::Retiring { .. } => Self::Retiring,
            Phase::Draining { .. } => Self::Draining,
            Phase::Closing { .. } => Self::Closing,
            Phase::Forcing { .. } => Self::Forcing,
            Phase::Stopped { .. } => Self::Stopped,
        }
    }
}

/// Of milliseconds, what tells apart any two moments of seven weeks.
pub(super) fn low_bits(milliseconds: u64) -> u32 {
    (milliseconds & u64::from(u32::MAX)) as u32
}

/// What a worker has for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Room {
    /// None: the pool is closed, or works out of band.
    None,
    /// No thread: it would wait until one comes back from the app.
    Full,
    /// It would wait for others, but only for their turn with the GVL.
    Shared,
    /// A new request would run at once.
    Free,
    /// The same, but a sibling is about to hand a connection over.
    Claimed,
}

labels! {
    /// Why a worker is replaced.
    pub enum Restart by "reason" {
        /// It ended by itself, or by a signal that the master did not send.
        Crashed = "crashed",
        /// Its heart-beat had stopped, or it did not boot in time.
        Timeout = "timeout",
        /// It has served as many requests as it may.
        MaxRequests = "max_requests",
        /// It had more memory than it may.
        MaxMemory = "max_memory",
        /// A phased restart, or a hot one.
        Phased = "phased",
        /// A warm worker forks the others anew.
        Refork = "refork",
        /// It was asked to leave.
        Asked = "asked",
    }
}

impl Table {
    pub(super) fn create(slots: usize) -> io::Result<Self> {
        if slots > MOST_SLOTS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a cluster has at most {MOST_SLOTS} places"),
            ));
        }
        let one = shared::<Totals>(1)?;
        let table = Self {
            totals: &one[0],
            lines: shared(slots)?,
            records: shared(slots)?,
            departed_requests: shared(2 * slots)?,
        };
        table.totals.started_at.store(clock::unix_seconds(), Relaxed);
        table.totals.master.store(std::process::id(), Relaxed);
        Ok(table)
    }
}
