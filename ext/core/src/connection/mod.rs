//! A connection: one socket, from accept to close. Knows the dispatch queue; knows nothing of Ruby.
//!
//! hyper speaks HTTP; this module decides when the connection ends. hyper's own graceful shutdown is never used:
//! it closes idle connections whose next request is already in a buffer. Instead a response says `close`, and an
//! idle connection is closed only when it is provably cold.
//!
//! | module | subject |
//! |---|---|
//! | `opening` | what comes before HTTP on some addresses |
//! | `shared` | what all connections share: settings, services, bounds |
//! | `state` `stage` `output` | what a connection is doing, and when something is due |
//! | `socket` `tls_socket` `tracked_socket` `inbound` | the socket, with TLS or without, as hyper reads and writes it, behind the guard |
//! | `service` `response_future` | from hyper's request to an exchange, and from its answer to hyper's response |
//! | `framing` `wrong_length` | how the response is framed, and lengths that are wrong |
//! | `http2` | connections that speak HTTP/2: many exchanges at a time |
//! | `response_body` `spill` | the body as hyper takes it, and what a slow client leaves unsent |
//! | `siblings` | the other workers of a cluster, to which a connection may go between two requests |
//! | `deadline_timer` | the timer |
//! | `ending` `close` `hijack` | why and how a connection ends, or becomes the app's |
//! | `connection_limit` `memory_trim` | how many there may be; memory given back after a rush |

mod close;
mod connection_limit;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod conversation;
mod deadline_timer;
mod ending;
mod framing;
mod hijack;
mod http2;
mod inbound;
mod memory_trim;
mod opening;
mod output;
mod response_body;
mod response_future;
mod service;
mod shared;
mod siblings;
mod socket;
mod spill;
mod stage;
mod state;
mod tls_socket;
mod tracked_socket;
mod wrong_length;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

pub(crate) use self::{
    connection_limit::ConnectionLimit,
    opening::{Opening, open},
    shared::{ConnectionSettings, Services, Shared},
    siblings::Siblings,
    socket::Socket,
};
use self::{
    connection_limit::Evictable,
    deadline_timer::DeadlineTimer,
    ending::Ending,
    inbound::USUAL_FIELDS,
    service::Service,
    stage::Due,
    state::{ConnectionState, Wait},
    tracked_socket::TrackedSocket,
};
use crate::{
    cluster::handover::Traits,
    config::Limits,
    exchange::interim::Interim,
    http::{guard::HeadLimits, request::Peer},
    lifecycle::Phase,
    stats::OpenConnection,
    sync::{now, sockets::look_at_sockets},
};

/// How much hyper reads at a time where a lot is coming in, and gathers before it writes. More would make no difference to
/// the system calls, and a lot to the memory of many uploads at a time.
const BUFFER: usize = 128 * 1024;

/// As good as never, for a timer that is not set.
const NEVER: Duration = Duration::from_secs(u64::MAX / 4);

/// Serves one connection until it is closed.
pub(crate) fn serve<S: Socket>(
    socket: S,
    peer: Peer,
    shared: Arc<Shared>,
    open: OpenConnection,
) -> impl Future<Output = ()> + Send {
    let accepted_in_drain = shared.phase().is_stopping();
    let (socket, service) = begin(socket, peer, shared, ConnectionState::new(now()), accepted_in_drain, true);
    live(socket, service, open, false)
}

/// Serves a connection that a sibling has sent, with what it had read.
pub(crate) fn take_over<S: Socket>(
    socket: S,
    peer: Peer,
    shared: Arc<Shared>,
    open: OpenConnection,
    (traits, read_ahead): (Traits, &[u8]),
) -> impl Future<Output = ()> + Send + use<S> {
    let state = ConnectionState::taken_over(now(), traits.requests, traits.fresh, !read_ahead.is_empty());
    let one_shot = traits.one_shot || traits.fresh && shared.phase().is_stopping();
    let (mut socket, service) = begin(socket, peer, shared, state, one_shot, traits.fresh);
    socket.taken_over(traits, read_ahead);
    live(socket, service, open, !traits.for_request && read_ahead.is_empty())
}

fn begin<S: Socket>(
    socket: S,
    peer: Peer,
    shared: Arc<Shared>,
    state: ConnectionState,
    one_shot: bool,
    fresh: bool,
) -> (TrackedSocket<S>, Service) {
    // What a proxy has said of the connection would not go with its socket.
    let siblings = shared.services.siblings.clone().filter(|_| peer.proxy.is_none());
    let peer = match &shared.settings.forwarding.remote_address {
        Some(address) => peer.known_as(address),
        None => peer,
    };
    let state = Arc::new(state);
    let interim = Arc::new(Interim::default());
    let limits = &shared.settings.limits;
    let limits = HeadLimits { bytes: limits.head_limit, fields: limits.header_fields_limit };
    let expects_preface = fresh && shared.settings.http2.http2;
    let socket = TrackedSocket::new(socket, limits, state.clone(), interim.clone(), siblings, expects_preface);
    let stays = !socket.can_move();
    (socket, Service::new(shared, state, interim, Arc::new(peer), (one_shot, stays)))
}

/// Has hyper work, lets the connection rest without hyper, and so on until it ends. The futures of the work are boxed, so that a
/// connection at rest is small. `at_rest`: it begins without hyper.
async fn live<S: Socket>(mut socket: TrackedSocket<S>, service: Service, open: OpenConnection, mut at_rest: bool) {
    let (state, shared) = (service.state(), service.shared());
    let _memory = shared.bounds.memory.needed(memory_trim::OPEN);
    let (ending, unread) = loop {
        let (ending, unread);
        if std::mem::take(&mut at_rest) {
            (ending, unread) = (Ending::Resting, Bytes::new());
        } else {
            (socket, ending, unread) = Box::pin(work(socket, &service)).await;
        }
        match ending {
            Ending::Resting => {
                socket.inbound_mut().put_back(unread);
                let evictable = shared.bounds.connections.silent_connection();
                match rest(&mut socket, &service, evictable).await {
                    Ok(()) => {
                        if let Some(sibling) = socket.better_place_at_rest()
                            && socket.hand_over(Some(sibling), service.traits())
                        {
                            break (Ending::HandedOver, Bytes::new());
                        }
                    }
                    Err(Ending::Silent | Ending::Evicted) if socket.holds_unread(&[]) => state.warm(now(), false),
                    Err(instead) => break (instead, Bytes::new()),
                }
            }
            Ending::Elsewhere(sibling) => {
                socket.inbound_mut().put_back(unread);
                if socket.hand_over(Some(sibling), service.traits()) {
                    break (Ending::HandedOver, Bytes::new());
                }
            }
            Ending::Http2 => {
                socket.inbound_mut().put_back(unread);
                let served = Box::pin(http2::serve_streams(socket, &service)).await;
                let Some((back, ending)) = served else { return };
                socket = back;
                break (ending, Bytes::new());
            }
            // The next hyper connection is built with room for more fields.
            Ending::ManyFields => socket.inbound_mut().put_back(unread),
            // Something has come in after all, and is served. In a drain the connection closes behind the response.
            Ending::Silent if socket.holds_unread(&unread) => {
                state.warm(now(), !unread.is_empty());
                socket.inbound_mut().put_back(unread);
            }
            ending => break (ending, unread),
        }
    };
    Box::pin(ending::finish(socket, ending, unread, &service, open)).await;
}

/// Has hyper serve the connection until there is a reason to take it back. Returns the socket, the reason, and what hyper has read
/// ahead.
async fn work<S: Socket>(mut socket: TrackedSocket<S>, service: &Service) -> (TrackedSocket<S>, Ending, Bytes) {
    let (state, shared) = (service.state(), service.shared());
    let _memory = shared.bounds.memory.needed(memory_trim::AT_WORK);
    let limits = &shared.settings.limits;
    let room = socket.inbound_mut().make_room(limits.header_fields_limit);
    let mut http = speak(socket, service.clone(), limits, room);
    let mut ending = drive(&mut http, state, shared).await;
    if state.abort_upload() && ending.expects_a_head() {
        // What comes in is the rest of a body that the app has not read, and not a head.
        ending = Ending::Finished;
    }
    let parts = http.into_parts();
    (parts.io.into_inner(), ending, parts.read_buf)
}

type Http<S> = http1::Connection<TokioIo<TrackedSocket<S>>, Service>;

fn speak<S: Socket>(socket: TrackedSocket<S>, service: Service, limits: &Limits, room: usize) -> Http<S> {
    let mut builder = http1::Builder::new();
    if room > USUAL_FIELDS {
        // Only where needed, because hyper then allocates for each head.
        builder.max_headers(room);
    }
    builder
        .auto_date_header(false)
        // The connection's state has all deadlines: hyper's own for heads would run on idle connections too.
        .header_read_timeout(None)
        .max_header_size(limits.head_limit)
        .max_buf_size(limits.head_limit.max(BUFFER))
        .serve_connection(TokioIo::new(socket), service)
}

/// Polls hyper until it is done, a deadline is reached or the server's phase ends the connection. Returns why.
async fn drive<S: Socket>(http: &mut Http<S>, state: &ConnectionState, shared: &Shared) -> Ending {
    let timeouts = &shared.settings.timeouts;
    let mut phases = shared.services.phase.clone();
    let timer = pin!(tokio::time::sleep(NEVER));
    let mut deadline_timer = DeadlineTimer::new(timer);
    // While a head takes long, the connection may be closed to make room.
    let mut evictable = None;
    // What was due when the sockets were last looked at for its sake.
    let mut looked = None;
    loop {
        let phase = *phases.borrow_and_update();
        let Wait { due, in_head } = match state.check(timeouts, phase, evictable.is_some()) {
            Ok(wait) => wait,
            Err(ending) => return ending,
        };
        if !in_head {
            evictable = None;
        }
        if let Some((at, due)) = due
            && now() >= at
        {
            match due {
                // hyper tries to write when it is polled.
                Due::Rate => state.check_pace(now(), timeouts),
                Due::Evictable => evictable = Some(shared.bounds.connections.slow_head()),
                due if looked == Some((at, due)) || !due.is_the_clients() => return Ending::overdue(due),
                due => {
                    looked = Some((at, due));
                    look_at_sockets().await;
                    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(http.poll_without_shutdown(cx))).await {
                        return Ending::of_hyper(result, state);
                    }
                }
            }
            continue;
        }
        deadline_timer.set(due.map(|(at, _)| at));
        let slow_head = evictable.is_some();
        let progress = poll_fn(|cx| {
            if let Poll::Ready(result) = http.poll_without_shutdown(cx) {
                return Poll::Ready(Some(result));
            }
            match state.wait(timeouts, phase, slow_head) {
                None => Poll::Ready(None),
                // A request is under way, and the connection is no longer one to be closed.
                Some(Wait { in_head: false, .. }) if slow_head => Poll::Ready(None),
                Some(Wait { due, .. }) => deadline_timer.poll(due.map(|(at, _)| at), cx).map(|()| None),
            }
        });
        tokio::select! {
            biased;
            progress = progress => if let Some(result) = progress {
                return Ending::of_hyper(result, state);
            },
            () = evicted(&mut evictable) => return Ending::Evicted,
            () = phase_changed(&mut phases) => {}
        }
    }
}

/// Resolves when the server enters another phase; never once its last one has come and the driver has gone.
async fn phase_changed(phases: &mut watch::Receiver<Phase>) {
    if phases.changed().await.is_err() {
        pending().await
    }
}

async fn evicted(evictable: &mut Option<Evictable>) {
    match evictable {
        Some(evictable) => evictable.evicted().await,
        None => pending().await,
    }
}

/// Waits until something comes in, with nothing allocated for it.
///
/// # Errors
///
/// Why the connection is not waited for any longer.
async fn rest<S: Socket>(
    socket: &mut TrackedSocket<S>,
    service: &Service,
    mut evictable: Evictable,
) -> Result<(), Ending> {
    let (state, shared) = (service.state(), service.shared());
    let mut phases = shared.services.phase.clone();
    let timer = tokio::time::sleep(NEVER);
    tokio::pin!(timer);
    loop {
        let phase = *phases.borrow_and_update();
        if phase.is_forced() {
            return Err(Ending::Dismissed);
        }
        if phase.hands_over() && socket.hand_over(None, service.traits()) {
            return Err(Ending::HandedOver);
        }
        let due = state.due(&shared.settings.timeouts, phase);
        if let Some((at, due)) = due {
            if now() >= at {
                return Err(Ending::overdue(due));
            }
            timer.as_mut().reset(at.into());
        }
        tokio::select! {
            biased;
            came = socket.await_bytes() => return match came {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(Ending::Lost),
            },
            () = evictable.evicted() => return Err(Ending::Evicted),
            () = &mut timer, if due.is_some() => {}
            () = phase_changed(&mut phases) => {}
            () = adoption_room(shared), if phase.hands_over() && socket.can_move() => {}
        }
    }
}

/// Resolves when a sibling may take the connection.
async fn adoption_room(shared: &Shared) {
    match &shared.services.siblings {
        Some(siblings) => siblings.has_adoption_room().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
