//! What a master and its workers want of a server that is bound and does not listen yet: its sockets, and its place in the cluster.

use std::os::fd::RawFd;

use magnus::{Error, Ruby};

use super::{Server, ServerState};
use crate::error;

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

    /// Asks the bound server something.
    fn bound<T>(&self, ruby: &Ruby, ask: impl FnOnce(&mut tidegate_core::Server) -> T) -> Result<T, Error> {
        match &mut *self.state() {
            ServerState::Bound(server) => Ok(ask(server)),
            _ => Err(error::misuse(ruby, "the server is not bound, or listens already")),
        }
    }
}
