//! The admin listener's connections: probes, metrics, a page for people, and commands. The I/O thread alone serves them, whatever the
//! app and the interpreter are doing; only some commands are questions for the interpreter.

pub(crate) mod authority;
pub(crate) mod commands;
mod page;
pub(crate) mod questions;
pub(crate) mod report;
pub(crate) mod siblings;
mod status;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
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

use self::{
    authority::{Authority, Denial},
    commands::{Command, Ending, Steering},
};
use crate::http::probe;
use crate::{
    admin::report::Report,
    config::{Address, AdminAccess},
    connection::ConnectionLimit,
    http::{body::ResponseBody, response::Response},
    lifecycle::Phase,
    log::{
        event::{LogEvent, Observer},
        warnings::RateLimit,
    },
    pool::DispatchQueue,
    sync::now,
};

/// A client that takes longer than this over its request, or over its answer, is dropped.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(3);

/// The log gets at most one line about refusals in this time, so that a client can't fill it.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);

/// What the admin listener shows, and what its clients may ask for.
pub(crate) struct Admin {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) report: Arc<Report>,
    pub(crate) liveness: Liveness,
    /// Carries out commands.
    pub(crate) steering: Steering,
    /// Is told of each command.
    pub(crate) observer: Observer,
    authority: Authority,
    refusals: RateLimit,
}

/// A client of the admin listener, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AdminClient {
    Tcp(SocketAddr),
    /// With what the kernel knows of the process that connected.
    Unix(Option<UCred>),
}

impl fmt::Display for AdminClient {
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
    liveness_timeout: Option<Duration>,
    observer: Observer,
    /// Whether the log has the line about that already.
    logged: AtomicBool,
}

impl Liveness {
    pub(crate) fn new(queue: Arc<DispatchQueue>, liveness_timeout: Option<Duration>, observer: Observer) -> Self {
        Self { queue, liveness_timeout, observer, logged: AtomicBool::new(false) }
    }

    /// For how long requests have waited with nothing to run them, where that is too long, and in a cluster so in every worker; the log
    /// has one line about it.
    fn unattended(&self) -> Option<Duration> {
        let silence = self.queue.unattended_for_too_long(self.liveness_timeout, now());
        match silence {
            Some(silence) if !self.logged.swap(true, Relaxed) => {
                let (workers, idle) = self.queue.workers();
                (self.observer)(&LogEvent::Unattended { silence, waiting: self.queue.len(), workers, idle });
            }
            Some(_) => {}
            None => self.logged.store(false, Relaxed),
        }
        self.queue.all_unattended(self.liveness_timeout, now())
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

impl Admin {
    /// The admin endpoints on `address`; `access` decides which clients may use them.
    pub(crate) fn new(
        phase: watch::Receiver<Phase>,
        report: Arc<Report>,
        liveness: Liveness,
        steering: Steering,
        observer: Observer,
        (address, access): (&Address, AdminAccess),
    ) -> Self {
        let authority = Authority::new(access, address);
        Self { phase, report, liveness, steering, observer, authority, refusals: RateLimit::default() }
    }

    async fn answer(&self, head: &Parts, client: AdminClient) -> Response {
        let path = head.uri.path();
        if path == "/drain" {
            return self.drain(head, client).await;
        }
        if let Some(command) = Command::of(path) {
            return self.command(command, head, client).await;
        }
        let shown = page::answer(&head.method, path).or_else(|| self.state(&head.method, path));
        if let Some(shown) = shown {
            return self.authority.may_read(head).map_or_else(deny, |()| shown);
        }
        if let Some(numbers) = self.report.answer(&head.method, path, head.headers.get(header::ACCEPT)) {
            return self.authority.may_read(head).map_or_else(deny, |()| numbers);
        }
        let phase = *self.phase.borrow();
        let in_flight = || self.report.in_flight();
        let unattended = || self.liveness.unattended();
        probe::answer(&head.method, path, phase, now(), in_flight, unattended).unwrap_or_else(|| {
            probe::text(
                StatusCode::NOT_FOUND,
                format!("not found; try /, /metrics, /stats, /status, /settings, {}\n", probe::PATHS),
            )
        })
    }

    /// Begins the drain if nothing has, and answers when everything new has stopped being served: a preStop hook that
    /// calls it ends when SIGTERM may come.
    async fn drain(&self, head: &Parts, client: AdminClient) -> Response {
        if head.method != Method::POST {
            return probe::text(StatusCode::METHOD_NOT_ALLOWED, "POST begins a drain\n".into());
        }
        if let Err(denial) = self.authority.may_change(head) {
            self.log_refusal("drain", client, &denial);
            return deny(denial);
        }
        (self.observer)(&LogEvent::DrainAsked { by: &client.to_string() });
        (self.steering.end)(Ending::Drain);
        // The server ends with the sender.
        let _ = self.phase.clone().wait_for(|phase| phase.refuses_new()).await;
        probe::text(StatusCode::OK, "drained: new connections are refused from now on\n".into())
    }

    fn log_refusal(&self, command: &str, client: AdminClient, denial: &Denial) {
        if self.refusals.admit(REFUSAL_INTERVAL, now()).is_some() {
            let (by, reason) = (&client.to_string(), &denial.reason);
            (self.observer)(&if command == "drain" {
                LogEvent::DrainRefused { by, reason }
            } else {
                LogEvent::CommandRefused { command, by, reason }
            });
        }
    }
}

fn deny(denial: Denial) -> Response {
    let mut response = probe::text(denial.status, denial.reason + "\n");
    if denial.status == StatusCode::UNAUTHORIZED {
        response.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    response
}

/// Answers one request and closes: a probe never keeps a connection alive. A connection that waits for its client, to send its
/// request or to take its answer, is closed when others of the `limit` need its place; one that waits for the drain is not.
pub(crate) async fn serve<S>(socket: S, client: AdminClient, admin: Arc<Admin>, limit: Arc<ConnectionLimit>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (answering, mut changes) = watch::channel(false);
    let service = service_fn(|request: Request<Incoming>| {
        let (admin, answering) = (&admin, &answering);
        async move {
            let (head, _) = request.into_parts();
            answering.send_replace(true);
            let answer = admin.answer(&head, client).await;
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
        let answering = *changes.borrow_and_update();
        tokio::select! {
            biased;
            // A prober sees by itself what goes wrong with its connection.
            _ = &mut connection => break,
            // Its sender is as old as the connection.
            _ = changes.changed() => {}
            () = client_timed_out(&limit), if !answering => break,
        }
    }
    limit.connection_closed();
}

/// Resolves when the client has had its time, or a new connection needs its place.
async fn client_timed_out(limit: &Arc<ConnectionLimit>) {
    let mut place = limit.silent_connection();
    tokio::select! {
        () = place.evicted() => {}
        () = sleep(CLIENT_TIMEOUT) => {}
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
mod tests;
