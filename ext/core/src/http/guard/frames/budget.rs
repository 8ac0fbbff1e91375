//! How many frames of a kind a client may send: so many at once, so many more with the time, and some for each thing that it asked for.

use std::time::Duration;

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// What is left of what a kind of frames is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// At once.
    burst: u32,
    /// More, each second.
    per_second: u32,
    left: u32,
    /// When time was counted last, as a time since the connection began.
    counted: Duration,
}

impl Budget {
    pub(super) const fn of(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second, left: burst, counted: Duration::ZERO }
    }

    /// Takes `cost` at `age`, a time since the connection began; false where that is not left.
    pub(super) fn take(&mut self, cost: u32, age: Duration) -> bool {
        if self.left < cost {
            self.count_time(age);
        }
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Gives so many back.
    pub(super) fn give(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.burst);
    }

    fn count_time(&mut self, age: Duration) {
        let passed = age.saturating_sub(self.counted).as_nanos();
        let earned = passed * u128::from(self.per_second) / SECOND;
        // The part of one that is left counts the next time.
        let counted = earned * SECOND / u128::from(self.per_second);
        self.counted += Duration::from_nanos(u64::try_from(counted).unwrap_or(u64::MAX));
        self.give(u32::try_from(earned).unwrap_or(u32::MAX));
    }
}
