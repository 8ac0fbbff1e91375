//! What the server counts while it runs. Counters only grow; gauges go up and down through their guards.

pub(crate) mod histogram;
pub(crate) mod refused;
pub(crate) mod requests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub(crate) use self::requests::Times;
pub(crate) use self::{
    histogram::Distribution,
    requests::{MethodClass, Requests, StatusClass},
};

use crate::{lifecycle::Signal, stats::refused::Refused};

/// A server's counters. Shared by everything that has something to count.
#[derive(Debug, Default)]
pub struct Stats {
    connections: AtomicU64,
    accepted: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
    gave_way: AtomicU64,
    too_slow: AtomicU64,
    told_close: AtomicU64,
    idle_closed: AtomicU64,
    rejected: [AtomicU64; Shed::ALL.len()],
    refused: [AtomicU64; Refused::ALL.len()],
    client_gone: AtomicU64,
    cut: AtomicU64,
    hijacked: AtomicU64,
    unsent: AtomicU64,
    signals: [AtomicU64; Signal::ALL.len()],
    stalls: AtomicU64,
    yields: AtomicU64,
    preemptions: AtomicU64,
    sent: AtomicU64,
    by_kind: Requests,
}

/// Why a request was answered with 503 in the app's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// As many waited as may.
    QueueFull,
    /// It had waited for a worker for as long as may be.
    QueueTimeout,
    /// The server ends.
    Ending,
}

impl Shed {
    pub(crate) const ALL: [Self; 3] = [Self::QueueFull, Self::QueueTimeout, Self::Ending];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Ending => "ending",
        }
    }
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
    /// Silent connections closed because new ones needed their places.
    pub gave_way: u64,
    /// Responses cut because their clients took them too slowly, or not at all.
    pub too_slow: u64,
    /// Responses that told the client to close, because of a drain.
    pub told_close: u64,
    /// Idle connections closed because of a drain.
    pub idle_closed: u64,
    /// Requests answered 503: the queue was full, they had waited in it for too long, or the budget was spent.
    pub rejected: u64,
    /// Requests dropped unrun, because the client had gone.
    pub client_gone: u64,
    /// Requests ended without a whole response by a forced end.
    pub cut: u64,
    /// Connections that are the app's own now.
    pub hijacked: u64,
    /// Bytes that the kernel had not delivered when a closing connection was given up.
    pub unsent: u64,
    /// How often the queue stood still behind a request that computed for long, and one more was let in.
    pub stalls: u64,
    /// How often a worker that was done let another, which had waited in the app, go before the next exchange.
    pub yields: u64,
    /// How often a worker that had held the GVL for a whole time slice was asked to hand it on.
    pub preemptions: u64,
    /// Bytes of response bodies.
    pub sent: u64,
}

impl Stats {
    /// The counters as they stand.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections: self.connections.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            requests: self.requests.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            gave_way: self.gave_way.load(Relaxed),
            too_slow: self.too_slow.load(Relaxed),
            told_close: self.told_close.load(Relaxed),
            idle_closed: self.idle_closed.load(Relaxed),
            rejected: Shed::ALL.into_iter().map(|reason| self.shed(reason)).sum(),
            client_gone: self.client_gone.load(Relaxed),
            cut: self.cut.load(Relaxed),
            hijacked: self.hijacked.load(Relaxed),
            unsent: self.unsent.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            yields: self.yields.load(Relaxed),
            preemptions: self.preemptions.load(Relaxed),
            sent: self.sent.load(Relaxed),
        }
    }

    pub(crate) fn connection_accepted(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }

    /// How many requests were answered with 503 for this reason.
    pub(crate) fn shed(&self, reason: Shed) -> u64 {
        self.rejected[reason as usize].load(Relaxed)
    }

    /// The requests by kind, and what took how long.
    pub(crate) fn by_kind(&self) -> &Requests {
        &self.by_kind
    }

    pub(crate) fn request_begun(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_ended(&self, method: MethodClass, status: StatusClass, took: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.by_kind.ended(method, status, took);
    }

    /// A worker has answered.
    pub(crate) fn answered(&self, times: &Times) {
        self.by_kind.answered(times);
    }

    pub(crate) fn connection_hijacked(self: &Arc<Self>) -> Hijacked {
        self.hijacked.fetch_add(1, Relaxed);
        Hijacked(self.clone())
    }

    /// A silent connection was closed because a new one needed its place.
    pub(crate) fn gave_way(&self) {
        self.gave_way.fetch_add(1, Relaxed);
    }

    /// A response was cut because its client took it too slowly, or not at all.
    pub(crate) fn too_slow(&self) {
        self.too_slow.fetch_add(1, Relaxed);
    }

    /// Connections that hold a descriptor: the server's and the app's own.
    pub(crate) fn all_connections(&self) -> u64 {
        self.connections.load(Relaxed) + self.hijacked.load(Relaxed)
    }

    pub(crate) fn told_close(&self) {
        self.told_close.fetch_add(1, Relaxed);
    }

    pub(crate) fn idle_closed(&self) {
        self.idle_closed.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected(&self, reason: Shed) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    /// How many requests were refused for this reason.
    pub(crate) fn refusals(&self, reason: Refused) -> u64 {
        self.refused[reason as usize].load(Relaxed)
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn signalled(&self, signal: Signal) {
        self.signals[signal as usize].fetch_add(1, Relaxed);
    }

    /// How often this signal came.
    pub(crate) fn signals(&self, signal: Signal) -> u64 {
        self.signals[signal as usize].load(Relaxed)
    }

    pub(crate) fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    pub(crate) fn preempted(&self) {
        self.preemptions.fetch_add(1, Relaxed);
    }

    pub(crate) fn yielded(&self) {
        self.yields.fetch_add(1, Relaxed);
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
