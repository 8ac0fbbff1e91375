//! Connections on the wire, byte by byte, with time that stands still unless a test moves it. The test itself plays
//! the client, the app and the server's lifecycle.

mod corpus;
mod deadlines;
mod drain;
mod exchanges;
mod framing;
mod guard;
mod hijack;
mod http2;
mod proxied;
mod siblings;
mod slow_clients;
mod spill;
mod state;
mod tls;

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf},
    net::UnixStream,
    sync::watch,
    task::{JoinHandle, yield_now},
};

use super::{ConnectionSettings, Services, Shared, Siblings, now, serve, take_over};
use crate::{
    cluster::Member,
    config::{Http2, Limits, Probes, Timeouts},
    drain::Traffic,
    exchange::{
        Exchange,
        hijack::{Hijack, HijackGuard, HijackProgress, Taken},
    },
    http::{
        body::{BodySender, ResponseBody, channel},
        date::DateHeader,
        request::Peer,
        response::Response,
    },
    lifecycle::Phase,
    log::{event::Observer, warnings::Warnings},
    pool::{DispatchQueue, Next, Worker},
    stats::SharedStats,
    sync::{Parker, inline_task},
};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server without sockets, and its one worker.
struct Harness {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    worker: Worker,
    /// What the operator is told.
    told: Arc<Mutex<Vec<String>>>,
}

impl Harness {
    fn new() -> Self {
        Self::with(Timeouts::default(), Limits::default())
    }

    fn with(timeouts: Timeouts, limits: Limits) -> Self {
        Self::with_all(timeouts, limits, None, None)
    }

    /// In a cluster, where it is one.
    fn with_all(timeouts: Timeouts, limits: Limits, request_timeout: Option<Duration>, member: Option<Member>) -> Self {
        let stats = member.as_ref().map_or_else(SharedStats::default, Member::stats);
        let queue = match &member {
            Some(member) => DispatchQueue::of_member(limits.max_queue, limits.queue_timeout, 1, member.clone()),
            None => DispatchQueue::new(limits.max_queue, limits.queue_timeout, 1, stats.clone()),
        };
        queue.limit_requests(request_timeout);
        let siblings = member.map(|member| Arc::new(Siblings::new(member, queue.clone(), true, Vec::new())));
        let (phase, phases) = watch::channel(Phase::Ready);
        let worker = queue.register();
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = told.clone();
        let observer: Observer = Arc::new(move |event| lines.lock().unwrap().push(event.to_string()));
        let settings = ConnectionSettings {
            timeouts,
            limits,
            http2: Http2::default(),
            probes: Probes::default(),
            added_headers: Default::default(),
            forwarding: Default::default(),
            request_timeout,
            spool_directory: std::env::temp_dir(),
        };
        let services = Services {
            queue,
            stats,
            phase: phases,
            traffic: Arc::new(Traffic::new(false)),
            access_log: None,
            warnings: Arc::new(Warnings::reported_to(observer)),
            date: DateHeader::default(),
            siblings,
        };
        Self { shared: Shared::new(settings, services, 1000), phase, worker, told }
    }

    fn with_timeouts(timeouts: Timeouts) -> Self {
        Self::with(timeouts, Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        Self::with(Timeouts::default(), limits)
    }

    fn connect(&self) -> Client {
        self.connect_with_buffer(1 << 20)
    }

    /// A connection with a request on it.
    async fn request(&self) -> Client {
        let mut client = self.connect();
        client.send(GET).await;
        client
    }

    /// A connection that holds `size` bytes in each direction.
    fn connect_with_buffer(&self, size: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(size);
        let open = self.shared.services.stats.connection_accepted();
        let serving = tokio::spawn(inline_task::task(serve(theirs, Peer::unix(), self.shared.clone(), open)));
        Client { stream: ours, serving, started: now() }
    }

    /// A connection that the kernel has a part in: it knows what is unread, and resets.
    fn connect_through_kernel(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let open = self.shared.services.stats.connection_accepted();
        tokio::spawn(inline_task::task(serve(theirs, Peer::unix(), self.shared.clone(), open)));
        ours
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Takes the next exchange, when it comes.
    async fn take(&self) -> Exchange {
        loop {
            match self.worker.look() {
                Next::Exchange(exchange) => return *exchange,
                Next::Nothing => yield_now().await,
                Next::Over => panic!("the queue is closed"),
            }
        }
    }

    /// The lines for the operator since the last time.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    async fn answer(&self, response: Response) {
        self.take().await.responder.send(response).unwrap();
    }

    /// Answers with a body that the test sends.
    async fn answer_with_stream(&self, headers: &[(&'static str, &'static str)]) -> BodySender {
        let (sender, receiver) = channel();
        self.answer(response(200, headers, ResponseBody::Stream(receiver))).await;
        sender
    }

    /// The app takes the connection of the next exchange; `head` is sent first.
    async fn hijack(&self, head: &[u8]) -> (std::os::unix::net::UnixStream, HijackGuard) {
        let parker = Parker::new();
        taken(self.take().await.responder.hijack(head.to_vec(), parker.unparker())).await
    }

    /// One request on `client`'s connection, answered with `x`; the client gets `expected`.
    async fn round(&self, client: &mut Client, expected: &str) {
        client.send(GET).await;
        self.answer(ok("x")).await;
        client.expect(expected).await;
    }
}

struct Client {
    stream: DuplexStream,
    serving: JoinHandle<()>,
    started: Instant,
}

impl Client {
    /// What can be read before any other task has run.
    fn here(&mut self) -> String {
        let mut chunk = [0; 4096];
        let mut buf = ReadBuf::new(&mut chunk);
        let _ = Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        without_date(std::str::from_utf8(buf.filled()).unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads exactly this, but for the date.
    async fn expect(&mut self, expected: &str) {
        let mut text = String::new();
        while without_date(&text).len() < expected.len() {
            let mut chunk = [0; 4096];
            let length = self.stream.read(&mut chunk).await.unwrap();
            assert_ne!(length, 0, "closed after {text:?}, expected {expected:?}");
            text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
        assert_eq!(without_date(&text), expected);
    }

    /// Reads to the end of the connection; what came, without the date, and when the end came.
    async fn rest(&mut self) -> (String, Duration) {
        let mut text = Vec::new();
        self.stream.read_to_end(&mut text).await.unwrap();
        let after = now() - self.started;
        (without_date(std::str::from_utf8(&text).unwrap()), after)
    }

    /// Reads nothing and sees the end.
    async fn expect_end(&mut self) {
        assert_eq!(self.rest().await.0, "");
    }

    async fn served(self) {
        drop(self.stream);
        self.serving.await.unwrap();
    }
}

fn without_date(text: &str) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

fn response(status: u16, headers: &[(&'static str, &'static str)], body: ResponseBody) -> Response {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    Response { status: StatusCode::from_u16(status).unwrap(), headers, body }
}

fn ok(text: &'static str) -> Response {
    response(200, &[], ResponseBody::Full(Bytes::from_static(text.as_bytes())))
}

/// The message of [`ok`].
fn with_length(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

/// The head of a response whose length is not known.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Has the app send a chunk, for which there is room.
fn push(sender: &BodySender, text: &'static str) {
    sender.try_send(Bytes::from_static(text.as_bytes()), &Parker::new().unparker()).unwrap();
}

/// Waits until the app has the connection.
async fn taken(hijack: Hijack) -> (std::os::unix::net::UnixStream, HijackGuard) {
    loop {
        match hijack.progress() {
            HijackProgress::Taken(taken) => {
                let Taken { descriptor, held, .. } = *taken;
                return (descriptor.into(), held);
            }
            HijackProgress::Pending => yield_now().await,
            HijackProgress::Gone => panic!("the client has gone"),
        }
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
