//! One stream: a request, and its response on the way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep_until};

use super::{
    super::{
        now, response_body::TrackedBody, response_future::ResponseFuture, service::Service, stage::Due,
        state::ConnectionState,
    },
    outgoing::{Given, Piece, Room},
};
use crate::stats::By;

/// A stream, from the head of its request until all of the response has been given to h2.
pub(super) struct Stream {
    service: Service,
    respond: SendResponse<Piece>,
    room: Arc<Room>,
    step: Step,
    timer: Option<Pin<Box<Sleep>>>,
    /// What polls this, once it was polled.
    waker: Option<Waker>,
}

#[expect(clippy::large_enum_variant, reason = "every stream is the larger one first")]
enum Step {
    /// The response is to come.
    Awaiting(ResponseFuture),
    /// It is sent.
    Sending(Box<Sending>),
}

struct Sending {
    body: TrackedBody,
    stream: SendStream<Piece>,
    given: Arc<Given>,
    /// Of the body, and not given to h2 yet.
    chunk: Bytes,
    /// It answers a request that the drain's end has overtaken.
    late: bool,
}

/// How a stream ended.
enum End {
    /// h2 has all of the response.
    Given,
    /// The client has given it up, or has gone.
    Abandoned,
    /// The server gives it up.
    Cut(Reason),
}

impl Stream {
    pub(super) fn new(
        service: Service,
        respond: SendResponse<Piece>,
        response: ResponseFuture,
        room: Arc<Room>,
    ) -> Self {
        Self { service, respond, room, step: Step::Awaiting(response), timer: None, waker: None }
    }

    fn state(&self) -> &Arc<ConnectionState> {
        self.service.state()
    }

    /// The socket takes nothing more.
    pub(super) fn socket_blocked(&self) {
        if let Step::Sending(sending) = &self.step {
            sending.given.socket_blocked();
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
                    if polled.is_pending() && self.state().take_hijack().is_some() {
                        // The app is told that there is no connection for it.
                        return Poll::Ready(End::Cut(Reason::HTTP_1_1_REQUIRED));
                    }
                    let Ok(response) = ready!(polled);
                    if let Some(end) = self.begin(response) {
                        return Poll::Ready(end);
                    }
                }
                Step::Sending(sending) => {
                    let polled = sending.poll(cx);
                    if polled.is_ready() {
                        return polled;
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
            self.inform(StatusCode::CONTINUE, HeaderMap::new());
        }
        hints.into_iter().for_each(|headers| self.inform(StatusCode::EARLY_HINTS, headers));
    }

    fn inform(&mut self, status: StatusCode, headers: HeaderMap) {
        let mut message = Response::new(());
        (*message.status_mut(), *message.headers_mut()) = (status, headers);
        // A client that has gone needs no hint, and one with fields that HTTP/2 does not have is not one for it.
        let _ = self.respond.send_informational(message);
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
        let given = Given::new(self.state().clone(), self.room.clone());
        let late = self.state().is_forced();
        self.step = Step::Sending(Box::new(Sending { body, stream, given, chunk: Bytes::new(), late }));
        None
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
                if let Step::Sending(sending) = &self.step {
                    sending.given.check();
                }
                continue;
            }
            self.service.shared().services.stats.too_slow.inc();
            return Poll::Ready(Reason::CANCEL);
        }
    }
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

impl Sending {
    /// Gives h2 what there is of the body, as far as the client's window and the socket take it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(End::Abandoned);
        }
        loop {
            if self.chunk.is_empty() {
                let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                    self.given.is_idle();
                    // Where the body waits for all before it to be written, that has just told it so.
                    return Poll::Pending;
                };
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(chunk))) if !chunk.is_empty() => self.chunk = chunk,
                    Some(Ok(_)) if !self.body.is_end_stream() => {}
                    Some(Ok(_)) | None => return Poll::Ready(self.finish()),
                    // The app did not finish it.
                    Some(Err(_)) => return Poll::Ready(End::Cut(Reason::INTERNAL_ERROR)),
                }
                continue;
            }
            if let Some(end) = ready!(self.poll_give(cx)) {
                return Poll::Ready(end);
            }
        }
    }

    /// Gives h2 a piece of the chunk.
    fn poll_give(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        self.stream.reserve_capacity(self.chunk.len());
        let mut window = self.stream.capacity();
        if window == 0 {
            window = match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(window))) => window,
                Poll::Ready(_) => return Poll::Ready(Some(End::Abandoned)),
                Poll::Pending => {
                    self.given.is_stuck();
                    return Poll::Pending;
                }
            };
        }
        let Some(piece) = self.given.piece(&mut self.chunk, window, cx.waker()) else {
            self.given.is_stuck();
            return Poll::Pending;
        };
        self.given.goes_on();
        let last = self.chunk.is_empty() && self.body.is_end_stream();
        if self.stream.send_data(piece, last).is_err() {
            return Poll::Ready(Some(End::Abandoned));
        }
        Poll::Ready(last.then_some(End::Given))
    }

    fn finish(&mut self) -> End {
        match self.stream.send_data(Piece::default(), true) {
            Ok(()) => End::Given,
            Err(_) => End::Abandoned,
        }
    }
}
