//! Where notices go: lines for the operator, written by a thread of the log's own, so that a log that is not read stops
//! nothing; and the last of them to where the platform keeps a process's last words.

pub(crate) mod access;
pub(crate) mod event;
pub(crate) mod output;
pub(crate) mod summary;
pub(crate) mod troubles;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::RawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    config::{Config, LogFormat, Platform, Setting},
    log::{
        access::JSON_TIME,
        event::LogEvent,
        output::{Lost, Output, Room, Style},
        summary::Summary,
    },
    sys,
};

/// Where Kubernetes looks for the message of a container that has ended, unless the pod says otherwise.
const KUBERNETES: &str = "/dev/termination-log";

/// What may wait to be written: notices are few, and backtraces of the app long.
const ROOM: Room = Room { lines: 1024, bytes: 1024 * 1024 };

/// How long the end of a server waits for its last lines, altogether: the process has little time left then, and the reader
/// of a full pipe may never come.
pub(crate) const LAST_LINES: Duration = Duration::from_millis(500);

/// A log. It has a descriptor of its own, so that the first may be closed.
#[derive(Debug)]
pub struct Log {
    file: Arc<File>,
    style: Lines,
    output: OnceLock<Started>,
}

/// A log that writes.
#[derive(Debug)]
struct Started {
    output: Output<Lines>,
    /// The process that its thread is in: a child that the app has forked has none.
    process: u32,
}

/// How a log's lines look.
#[derive(Clone, Copy, Debug)]
struct Lines {
    /// Lines are JSON objects, and not sentences.
    json: bool,
}

impl Log {
    /// A log that writes where `descriptor` does, once it is [started](Self::start).
    ///
    /// # Errors
    ///
    /// When it is not open, or there are no descriptors left.
    pub fn to(descriptor: RawFd) -> io::Result<Self> {
        let file = Arc::new(sys::duplicate(descriptor)?.into());
        Ok(Self { file, style: Lines { json: false }, output: OnceLock::new() })
    }

    /// The same with a JSON object in each line: `time`, `level` (info or warn), `event`, `message`, and with the summary of a
    /// drain its numbers.
    pub fn in_json(self, json: bool) -> Self {
        Self { style: Lines { json }, ..self }
    }

    /// Starts the thread that writes, which ends with the value. Not before a fork.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(&self) -> io::Result<()> {
        if self.output.get().is_none() {
            let output = Output::start("tidegate-log", self.file.clone(), self.style, ROOM)?;
            self.output.get_or_init(|| Started { output, process: std::process::id() });
        }
        Ok(())
    }

    /// Whether both write to the same file, so that one of them is enough and keeps the lines in their order.
    pub fn is_same_file(&self, other: &Self) -> bool {
        let place = |file: &File| file.metadata().map(|data| (data.dev(), data.ino(), data.rdev()));
        matches!((place(&self.file), place(&other.file)), (Ok(one), Ok(two)) if one == two)
    }

    /// Has a notice written. Never waits; see [`Log::print`].
    pub fn write(&self, notice: &LogEvent<'_>) {
        let line = if self.style.json { json(notice, Timestamp::now()) } else { format!("tidegate: {notice}\n") };
        self.print(line.into_bytes());
    }

    /// Has whole lines written as they are. Never waits: what finds no room is lost, and counted. Whether there is a thread
    /// that will write them; not before the [start](Self::start), nor in a child that the app has forked.
    pub fn print(&self, lines: Vec<u8>) -> bool {
        let started = self.started();
        if let Some(started) = started {
            started.output.put(lines);
        }
        started.is_some()
    }

    /// Waits until what was said before is written, at most until `deadline`.
    pub fn finish(&self, deadline: Instant) {
        if let Some(started) = self.started() {
            started.output.flush(deadline);
        }
    }

    /// Counts what was lost; `None` before the start.
    pub(crate) fn lost(&self) -> Option<&Lost> {
        self.output.get().map(|started| started.output.lost())
    }

    fn started(&self) -> Option<&Started> {
        self.output.get().filter(|started| started.process == std::process::id())
    }
}

impl Style for Lines {
    type Entry = Vec<u8>;

    fn weight(entry: &Vec<u8>) -> usize {
        entry.len()
    }

    fn write(&self, mut entry: Vec<u8>, lines: &mut Vec<u8>) {
        lines.append(&mut entry);
    }

    fn confess(&self, lost: u64, lines: &mut Vec<u8>) {
        let notice = LogEvent::LinesLost(lost);
        let line = if self.json { json(&notice, Timestamp::now()) } else { format!("tidegate: {notice}\n") };
        lines.extend_from_slice(line.as_bytes());
    }
}

/// All that a server says in words.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// What it does.
    pub notices: Option<Arc<Log>>,
    /// What went wrong in the app, and with the Ruby side; may be the same log.
    pub errors: Option<Arc<Log>>,
    /// Where the platform looks for a process's last words.
    pub last_words: Option<Arc<TerminationLog>>,
}

impl Logs {
    /// The logs that `config` asks for, where the descriptors `notices` and `errors` write.
    ///
    /// # Errors
    ///
    /// When one of the two is not open, or there are no descriptors left.
    pub fn open(config: &Config, notices: Option<RawFd>, errors: Option<RawFd>) -> io::Result<Self> {
        let in_json = config.logging.log_format == LogFormat::Json;
        let open = |descriptor: Option<RawFd>, name| match descriptor.map(Log::to).transpose() {
            Ok(log) => Ok(log.map(|log| Arc::new(log.in_json(in_json)))),
            Err(cause) => Err(io::Error::new(cause.kind(), format!("{name}: {cause}"))),
        };
        let (notices, errors) = (open(notices, "log")?, open(errors, "errors")?);
        // One log for both keeps the order of their lines.
        let errors = match (&notices, errors) {
            (Some(notices), Some(errors)) if notices.is_same_file(&errors) => Some(notices.clone()),
            (_, errors) => errors,
        };
        let last_words = match &config.logging.termination_log {
            None => None,
            Some(Setting::Auto) => TerminationLog::of(config.platform),
            Some(Setting::Fixed(path)) => Some(TerminationLog::at(path)),
        };
        Ok(Self { notices, errors, last_words: last_words.map(Arc::new) })
    }

    /// Starts what writes. Not before a fork.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(&self) -> io::Result<()> {
        self.notices.iter().chain(&self.errors).try_for_each(|log| log.start())
    }

    /// Tells the operator. Never waits.
    pub fn hear(&self, notice: &LogEvent<'_>) {
        self.notices.iter().for_each(|log| log.write(notice));
        self.last_words.iter().for_each(|log| log.write(notice));
    }

    /// Waits until what was said before is written, at most until `deadline`.
    pub fn finish(&self, deadline: Instant) {
        self.notices.iter().chain(&self.errors).for_each(|log| log.finish(deadline));
        self.last_words.iter().for_each(|log| log.finish(deadline));
    }

    /// What was lost of them so far.
    pub(crate) fn lost(&self) -> u64 {
        let same = matches!((&self.notices, &self.errors), (Some(one), Some(two)) if Arc::ptr_eq(one, two));
        let errors = self.errors.iter().filter(|_| !same);
        self.notices.iter().chain(errors).filter_map(|log| log.lost()).map(Lost::total).sum()
    }
}

fn json(notice: &LogEvent<'_>, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: &'a str,
        event: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        drain: Option<&'a Summary>,
    }
    let drain = if let LogEvent::Summary(summary) = notice { Some(summary) } else { None };
    let line = Line {
        time: now.strftime(JSON_TIME).to_string(),
        level: if notice.is_warning() { "warn" } else { "info" },
        event: notice.event(),
        message: notice.to_string(),
        drain,
    };
    // Strings and numbers always have a form in JSON.
    serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
}

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

    /// Has the summary of a drain written; other notices are no last words. Never waits.
    pub fn write(&self, notice: &LogEvent<'_>) {
        let LogEvent::Summary(summary) = notice else { return };
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
    use std::{
        io::{Read, Seek},
        os::fd::AsRawFd,
    };

    #[test]
    fn writes_whole_lines_to_a_descriptor_of_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        let log = Log::to(file.as_raw_fd()).unwrap();
        assert!(!log.print(b"too early\n".to_vec()));
        log.start().unwrap();
        log.write(&LogEvent::AcceptRecovered);
        log.finish(later());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tidegate: accepting connections again\n");
        assert!(Log::to(-1).is_err());
    }

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

    /// Both streams of a container are often one file; two threads would mix the order of its lines.
    #[test]
    fn knows_its_own_file_again() {
        let (one, two) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let log = |file: &File| Log::to(file.as_raw_fd()).unwrap();
        assert!(log(&one).is_same_file(&log(&one)));
        assert!(!log(&one).is_same_file(&log(&two)));
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

    #[test]
    fn a_json_line_is_an_object_with_what_happened() {
        let failure = io::Error::other("a \"quoted\" reason");
        let line = json(&LogEvent::AcceptFailing(&failure), Timestamp::UNIX_EPOCH);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&object["level"], &object["event"]), (&"warn".into(), &"accept_failing".into()));
        assert!(object["message"].as_str().unwrap().ends_with("a \"quoted\" reason"));
        assert!(object.get("drain").is_none());
        assert!(line.ends_with("}\n"));
    }
}
