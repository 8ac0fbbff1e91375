//! The access log: a line for each request, made and written by a thread of its own, so that neither the connections nor
//! the app wait for it.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use http::{HeaderMap, HeaderName, Method, Uri, Version, header, request::Parts};
use jiff::Timestamp;
use serde::Serialize;

use crate::{marks, request::Peer, stats::Times, sys};

/// Lines that may wait to be written. When the output is slower than the requests, what comes then is dropped and counted:
/// a log must not hold up the service.
const ROOM: usize = 8192;
/// How many bytes are written at once, about.
const BATCH: usize = 64 * 1024;
/// How long the end of the server waits for the last lines, altogether: the process has little time left then.
const PATIENCE: Duration = Duration::from_millis(500);

/// RFC 3339, to the millisecond.
pub(crate) const JSON_TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's combined form, with the seconds that the request took at the end, and `cut` behind them where the response
    /// did not reach its end.
    Combined,
    /// One JSON object.
    Json,
}

/// One request, from its head to the last byte of its response.
#[derive(Debug)]
pub(crate) struct Record {
    peer: Arc<Peer>,
    method: Method,
    uri: Uri,
    version: Version,
    referer: Option<Vec<u8>>,
    user_agent: Option<Vec<u8>>,
    request_id: Option<Vec<u8>>,
    began: Instant,
    /// `None` where there was none: the client left before, or the app took the connection over.
    pub(crate) status: Option<u16>,
    pub(crate) hijacked: bool,
    pub(crate) bytes: u64,
    /// The response has begun and did not reach its end.
    pub(crate) cut: bool,
    /// Whether the server has been told to stop.
    pub(crate) draining: bool,
    /// What a worker tells; `None` where none has answered.
    pub(crate) times: Option<Times>,
    took: Duration,
    ended: SystemTime,
}

impl Record {
    pub(crate) fn new(head: &Parts, peer: Arc<Peer>, began: Instant) -> Self {
        Self {
            peer,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            referer: value(&head.headers, &header::REFERER),
            user_agent: value(&head.headers, &header::USER_AGENT),
            request_id: value(&head.headers, &marks::REQUEST_ID),
            began,
            status: None,
            hijacked: false,
            bytes: 0,
            cut: false,
            draining: false,
            times: None,
            took: Duration::ZERO,
            ended: SystemTime::UNIX_EPOCH,
        }
    }

    fn target(&self) -> &str {
        self.uri.path_and_query().map_or("*", |target| target.as_str())
    }

    fn protocol(&self) -> &'static str {
        if self.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" }
    }

    fn at(&self) -> Timestamp {
        Timestamp::try_from(self.ended).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn write(&self, format: Format, line: &mut Vec<u8>) {
        match format {
            Format::Combined => self.write_combined(line),
            Format::Json => self.write_json(line),
        }
        line.push(b'\n');
    }

    fn write_combined(&self, line: &mut Vec<u8>) {
        let text = |value: &Option<Vec<u8>>| value.as_deref().map_or("-".into(), escaped);
        let status = self.status.map_or("-".into(), |status| status.to_string());
        line.extend_from_slice(
            format!(
                "{} - - [{}] \"{} {} {}\" {status} {} \"{}\" \"{}\" {:.4}{}",
                self.peer.remote_addr,
                self.at().strftime("%d/%b/%Y:%H:%M:%S %z"),
                self.method,
                escaped(self.target().as_bytes()),
                self.protocol(),
                self.bytes,
                text(&self.referer),
                text(&self.user_agent),
                self.took.as_secs_f64(),
                if self.cut { " cut" } else { "" },
            )
            .as_bytes(),
        );
    }

    fn write_json(&self, line: &mut Vec<u8>) {
        let text = |value: &Option<Vec<u8>>| value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned());
        let entry = Entry {
            time: self.at().strftime(JSON_TIME).to_string(),
            remote_addr: &self.peer.remote_addr,
            method: self.method.as_str(),
            path: self.uri.path(),
            query: self.uri.query().unwrap_or(""),
            protocol: self.protocol(),
            status: self.status,
            bytes: self.bytes,
            duration_ms: milliseconds(self.took),
            queue_wait_ms: self.times.map(|times| milliseconds(times.queue_wait)),
            gvl_wait_ms: self.times.map(|times| milliseconds(times.lock_wait)),
            app_time_ms: self.times.map(|times| milliseconds(times.app)),
            referer: text(&self.referer),
            user_agent: text(&self.user_agent),
            request_id: text(&self.request_id),
            hijacked: self.hijacked,
            cut: self.cut,
            draining: self.draining,
        };
        // Strings and numbers can always be written, and memory takes what there is.
        let _ = serde_json::to_writer(line, &entry);
    }
}

/// A line for machines.
#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    remote_addr: &'a str,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    protocol: &'a str,
    status: Option<u16>,
    bytes: u64,
    duration_ms: f64,
    queue_wait_ms: Option<f64>,
    gvl_wait_ms: Option<f64>,
    app_time_ms: Option<f64>,
    referer: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    hijacked: bool,
    cut: bool,
    draining: bool,
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn value(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

/// What a client sent, so that it can neither end a field nor a line: as Apache does it.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

/// Where records go.
#[derive(Debug)]
pub struct AccessLog {
    lines: Sender<Message>,
    done: Receiver<()>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Box<Record>),
    End,
}

impl AccessLog {
    /// A log that writes where `descriptor` does, on a thread of its own.
    ///
    /// # Errors
    ///
    /// When the descriptor is not open, or there are no descriptors or threads left.
    pub fn to(descriptor: RawFd, format: Format) -> io::Result<Self> {
        let output = File::from(sys::duplicate(descriptor)?);
        let (lines, waiting) = bounded(ROOM);
        let (finished, done) = bounded(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = dropped.clone();
        thread::Builder::new().name("tidegate-log".into()).spawn(move || {
            write_out(&output, &waiting, format, &missing);
            let _ = finished.try_send(());
        })?;
        Ok(Self { lines, done, dropped })
    }

    /// Takes a request that is over, at `now`.
    pub(crate) fn take(&self, mut record: Box<Record>, now: Instant) {
        record.took = now.saturating_duration_since(record.began);
        record.ended = SystemTime::now();
        if self.lines.try_send(Message::Line(record)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until what was taken is written, but not for ever.
    pub(crate) fn finish(&self) {
        let deadline = Instant::now() + PATIENCE;
        if self.lines.send_deadline(Message::End, deadline).is_ok() {
            let _ = self.done.recv_deadline(deadline);
        }
    }
}

fn write_out(output: &File, waiting: &Receiver<Message>, format: Format, dropped: &AtomicU64) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut open = true;
    while open && let Ok(first) = waiting.recv() {
        for message in std::iter::once(first).chain(waiting.try_iter()) {
            match message {
                Message::Line(record) => record.write(format, &mut batch),
                Message::End => open = false,
            }
            if !open || batch.len() >= BATCH {
                break;
            }
        }
        let missing = dropped.swap(0, Relaxed);
        if missing > 0 {
            batch.extend_from_slice(confession(missing, format).as_bytes());
        }
        // Nobody can be told when that fails.
        let _ = write_whole(output, &batch);
        batch.clear();
    }
}

/// Says that lines are missing, in a form that whoever reads the log expects.
fn confession(missing: u64, format: Format) -> String {
    match format {
        Format::Combined => {
            format!("tidegate: {missing} lines of the access log were dropped: its output is too slow\n")
        }
        Format::Json => {
            let time = Timestamp::now().strftime(JSON_TIME);
            format!("{{\"time\":\"{time}\",\"dropped_lines\":{missing}}}\n")
        }
    }
}

/// Writes all of `bytes`, also to a pipe that somebody else, as a parent process written in Ruby, has made non-blocking:
/// when that is full, a plain write would give the rest of the lines up.
fn write_whole(mut output: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sys::wait_until_writable(output.as_fd())?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Seek},
        os::fd::AsRawFd,
    };

    fn record(target: &str, agent: &[u8]) -> Box<Record> {
        let (mut head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
        head.headers.insert(header::USER_AGENT, http::HeaderValue::from_bytes(agent).unwrap());
        let mut record = Record::new(&head, Arc::new(Peer::unix()), Instant::now());
        (record.status, record.bytes) = (Some(200), 5);
        (record.took, record.ended) = (Duration::from_micros(1500), SystemTime::UNIX_EPOCH);
        Box::new(record)
    }

    fn line(record: &Record, format: Format) -> String {
        let mut line = Vec::new();
        record.write(format, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_combined_line_is_apaches_and_a_client_cannot_forge_one() {
        assert_eq!(
            line(&record("/a?b=c", b"curl/8"), Format::Combined),
            "127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 \"-\" \"curl/8\" 0.0015\n"
        );
        let forged = line(&record("/", b"x\" 200 0 \"\\ \xE9\t"), Format::Combined);
        assert!(forged.ends_with("\"-\" \"x\\\" 200 0 \\\"\\\\ \\xe9\\x09\" 0.0015\n"), "{forged}");
    }

    #[test]
    fn a_json_line_is_an_object_whatever_the_client_sends() {
        let text = line(&record("/a?b=c", b"x\"\\ \xE9"), Format::Json);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((object["path"].as_str(), object["query"].as_str()), (Some("/a"), Some("b=c")));
        assert_eq!((object["status"].as_u64(), object["duration_ms"].as_f64()), (Some(200), Some(1.5)));
        assert_eq!(object["user_agent"], "x\"\\ \u{FFFD}");
        assert!(object["request_id"].is_null());
        assert!(["queue_wait_ms", "gvl_wait_ms", "app_time_ms"].iter().all(|name| object[name].is_null()));
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn a_json_line_says_where_the_time_went() {
        let mut record = record("/", b"x");
        let [queue_wait, lock_wait, app] = [250, 1_000, 1_200].map(Duration::from_micros);
        record.times = Some(Times { queue_wait, lock_wait, app });
        let object: serde_json::Value = serde_json::from_str(&line(&record, Format::Json)).unwrap();
        let times = ["queue_wait_ms", "gvl_wait_ms", "app_time_ms"].map(|name| object[name].as_f64());
        assert_eq!(times, [Some(0.25), Some(1.0), Some(1.2)]);
    }

    #[test]
    fn what_was_taken_is_written_before_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let log = AccessLog::to(file.as_raw_fd(), Format::Combined).unwrap();
        (0..100).for_each(|_| log.take(record("/", b"x"), Instant::now()));
        log.finish();
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
        let log = AccessLog::to(output.as_raw_fd(), Format::Json).unwrap();
        drop(output);
        (0..SENT).for_each(|_| log.take(record("/", b"x"), Instant::now()));
        let lost_so_far = log.dropped.load(Relaxed);
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
