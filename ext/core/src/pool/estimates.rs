//! What is known of the app's requests: how long they hold the GVL, for how long they release it, and how fast the queue moves
//! while exchanges wait in it. Learned from those that were served, so that no setting is needed. A pure value.

use std::time::{Duration, Instant};

/// A pause without the GVL that is shorter than this is not worth calling another worker for: a line for a log, a look at a
/// file. Handing the GVL over and back costs about as much.
pub(super) const BRIEF: Duration = Duration::from_micros(30);

/// The part of the pauses that are brief where the others are rare.
const RARELY_LASTING: f64 = 0.95;

/// The bounds of [`Estimates::stall_after`].
pub(super) const MIN_STALL_AFTER: Duration = Duration::from_millis(10);
pub(super) const MAX_STALL_AFTER: Duration = Duration::from_millis(50);

/// `stall_after` is this many times the median.
const MEDIANS: u32 = 4;

/// The weight of the newest pause in `brief_part`, and of the newest interval in `mean_interval`.
const WEIGHT: f64 = 1.0 / 16.0;

/// How far the median moves towards each request's time.
const STEP: f64 = 1.0 / 16.0;

#[derive(Debug)]
pub(super) struct Estimates {
    /// The part of the latest pauses that were brief, from 0 to 1.
    brief_part: f64,
    /// When a worker last released the GVL inside the app.
    last_pause: Option<Instant>,
    /// The median of how long a request holds the GVL, in seconds.
    median_held: f64,
    /// The mean time from one exchange that is taken to the next that has waited, in seconds.
    mean_interval: Option<f64>,
    /// When an exchange was taken that left others waiting, if that was the last one taken.
    busy_since: Option<Instant>,
}

impl Default for Estimates {
    fn default() -> Self {
        // A request of an app that nothing is known of may hold the GVL for long.
        let median_held = MAX_STALL_AFTER.as_secs_f64();
        Self { brief_part: 0.0, last_pause: None, median_held, mean_interval: None, busy_since: None }
    }
}

impl Estimates {
    // ===== pauses =====

    /// A request has released the GVL at `now`.
    pub(super) fn pause_began(&mut self, now: Instant) {
        self.last_pause = Some(now);
    }

    /// A request wants the GVL back after `pause`.
    pub(super) fn pause_ended(&mut self, pause: Duration) {
        self.last_pause = None;
        let brief = f64::from(u8::from(pause < BRIEF));
        self.brief_part += WEIGHT * (brief - self.brief_part);
    }

    /// Whether a request that releases the GVL will most likely want it back at once.
    fn pauses_are_brief(&self) -> bool {
        self.brief_part > 0.5
    }

    /// Whether nearly all are, so that it is enough to see within a moment that one is not.
    pub(super) fn lasting_pauses_are_rare(&self) -> bool {
        self.brief_part > RARELY_LASTING
    }

    /// Since when a request has released the GVL that will most likely want it back at once, and for how much longer that is likely.
    pub(super) fn brief_pause(&self, now: impl Fn() -> Instant) -> Option<(Instant, Duration)> {
        let since = self.last_pause.filter(|_| self.pauses_are_brief())?;
        let left = BRIEF.checked_sub(now().saturating_duration_since(since)).filter(|left| !left.is_zero())?;
        Some((since, left))
    }

    /// How much longer it is likely that the request that has released the GVL wants it back at once.
    pub(super) fn left_of_pause(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        self.brief_pause(now).map(|(_, left)| left)
    }

    /// The pause that began at `since` is not brief.
    pub(super) fn pause_lasts(&mut self, since: Instant) {
        if self.last_pause == Some(since) {
            self.last_pause = None;
        }
    }

    // ===== time with the GVL =====

    /// A request has ended that held the GVL for so long in all.
    pub(super) fn held(&mut self, held: Duration) {
        // At the median it goes up as often as down; a request that is far longer than the rest moves it no further.
        let step = if held.as_secs_f64() > self.median_held { 1.0 + STEP } else { 1.0 - STEP };
        self.median_held = (self.median_held * step).clamp(1e-6, MAX_STALL_AFTER.as_secs_f64());
    }

    /// For how long the queue may stand still while a request holds the GVL, before the next is let in beside it. Longer than
    /// most requests take, or all of them would be let in and share the GVL, and each would take as long as all.
    pub(super) fn stall_after(&self) -> Duration {
        (Duration::from_secs_f64(self.median_held) * MEDIANS).clamp(MIN_STALL_AFTER, MAX_STALL_AFTER)
    }

    // ===== the queue's speed =====

    /// An exchange is taken at `now`; `more` says whether others wait.
    pub(super) fn taken(&mut self, now: Instant, more: bool) {
        if let Some(since) = self.busy_since.take() {
            let interval = now.saturating_duration_since(since).as_secs_f64();
            self.mean_interval = Some(self.mean_interval.map_or(interval, |mean| mean + WEIGHT * (interval - mean)));
        }
        if more {
            self.busy_since = Some(now);
        }
    }

    /// How many waiting exchanges will be taken in `time`; `None` where nothing is known.
    pub(super) fn taken_within(&self, time: Duration) -> Option<usize> {
        let mean = self.mean_interval.filter(|mean| *mean > 0.0)?;
        Some((time.as_secs_f64() / mean) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn app_of(requests: impl IntoIterator<Item = Duration>) -> Estimates {
        let mut estimates = Estimates::default();
        requests.into_iter().for_each(|held| estimates.held(held));
        estimates
    }

    #[test]
    fn an_app_that_nothing_is_known_of_may_compute_for_long() {
        assert_eq!(Estimates::default().stall_after(), MAX_STALL_AFTER);
    }

    #[test]
    fn a_few_long_requests_among_short_ones_change_nothing() {
        let short = || std::iter::repeat_n(MS / 10, 9);
        let estimates = app_of((0..40).flat_map(|_| short().chain([500 * MS])));
        assert_eq!(estimates.stall_after(), MIN_STALL_AFTER);
    }

    #[test]
    fn the_longer_requests_are_the_longer_the_queue_may_stand_still() {
        let stall_after = app_of(std::iter::repeat_n(5 * MS, 500)).stall_after();
        assert!((17 * MS..23 * MS).contains(&stall_after), "{stall_after:?}");
        assert_eq!(app_of(std::iter::repeat_n(40 * MS, 500)).stall_after(), MAX_STALL_AFTER);
    }

    #[test]
    fn tells_brief_pauses_from_long_ones() {
        let mut estimates = Estimates::default();
        (0..20).for_each(|_| estimates.pause_ended(BRIEF / 2));
        assert!(estimates.pauses_are_brief() && !estimates.lasting_pauses_are_rare());
        (0..99).for_each(|_| estimates.pause_ended(BRIEF / 2));
        assert!(estimates.lasting_pauses_are_rare());
        estimates.pause_ended(MS);
        assert!(estimates.pauses_are_brief() && !estimates.lasting_pauses_are_rare());
        (0..40).for_each(|turn| estimates.pause_ended(if turn % 3 == 0 { BRIEF / 2 } else { MS }));
        assert!(!estimates.pauses_are_brief());
    }

    #[test]
    fn tells_from_the_last_ones_how_many_more_there_is_time_for() {
        let (mut estimates, start) = (Estimates::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(estimates.taken_within(Duration::from_secs(1)), None);
        estimates.taken(at(0), false);
        estimates.taken(at(5000), true);
        assert_eq!(estimates.taken_within(Duration::from_secs(1)), None, "none waited in the time between");
        estimates.taken(at(5100), true);
        assert_eq!(estimates.taken_within(Duration::from_millis(1050)), Some(10));
        for turn in 1..200 {
            estimates.taken(at(5100 + 10 * turn), true);
        }
        assert_eq!(estimates.taken_within(Duration::from_millis(1005)), Some(100));
    }
}
