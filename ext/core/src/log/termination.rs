//! A process's last words, for the platform to keep.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, bounded};

use super::event::LogEvent;
use crate::config::Platform;

/// Where Kubernetes looks for the message of a container that has ended, unless the pod says otherwise.
const KUBERNETES: &str = "/dev/termination-log";

/// A file with content that outlives the process: in Kubernetes, `kubectl describe pod` shows it as the container's last
/// message, when its log may be gone and no collector reads it any more. It is written by a thread of its own: it may be on a
/// mount that hangs.
#[derive(Debug)]
pub struct TerminationLog {
    path: PathBuf,
    /// Ends when the last words are written.
    writing: Mutex<Option<Receiver<()>>>,
}

impl TerminationLog {
    /// That file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Mutex::default() }
    }

    /// The platform's own, where it has one and has made it.
    pub fn of(platform: Platform) -> Option<Self> {
        (platform == Platform::Kubernetes && Path::new(KUBERNETES).exists()).then(|| Self::at(KUBERNETES))
    }

    /// Has the summary of a drain written; other events are not kept. Never waits.
    pub fn write(&self, event: &LogEvent<'_>) {
        let LogEvent::Summary(summary) = event else { return };
        let (path, text) = (self.path.clone(), format!("{summary}\n"));
        let (written, writing) = bounded::<()>(0);
        let write = move || {
            // That it fails cannot be told here: the log has the same line.
            let _ = write_file(&path, text.as_bytes());
            drop(written);
        };
        if thread::Builder::new().name("tidegate-last-words".into()).spawn(write).is_ok() {
            *self.writing() = Some(writing);
        }
    }

    /// Waits until they are written, at most until `deadline`.
    pub fn finish(&self, deadline: Instant) {
        let writing = self.writing().take();
        if let Some(writing) = writing {
            let _ = writing.recv_deadline(deadline);
        }
    }

    fn writing(&self) -> MutexGuard<'_, Option<Receiver<()>>> {
        // No code that can panic runs under this lock.
        self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Not for a FIFO without a reader: opened for writing, it would hang.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(true).create(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::summary::Summary, sys};
    use std::time::Duration;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn summary() -> LogEvent<'static> {
        LogEvent::Summary(Summary {
            took: Duration::ZERO,
            plan: crate::lifecycle::plan::Plan::resolve(Default::default(), Platform::Plain).0,
            delay: Duration::ZERO,
            connections: 0,
            requests: 0,
            last_connection: None,
            late: 0,
            told_close: 0,
            idle_closed: 0,
            rejected: 0,
            cut: 0,
            unsent: 0,
            hijacked: 0,
            status: 0,
        })
    }

    #[test]
    fn the_last_words_are_the_summary() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words");
        let log = TerminationLog::at(&path);
        log.write(&LogEvent::AcceptRecovered);
        assert!(!path.exists());
        log.write(&summary());
        log.finish(later());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("drain: done in 0.0s"));
    }

    /// The path may be anything; the I/O thread must come back from it.
    #[test]
    fn last_words_to_a_pipe_without_a_reader_hold_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        sys::make_fifo(&path).unwrap();
        let log = TerminationLog::at(&path);
        log.write(&summary());
        log.finish(later());
        assert!(log.writing().is_none());
    }
}
