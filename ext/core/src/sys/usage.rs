//! What the kernel tells of a process: this one, or another of the same user.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// What a process has used, and uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// CPU time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes of it in the machine's memory.
    pub(crate) resident: u64,
    pub(crate) started: SystemTime,
}

/// That of the process `pid`, or of this one; `None` where the kernel does not say.
pub(crate) fn of(pid: Option<u32>) -> Option<Usage> {
    let stat = fs::read_to_string(directory(pid).join("stat")).ok()?;
    let booted = SystemTime::now().checked_sub(since_boot()?)?;
    read(&stat, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64, booted)
}

/// How many descriptors it has open.
pub(crate) fn open_files(pid: Option<u32>) -> Option<u64> {
    let directory = directory(pid).join("fd");
    // Newer kernels tell it as the directory's size.
    let told = fs::metadata(&directory).ok()?.len();
    if told > 0 { Some(told) } else { Some(fs::read_dir(&directory).ok()?.count() as u64) }
}

fn directory(pid: Option<u32>) -> PathBuf {
    pid.map_or_else(|| PathBuf::from("/proc/self"), |pid| PathBuf::from(format!("/proc/{pid}")))
}

/// For how long the machine is up.
fn since_boot() -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()
}

/// Reads what proc_pid_stat(5) describes.
fn read(stat: &str, ticks_per_second: u64, page_size: u64, booted: SystemTime) -> Option<Usage> {
    // The name of the program may hold anything, brackets included.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // The fields are numbered from 1, and the third is the first after the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second.max(1)));
    Some(Usage {
        cpu: time(field(14)? + field(15)?),
        resident: field(24)?.saturating_mul(page_size),
        started: booted + time(field(22)?),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_the_kernel_writes_it() {
        let stat =
            "71 (ruby) 1 (x) S 1 71 71 0 -1 4194560 9 0 0 0 150 50 7 7 20 0 3 0 4200 99999 25 18446744073709551615\n";
        let booted = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let usage = read(stat, 100, 4096, booted).unwrap();
        assert_eq!(usage.cpu, Duration::from_secs(2));
        assert_eq!(usage.resident, 25 * 4096);
        assert_eq!(usage.started, SystemTime::UNIX_EPOCH + Duration::from_secs(1_042));
        assert_eq!(read("71 (ruby) S 1", 100, 4096, booted), None);
        assert_eq!(read("", 100, 4096, booted), None);
    }

    #[test]
    fn a_process_knows_itself_by_its_number_as_well() {
        let own = of(None).unwrap();
        assert!(own.resident > 100_000 && own.started < SystemTime::now(), "{own:?}");
        assert!(of(Some(std::process::id())).is_some());
        let before = open_files(None).unwrap();
        let held: Vec<_> = (0..40).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files(Some(std::process::id())).unwrap() >= 40, "{before} before");
        drop(held);
        assert_eq!((of(Some(u32::MAX)), open_files(Some(u32::MAX))), (None, None));
    }
}
