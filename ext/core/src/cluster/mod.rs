//! A cluster: a master process and the workers that it forks, which share their listening sockets and a table of what each of them
//! does. The master makes it before it forks; it knows no fork, no signal and no socket itself.
//!
//! | file | subject |
//! |---|---|
//! | [`table`] | the shared memory: a line for each worker, and what it has counted |
//! | [`drain_record`] | what the workers have done in the cluster's drain |
//! | [`handover`] | the connections that go from one worker to another |
//! | [`figures`] | what a worker publishes of itself each second |
//! | [`member`] | a worker's own place |
//! | [`sums`] [`departed`] | what all workers have counted together, those that have left included |

pub(crate) mod drain_record;
pub(crate) mod figures;
pub(crate) mod handover;
pub(crate) mod member;
pub(crate) mod sums;
pub(crate) mod table;

mod departed;

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::{Duration, SystemTime},
};

pub(crate) use self::table::Room;
use self::{
    drain_record::DrainCells,
    handover::Handover,
    table::{Line, Table},
};
pub use self::{
    drain_record::DrainFigures,
    member::Member,
    table::{Restart, WorkerState},
};
use crate::{
    sys::{clock, shared_memory::shared},
    tls::tickets::TicketKeys,
};

/// What the processes of a cluster share. Made once by the master, before any fork; each worker inherits it.
#[derive(Debug)]
pub struct Cluster {
    table: Table,
    drain: &'static DrainCells,
    tickets: &'static TicketKeys,
    handover: Handover,
}

/// A worker as the master sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Its place in the table: no other worker that lives has it.
    pub slot: usize,
    /// Its number for people and hooks, from 0; its replacement has the same.
    pub index: usize,
    /// Its process; 0 until the master or the worker has told.
    pub pid: u32,
    /// How far it has come.
    pub state: WorkerState,
    /// How many phased restarts there had been when it was started.
    pub phase: u32,
    /// When it was started.
    pub started_at: SystemTime,
    /// For how long there has been no sign that its I/O thread runs and its pool lives; since its start where there was none yet.
    pub heartbeat_age: Duration,
    /// Whether a new request would run at once, as far as its siblings know.
    pub room: bool,
    /// Requests whose head it has read.
    pub requests: u64,
    /// Requests that it has not answered to the end yet.
    pub in_flight: u64,
    /// Threads that are in the app.
    pub in_app: u64,
    /// Requests that wait for a thread.
    pub waiting: u64,
    /// Threads that it has.
    pub threads: u64,
    /// Threads of these that do not come back from a request which has exceeded its limit, at the last heart-beat.
    pub stuck: u64,
    /// Threads that it may have; 0 before its first heart-beat.
    pub max_threads: u64,
    /// Connections that it holds, those that are the app's own included.
    pub connections: u64,
    /// Those of these that are the app's own.
    pub hijacked: u64,
    /// Bytes of it in the machine's memory, at its last heart-beat; 0 before the first.
    pub rss: u64,
}

impl Cluster {
    /// A cluster with room for so many workers at a time. There have to be more than the workers that are wanted: a replacement lives
    /// beside the worker that it replaces. The calling process is the master.
    ///
    /// # Errors
    ///
    /// When the system has no memory left for it.
    pub fn create(slots: usize) -> io::Result<Arc<Self>> {
        Self::with(slots, None)
    }

    /// The same, for a master that has replaced its process's image: the workers that the image before has started go on, and what
    /// they leave behind comes to those of this one. `adoption` has the two descriptors that
    /// [`adoption_descriptors`](Self::adoption_descriptors) told of.
    ///
    /// # Errors
    ///
    /// When the system has no memory or no descriptors left for it.
    pub fn create_after_exec(slots: usize, adoption: (OwnedFd, OwnedFd)) -> io::Result<Arc<Self>> {
        Self::with(slots, Some(adoption))
    }

    fn with(slots: usize, adoption: Option<(OwnedFd, OwnedFd)>) -> io::Result<Arc<Self>> {
        let (table, handover) = (Table::create(slots)?, Handover::create(slots, adoption)?);
        let (drain, tickets) = (&shared::<DrainCells>(1)?[0], &shared::<TicketKeys>(1)?[0]);
        tickets.rotate(clock::unix_seconds());
        Ok(Arc::new(Self { table, handover, drain, tickets }))
    }

    /// The keys by which its workers resume each other's TLS sessions.
    pub(crate) fn ticket_keys(&self) -> &'static TicketKeys {
        self.tickets
    }

    /// The same, for the image that follows this one: a secret.
    pub fn export_ticket_keys(&self) -> Vec<u8> {
        self.tickets.export()
    }

    /// Takes the keys of the image before this one. To be called before any worker is forked.
    pub fn import_ticket_keys(&self, keys: &[u8]) {
        self.tickets.import(keys);
    }

    /// The descriptors that workers which leave put their connections into, and that others take them from. They are close-on-exec.
    pub fn adoption_descriptors(&self) -> (RawFd, RawFd) {
        let adoption = self.handover.adoption();
        (adoption.reader().as_raw_fd(), adoption.writer().as_raw_fd())
    }

    /// A place for a worker that is about to be started; `None` when all are taken. The worker is booting from now on.
    pub fn reserve(&self, index: usize) -> Option<usize> {
        let free = |line: &&Line| {
            line.state.compare_exchange(WorkerState::Free as u32, WorkerState::Booting as u32, AcqRel, Relaxed).is_ok()
        };
        let slot = self.table.lines.iter().position(|line| free(&line))?;
        let line = &self.table.lines[slot];
        line.index.store(u32::try_from(index).unwrap_or(u32::MAX), Relaxed);
        line.phase.store(self.phase(), Relaxed);
        line.started_at.store(clock::unix_seconds(), Relaxed);
        line.heartbeat.store(clock::monotonic_ms(), Release);
        Some(slot)
    }

    /// The worker of that place has this process.
    pub fn spawned(&self, slot: usize, pid: u32) {
        self.table.lines[slot].pid.store(pid, Release);
    }

    /// The worker of that place has ended, and its process was reaped: the place is free for another. What it has counted remains in
    /// the sums. Connections that siblings have sent it and that it has not taken go to the others.
    pub fn gone(&self, slot: usize) {
        let line = &self.table.lines[slot];
        // No sibling sends it anything from now on.
        line.state.store(WorkerState::Stopped as u32, Release);
        self.table.fold(slot);
        line.clear();
        self.handover.pass_on(slot);
        line.state.store(WorkerState::Free as u32, Release);
    }

    /// The workers that live, in the order of their places.
    pub fn workers(&self) -> Vec<WorkerView> {
        let now = clock::monotonic_ms();
        (0..self.table.lines.len()).filter_map(|slot| self.view(slot, now)).collect()
    }

    fn view(&self, slot: usize, now: u64) -> Option<WorkerView> {
        let (line, records) = (&self.table.lines[slot], &self.table.records[slot]);
        let state = WorkerState::from_number(line.state.load(Acquire));
        if state == WorkerState::Free {
            return None;
        }
        let (counted, figures) = (records.stats.snapshot(), records.figures.read());
        Some(WorkerView {
            slot,
            index: line.index.load(Relaxed) as usize,
            pid: line.pid.load(Relaxed),
            state,
            phase: line.phase.load(Relaxed),
            started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(line.started_at.load(Relaxed)),
            heartbeat_age: Duration::from_millis(now.saturating_sub(line.heartbeat.load(Relaxed))),
            room: line.room.load(Relaxed) == Room::Free as u32,
            requests: counted.requests,
            in_flight: counted.in_flight,
            in_app: u64::from(line.active.load(Relaxed)) + u64::from(line.blocked.load(Relaxed)),
            waiting: line.waiting.load(Relaxed).into(),
            threads: figures.threads(),
            stuck: figures.threads_stuck,
            max_threads: figures.threads_limit,
            connections: counted.connections + counted.hijacked,
            hijacked: counted.hijacked,
            rss: figures.rss,
        })
    }

    // ===== the drain =====

    /// What the workers have done in the cluster's drain, as far as they have told.
    pub fn drained(&self) -> DrainFigures {
        self.drain.read()
    }

    // ===== restarts =====

    /// How many phased restarts there have been.
    pub fn phase(&self) -> u32 {
        self.table.totals.phase.load(Relaxed)
    }

    /// A phased restart begins: workers that are started from now on belong to the next phase. Returns its number.
    pub fn begin_phase(&self) -> u32 {
        self.table.totals.phase.fetch_add(1, Relaxed) + 1
    }

    /// A worker is replaced, for this reason.
    pub fn count_restart(&self, reason: Restart) {
        self.table.totals.restarts.inc(reason);
    }

    /// The master's process.
    pub fn master(&self) -> u32 {
        self.table.totals.master.load(Relaxed)
    }

    /// When the cluster was made.
    pub fn started_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.table.totals.started_at.load(Relaxed))
    }
}

#[cfg(test)]
mod tests;
