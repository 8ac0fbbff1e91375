//! What the server counts while it runs. Counters only grow; gauges go up and down through their guards.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A server's counters. Shared by everything that has something to count.
#[derive(Debug, Default)]
pub struct Stats {
    connections: AtomicU64,
    accepted: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
    told_close: AtomicU64,
    idle_closed: AtomicU64,
    rejected: AtomicU64,
    client_gone: AtomicU64,
    cut: AtomicU64,
    hijacked: AtomicU64,
    unsent: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// Requests not answered to the end yet.
    pub in_flight: u64,
    /// Responses that told the client to close, because of a drain.
    pub told_close: u64,
    /// Idle connections closed because of a drain.
    pub idle_closed: u64,
    /// Requests answered 503: the queue was full or the budget spent.
    pub rejected: u64,
    /// Requests dropped unrun, because the client had gone.
    pub client_gone: u64,
    /// Requests ended without a whole response by a forced end.
    pub cut: u64,
    /// Connections that are the app's own now.
    pub hijacked: u64,
    /// Bytes that the kernel had not delivered when a closing connection was given up.
    pub unsent: u64,
}

impl Stats {
    /// The counters as they stand.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections: self.connections.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            requests: self.requests.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            told_close: self.told_close.load(Relaxed),
            idle_closed: self.idle_closed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            client_gone: self.client_gone.load(Relaxed),
            cut: self.cut.load(Relaxed),
            hijacked: self.hijacked.load(Relaxed),
            unsent: self.unsent.load(Relaxed),
        }
    }

    pub(crate) fn connection_accepted(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }

    pub(crate) fn request_begun(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    pub(crate) fn connection_hijacked(self: &Arc<Self>) -> Hijacked {
        self.hijacked.fetch_add(1, Relaxed);
        Hijacked(self.clone())
    }

    pub(crate) fn told_close(&self) {
        self.told_close.fetch_add(1, Relaxed);
    }

    pub(crate) fn idle_closed(&self) {
        self.idle_closed.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(crate) fn client_gone(&self) {
        self.client_gone.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    pub(crate) fn unsent(&self, bytes: u64) {
        self.unsent.fetch_add(bytes, Relaxed);
    }
}

/// Counts a connection as open while it exists.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Stats>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Counts a connection as the app's own while it exists.
#[derive(Debug)]
pub(crate) struct Hijacked(Arc<Stats>);

impl Drop for Hijacked {
    fn drop(&mut self) {
        self.0.hijacked.fetch_sub(1, Relaxed);
    }
}

/// Counts a request as in flight while it exists.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Stats>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
