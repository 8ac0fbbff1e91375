//! The exchanges that wait for a worker: bounded, first come first served, and full is a value.
//!
//! A plain value: the pool's lock guards it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::exchange::Exchange;

/// The exchanges that wait.
#[derive(Debug)]
pub(super) struct Queue {
    /// The one that has waited longest comes first.
    exchanges: VecDeque<Exchange>,
    /// How many may wait; at least one.
    max_queue: usize,
    /// How long an exchange may wait; `None` is without limit.
    queue_timeout: Option<Duration>,
    /// The most that have waited at a time since the last report.
    deepest: usize,
    /// How many workers have taken; where that stands still, the stall guard acts.
    taken: u64,
}

impl Queue {
    pub(super) fn new(max_queue: usize, queue_timeout: Option<Duration>) -> Self {
        let max_queue = max_queue.max(1);
        // It grows only under the deepest queues that are set.
        let exchanges = VecDeque::with_capacity(max_queue.min(1024));
        Self { exchanges, max_queue, queue_timeout, deepest: 0, taken: 0 }
    }

    pub(super) fn max_queue(&self) -> usize {
        self.max_queue
    }

    pub(super) fn queue_timeout(&self) -> Option<Duration> {
        self.queue_timeout
    }

    pub(super) fn len(&self) -> usize {
        self.exchanges.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.max_queue
    }

    /// Adds an exchange at the end, for which there must be room.
    pub(super) fn push(&mut self, exchange: Exchange) {
        self.exchanges.push_back(exchange);
        self.deepest = self.deepest.max(self.len());
    }

    /// The exchange that has waited longest.
    pub(super) fn first(&self) -> Option<&Exchange> {
        self.exchanges.front()
    }

    /// Removes the exchange that has waited longest.
    pub(super) fn remove_first(&mut self) -> Option<Exchange> {
        self.exchanges.pop_front()
    }

    /// The same for a worker.
    pub(super) fn take(&mut self) -> Option<Exchange> {
        let exchange = self.remove_first();
        self.taken += u64::from(exchange.is_some());
        exchange
    }

    /// How many workers have taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Removes those that came after the first `count`.
    pub(super) fn remove_after(&mut self, count: usize) -> VecDeque<Exchange> {
        self.exchanges.split_off(count.min(self.len()))
    }

    /// Whether exchanges may wait for a limited time only.
    pub(super) fn has_timeout(&self) -> bool {
        self.queue_timeout.is_some()
    }

    /// When an exchange will have waited for as long as it may.
    pub(super) fn expiry(&self, exchange: &Exchange) -> Option<Instant> {
        self.queue_timeout.map(|queue_timeout| exchange.request.queued + queue_timeout)
    }

    /// The most that have waited at a time since the last call of this.
    pub(super) fn reset_deepest(&mut self) -> usize {
        std::mem::replace(&mut self.deepest, self.exchanges.len())
    }
}
