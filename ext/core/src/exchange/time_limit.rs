//! The limit on a request's time in the app (`request_timeout`). The app may return on one thread at the moment at which the
//! limit is reached on another: one of them is first, and that decides what the client gets.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::Context,
};

use atomic_waker::AtomicWaker;

/// What has come of the current request, in the lowest bits; above them the request's number on its connection.
const RUNNING: u64 = 0;
const RETURNED: u64 = 1;
const EXCEEDED: u64 = 2;
const STEP_BITS: u32 = 2;

/// One connection's requests, of which there is one at a time: made once, so that a request allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct TimeLimits {
    current: AtomicU64,
    /// The connection's task, which answers in the app's place.
    task: AtomicWaker,
}

/// The limit of one request.
#[derive(Clone, Debug)]
pub struct TimeLimit {
    limits: Arc<TimeLimits>,
    number: u64,
}

impl TimeLimits {
    /// The limit of the next request. That of the one before is over with this: its app counts as too late.
    pub(crate) fn begin(self: &Arc<Self>) -> TimeLimit {
        let number = (self.current.load(Acquire) >> STEP_BITS) + 1;
        self.current.store(number << STEP_BITS | RUNNING, Release);
        TimeLimit { limits: self.clone(), number }
    }

    /// Whether the limit of the current request is exceeded. If not, the task is woken when it is.
    pub(crate) fn poll_exceeded(&self, cx: &Context<'_>) -> bool {
        self.is_exceeded() || {
            self.task.register(cx.waker());
            // It may have been exceeded before the task was registered.
            self.is_exceeded()
        }
    }

    fn is_exceeded(&self) -> bool {
        self.current.load(Acquire) & !(u64::MAX << STEP_BITS) == EXCEEDED
    }
}

impl TimeLimit {
    /// The app has returned, or has taken the connection. Returns whether that was in time. From then on the limit changes
    /// nothing; when it was exceeded, nothing that the app has returned is sent. May be repeated.
    pub fn returned(&self) -> bool {
        self.decide(RETURNED)
    }

    /// Whether the time was over before the app had returned.
    pub fn is_exceeded(&self) -> bool {
        let current = self.limits.current.load(Acquire);
        current != self.number << STEP_BITS | RUNNING && current != self.number << STEP_BITS | RETURNED
    }

    /// The time is over. Returns whether the app was still at it: then the client is answered in its place.
    pub(crate) fn exceed(&self) -> bool {
        let first = self.decide(EXCEEDED);
        if first {
            self.limits.task.wake();
        }
        first
    }

    /// Whether `step` is what has come of the request.
    fn decide(&self, step: u64) -> bool {
        let number = self.number << STEP_BITS;
        let decided = self.limits.current.compare_exchange(number | RUNNING, number | step, AcqRel, Acquire);
        decided.is_ok() || decided == Err(number | step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{task::Waker, thread};

    #[test]
    fn what_comes_first_decides() {
        let limits = Arc::new(TimeLimits::default());
        let limit = limits.begin();
        assert!(limit.returned() && limit.returned());
        assert!(!limit.exceed());
        let limit = limits.begin();
        assert!(limit.exceed());
        assert!(!limit.returned());
        assert!(limits.poll_exceeded(&Context::from_waker(Waker::noop())));
    }

    #[test]
    fn an_app_that_is_late_does_nothing_to_the_next_request() {
        let limits = Arc::new(TimeLimits::default());
        let late = limits.begin();
        assert!(late.exceed());
        let next = limits.begin();
        assert!(!limits.poll_exceeded(&Context::from_waker(Waker::noop())));
        assert!(!late.returned());
        assert!(next.returned());
    }

    #[test]
    fn of_two_threads_one_is_first() {
        for _ in 0..1000 {
            let limits = Arc::new(TimeLimits::default());
            let limit = limits.begin();
            let other = limit.clone();
            let returns = thread::spawn(move || other.returned());
            let exceeded = limit.exceed();
            assert_ne!(returns.join().unwrap(), exceeded);
        }
    }
}
