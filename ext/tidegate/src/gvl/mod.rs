//! The GVL. Here: waiting without it, so that Ctrl-C, `Thread#kill`, `Thread#raise` and `Timeout` reach the waiting thread.
//! In `events`: telling the queue when a worker's thread releases the GVL inside the app. In `time_slice`: having the GVL
//! handed on in time.

#![allow(unsafe_code)]

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
};

use magnus::{Error, Ruby};
use rb_sys::{RB_NOGVL_INTR_FAIL, rb_nogvl};
use tidegate_core::{Parker, Unparker};

pub(crate) mod events;
pub(crate) mod fork;
mod ractor;
mod thread_slot;
pub(crate) mod time_slice;

/// Makes room for what is known of each thread, once, when the extension is loaded. Ruby allows that only while there is one
/// Ractor: where there are more, the hook knows no threads (see [`events::knows_threads`]).
pub(crate) fn prepare() {
    ractor::prepare();
    thread_slot::prepare();
}

/// Runs `wait` without the GVL and returns its result, or `None` when an interrupt was pending before it began.
///
/// An interrupt that comes during the wait uses `unparker`, which must end the wait. Ruby does not act on the interrupt
/// here, where it would jump over Rust frames: the caller puts its state in order first and then asks Ruby to
/// (`thread_check_ints`).
pub(crate) fn wait<R, F: FnOnce() -> R>(_held: &Ruby, unparker: &Unparker, wait: F) -> Option<R> {
    let mut call = Call { wait: Some(wait), outcome: None };
    let data: *mut c_void = (&raw mut call).cast();
    let unblock_data: *mut c_void = ptr::from_ref(unparker).cast_mut().cast();
    let flags = RB_NOGVL_INTR_FAIL.cast_signed();
    // SAFETY: `_held` shows that this thread holds the GVL. `rb_nogvl` calls `run` at most once and `unblock` any
    // number of times, each with the pointer given for it and only before it returns; `call` and `unparker` outlive
    // it. With INTR_FAIL it returns instead of raising, so no jump passes over this frame.
    unsafe { rb_nogvl(Some(run::<R, F>), data, Some(unblock), unblock_data, flags) };
    match call.outcome? {
        Ok(result) => Some(result),
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs a system call that may block, while other Ruby threads run. Nothing ends such a call early: Ruby acts on an interrupt
/// of this thread only after it.
///
/// # Errors
///
/// What an interrupt raises that was pending before the call began.
pub(crate) fn without<T>(ruby: &Ruby, act: impl FnOnce() -> T) -> Result<T, Error> {
    let none = Parker::new().unparker();
    let mut act = Some(act);
    loop {
        let done = wait(ruby, &none, || act.take().map(|act| act()));
        if let Some(done) = done.flatten() {
            return Ok(done);
        }
        ruby.thread_check_ints()?;
    }
}

struct Call<R, F> {
    wait: Option<F>,
    outcome: Option<Result<R, Box<dyn Any + Send>>>,
}

unsafe extern "C" fn run<R, F: FnOnce() -> R>(data: *mut c_void) -> *mut c_void {
    // SAFETY: `wait` passes a pointer to a live `Call` of just these types, and touches it only after this returns.
    let call = unsafe { &mut *data.cast::<Call<R, F>>() };
    if let Some(wait) = call.wait.take() {
        call.outcome = Some(catch_unwind(AssertUnwindSafe(wait)));
    }
    ptr::null_mut()
}

unsafe extern "C" fn unblock(data: *mut c_void) {
    // SAFETY: `wait` passes a pointer to an `Unparker` that it has borrowed for longer than Ruby may call this.
    let unparker = unsafe { &*data.cast_const().cast::<Unparker>() };
    unparker.unpark();
}
