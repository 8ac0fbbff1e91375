//! The few system calls that no safe crate wraps, each behind a safe function. The crate's only unsafe code.

#![allow(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod cpu_clock;
pub(crate) mod family;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod shared_memory;
mod signal;
mod socket;
#[cfg(target_os = "linux")]
pub(crate) mod timer;
pub(crate) mod usage;

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

pub use self::cpu_clock::CpuClock;
#[cfg(test)]
pub(crate) use self::signal::{ignore_from_now_on, raise};
pub(crate) use self::{
    file::{read_at, read_cached},
    signal::{SignalAction, ignore_signal, on_signal},
    socket::{round_trip, undelivered_bytes, unlisten, unread_bytes, unsent_bytes},
};

/// Gives the system back what the allocator keeps of freed memory, where it is one that can be told so (glibc's).
pub fn trim_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time, on any thread; it touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// How many descriptors this process may have open.
///
/// # Errors
///
/// Where the system cannot tell.
pub(crate) fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the one structure that it is given, which lives until it returns.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

/// Makes a FIFO.
#[cfg(test)]
pub(crate) fn make_fifo(path: &std::path::Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path ends with a zero and lives until the call returns.
    let result = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor of our own for the file that `descriptor` refers to.
///
/// # Errors
///
/// When it refers to none, or there are no descriptors left.
pub fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call only reads its arguments, and fails for a number that is no open descriptor.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `copy` was opened just now and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Has `target` refer to the file that the descriptor `source` refers to, in one step for all threads that use it.
///
/// # Errors
///
/// When `source` is not open.
pub(crate) fn replace(target: BorrowedFd<'_>, source: RawFd) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: the call only reads its arguments, and fails for a source that is no open descriptor. The target stays open, and
    // belongs to the same owner.
    let result = unsafe { libc::dup3(source, target.as_raw_fd(), libc::O_CLOEXEC) };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above. A process that is started between the two calls has the file as well.
    let result = unsafe {
        match libc::dup2(source, target.as_raw_fd()) {
            -1 => -1,
            target => libc::fcntl(target, libc::F_SETFD, libc::FD_CLOEXEC),
        }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until `file` takes bytes again, or never will.
///
/// # Errors
///
/// When the system has no memory left for it.
pub(crate) fn wait_until_writable(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut waiting = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the call reads and writes the one entry that it is given, which lives until it returns.
    if unsafe { libc::poll(&raw mut waiting, 1, -1) } < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// Has the runtime of this thread wait until a descriptor is ready.
///
/// # Errors
///
/// When the system cannot wait for it.
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` has the same open descriptor for as long as it exists, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// glibc's name for the number of arenas, which the libc crate does not carry.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const M_ARENA_MAX: libc::c_int = -8;

/// Limits the arenas of glibc's heap. A refusal changes nothing.
pub(crate) fn limit_arenas(count: libc::c_int) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call may come at any time and on any thread, and takes every pair of numbers.
    unsafe {
        libc::mallopt(M_ARENA_MAX, count);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = count;
}

/// Ends the process at once, without running anything that was registered for its exit.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` takes any status, touches no memory and does not return.
    unsafe { libc::_exit(status) }
}
