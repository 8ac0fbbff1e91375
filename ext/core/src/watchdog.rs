//! A bound on the process's exit: application code that holds on must not keep a finished server's process until
//! the platform kills it.

use std::{io, thread, time::Duration};

use crate::sys;

/// Ends the process with `status` in `limit` from now, if it still exists then. Nothing registered for the exit
/// is run.
///
/// # Errors
///
/// When the system has no thread left.
pub fn exit_within(limit: Duration, status: i32) -> io::Result<()> {
    let bite = move || {
        thread::sleep(limit);
        sys::exit_now(status)
    };
    thread::Builder::new().name("tidegate-exit".into()).spawn(bite).map(drop)
}
