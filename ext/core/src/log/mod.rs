//! Where events go: lines for the operator, written by a thread of the log's own, so that a log that is not read stops
//! nothing.

pub(crate) mod access;
pub(crate) mod event;
pub(crate) mod output;
pub(crate) mod relay;
pub(crate) mod summary;
mod termination;
pub(crate) mod warnings;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, RawFd},
        unix::fs::MetadataExt,
    },
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;

pub use self::termination::TerminationLog;
use crate::{
    config::{Config, LogFormat, OrAuto},
    log::{
        access::{AccessLog, JSON_TIME},
        event::LogEvent,
        output::{Capacity, LineFormat, LostLines, Output},
        relay::{LineKind, Relay},
        summary::Summary,
    },
    sys,
};

/// What may wait to be written: the server's lines are few, and backtraces of the app long.
const CAPACITY: Capacity = Capacity { lines: 1024, bytes: 1024 * 1024 };

/// How long the end of a server waits for its last lines, altogether: the process has little time left then, and the reader
/// of a full pipe may never come.
pub(crate) const LOG_FLUSH_AT_END: Duration = Duration::from_millis(500);

/// How long the last lines may take beyond that, where the interpreter has made nothing of them.
const PLAIN_FLUSH: Duration = Duration::from_millis(50);

/// A log. It has a descriptor of its own, so that the first may be closed.
#[derive(Debug)]
pub struct Log {
    /// The descriptor whose file it writes to.
    source: RawFd,
    file: Arc<File>,
    format: Lines,
    relay: Option<Relay>,
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
        Ok(Self { source: descriptor, file, format: Lines { json: false }, relay: None, output: OnceLock::new() })
    }

    /// The same with a JSON object in each line: `time`, `level` (info or warn), `event`, `message`, and with the summary of a
    /// drain its numbers.
    pub fn in_json(self, json: bool) -> Self {
        Self { format: Lines { json }, ..self }
    }

    /// The same with lines that go through `relay`, where there is one.
    #[must_use]
    pub(crate) fn through(self, relay: Option<Relay>) -> Self {
        Self { relay, ..self }
    }

    /// Starts the thread that writes, which ends with the value. Call it after the last fork: a child has no such thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(&self) -> io::Result<()> {
        if self.output.get().is_none() {
            let output = Output::start("tidegate-log", self.file.clone(), self.format, CAPACITY, self.relay.clone())?;
            self.output.get_or_init(|| Started { output, process: std::process::id() });
        }
        Ok(())
    }

    /// Whether both write to the same file, so that one of them is enough and keeps the lines in their order.
    pub fn is_same_file(&self, other: &Self) -> bool {
        let place = |file: &File| file.metadata().map(|data| (data.dev(), data.ino(), data.rdev()));
        matches!((place(&self.file), place(&other.file)), (Ok(one), Ok(two)) if one == two)
    }

    /// Writes from now on where the descriptor does that the log was made of, which may have another file meanwhile. A line that is
    /// being written is written whole, to the one file or the other.
    ///
    /// # Errors
    ///
    /// When that is not open; the log then goes on as before.
    pub fn reopen(&self) -> io::Result<()> {
        sys::replace(self.file.as_fd(), self.source)
    }

    /// Has the line of an event written. Never waits; see [`Log::print`].
    pub fn write(&self, event: &LogEvent<'_>) {
        let line = if self.format.json { json(event, Timestamp::now()) } else { format!("tidegate: {event}\n") };
        self.print(LineKind::Event, line.into_bytes());
    }

    /// Has whole lines written as they are. Never waits: what finds no room is lost, and counted. Returns whether there
    /// is a thread that will write them; not before the [start](Self::start), nor in a child that the app has forked.
    pub fn print(&self, kind: LineKind, lines: Vec<u8>) -> bool {
        let started = self.started();
        if let Some(started) = started {
            started.output.put((kind, lines));
        }
        started.is_some()
    }

    /// Waits until what was said before is written, at most until `deadline`. Returns whether it is.
    pub fn finish(&self, deadline: Instant) -> bool {
        self.started().is_none_or(|started| started.output.flush(deadline))
    }

    /// Counts what was lost; `None` before the start.
    pub(crate) fn lost(&self) -> Option<&LostLines> {
        self.output.get().map(|started| started.output.lost())
    }

    fn started(&self) -> Option<&Started> {
        self.output.get().filter(|started| started.process == std::process::id())
    }
}

impl LineFormat for Lines {
    type Entry = (LineKind, Vec<u8>);
    const LOST: LineKind = LineKind::Error;

    fn kind((kind, _): &Self::Entry) -> LineKind {
        *kind
    }

    fn weight((_, text): &Self::Entry) -> usize {
        text.len()
    }

    fn write(&self, (_, mut text): Self::Entry, lines: &mut Vec<u8>) {
        lines.append(&mut text);
    }

    fn write_lost(&self, lost: u64, lines: &mut Vec<u8>) {
        let event = LogEvent::LinesLost(lost);
        let line = if self.json { json(&event, Timestamp::now()) } else { format!("tidegate: {event}\n") };
        lines.extend_from_slice(line.as_bytes());
    }
}

/// All that a server says in words.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// What it does.
    pub events: Option<Arc<Log>>,
    /// What went wrong in the app, and with the Ruby side; may be the same log.
    pub errors: Option<Arc<Log>>,
    /// Where the platform looks for a process's last words.
    pub last_words: Option<Arc<TerminationLog>>,
    /// Through which lines go that the app formats, or writes, where it does.
    pub relay: Option<Relay>,
}

impl Logs {
    /// The logs that `config` asks for, where the descriptors `events` and `errors` write, through `relay` where there is one.
    ///
    /// # Errors
    ///
    /// When one of the two is not open, or there are no descriptors left.
    pub fn open(
        config: &Config,
        events: Option<RawFd>,
        errors: Option<RawFd>,
        relay: Option<Relay>,
    ) -> io::Result<Self> {
        let in_json = config.logging.log_format == LogFormat::Json;
        let open = |descriptor: Option<RawFd>, name| match descriptor.map(Log::to).transpose() {
            Ok(log) => Ok(log.map(|log| Arc::new(log.in_json(in_json).through(relay.clone())))),
            Err(cause) => Err(io::Error::new(cause.kind(), format!("{name}: {cause}"))),
        };
        let (events, errors) = (open(events, "log")?, open(errors, "errors")?);
        // One log for both keeps the order of their lines.
        let errors = match (&events, errors) {
            (Some(events), Some(errors)) if events.is_same_file(&errors) => Some(events.clone()),
            (_, errors) => errors,
        };
        let last_words = match &config.logging.termination_log {
            None => None,
            Some(OrAuto::Auto) => TerminationLog::of(config.platform),
            Some(OrAuto::Value(path)) => Some(TerminationLog::at(path)),
        };
        Ok(Self { events, errors, last_words: last_words.map(Arc::new), relay })
    }

    /// Starts what writes. Not before a fork.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(&self) -> io::Result<()> {
        self.events.iter().chain(&self.errors).try_for_each(|log| log.start())
    }

    /// Tells the operator. Never waits.
    pub fn write(&self, event: &LogEvent<'_>) {
        self.events.iter().for_each(|log| log.write(event));
        self.last_words.iter().for_each(|log| log.write(event));
    }

    /// Writes on where the descriptors do that the logs were made of: [`Log::reopen`].
    ///
    /// # Errors
    ///
    /// When one of them is not open.
    pub fn reopen(&self) -> io::Result<()> {
        self.events.iter().chain(&self.errors).try_for_each(|log| log.reopen())
    }

    /// Waits until what was said before is written, at most until `deadline`. Returns whether it is.
    pub fn finish(&self, deadline: Instant) -> bool {
        let written = self.events.iter().chain(&self.errors).all(|log| log.finish(deadline));
        self.last_words.iter().for_each(|log| log.finish(deadline));
        written
    }

    /// The same for lines that are the last, as far as is known: what the interpreter has made nothing of by `deadline` is written
    /// as it is, and so is what comes then.
    pub fn finish_last(&self, deadline: Instant) {
        self.last(deadline, |deadline| self.finish(deadline));
    }

    /// The same for the access log.
    pub(crate) fn finish_access(&self, access: &AccessLog, deadline: Instant) {
        self.last(deadline, |deadline| access.finish(deadline));
    }

    fn last(&self, deadline: Instant, finish: impl Fn(Instant) -> bool) {
        let written = finish(deadline);
        if let (false, Some(relay)) = (written, self.relay.as_ref().filter(|relay| relay.is_open())) {
            relay.close();
            finish(Instant::now() + PLAIN_FLUSH);
        }
    }

    /// What was lost of them so far.
    pub(crate) fn lost(&self) -> u64 {
        let same = matches!((&self.events, &self.errors), (Some(one), Some(two)) if Arc::ptr_eq(one, two));
        let errors = self.errors.iter().filter(|_| !same);
        self.events.iter().chain(errors).filter_map(|log| log.lost()).map(LostLines::total).sum()
    }
}

fn json(event: &LogEvent<'_>, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: &'a str,
        event: &'a str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        drain: Option<&'a Summary>,
    }
    let drain = if let LogEvent::Summary(summary) = event { Some(summary) } else { None };
    let line = Line {
        time: now.strftime(JSON_TIME).to_string(),
        level: if event.is_warning() { "warn" } else { "info" },
        event: event.event(),
        message: event.to_string(),
        drain,
    };
    // Strings and numbers always have a form in JSON.
    serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
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
        assert!(!log.print(LineKind::Event, b"too early\n".to_vec()));
        log.start().unwrap();
        log.write(&LogEvent::AcceptRecovered);
        log.finish(later());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tidegate: accepting connections again\n");
        assert!(Log::to(-1).is_err());
    }

    /// As after a log file was renamed and its descriptor has the new one.
    #[test]
    fn writes_on_where_its_descriptor_does_once_it_is_told() {
        let (mut before, mut after) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let descriptor = before.try_clone().unwrap();
        let log = Log::to(descriptor.as_raw_fd()).unwrap();
        log.start().unwrap();
        log.print(LineKind::Event, b"one\n".to_vec());
        log.finish(later());
        sys::replace(descriptor.as_fd(), after.as_raw_fd()).unwrap();
        log.print(LineKind::Event, b"two\n".to_vec());
        log.finish(later());
        log.reopen().unwrap();
        log.print(LineKind::Event, b"three\n".to_vec());
        log.finish(later());
        let text = |file: &mut File| {
            file.rewind().unwrap();
            io::read_to_string(file).unwrap()
        };
        assert_eq!((text(&mut before), text(&mut after)), ("one\ntwo\n".into(), "three\n".into()));
        drop(descriptor);
        assert!(log.reopen().is_err());
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A formatter that hangs costs no line: neither that which it has nor those behind it.
    #[test]
    fn the_last_lines_are_written_although_the_interpreter_makes_nothing_of_them() {
        let mut file = tempfile::tempfile().unwrap();
        let relay = Relay::default();
        let config = Config::default();
        let logs = Logs::open(&config, Some(file.as_raw_fd()), None, Some(relay.clone())).unwrap();
        logs.start().unwrap();
        relay.open();
        logs.write(&LogEvent::AcceptRecovered);
        logs.write(&LogEvent::AcceptRecovered);
        assert!(!logs.finish(Instant::now() + Duration::from_millis(20)));
        logs.finish_last(Instant::now() + Duration::from_millis(20));
        assert!(logs.finish(later()));
        file.rewind().unwrap();
        let text = io::read_to_string(&file).unwrap();
        assert_eq!(text, "tidegate: accepting connections again\n".repeat(2));
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
