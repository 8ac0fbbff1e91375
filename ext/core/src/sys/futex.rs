//! Room for the threads that wait. From Linux 6.16 on a process has a table of its own for its waiting threads, of four entries for each
//! core: 16 in a container of two. With some thousands of threads each wake-up walks through hundreds of them, and was found to be a
//! third of all CPU time.

/// The most entries, of 64 bytes each.
const MOST: usize = 16 * 1024;

/// Has the table at least as many entries as there may be threads, as a power of two. A system that has no such table needs none.
#[cfg(target_os = "linux")]
pub(crate) fn make_room(threads: usize) {
    let wanted = threads.min(MOST).next_power_of_two();
    // Zero: the process uses the table that all share, which grows with the machine.
    if slots().is_some_and(|slots| 0 < slots && slots < wanted) {
        prctl(SET_SLOTS, wanted);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn make_room(_: usize) {}

// Of linux/prctl.h; the libc crate does not carry them yet.
#[cfg(target_os = "linux")]
const PR_FUTEX_HASH: libc::c_int = 78;
#[cfg(target_os = "linux")]
const SET_SLOTS: libc::c_ulong = 1;
#[cfg(target_os = "linux")]
const GET_SLOTS: libc::c_ulong = 2;

/// How many entries there are; `None` where the system does not say.
#[cfg(target_os = "linux")]
fn slots() -> Option<usize> {
    usize::try_from(prctl(GET_SLOTS, 0)).ok()
}

#[cfg(target_os = "linux")]
fn prctl(what: libc::c_ulong, slots: usize) -> libc::c_int {
    let none: libc::c_ulong = 0;
    // SAFETY: this option takes numbers only, and a system that does not know it refuses it.
    unsafe { libc::prctl(PR_FUTEX_HASH, what, slots as libc::c_ulong, none, none) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_grows_and_does_not_shrink() {
        make_room(3000);
        let Some(slots_for_many) = slots() else { return };
        if slots_for_many > 0 {
            assert!(slots_for_many >= 4096, "{slots_for_many}");
        }
        make_room(5);
        assert_eq!(slots(), Some(slots_for_many));
    }
}
