//! What the hook knows of a Ruby thread, and where that is kept: with Ruby's own thread, because the events of a thread may come
//! on the thread that wakes it. Before Ruby 3.3 threads report only themselves, and there it is a thread-local variable.

use std::ptr;

use tidegate_core::GvlEvents;

use crate::gvl::fork::forks;

pub(super) use imp::{get, is_prepared, prepare, set, thread_of};

/// What is known of the thread of a worker.
pub(super) struct ThreadSlot {
    pub(super) events: GvlEvents,
    /// The process that the worker belongs to, as [`forks`] counts: a child that the app has forked has no queue to tell, and
    /// the queue's lock may have been held by a thread that the child does not have.
    pub(super) process: u32,
}

/// A thread of the app's Ractor that is no worker's.
pub(super) const APP_RACTOR: *const ThreadSlot = ptr::without_provenance(1);
/// A thread of another Ractor.
pub(super) const OTHER_RACTOR: *const ThreadSlot = ptr::without_provenance(2);

/// Calls `tell` with the worker's events, if the slot is that of a worker of this process.
pub(super) fn with_events<T>(slot: *const ThreadSlot, tell: impl FnOnce(&GvlEvents) -> T) -> Option<T> {
    if slot == APP_RACTOR || slot == OTHER_RACTOR {
        return None;
    }
    // SAFETY: a `Registration` has put it there, and takes it away before it is freed, on the thread that it is about.
    // Other threads look here only while Ruby's scheduler keeps that thread from going on: when they wake it.
    let slot = unsafe { slot.as_ref() }?;
    (slot.process == forks()).then(|| tell(&slot.events))
}

#[cfg(ruby_gte_3_3)]
mod imp {
    use std::{ptr, sync::OnceLock};

    use magnus::rb_sys::protect;
    use rb_sys::{
        VALUE, rb_internal_thread_event_data_t, rb_internal_thread_specific_get,
        rb_internal_thread_specific_key_create, rb_internal_thread_specific_key_t, rb_internal_thread_specific_set,
        special_consts::Qnil,
    };

    use super::ThreadSlot;

    static KEY: OnceLock<rb_internal_thread_specific_key_t> = OnceLock::new();

    pub(in crate::gvl) fn prepare() {
        // It raises where there are more Ractors, or where other libraries have taken all the room that there is.
        let _ = protect(|| {
            // SAFETY: this thread holds the GVL, and what is raised ends at `protect`: nothing is held here.
            let key = unsafe { rb_internal_thread_specific_key_create() };
            // Only the first counts; there is no second.
            let _ = KEY.set(key);
            Qnil.into()
        });
    }

    pub(in crate::gvl) fn is_prepared() -> bool {
        KEY.get().is_some()
    }

    /// The thread that an event is about.
    ///
    /// # Safety
    ///
    /// `data` must be what Ruby has given to a hook, which has not returned yet.
    pub(in crate::gvl) unsafe fn thread_of(data: *const rb_internal_thread_event_data_t) -> VALUE {
        // SAFETY: by contract. Ruby passes the struct of its header from 3.3 on, and the binding is made from that header.
        unsafe { (*data).thread }
    }

    pub(in crate::gvl) fn get(thread: VALUE) -> *const ThreadSlot {
        let Some(key) = KEY.get() else { return ptr::null() };
        // SAFETY: `thread` is a Ruby thread that lives; Ruby allows this anywhere.
        unsafe { rb_internal_thread_specific_get(thread, *key) }.cast_const().cast()
    }

    /// Returns what was there before.
    pub(in crate::gvl) fn set(thread: VALUE, slot: *const ThreadSlot) -> *const ThreadSlot {
        let before = get(thread);
        if let Some(key) = KEY.get() {
            // SAFETY: as for `get`.
            unsafe { rb_internal_thread_specific_set(thread, *key, slot.cast_mut().cast()) };
        }
        before
    }
}

#[cfg(not(ruby_gte_3_3))]
mod imp {
    use std::{cell::Cell, ptr};

    use rb_sys::{VALUE, rb_internal_thread_event_data_t};

    use super::ThreadSlot;

    thread_local! {
        static SLOT: Cell<*const ThreadSlot> = const { Cell::new(ptr::null()) };
    }

    pub(in crate::gvl) fn prepare() {}

    pub(in crate::gvl) fn is_prepared() -> bool {
        true
    }

    /// Ruby does not say it: the event is about the calling thread.
    pub(in crate::gvl) unsafe fn thread_of(_: *const rb_internal_thread_event_data_t) -> VALUE {
        0
    }

    pub(in crate::gvl) fn get(_: VALUE) -> *const ThreadSlot {
        // A thread that is ending is no worker's.
        SLOT.try_with(Cell::get).unwrap_or(ptr::null())
    }

    /// Returns what was there before.
    pub(in crate::gvl) fn set(_: VALUE, slot: *const ThreadSlot) -> *const ThreadSlot {
        // As above.
        SLOT.try_with(|kept| kept.replace(slot)).unwrap_or(ptr::null())
    }
}
