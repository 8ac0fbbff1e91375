//! The admin listener's connections: probes, numbers, and the request to drain. Served by the I/O thread alone, whatever the app
//! and the interpreter are doing.

pub(crate) mod authority;
pub(crate) mod report;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::unix::UCred,
    sync::watch,
    time::sleep,
};

use self::authority::{Authority, Denial};
use crate::http::probe;
use crate::{
    admin::report::Report,
    config::{Address, AdminAccess},
    connection::Crowd,
    http::{body::ResponseBody, response::Response},
    lifecycle::Phase,
    log::event::{LogEvent, Observer},
    pool::DispatchQueue,
    stats::Stats,
    sync::now,
};

/// A client that takes longer than this over its request, or over its answer, is dropped.
const PATIENCE: Duration = Duration::from_secs(3);

/// At most one line in this time tells of refusals, so that a client can't fill the log.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(1);

/// What the admin listener tells about, and what it may ask for.
pub(crate) struct Admin {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) report: Arc<Report>,
    pub(crate) liveness: Liveness,
    /// Begins a drain, as SIGTERM would.
    pub(crate) drain: Box<dyn Fn() + Send + Sync>,
    /// Hears who asked for one.
    pub(crate) observer: Observer,
    authority: Authority,
    refused: Mutex<Option<Instant>>,
}

/// A client of the admin listener, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    Tcp(SocketAddr),
    /// With what the kernel knows of the process that connected.
    Unix(Option<UCred>),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(process)) => match process.pid() {
                Some(pid) => write!(f, "process {pid} of user {} on the Unix socket", process.uid()),
                None => write!(f, "user {} on the Unix socket", process.uid()),
            },
            Self::Unix(None) => f.write_str("the Unix socket"),
        }
    }
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
                (self.observer)(&LogEvent::Unattended { silence, waiting: self.queue.len(), workers, idle });
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
    /// What is told and done on `address`, for those whom `access` lets.
    pub(crate) fn new(
        phase: watch::Receiver<Phase>,
        stats: Arc<Stats>,
        report: Arc<Report>,
        liveness: Liveness,
        drain: Box<dyn Fn() + Send + Sync>,
        observer: Observer,
        (address, access): (&Address, AdminAccess),
    ) -> Self {
        let authority = Authority::new(access, address);
        Self { phase, stats, report, liveness, drain, observer, authority, refused: Mutex::default() }
    }

    async fn answer(&self, head: &Parts, asker: Asker) -> Response {
        let path = head.uri.path();
        if path == "/drain" {
            return self.drain(head, asker).await;
        }
        if let Some(numbers) = self.report.answer(&head.method, path, head.headers.get(header::ACCEPT)) {
            return self.authority.may_read(head).map_or_else(deny, |()| numbers);
        }
        let phase = *self.phase.borrow();
        let in_flight = || self.stats.snapshot().in_flight;
        let unattended = || self.liveness.unattended();
        probe::answer(&head.method, path, phase, now(), in_flight, unattended).unwrap_or_else(|| {
            probe::text(StatusCode::NOT_FOUND, format!("not found; try /metrics, /stats, {}\n", probe::PATHS))
        })
    }

    /// Begins the drain if nothing has, and answers when everything new has stopped being served: a preStop hook that
    /// calls it ends when SIGTERM may come.
    async fn drain(&self, head: &Parts, asker: Asker) -> Response {
        if head.method != Method::POST {
            return probe::text(StatusCode::METHOD_NOT_ALLOWED, "POST begins a drain\n".into());
        }
        if let Err(denial) = self.authority.may_change(head) {
            self.tell_of_refusal(asker, &denial);
            return deny(denial);
        }
        (self.observer)(&LogEvent::DrainAsked { by: &asker.to_string() });
        (self.drain)();
        // The server ends with the sender.
        let _ = self.phase.clone().wait_for(|phase| phase.refuses_new()).await;
        probe::text(StatusCode::OK, "drained: new connections are refused from now on\n".into())
    }

    fn tell_of_refusal(&self, asker: Asker, denial: &Denial) {
        let now = now();
        let mut last = self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_REFUSALS) {
            return;
        }
        *last = Some(now);
        drop(last);
        (self.observer)(&LogEvent::DrainRefused { by: &asker.to_string(), reason: &denial.reason });
    }
}

fn deny(denial: Denial) -> Response {
    let mut response = probe::text(denial.status, denial.reason + "\n");
    if denial.status == StatusCode::UNAUTHORIZED {
        response.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    response
}

/// Answers one request and closes: a probe never keeps a connection alive. One that waits for its client, to send its request
/// or to take its answer, gives way to others of the `crowd`; one that waits for the drain does not.
pub(crate) async fn serve<S>(socket: S, asker: Asker, admin: Arc<Admin>, crowd: Arc<Crowd>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (answering, mut turns) = watch::channel(false);
    let service = service_fn(|request: Request<Incoming>| {
        let (admin, answering) = (&admin, &answering);
        async move {
            let (head, _) = request.into_parts();
            answering.send_replace(true);
            let answer = admin.answer(&head, asker).await;
            answering.send_replace(false);
            Ok::<_, Infallible>(whole(answer))
        }
    });
    // The deadline is ours, as for the answer.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    loop {
        let answering = *turns.borrow_and_update();
        tokio::select! {
            biased;
            // Whatever goes wrong with a probe is the prober's to event.
            _ = &mut connection => break,
            // Its sender is as old as the connection.
            _ = turns.changed() => {}
            () = patience(&crowd), if !answering => break,
        }
    }
    crowd.has_left();
}

/// Resolves when the client is waited for no longer.
async fn patience(crowd: &Arc<Crowd>) {
    let mut place = crowd.falls_silent();
    tokio::select! {
        () = place.is_needed() => {}
        () = sleep(PATIENCE) => {}
    }
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
        config::Token,
        drain::Traffic,
        exchange::{Awaited, Exchange},
        http::{
            body::RequestBody,
            request::{Peer, Request as Waiting},
        },
    };
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::JoinHandle,
    };

    struct Stage {
        phase: watch::Sender<Phase>,
        queue: Arc<DispatchQueue>,
        admin: Arc<Admin>,
        asked: Arc<AtomicU32>,
        said: Arc<Mutex<Vec<String>>>,
        crowd: Arc<Crowd>,
    }

    impl Stage {
        fn new(address: &str, token: Option<&str>) -> Self {
            let (sender, phase) = watch::channel(Phase::Ready);
            let asked = Arc::new(AtomicU32::new(0));
            let count = asked.clone();
            let drain = Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            let said = Arc::<Mutex<Vec<String>>>::default();
            let lines = said.clone();
            let observer: Observer =
                Arc::new(move |event: &LogEvent<'_>| lines.lock().unwrap().push(event.to_string()));
            let stats = Arc::<Stats>::default();
            let queue = DispatchQueue::new(1, None, 1, stats.clone());
            let report = Report::new(
                stats.clone(),
                queue.clone(),
                Arc::new(Traffic::new(false)),
                phase.clone(),
                Default::default(),
                Default::default(),
            );
            let access = AdminAccess { admin_token: token.map(Token::new), admin_hosts: Vec::new() };
            let address = Address::parse(address).unwrap();
            let liveness = Liveness::new(queue.clone(), Some(Duration::from_secs(60)), observer.clone());
            let admin = Arc::new(Admin::new(phase, stats, report, liveness, drain, observer, (&address, access)));
            Self { phase: sender, queue, admin, asked, said, crowd: Crowd::new(4) }
        }

        fn ask(&self, asker: Asker, request: &str) -> JoinHandle<String> {
            let (mut client, server) = tokio::io::duplex(4096);
            tokio::spawn(serve(server, asker, self.admin.clone(), self.crowd.clone()));
            let request = request.replace('\n', "\r\n");
            tokio::spawn(async move {
                client.write_all(request.as_bytes()).await.unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).await.unwrap();
                text
            })
        }

        /// A client that has sent so much, with its connection's task.
        async fn send(&self, asker: Asker, text: &str) -> (DuplexStream, JoinHandle<()>) {
            let (mut client, server) = tokio::io::duplex(1024);
            let task = tokio::spawn(serve(server, asker, self.admin.clone(), self.crowd.clone()));
            client.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
            // All that is to be done at once is done before the time goes on.
            sleep(Duration::from_millis(1)).await;
            (client, task)
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::SeqCst)
        }

        fn said(&self) -> Vec<String> {
            std::mem::take(&mut self.said.lock().unwrap())
        }
    }

    fn neighbour() -> Asker {
        Asker::Tcp("127.0.0.1:4711".parse().unwrap())
    }

    #[tokio::test]
    async fn answers_over_the_wire_and_closes() {
        let stage = Stage::new("tcp://0.0.0.0:1", None);
        let text = stage.ask(neighbour(), "GET /readyz HTTP/1.1\nhost: x\n\n").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nready\n"), "{text}");
        let numbers = stage.ask(neighbour(), "GET /metrics HTTP/1.1\nhost: x\n\n").await.unwrap();
        assert!(numbers.contains("\r\n\r\n# HELP "), "{numbers}");
        assert!(stage.ask(neighbour(), "GET / HTTP/1.1\nhost: x\n\n").await.unwrap().contains("404 Not Found"));
    }

    /// Of two servers on one machine a page of the web could read the numbers of both.
    #[tokio::test]
    async fn shows_a_browser_that_came_by_a_foreign_name_the_probes_alone() {
        let stage = Stage::new("tcp://0.0.0.0:1", None);
        for (path, expected) in [("/metrics", "403"), ("/stats", "403"), ("/livez", "200")] {
            let request = format!("GET {path} HTTP/1.1\nhost: evil.example\naccept-language: en\n\n");
            let text = stage.ask(neighbour(), &request).await.unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{text}");
        }
    }

    /// To be on the same host was all that it took.
    #[tokio::test(start_paused = true)]
    async fn drains_for_no_client_without_authority_and_says_who_asked() {
        let stage = Stage::new("tcp://0.0.0.0:1", None);
        let text = stage.ask(neighbour(), "POST /drain HTTP/1.1\nhost: 127.0.0.1\n\n").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n") && text.contains("admin_token_file"), "{text}");
        let said = stage.said();
        assert!(said[0].starts_with("refused to drain for 127.0.0.1:4711: this changes the server"), "{said:?}");

        let stage = Stage::new("tcp://0.0.0.0:1", Some("0123456789abcdef"));
        for _ in 0..3 {
            let text = stage.ask(neighbour(), "POST /drain HTTP/1.1\nhost: 127.0.0.1\n\n").await.unwrap();
            assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
            assert!(text.contains("\r\nwww-authenticate: Bearer realm=\"tidegate\"\r\n"), "{text}");
        }
        assert_eq!(stage.asked(), 0);
        assert_eq!(stage.said().len(), 1, "a client can't fill the log");
        let answer =
            stage.ask(neighbour(), "POST /drain HTTP/1.1\nhost: x\nauthorization: Bearer 0123456789abcdef\n\n");
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 403 "), "a name that is not the listener's");
        assert_eq!(stage.asked(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn drains_when_asked_with_authority_and_answers_when_it_has() {
        let token = "POST /drain HTTP/1.1\nhost: 10.0.0.8:9394\nauthorization: Bearer 0123456789abcdef\n\n";
        let process = Asker::Unix(None);
        for (stage, asker, post, name) in [
            (Stage::new("tcp://0.0.0.0:1", Some("0123456789abcdef")), neighbour(), token, "127.0.0.1:4711"),
            (Stage::new("unix://x", None), process, "POST /drain HTTP/1.1\nhost: localhost\n\n", "the Unix socket"),
        ] {
            let get = post.replace("POST", "GET");
            assert!(stage.ask(asker, &get).await.unwrap().contains("405 "));
            assert_eq!(stage.asked(), 0);

            let answer = stage.ask(asker, post);
            let now = now();
            let later = now + Duration::from_secs(60);
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(stage.asked(), 1);
            assert_eq!(stage.said(), [format!("asked to drain by {name}")]);
            stage.phase.send_replace(Phase::Draining { since: now, pace: Duration::from_secs(60), until: later });
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert!(!answer.is_finished());
            stage.phase.send_replace(Phase::Closing { since: later, deadline: later, gently: true });
            assert!(answer.await.unwrap().contains("200 OK"));
        }
    }

    /// 400 half heads took every descriptor, for 10 s; an answer that its client did not take was waited for without end.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_waited_for_gives_way_and_has_three_seconds() {
        let stage = Stage::new("unix://x", None);
        let (half, whole) = ("GET /livez HT", "GET /metrics HTTP/1.1\nhost: localhost\n\n");
        for text in ["", half, whole] {
            let begun = now();
            let (_client, task) = stage.send(neighbour(), text).await;
            task.await.unwrap();
            let lasted = now() - begun;
            assert!(PATIENCE <= lasted && lasted < 2 * PATIENCE, "{text:?} {lasted:?}");

            let (_client, task) = stage.send(neighbour(), text).await;
            let begun = now();
            assert!(stage.crowd.gives_way(), "{text:?}");
            task.await.unwrap();
            assert!(now() - begun < PATIENCE, "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_the_drain_gives_way_to_none() {
        let stage = Stage::new("unix://x", None);
        let (mut client, task) = stage.send(Asker::Unix(None), "POST /drain HTTP/1.1\nhost: localhost\n\n").await;
        assert!(!stage.crowd.gives_way());
        sleep(10 * PATIENCE).await;
        assert!(!task.is_finished());
        stage.phase.send_replace(Phase::Closing { since: now(), deadline: now(), gently: true });
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
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
        const LIVEZ: &str = "GET /livez HTTP/1.1\nhost: x\n\n";
        let stage = Stage::new("tcp://0.0.0.0:1", None);
        let answer = wait(&stage.queue, now());
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(stage.ask(neighbour(), LIVEZ).await.unwrap().contains("200 OK"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..3 {
            let text = stage.ask(neighbour(), LIVEZ).await.unwrap();
            assert!(
                text.contains("503 Service") && text.contains("\r\n\r\ndead: requests have waited for 61."),
                "{text}"
            );
        }
        let events = stage.said();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].starts_with("/livez fails: 1 request has waited for up to 61.0 s"), "{events:?}");
        let worker = stage.queue.register();
        drop(worker.look());
        assert!(stage.ask(neighbour(), LIVEZ).await.unwrap().contains("200 OK"), "there is life again");
        drop(answer);
    }
}
