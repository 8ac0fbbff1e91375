//! The app's work between requests (`out_of_band`): a thread waits here until the pool is idle after a request. While it works, no
//! request is taken; those that come wait until it is back.

use super::{DispatchQueue, End, PoolState};
use crate::sync::{Parker, Unparker};

/// What the thread that works between requests is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Nothing waits, nothing is in the app, and a request has ended since the last time. No request is taken until the thread
    /// asks again.
    Now,
    /// Nothing: the parker was woken for something else.
    Nothing,
    /// Never again.
    Over,
}

/// The work between requests. The pool's lock guards it.
#[derive(Debug, Default)]
pub(super) struct OutOfBand {
    /// Whether a thread has asked, ever. Without one there is nothing to keep track of.
    wanted: bool,
    /// Whether a request has ended since the last work.
    due: bool,
    working: bool,
    /// Wakes the thread, while it waits.
    thread: Option<Unparker>,
}

impl OutOfBand {
    /// Whether no request may be taken.
    pub(super) fn is_working(&self) -> bool {
        self.working
    }

    /// A request has ended.
    pub(super) fn request_ended(&mut self) {
        self.due = self.wanted;
    }

    /// The thread, which is to be woken for the last time.
    pub(super) fn dismiss(&mut self) -> Option<Unparker> {
        self.thread.take()
    }
}

impl PoolState {
    /// A worker has nothing to do. Wakes the thread, if no worker has.
    pub(super) fn wake_when_idle(&mut self) {
        if self.out_of_band.due
            && self.may_work_out_of_band()
            && let Some(thread) = self.out_of_band.thread.take()
        {
            thread.unpark();
        }
    }

    fn may_work_out_of_band(&self) -> bool {
        let tally = self.roster.admission.tally();
        self.queue.is_empty() && tally.active + tally.waiting == 0 && matches!(self.end, End::NotInSight)
    }
}

impl DispatchQueue {
    /// Waits until the pool is idle after a request. What the last call has held back is taken from now on.
    pub fn next_idle(&self, parker: &Parker) -> Idle {
        match self.pending_idle(parker) {
            Idle::Nothing => {}
            other => return other,
        }
        parker.park();
        self.pending_idle(parker)
    }

    fn pending_idle(&self, parker: &Parker) -> Idle {
        let mut state = self.lock();
        state.out_of_band.wanted = true;
        if std::mem::take(&mut state.out_of_band.working) {
            self.call_if_waiting(&mut state);
        }
        if state.is_closed() {
            return Idle::Over;
        }
        if state.out_of_band.due && state.may_work_out_of_band() {
            (state.out_of_band.due, state.out_of_band.working) = (false, true);
            return Idle::Now;
        }
        state.out_of_band.thread = Some(parker.unparker());
        Idle::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pool::{Next, tests::exchange},
        sync::now,
    };
    use std::{sync::Arc, time::Duration};

    fn queue() -> Arc<DispatchQueue> {
        DispatchQueue::new(9, None, 2, Default::default())
    }

    fn submit(queue: &DispatchQueue) -> crate::exchange::Awaited {
        let (exchange, answer) = exchange("/");
        queue.submit(exchange).unwrap();
        answer
    }

    /// What the thread would hear now.
    fn asked(queue: &DispatchQueue, parker: &Parker) -> Idle {
        queue.pending_idle(parker)
    }

    #[test]
    fn comes_once_after_a_request() {
        let (queue, parker) = (queue(), Parker::new());
        let worker = queue.register();
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "there was no request");
        let _answer = submit(&queue);
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "a request waits");
        assert!(matches!(worker.look(), Next::Exchange(_)));
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "it is in the app");
        assert!(matches!(worker.look(), Next::Nothing));
        assert_eq!(asked(&queue, &parker), Idle::Now);
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "there was none since");
    }

    #[test]
    fn never_comes_beside_a_request_in_the_app() {
        let (queue, parker) = (queue(), Parker::new());
        let (one, other) = (queue.register(), queue.register());
        assert_eq!(asked(&queue, &parker), Idle::Nothing);
        let _answers = [submit(&queue), submit(&queue)];
        assert!(matches!(one.look(), Next::Exchange(_)));
        one.gvl_events().suspended(now);
        assert!(matches!(other.look(), Next::Exchange(_)));
        assert!(matches!(other.look(), Next::Nothing));
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "the first one waits in the app");
        assert!(matches!(one.look(), Next::Nothing));
        assert_eq!(asked(&queue, &parker), Idle::Now);
    }

    #[test]
    fn what_comes_meanwhile_waits() {
        let (queue, parker) = (queue(), Parker::new());
        let worker = queue.register();
        assert_eq!(asked(&queue, &parker), Idle::Nothing);
        let _first = submit(&queue);
        assert!(matches!(worker.look(), Next::Exchange(_)));
        assert!(matches!(worker.look(), Next::Nothing));
        assert_eq!(asked(&queue, &parker), Idle::Now);
        let _second = submit(&queue);
        assert!(matches!(worker.look(), Next::Nothing));
        assert!(!queue.lock().roster.has_called());
        assert_eq!(asked(&queue, &parker), Idle::Nothing, "a request waits");
        assert!(matches!(worker.look(), Next::Exchange(_)));
    }

    #[test]
    fn wakes_the_thread_when_the_last_worker_goes_to_sleep() {
        let queue = queue();
        let thread = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let parker = Parker::new();
                loop {
                    match queue.next_idle(&parker) {
                        Idle::Nothing => {}
                        other => return other,
                    }
                }
            })
        };
        let worker = queue.register();
        worker.gvl_events();
        while !queue.lock().out_of_band.wanted {
            std::thread::yield_now();
        }
        let _answer = submit(&queue);
        assert!(matches!(worker.look(), Next::Exchange(_)));
        assert!(matches!(worker.look(), Next::Nothing));
        queue.retire_idle(0, Some(Duration::ZERO));
        worker.sleep();
        assert_eq!(thread.join().unwrap(), Idle::Now);
    }

    #[test]
    fn is_over_with_the_pool_and_not_begun_when_the_end_is_near() {
        let (queue, parker) = (queue(), Parker::new());
        let worker = queue.register();
        assert_eq!(asked(&queue, &parker), Idle::Nothing);
        let _answer = submit(&queue);
        assert!(matches!(worker.look(), Next::Exchange(_)));
        queue.end_by(now() + Duration::from_secs(9), now());
        assert!(matches!(worker.look(), Next::Nothing));
        assert_eq!(asked(&queue, &parker), Idle::Nothing);
        queue.close();
        assert_eq!(asked(&queue, &parker), Idle::Over);
    }
}
