//! What the app's requests are like: how long they compute, and for how long they let go of the interpreter's lock. Learned
//! from those that were served, so that nobody has to set it. A pure value.

use std::time::Duration;

/// A pause that is shorter is not worth handing the lock over: a line for a log, a look at a file. Handing over and back
/// costs about as much.
pub(super) const BRIEF: Duration = Duration::from_micros(30);

/// The shortest and the longest time for which the queue may stand still while somebody computes.
pub(super) const PATIENCE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));

/// So many times as long as usual is long.
const LONG: u32 = 4;

/// How much each pause counts.
const WEIGHT: f64 = 1.0 / 16.0;

/// How far the median goes towards each request's time.
const STEP: f64 = 1.0 / 16.0;

/// What is usual.
#[derive(Debug)]
pub(super) struct Habits {
    /// The part of the pauses that were brief, lately.
    brief: f64,
    /// The median of what requests compute, in seconds.
    usual: f64,
}

impl Default for Habits {
    fn default() -> Self {
        // Of an app that nothing is known of, a request may compute for long.
        Self { brief: 0.0, usual: PATIENCE.1.as_secs_f64() }
    }
}

impl Habits {
    /// A request has let go of the lock and wants it back after `pause`.
    pub(super) fn paused(&mut self, pause: Duration) {
        let brief = f64::from(u8::from(pause < BRIEF));
        self.brief += WEIGHT * (brief - self.brief);
    }

    /// A request is done that has held the lock for so long in all.
    pub(super) fn computed(&mut self, held: Duration) {
        // Up as often as down is where the median is; one that is far longer than the rest pulls no harder than others.
        let step = if held.as_secs_f64() > self.usual { 1.0 + STEP } else { 1.0 - STEP };
        self.usual = (self.usual * step).clamp(1e-6, PATIENCE.1.as_secs_f64());
    }

    /// Whether whoever lets go of the lock will most likely want it back at once.
    pub(super) fn pauses_briefly(&self) -> bool {
        self.brief > 0.5
    }

    /// For how long the queue may stand still while somebody computes, before one more is let in: longer than requests
    /// usually take, or all of them would be let in and share the lock, and each would take as long as all.
    pub(super) fn patience(&self) -> Duration {
        (Duration::from_secs_f64(self.usual) * LONG).clamp(PATIENCE.0, PATIENCE.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn app_of(requests: impl IntoIterator<Item = Duration>) -> Habits {
        let mut habits = Habits::default();
        requests.into_iter().for_each(|held| habits.computed(held));
        habits
    }

    #[test]
    fn is_patient_with_an_app_it_does_not_know() {
        assert_eq!(Habits::default().patience(), PATIENCE.1);
    }

    #[test]
    fn a_few_long_ones_among_short_ones_change_nothing() {
        let short = || std::iter::repeat_n(MS / 10, 9);
        let habits = app_of((0..40).flat_map(|_| short().chain([500 * MS])));
        assert_eq!(habits.patience(), PATIENCE.0);
    }

    #[test]
    fn is_as_patient_as_requests_are_long() {
        let patience = app_of(std::iter::repeat_n(5 * MS, 500)).patience();
        assert!((17 * MS..23 * MS).contains(&patience), "{patience:?}");
        assert_eq!(app_of(std::iter::repeat_n(40 * MS, 500)).patience(), PATIENCE.1);
    }

    #[test]
    fn tells_brief_pauses_from_long_ones() {
        let mut habits = Habits::default();
        (0..20).for_each(|_| habits.paused(BRIEF / 2));
        assert!(habits.pauses_briefly());
        (0..20).for_each(|turn| habits.paused(if turn % 3 == 0 { BRIEF / 2 } else { MS }));
        assert!(!habits.pauses_briefly());
    }
}
