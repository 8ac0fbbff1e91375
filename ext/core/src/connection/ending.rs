//! Why hyper no longer has a connection, and how the connection ends then.

use bytes::Bytes;
use http::StatusCode;

use super::{
    Shared, Socket, close, hijack, service::Service, stage::Due, state::ConnectionState, tracked_socket::TrackedSocket,
};
use crate::{
    exchange::hijack::HijackRequest,
    http::response::Refusal,
    stats::{OpenConnection, Shed, refused::Refused},
};

/// Why hyper is no longer polled.
#[derive(Debug)]
pub(super) enum Ending {
    /// hyper is done: the last response is written, and no other request comes.
    Finished,
    /// The client broke the protocol, and hyper has found it out.
    Malformed,
    /// The guard does not let pass what came.
    Refused(Refused),
    /// A head has more fields than hyper has room for.
    ManyFields,
    /// The client is gone, or its socket failed.
    Lost,
    /// The client of HTTP/2 made the server work for nothing, and was told so.
    Flooded,
    /// The app did not finish its response.
    Unfinished,
    /// The app speaks to the client itself from now on.
    Hijacked(HijackRequest),
    /// Nothing came in for a while: what comes next can be waited for without hyper.
    Resting,
    /// A request has begun that the sibling in this slot would run at once.
    Elsewhere(usize),
    /// The client speaks HTTP/2, and has said so without being asked (RFC 9113 §3.3).
    Http2,
    /// The connection is a sibling's.
    HandedOver,
    /// Nothing came in for as long as is allowed, which in a drain is not long.
    Silent,
    /// Nothing, or no whole head, came in for longer than on any other connection, and a new one needs the room.
    Evicted,
    /// Nothing had come in when the drain's budget was used up.
    Dismissed,
    /// A head did not arrive in time.
    SlowHead,
    /// The client takes nothing of the response, or too little.
    Stalled,
    /// A head was half read when the drain's budget was used up.
    RefusedHead,
    /// A response had begun when the drain's budget was used up.
    Cut,
}

impl Ending {
    /// hyper is done by itself.
    pub(super) fn of_hyper(result: hyper::Result<()>, state: &ConnectionState) -> Self {
        match result {
            Ok(()) if state.client_has_closed() => Self::Lost,
            Ok(()) => Self::Finished,
            Err(error) if error.is_parse() => Self::Malformed,
            Err(error) if error.is_user() => Self::Unfinished,
            Err(_) => Self::Lost,
        }
    }

    /// A deadline has passed.
    pub(super) fn overdue(due: Due) -> Self {
        match due {
            Due::Head | Due::Evictable => Self::SlowHead,
            Due::Write | Due::Rate => Self::Stalled,
            Due::Rest => Self::Resting,
            Due::FirstByte | Due::Idle | Due::Cold => Self::Silent,
        }
    }

    /// Whether what comes in next would be taken for the head of a request.
    pub(super) fn expects_a_head(&self) -> bool {
        matches!(self, Self::Silent | Self::Evicted | Self::Dismissed | Self::SlowHead | Self::RefusedHead)
    }

    /// What the client is told past hyper, and why, for the access log and the counters.
    fn refusal(&self) -> Option<(Refusal, Option<Refused>)> {
        let because = |reason: Refused| Some((Refusal::closing(reason.status()), Some(reason)));
        match self {
            Self::RefusedHead => Some((Refusal::ending(), None)),
            Self::SlowHead => because(Refused::HeadTimeout),
            Self::Refused(reason) => because(*reason),
            // hyper has refused what the guard let pass, and has no answer for some of that.
            Self::Malformed => because(Refused::Malformed),
            _ => None,
        }
    }
}

/// Ends a connection, or the server's part in it. `unread` is what hyper has read ahead.
pub(super) async fn finish<S: Socket>(
    mut socket: TrackedSocket<S>,
    ending: Ending,
    unread: Bytes,
    service: &Service,
    open: OpenConnection,
) {
    let shared = service.shared();
    if let Ending::Hijacked(request) = ending {
        socket.inbound_mut().put_back(unread);
        socket.inbound_mut().lift_guard();
        drop(open);
        return hijack::give(socket, request, shared).await;
    }
    if let Some((refusal, reason)) = ending.refusal() {
        service.trace(refusal, reason, socket.inbound().refused_line());
    }
    end(socket, ending, service.state(), shared, unread).await;
    drop(open);
    shared.bounds.connections.connection_closed();
}

async fn end<S: Socket>(
    socket: TrackedSocket<S>,
    ending: Ending,
    state: &ConnectionState,
    shared: &Shared,
    unread: Bytes,
) {
    let stats = &shared.services.stats;
    let ending = match ending {
        // The end was quicker than the first look at a request that is here already: to close on it would be a reset,
        // which tells the client nothing.
        Ending::Dismissed if socket.holds_unread(&unread) => Ending::RefusedHead,
        ending => ending,
    };
    match ending {
        // The connection does not end with these.
        Ending::Hijacked(_) | Ending::Resting | Ending::ManyFields | Ending::Elsewhere(_) | Ending::Http2 => {}
        Ending::HandedOver => stats.handed_over.inc(),
        // Where only the end tells a whole body from a cut one, there is none.
        Ending::Lost if state.is_close_delimited() => {}
        Ending::Lost => close::leave(socket, shared).await,
        Ending::Evicted => {
            stats.gave_way.inc();
            close::leave(socket, shared).await;
        }
        Ending::Silent | Ending::Dismissed => {
            if shared.phase().is_stopping() {
                stats.idle_closed.inc();
            }
            close::leave(socket, shared).await;
        }
        Ending::Finished if state.client_leaves() && unread.is_empty() => close::part(socket, shared).await,
        // hyper has no answer for some of it, HTTP/2 that was not asked for among them.
        Ending::Malformed if !state.is_answered() => {
            close::refuse(socket, Refusal::closing(StatusCode::BAD_REQUEST), shared).await;
        }
        Ending::Finished | Ending::Malformed => close::linger(socket, shared).await,
        Ending::Flooded => close::dismiss(socket, shared).await,
        Ending::Refused(reason) => close::refuse(socket, Refusal::closing(reason.status()), shared).await,
        Ending::SlowHead => close::refuse(socket, Refusal::closing(StatusCode::REQUEST_TIMEOUT), shared).await,
        Ending::RefusedHead => {
            stats.shed.inc(Shed::Ending);
            close::refuse(socket, Refusal::ending(), shared).await;
        }
        Ending::Cut => {
            shared.request_cut();
            close::abort(socket, state);
        }
        Ending::Stalled => {
            stats.too_slow.inc();
            close::abort(socket, state);
        }
        Ending::Unfinished => close::cut(socket, state, shared).await,
    }
}
