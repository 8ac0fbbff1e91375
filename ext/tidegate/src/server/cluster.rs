//! What a master and its workers want of a server that is bound and does not listen yet: its sockets, and its place in the cluster.

use std::{io, os::fd::RawFd, time::Duration};

use magnus::{Error, Ruby, typed_data::Obj};
use tidegate_core::{Event, Member, Parker};

use super::{Server, ServerState};
use crate::{cluster::Cluster, error, gvl};

impl Server {
    /// The sentence which says that so many workers serve, each with at most so many threads.
    pub(super) fn ready_sentence(
        ruby: &Ruby,
        rb_self: &Self,
        workers: usize,
        max_threads: usize,
    ) -> Result<String, Error> {
        rb_self.bound(ruby, |server| server.ready_sentence(workers, max_threads))
    }

    /// Ends what [`Server::guard_boot`] has begun: its thread would be lost in a fork.
    pub(super) fn end_guard(&self) {
        drop(self.guard().take());
    }

    /// Takes the place `slot` of the cluster, for a worker that the master has just forked.
    pub(super) fn join_cluster(
        ruby: &Ruby,
        rb_self: &Self,
        cluster: Obj<Cluster>,
        slot: usize,
        control: RawFd,
    ) -> Result<(), Error> {
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), format!("the control socket: {cause}"));
        let control = tidegate_core::duplicate(control).map_err(failed)?;
        let member = Member::new(cluster.core().clone(), slot);
        rb_self.bound(ruby, |server| server.join(member, control))
    }

    /// The sockets are for the workers that this process forks.
    pub(super) fn share(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.bound(ruby, tidegate_core::Server::share)
    }

    /// Begins to leave the cluster, or to make room for another image of this process: takes nothing new, and lets the listeners be.
    pub(super) fn retire(&self) {
        self.tell(Event::Retire);
    }

    /// The process is to live on when the server has stopped.
    pub(super) fn live_on(&self) {
        self.running().iter().for_each(|running| running.live_on());
    }

    /// Waits until the master has asked more than `seen` times to open the log files anew. Returns how often it has; nil where there is no
    /// master.
    pub(super) fn await_reopen(ruby: &Ruby, rb_self: &Self, seen: u64) -> Result<Option<u64>, Error> {
        let parker = Parker::new();
        let Some(running) = rb_self.running() else { return Ok(None) };
        loop {
            ruby.thread_check_ints()?;
            match gvl::wait(ruby, &parker.unparker(), || running.await_reopen(seen, &parker)) {
                Some(Some(asked)) => return Ok(Some(asked)),
                _ if !running.is_in_cluster() => return Ok(None),
                _ => {}
            }
        }
    }

    /// For the master, when all its workers have ended: closes the listeners, and tells what was done in the drain, which took so many
    /// seconds and ended with this status. It starts the logs' threads: the process forks no more.
    pub(super) fn conclude_cluster(
        ruby: &Ruby,
        rb_self: &Self,
        cluster: Obj<Cluster>,
        seconds: f64,
        status: i32,
    ) -> Result<(), Error> {
        let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let core = cluster.core();
        rb_self.bound(ruby, |server| server.report_drain(core, &rb_self.logs, took, status))?;
        if let ServerState::Bound(server) = std::mem::replace(&mut *rb_self.state(), ServerState::Over) {
            server.remove_socket_files();
        }
        rb_self.finish_last_lines(ruby);
        Ok(())
    }

    /// Asks the bound server something.
    fn bound<T>(&self, ruby: &Ruby, ask: impl FnOnce(&mut tidegate_core::Server) -> T) -> Result<T, Error> {
        match &mut *self.state() {
            ServerState::Bound(server) => Ok(ask(server)),
            _ => Err(error::misuse(ruby, "the server is not bound, or listens already")),
        }
    }
}
