//! What the workers have done in the drain of their cluster, added up, so that the master can tell of it in one line. Each phase of it
//! is told of by the worker that enters it first.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::WorkerState;
use crate::stats::{AddUp, Of, figures::figures};

figures! {
    /// What was done in the drain; times count from the signal.
    pub struct DrainFigures in DrainCells {
        /// Workers that have told.
        workers: Sum,
        /// The last phase that was told of.
        told: Max,
        /// For how many milliseconds everything new was served.
        delay_ms: Max,
        /// New connections.
        connections: Sum,
        /// Requests.
        requests: Sum,
        /// When the last new connection came, in milliseconds, and one; 0 for none.
        last_connection_ms: Max,
        /// Connections that came in the last part of the delay, or after it.
        late: Sum,
        /// Responses that told the client to close.
        told_close: Sum,
        /// Idle connections closed.
        idle_closed: Sum,
        /// Requests answered with 503.
        rejected: Sum,
        /// Requests cut off.
        cut: Sum,
        /// Bytes that clients had not confirmed.
        unsent: Sum,
        /// Connections that were the app's own at the end.
        hijacked: Sum,
    }
}

impl DrainFigures {
    /// When the last new connection came.
    pub(crate) fn last_connection(&self) -> Option<Duration> {
        self.last_connection_ms.checked_sub(1).map(Duration::from_millis)
    }

    /// The same, to be added to the others.
    pub(crate) fn set_last_connection(&mut self, after: Option<Duration>) {
        self.last_connection_ms = after.map_or(0, |after| after.as_millis() as u64 + 1);
    }
}

impl DrainCells {
    /// Adds what one worker has done.
    pub(super) fn add_worker(&self, figures: &DrainFigures) {
        let one = Self::default();
        one.publish(figures);
        self.add(&one, Of::Living);
    }

    /// A worker enters this phase. Returns whether it is the first that does.
    pub(super) fn tell(&self, state: WorkerState) -> bool {
        self.told.fetch_max(state as u64, Relaxed) < state as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_workers_up_and_keeps_the_last_time() {
        let cells = DrainCells::default();
        for (requests, last) in [(3, Some(Duration::from_millis(1500))), (4, None), (5, Some(Duration::ZERO))] {
            let mut one = DrainFigures { workers: 1, requests, delay_ms: 10 + requests, ..Default::default() };
            one.set_last_connection(last);
            cells.add_worker(&one);
        }
        let all = cells.read();
        assert_eq!((all.workers, all.requests, all.delay_ms), (3, 12, 15));
        assert_eq!(all.last_connection(), Some(Duration::from_millis(1500)));
        assert_eq!(DrainFigures::default().last_connection(), None);
    }

    #[test]
    fn one_worker_tells_of_each_phase() {
        let cells = DrainCells::default();
        assert!(cells.tell(WorkerState::Draining));
        assert!(!cells.tell(WorkerState::Draining));
        assert!(cells.tell(WorkerState::Closing));
        assert!(!cells.tell(WorkerState::Draining), "another worker is late");
    }
}
