//! What the access log has of one request, and how a line of it looks in each format.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderName, Method, Uri, Version, header, request::Parts};
use jiff::Timestamp;
use serde::Serialize;

use super::JSON_TIME;
use crate::{
    config::LogFormat,
    http::{added_headers, request::Peer},
    stats::{Label, Times, refused::Refused},
};

/// One request, from its head to the last byte of its response.
#[derive(Debug)]
pub(crate) struct Record {
    peer: Arc<Peer>,
    request: RequestLine,
    referer: Option<Vec<u8>>,
    user_agent: Option<Vec<u8>>,
    request_id: Option<Vec<u8>>,
    began: Instant,
    /// `None` where there was none: the client left before, or the app hijacked the connection.
    pub(crate) status: Option<u16>,
    pub(crate) hijacked: bool,
    pub(crate) bytes: u64,
    /// Why the server refused it itself, where it did and that was not for want of room or time.
    pub(crate) refused: Option<Refused>,
    /// The response has begun and did not reach its end.
    pub(crate) cut: bool,
    /// Whether the server has been told to stop.
    pub(crate) draining: bool,
    /// What a worker tells; `None` where none has answered.
    pub(crate) times: Option<Times>,
    took: Duration,
    ended: SystemTime,
}

/// What was asked for.
#[derive(Debug)]
enum RequestLine {
    Read {
        method: Method,
        uri: Uri,
        version: Version,
    },
    /// No request came of it; the first line as it came, if any did.
    Raw(Option<Vec<u8>>),
}

impl Record {
    pub(crate) fn new(head: &Parts, peer: Arc<Peer>, began: Instant) -> Self {
        Self {
            referer: value(&head.headers, &header::REFERER),
            user_agent: value(&head.headers, &header::USER_AGENT),
            request_id: value(&head.headers, &added_headers::REQUEST_ID),
            ..Self::about(
                RequestLine::Read { method: head.method.clone(), uri: head.uri.clone(), version: head.version },
                peer,
                began,
            )
        }
    }

    /// A head that was refused before it was read to its end.
    pub(crate) fn of_half_a_head(line: Option<&[u8]>, peer: Arc<Peer>, began: Instant) -> Self {
        Self::about(RequestLine::Raw(line.map(<[u8]>::to_vec)), peer, began)
    }

    fn about(request: RequestLine, peer: Arc<Peer>, began: Instant) -> Self {
        Self {
            peer,
            request,
            referer: None,
            user_agent: None,
            request_id: None,
            began,
            status: None,
            hijacked: false,
            bytes: 0,
            refused: None,
            cut: false,
            draining: false,
            times: None,
            took: Duration::ZERO,
            ended: SystemTime::UNIX_EPOCH,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::try_from(self.ended).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The request is over, at `now`.
    pub(super) fn end(&mut self, now: Instant) {
        self.took = now.saturating_duration_since(self.began);
        self.ended = SystemTime::now();
    }

    /// How many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let texts = [&self.referer, &self.user_agent, &self.request_id];
        let texts = texts.into_iter().flatten().map(Vec::len).sum::<usize>();
        let asked = match &self.request {
            RequestLine::Read { uri, .. } => target(uri).len(),
            RequestLine::Raw(line) => line.as_ref().map_or(0, Vec::len),
        };
        size_of::<Self>() + asked + texts
    }

    /// Writes its line.
    pub(super) fn write(&self, format: LogFormat, line: &mut Vec<u8>) {
        match format {
            LogFormat::Combined => self.write_combined(line),
            LogFormat::Json => self.write_json(line),
        }
        line.push(b'\n');
    }

    fn write_combined(&self, line: &mut Vec<u8>) {
        let text = |value: &Option<Vec<u8>>| value.as_deref().map_or("-".into(), escaped);
        let status = self.status.map_or("-".into(), |status| status.to_string());
        let request = match &self.request {
            RequestLine::Read { method, uri, version } => {
                format!("{method} {} {}", escaped(target(uri).as_bytes()), protocol(*version))
            }
            RequestLine::Raw(line) => text(line),
        };
        line.extend_from_slice(
            format!(
                "{} - - [{}] \"{request}\" {status} {} \"{}\" \"{}\" {:.4}{}",
                escaped(self.peer.remote_addr.as_bytes()),
                self.at().strftime("%d/%b/%Y:%H:%M:%S %z"),
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
        let (read, raw) = match &self.request {
            RequestLine::Read { method, uri, version } => (Some((method, uri, version)), None),
            RequestLine::Raw(line) => (None, text(line)),
        };
        let entry = Entry {
            time: self.at().strftime(JSON_TIME).to_string(),
            remote_addr: &self.peer.remote_addr,
            method: read.map(|(method, ..)| method.as_str()),
            path: read.map(|(_, uri, _)| uri.path()),
            query: read.map(|(_, uri, _)| uri.query().unwrap_or("")),
            protocol: read.map(|(.., version)| protocol(*version)),
            request_line: raw,
            status: self.status,
            bytes: self.bytes,
            duration_ms: milliseconds(self.took),
            queue_wait_ms: self.times.map(|times| milliseconds(times.queue_wait)),
            gvl_wait_ms: self.times.map(|times| milliseconds(times.gvl_wait)),
            app_time_ms: self.times.map(|times| milliseconds(times.app)),
            referer: text(&self.referer),
            user_agent: text(&self.user_agent),
            request_id: text(&self.request_id),
            hijacked: self.hijacked,
            refused: self.refused.map(Refused::name),
            cut: self.cut,
            draining: self.draining,
        };
        // Strings and numbers can always be written, and writing to a `Vec` cannot fail.
        let _ = serde_json::to_writer(line, &entry);
    }
}

/// A line for machines.
#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    remote_addr: &'a str,
    method: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    protocol: Option<&'a str>,
    /// The first line as it came, where it never became a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_line: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    cut: bool,
    draining: bool,
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("*", |target| target.as_str())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::log::access) fn record(target: &str, agent: &[u8]) -> Box<Record> {
        let (mut head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
        head.headers.insert(header::USER_AGENT, http::HeaderValue::from_bytes(agent).unwrap());
        let mut record = Record::new(&head, Arc::new(Peer::unix()), Instant::now());
        (record.status, record.bytes) = (Some(200), 5);
        (record.took, record.ended) = (Duration::from_micros(1500), SystemTime::UNIX_EPOCH);
        Box::new(record)
    }

    fn line(record: &Record, format: LogFormat) -> String {
        let mut line = Vec::new();
        record.write(format, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_combined_line_is_apaches_and_a_client_cannot_forge_one() {
        assert_eq!(
            line(&record("/a?b=c", b"curl/8"), LogFormat::Combined),
            "127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 \"-\" \"curl/8\" 0.0015\n"
        );
        let forged = line(&record("/", b"x\" 200 0 \"\\ \xE9\t"), LogFormat::Combined);
        assert!(forged.ends_with("\"-\" \"x\\\" 200 0 \\\"\\\\ \\xe9\\x09\" 0.0015\n"), "{forged}");
    }

    #[test]
    fn a_json_line_is_an_object_whatever_the_client_sends() {
        let text = line(&record("/a?b=c", b"x\"\\ \xE9"), LogFormat::Json);
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
        let [queue_wait, gvl_wait, app] = [250, 1_000, 1_200].map(Duration::from_micros);
        record.times = Some(Times { queue_wait, gvl_wait, app });
        let object: serde_json::Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
        let times = ["queue_wait_ms", "gvl_wait_ms", "app_time_ms"].map(|name| object[name].as_f64());
        assert_eq!(times, [Some(0.25), Some(1.0), Some(1.2)]);
    }
}
