//! The watch over pauses: a request that releases the GVL for a moment keeps the next one waiting for that moment, and no longer.
//!
//! Where pauses are mostly brief ([`Estimates::left_of_pause`](super::estimates::Estimates::left_of_pause)), no worker is called for
//! what waits when one begins: it would wake only to find that the GVL is wanted back. A timer of the system's is set instead, which
//! costs a system call and wakes no thread; it goes off on the I/O thread if the pause lasts, and a worker is called then. Where there
//! is no such timer, a called worker waits the moment out itself.

use std::{fmt::Debug, time::Instant};

use super::{DispatchQueue, PoolState, estimates::BRIEF};
#[cfg(target_os = "linux")]
use crate::sys::timer::Timer;

/// A timer that goes off once, and calls [`DispatchQueue::pause_lasts`] then. It may also go off after it was stopped.
pub(super) trait Alarm: Debug + Send {
    /// Goes off after [`BRIEF`].
    fn start(&self);
    fn stop(&self);
}

/// The pool's lock guards it.
#[derive(Debug, Default)]
pub(super) struct PauseWatch {
    /// `None` where there is no timer.
    alarm: Option<Box<dyn Alarm>>,
    /// When the pause began that the timer is set for.
    watched: Option<Instant>,
}

impl PoolState {
    /// Whether what waits need not be seen to now, because a request makes a pause that is most likely over at once: the timer tells
    /// if it is not.
    pub(super) fn waits_out_pause(&mut self) -> bool {
        if self.pause_watch.alarm.is_none() || !self.roster.admission.calls() {
            return false;
        }
        let Some((since, _)) = self.estimates.brief_pause(Instant::now) else { return false };
        if self.pause_watch.watched != Some(since) {
            self.pause_watch.watched = Some(since);
            self.pause_watch.alarm.iter().for_each(|alarm| alarm.start());
        }
        true
    }

    /// The pause is over, and was of that length.
    pub(super) fn pause_ended(&mut self, pause: std::time::Duration) {
        self.estimates.pause_ended(pause);
        if self.pause_watch.watched.take().is_some() {
            self.pause_watch.alarm.iter().for_each(|alarm| alarm.stop());
        }
    }
}

impl DispatchQueue {
    /// The timer has gone off: a worker is called if the pause goes on for which it was set.
    pub(super) fn pause_lasts(&self) {
        let mut state = self.lock();
        let Some(since) = state.pause_watch.watched.take() else { return };
        state.estimates.pause_lasts(since);
        self.call_if_waiting(&mut state);
    }

    pub(super) fn set_alarm(&self, alarm: Option<Box<dyn Alarm>>) {
        let mut state = self.lock();
        state.pause_watch = PauseWatch { alarm, watched: None };
        self.call_if_waiting(&mut state);
    }

    /// Has the timer, for as long as this runs. For the server's runtime; never ends.
    #[cfg(target_os = "linux")]
    pub(crate) async fn watch_pauses(&self) {
        // Without a descriptor that is free, workers wait pauses out themselves.
        let Ok(timer) = Timer::new() else { return };
        let timer = std::sync::Arc::new(timer);
        self.set_alarm(Some(Box::new(timer.clone())));
        let _end = End(self);
        while timer.goes_off().await.is_ok() {
            self.pause_lasts();
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) async fn watch_pauses(&self) {}
}

#[cfg(target_os = "linux")]
impl Alarm for std::sync::Arc<Timer> {
    fn start(&self) {
        self.set(BRIEF);
    }

    fn stop(&self) {
        self.unset();
    }
}

/// Nothing waits for a timer that has ended.
#[cfg(target_os = "linux")]
struct End<'a>(&'a DispatchQueue);

#[cfg(target_os = "linux")]
impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.set_alarm(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Next, tests::exchange};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    /// Counts its starts, less its stops.
    #[derive(Clone, Debug, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Alarm for Counting {
        fn start(&self) {
            self.0.fetch_add(1, SeqCst);
        }

        fn stop(&self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }

    /// An app whose pauses are brief, one exchange in it and one that waits; a worker sleeps.
    fn queue() -> (Arc<DispatchQueue>, crate::pool::Worker, Vec<crate::exchange::Awaited>) {
        let queue = DispatchQueue::new(9, None, 2, crate::stats::SharedStats::default());
        (0..99).for_each(|_| queue.lock().estimates.pause_ended(Duration::ZERO));
        let [running, sleeping] = [queue.register(), queue.register()];
        let awaited = ["/1", "/2"].map(|path| {
            let (exchange, awaited) = exchange(path);
            queue.submit(exchange).unwrap();
            awaited
        });
        assert!(matches!(running.look(), Next::Exchange(_)));
        queue.lock().roster.admission.rest(sleeping.number());
        // It stays registered.
        std::mem::forget(sleeping);
        (queue, running, awaited.into())
    }

    fn calls(queue: &DispatchQueue) -> usize {
        let idle = queue.lock().roster.admission.idle();
        1 - idle
    }

    #[test]
    fn no_worker_is_called_for_a_pause_that_is_over_at_once() {
        let ((queue, worker, _awaited), alarm) = (queue(), Counting::default());
        queue.set_alarm(Some(Box::new(alarm.clone())));
        // Later than any machine takes for this, so that the pause is brief all the time.
        let (events, now) = (worker.gvl_events(), || Instant::now() + Duration::from_secs(3600));
        for _ in 0..3 {
            events.suspended(now);
            assert_eq!((calls(&queue), alarm.0.load(SeqCst)), (0, 1));
            let (another, _) = exchange("/another");
            queue.submit(another).unwrap();
            assert_eq!((calls(&queue), alarm.0.load(SeqCst)), (0, 1), "it is set once for a pause");
            events.ready(now);
            events.resumed(now);
            assert_eq!((calls(&queue), alarm.0.load(SeqCst)), (0, 0));
        }
        queue.pause_lasts();
        assert_eq!(calls(&queue), 0, "it went off although it was stopped");
        events.suspended(now);
        queue.pause_lasts();
        assert_eq!(calls(&queue), 1, "the pause lasts");
    }

    #[test]
    fn a_worker_is_called_at_once_where_there_is_no_timer() {
        let (queue, worker, _awaited) = queue();
        worker.gvl_events().suspended(Instant::now);
        assert_eq!(calls(&queue), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_worker_is_called_when_the_timer_goes_off_and_when_it_ends() {
        let (queue, worker, _awaited) = queue();
        let watched = queue.clone();
        let watching = tokio::spawn(async move { watched.watch_pauses().await });
        while queue.lock().pause_watch.alarm.is_none() {
            tokio::task::yield_now().await;
        }
        worker.gvl_events().suspended(Instant::now);
        while calls(&queue) == 0 {
            tokio::task::yield_now().await;
        }
        watching.abort();
        assert!(watching.await.unwrap_err().is_cancelled());
        assert!(queue.lock().pause_watch.alarm.is_none());
    }
}
