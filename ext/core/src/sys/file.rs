//! Reading a file into a buffer's free room, without filling that with zeros first.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use bytes::BytesMut;

/// Reads up to `want` bytes of a file, from `at` on, to the end of `into`, which has room for them; 0 at the end of the file.
pub(crate) fn read_at(file: BorrowedFd<'_>, at: u64, into: &mut BytesMut, want: usize) -> io::Result<usize> {
    let at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    fill(into, want, |room, length| {
        // SAFETY: the descriptor is open for as long as it is borrowed, and `fill` gives room for `length` bytes.
        unsafe { libc::pread(file.as_raw_fd(), room.cast(), length, at) }
    })
}

/// The same, of what is in memory: `WouldBlock` where the disk has to be waited for, and another error where the system or the
/// file system cannot tell.
pub(crate) fn read_cached(file: BorrowedFd<'_>, at: u64, into: &mut BytesMut, want: usize) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        let at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        fill(into, want, |room, length| {
            let place = libc::iovec { iov_base: room.cast(), iov_len: length };
            // Not every musl has a function for it. The kernel takes the offset in two halves, the second of which a 64-bit
            // one has no use for.
            let (low, high) = (at as libc::c_long, (at as u64 >> 32) as libc::c_long);
            let (call, descriptor) = (libc::SYS_preadv2, file.as_raw_fd());
            // SAFETY: the descriptor is open for as long as it is borrowed, the call reads the one entry that it is given,
            // and `fill` gives room for `length` bytes.
            let count = unsafe { libc::syscall(call, descriptor, &raw const place, 1, low, high, libc::RWF_NOWAIT) };
            count as libc::ssize_t
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, at, into, want);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Appends what `read` writes to the place that it is given, with room for the number of bytes that it is given.
fn fill(into: &mut BytesMut, want: usize, read: impl FnOnce(*mut u8, usize) -> libc::ssize_t) -> io::Result<usize> {
    let room = into.spare_capacity_mut();
    let length = want.min(room.len());
    let result = read(room.as_mut_ptr().cast(), length);
    let count = usize::try_from(result).map_err(|_| io::Error::last_os_error())?.min(length);
    let filled = into.len() + count;
    // SAFETY: the system has written `count` bytes behind those that were there, and no more than there was room for.
    unsafe { into.set_len(filled) };
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Write, os::fd::AsFd};

    fn file() -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file
    }

    #[test]
    fn appends_what_it_reads_and_no_more_than_is_wanted_or_has_room() {
        let file = file();
        let mut buffer = BytesMut::with_capacity(64);
        buffer.extend_from_slice(b"a");
        assert_eq!(read_at(file.as_fd(), 2, &mut buffer, 3).unwrap(), 3);
        assert_eq!(read_at(file.as_fd(), 8, &mut buffer, 50).unwrap(), 2);
        assert_eq!(read_at(file.as_fd(), 10, &mut buffer, 50).unwrap(), 0);
        assert_eq!(buffer, "a23489");
        let mut full = BytesMut::new();
        assert_eq!(read_at(file.as_fd(), 0, &mut full, 5).unwrap(), 0);
        assert_eq!(read_at(file.as_fd(), u64::MAX, &mut buffer, 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    /// What was written just now is in memory, wherever the system can tell.
    #[test]
    fn reads_the_same_from_memory_or_says_that_it_cannot_tell() {
        let mut buffer = BytesMut::with_capacity(64);
        match read_cached(file().as_fd(), 3, &mut buffer, 4) {
            Ok(count) => assert_eq!((count, &buffer[..]), (4, &b"3456"[..])),
            Err(_) => assert!(buffer.is_empty()),
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let (reader, _writer) = io::pipe().unwrap();
        let mut buffer = BytesMut::with_capacity(8);
        assert!(read_at(reader.as_fd(), 0, &mut buffer, 8).is_err());
        assert!(read_cached(reader.as_fd(), 0, &mut buffer, 8).is_err());
        assert!(buffer.is_empty());
    }
}
