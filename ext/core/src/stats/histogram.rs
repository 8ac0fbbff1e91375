//! A histogram of durations that many threads fill and none waits for. The metrics crate's own takes a lock for each
//! observation.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::counter::adds_up;
use crate::sys::shared_memory::atomics_only;

/// The upper bounds of the buckets: fine where the server's own share of a request lies, coarse where the app and its clients
/// take most of it. What is longer than the last is in a bucket of its own.
pub(crate) const BOUNDS: [Duration; 18] = {
    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }
    [
        micros(100),
        micros(250),
        micros(500),
        micros(1_000),
        micros(2_500),
        micros(5_000),
        micros(10_000),
        micros(25_000),
        micros(50_000),
        micros(100_000),
        micros(250_000),
        micros(500_000),
        micros(1_000_000),
        micros(2_500_000),
        micros(5_000_000),
        micros(10_000_000),
        micros(30_000_000),
        micros(60_000_000),
    ]
};
const BUCKETS: usize = BOUNDS.len() + 1;

/// How often durations of each length came.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

atomics_only!(Histogram { buckets, nanoseconds });
adds_up!(Histogram { buckets, nanoseconds });

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[bucket].fetch_add(1, Relaxed);
        // It takes centuries of waiting to fill.
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counts as they stand, and the sum in seconds. The total is made of the counts, so that the two agree even while
    /// others observe.
    pub(crate) fn read(&self) -> Distribution {
        let counts: [u64; BUCKETS] = array::from_fn(|bucket| self.buckets[bucket].load(Relaxed));
        Distribution { counts, seconds: Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64() }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    counts: [u64; BUCKETS],
    /// The sum.
    pub(crate) seconds: f64,
}

impl Distribution {
    /// Upper bounds in seconds, each with the count of its own bucket.
    pub(crate) fn buckets(&self) -> [(f64, u64); BUCKETS] {
        array::from_fn(|bucket| {
            let bound = BOUNDS.get(bucket).map_or(f64::INFINITY, Duration::as_secs_f64);
            (bound, self.counts[bucket])
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_once_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        let lengths = [0, 100, 101, 60_000_000, 60_000_001].map(Duration::from_micros);
        lengths.iter().for_each(|length| histogram.observe(*length));
        let read = histogram.read();
        let filled: Vec<_> = read.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0001, 2), (0.00025, 1), (60.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(read.count(), 5);
        assert!((read.seconds - 120.000_202).abs() < 1e-9);
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
    }
}
