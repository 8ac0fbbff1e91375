//! Clocks that several processes read alike.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

fn duration(time: Timespec) -> Duration {
    // The kernel gives no negative time for these clocks.
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Milliseconds of the clock that never goes back.
pub(crate) fn monotonic_ms() -> u64 {
    u64::try_from(duration(clock_gettime(ClockId::Monotonic)).as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The CPU time that all threads of this process have used.
pub(crate) fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// The CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn computing_takes_cpu_time_and_real_time() {
        let (cpu, monotonic, began) = (process_cpu(), monotonic_ms(), Instant::now());
        while process_cpu() < cpu + Duration::from_millis(2) || began.elapsed() < Duration::from_millis(2) {}
        assert!(monotonic_ms() > monotonic);
        assert!(thread_cpu() > Duration::ZERO && thread_cpu() <= process_cpu());
        assert!(unix_seconds() > 1_700_000_000);
    }
}
