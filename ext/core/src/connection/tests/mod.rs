//! Connections on the wire, byte by byte, with time that stands still unless a test moves it. The test itself plays
//! the client, the app and the server's lifecycle.

pub(crate) mod crowd;
pub(crate) mod deadlines;
pub(crate) mod drain;
pub(crate) mod exchanges;
pub(crate) mod framing;
pub(crate) mod guard;
pub(crate) mod hijack;
pub(crate) mod spill;

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

use tokio_util::task::TaskTracker;

use super::{Crowd, Shared, now, serve};
use crate::{
    config::{Limits, Probes, Timeouts},
    drain::Traffic,
    exchange::Exchange,
    http::{
        body::{Budget, ResponseBody},
        request::Peer,
        response::Response,
    },
    lifecycle::Phase,
    log::{event::Observer, troubles::Troubles},
    pool::{DispatchQueue, Next, Worker},
    stats::Stats,
    sync::inline_task,
};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server without sockets, and its one worker.
struct Stage {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    worker: Worker,
    /// What the operator is told.
    told: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new() -> Self {
        Self::with(Timeouts::default(), Limits::default())
    }

    fn with(timeouts: Timeouts, limits: Limits) -> Self {
        let stats = Arc::new(Stats::default());
        let queue = DispatchQueue::new(limits.max_queue, limits.queue_timeout, 1, stats.clone());
        let (phase, phases) = watch::channel(Phase::Ready);
        let worker = queue.register();
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = told.clone();
        let observer: Observer = Arc::new(move |notice| lines.lock().unwrap().push(notice.to_string()));
        Self {
            shared: Arc::new(Shared {
                queue,
                stats,
                timeouts,
                limits,
                spool_directory: std::env::temp_dir(),
                phase: phases,
                probes: Probes::default(),
                traffic: Arc::new(Traffic::new(false)),
                added_headers: Default::default(),
                access: None,
                memory_trim: Default::default(),
                crowd: Crowd::new(limits.max_connections.fixed().unwrap_or(1000) as u64),
                budget: Budget::new(limits.buffer_limit),
                troubles: Arc::new(Troubles::told_to(observer)),
                tasks: TaskTracker::new(),
                hijacked_connections: TaskTracker::new(),
            }),
            phase,
            worker,
            told,
        }
    }

    fn connect(&self) -> Client {
        self.connect_with_buffer(1 << 20)
    }

    /// A connection that holds `size` bytes in each direction.
    fn connect_with_buffer(&self, size: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(size);
        let open = self.shared.stats.connection_accepted();
        let serving = tokio::spawn(inline_task::task(serve(theirs, Peer::unix(), self.shared.clone(), open)));
        Client { stream: ours, serving, started: now() }
    }

    /// A connection that the kernel has a part in: it knows what is unread, and resets.
    fn connect_through_kernel(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let open = self.shared.stats.connection_accepted();
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
}

struct Client {
    stream: DuplexStream,
    serving: JoinHandle<()>,
    started: Instant,
}

impl Client {
    /// What can be read without anybody else's doing anything.
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

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
