//! The admin listener's connections: probes, numbers, and the request to drain. Served by the I/O thread alone, whatever the app
//! and the interpreter are doing.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use crate::{
    body::ResponseBody, clock::now, dispatch::DispatchQueue, lifecycle::Phase, metrics::Report, notice::Notice,
    notice::Observer, probe, request::Peer, response::Response, stats::Stats,
};

/// A client that takes longer than this over its request is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the admin listener tells about, and what it may ask for.
pub(crate) struct Admin {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) report: Arc<Report>,
    pub(crate) liveness: Liveness,
    /// Begins a drain, as SIGTERM would.
    pub(crate) drain: Box<dyn Fn() + Send + Sync>,
}

/// Whether anything runs the app.
pub(crate) struct Liveness {
    queue: Arc<DispatchQueue>,
    /// See [`Probes::unattended`](crate::config::Probes::unattended).
    limit: Option<Duration>,
    observer: Observer,
    /// Whether the operator knows that nothing does.
    told: AtomicBool,
}

impl Liveness {
    pub(crate) fn new(queue: Arc<DispatchQueue>, limit: Option<Duration>, observer: Observer) -> Self {
        Self { queue, limit, observer, told: AtomicBool::new(false) }
    }

    /// For how long requests have waited with nothing to run them, where that is too long; the operator is told once.
    fn unattended(&self) -> Option<Duration> {
        let silence = self.queue.unattended_for_too_long(self.limit, now());
        match silence {
            Some(silence) if !self.told.swap(true, Relaxed) => {
                let (workers, idle) = self.queue.workers();
                (self.observer)(&Notice::Unattended { silence, waiting: self.queue.len(), workers, idle });
            }
            Some(_) => {}
            None => self.told.store(false, Relaxed),
        }
        silence
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

impl Admin {
    async fn answer(&self, method: &Method, path: &str, accept: Option<&HeaderValue>, peer: &Peer) -> Response {
        if path == "/drain" {
            return self.drain(method, peer).await;
        }
        if let Some(numbers) = self.report.answer(method, path, accept) {
            return numbers;
        }
        let phase = *self.phase.borrow();
        let in_flight = || self.stats.snapshot().in_flight;
        let unattended = || self.liveness.unattended();
        probe::answer(method, path, phase, now(), in_flight, unattended).unwrap_or_else(|| {
            probe::text(StatusCode::NOT_FOUND, format!("not found; try /metrics, /stats, {}\n", probe::PATHS))
        })
    }

    /// Begins the drain if nothing has, and answers when everything new has stopped being served: a preStop hook that
    /// calls it ends when SIGTERM may come.
    async fn drain(&self, method: &Method, peer: &Peer) -> Response {
        if method != Method::POST {
            return probe::text(StatusCode::METHOD_NOT_ALLOWED, "POST begins a drain\n".into());
        }
        // Whoever reaches the probes could take the server out of service otherwise.
        if !peer.same_host {
            return probe::text(StatusCode::FORBIDDEN, "only from this host or pod\n".into());
        }
        (self.drain)();
        // The server ends with the sender.
        let _ = self.phase.clone().wait_for(|phase| phase.refuses_new()).await;
        probe::text(StatusCode::OK, "drained: new connections are refused from now on\n".into())
    }
}

/// Answers one request and closes: a probe never keeps a connection alive.
pub(crate) async fn serve<S>(socket: S, peer: Peer, admin: Arc<Admin>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (admin, peer) = (&admin, &peer);
        async move {
            let accept = request.headers().get(header::ACCEPT);
            let response = admin.answer(request.method(), request.uri().path(), accept, peer).await;
            Ok::<_, Infallible>(whole(response))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // Whatever goes wrong with a probe is the prober's to notice.
    let _ = connection.await;
}

fn whole(response: Response) -> http::Response<Full<Bytes>> {
    let Response { status, headers, body } = response;
    let text = if let ResponseBody::Full(text) = body { text } else { Bytes::new() };
    let mut message = http::Response::new(Full::new(text));
    *message.status_mut() = status;
    *message.headers_mut() = headers;
    message.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        body::RequestBody,
        exchange::{Awaited, Exchange},
        request::Request as Waiting,
        traffic::Traffic,
    };
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{sync::Mutex, time::Instant};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
    };

    struct Stage {
        phase: watch::Sender<Phase>,
        queue: Arc<DispatchQueue>,
        notices: Arc<Mutex<Vec<String>>>,
        admin: Arc<Admin>,
        asked: Arc<AtomicU32>,
    }

    impl Stage {
        fn new() -> Self {
            let (sender, phase) = watch::channel(Phase::Ready);
            let asked = Arc::new(AtomicU32::new(0));
            let count = asked.clone();
            let drain = Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            let stats = Arc::<Stats>::default();
            let queue = DispatchQueue::new(1, None, 1, stats.clone());
            let notices = Arc::<Mutex<Vec<String>>>::default();
            let heard = notices.clone();
            let observer: Observer = Arc::new(move |notice| heard.lock().unwrap().push(notice.to_string()));
            let liveness = Liveness::new(queue.clone(), Some(Duration::from_secs(60)), observer);
            let report = Report::new(
                stats.clone(),
                queue.clone(),
                Arc::new(Traffic::new(false)),
                phase.clone(),
                Default::default(),
                Default::default(),
            );
            let admin = Arc::new(Admin { phase, stats, report, liveness, drain });
            Self { phase: sender, queue, notices, admin, asked }
        }

        fn ask(&self, peer: Peer, request: &'static str) -> JoinHandle<String> {
            let (mut client, server) = tokio::io::duplex(4096);
            tokio::spawn(serve(server, peer, self.admin.clone()));
            tokio::spawn(async move {
                client.write_all(request.as_bytes()).await.unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).await.unwrap();
                text
            })
        }
    }

    fn stranger() -> Peer {
        Peer::tcp("10.0.0.7:1".parse().unwrap(), "10.0.0.8:2".parse().unwrap())
    }

    #[tokio::test]
    async fn answers_over_the_wire_and_closes() {
        let stage = Stage::new();
        let text = stage.ask(stranger(), "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nready\n"), "{text}");
        let numbers = stage.ask(stranger(), "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(numbers.contains("\r\n\r\n# HELP "), "{numbers}");
        assert!(stage.ask(stranger(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap().contains("404 Not Found"));
    }

    #[tokio::test(start_paused = true)]
    async fn drains_when_asked_from_its_own_host_and_answers_when_it_has() {
        let stage = Stage::new();
        let post = "POST /drain HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        assert!(stage.ask(stranger(), post).await.unwrap().contains("403 Forbidden"));
        assert!(stage.ask(Peer::unix(), "GET /drain HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap().contains("405 "));
        assert_eq!(stage.asked.load(Ordering::SeqCst), 0);

        let answer = stage.ask(Peer::unix(), post);
        let now = now();
        let later = now + Duration::from_secs(60);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(stage.asked.load(Ordering::SeqCst), 1);
        stage.phase.send_replace(Phase::Draining { since: now, pace: Duration::from_secs(60), until: later });
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!answer.is_finished());
        stage.phase.send_replace(Phase::Closing { since: later, deadline: later, gently: true });
        assert!(answer.await.unwrap().contains("200 OK"));
    }

    fn wait(queue: &Arc<DispatchQueue>, queued: Instant) -> Awaited {
        let (head, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let peer = Arc::new(Peer::unix());
        let request = Waiting { head, body: RequestBody::Empty, peer, received: queued, queued };
        let (exchange, answer) = Exchange::new(request, None);
        queue.submit(exchange).unwrap();
        answer
    }

    /// All probes said ready while nothing ran the app any more.
    #[tokio::test(start_paused = true)]
    async fn is_dead_when_requests_wait_and_nothing_runs_the_app() {
        const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
        let stage = Stage::new();
        let answer = wait(&stage.queue, now());
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(stage.ask(stranger(), LIVEZ).await.unwrap().contains("200 OK"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..3 {
            let text = stage.ask(stranger(), LIVEZ).await.unwrap();
            assert!(
                text.contains("503 Service") && text.contains("\r\n\r\ndead: requests have waited for 61."),
                "{text}"
            );
        }
        let notices = stage.notices.lock().unwrap().clone();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].starts_with("/livez fails: 1 request has waited for up to 61.0 s"), "{notices:?}");
        let worker = stage.queue.register();
        drop(worker.look());
        assert!(stage.ask(stranger(), LIVEZ).await.unwrap().contains("200 OK"), "there is life again");
        drop(answer);
    }
}
