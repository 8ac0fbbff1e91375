//! Where notices go: a descriptor that lines are written to, each in one write.

use std::{fs::File, io, io::Write, os::fd::RawFd};

use crate::{notice::Notice, sys};

/// A log. It has a descriptor of its own, so that whoever opened the first may close it.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// A log that writes where `descriptor` does.
    ///
    /// # Errors
    ///
    /// When it is not open, or there are no descriptors left.
    pub fn to(descriptor: RawFd) -> io::Result<Self> {
        sys::duplicate(descriptor).map(|own| Self(own.into()))
    }

    /// Writes a notice. Nobody can be told when that fails.
    pub fn write(&self, notice: &Notice<'_>) {
        let _ = (&self.0).write_all(format!("tidegate: {notice}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Seek},
        os::fd::AsRawFd,
    };

    #[test]
    fn writes_whole_lines_to_a_descriptor_of_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        let log = Log::to(file.as_raw_fd()).unwrap();
        log.write(&Notice::AcceptRecovered);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tidegate: accepting connections again\n");
        assert!(Log::to(-1).is_err());
    }
}
