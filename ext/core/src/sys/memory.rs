//! How much memory the process takes.

/// Bytes of it in the machine's memory, as the kernel counts them; `None` where it does not say.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    read(&status)
}

fn read(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_the_kernel_writes_it() {
        assert_eq!(read("Name:\ttidegate\nVmHWM:\t   99 kB\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!(read("Name:\ttidegate\n"), None);
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
