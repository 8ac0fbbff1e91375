//! Memory that a process shares with the children that it forks. It is never unmapped: it goes with the last of them.

use std::{
    io,
    marker::PhantomData,
    mem,
    sync::atomic::{AtomicU32, AtomicU64},
};

/// A type that may lie in shared memory.
///
/// # Safety
///
/// Values consist of atomics and nothing else that is ever read: several processes may use one at a time, all bits zero are a value, and
/// none of them refers to anything.
pub(crate) unsafe trait AtomicsOnly: Sync + 'static {}

// SAFETY: it is an atomic, and zero is a value.
unsafe impl AtomicsOnly for AtomicU32 {}
// SAFETY: it is an atomic, and zero is a value.
unsafe impl AtomicsOnly for AtomicU64 {}
// SAFETY: it has no bytes.
unsafe impl<T: 'static> AtomicsOnly for PhantomData<fn(T)> {}
// SAFETY: it consists of what is atomics only.
unsafe impl<T: AtomicsOnly, const N: usize> AtomicsOnly for [T; N] {}

/// Implements [`AtomicsOnly`] for a structure of such: all its fields are to be named, which is checked.
macro_rules! atomics_only {
    ($type:ident { $($field:tt),* $(,)? }) => {
        crate::sys::shared_memory::atomics_only!(@ [] $type { $($field),* });
    };
    (<$label:ident: $bound:path> $type:ty { $($field:tt),* $(,)? }) => {
        crate::sys::shared_memory::atomics_only!(@ [<$label: $bound>] $type { $($field),* });
    };
    (@ [$($generics:tt)*] $type:ty { $($field:tt),* }) => {
        #[allow(unsafe_code)]
        // SAFETY: the structure has no fields but these, and each is atomics only: `each_field` would not compile otherwise.
        unsafe impl $($generics)* crate::sys::shared_memory::AtomicsOnly for $type {}

        #[allow(dead_code)]
        const _: () = {
            fn is_atomics_only<T: crate::sys::shared_memory::AtomicsOnly>(_: &T) {}

            fn each_field $($generics)* (value: &$type) {
                type Checked<T> = T;
                let Checked::<$type> { $($field: _),* } = value;
                $(is_atomics_only(&value.$field);)*
            }
        };
    };
}

pub(crate) use atomics_only;

/// As many values as are asked for, all zero, in memory that the children of this process will share.
///
/// # Errors
///
/// When the system has no memory left for it.
pub(crate) fn shared<T: AtomicsOnly>(count: usize) -> io::Result<&'static [T]> {
    let bytes = mem::size_of::<T>().checked_mul(count).filter(|bytes| *bytes > 0).ok_or(io::ErrorKind::InvalidInput)?;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place of the kernel's choice touches no memory that there is.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is as large as the slice, begins with a page and so is aligned, is all zero, which is a value of each `T`, and
    // is never unmapped; no exclusive reference to any of it exists.
    Ok(unsafe { std::slice::from_raw_parts(memory.cast::<T>(), count) })
}

/// Runs `child` in a forked process and waits for its end. The child may do nothing but use memory that is there already: another thread
/// of the parent may have held any lock, the allocator's included.
#[cfg(test)]
pub(crate) fn in_child(child: impl FnOnce()) {
    // SAFETY: the child runs `child`, which keeps to the above, and ends without running anything else.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        child();
        crate::sys::exit_now(0);
    }
    let mut status = 0;
    // SAFETY: the call writes to the one number that it is given, which lives until it returns.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((ended, status), (pid, 0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn what_a_child_writes_its_parent_reads() {
        let cells = shared::<[AtomicU64; 3]>(1000).unwrap();
        assert!(cells.iter().flatten().all(|cell| cell.load(SeqCst) == 0));
        in_child(|| {
            cells[999][2].store(7, SeqCst);
            cells[0][0].fetch_add(1, SeqCst);
        });
        in_child(|| {
            cells[0][0].fetch_add(1, SeqCst);
        });
        assert_eq!((cells[999][2].load(SeqCst), cells[0][0].load(SeqCst)), (7, 2));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(shared::<AtomicU64>(0).is_err());
        assert!(shared::<AtomicU64>(usize::MAX).is_err());
        assert!(shared::<AtomicU64>(1 << 58).is_err());
    }
}
