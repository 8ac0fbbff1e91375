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
