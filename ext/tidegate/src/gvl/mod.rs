//! The GVL: waiting without it, so that Ctrl-C, `Thread#kill`, `Thread#raise` and `Timeout` reach the waiting thread;
//! telling the queue when a worker lets go of it inside the app; and having it handed on in time.

#![allow(unsafe_code)]

use std::{
    any::Any,
    cell::Cell,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    sync::{
        Once, OnceLock,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use magnus::{Error, Ruby, rb_sys::AsRawValue};
use rb_sys::{
    RB_NOGVL_INTR_FAIL, RUBY_INTERNAL_THREAD_EVENT_READY, RUBY_INTERNAL_THREAD_EVENT_RESUMED,
    RUBY_INTERNAL_THREAD_EVENT_SUSPENDED, VALUE, rb_event_flag_t, rb_internal_thread_add_event_hook,
    rb_internal_thread_event_data_t, rb_nogvl,
};
use tidegate_core::{CpuClock, GvlEvents, Parker, TimeSlicer, Unparker, Worker};

// ===== waiting =====

/// Runs `wait` without the GVL and returns what it did, or `None` when an interrupt was pending before it began.
///
/// An interrupt that comes during the wait uses `unparker`, which must end it. Ruby does not act on the interrupt
/// here, where it would jump over Rust frames: the caller puts its state in order first and then asks Ruby to
/// (`thread_check_ints`).
pub(crate) fn wait<R, F: FnOnce() -> R>(_held: &Ruby, unparker: &Unparker, wait: F) -> Option<R> {
    let mut call = Call { wait: Some(wait), outcome: None };
    let data: *mut c_void = (&raw mut call).cast();
    let alarm: *mut c_void = ptr::from_ref(unparker).cast_mut().cast();
    let flags = RB_NOGVL_INTR_FAIL.cast_signed();
    // SAFETY: `_held` shows that this thread holds the GVL. `rb_nogvl` calls `run` at most once and `wake` any
    // number of times, each with the pointer given for it and only before it returns; `call` and `unparker` outlive
    // it. With INTR_FAIL it returns instead of raising, so no jump passes over this frame.
    unsafe { rb_nogvl(Some(run::<R, F>), data, Some(wake), alarm, flags) };
    match call.outcome? {
        Ok(result) => Some(result),
        Err(panic) => resume_unwind(panic),
    }
}

/// Does what may have to wait for the system, while other threads of Ruby's go on. The system knows no way to end such a wait:
/// what interrupts this thread meanwhile comes after it.
///
/// # Errors
///
/// What interrupts the thread before it begins.
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

unsafe extern "C" fn wake(alarm: *mut c_void) {
    // SAFETY: `wait` passes a pointer to a `Unparker` that it has borrowed for longer than Ruby may call this.
    let unparker = unsafe { &*alarm.cast_const().cast::<Unparker>() };
    unparker.unpark();
}

// ===== watching =====

/// What a thread that is a worker's is known by to the hook.
struct ThreadSlot {
    watch: GvlEvents,
    /// The process that it is in: a child that the app has forked has no queue to tell, and the lock that guards it may
    /// have been held by a thread that is not there.
    process: u32,
}

/// Tells `worker` about the GVL on this thread, until the value is dropped.
pub(crate) fn watch(ruby: &Ruby, worker: &Worker) -> Watched {
    hear_events();
    let slot = Box::new(ThreadSlot { watch: worker.gvl_events(), process: PROCESS.load(SeqCst) });
    let thread = ruby.thread_current().as_raw();
    Watched { thread, before: slot::set(thread, &raw const *slot), _post: slot }
}

/// Ends what [`watch`] began, and gives the thread back to the worker it was before.
pub(crate) struct Watched {
    thread: VALUE,
    before: *const ThreadSlot,
    _post: Box<ThreadSlot>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        slot::set(self.thread, self.before);
    }
}

/// Counts the forks that have led to this process.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// A number for this process: another one in a child that it forks.
pub(crate) fn process() -> u32 {
    PROCESS.load(SeqCst)
}

/// How long the request in this thread's hand has waited for the GVL so far; nothing on a thread that has none.
pub(crate) fn waited() -> Duration {
    let watched = |ruby: Ruby| with_watch(ruby.thread_current().as_raw(), GvlEvents::gvl_wait);
    Ruby::get().ok().and_then(watched).unwrap_or_default()
}

/// The request in this thread's hand will mostly wait from now on. Whether there is one.
pub(crate) fn step_aside(ruby: &Ruby) -> bool {
    with_watch(ruby.thread_current().as_raw(), GvlEvents::step_aside).unwrap_or(false)
}

fn with_watch<T>(thread: VALUE, tell: impl FnOnce(&GvlEvents) -> T) -> Option<T> {
    with_post(slot::get(thread), tell)
}

fn with_post<T>(slot: *const ThreadSlot, tell: impl FnOnce(&GvlEvents) -> T) -> Option<T> {
    if ractor::is_mark(slot) {
        return None;
    }
    // SAFETY: `watch` has left it there, and `Watched` takes it away before it is freed, on the thread that it is about.
    // Others look here only while Ruby's scheduler keeps that thread from going on: when they wake it.
    let slot = unsafe { slot.as_ref() }?;
    (slot.process == PROCESS.load(SeqCst)).then(|| tell(&slot.watch))
}

/// Makes room for what is known of threads, once, when the extension is loaded. Ruby allows that while there is one Ractor
/// only: where there are more already, nothing is known of any thread (see [`knows_threads`]).
pub(crate) fn prepare() {
    ractor::prepare();
    slot::prepare();
}

/// Whether Ruby tells which worker lets go of the GVL. If not, a request that waits counts as one that computes, until it
/// has done so for long enough to be set aside.
pub(crate) fn knows_threads() -> bool {
    slot::is_prepared()
}

fn hear_events() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let events = RUBY_INTERNAL_THREAD_EVENT_SUSPENDED
            | RUBY_INTERNAL_THREAD_EVENT_READY
            | RUBY_INTERNAL_THREAD_EVENT_RESUMED;
        // SAFETY: the hook is called with Ruby's threads only, may be called from now on for ever, and is given no data.
        // This thread is in no such hook now.
        unsafe { rb_internal_thread_add_event_hook(Some(changed), events, ptr::null_mut()) };
        // SAFETY: `forget` may be called in any child from now on for ever, and touches nothing but numbers.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
}

/// Called in a child that the app has forked, on its only thread.
unsafe extern "C" fn forget() {
    PROCESS.fetch_add(1, SeqCst);
    SLICES.forget();
}

/// Called by Ruby, mostly without the GVL, about every Ruby thread, and about one that is being woken on the thread that
/// wakes it: touches nothing of Ruby's, and raises nothing.
unsafe extern "C" fn changed(event: rb_event_flag_t, data: *const rb_internal_thread_event_data_t, _: *mut c_void) {
    // SAFETY: Ruby gives the hook its own data.
    let thread = unsafe { slot::of(data) };
    let mut slot = slot::get(thread);
    if event == RUBY_INTERNAL_THREAD_EVENT_RESUMED && slot.is_null() {
        slot = ractor::mark();
        slot::set(thread, slot);
        if slot == ractor::OTHER {
            // It was counted while nothing was known of it.
            return SLICES.withdrawn();
        }
    }
    if slot == ractor::OTHER {
        // It has a GVL of its own.
        return;
    }
    // A thread that gives way does all of it by itself, on its own native thread.
    let gives_way = GIVES_WAY.try_with(Cell::get) == Ok(true);
    match event {
        RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => SLICES.let_go(),
        RUBY_INTERNAL_THREAD_EVENT_READY => SLICES.wanted(gives_way),
        _ => SLICES.got(gives_way, Instant::now(), CpuClock::of_this_thread()),
    }
    if event == RUBY_INTERNAL_THREAD_EVENT_SUSPENDED && gives_way {
        // It wants it back already: that is no pause in which one more could be let in.
        return;
    }
    let _ = with_post(slot, |watch| match event {
        RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => watch.suspended(Instant::now),
        RUBY_INTERNAL_THREAD_EVENT_READY => watch.ready(Instant::now),
        _ => watch.resumed(Instant::now),
    });
}

/// Tells the threads of the app's Ractor from those of others: there is a GVL for each Ractor, and ours is the one of the
/// Ractor that has loaded this extension. What is found is kept where a worker has its slot.
mod ractor {
    use crate::gvl::ThreadSlot;
    use rb_sys::{
        rb_ractor_local_key_t, rb_ractor_local_storage_ptr, rb_ractor_local_storage_ptr_newkey,
        rb_ractor_local_storage_ptr_set, rb_ractor_local_storage_type,
    };
    use std::{ffi::c_void, ptr, sync::OnceLock};

    /// The app's Ractor, a thread that is no worker's.
    pub(super) const OURS: *const ThreadSlot = ptr::without_provenance(1);
    /// Another Ractor.
    pub(super) const OTHER: *const ThreadSlot = ptr::without_provenance(2);

    /// Ruby's key for what a Ractor keeps.
    struct Key(rb_ractor_local_key_t);
    // SAFETY: it is a handle, which Ruby neither changes nor frees.
    unsafe impl Send for Key {}
    // SAFETY: as above.
    unsafe impl Sync for Key {}

    static KEY: OnceLock<Key> = OnceLock::new();
    static TYPE: rb_ractor_local_storage_type =
        rb_ractor_local_storage_type { mark: Some(nothing_to_do), free: Some(nothing_to_do) };

    /// Ruby's pointer is to no memory.
    unsafe extern "C" fn nothing_to_do(_: *mut c_void) {}

    /// On a thread of the app's Ractor, which holds the GVL.
    pub(super) fn prepare() {
        let key = KEY.get_or_init(|| {
            // SAFETY: this thread holds the GVL; the type is static.
            Key(unsafe { rb_ractor_local_storage_ptr_newkey(&raw const TYPE) })
        });
        // SAFETY: the key is Ruby's, and this thread holds the GVL.
        unsafe { rb_ractor_local_storage_ptr_set(key.0, OURS.cast_mut().cast()) };
    }

    /// What this thread is, which has just got its Ractor's GVL.
    pub(super) fn mark() -> *const ThreadSlot {
        let Some(key) = KEY.get() else { return OURS };
        // SAFETY: Ruby calls the hook for RESUMED on the thread itself, when that is the current one and holds the GVL
        // of its Ractor. This reads from a table of that Ractor.
        let kept = unsafe { rb_ractor_local_storage_ptr(key.0) };
        if kept.is_null() { OTHER } else { OURS }
    }

    pub(super) fn is_mark(slot: *const ThreadSlot) -> bool {
        slot == OURS || slot == OTHER
    }
}

/// Where a thread's slot is kept: with Ruby's thread, because that is woken by others.
#[cfg(ruby_gte_3_3)]
mod slot {
    use crate::gvl::{ThreadSlot, VALUE, rb_internal_thread_event_data_t};
    use magnus::rb_sys::protect;
    use rb_sys::{
        rb_internal_thread_specific_get, rb_internal_thread_specific_key_create, rb_internal_thread_specific_key_t,
        rb_internal_thread_specific_set, special_consts::Qnil,
    };
    use std::{ptr, sync::OnceLock};

    static KEY: OnceLock<rb_internal_thread_specific_key_t> = OnceLock::new();

    pub(super) fn prepare() {
        // It raises where there are more Ractors, or where other libraries have taken all the room that there is.
        let _ = protect(|| {
            // SAFETY: this thread holds the GVL, and what is raised ends at `protect`: nothing is held here.
            let key = unsafe { rb_internal_thread_specific_key_create() };
            // Only the first counts; there is no second.
            let _ = KEY.set(key);
            Qnil.into()
        });
    }

    pub(super) fn is_prepared() -> bool {
        KEY.get().is_some()
    }

    /// The thread that an event is about.
    ///
    /// # Safety
    ///
    /// `data` must be what Ruby has given to a hook.
    pub(super) unsafe fn of(data: *const rb_internal_thread_event_data_t) -> VALUE {
        // SAFETY: by contract; that is all there is in it, as of Ruby 3.3.
        unsafe { *data.cast::<VALUE>() }
    }

    pub(super) fn get(thread: VALUE) -> *const ThreadSlot {
        let Some(key) = KEY.get() else { return ptr::null() };
        // SAFETY: `thread` is a thread of Ruby's that lives; Ruby allows this anywhere.
        unsafe { rb_internal_thread_specific_get(thread, *key) }.cast_const().cast()
    }

    pub(super) fn set(thread: VALUE, slot: *const ThreadSlot) -> *const ThreadSlot {
        let before = get(thread);
        if let Some(key) = KEY.get() {
            // SAFETY: as for `get`.
            unsafe { rb_internal_thread_specific_set(thread, *key, slot.cast_mut().cast()) };
        }
        before
    }
}

/// The same before Ruby 3.3, where threads tell of themselves only, and events do not say whom they are about.
#[cfg(not(ruby_gte_3_3))]
mod slot {
    use crate::gvl::{ThreadSlot, VALUE, rb_internal_thread_event_data_t};
    use std::{cell::Cell, ptr};

    thread_local! {
        static POST: Cell<*const ThreadSlot> = const { Cell::new(ptr::null()) };
    }

    pub(super) fn prepare() {}

    pub(super) fn is_prepared() -> bool {
        true
    }

    pub(super) unsafe fn of(_: *const rb_internal_thread_event_data_t) -> VALUE {
        0
    }

    pub(super) fn get(_: VALUE) -> *const ThreadSlot {
        // A thread that is ending is no worker's.
        POST.try_with(Cell::get).unwrap_or(ptr::null())
    }

    pub(super) fn set(_: VALUE, slot: *const ThreadSlot) -> *const ThreadSlot {
        // As above.
        POST.try_with(|slot| slot.replace(slot)).unwrap_or(ptr::null())
    }
}

// ===== handing on =====

thread_local! {
    /// This thread's slice is over.
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// The GVL is one for the process, as are Ruby's own slices.
static SLICES: TimeSlicer = TimeSlicer::new(interrupt);

/// What Ruby knows [`let_others_go`] by.
#[cfg(ruby_gte_3_3)]
static JOB: OnceLock<rb_sys::rb_postponed_job_handle_t> = OnceLock::new();

/// The slices to be kept; `None` where Ruby can only be asked by its own timer, which is before 3.3, and where nothing is
/// known of threads.
#[cfg(ruby_gte_3_3)]
pub(crate) fn slices() -> Option<&'static TimeSlicer> {
    if !knows_threads() {
        return None;
    }
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
pub(crate) fn slices() -> Option<&'static TimeSlicer> {
    None
}

/// A request begins on this thread, which holds the GVL: what it has computed before is no part of that.
pub(crate) fn begin_request() {
    SLICES.begin_burst(Instant::now());
}

/// Whether this thread, which holds the GVL and is done with a request, is to hand the GVL on before it takes the next.
pub(crate) fn is_due() -> bool {
    SLICES.is_due()
}

/// Has the thread that holds the GVL let others go first, at its next safe point: where Ruby's own slices end as well.
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
    if !SLICES.is_asked() {
        // The request was for what has just ended; this has had no slice yet.
        return;
    }
    let flags = RB_NOGVL_INTR_FAIL.cast_signed();
    GIVES_WAY.set(true);
    // SAFETY: Ruby calls this on one of its threads that holds the GVL. `nothing` touches nothing, and need not be woken.
    // With INTR_FAIL this returns instead of raising.
    unsafe { rb_nogvl(Some(nothing), ptr::null_mut(), None, ptr::null_mut(), flags) };
    GIVES_WAY.set(false);
}
