//! The admin listener's connections: probes, numbers, and the request to drain. Served by the I/O thread alone, whatever the app
//! and the interpreter are doing.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

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
    body::ResponseBody, clock::now, lifecycle::Phase, metrics::Report, probe, request::Peer, response::Response,
    stats::Stats,
};

/// A client that takes longer than this over its request is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the admin listener tells about, and what it may ask for.
pub(crate) struct Admin {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) report: Arc<Report>,
    /// Begins a drain, as SIGTERM would.
    pub(crate) drain: Box<dyn Fn() + Send + Sync>,
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
        probe::answer(method, path, phase, now(), in_flight).unwrap_or_else(|| {
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
    use crate::{dispatch::DispatchQueue, traffic::Traffic};
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
    };

    struct Stage {
        phase: watch::Sender<Phase>,
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
            let report = Report::new(
                stats.clone(),
                queue,
                Arc::new(Traffic::new(false)),
                phase.clone(),
                Default::default(),
                Default::default(),
            );
            let admin = Arc::new(Admin { phase, stats, report, drain });
            Self { phase: sender, admin, asked }
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
}
