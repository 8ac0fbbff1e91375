//! Waiting without the GVL, so that Ctrl-C, `Thread#kill`, `Thread#raise` and `Timeout` reach the waiting thread.
//! This crate's only unsafe code.

#![allow(unsafe_code)]

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
};

use magnus::Ruby;
use rb_sys::{RB_NOGVL_INTR_FAIL, rb_nogvl};
use tidegate_core::wake::Waker;

/// Runs `wait` without the GVL and returns what it did, or `None` when an interrupt was pending before it began.
///
/// An interrupt that comes during the wait uses `waker`, which must end it. Ruby does not act on the interrupt
/// here, where it would jump over Rust frames: the caller puts its state in order first and then asks Ruby to
/// (`thread_check_ints`).
pub(crate) fn wait<R, F: FnOnce() -> R>(_held: &Ruby, waker: &Waker, wait: F) -> Option<R> {
    let mut call = Call { wait: Some(wait), outcome: None };
    let data: *mut c_void = (&raw mut call).cast();
    let alarm: *mut c_void = ptr::from_ref(waker).cast_mut().cast();
    let flags = RB_NOGVL_INTR_FAIL.cast_signed();
    // SAFETY: `_held` shows that this thread holds the GVL. `rb_nogvl` calls `run` at most once and `wake` any
    // number of times, each with the pointer given for it and only before it returns; `call` and `waker` outlive
    // it. With INTR_FAIL it returns instead of raising, so no jump passes over this frame.
    unsafe { rb_nogvl(Some(run::<R, F>), data, Some(wake), alarm, flags) };
    match call.outcome? {
        Ok(result) => Some(result),
        Err(panic) => resume_unwind(panic),
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

unsafe extern "C" fn wake(alarm: *mut c_void) {
    // SAFETY: `wait` passes a pointer to a `Waker` that it has borrowed for longer than Ruby may call this.
    let waker = unsafe { &*alarm.cast_const().cast::<Waker>() };
    waker.wake();
}
