//! The GVL: waiting without it, so that Ctrl-C, `Thread#kill`, `Thread#raise` and `Timeout` reach the waiting thread;
//! telling the queue when a worker lets go of it inside the app; and having it handed on in time. This crate's only unsafe
//! code.

#![allow(unsafe_code)]

use std::{
    any::Any,
    cell::{Cell, RefCell},
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    rc::Rc,
    sync::{Once, OnceLock},
    time::{Duration, Instant},
};

use magnus::Ruby;
use rb_sys::{
    RB_NOGVL_INTR_FAIL, RUBY_INTERNAL_THREAD_EVENT_READY, RUBY_INTERNAL_THREAD_EVENT_RESUMED,
    RUBY_INTERNAL_THREAD_EVENT_SUSPENDED, rb_event_flag_t, rb_internal_thread_add_event_hook,
    rb_internal_thread_event_data_t, rb_nogvl,
};
use tidegate_core::{dispatch::Worker, slices::Slices, wake::Waker};

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
    /// Whether this thread, whatever it is, waits for the GVL.
    static WANTS: Cell<bool> = const { Cell::new(false) };
}

/// Tells `worker` about the GVL on this thread, until the value is dropped.
pub(crate) fn watch(worker: &Rc<Worker>) -> Watched {
    hear_events();
    Watched(WORKER.replace(Some(worker.clone())))
}

fn hear_events() {
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
    SLICES.forget();
    let _ = WORKER.try_with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            std::mem::forget(slot.take());
        }
    });
}

/// Called by Ruby, mostly without the GVL and on every Ruby thread: touches nothing of Ruby's, and raises nothing.
unsafe extern "C" fn changed(event: rb_event_flag_t, _: *const rb_internal_thread_event_data_t, _: *mut c_void) {
    let wanted = WANTS.try_with(|wants| wants.replace(event == RUBY_INTERNAL_THREAD_EVENT_READY));
    match event {
        RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => SLICES.let_go(),
        RUBY_INTERNAL_THREAD_EVENT_READY if wanted == Ok(false) => SLICES.wanted(),
        RUBY_INTERNAL_THREAD_EVENT_READY => {}
        _ => SLICES.got(wanted == Ok(true)),
    }
    // A thread that is ending, or is just changing the slot, is in no app.
    let _ = WORKER.try_with(|slot| {
        if let Ok(slot) = slot.try_borrow()
            && let Some(worker) = &*slot
        {
            match event {
                RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => worker.suspended(Instant::now),
                RUBY_INTERNAL_THREAD_EVENT_READY => worker.ready(Instant::now),
                _ => worker.resumed(Instant::now),
            }
        }
    });
}

// ===== handing on =====

/// The GVL is one for the process, as are Ruby's own slices.
static SLICES: Slices = Slices::new(interrupt);

/// What Ruby knows [`let_others_go`] by.
#[cfg(ruby_gte_3_3)]
static JOB: OnceLock<rb_sys::rb_postponed_job_handle_t> = OnceLock::new();

/// The slices to be kept; `None` where Ruby can only be asked by its own timer, which is before 3.3.
#[cfg(ruby_gte_3_3)]
pub(crate) fn slices() -> Option<&'static Slices> {
    hear_events();
    let job = *JOB.get_or_init(|| {
        // SAFETY: this thread holds the GVL. `let_others_go` may be called at any time from now on for ever, and takes no
        // data.
        unsafe { rb_sys::rb_postponed_job_preregister(0, Some(let_others_go), ptr::null_mut()) }
    });
    // That there is no room for one more job.
    (job != rb_sys::rb_postponed_job_handle_t::MAX).then_some(&SLICES)
}

#[cfg(not(ruby_gte_3_3))]
pub(crate) fn slices() -> Option<&'static Slices> {
    None
}

/// Has whoever holds the GVL let others go first, at its next safe point: where Ruby's own slices end as well.
fn interrupt() {
    #[cfg(ruby_gte_3_3)]
    if let Some(job) = JOB.get() {
        // SAFETY: the handle is of `rb_postponed_job_preregister`; Ruby allows this on any thread at any time.
        unsafe { rb_sys::rb_postponed_job_trigger(*job) };
    }
}

/// Lets go of the GVL and takes it back, after those who wait for it. What is pending for this thread remains pending:
/// an exception that was raised here would be lost, as Ruby has it.
#[cfg(ruby_gte_3_3)]
unsafe extern "C" fn let_others_go(_: *mut c_void) {
    unsafe extern "C" fn nothing(_: *mut c_void) -> *mut c_void {
        ptr::null_mut()
    }
    let flags = RB_NOGVL_INTR_FAIL.cast_signed();
    // SAFETY: Ruby calls this on one of its threads that holds the GVL. `nothing` touches nothing, and need not be woken.
    // With INTR_FAIL this returns instead of raising.
    unsafe { rb_nogvl(Some(nothing), ptr::null_mut(), None, ptr::null_mut(), flags) };
}
