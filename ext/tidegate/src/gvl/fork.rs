//! Tells a process from a child that the app forks from it: a child has the memory of its parent, but of its threads only the
//! one that forked.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use crate::gvl::time_slice;

/// How many forks have led to this process.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks have led to this process since [`count_forks`] was called first: in a child it is one more than in its parent.
pub(crate) fn forks() -> u32 {
    FORKS.load(SeqCst)
}

/// Counts forks from now on.
pub(super) fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `in_child` may be called in any child from now on for ever, and touches nothing but numbers.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Called in a child that the app has forked, on its only thread.
unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, SeqCst);
    time_slice::forget();
}
