//! The response to one request, as a future that hyper polls. The future is a named, unpinned type, because hyper gives a
//! connection back only then.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderValue, StatusCode, Version, header, request::Parts};
use http_body::Body;
use hyper::ext::ReasonPhrase;
use tokio::time::Sleep;

use super::{
    framing::{Framed, Framing},
    response_body::{EndReporter, Line, Meter, TrackedBody},
    service::Service,
    spill::Spill,
};
use crate::{
    exchange::{Answer, Awaited, Tentative},
    http::{
        added_headers,
        body::{RequestBody, ResponseBody, Start},
        response::{self, Refusal, Response},
    },
    stats::{Shed, Times, refused::Refused},
};

/// The response to come.
pub(super) struct ResponseFuture {
    service: Service,
    state: ResponseState,
    framing: Framing,
    received: Instant,
    /// The request's id, where requests have one.
    id: Option<HeaderValue>,
    line: Option<Line>,
    /// `None` for a probe.
    meter: Option<Meter>,
}

/// A request body on its way to memory or a file, with the head that waits for it.
pub(super) type Receiving = dyn Future<Output = Result<(Parts, RequestBody), Refusal>> + Send;

/// What the response waits for.
pub(super) enum ResponseState {
    /// The body is arriving.
    Receiving(Pin<Box<Receiving>>),
    /// The exchange is queued or running.
    Waiting(Awaited),
    /// The app has answered, and nothing of the body has come yet.
    Tentative(Box<Tentative>, Times, Pin<Box<Sleep>>),
    /// The app has the connection; there is no response.
    Hijacked,
    /// The server answers in the app's place.
    Refused(Refusal),
    /// The server answers a probe. `None` once the response is sent.
    Probed(Option<Response>),
}

/// What a request leaves behind: its id, its line in the access log, its count.
pub(super) struct Trace {
    pub(super) id: Option<HeaderValue>,
    pub(super) line: Option<Line>,
    pub(super) meter: Meter,
}

impl ResponseFuture {
    /// The response to a request that counts: the app's, or a refusal in its place.
    pub(super) fn new(
        service: Service,
        state: ResponseState,
        framing: Framing,
        received: Instant,
        trace: Trace,
    ) -> Self {
        let Trace { id, line, meter } = trace;
        Self { service, state, framing, received, id, line, meter: Some(meter) }
    }

    /// The server answers a probe by itself. It counts neither as a request nor as a reason to keep the connection.
    pub(super) fn probed(service: Service, response: Response, framing: Framing, received: Instant) -> Self {
        let state = ResponseState::Probed(Some(response));
        Self { service, state, framing, received, id: None, line: None, meter: None }
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<TrackedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let response = match &mut this.state {
                ResponseState::Refused(refusal) => {
                    let refusal = *refusal;
                    this.refused(refusal);
                    refusal.into_response()
                }
                ResponseState::Probed(response) => response.take().unwrap_or_else(Response::app_failed),
                ResponseState::Receiving(_) | ResponseState::Waiting(_) | ResponseState::Tentative(..)
                    if this.service.state().is_forced() =>
                {
                    this.give_up();
                    continue;
                }
                ResponseState::Receiving(receiving) => {
                    this.state = match ready!(receiving.as_mut().poll(cx)) {
                        Ok((head, body)) => this.service.submit(head, body, this.received, super::now()),
                        Err(refusal) => ResponseState::Refused(refusal),
                    };
                    continue;
                }
                ResponseState::Hijacked => return Poll::Pending,
                ResponseState::Tentative(tentative, times, timer) => {
                    let (start, times) = (ready!(poll_start(tentative, timer.as_mut(), cx)), *times);
                    match (start, std::mem::replace(&mut this.state, ResponseState::Hijacked)) {
                        (Start::Recalled, ResponseState::Tentative(tentative, ..)) => {
                            this.state = ResponseState::Waiting(tentative.instead);
                            continue;
                        }
                        (Start::Begins, ResponseState::Tentative(tentative, ..)) => {
                            this.answered(times);
                            tentative.response
                        }
                        _ => {
                            this.answered(times);
                            Response::app_failed()
                        }
                    }
                }
                ResponseState::Waiting(answer) => match ready!(this.service.poll_answer(Pin::new(answer), cx)) {
                    Ok(answer) => match this.take(answer) {
                        Some(response) => response,
                        None => continue,
                    },
                    // The worker dropped its responder.
                    Err(_) => Response::app_failed(),
                },
            };
            return Poll::Ready(Ok(this.begin(response)));
        }
    }
}

/// Waits until it is known whether the response begins.
fn poll_start(tentative: &mut Tentative, timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Start> {
    let ResponseBody::Stream(stream) = &mut tentative.response.body else { return Poll::Ready(Start::Begins) };
    match stream.poll_start(cx) {
        Poll::Pending => timer.poll(cx).map(|()| stream.start()),
        known => known,
    }
}

impl ResponseFuture {
    /// A worker has answered.
    fn answered(&mut self, times: Times) {
        self.service.shared().services.stats.answered(&times);
        if let Some(line) = &mut self.line {
            line.note(|record| record.times = Some(times));
        }
    }

    /// The exchange has ended: with a response that begins now, or with something else to wait for.
    fn take(&mut self, answer: Answer) -> Option<Response> {
        self.state = match answer {
            Answer::Response(response, times) => {
                self.answered(times);
                return Some(response);
            }
            Answer::Tentative(tentative, times) => {
                let timer = Box::pin(tokio::time::sleep(tentative.head_delay));
                ResponseState::Tentative(tentative, times, timer)
            }
            Answer::Refused(refusal, times) => {
                self.answered(times);
                ResponseState::Refused(refusal)
            }
            Answer::SentBack(reason) => ResponseState::Refused(self.service.shed(reason)),
            Answer::TimedOut => {
                // The app may never read the rest of a body that it was to read while it arrives.
                let closes = self.service.state().abort_upload();
                ResponseState::Refused(Refusal::timed_out(closes))
            }
            // The connection's task takes the request from the state when hyper has written everything.
            Answer::Hijack(request, times) => {
                self.answered(times);
                if let Some(line) = &mut self.line {
                    line.note(|record| record.hijacked = true);
                }
                self.service.state().hijack(request);
                ResponseState::Hijacked
            }
        };
        None
    }

    /// The server refuses the request in the app's place.
    fn refused(&mut self, refusal: Refusal) {
        if refusal.closes() {
            self.service.state().request_refused();
        }
        if let Some(reason) = Refused::after_head(refusal.status()) {
            self.service.refused(reason, super::now());
            if let Some(line) = &mut self.line {
                line.note(|record| record.refused = Some(reason));
            }
        }
    }

    /// The drain's budget was used up before there was an answer.
    fn give_up(&mut self) {
        if let ResponseState::Waiting(_) | ResponseState::Tentative(..) = self.state {
            self.service.shared().request_cut();
        }
        self.state = ResponseState::Refused(self.service.shed(Shed::Ending));
    }

    /// Gives the response to hyper: adds the server's own headers, and ties the body to the connection's state.
    fn begin(&mut self, response: Response) -> http::Response<TrackedBody> {
        let framed = self.framing.frame(response, self.service.shared());
        let Framed { status, mut headers, mut body, length, unsure, close_delimited } = framed;
        if let Some(id) = self.id.take() {
            headers.entry(added_headers::REQUEST_ID).or_insert(id);
        }
        let probed = matches!(self.state, ResponseState::Probed(_));
        // A connection of HTTP/2 ends otherwise.
        let http2 = self.framing.is_http2();
        let told = !http2 && !probed && self.service.tells_close();
        if told {
            self.service.shared().services.stats.told_close.inc();
        }
        // hyper's own would stay as it is until a clock that was set back has come there again.
        headers.entry(header::DATE).or_insert_with(|| self.service.shared().services.date.now());
        if !http2 && (told || probed || close_delimited || self.service.is_used_up()) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.service.response_begun(close_delimited);
        if let Some(line) = &mut self.line {
            line.note(|record| (record.status, record.cut) = (Some(status.as_u16()), true));
        }
        if let Some(meter) = &mut self.meter {
            meter.answered(status);
        }
        let (shared, state) = (self.service.shared(), self.service.state());
        let mut tracked = TrackedBody {
            spill: Spill::of(&mut body, shared, state, http2),
            source: body,
            left: length,
            declared: unsure,
            line: self.line.take(),
            end: EndReporter { state: state.clone(), meter: self.meter.take() },
            cut: None,
        };
        if tracked.is_end_stream() {
            tracked.is_whole();
        }
        self.message(status, headers, tracked)
    }

    fn message(&self, status: StatusCode, headers: http::HeaderMap, body: TrackedBody) -> http::Response<TrackedBody> {
        let mut message = http::Response::new(body);
        let reason = response::reason(status);
        if !self.framing.is_http2() && status.canonical_reason() != Some(reason) {
            // hyper would say "<none>", or a name that is out of date.
            message.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
        }
        *message.status_mut() = status;
        // To an HTTP/1.0 client that asked for it, hyper says `keep-alive` unless the response is of its version.
        if self.framing.version == Version::HTTP_10 && headers.contains_key(header::CONNECTION) {
            *message.version_mut() = Version::HTTP_10;
        }
        *message.headers_mut() = headers;
        message
    }
}
