//! One stream: a request, and its response on the way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep_until};

use super::{
    super::{
        now, response_body::TrackedBody, response_future::ResponseFuture, service::Service, stage::Due,
        state::ConnectionState,
    },
    outgoing::{Piece, Room},
    outlet::{Given, Outlet},
    tunnel::Tunnel,
};
use crate::{
    exchange::hijack::HijackRequest,
    http::{body::Aborted, hop_by_hop, written_response::Asked},
    stats::By,
    sync::sockets::{LookAtSockets, look_at_sockets},
};

/// A stream, from the head of its request until all of the response has been given to h2.
pub(super) struct Stream {
    service: Service,
    respond: SendResponse<Piece>,
    room: Arc<Room>,
    wanted: Wanted,
    step: Step,
    timer: Option<Pin<Box<Sleep>>>,
    /// Looks whether the client has taken more, before the stream is cut for what was due then.
    look: Option<(Instant, LookAtSockets)>,
    /// What polls this, once it was polled.
    waker: Option<Waker>,
}

#[expect(clippy::large_enum_variant, reason = "every stream is the larger one first")]
enum Step {
    /// The response is to come.
    Awaiting(ResponseFuture),
    /// It is sent.
    Sending(Box<Sending>),
    /// The app writes and reads the stream itself.
    Hijacked(Box<Tunnel>),
}

struct Sending {
    body: TrackedBody,
    outlet: Outlet,
    /// What comes behind that, if it is known.
    ahead: Option<Option<Result<Frame<Bytes>, Aborted>>>,
    /// It answers a request that the drain's end has overtaken.
    late: bool,
    /// h2 has all of it.
    given: bool,
}

/// How a stream ended.
pub(super) enum End {
    /// h2 has all of the response.
    Given,
    /// The client has given it up, or has gone.
    Abandoned,
    /// The server gives it up.
    Cut(Reason),
}

/// What the client has asked for, beside what its request says to the app.
pub(super) struct Wanted {
    pub(super) asked: Asked,
    /// What it sends behind an extended CONNECT.
    pub(super) protocol: Option<RecvStream>,
}

impl Stream {
    pub(super) fn new(
        service: Service,
        respond: SendResponse<Piece>,
        response: ResponseFuture,
        room: Arc<Room>,
        wanted: Wanted,
    ) -> Self {
        Self { service, respond, room, wanted, step: Step::Awaiting(response), timer: None, look: None, waker: None }
    }

    fn state(&self) -> &Arc<ConnectionState> {
        self.service.state()
    }

    /// The socket takes nothing more.
    pub(super) fn socket_blocked(&self) {
        if let Some(outlet) = self.outlet() {
            outlet.given().socket_blocked();
        }
    }

    fn outlet(&self) -> Option<&Outlet> {
        match &self.step {
            Step::Awaiting(_) => None,
            Step::Sending(sending) => Some(&sending.outlet),
            Step::Hijacked(tunnel) => tunnel.outlet(),
        }
    }

    /// The drain's budget is used up.
    pub(super) fn force(&self) {
        self.state().force();
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match &mut self.step {
                Step::Awaiting(response) => {
                    if self.respond.poll_reset(cx).is_ready() {
                        return Poll::Ready(End::Abandoned);
                    }
                    let polled = Pin::new(response).poll(cx);
                    self.send_interim();
                    if polled.is_pending()
                        && let Some(request) = self.state().take_hijack()
                    {
                        let Some(tunnel) = self.hijack(request) else {
                            return Poll::Ready(End::Cut(Reason::INTERNAL_ERROR));
                        };
                        self.step = Step::Hijacked(Box::new(tunnel));
                        continue;
                    }
                    let Ok(response) = ready!(polled);
                    if let Some(end) = self.begin(response) {
                        return Poll::Ready(end);
                    }
                }
                Step::Hijacked(tunnel) => {
                    let polled = tunnel.poll(&mut self.respond, cx);
                    if polled.is_ready() {
                        return polled;
                    }
                    if self.service.state().is_forced() {
                        return Poll::Ready(End::Cut(Reason::CANCEL));
                    }
                    return self.poll_due(cx).map(End::Cut);
                }
                Step::Sending(sending) => {
                    if let Poll::Ready(end) = sending.poll(cx) {
                        sending.given = matches!(end, End::Given);
                        return Poll::Ready(end);
                    }
                    if self.service.state().is_forced() {
                        if !sending.late {
                            self.service.shared().request_cut();
                        }
                        return Poll::Ready(End::Cut(Reason::CANCEL));
                    }
                    return self.poll_due(cx).map(End::Cut);
                }
            }
        }
    }

    /// Sends what goes ahead of the response.
    fn send_interim(&mut self) {
        let interim = self.service.interim();
        if !interim.is_pending() {
            return;
        }
        let (hints, wants_body) = interim.take();
        if wants_body {
            inform(&mut self.respond, StatusCode::CONTINUE, HeaderMap::new());
        }
        for headers in hints {
            inform(&mut self.respond, StatusCode::EARLY_HINTS, headers);
        }
    }

    /// The response begins.
    fn begin(&mut self, response: Response<TrackedBody>) -> Option<End> {
        let (head, body) = response.into_parts();
        let whole = body.is_end_stream();
        let sent = self.respond.send_response(Response::from_parts(head, ()), whole);
        let stream = match sent {
            Ok(stream) if !whole => stream,
            Ok(_) => return Some(End::Given),
            // The head is one that HTTP/2 has: the server has seen to that. So it is the stream that is no more.
            Err(_) => return Some(End::Abandoned),
        };
        let outlet = Outlet::new(stream, self.state().clone(), self.room.clone());
        let late = self.state().is_forced();
        self.step = Step::Sending(Box::new(Sending { body, outlet, ahead: None, late, given: false }));
        None
    }

    /// The app speaks to the client itself from now on. `None` where that cannot be: the request is dropped, which tells the app
    /// that the client has gone.
    fn hijack(&mut self, request: HijackRequest) -> Option<Tunnel> {
        let Wanted { asked, protocol } = &mut self.wanted;
        let room = self.room.clone();
        Tunnel::open(request, *asked, protocol.take(), self.service.state().clone(), room, self.service.shared()).ok()
    }

    /// Waits for the end of the time that the client has to take more.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let timeouts = &self.service.shared().settings.timeouts;
        loop {
            let Some((at, due)) = self.service.state().output_due(timeouts) else { return Poll::Pending };
            let now = now();
            if now < at {
                match &mut self.timer {
                    Some(timer) if timer.deadline().into_std() == at => {}
                    Some(timer) => timer.as_mut().reset(at.into()),
                    timer => *timer = Some(Box::pin(sleep_until(at.into()))),
                }
                if let Some(timer) = &mut self.timer {
                    ready!(timer.as_mut().poll(cx));
                }
                continue;
            }
            if let Due::Rate = due {
                self.service.state().check_pace(now, timeouts);
                if let Some(outlet) = self.outlet() {
                    outlet.given().check();
                }
                continue;
            }
            if self.look.as_ref().is_none_or(|(for_at, _)| *for_at != at) {
                self.look = Some((at, look_at_sockets()));
            }
            if let Some((_, look)) = &mut self.look {
                // What the connection has heard of by then, the stream was polled with before it came here again.
                ready!(Pin::new(look).poll(cx));
            }
            self.service.shared().services.stats.too_slow.inc();
            return Poll::Ready(Reason::CANCEL);
        }
    }
}

/// Sends an interim response.
pub(super) fn inform(respond: &mut SendResponse<Piece>, status: StatusCode, mut headers: HeaderMap) {
    hop_by_hop::remove(&mut headers);
    let mut message = Response::new(());
    (*message.status_mut(), *message.headers_mut()) = (status, headers);
    // A client that has gone needs no hint.
    let _ = respond.send_informational(message);
}

impl Future for Stream {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            this.waker = Some(cx.waker().clone());
        }
        let by = match ready!(this.poll_end(cx)) {
            End::Given => return Poll::Ready(()),
            End::Abandoned => By::Client,
            End::Cut(reason) => {
                this.respond.send_reset(reason);
                By::Server
            }
        };
        this.service.state().abort_upload();
        this.service.shared().services.stats.http2_resets.inc(by);
        Poll::Ready(())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.given {
            return;
        }
        // What was taken of the body may be the whole of it, and all of that be here still.
        let ahead = match &self.ahead {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        self.body.is_cut((ahead + self.outlet.unsent()) as u64);
    }
}

impl Sending {
    /// The client takes nothing more for now: the body may have to be put aside, out of memory.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.ahead.is_none()
            && !self.body.is_end_stream()
            && let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx)
        {
            self.ahead = Some(frame);
        }
    }

    /// Gives h2 what there is of the body, as far as the client's window and the socket take it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let whole = self.ahead.is_none() && self.body.is_end_stream();
            match self.outlet.poll(cx, whole) {
                Poll::Ready(Given::All) => {}
                Poll::Ready(Given::Last) => return Poll::Ready(End::Given),
                Poll::Ready(Given::Nothing) => return Poll::Ready(End::Abandoned),
                Poll::Pending => {
                    self.look_ahead(cx);
                    return Poll::Pending;
                }
            }
            let next = match self.ahead.take() {
                Some(frame) => Poll::Ready(frame),
                None => Pin::new(&mut self.body).poll_frame(cx),
            };
            let Poll::Ready(frame) = next else {
                // Where the body waits for all before it to be written, this may tell it so.
                self.outlet.is_idle();
                return Poll::Pending;
            };
            let end = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if chunk.is_empty() && self.body.is_end_stream() => self.outlet.finish(None),
                    Ok(chunk) => {
                        self.outlet.give(chunk);
                        continue;
                    }
                    Err(frame) => self.outlet.finish(frame.into_trailers().ok()),
                },
                None => self.outlet.finish(None),
                // The app did not finish it.
                Some(Err(_)) => End::Cut(Reason::INTERNAL_ERROR),
            };
            return Poll::Ready(end);
        }
    }
}
