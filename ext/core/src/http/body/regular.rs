//! Which files may be sent as they are: regular ones, of the length that they say.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::RawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

use super::FileBody;
use crate::sys;

/// A regular file that can be sent as it is, and how long it is.
#[derive(Debug)]
pub struct Regular {
    file: File,
    length: u64,
}

/// Where a file system makes up a file's content when it is read, as those under /proc and /sys do, the length of a file is
/// said to be one of these.
const MADE_UP: [u64; 2] = [0, 4096];

impl Regular {
    /// Opens a file for reading. May wait for a disk or a network, but not for a process at the other end of a pipe. `None` for
    /// what is no regular file, and what says of itself that it is of another length than it is.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn open(path: &OsStr) -> io::Result<Option<Self>> {
        let path = Path::new(path);
        // To open some devices, or a pipe, is to do something to them.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        // Another file may be there by now.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        Self::of(OpenOptions::new().read(true).custom_flags(flags).open(path)?)
    }

    /// The file that is open as `descriptor`, which stays the caller's.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn opened(descriptor: RawFd) -> io::Result<Option<Self>> {
        Self::of(sys::duplicate(descriptor)?.into())
    }

    fn of(file: File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        let length = metadata.len();
        if !metadata.is_file() {
            return Ok(None);
        }
        if MADE_UP.contains(&length) {
            let ends = |at| file.read_at(&mut [0], at).map(|count| count == 0);
            if !ends(length)? || (length > 0 && ends(length - 1)?) {
                return Ok(None);
            }
        }
        Ok(Some(Self { file, length }))
    }

    /// What comes behind the first `skipped` bytes.
    pub fn after(self, skipped: u64) -> FileBody {
        FileBody::from(self.file, skipped, self.length.saturating_sub(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A FIFO stopped all of Ruby until something was written to it; and to open one is to let a writer go on.
    #[test]
    fn opens_nothing_but_regular_files() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        for (path, regular) in
            [(fifo.as_path(), false), (directory.path(), false), (Path::new("/dev/null"), false), (&file, true)]
        {
            assert_eq!(Regular::open(path.as_os_str()).unwrap().is_some(), regular, "{path:?}");
        }
        assert!(Regular::open(OsStr::new("/nonexistent")).is_err());
        assert!(Regular::open(OsStr::new("a\0b")).is_err());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(Regular::opened(std::os::fd::AsRawFd::as_raw_fd(&reader)).unwrap().is_none());
    }

    /// /proc says that its files are empty, /sys that they have 4096 bytes.
    #[test]
    fn takes_no_file_that_has_another_length_than_it_says() {
        let directory = tempfile::tempdir().unwrap();
        for length in MADE_UP {
            let path = directory.path().join(length.to_string());
            fs::write(&path, vec![0; length as usize]).unwrap();
            assert_eq!(Regular::open(path.as_os_str()).unwrap().unwrap().after(0).len(), length);
        }
        for path in ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"].map(Path::new) {
            if path.exists() {
                assert!(Regular::open(path.as_os_str()).unwrap().is_none(), "{path:?}");
            }
        }
    }
}
