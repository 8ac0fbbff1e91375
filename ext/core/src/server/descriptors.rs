//! File descriptors: how many connections of each kind a process has room for, beside all else that needs one.

use std::fs;

use crate::sys;

/// What is kept back for the connections of the admin listener, the access log and the like, and for each worker, which may have
/// a database and a file of its own.
const KEPT: u64 = 64;
const KEPT_FOR_EACH_WORKER: u64 = 2;

/// At most so many of those kept back, and half of them, are for connections of the admin listener.
const ADMIN: u64 = 32;

/// Where the system sets no limit, or one that says nothing.
const MOST: u64 = 1 << 20;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Of the app's clients.
    pub(crate) clients: u64,
    /// Of the admin listener's.
    pub(crate) admin: u64,
}

/// How many connections this process, as it is now, has room for with `workers`.
pub(crate) fn room_for_connections(workers: usize) -> Room {
    let open = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd")).map_or(0, |open| open.count());
    share(sys::descriptor_limit().unwrap_or(MOST), open as u64, workers as u64)
}

/// Of `limit` descriptors with `open` in use. A third of what is not kept back is for request bodies and responses in files.
fn share(limit: u64, open: u64, workers: u64) -> Room {
    let free = limit.min(MOST).saturating_sub(open);
    let kept = (KEPT + KEPT_FOR_EACH_WORKER * workers).min(free / 2);
    Room { clients: ((free - kept) * 2 / 3).max(1), admin: ADMIN.min(kept / 2).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_descriptors_back_however_few_or_many_there_are() {
        for (limit, open, workers, clients, admin) in [
            (65_536, 30, 32, 43_585, 32),
            (1024, 24, 32, 581, 32),
            (256, 16, 32, 80, 32),
            (256, 16, 5, 110, 32),
            (40, 16, 32, 8, 6),
            (10, 12, 1, 1, 1),
            (u64::MAX, 16, 32, 698_954, 32),
        ] {
            let room = Room { clients, admin };
            assert_eq!(share(limit, open, workers), room, "{limit} with {open} open and {workers} workers");
        }
    }

    #[test]
    fn knows_its_own_process() {
        let room = room_for_connections(1).clients;
        assert!((1..=MOST).contains(&room));
        assert!(room <= room_for_connections(0).clients);
    }
}
