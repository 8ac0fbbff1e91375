//! Tells the threads of the app's Ractor from those of other Ractors. Each Ractor has a GVL of its own; "the GVL" in this crate
//! is that of the Ractor which loaded the extension.

use std::{ffi::c_void, ptr, sync::OnceLock};

use rb_sys::{
    rb_ractor_local_key_t, rb_ractor_local_storage_ptr, rb_ractor_local_storage_ptr_newkey,
    rb_ractor_local_storage_ptr_set, rb_ractor_local_storage_type,
};

/// Ruby's key for what a Ractor keeps.
struct Key(rb_ractor_local_key_t);
// SAFETY: it is a handle, which Ruby neither changes nor frees.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

static KEY: OnceLock<Key> = OnceLock::new();
static TYPE: rb_ractor_local_storage_type =
    rb_ractor_local_storage_type { mark: Some(do_nothing), free: Some(do_nothing) };

/// What the app's Ractor keeps under the key. It points to no memory; only that it is not null counts.
const APP: *mut c_void = ptr::without_provenance_mut(1);

unsafe extern "C" fn do_nothing(_: *mut c_void) {}

/// Marks this thread's Ractor as the app's. The thread holds the GVL.
pub(super) fn prepare() {
    let key = KEY.get_or_init(|| {
        // SAFETY: this thread holds the GVL; the type is static.
        Key(unsafe { rb_ractor_local_storage_ptr_newkey(&raw const TYPE) })
    });
    // SAFETY: the key is Ruby's, and this thread holds the GVL.
    unsafe { rb_ractor_local_storage_ptr_set(key.0, APP) };
}

/// Whether this thread belongs to the app's Ractor. It is the thread that a RESUMED event is about, during that event.
pub(super) fn is_app() -> bool {
    let Some(key) = KEY.get() else { return true };
    // SAFETY: Ruby calls the hook for RESUMED on the thread itself, when that is the current one and holds the GVL
    // of its Ractor. This reads from a table of that Ractor.
    let kept = unsafe { rb_ractor_local_storage_ptr(key.0) };
    !kept.is_null()
}
