//! Time slices: the thread that has held the GVL for long enough while others want it is asked, by a job that Ruby runs on it at
//! its next safe point, to release the GVL and to queue for it again.

use std::{cell::Cell, time::Instant};

use tidegate_core::TimeSlicer;

/// There is one GVL in a process, and so there is one of these.
pub(super) static TIME_SLICER: TimeSlicer = TimeSlicer::new(request_yield);

thread_local! {
    /// Whether this thread releases the GVL because its slice is over.
    static YIELDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread releases the GVL because its slice is over.
pub(super) fn is_yielding() -> bool {
    YIELDING.try_with(Cell::get) == Ok(true)
}

/// In a child of a fork: the threads that the slices are about are not there.
pub(super) fn forget() {
    TIME_SLICER.forget();
}

/// A request begins on this thread, which holds the GVL: what the thread has computed before is not part of it.
pub(crate) fn begin_request() {
    TIME_SLICER.begin_burst(Instant::now());
}

/// Whether this thread, which holds the GVL and is done with a request, is to hand the GVL on before it takes the next.
pub(crate) fn is_due() -> bool {
    TIME_SLICER.is_due()
}

/// The time slices that the server is to keep; `None` where Ruby cannot be asked from outside of its own timer, which is before
/// 3.3, and where the hook knows no threads.
pub(crate) fn time_slicer() -> Option<&'static TimeSlicer> {
    job::prepare().then_some(&TIME_SLICER)
}

/// Asks the thread that holds the GVL to let others go first, at its next safe point: where Ruby's own slices end as well.
fn request_yield() {
    job::trigger();
}

#[cfg(ruby_gte_3_3)]
mod job {
    use std::{ffi::c_void, ptr, sync::OnceLock};

    use rb_sys::{
        RB_NOGVL_INTR_FAIL, rb_nogvl, rb_postponed_job_handle_t, rb_postponed_job_preregister, rb_postponed_job_trigger,
    };

    use super::{TIME_SLICER, YIELDING};
    use crate::gvl::events;

    /// Ruby's handle for [`yield_gvl`].
    static JOB: OnceLock<rb_postponed_job_handle_t> = OnceLock::new();

    /// Whether there is a job that can be triggered.
    pub(super) fn prepare() -> bool {
        if !events::knows_threads() {
            return false;
        }
        events::add_hook();
        let job = *JOB.get_or_init(|| {
            // SAFETY: this thread holds the GVL. `yield_gvl` may be called at any time from now on for ever, and takes no
            // data.
            unsafe { rb_postponed_job_preregister(0, Some(yield_gvl), ptr::null_mut()) }
        });
        // Ruby returns the greatest handle where it has no room for one more job.
        job != rb_postponed_job_handle_t::MAX
    }

    pub(super) fn trigger() {
        if let Some(job) = JOB.get() {
            // SAFETY: the handle is of `rb_postponed_job_preregister`; Ruby allows this on any thread at any time.
            unsafe { rb_postponed_job_trigger(*job) };
        }
    }

    /// Lets go of the GVL and takes it back, after the threads that wait for it. An interrupt that is pending for this thread
    /// remains pending: Ruby loses an exception that a postponed job raises.
    unsafe extern "C" fn yield_gvl(_: *mut c_void) {
        unsafe extern "C" fn do_nothing(_: *mut c_void) -> *mut c_void {
            ptr::null_mut()
        }
        if !TIME_SLICER.is_asked() {
            // The thread that was asked has released the GVL meanwhile; this thread has had no slice yet.
            return;
        }
        let flags = RB_NOGVL_INTR_FAIL.cast_signed();
        YIELDING.set(true);
        // SAFETY: Ruby calls this on one of its threads that holds the GVL. `do_nothing` touches nothing, and need not be
        // woken. With INTR_FAIL this returns instead of raising.
        unsafe { rb_nogvl(Some(do_nothing), ptr::null_mut(), None, ptr::null_mut(), flags) };
        YIELDING.set(false);
    }
}

#[cfg(not(ruby_gte_3_3))]
mod job {
    pub(super) fn prepare() -> bool {
        false
    }

    pub(super) fn trigger() {}
}
