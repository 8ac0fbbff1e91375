//! A process among others: orphans that it adopts, and signals that it keeps for the program that follows it.

use std::io;

/// The signals that end a server or steer a cluster.
const HELD: [libc::c_int; 9] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGURG,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// Has this thread's signals wait. The kernel keeps them over an exec, so that the program which follows gets them once it can.
pub fn hold_signals() {
    mask(libc::SIG_BLOCK);
}

/// Has this thread get its signals again, those that wait first.
pub fn release_signals() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: libc::c_int) {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the call fills in the set that it is given, which lives until it returns.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in HELD {
        // SAFETY: the set was filled in above, and the signal exists.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: the set is filled in; no old one is asked for.
    unsafe { libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()) };
}

/// Makes this process the parent of those below it whose own parent ends, in place of process 1.
///
/// # Errors
///
/// Where the system has no such thing.
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets an attribute of this process, and takes no pointer.
        let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}
