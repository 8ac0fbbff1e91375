//! The GVL: waiting without it, so that Ctrl-C, `Thread#kill`, `Thread#raise` and `Timeout` reach the waiting thread;
//! and telling the queue when a worker lets go of it inside the app.

#![allow(unsafe_code)]

use std::{
    any::Any,
    cell::RefCell,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    rc::Rc,
    sync::Once,
    time::{Duration, Instant},
};

use magnus::Ruby;
use rb_sys::{
    RB_NOGVL_INTR_FAIL, RUBY_INTERNAL_THREAD_EVENT_READY, RUBY_INTERNAL_THREAD_EVENT_RESUMED,
    RUBY_INTERNAL_THREAD_EVENT_SUSPENDED, rb_event_flag_t, rb_internal_thread_add_event_hook,
    rb_internal_thread_event_data_t, rb_nogvl,
};
use tidegate_core::{dispatch::Worker, wake::Waker};

// ===== waiting =====

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

// ===== watching =====

thread_local! {
    /// The worker that this thread is.
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// Tells `worker` about the GVL on this thread, until the value is dropped.
pub(crate) fn watch(worker: &Rc<Worker>) -> Watched {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let events = RUBY_INTERNAL_THREAD_EVENT_SUSPENDED
            | RUBY_INTERNAL_THREAD_EVENT_READY
            | RUBY_INTERNAL_THREAD_EVENT_RESUMED;
        // SAFETY: the hook is called with Ruby's threads only, may be called from now on for ever, and uses none of
        // the data it is given. This thread is in no such hook now.
        unsafe { rb_internal_thread_add_event_hook(Some(changed), events, ptr::null_mut()) };
        // SAFETY: `forget` may be called in any child from now on for ever, and touches only its own thread's slot.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
    Watched(WORKER.replace(Some(worker.clone())))
}

/// Ends what [`watch`] began, and gives the thread back to the worker it was before.
pub(crate) struct Watched(Option<Rc<Worker>>);

impl Drop for Watched {
    fn drop(&mut self) {
        WORKER.set(self.0.take());
    }
}

/// How long the request in this thread's hand has waited for the GVL so far; nothing on a thread that has none.
pub(crate) fn waited() -> Duration {
    with_worker(Worker::lock_wait).unwrap_or_default()
}

/// The request in this thread's hand will mostly wait from now on. Whether there is one.
pub(crate) fn step_aside() -> bool {
    with_worker(Worker::step_aside).unwrap_or(false)
}

fn with_worker<T>(ask: impl FnOnce(&Worker) -> T) -> Option<T> {
    WORKER.with(|slot| slot.try_borrow().ok()?.as_deref().map(ask))
}

/// Called in a child that the app has forked, on its only thread: there is no queue to tell, and the lock that guards it
/// may have been held by a thread that is not there.
unsafe extern "C" fn forget() {
    let _ = WORKER.try_with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            std::mem::forget(slot.take());
        }
    });
}

/// Called by Ruby, mostly without the GVL and on every Ruby thread: touches nothing of Ruby's, and raises nothing.
unsafe extern "C" fn changed(event: rb_event_flag_t, _: *const rb_internal_thread_event_data_t, _: *mut c_void) {
    // A thread that is ending, or is just changing the slot, is in no app.
    let _ = WORKER.try_with(|slot| {
        if let Ok(slot) = slot.try_borrow()
            && let Some(worker) = &*slot
        {
            match event {
                RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => worker.suspended(),
                RUBY_INTERNAL_THREAD_EVENT_READY => worker.ready(Instant::now),
                _ => worker.resumed(Instant::now),
            }
        }
    });
}
