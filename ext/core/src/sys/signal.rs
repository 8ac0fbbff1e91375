//! Actions on signals: beside the handlers that an interpreter installs, and in front of them.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, Mutex},
};

/// An action on a signal, in force until it is given back with [`ignore_signal`].
pub(crate) type SignalAction = signal_hook_registry::SigId;

/// Has the kernel's delivery of `signal` to this process, but not to its children, put `byte` into `pipe`, whatever any thread is
/// doing, where `is_news` says so. That is called in the handler of the signal: it may not allocate, lock or drop anything. The handler
/// that was there before is called first.
///
/// # Errors
///
/// When there is no such signal, or it cannot be caught.
pub(crate) fn on_signal(
    signal: libc::c_int,
    is_news: impl Fn() -> bool + Send + Sync + 'static,
    pipe: Arc<OwnedFd>,
    byte: u8,
) -> io::Result<SignalAction> {
    let owner = std::process::id();
    let action = move || {
        if std::process::id() == owner && is_news() {
            put_quietly(&pipe, byte);
        }
    };
    // SAFETY: the action is async-signal-safe: it asks for the process's id, writes a byte and does what the caller has promised of
    // `is_news`, and allocates, locks and drops nothing.
    let action = unsafe { signal_hook_registry::register(signal, action) }?;
    put_in_front(signal)?;
    Ok(action)
}

/// The registry installs its handler for a signal once. An interpreter that has installed its own again after that, as Ruby does
/// at each `trap`, has put it in the place of the registry's: this puts the registry's back, which calls the interpreter's before
/// the actions.
fn put_in_front(signal: libc::c_int) -> io::Result<()> {
    /// What the registry has installed: one for each signal of the process.
    static INSTALLED: Mutex<Vec<(libc::c_int, libc::sigaction)>> = Mutex::new(Vec::new());
    let mut installed = INSTALLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let current = change_action(signal, None)?;
    match installed.iter().find(|(known, _)| *known == signal) {
        None => installed.push((signal, current)),
        Some((_, ours)) if ours.sa_sigaction == current.sa_sigaction => {}
        Some((_, ours)) => drop(change_action(signal, Some(ours))?),
    }
    Ok(())
}

/// The action on a signal, and `new` in its place if there is one.
fn change_action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or an action that the kernel has given us before, and `old` has room for one.
    if unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it.
    Ok(unsafe { old.assume_init() })
}

/// Writes a byte in a signal handler. A pipe that is full already holds enough to wake its reader.
fn put_quietly(pipe: &OwnedFd, byte: u8) {
    let before = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: the descriptor is open for as long as it is borrowed, and `byte` is readable for its one byte.
    unsafe { libc::write(pipe.as_raw_fd(), (&raw const byte).cast(), 1) };
    set_errno(before);
}

/// The code that the signal has interrupted may be about to read it.
fn set_errno(value: libc::c_int) {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes nothing, and returns the address of this thread's own variable.
    let place = unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    let place = unsafe { libc::__error() };
    // SAFETY: the address is valid for this thread, which is the only one to use it.
    unsafe { *place = value };
}

/// Does what an interpreter does that installs its handler again.
#[cfg(test)]
pub(crate) fn ignore_from_now_on(signal: libc::c_int) {
    // SAFETY: to ignore a signal is allowed at any time.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends this process a signal that it handles.
#[cfg(test)]
pub(crate) fn raise(signal: libc::c_int) {
    // SAFETY: the call takes any number, and the signals of the tests have handlers.
    unsafe { libc::raise(signal) };
}

/// Takes an action on a signal back.
pub(crate) fn ignore_signal(action: SignalAction) {
    signal_hook_registry::unregister(action);
}
