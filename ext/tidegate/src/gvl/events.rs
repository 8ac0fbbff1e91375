//! Ruby's events about its threads and the GVL. A hook tells the queue when the thread of a worker releases the GVL inside the
//! app, wants it back and has it again; and it tells the time slices the same of every thread of the app's Ractor.

use std::{
    ffi::c_void,
    ptr,
    sync::Once,
    time::{Duration, Instant},
};

use magnus::{Ruby, rb_sys::AsRawValue};
use rb_sys::{
    RUBY_INTERNAL_THREAD_EVENT_READY, RUBY_INTERNAL_THREAD_EVENT_RESUMED, RUBY_INTERNAL_THREAD_EVENT_SUSPENDED, VALUE,
    rb_event_flag_t, rb_internal_thread_add_event_hook, rb_internal_thread_event_data_t,
};
use tidegate_core::{CpuClock, GvlEvents, Worker};

use crate::gvl::{
    fork::{count_forks, forks},
    ractor,
    thread_slot::{self, APP_RACTOR, OTHER_RACTOR, ThreadSlot},
    time_slice::{self, TIME_SLICER},
};

/// Registers this thread as that of `worker`: the hook tells the worker of the GVL on this thread, until the value is dropped.
#[inline(never)]
pub(crate) fn register(ruby: &Ruby, worker: &Worker) -> Registration {
    add_hook();
    let slot = Box::new(ThreadSlot { events: worker.gvl_events(), process: forks() });
    let thread = ruby.thread_current().as_raw();
    Registration { thread, before: thread_slot::set(thread, &raw const *slot), _slot: slot }
}

/// Ends what [`register`] began, and gives the thread back to the worker that it was registered for before.
pub(crate) struct Registration {
    thread: VALUE,
    before: *const ThreadSlot,
    _slot: Box<ThreadSlot>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        thread_slot::set(self.thread, self.before);
    }
}

/// How long the request that this thread runs has waited for the GVL so far; zero on a thread that runs none.
pub(crate) fn waited() -> Duration {
    Ruby::get().ok().and_then(|ruby| of_this_thread(&ruby, GvlEvents::gvl_wait)).unwrap_or_default()
}

/// The request that this thread runs will mostly wait from now on. Whether there is one.
pub(crate) fn mark_io_bound(ruby: &Ruby) -> bool {
    of_this_thread(ruby, GvlEvents::mark_io_bound).unwrap_or(false)
}

fn of_this_thread<T>(ruby: &Ruby, tell: impl FnOnce(&GvlEvents) -> T) -> Option<T> {
    thread_slot::with_events(thread_slot::get(ruby.thread_current().as_raw()), tell)
}

/// Whether the hook knows which thread an event is about. If not, a request that waits counts as one that computes, until it
/// has done so for long enough to be set aside.
pub(crate) fn knows_threads() -> bool {
    thread_slot::is_prepared()
}

/// Adds the hook, which stays for as long as the process lives.
pub(super) fn add_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let events = RUBY_INTERNAL_THREAD_EVENT_SUSPENDED
            | RUBY_INTERNAL_THREAD_EVENT_READY
            | RUBY_INTERNAL_THREAD_EVENT_RESUMED;
        // SAFETY: the hook is called with Ruby's threads only, may be called from now on for ever, and is given no data.
        // This thread is in no such hook now.
        unsafe { rb_internal_thread_add_event_hook(Some(hook), events, ptr::null_mut()) };
        count_forks();
    });
}

/// Called by Ruby about every Ruby thread, mostly without the GVL, and about a thread that is being woken on the thread that
/// wakes it. It touches no Ruby value, and raises nothing.
unsafe extern "C" fn hook(event: rb_event_flag_t, data: *const rb_internal_thread_event_data_t, _: *mut c_void) {
    // SAFETY: Ruby gives the hook its own data.
    let thread = unsafe { thread_slot::thread_of(data) };
    let mut slot = thread_slot::get(thread);
    if event == RUBY_INTERNAL_THREAD_EVENT_RESUMED && slot.is_null() {
        slot = if ractor::is_app() { APP_RACTOR } else { OTHER_RACTOR };
        thread_slot::set(thread, slot);
        if slot == OTHER_RACTOR {
            // It was counted when it was READY: nothing was known of it then.
            return TIME_SLICER.withdrawn();
        }
    }
    if slot == OTHER_RACTOR {
        return;
    }
    // A thread that yields does so on its own native thread, from the first event to the last.
    let yields = time_slice::is_yielding();
    match event {
        RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => TIME_SLICER.suspended(),
        RUBY_INTERNAL_THREAD_EVENT_READY => TIME_SLICER.ready(yields),
        _ => TIME_SLICER.resumed(yields, Instant::now(), CpuClock::of_this_thread()),
    }
    if event == RUBY_INTERNAL_THREAD_EVENT_SUSPENDED && yields {
        // The thread wants the GVL back already: this is no pause in which one more request could be let in.
        return;
    }
    let _ = thread_slot::with_events(slot, |events| match event {
        RUBY_INTERNAL_THREAD_EVENT_SUSPENDED => events.suspended(Instant::now),
        RUBY_INTERNAL_THREAD_EVENT_READY => events.ready(Instant::now),
        _ => events.resumed(Instant::now),
    });
}
