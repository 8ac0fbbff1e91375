//! Where notices go: a descriptor that lines are written to, each in one write; and the last of them to where the
//! platform keeps a process's last words.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use crate::{notice::Notice, plan::Platform, sys};

/// Where Kubernetes looks for the message of a container that has ended, unless the pod says otherwise.
const KUBERNETES: &str = "/dev/termination-log";

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

/// The file whose content outlives the process: in Kubernetes, `kubectl describe pod` shows it as the container's last
/// message, when its log may be gone and nobody scrapes it any more.
#[derive(Debug)]
pub struct TerminationLog(PathBuf);

impl TerminationLog {
    /// That file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The platform's own, where it has one and has made it.
    pub fn of(platform: Platform) -> Option<Self> {
        (platform == Platform::Kubernetes && Path::new(KUBERNETES).exists()).then(|| Self::at(KUBERNETES))
    }

    /// Writes the summary of a drain; other notices are no last words. Nobody can be told when that fails.
    pub fn write(&self, notice: &Notice<'_>) {
        if let Notice::Summary(summary) = notice {
            let file = OpenOptions::new().write(true).truncate(true).create(true).open(&self.0);
            let _ = file.and_then(|mut file| file.write_all(format!("{summary}\n").as_bytes()));
        }
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
