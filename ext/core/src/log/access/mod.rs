//! The access log: a line for each request, made and written by a thread of its own, so that neither the connections nor
//! the app wait for it.

mod record;

use std::{io, time::Instant};

use jiff::Timestamp;

pub(crate) use self::record::{Record, escaped};
use crate::{
    config::LogFormat,
    log::{
        Log,
        output::{Capacity, LineFormat, LostLines, Output},
        relay::{LineKind, Relay},
    },
};

/// What may wait to be written. When the output is slower than the requests, what comes then is dropped and counted: a log
/// must not hold up the service.
const CAPACITY: Capacity = Capacity { lines: 8192, bytes: 8 * 1024 * 1024 };

/// RFC 3339, to the millisecond.
pub(crate) const JSON_TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// The access log.
#[derive(Debug)]
pub struct AccessLog(Output<LogFormat>);

impl AccessLog {
    /// A log that writes where the log of events does, on a thread of its own; through `relay`, where there is one.
    ///
    /// # Errors
    ///
    /// When there are no threads left.
    pub fn beside(events: &Log, format: LogFormat, relay: Option<Relay>) -> io::Result<Self> {
        Output::start("tidegate-access", events.file.clone(), format, CAPACITY, relay).map(Self)
    }

    /// Queues the line of a request that is over, at `now`.
    pub(crate) fn write(&self, mut record: Box<Record>, now: Instant) {
        record.end(now);
        self.0.put(record);
    }

    /// Waits until what was queued is written, at most until `deadline`. Returns whether it is.
    pub(crate) fn finish(&self, deadline: Instant) -> bool {
        self.0.flush(deadline)
    }

    /// Counts the lines that were dropped.
    pub(crate) fn lost(&self) -> &LostLines {
        self.0.lost()
    }
}

impl LineFormat for LogFormat {
    type Entry = Box<Record>;
    const LOST: LineKind = LineKind::Access;

    fn kind(_: &Box<Record>) -> LineKind {
        LineKind::Access
    }

    fn weight(record: &Box<Record>) -> usize {
        record.weight()
    }

    fn write(&self, record: Box<Record>, lines: &mut Vec<u8>) {
        record.write(*self, lines);
    }

    /// In a form that a reader of this log expects.
    fn write_lost(&self, lost: u64, lines: &mut Vec<u8>) {
        let line = match self {
            Self::Combined => {
                format!("tidegate: {lost} lines of the access log were dropped: its output is too slow\n")
            }
            Self::Json => {
                let time = Timestamp::now().strftime(JSON_TIME);
                format!("{{\"time\":\"{time}\",\"dropped_lines\":{lost}}}\n")
            }
        };
        lines.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{record::tests::record, *};
    use std::{
        io::{Read, Seek},
        os::fd::AsRawFd,
        time::Duration,
    };

    #[test]
    fn what_was_taken_is_written_before_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let log = AccessLog::beside(&Log::to(file.as_raw_fd()).unwrap(), LogFormat::Combined, None).unwrap();
        (0..100).for_each(|_| log.write(record("/", b"x"), Instant::now()));
        log.finish(Instant::now() + Duration::from_secs(20));
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 100);
    }

    #[test]
    fn every_line_is_written_or_counted_however_slow_the_output() {
        const SENT: u64 = 20_000;
        let (input, output) = std::os::unix::net::UnixStream::pair().unwrap();
        output.set_nonblocking(true).unwrap();
        let log = AccessLog::beside(&Log::to(output.as_raw_fd()).unwrap(), LogFormat::Json, None).unwrap();
        drop(output);
        (0..SENT).for_each(|_| log.write(record("/", b"x"), Instant::now()));
        let lost_so_far = log.lost().total();
        drop(log);
        let (mut written, mut dropped) = (0, 0);
        for line in io::BufRead::lines(io::BufReader::new(input)) {
            let object: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            match object["dropped_lines"].as_u64() {
                Some(lines) => dropped += lines,
                None => written += 1,
            }
        }
        assert!(lost_so_far > 0, "the output was to be too slow");
        assert_eq!(written + dropped, SENT);
    }
}
