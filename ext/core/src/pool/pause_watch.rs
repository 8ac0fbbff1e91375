//! The watch over pauses: a request that releases the GVL for a moment keeps the next one waiting for that moment, and no longer.
//!
//! Where pauses are mostly brief ([`Estimates::left_of_pause`](super::estimates::Estimates::left_of_pause)), no worker is called for
//! what waits when one begins: it would wake only to find that the GVL is wanted back. A timer of the system's is set instead, which
//! wakes no thread; it goes off on the I/O thread if the pause lasts, and a worker is called then. Where there is no such timer, a called
//! worker waits the moment out itself.
//!
//! On a virtual machine each setting of a timer takes some 6 us, because the machine below has to be asked: to set and stop one for
//! every pause took a twentieth of a Sinatra page. So where hardly any pause lasts, the timer stays set for [`LOOK_AFTER`], which many
//! pauses begin and end in.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use super::{DispatchQueue, PoolState, estimates::BRIEF};
#[cfg(target_os = "linux")]
use crate::sys::timer::Timer;

/// A timer that goes off once, and calls [`DispatchQueue::pause_lasts`] then. It may also go off after it was stopped.
pub(super) trait Alarm: Debug + Send {
    fn start(&self, after: Duration);
    fn stop(&self);
}

/// Where hardly any pause lasts: what waits is seen to so long after one began that does, at most.
const LOOK_AFTER: Duration = Duration::from_millis(1);

/// The pool's lock guards it.
#[derive(Debug, Default)]
pub(super) struct PauseWatch {
    /// `None` where there is no timer.
    alarm: Option<Box<dyn Alarm>>,
    /// When the pause began that the timer is to tell of.
    watched: Option<Instant>,
    /// The timer is set.
    is_set: bool,
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
            self.set_timer();
        }
        true
    }

    fn set_timer(&mut self) {
        let rare = self.estimates.lasting_pauses_are_rare();
        if rare && self.pause_watch.is_set {
            return;
        }
        self.pause_watch.is_set = true;
        self.pause_watch.alarm.iter().for_each(|alarm| alarm.start(if rare { LOOK_AFTER } else { BRIEF }));
    }

    /// The pause is over, and was of that length.
    pub(super) fn pause_ended(&mut self, pause: Duration) {
        self.estimates.pause_ended(pause);
        if self.pause_watch.watched.take().is_some() && !self.estimates.lasting_pauses_are_rare() {
            self.pause_watch.is_set = false;
            self.pause_watch.alarm.iter().for_each(|alarm| alarm.stop());
        }
    }
}

impl DispatchQueue {
    /// The timer has gone off: a worker is called if there is a pause, which has most likely lasted.
    pub(super) fn pause_lasts(&self) {
        let mut state = self.lock();
        state.pause_watch.is_set = false;
        let Some(since) = state.pause_watch.watched.take() else { return };
        state.estimates.pause_lasts(since);
        self.call_if_waiting(&mut state);
    }

    pub(super) fn set_alarm(&self, alarm: Option<Box<dyn Alarm>>) {
        let mut state = self.lock();
        state.pause_watch = PauseWatch { alarm, watched: None, is_set: false };
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
    fn start(&self, after: Duration) {
        self.set(after);
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
    use std::sync::{Arc, Mutex};

    /// What it was told: to go off after so many microseconds, or not at all.
    #[derive(Clone, Debug, Default)]
    struct Telling(Arc<Mutex<Vec<Option<u128>>>>);

    impl Telling {
        fn told(&self) -> Vec<Option<u128>> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Alarm for Telling {
        fn start(&self, after: Duration) {
            self.0.lock().unwrap().push(Some(after.as_micros()));
        }

        fn stop(&self) {
            self.0.lock().unwrap().push(None);
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
        let ((queue, worker, _awaited), alarm) = (queue(), Telling::default());
        queue.set_alarm(Some(Box::new(alarm.clone())));
        // Some last.
        (0..3).for_each(|_| queue.lock().estimates.pause_ended(Duration::from_secs(1)));
        // Later than any machine takes for this, so that the pause is brief all the time.
        let (events, now) = (worker.gvl_events(), || Instant::now() + Duration::from_secs(3600));
        for _ in 0..3 {
            events.suspended(now);
            assert_eq!((calls(&queue), alarm.told()), (0, vec![Some(30)]));
            let (another, _) = exchange("/another");
            queue.submit(another).unwrap();
            assert_eq!((calls(&queue), alarm.told()), (0, vec![]), "it is set once for a pause");
            events.ready(now);
            events.resumed(now);
            assert_eq!((calls(&queue), alarm.told()), (0, vec![None]));
        }
        queue.pause_lasts();
        assert_eq!(calls(&queue), 0, "it went off although it was stopped");
        events.suspended(now);
        queue.pause_lasts();
        assert_eq!(calls(&queue), 1, "the pause lasts");
    }

    /// Each setting asks the machine below a virtual one.
    #[test]
    fn where_hardly_any_pause_lasts_the_timer_stays_set_over_many() {
        let ((queue, worker, _awaited), alarm) = (queue(), Telling::default());
        queue.set_alarm(Some(Box::new(alarm.clone())));
        let (events, now) = (worker.gvl_events(), || Instant::now() + Duration::from_secs(3600));
        let pause = || {
            events.suspended(now);
            events.ready(now);
            events.resumed(now);
        };
        (0..9).for_each(|_| pause());
        assert_eq!((calls(&queue), alarm.told()), (0, vec![Some(1000)]));
        queue.pause_lasts();
        assert_eq!((calls(&queue), alarm.told()), (0, vec![]), "no pause, and the next sets it anew");
        pause();
        events.suspended(now);
        assert_eq!((calls(&queue), alarm.told()), (0, vec![Some(1000)]));
        queue.pause_lasts();
        assert_eq!((calls(&queue), alarm.told()), (1, vec![]), "this one goes on");
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
