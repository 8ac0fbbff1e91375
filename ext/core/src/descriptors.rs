//! File descriptors: how many connections a process has room for, beside all else that needs one.

use std::fs;

use crate::sys;

/// What is kept back for the admin listener and its connections, the access log and the like, and for each worker, which may
/// have a database and a file of its own.
const KEPT: u64 = 64;
const KEPT_FOR_EACH_WORKER: u64 = 2;

/// Where the system sets no limit, or one that says nothing.
const MOST: u64 = 1 << 20;

/// How many connections this process, as it is now, has room for with `workers`.
pub(crate) fn room_for_connections(workers: usize) -> u64 {
    let open = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd")).map_or(0, |open| open.count());
    share(sys::descriptor_limit().unwrap_or(MOST), open as u64, workers as u64)
}

/// Of `limit` descriptors with `open` in use. A third of what is not kept back is for request bodies and responses in files.
fn share(limit: u64, open: u64, workers: u64) -> u64 {
    let free = limit.min(MOST).saturating_sub(open);
    let kept = (KEPT + KEPT_FOR_EACH_WORKER * workers).min(free / 2);
    ((free - kept) * 2 / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_descriptors_back_however_few_or_many_there_are() {
        for (limit, open, workers, connections) in [
            (65_536, 30, 32, 43_585),
            (1024, 24, 32, 581),
            (256, 16, 32, 80),
            (256, 16, 5, 110),
            (40, 16, 32, 8),
            (10, 12, 1, 1),
            (u64::MAX, 16, 32, 698_954),
        ] {
            assert_eq!(share(limit, open, workers), connections, "{limit} with {open} open and {workers} workers");
        }
    }

    #[test]
    fn knows_its_own_process() {
        let room = room_for_connections(1);
        assert!((1..=MOST).contains(&room));
        assert!(room <= room_for_connections(0));
    }
}
