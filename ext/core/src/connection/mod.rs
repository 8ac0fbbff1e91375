//! A connection: one socket, from accept to close. Knows the dispatch queue; knows nothing of Ruby.
//!
//! hyper speaks HTTP; this module decides when the connection ends. hyper's own graceful shutdown is never used:
//! it closes idle connections whose next request is already in a buffer. Instead a response says `close`, and an
//! idle connection is closed only when it is provably cold.

pub(crate) mod close;
pub(crate) mod crowd;
pub(crate) mod hijack;
pub(crate) mod memory_trim;
pub(crate) mod meter;
pub(crate) mod response_body;
pub(crate) mod service;
pub(crate) mod socket;
pub(crate) mod spill;
pub(crate) mod state;
pub(crate) mod wrong_length;

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    path::PathBuf,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use self::{
    crowd::Place,
    service::Service,
    socket::{TrackedSocket, USUAL_FIELDS},
    state::{ConnectionState, Due, Interruption, Stage},
};
use crate::http::probe;
use crate::{
    config::{AddedHeaders, Limits, Probes, Timeouts},
    drain::Traffic,
    exchange::{
        hijack::{HijackGuard, HijackRequest},
        interim::Interim,
    },
    http::{
        body::Budget,
        guard::HeadLimits,
        request::Peer,
        response::{Refusal, Response},
    },
    lifecycle::Phase,
    log::{access::AccessLog, troubles::Troubles},
    pool::DispatchQueue,
    stats::{OpenConnection, Shed, Stats, refused::Refused},
    sync::now,
};

pub(crate) use self::{crowd::Crowd, memory_trim::MemoryTrim, socket::Socket};

/// How long a connection must have been silent before it may be closed in a drain. Where nobody waits for the end, also how
/// many times as long as any silence it has broken, because a client that asks every three seconds will do so again and is
/// then told to leave, while the close of a connection and its next request may cross on the way; and how long if it has
/// asked once only, so that nothing is known of it.
const COLD_AFTER: Duration = Duration::from_secs(1);
const COLD_AFTER_GAPS: u32 = 2;
const COLD_AFTER_FIRST: Duration = Duration::from_secs(4);

/// How long a connection must have been silent before hyper and its buffers, 16 KiB, are let go of until something comes in.
/// Not longer, because the memory of many that were busy at a time stays the process's; not shorter, because to make
/// them again for each request has its price too.
const REST_AFTER: Duration = Duration::from_millis(200);

/// How long a head may take before its connection gives way to new ones, where all that there may be are open.
const LAGS_AFTER: Duration = Duration::from_secs(1);

/// How much hyper reads at a time where a lot is coming in, and gathers before it writes. More would make no difference to
/// the system calls, and a lot to the memory of many uploads at a time.
const BUFFER: usize = 128 * 1024;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Arc<DispatchQueue>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    /// Where request bodies wait that are too large for memory.
    pub(crate) spool_directory: PathBuf,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) added_headers: AddedHeaders,
    pub(crate) probes: Probes,
    pub(crate) traffic: Arc<Traffic>,
    /// Where each request gets its line, if it gets one.
    pub(crate) access: Option<AccessLog>,
    pub(crate) memory_trim: MemoryTrim,
    /// How many connections there may be.
    pub(crate) crowd: Arc<Crowd>,
    /// How much of bodies may be in memory.
    pub(crate) budget: Arc<Budget>,
    /// Who tells the operator what there is to mend.
    pub(crate) troubles: Arc<Troubles>,
    /// One task for each connection.
    pub(crate) tasks: TaskTracker,
    /// A token for each connection that is the app's own. A drain waits for these too.
    pub(crate) hijacked_connections: TaskTracker,
}

impl Shared {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The answer to a probe that came to an address of the app, where the server has one.
    fn answer_probe(&self, head: &Parts, now: Instant) -> Option<Response> {
        if self.probes.are_off() {
            return None;
        }
        let in_flight = || self.stats.snapshot().in_flight;
        let unattended = || self.queue.unattended_for_too_long(self.probes.liveness_timeout, now);
        let (method, path) = (&head.method, head.uri.path());
        probe::answer_beside_app(&self.probes, method, path, self.phase(), now, in_flight, unattended)
    }

    /// Has the server wait for a connection that it no longer has; `tell` is dropped when the app has closed it.
    fn hold(&self, tell: Option<oneshot::Sender<Infallible>>) -> HijackGuard {
        HijackGuard { _tell: tell, _count: self.stats.connection_hijacked(), _token: self.hijacked_connections.token() }
    }

    /// A request was ended by force, without a whole response.
    fn request_cut(&self) {
        self.traffic.request_cut();
        self.stats.cut.inc();
    }
}

/// Serves one connection until it is closed.
pub(crate) fn serve<S: Socket>(
    socket: S,
    peer: Peer,
    shared: Arc<Shared>,
    open: OpenConnection,
) -> impl Future<Output = ()> + Send {
    let accepted_in_drain = shared.phase().is_stopping();
    let activity = Arc::new(ConnectionState::new(now()));
    let interim = Arc::new(Interim::default());
    let limits = HeadLimits { bytes: shared.limits.head_limit, fields: shared.limits.header_fields_limit };
    let socket = TrackedSocket::new(socket, limits, activity.clone(), interim.clone());
    let service = Service::new(shared, activity, interim, Arc::new(peer), accepted_in_drain);
    live(socket, service, open)
}

/// Works, rests and works again. What is large of it is boxed, so that a connection that rests is small.
async fn live<S: Socket>(mut socket: TrackedSocket<S>, service: Service, open: OpenConnection) {
    let (activity, shared) = (service.activity(), service.shared());
    let _need = shared.memory_trim.need(memory_trim::OPEN);
    let (ending, unread) = loop {
        let (ending, unread);
        (socket, ending, unread) = Box::pin(work(socket, &service)).await;
        match ending {
            Ending::Resting => {
                socket.put_back(unread);
                let place = shared.crowd.falls_silent();
                match rest(&mut socket, activity, shared, place).await {
                    Ok(()) => {}
                    Err(Ending::Silent | Ending::GivesWay) if socket.holds_unread(&[]) => activity.warm(now(), false),
                    Err(instead) => break (instead, Bytes::new()),
                }
            }
            // The next hyper has more room.
            Ending::Crowded => socket.put_back(unread),
            // Something has come in after all, and is served. In a drain the connection closes behind the response.
            Ending::Silent if socket.holds_unread(&unread) => {
                activity.warm(now(), !unread.is_empty());
                socket.put_back(unread);
            }
            ending => break (ending, unread),
        }
    };
    Box::pin(finish(socket, ending, unread, &service, open)).await;
}

/// Has hyper serve the connection until that ends, for whatever reason; gives it back with what hyper has read ahead.
async fn work<S: Socket>(mut socket: TrackedSocket<S>, service: &Service) -> (TrackedSocket<S>, Ending, Bytes) {
    let (activity, shared) = (service.activity(), service.shared());
    let _need = shared.memory_trim.need(memory_trim::AT_WORK);
    let room = socket.make_room(shared.limits.header_fields_limit);
    let mut http = speak(socket, service.clone(), &shared.limits, room);
    let mut ending = drive(&mut http, activity, shared).await;
    if activity.break_upload() && ending.expects_a_head() {
        // What comes in is no head but the rest of a body that the app has left unread.
        ending = Ending::Finished;
    }
    let parts = http.into_parts();
    (parts.io.into_inner(), ending, parts.read_buf)
}

/// Ends a connection, or our part in it.
async fn finish<S: Socket>(
    mut socket: TrackedSocket<S>,
    ending: Ending,
    unread: Bytes,
    service: &Service,
    open: OpenConnection,
) {
    let (activity, shared) = (service.activity(), service.shared());
    if let Ending::TakenOver(request) = ending {
        socket.put_back(unread);
        socket.lift_guard();
        drop(open);
        return hijack::give(socket, request, shared).await;
    }
    let refusal = match ending {
        Ending::RefusedHead => Some((Refusal::ending(), None)),
        Ending::SlowHead => Some(because(Refused::HeadTimeout)),
        Ending::Refused(reason) => Some(because(reason)),
        // hyper has refused what the guard let pass, and has no answer for some of that.
        Ending::Malformed => Some(because(Refused::Malformed)),
        _ => None,
    };
    if let Some((refusal, reason)) = refusal {
        service.trace(refusal, reason, socket.refused_line());
    }
    end(socket, ending, activity, shared, unread).await;
    drop(open);
    shared.crowd.has_left();
}

fn because(reason: Refused) -> (Refusal, Option<Refused>) {
    (Refusal::closing(reason.status()), Some(reason))
}

type Http<S> = http1::Connection<TokioIo<TrackedSocket<S>>, Service>;

fn speak<S: Socket>(socket: TrackedSocket<S>, service: Service, limits: &Limits, room: usize) -> Http<S> {
    let mut builder = http1::Builder::new();
    if room > USUAL_FIELDS {
        // Not always, because hyper then asks for memory for each head.
        builder.max_headers(room);
    }
    builder
        // All deadlines are ours: hyper has one for heads, and it would run on idle connections too.
        .header_read_timeout(None)
        .max_header_size(limits.head_limit)
        .max_buf_size(limits.head_limit.max(BUFFER))
        .serve_connection(TokioIo::new(socket), service)
}

/// Why hyper is no longer polled.
#[derive(Debug)]
enum Ending {
    /// hyper has said and heard all there was.
    Finished,
    /// The client broke the protocol, and hyper has found it out.
    Malformed,
    /// The guard does not let what came pass.
    Refused(Refused),
    /// A head has more fields than hyper has room for.
    Crowded,
    /// The client is gone, or its socket failed.
    Lost,
    /// The app did not finish its response.
    Unfinished,
    /// The app speaks to the client itself from now on.
    TakenOver(HijackRequest),
    /// Nothing was heard for a while: what comes next can be waited for without hyper.
    Resting,
    /// Nothing was heard for as long as is allowed, which in a drain is not long.
    Silent,
    /// Nothing, or no whole head, was heard for longer than from any other connection, and a new one needs the place.
    GivesWay,
    /// Nothing was heard when the server's patience ended.
    Dismissed,
    /// A head did not arrive in time.
    SlowHead,
    /// The client takes nothing of the response.
    Stalled,
    /// A head was half read when the server's patience ended.
    RefusedHead,
    /// A response had begun when the server's patience ended.
    Cut,
}

impl Ending {
    /// Whether what comes in next would be taken for the head of a request.
    fn expects_a_head(&self) -> bool {
        matches!(self, Self::Silent | Self::GivesWay | Self::Dismissed | Self::SlowHead | Self::RefusedHead)
    }
}

/// Polls hyper until it is done, a deadline is reached or the server's phase ends the connection.
async fn drive<S: Socket>(http: &mut Http<S>, activity: &ConnectionState, shared: &Shared) -> Ending {
    let mut phases = shared.phase.clone();
    let timer = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(timer);
    // Whether the runtime knows of it.
    let mut set = false;
    // Among those that give way, while a head takes long.
    let mut place = None;
    loop {
        let phase = *phases.borrow_and_update();
        if let Some(request) = activity.taken_over() {
            return Ending::TakenOver(request);
        }
        match activity.interruption() {
            Some(Interruption::Refused(reason)) => return Ending::Refused(reason),
            Some(Interruption::Crowded) => return Ending::Crowded,
            None => {}
        }
        if phase.is_forced()
            && let Some(ending) = forced(activity)
        {
            return ending;
        }
        if place.is_some() && activity.head_since().is_none() {
            place = None;
        }
        let lags = place.is_some();
        let due = activity.due_at_work(&shared.timeouts, phase, lags);
        let mut armed = due.map(|(at, _)| at);
        if let Some((at, due)) = due {
            if now() >= at {
                match due {
                    // hyper tries to write when it is polled.
                    Due::Rate => activity.look_at_pace(now(), shared.timeouts.min_data_rate),
                    Due::Lags => place = Some(shared.crowd.lags()),
                    due => return overdue(due),
                }
                continue;
            }
            if !set {
                // A new one says nothing before it is polled; one that is reset does.
                timer.set(tokio::time::sleep_until(at.into()));
            } else if timer.deadline().into_std() != at {
                timer.as_mut().reset(at.into());
            }
        }
        let progress = poll_fn(|cx| match http.poll_without_shutdown(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if activity.is_wanted_back() => Poll::Ready(None),
            // A request is under way, and gives way to none.
            Poll::Pending if lags && activity.head_since().is_none() => Poll::Ready(None),
            // What happened may have brought a deadline sooner than the timer rings; a later one can wait for it.
            Poll::Pending => match (activity.due_at_work(&shared.timeouts, phase, lags), armed) {
                (Some((at, _)), Some(armed)) if at < armed => Poll::Ready(None),
                (Some(_), None) => Poll::Ready(None),
                (None, Some(_)) if !set => {
                    // The request has come at once. To set a timer for it would wake the runtime, in vain.
                    armed = None;
                    Poll::Pending
                }
                (_, Some(_)) => {
                    set = true;
                    timer.as_mut().poll(cx).map(|()| None)
                }
                (None, None) => Poll::Pending,
            },
        });
        tokio::select! {
            biased;
            progress = progress => if let Some(result) = progress {
                return ended(result, activity);
            },
            () = needed(&mut place) => return Ending::GivesWay,
            _ = phases.changed() => {}
        }
    }
}

async fn needed(place: &mut Option<Place>) {
    match place {
        Some(place) => place.is_needed().await,
        None => pending().await,
    }
}

/// Waits until something comes in, with nothing allocated for it; or says why not.
async fn rest<S: Socket>(
    socket: &mut TrackedSocket<S>,
    activity: &ConnectionState,
    shared: &Shared,
    mut place: Place,
) -> Result<(), Ending> {
    let mut phases = shared.phase.clone();
    let timer = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(timer);
    loop {
        let phase = *phases.borrow_and_update();
        if phase.is_forced() {
            return Err(Ending::Dismissed);
        }
        let due = activity.due(&shared.timeouts, phase);
        if let Some((at, due)) = due {
            if now() >= at {
                return Err(overdue(due));
            }
            timer.as_mut().reset(at.into());
        }
        tokio::select! {
            biased;
            came = socket.await_bytes() => return match came {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(Ending::Lost),
            },
            () = place.is_needed() => return Err(Ending::GivesWay),
            () = &mut timer, if due.is_some() => {}
            _ = phases.changed() => {}
        }
    }
}

fn ended(result: hyper::Result<()>, activity: &ConnectionState) -> Ending {
    match result {
        Ok(()) if activity.peer_closed() => Ending::Lost,
        Ok(()) => Ending::Finished,
        Err(error) if error.is_parse() => Ending::Malformed,
        Err(error) if error.is_user() => Ending::Unfinished,
        Err(_) => Ending::Lost,
    }
}

fn overdue(due: Due) -> Ending {
    match due {
        Due::Head | Due::Lags => Ending::SlowHead,
        Due::Write | Due::Rate => Ending::Stalled,
        Due::Rest => Ending::Resting,
        Due::FirstByte | Due::Idle | Due::Cold => Ending::Silent,
    }
}

/// What a forced end means for a connection; `None` where a request waits for its response, which is refused.
fn forced(activity: &ConnectionState) -> Option<Ending> {
    match activity.stage() {
        Stage::Fresh { .. } | Stage::Idle { .. } => Some(Ending::Dismissed),
        Stage::Head { .. } => Some(Ending::RefusedHead),
        Stage::Responding => Some(Ending::Cut),
        Stage::Exchange => {
            activity.force();
            None
        }
        Stage::Flushing => None,
    }
}

async fn end<S: Socket>(
    socket: TrackedSocket<S>,
    ending: Ending,
    activity: &ConnectionState,
    shared: &Shared,
    unread: Bytes,
) {
    let ending = match ending {
        // The end was quicker than the first look at a request that is here already: to close on it would be a reset,
        // which tells the client nothing.
        Ending::Dismissed if socket.holds_unread(&unread) => Ending::RefusedHead,
        ending => ending,
    };
    match ending {
        // A rest ends otherwise.
        Ending::Lost | Ending::TakenOver(_) | Ending::Resting | Ending::Crowded => {}
        Ending::GivesWay => shared.stats.gave_way.inc(),
        Ending::Silent | Ending::Dismissed => {
            if shared.phase().is_stopping() {
                shared.stats.idle_closed.inc();
            }
        }
        Ending::Finished if activity.client_closes() && unread.is_empty() => close::part(socket, shared).await,
        // hyper has no answer for some, HTTP/2 that nobody asked for among them.
        Ending::Malformed if !activity.answered() => {
            close::refuse(socket, Refusal::closing(StatusCode::BAD_REQUEST), shared).await;
        }
        Ending::Finished | Ending::Malformed => close::linger(socket, shared).await,
        Ending::Refused(reason) => close::refuse(socket, Refusal::closing(reason.status()), shared).await,
        Ending::SlowHead => close::refuse(socket, Refusal::closing(StatusCode::REQUEST_TIMEOUT), shared).await,
        Ending::RefusedHead => {
            shared.stats.shed.inc(Shed::Ending);
            close::refuse(socket, Refusal::ending(), shared).await;
        }
        Ending::Cut => {
            shared.request_cut();
            close::abort(socket, activity);
        }
        Ending::Stalled => {
            shared.stats.too_slow.inc();
            close::abort(socket, activity);
        }
        Ending::Unfinished => close::cut(socket, activity, shared).await,
    }
}

#[cfg(test)]
mod tests;
