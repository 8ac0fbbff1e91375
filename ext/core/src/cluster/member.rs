//! A worker's own place in the cluster: what it publishes there, and how it finds a sibling that has room or less to do.

use std::{
    io,
    os::fd::BorrowedFd,
    path::Path,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::{
    Cluster, DrainFigures, WorkerState,
    figures::WorkerFigures,
    handover::{Mailbox, Traits},
    table::{Line, Room, low_bits},
};
use crate::{stats::SharedStats, sys::clock};

/// After so many milliseconds without a heart-beat, which comes each second, a worker is handed nothing: its process may be stopped.
const SILENT_AFTER_MS: u64 = 3_000;

/// By how many requests a sibling's load must be less than this worker's own, before a connection goes to one that is not idle. Where one
/// is enough, there are up to a third more hand-overs, and requests wait hardly less (simulated).
const WORTH: u32 = 2;
/// A worker whose threads have taken nothing for so many milliseconds computes something long, as far as can be told: nothing is sent to
/// wait for that, unless this worker has taken nothing for even longer.
const LONG_MS: u32 = 5;

/// A worker's own place. The worker makes it after the fork.
#[derive(Clone, Debug)]
pub struct Member {
    cluster: Arc<Cluster>,
    slot: usize,
}

impl Member {
    /// The calling process is the worker of the place `slot`, which the master has [reserved](Cluster::reserve).
    pub fn new(cluster: Arc<Cluster>, slot: usize) -> Self {
        let member = Self { cluster, slot };
        member.line().pid.store(std::process::id(), Release);
        member.beat();
        member
    }

    /// The cluster that it is a member of.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Its place.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Its number for people.
    pub fn index(&self) -> usize {
        self.line().index.load(Relaxed) as usize
    }

    fn line(&self) -> &'static Line {
        &self.cluster.table.lines[self.slot]
    }

    /// Its counters.
    pub(crate) fn stats(&self) -> SharedStats {
        SharedStats::Mapped(&self.cluster.table.records[self.slot].stats)
    }

    /// Whether no other worker has told this: `what` is its number, which is the same in all of them, and `place` is for what takes each
    /// other's place.
    pub(crate) fn tells_first(&self, place: usize, what: u64) -> bool {
        let told = self.cluster.table.totals.told.as_flattened();
        told[place % told.len()].swap(what, AcqRel) != what
    }

    // ===== what it publishes =====

    /// How far it has come.
    pub fn state(&self) -> WorkerState {
        WorkerState::from_number(self.line().state.load(Acquire))
    }

    /// From now on siblings and the master see it in this state.
    pub fn set_state(&self, state: WorkerState) {
        self.line().state.store(state as u32, Release);
    }

    /// What there is for a new request. Takes back a sibling's claim.
    pub(crate) fn publish_room(&self, room: Room) {
        self.line().room.store(room as u32, Release);
    }

    /// Whether a new request would run at once, or one that a sibling is about to hand over.
    pub fn has_room(&self) -> bool {
        let room = self.line().room.load(Relaxed);
        room == Room::Free as u32 || room == Room::Claimed as u32
    }

    /// How many requests wait here for a thread.
    pub fn waiting(&self) -> usize {
        self.line().waiting.load(Relaxed) as usize
    }

    /// How many threads are in the app, with the GVL or wanting it, and without it; and how many requests wait for one.
    pub(crate) fn publish_load(&self, (active, blocked): (usize, usize), waiting: usize) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.line().active.store(number(active), Relaxed);
        self.line().blocked.store(number(blocked), Relaxed);
        self.line().waiting.store(number(waiting), Relaxed);
    }

    /// A connection has come from a sibling, for a request.
    pub(crate) fn has_come(&self) {
        self.line().comes_no_more();
    }

    /// A thread takes a request.
    pub(crate) fn publish_taken(&self) {
        self.line().taken.store(low_bits(clock::monotonic_ms()), Relaxed);
    }

    /// Its I/O thread runs, and its pool lives.
    pub(crate) fn beat(&self) {
        self.line().unattended.store(0, Relaxed);
        // What has not come by now was sent elsewhere.
        self.line().coming.store(0, Relaxed);
        self.line().heartbeat.store(clock::monotonic_ms(), Release);
    }

    /// Its I/O thread runs, but nothing has run the app for so long, although requests wait.
    pub(crate) fn pool_is_dead(&self, silence: Duration) {
        self.line().unattended.store(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// What reports tell of it. `deepest` is the most requests that have waited at a time since the last call.
    pub(crate) fn publish_figures(&self, figures: &WorkerFigures, deepest: usize) {
        self.cluster.table.records[self.slot].figures.publish(figures);
        self.line().deepest.fetch_max(u32::try_from(deepest).unwrap_or(u32::MAX), Relaxed);
    }

    // ===== the cluster's drain =====

    /// The cluster's drain, or a server that has only just started, enters this phase here. Returns whether this is the first worker in
    /// it, which tells the operator.
    pub(crate) fn tells_of(&self, state: WorkerState) -> bool {
        self.cluster.drain.tell(state)
    }

    /// What was done here in the cluster's drain.
    pub(crate) fn has_drained(&self, figures: &DrainFigures) {
        self.cluster.drain.add_worker(figures);
    }

    // ===== its siblings =====

    /// Where siblings put connections for it.
    pub(crate) fn inbox(&self) -> &Mailbox {
        self.cluster.handover.inbox(self.slot)
    }

    /// Sends a sibling a connection. One that has ended or leaves since it was claimed may read nothing more: the others get what
    /// it has not taken.
    ///
    /// # Errors
    ///
    /// When its inbox is full.
    pub(crate) fn send_to(
        &self,
        sibling: usize,
        socket: BorrowedFd<'_>,
        traits: Traits,
        read_ahead: &[u8],
    ) -> io::Result<()> {
        let line = &self.cluster.table.lines[sibling];
        self.inbox_of(sibling).send(socket, traits, read_ahead).inspect_err(|_| line.comes_no_more())?;
        // The master marks its end before it empties its inbox.
        if line.state.load(Acquire) != WorkerState::Serving as u32 {
            self.cluster.handover.pass_on(sibling);
        }
        Ok(())
    }

    /// Gives the others what waits for workers that do not take it: that have given no sign of life for a while, or have gone. Their
    /// master sees to it where it can, which one that has become another image since then cannot.
    pub(crate) fn rescue_what_waits(&self) {
        let now = clock::monotonic_ms();
        self.rescue(|line| {
            line.state.load(Acquire) == WorkerState::Free as u32
                || now.saturating_sub(line.heartbeat.load(Relaxed)) >= SILENT_AFTER_MS
                || !Path::new("/proc").join(line.pid.load(Acquire).to_string()).exists()
        });
    }

    /// The same for whichever worker it is: this one leaves, and may be the last that can.
    pub(crate) fn rescue_all(&self) {
        self.rescue(|_| true);
    }

    fn rescue(&self, from: impl Fn(&Line) -> bool) {
        let (lines, handover) = (self.cluster.table.lines, &self.cluster.handover);
        (0..lines.len())
            .filter(|slot| *slot != self.slot && handover.inbox(*slot).holds_messages() && from(&lines[*slot]))
            .for_each(|slot| handover.pass_on(slot));
    }

    /// Where connections for a sibling go.
    pub(crate) fn inbox_of(&self, sibling: usize) -> &Mailbox {
        self.cluster.handover.inbox(sibling)
    }

    /// Where a worker that leaves puts its connections.
    pub(crate) fn adoption(&self) -> &Mailbox {
        self.cluster.handover.adoption()
    }

    /// A sibling that would serve a new request sooner than this worker: one that would run it at once; or else, where it would wait long
    /// enough for that to be worth a hand-over (`will_wait`), the one with the least to do, if that is less than here by two requests or
    /// more: of those that do not compute something long and have a thread for it, or, like this one, have none. The request counts there
    /// for all others. The caller is to [`send`](Self::send_to) it the connection.
    pub fn claim_better_sibling(&self, will_wait: bool) -> Option<usize> {
        let lines = self.cluster.table.lines;
        let (mut now, mut least) = (None, None);
        let own_room = self.line().room.load(Relaxed);
        let mut at_most = self.line().load_in(own_room).checked_sub(WORTH).filter(|_| will_wait);
        // Each worker begins behind itself: they do not all ask the same one first.
        for slot in (self.slot + 1..lines.len()).chain(0..self.slot) {
            let line = &lines[slot];
            let room = line.room.load(Relaxed);
            let is_free = room == Room::Free as u32;
            let is_comparable = room == Room::Shared as u32 || room == Room::Full as u32 && room == own_room;
            let load = line.load_in(room);
            let is_less = is_comparable && at_most.is_some_and(|most| load <= most);
            if !(is_free || is_less) || line.state.load(Acquire) != WorkerState::Serving as u32 {
                continue;
            }
            let now = *now.get_or_insert_with(clock::monotonic_ms);
            if now.saturating_sub(line.heartbeat.load(Relaxed)) >= SILENT_AFTER_MS {
                continue;
            }
            if is_less {
                if line.since_taken(now) > self.line().since_taken(now).max(LONG_MS) {
                    continue;
                }
                (least, at_most) = (Some(slot), load.checked_sub(1));
            } else if line.room.compare_exchange(Room::Free as u32, Room::Claimed as u32, AcqRel, Relaxed).is_ok() {
                return Some(slot);
            }
        }
        let slot = least?;
        lines[slot].coming.fetch_add(1, Relaxed);
        Some(slot)
    }

    /// Whether no worker that clients can reach has a pool that lives, as far as each has told of its own.
    pub(crate) fn all_pools_dead(&self) -> bool {
        let now = clock::monotonic_ms();
        let lives = |line: &Line| {
            line.unattended.load(Relaxed) == 0 && now.saturating_sub(line.heartbeat.load(Relaxed)) < SILENT_AFTER_MS
        };
        let reachable = |line: &&Line| {
            let state = WorkerState::from_number(line.state.load(Acquire));
            matches!(state, WorkerState::Serving | WorkerState::Draining | WorkerState::Closing)
        };
        !self.cluster.table.lines.iter().filter(reachable).any(lives)
    }
}
