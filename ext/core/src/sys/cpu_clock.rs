//! How much CPU time a thread has used, asked by another thread.

use std::time::Duration;

/// The clock of one thread's CPU time. It may outlive the thread, and then tells nothing, or another thread's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuClock(pub(crate) i32);

#[cfg(target_os = "linux")]
impl CpuClock {
    /// That of the calling thread. No system call.
    pub fn of_this_thread() -> Option<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: it takes nothing and can't fail.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: `thread` is the calling one and lives, and `clock` is written before the call returns.
        let result = unsafe { libc::pthread_getcpuclockid(thread, &raw mut clock) };
        (result == 0).then_some(Self(clock))
    }

    /// What the thread has used so far.
    pub(crate) fn read(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is written before the call returns; the kernel knows by itself whether there is such a clock.
        let result = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
        (result == 0).then_some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds))
    }
}

#[cfg(not(target_os = "linux"))]
impl CpuClock {
    /// None here: steps of real time are counted instead.
    pub fn of_this_thread() -> Option<Self> {
        None
    }

    pub(crate) fn read(self) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn tells_what_another_thread_has_computed_and_nothing_once_it_has_ended() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            tell.send(CpuClock::of_this_thread()).unwrap();
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {}
        });
        let clock = told.recv().unwrap().unwrap();
        let before = clock.read().unwrap();
        while clock.read().unwrap() < before + Duration::from_millis(2) {
            thread::yield_now();
        }
        drop(end);
        other.join().unwrap();
        assert_ne!(Some(clock), CpuClock::of_this_thread());
    }
}
