//! A timer of microseconds that wakes the runtime: Linux' timerfd. The runtime's own timers go by milliseconds, and a thread has to
//! be awake to set them.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::read,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::watch;

/// Goes off once each time that it was set.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// A timer that is not set. It belongs to the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// No descriptor is free.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(watch(timer, Interest::READABLE)?))
    }

    /// Goes off after `time`, which is not zero, and not when it was to before.
    pub(crate) fn set(&self, time: Duration) {
        self.settime(time);
    }

    /// Does not go off.
    pub(crate) fn unset(&self) {
        self.settime(Duration::ZERO);
    }

    fn settime(&self, time: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(time).unwrap_or(zero);
        // It fails for a time that is none, or a descriptor that is none.
        let _ =
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value });
    }

    /// Waits until it goes off.
    ///
    /// # Errors
    ///
    /// Those of the runtime's driver, at its end.
    pub(crate) async fn goes_off(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            if ready.try_io(|timer| Ok(read(timer, &mut [0; 8])?)).is_ok_and(|read| read.is_ok()) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn goes_off_once_when_it_was_set_and_not_when_it_was_unset() {
        let timer = Timer::new().unwrap();
        for _ in 0..2 {
            timer.set(Duration::from_micros(30));
            timer.goes_off().await.unwrap();
        }
        timer.set(Duration::from_secs(3600));
        timer.unset();
        assert!(timeout(Duration::from_millis(20), timer.goes_off()).await.is_err());
        timer.set(Duration::from_secs(3600));
        timer.set(Duration::from_micros(30));
        timer.goes_off().await.unwrap();
    }
}
