//! What the siblings of a cluster are told of the pool: what room it has for a request, how many threads are in the app and how
//! many requests wait. Written under the pool's lock, without a system call, before each release of it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{DispatchQueue, PoolState};
use crate::cluster::{Member, Room};

/// When a worker last took an exchange.
#[derive(Debug, Default)]
pub(super) struct LastTaken {
    /// When one was first taken.
    first: OnceLock<Instant>,
    /// Nanoseconds since then.
    last: AtomicU64,
}

impl DispatchQueue {
    /// A worker takes an exchange.
    pub(super) fn taken_at(&self, now: Instant) {
        if let Some(member) = &self.member {
            member.publish_taken();
            let since = now.saturating_duration_since(*self.last_taken.first.get_or_init(|| now));
            self.last_taken.last.store(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// For how long no worker has taken an exchange; zero where none ever has. Takes no lock. Known in a cluster only.
    pub(crate) fn since_last_taken(&self, now: Instant) -> Duration {
        self.last_taken.first.get().map_or(Duration::ZERO, |first| {
            now.saturating_duration_since(*first)
                .saturating_sub(Duration::from_nanos(self.last_taken.last.load(Relaxed)))
        })
    }
}

impl PoolState {
    /// What there is for a new request. It would run at once where none waits or computes, not even one that others need not wait for,
    /// because a sibling would not have to share the GVL with it; and where a thread is free or may be created. Otherwise it would
    /// wait for its turn with the GVL, where no thread waits in the app or there is one for it; else for a thread.
    fn room(&self) -> Room {
        let (admission, tally) = (&self.roster.admission, self.roster.admission.tally());
        // Workers that are to come were asked for when something waited: where nothing does, they may take what comes.
        let has_thread = tally.idle > 0 || admission.workers() < self.roster.max_threads();
        let runs_at_once = self.queue.is_empty() && tally.active == 0;
        if self.is_closed() || self.out_of_band.is_working() {
            Room::None
        } else if has_thread && runs_at_once {
            Room::Free
        } else if has_thread || tally.waiting == 0 {
            Room::Shared
        } else {
            Room::Full
        }
    }

    /// Tells the siblings what has changed.
    pub(super) fn publish(&mut self, member: &Member) {
        let tally = self.roster.admission.tally();
        member.publish_load((tally.active, tally.waiting), self.queue.len());
        let room = self.room();
        // A sibling's claim stands until there is news.
        if room != self.told_room {
            self.told_room = room;
            member.publish_room(room);
        }
    }
}

impl DispatchQueue {
    /// Tells the siblings anew what room there is: a sibling may have claimed it and sent nothing, or what it sent may have been no
    /// request.
    pub(crate) fn publish_room(&self) {
        if let Some(member) = &self.member {
            let mut state = self.lock();
            state.told_room = state.room();
            member.publish_room(state.told_room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{Cluster, WorkerState},
        pool::{Next, Rejected, Worker, tests::exchange},
    };
    use std::sync::Arc;

    fn pool(max_threads: usize) -> (Arc<DispatchQueue>, Member, Member) {
        let cluster = Cluster::create(2).unwrap();
        let [worker, sibling] = [0, 1].map(|index| Member::new(cluster.clone(), cluster.reserve(index).unwrap()));
        worker.set_state(WorkerState::Serving);
        (DispatchQueue::of_member(1, None, max_threads, worker.clone()), worker, sibling)
    }

    fn take(worker: &Worker) -> Box<crate::exchange::Exchange> {
        let Next::Exchange(exchange) = worker.look() else { panic!("nothing to take") };
        exchange
    }

    #[test]
    fn there_is_room_while_a_new_request_would_run_at_once() {
        let (queue, member, sibling) = pool(2);
        assert!(!member.has_room(), "it has told nothing yet");
        queue.publish_room();
        assert!(member.has_room(), "a thread may be created");
        let one = queue.register();
        let (waiting, _awaited) = exchange("/");
        queue.submit(waiting).unwrap();
        assert_eq!((member.has_room(), member.waiting()), (false, 1));
        let running = take(&one);
        assert_eq!((member.has_room(), member.waiting()), (false, 0), "one runs");
        sibling.publish_taken();
        sibling.publish_load((1, 0), 1);
        assert_eq!(sibling.claim_better_sibling(true), None, "nor is it better by one");
        sibling.publish_load((1, 0), 2);
        assert_eq!(sibling.claim_better_sibling(true), Some(member.slot()), "it is by two");
        member.has_come();
        let view = || member.cluster().workers()[member.slot()];
        assert_eq!(view().in_app, 1);
        let gvl = one.gvl_events();
        gvl.suspended(Instant::now);
        assert!(member.has_room(), "it waits for something, and another thread may be created");
        let two = queue.register();
        let (waiting, _awaited) = exchange("/");
        queue.submit(waiting).unwrap();
        let second = take(&two);
        two.gvl_events().suspended(Instant::now);
        assert_eq!((member.has_room(), view().in_app), (false, 2), "both threads are in the app");
        assert_eq!(
            sibling.claim_better_sibling(true),
            None,
            "and wait there, so that none is there for another request"
        );
        drop(second);
        two.end_exchange();
        assert_eq!((member.has_room(), view().in_app), (true, 1));
        assert_eq!(sibling.claim_better_sibling(true), Some(member.slot()));
        gvl.ready(Instant::now);
        assert!(!member.has_room());
        drop((running, one, two));
        queue.close();
        assert!(!member.has_room(), "its end has come");
    }

    #[test]
    fn tells_for_how_long_no_exchange_was_taken() {
        let (queue, ..) = pool(1);
        let began = Instant::now();
        assert_eq!(queue.since_last_taken(began), Duration::ZERO, "none ever was");
        queue.taken_at(began);
        queue.taken_at(began + Duration::from_secs(3));
        assert_eq!(queue.since_last_taken(began + Duration::from_secs(5)), Duration::from_secs(2));
        assert_eq!(
            queue.since_last_taken(began + Duration::from_secs(1)),
            Duration::ZERO,
            "another thread was quicker"
        );
    }

    #[test]
    fn a_claim_stands_until_there_is_news_or_a_heart_beat() {
        let (queue, member, sibling) = pool(1);
        queue.publish_room();
        assert_eq!(sibling.claim_better_sibling(true), Some(member.slot()));
        assert_eq!(queue.len(), 0);
        assert_eq!(sibling.claim_better_sibling(true), None, "to take the lock is no news");
        queue.publish_room();
        assert_eq!(sibling.claim_better_sibling(true), Some(member.slot()));
    }

    #[test]
    fn a_request_that_is_refused_makes_no_room() {
        let (queue, member, _) = pool(1);
        let waiting = [exchange("/"), exchange("/")].map(|(exchange, _awaited)| queue.submit(exchange));
        assert!(matches!(waiting, [Ok(()), Err(Rejected::Full(_))]), "{waiting:?}");
        assert_eq!((member.has_room(), member.waiting()), (false, 1));
    }
}
