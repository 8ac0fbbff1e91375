//! The C library's heap, which all languages in the process share.

use crate::sys;

/// Has no more than `count` arenas made from now on, where the C library has such a thing.
pub fn limit_arenas(count: u16) {
    sys::limit_arenas(count.into());
}
