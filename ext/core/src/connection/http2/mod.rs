//! A connection that speaks HTTP/2 (RFC 9113): many exchanges at a time, each on a stream. h2 speaks the protocol; this has the
//! deadlines, decides when the client is told to go, and makes each stream an exchange as for HTTP/1.
//!
//! All of a connection is one task, which polls the frames and the streams that have something to do.
//!
//! | module | subject |
//! |---|---|
//! | `guarded_stream` | the guard in front of h2, which refuses floods |
//! | `socket` | the socket as h2 reads and writes it |
//! | `rounds` | the task's parts, which wake one another |
//! | `head` `incoming` | the request: its head in the form that is common to all, its body as it arrives |
//! | `stream` `outlet` `outgoing` | the response, its way to h2, and how far its bytes are |
//! | `tunnel` | a stream that the app has hijacked |
//! | `departure` | GOAWAY in two steps |

mod departure;
mod guarded_stream;
mod head;
mod incoming;
mod outgoing;
mod outlet;
mod rounds;
mod socket;
mod stream;
mod tunnel;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::{Reason, RecvStream, server};
use http::{Method, Request, Response, Uri, header};

use self::{
    departure::{Age, Departure},
    guarded_stream::{Found, GuardedStream},
    head::Fault,
    incoming::Incoming,
    outgoing::{Piece, Room},
    rounds::Rounds,
    socket::Lent,
    stream::{Stream, Wanted},
};
use super::{
    NEVER, Shared, Socket,
    close::LAST_BYTES,
    deadline_timer::DeadlineTimer,
    ending::Ending,
    evicted, memory_trim, now, phase_changed,
    service::Service,
    stage::Due,
    state::{Begun, ConnectionState},
    tracked_socket::TrackedSocket,
};
use crate::{
    config::{Http2, Limits},
    http::{
        body::ResponseBody,
        request::ConnectProtocol,
        response::{self, Refusal},
        written_response::Asked,
    },
    lifecycle::Phase,
    stats::{By, refused::Refused},
    sync::sockets::{look_at_sockets, until},
};

/// How many bytes of a request's body may be on their way on one stream.
const STREAM_WINDOW: u32 = 128 * 1024;
/// How many bytes h2 takes for a field beside its name and its value, less those of HTTP/1, by which `head_limit` is meant.
const FIELD_OVERHEAD: usize = 28;
/// The largest window there can be (RFC 9113 §6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// How long a connection must have been without a stream before it may be closed for a new one.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(200);
/// How many bytes of one stream h2 may have. `outgoing` keeps it at less.
const SEND_BUFFER: usize = 128 * 1024;

type Frames<S> = server::Connection<GuardedStream<Lent<S>>, Piece>;

/// Serves the streams of a connection whose client has begun with HTTP/2. Returns the socket, and why that has ended.
pub(super) async fn serve_streams<S: Socket>(
    mut socket: TrackedSocket<S>,
    service: &Service,
) -> Option<(TrackedSocket<S>, Ending)> {
    let shared = service.shared();
    let _memory = shared.bounds.memory.needed(memory_trim::AT_WORK);
    shared.services.stats.http2_connections.inc();
    service.state().streams_begin();
    socket.inbound_mut().lift_guard();
    let (lent, home) = socket::lend(socket);
    let ending = speak(lent, service).await;
    // h2 is gone, and what it had is home.
    home.take().map(|socket| (socket, ending))
}

/// Speaks HTTP/2 until the connection is to end.
async fn speak<S: Socket>(lent: Lent<S>, service: &Service) -> Ending {
    let shared = service.shared();
    let limit = shared.settings.timeouts.head_timeout.map(|limit| now() + limit);
    let found = Found::default();
    let handshake =
        builder(&shared.settings.http2, &shared.settings.limits).handshake(GuardedStream::new(lent, found.clone()));
    let frames = tokio::select! {
        frames = until(limit, handshake) => frames,
        () = shared.forced() => return Ending::Lost,
    };
    match frames {
        Some(Ok(frames)) => {
            let ending = Connection::new(frames, found.clone(), service).drive().await;
            found.get().and_then(|fault| fault.flood()).map_or(ending, |flood| {
                service.flooded(flood);
                Ending::Flooded
            })
        }
        Some(Err(_)) => Ending::Lost,
        None => Ending::Silent,
    }
}

fn builder(settings: &Http2, limits: &Limits) -> server::Builder {
    let streams = settings.http2_max_concurrent_streams;
    let fields = limits.header_fields_limit.saturating_mul(FIELD_OVERHEAD);
    let header_list = limits.head_limit.saturating_add(fields);
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(settings.http2_max_pending_resets)
        .max_local_error_reset_streams(Some(settings.http2_max_error_resets))
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        // Streams that the app does not read take nothing from the others.
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(streams.max(1)).min(LARGEST_WINDOW))
        .enable_connect_protocol();
    builder
}

/// A connection after the handshake.
struct Connection<'a, S: Socket> {
    service: &'a Service,
    /// Before `frames`, so that it is dropped first.
    streams: FuturesUnordered<Stream>,
    frames: Frames<S>,
    /// Set once the guard has found the client to flood the server.
    found: Found,
    room: Arc<Room>,
    age: Age,
    departure: Departure,
    /// How many streams it may still have until its client is told to go; `None`: any number.
    streams_left: Option<u32>,
    rest: Rest,
    /// The drain's budget is used up.
    forced: bool,
    /// The last bytes are being written: until when, and how the connection ends then.
    closing: Option<(Instant, Ending)>,
}

/// Whether a connection has streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Exchanges are under way.
    No,
    /// All are over for the server; their last bytes are not, or what their clients still send.
    Ending { since: Instant },
    /// There has been none since then.
    Idle { since: Instant },
}

/// What may be due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// The client is told to go, or has been told for long enough.
    Depart,
    /// The connection has been idle for long enough to be closed for a new one.
    GiveWay,
    /// The client takes too little, or nothing.
    Output(Due),
    /// The head of a request takes too long to arrive.
    SlowHead,
    /// The last bytes were not taken.
    GiveUp,
}

impl Task {
    /// Whether it comes of what the client has not sent or taken, which may be there for the runtime to hear of.
    fn is_the_clients(self) -> bool {
        match self {
            Self::Depart | Self::SlowHead | Self::GiveUp => true,
            Self::Output(due) => due.is_the_clients(),
            Self::GiveWay => false,
        }
    }
}

impl<'a, S: Socket> Connection<'a, S> {
    fn new(frames: Frames<S>, found: Found, service: &'a Service) -> Self {
        let begun = now();
        let in_drain = service.is_one_shot();
        Self {
            service,
            streams: FuturesUnordered::new(),
            frames,
            found,
            room: Arc::default(),
            age: Age { begun, turn: fastrand::f64(), in_drain, answered: false },
            departure: Departure::None,
            streams_left: service.shared().settings.limits.max_keep_alive,
            rest: Rest::Idle { since: begun },
            forced: false,
            closing: None,
        }
    }

    fn shared(&self) -> &'a Arc<Shared> {
        self.service.shared()
    }

    fn state(&self) -> &'a ConnectionState {
        self.service.state()
    }

    async fn drive(mut self) -> Ending {
        let shared = self.shared();
        let mut phases = shared.services.phase.clone();
        let timer = pin!(tokio::time::sleep(NEVER));
        let mut timer = DeadlineTimer::new(timer);
        let (rounds, parts) = Rounds::new();
        let mut evictable = None;
        // What was due when the sockets were last looked at for its sake.
        let mut looked = None;
        loop {
            let phase = *phases.borrow_and_update();
            if phase.is_forced() && !self.forced {
                self.forced = true;
                self.streams.iter().for_each(Stream::force);
            }
            if !self.is_silent() {
                evictable = None;
            }
            self.close_when_over();
            self.close_when_refused();
            let gives_way = evictable.is_some();
            if let Some((at, task)) = self.due(phase, gives_way)
                && now() >= at
            {
                match task {
                    task if task.is_the_clients() && looked != Some((at, task)) => {
                        looked = Some((at, task));
                        look_at_sockets().await;
                        self.found.begin_turn();
                        let round = poll_fn(|cx| Poll::Ready(rounds.poll(cx, || self.round(&parts)))).await;
                        if let Poll::Ready(ending) = round {
                            return self.closing.map_or(ending, |(_, ending)| ending);
                        }
                    }
                    Task::Depart => self.depart(),
                    Task::GiveWay => evictable = Some(shared.bounds.connections.silent_connection()),
                    Task::Output(Due::Rate) => self.state().check_pace(now(), &shared.settings.timeouts),
                    Task::SlowHead => {
                        let reason = Refused::HeadTimeout;
                        self.service.trace(Refusal::closing(reason.status()), Some(reason), None);
                        self.close(Ending::Finished);
                    }
                    Task::Output(_) => return Ending::Stalled,
                    Task::GiveUp => return self.closing.map_or(Ending::Lost, |(_, ending)| ending),
                }
                continue;
            }
            timer.set(self.due(phase, gives_way).map(|(at, _)| at));
            let progress = poll_fn(|cx| {
                self.found.begin_turn();
                if let Poll::Ready(ending) = rounds.poll(cx, || self.round(&parts)) {
                    return Poll::Ready(Some(ending));
                }
                if self.is_over() || self.is_to_be_refused() || gives_way && !self.is_silent() {
                    return Poll::Ready(None);
                }
                timer.poll(self.due(phase, gives_way).map(|(at, _)| at), cx).map(|()| None)
            });
            tokio::select! {
                biased;
                progress = progress => if let Some(ending) = progress {
                    return self.closing.map_or(ending, |(_, ending)| ending);
                },
                () = evicted(&mut evictable) => {
                    evictable = None;
                    self.close(Ending::Evicted);
                }
                () = phase_changed(&mut phases) => {}
            }
        }
    }

    /// Whether nothing is under way, so that the connection may be closed for a new one.
    fn is_silent(&self) -> bool {
        matches!(self.rest, Rest::Idle { .. }) && self.closing.is_none()
    }

    /// Whether there is nothing left to do here.
    fn is_over(&self) -> bool {
        let last = match self.rest {
            Rest::No => false,
            Rest::Ending { .. } => self.forced,
            Rest::Idle { .. } => self.forced || self.departure == Departure::Over,
        };
        last && self.closing.is_none()
    }

    /// Tells the client what the guard has found.
    fn close_when_refused(&mut self) {
        if self.closing.is_none()
            && let Some(fault) = self.found.get()
        {
            self.close_saying(guarded_stream::reason(*fault), Ending::Flooded);
        }
    }

    /// Whether the guard has found something, and the client was not told.
    fn is_to_be_refused(&self) -> bool {
        self.found.get().is_some() && self.closing.is_none()
    }

    /// What is due next.
    fn due(&self, phase: Phase, gives_way: bool) -> Option<(Instant, Task)> {
        let timeouts = &self.shared().settings.timeouts;
        if let Some((at, _)) = self.closing {
            return Some((at, Task::GiveUp));
        }
        let idle_since = if let Rest::Idle { since } = self.rest { Some(since) } else { None };
        let idle_at = idle_since.zip(timeouts.persistent_timeout).map(|(since, limit)| since + limit);
        // Of streams that are over, h2 has what the client takes no longer.
        let stuck = match (self.rest, timeouts.write_timeout) {
            (Rest::Ending { since }, Some(limit)) => Some((since + limit, Task::Output(Due::Write))),
            _ => None,
        };
        let tell_at = [self.age.goes_at(phase), idle_at].into_iter().flatten().min();
        let depart = self.departure.due(tell_at).map(|at| (at, Task::Depart));
        let give_way = idle_since.filter(|_| !gives_way).map(|since| (since + GIVES_WAY_AFTER, Task::GiveWay));
        let output = self.state().output_due(timeouts).map(|(at, due)| (at, Task::Output(due)));
        let head =
            self.found.head_since().zip(timeouts.head_timeout).map(|(since, limit)| (since + limit, Task::SlowHead));
        [depart, give_way, stuck, head, output].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Tells the client to go, or takes it that it knows.
    fn depart(&mut self) {
        self.departure = match self.departure {
            Departure::None => {
                self.shared().services.stats.http2_goaways.inc();
                self.frames.graceful_shutdown();
                Departure::Told { at: now() }
            }
            Departure::Told { .. } | Departure::Over => Departure::Over,
        };
    }

    fn close_when_over(&mut self) {
        if self.is_over() {
            self.close(Ending::Finished);
        }
    }

    /// Writes what there is to write, with a last GOAWAY, and ends.
    fn close(&mut self, ending: Ending) {
        self.close_saying(Reason::NO_ERROR, ending);
    }

    fn close_saying(&mut self, reason: Reason, ending: Ending) {
        if self.departure == Departure::None {
            self.shared().services.stats.http2_goaways.inc();
        }
        self.frames.abrupt_shutdown(reason);
        let patient = matches!(ending, Ending::Finished) && !self.forced;
        let limit = self.shared().settings.timeouts.write_timeout.filter(|_| patient).unwrap_or(LAST_BYTES);
        self.closing = Some((now() + limit, ending));
    }

    /// Polls what has something to do, once.
    fn round(&mut self, parts: &Waker) -> Poll<Ending> {
        let cx = &mut Context::from_waker(parts);
        loop {
            // The streams first: what they give goes out with the other frames.
            while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(cx) {
                self.age.answered = true;
            }
            match self.frames.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.open(request, respond),
                // A client that broke the protocol was told so.
                Poll::Ready(Some(Err(error))) if !error.is_io() => return Poll::Ready(Ending::Finished),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Ending::Lost),
                Poll::Ready(None) => return Poll::Ready(Ending::Finished),
                Poll::Pending => break,
            }
        }
        self.rest = match (self.streams.is_empty(), self.rest) {
            (false, _) => Rest::No,
            (true, idle @ Rest::Idle { .. }) => idle,
            (true, _) if !self.frames.has_streams() => Rest::Idle { since: now() },
            (true, Rest::No) => Rest::Ending { since: now() },
            (true, ending) => ending,
        };
        if self.state().is_blocked() {
            self.streams.iter().for_each(Stream::socket_blocked);
        }
        Poll::Pending
    }

    /// A request has come.
    fn open(&mut self, request: Request<RecvStream>, mut respond: server::SendResponse<Piece>) {
        let received = now();
        let shared = self.shared();
        shared.services.stats.http2_streams.inc();
        // Asked again, elsewhere, it is answered (RFC 9113 §8.7).
        if self.forced || self.departure == Departure::Over {
            return reset(shared, &mut respond, Reason::REFUSED_STREAM);
        }
        self.count();
        let (mut head, body) = request.into_parts();
        let line = (head.method.clone(), head.uri.clone());
        if let Err(fault) = head::adapt(&mut head, &shared.settings.limits) {
            return self.refuse(fault, line, &mut respond);
        }
        let arrival = self.state().arrival().filter(|_| !shared.settings.probes.is_probe(&head));
        if arrival.is_some() {
            self.state().counts_as_traffic();
        }
        let service = self.service.of_stream(Arc::new(ConnectionState::of_stream(received)));
        let begun = Begun { head_since: None, arrival, target: None };
        let asked = match (&head.method, head.extensions.get::<ConnectProtocol>()) {
            (_, Some(_)) => Asked::Protocol,
            (&Method::HEAD, None) => Asked::HeadOnly,
            _ => Asked::Content,
        };
        let asks = head.headers.contains_key(header::EXPECT).then(|| service.interim().clone());
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (incoming, protocol) = match asked {
            Asked::Protocol => (Incoming::none(), Some(body)),
            _ => (Incoming::new(body, length, asks), None),
        };
        let response = service.respond(head, incoming, begun, received);
        let wanted = Wanted { asked, protocol };
        self.streams.push(Stream::new(service, respond, response, self.room.clone(), wanted));
    }

    /// Tells the client to go with the last stream that its connection may have. What it has sent until it hears of that is served too.
    fn count(&mut self) {
        self.streams_left = self.streams_left.map(|left| left.saturating_sub(1));
        if self.streams_left == Some(0) && self.departure == Departure::None {
            self.depart();
        }
    }

    /// A request that is not passed on.
    fn refuse(&self, fault: Fault, (method, target): (Method, Uri), respond: &mut server::SendResponse<Piece>) {
        let reason = match fault {
            Fault::Malformed => Refused::Malformed,
            Fault::Refused(reason) => reason,
        };
        let refusal = Refusal::closing(reason.status());
        self.service.trace(refusal, Some(reason), Some(format!("{method} {target} HTTP/2").as_bytes()));
        if fault == Fault::Malformed {
            return reset(self.shared(), respond, Reason::PROTOCOL_ERROR);
        }
        let response::Response { status, mut headers, body } = refusal.into_response();
        headers.remove(header::CONNECTION);
        headers.insert(header::DATE, self.shared().services.date.now());
        let mut head = Response::new(());
        (*head.status_mut(), *head.headers_mut()) = (status, headers);
        // The client has gone, or gets it.
        if let (Ok(mut stream), ResponseBody::Full(text)) = (respond.send_response(head, false), body) {
            let _ = stream.send_data(Piece::of(text), true);
        }
    }
}

fn reset(shared: &Shared, respond: &mut server::SendResponse<Piece>, reason: Reason) {
    shared.services.stats.http2_resets.inc(By::Server);
    respond.send_reset(reason);
}
