//! How long requests took lately: a 99th percentile over the last minutes, from two coarse histograms. A pure value.

use std::time::{Duration, Instant};

/// One histogram is filled for so long; the one before it counts too.
const STRETCH: Duration = Duration::from_secs(300);
/// Each bucket ends at a power of the square root of two, in milliseconds; the last takes the rest.
const BUCKETS: usize = 48;
const QUANTILE: f64 = 0.99;

/// Durations of the last five to ten minutes.
#[derive(Debug)]
pub(crate) struct RecentDurations {
    /// The last stretch and the present one.
    counts: [[u32; BUCKETS]; 2],
    begun: Option<Instant>,
}

impl Default for RecentDurations {
    fn default() -> Self {
        Self { counts: [[0; BUCKETS]; 2], begun: None }
    }
}

impl RecentDurations {
    /// Records a request that took so long and ended at `now`.
    pub(crate) fn record(&mut self, duration: Duration, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_duration_since(begun) >= STRETCH {
            self.counts = [self.counts[1], [0; BUCKETS]];
            self.begun = Some(now);
        }
        let count = &mut self.counts[1][bucket(duration)];
        *count = count.saturating_add(1);
    }

    /// The 99th percentile, rounded up by at most the half; zero where nothing is recorded.
    pub(crate) fn p99(&self) -> Duration {
        let all: u64 = self.counts.iter().flatten().map(|&count| u64::from(count)).sum();
        let wanted = (all as f64 * QUANTILE).ceil() as u64;
        let mut seen = 0;
        for index in 0..BUCKETS {
            seen += u64::from(self.counts[0][index]) + u64::from(self.counts[1][index]);
            if seen >= wanted && wanted > 0 {
                return upper(index);
            }
        }
        Duration::ZERO
    }
}

fn bucket(duration: Duration) -> usize {
    let milliseconds = duration.as_secs_f64() * 1e3;
    // Negative for less than a millisecond, which casts to the first bucket.
    let index = (2.0 * milliseconds.log2()).ceil() as usize;
    index.min(BUCKETS - 1)
}

fn upper(index: usize) -> Duration {
    Duration::from_secs_f64(2f64.powf(index as f64 / 2.0) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_nearly_all_took_and_forgets_in_time() {
        let (mut recent, start) = (RecentDurations::default(), Instant::now());
        assert_eq!(recent.p99(), Duration::ZERO);
        for _ in 0..990 {
            recent.record(Duration::from_millis(3), start);
        }
        for _ in 0..10 {
            recent.record(Duration::from_secs(20), start);
        }
        let p99 = recent.p99();
        assert!((0.003..0.0045).contains(&p99.as_secs_f64()), "{p99:?}");
        recent.record(Duration::from_secs(20), start);
        let p99 = recent.p99();
        assert!((20.0..30.0).contains(&p99.as_secs_f64()), "{p99:?}");
        recent.record(Duration::ZERO, start + STRETCH);
        assert!(recent.p99() >= Duration::from_secs(20), "the last stretch counts");
        recent.record(Duration::MAX, start + 2 * STRETCH);
        recent.record(Duration::ZERO, start + 3 * STRETCH);
        recent.record(Duration::ZERO, start + 4 * STRETCH);
        assert!(recent.p99() <= Duration::from_millis(1));
    }
}
