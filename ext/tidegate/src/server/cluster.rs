//! What a master and its workers want of a server that is bound and does not listen yet: its sockets, and its place in the cluster.

use std::os::fd::RawFd;

use magnus::{Error, Ruby, typed_data::Obj};
use tidegate_core::Member;

use super::{Server, ServerState};
use crate::{cluster::Cluster, error};

impl Server {
    /// The addresses, each with the descriptor that is bound to it, which stays the server's.
    pub(super) fn listeners(ruby: &Ruby, rb_self: &Self) -> Result<Vec<(String, RawFd)>, Error> {
        rb_self.bound(ruby, |server| server.listeners())
    }

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
        _control: RawFd,
    ) -> Result<(), Error> {
        let member = Member::new(cluster.core().clone(), slot);
        rb_self.bound(ruby, |server| server.join(member))
    }

    /// Asks the bound server something.
    fn bound<T>(&self, ruby: &Ruby, ask: impl FnOnce(&mut tidegate_core::Server) -> T) -> Result<T, Error> {
        match &mut *self.state() {
            ServerState::Bound(server) => Ok(ask(server)),
            _ => Err(error::misuse(ruby, "the server is not bound, or listens already")),
        }
    }
}
