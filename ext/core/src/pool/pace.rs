//! How fast the queue moves while exchanges wait in it, and so which of them will be served before a deadline. A pure
//! value.

use std::time::{Duration, Instant};

/// Each interval counts for so much of the mean.
const WEIGHT: f64 = 1.0 / 16.0;

/// The mean time from one exchange that is taken to the next that has waited.
#[derive(Debug, Default)]
pub(super) struct Pace {
    mean: Option<f64>,
    /// When an exchange was taken that left others waiting.
    busy_since: Option<Instant>,
}

impl Pace {
    /// An exchange is taken at `now`; `more` wait.
    pub(super) fn took(&mut self, now: Instant, more: bool) {
        if let Some(since) = self.busy_since.take() {
            let interval = now.saturating_duration_since(since).as_secs_f64();
            self.mean = Some(self.mean.map_or(interval, |mean| mean + WEIGHT * (interval - mean)));
        }
        if more {
            self.busy_since = Some(now);
        }
    }

    /// How many waiting exchanges will be taken in `time`; `None` where nothing is known.
    pub(super) fn taken_within(&self, time: Duration) -> Option<usize> {
        let mean = self.mean.filter(|mean| *mean > 0.0)?;
        Some((time.as_secs_f64() / mean) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_from_the_last_ones_how_many_more_there_is_time_for() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(pace.taken_within(Duration::from_secs(1)), None);
        pace.took(at(0), false);
        pace.took(at(5000), true);
        assert_eq!(pace.taken_within(Duration::from_secs(1)), None, "nobody waited in the time between");
        pace.took(at(5100), true);
        assert_eq!(pace.taken_within(Duration::from_millis(1050)), Some(10));
        for turn in 1..200 {
            pace.took(at(5100 + 10 * turn), true);
        }
        assert_eq!(pace.taken_within(Duration::from_millis(1005)), Some(100));
    }
}
