//! What was counted of one group, and the quantiles of its latencies.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Connect,
    Closed,
    Malformed,
    Status,
    Timeout,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Closed => "closed",
            Failure::Malformed => "malformed",
            Failure::Status => "status",
            Failure::Timeout => "timeout",
        }
    }
}

/// What one group saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// In microseconds; those of failed requests too, as far as they were waited for.
    latencies: Vec<u32>,
    failures: BTreeMap<Failure, u64>,
    /// Responses that came before the end.
    in_time: u64,
    finished: u64,
    bytes: u64,
}

/// The same, as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Good responses, and those of them that came before the end.
    finished: u64,
    requests: u64,
    /// The latter, per second.
    rate: f64,
    /// In milliseconds.
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    errors: u64,
    failures: BTreeMap<&'static str, u64>,
    /// Received, heads included.
    bytes: u64,
}

impl Tally {
    pub(crate) fn success(&mut self, latency: Duration, in_time: bool) {
        self.record(latency);
        self.finished += 1;
        self.in_time += u64::from(in_time);
    }

    pub(crate) fn failure(&mut self, why: Failure, latency: Duration) {
        self.record(latency);
        *self.failures.entry(why).or_default() += 1;
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn record(&mut self, latency: Duration) {
        self.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn report(mut self, seconds: f64) -> Report {
        self.latencies.sort_unstable();
        let quantile = |part| quantile(&self.latencies, part);
        Report {
            finished: self.finished,
            requests: self.in_time,
            rate: self.in_time as f64 / seconds,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: quantile(1.0),
            errors: self.failures.values().sum(),
            failures: self.failures.iter().map(|(why, count)| (why.name(), *count)).collect(),
            bytes: self.bytes,
        }
    }
}

/// The smallest latency that at least that part of all do not exceed, in milliseconds.
fn quantile(sorted: &[u32], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(0.0, |micros| f64::from(*micros) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_were_seen() {
        let sorted: Vec<u32> = (1..=1000).map(|n| n * 1000).collect();
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|part| quantile(&sorted, part)), [500.0, 990.0, 999.0, 1000.0]);
        assert_eq!(quantile(&[7000], 0.001), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn failures_count_apart_but_their_latencies_count() {
        let mut tally = Tally::default();
        tally.success(Duration::from_millis(1), true);
        tally.success(Duration::from_millis(2), false);
        tally.failure(Failure::Timeout, Duration::from_secs(3));
        let report = tally.report(2.0);
        assert_eq!((report.finished, report.requests, report.errors), (2, 1, 1));
        assert_eq!((report.rate, report.max), (0.5, 3000.0));
        assert_eq!(report.failures, BTreeMap::from([("timeout", 1)]));
    }
}
