//! From a request head to its response: hyper's service, and a future that waits for the app. The future is a named,
//! unpinned type, because hyper gives a connection back only then.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderValue, Method, StatusCode, Version, header, request::Parts};
use http_body::Body;
use hyper::{body::Incoming, ext::ReasonPhrase};
use tokio::{sync::oneshot::error::RecvError, time::Sleep};

use super::{
    Shared,
    meter::Meter,
    response_body::{End, Line, Outgoing},
    spill::Spill,
    state::{Begun, ConnectionState},
    wrong_length::{Declared, Target},
};
use crate::{
    config::Timeouts,
    exchange::{Answer, Awaited, Exchange, Tentative, interim::Interim},
    http::{
        added_headers,
        body::{RequestBody, ResponseBody, Start, Terms, Unreceived},
        request::{self, Peer, Request},
        response::{self, MOST_HEADER_NAMES, Refusal, Response},
    },
    log::access::Record,
    pool::Rejected,
    stats::{Shed, Times, refused::Refused},
};

/// Turns hyper's requests into exchanges.
#[derive(Clone, Debug)]
pub(super) struct Service {
    shared: Arc<Shared>,
    activity: Arc<ConnectionState>,
    interim: Arc<Interim>,
    peer: Arc<Peer>,
    /// The connection came after SIGTERM: every response on it says `close`.
    one_shot: bool,
}

impl Service {
    pub(super) fn new(
        shared: Arc<Shared>,
        activity: Arc<ConnectionState>,
        interim: Arc<Interim>,
        peer: Arc<Peer>,
        one_shot: bool,
    ) -> Self {
        Self { shared, activity, interim, peer, one_shot }
    }

    pub(super) fn activity(&self) -> &ConnectionState {
        &self.activity
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The server answers a probe by itself. It counts neither as a request nor as a reason to keep the connection.
    fn probed(&self, response: Response, framing: Framing, received: Instant) -> Reply {
        let state = State::Probed(Some(response));
        Reply { service: self.clone(), state, framing, received, target: None, id: None, line: None, meter: None }
    }

    /// How a request body is received that has to be whole by `until`.
    fn terms(&self, until: Option<Instant>) -> Terms {
        let Timeouts { body_timeout: body, min_data_rate: min_rate, .. } = self.shared.timeouts;
        Terms { limits: self.shared.limits, patience: body, min_rate, until, budget: self.shared.budget.clone() }
    }

    /// Leaves a trace of what is answered past hyper: `line` is what there is of its first line.
    pub(super) fn trace(&self, refusal: Refusal, reason: Option<Refused>, line: Option<&[u8]>) {
        let now = super::now();
        if let Some(reason) = reason {
            self.refused(reason, now);
        }
        if let Some(access) = &self.shared.access {
            let began = self.activity.head_since().unwrap_or(now);
            let mut record = Record::of_half_a_head(line, self.peer.clone(), began);
            (record.status, record.refused) = (Some(refusal.status().as_u16()), reason);
            record.bytes = refusal.body_length();
            record.draining = self.shared.phase().is_stopping();
            access.take(Box::new(record), now);
        }
    }

    /// Counts a refusal, and tells the operator of what may be a mistake of theirs.
    fn refused(&self, reason: Refused, now: Instant) {
        self.shared.stats.refused.inc(reason);
        if reason == Refused::Tls {
            self.shared.troubles.tls_met(&self.peer, now);
        }
    }

    /// Waits for the answer, and for hints ahead of it.
    fn heed(&self, answer: Pin<&mut Awaited>, cx: &mut Context<'_>) -> Poll<Result<Answer, RecvError>> {
        let answered = answer.poll(cx);
        if answered.is_pending() {
            self.interim.wake_on_hint(cx.waker());
        }
        answered
    }

    fn submit(&self, head: Parts, body: RequestBody, received: Instant, queued: Instant) -> State {
        let interim = (head.version >= Version::HTTP_11).then(|| self.interim.clone());
        let peer = self.peer.clone();
        let (exchange, answer) = Exchange::new(Request { head, body, peer, received, queued }, interim);
        match self.shared.queue.submit(exchange) {
            Ok(()) => State::Waiting(answer),
            Err(rejected) => {
                let (reason, refusal) = match rejected {
                    Rejected::Full(_) => (Shed::QueueFull, Refusal::busy()),
                    Rejected::Closed(_) => (Shed::Ending, Refusal::ending()),
                };
                self.shared.stats.shed.inc(reason);
                State::Refused(refusal)
            }
        }
    }
}

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<Outgoing>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: http::Request<Incoming>) -> Reply {
        let received = super::now();
        let (mut head, incoming) = request.into_parts();
        let whole = self.shared.timeouts.receive_timeout;
        let until = whole.map(|limit| self.activity.head_since().unwrap_or(received) + limit);
        let Begun { arrival, target } = self.activity.request_begun(request::wants_keep_alive(&head));
        if let Some(target) = target {
            head.extensions.insert(target);
        }
        self.interim.request_begun();
        let framing = Framing { head_only: head.method == Method::HEAD, version: head.version };
        if let Some(response) = self.shared.answer_probe(&head, received) {
            if !incoming.is_end_stream() {
                self.activity.request_refused();
            }
            return self.probed(response, framing, received);
        }
        if let Some(at) = arrival
            && !self.shared.probes.is_probe(&head)
        {
            self.activity.counts_as_traffic();
            self.shared.traffic.arrived(self.peer.source, at);
        }
        let meter = Meter::start(self.shared.clone(), &head.method, received);
        let id = self.shared.added_headers.add_to(&mut head.headers);
        let line =
            self.shared.access.as_ref().map(|_| Line::new(&head, self.peer.clone(), self.shared.clone(), received));
        let target = Some(Target::of(&head));
        let state = match request::check(&head) {
            Err(refusal) => State::Refused(refusal),
            Ok(()) if incoming.is_end_stream() => self.submit(head, RequestBody::Empty, received, received),
            Ok(()) if self.shared.limits.stream_input => {
                let asked_for = head.headers.contains_key(header::EXPECT);
                match RequestBody::stream(incoming, self.terms(until), asked_for) {
                    Ok(body) => {
                        if let RequestBody::Stream(feed) = &body {
                            self.activity.upload_begun(feed.breaker());
                        }
                        self.submit(head, body, received, received)
                    }
                    Err(refusal) => State::Refused(refusal),
                }
            }
            Ok(()) => {
                let (terms, shared) = (self.terms(until), self.shared.clone());
                State::Receiving(Box::pin(async move {
                    match RequestBody::receive(incoming, terms, &shared.spool_directory).await {
                        Ok(body) => Ok((head, body)),
                        Err(Unreceived::Refused(refusal)) => Err(refusal),
                        Err(Unreceived::Unwritten(error)) => {
                            shared.troubles.spool_failed(&error, &shared.spool_directory, super::now());
                            Err(Refusal::closing(StatusCode::INSUFFICIENT_STORAGE))
                        }
                    }
                }))
            }
        };
        Reply { service: self.clone(), state, framing, received, target, id, line, meter: Some(meter) }
    }
}

/// What the response to this request may look like.
#[derive(Clone, Copy, Debug)]
struct Framing {
    /// HEAD: the length of a body that is not sent.
    head_only: bool,
    version: Version,
}

/// The response to come.
pub(super) struct Reply {
    service: Service,
    state: State,
    framing: Framing,
    received: Instant,
    /// What was asked for; `None` for a probe.
    target: Option<Target>,
    /// The request's id, where requests have one.
    id: Option<HeaderValue>,
    line: Option<Line>,
    meter: Option<Meter>,
}

type Receiving = dyn Future<Output = Result<(Parts, RequestBody), Refusal>> + Send;

enum State {
    /// The body is arriving.
    Receiving(Pin<Box<Receiving>>),
    /// The exchange is queued or running.
    Waiting(Awaited),
    /// The app has answered, and nothing of the body has come yet.
    Tentative(Box<Tentative>, Times, Pin<Box<Sleep>>),
    /// The app has the connection; there is no response.
    TakenOver,
    /// The server answers by itself.
    Refused(Refusal),
    /// The same, to a probe; there until it is sent.
    Probed(Option<Response>),
}

impl Future for Reply {
    type Output = Result<http::Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let response = match &mut this.state {
                State::Refused(refusal) => {
                    let refusal = *refusal;
                    if refusal.closes() {
                        this.service.activity.request_refused();
                    }
                    if let Some(reason) = Refused::after_head(refusal.status()) {
                        this.service.refused(reason, super::now());
                        if let Some(line) = &mut this.line {
                            line.note(|record| record.refused = Some(reason));
                        }
                    }
                    refusal.into_response()
                }
                State::Probed(response) => response.take().unwrap_or_else(Response::app_failed),
                State::Receiving(_) | State::Waiting(_) | State::Tentative(..) if this.service.activity.is_forced() => {
                    this.give_up();
                    continue;
                }
                State::Receiving(receiving) => {
                    this.state = match ready!(receiving.as_mut().poll(cx)) {
                        Ok((head, body)) => this.service.submit(head, body, this.received, super::now()),
                        Err(refusal) => State::Refused(refusal),
                    };
                    continue;
                }
                State::TakenOver => return Poll::Pending,
                State::Tentative(tentative, times, timer) => {
                    let (start, times) = (ready!(poll_start(tentative, timer.as_mut(), cx)), *times);
                    match (start, std::mem::replace(&mut this.state, State::TakenOver)) {
                        (Start::Recalled, State::Tentative(tentative, ..)) => {
                            this.state = State::Waiting(tentative.instead);
                            continue;
                        }
                        (Start::Begins, State::Tentative(tentative, ..)) => {
                            this.answered(times);
                            tentative.response
                        }
                        _ => {
                            this.answered(times);
                            Response::app_failed()
                        }
                    }
                }
                State::Waiting(answer) => match ready!(this.service.heed(Pin::new(answer), cx)) {
                    Ok(Answer::Response(response, times)) => {
                        this.answered(times);
                        response
                    }
                    Ok(Answer::Tentative(tentative, times)) => {
                        let timer = Box::pin(tokio::time::sleep(tentative.hold));
                        this.state = State::Tentative(tentative, times, timer);
                        continue;
                    }
                    Ok(Answer::Refused(refusal, times)) => {
                        this.answered(times);
                        this.state = State::Refused(refusal);
                        continue;
                    }
                    Ok(Answer::SentBack(reason)) => {
                        this.service.shared.stats.shed.inc(reason);
                        let ends = reason == Shed::Ending;
                        this.state = State::Refused(if ends { Refusal::ending() } else { Refusal::busy() });
                        continue;
                    }
                    // The connection's task looks for it when hyper has no more to do.
                    Ok(Answer::HijackRequest(request, times)) => {
                        this.answered(times);
                        if let Some(line) = &mut this.line {
                            line.note(|record| record.hijacked = true);
                        }
                        this.service.activity.hijack(request);
                        this.state = State::TakenOver;
                        continue;
                    }
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

impl Reply {
    /// A worker has answered.
    fn answered(&mut self, times: Times) {
        self.service.shared.stats.answered(&times);
        if let Some(line) = &mut self.line {
            line.note(|record| record.times = Some(times));
        }
    }

    /// The server's patience has ended before there was an answer.
    fn give_up(&mut self) {
        if let State::Waiting(_) | State::Tentative(..) = self.state {
            self.service.shared.request_cut();
        }
        self.service.shared.stats.shed.inc(Shed::Ending);
        self.state = State::Refused(Refusal::ending());
    }

    /// Frames the response and makes it hyper's.
    fn begin(&mut self, mut response: Response) -> http::Response<Outgoing> {
        if response.headers.keys_len() > MOST_HEADER_NAMES {
            // No room for those that frame the message: to add one would panic, here or in hyper.
            response = Response::app_failed();
        }
        let Response { status, mut headers, body } = response;
        let none = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        let bodiless = self.framing.head_only || none;
        match status {
            StatusCode::NO_CONTENT => drop(headers.remove(header::CONTENT_LENGTH)),
            // It says that there is no content (RFC 9110 §15.3.6).
            StatusCode::RESET_CONTENT => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"))),
            _ => {}
        }
        // hyper alone frames the message.
        headers.remove(header::TRANSFER_ENCODING);
        if self.framing.head_only
            && !none
            && !headers.contains_key(header::CONTENT_LENGTH)
            && let (ResponseBody::Full(_) | ResponseBody::Parts(_), Some(length)) = (&body, body.length())
        {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let declares = if none { None } else { declared.and_then(|declared| self.declares(declared, &body)) };
        let mut source = if bodiless { ResponseBody::Empty } else { body };
        // HTTP/1.0 knows no chunks: where no length is known, the end of the connection is the end of the body.
        let close_delimited =
            matches!(source, ResponseBody::Stream(_)) && declared.is_none() && self.framing.version < Version::HTTP_11;
        if let Some(id) = self.id.take() {
            headers.entry(added_headers::REQUEST_ID).or_insert(id);
        }
        let probed = matches!(self.state, State::Probed(_));
        let told = !probed && self.tells_close();
        if told {
            self.service.shared.stats.told_close.inc();
        }
        if told || probed || close_delimited {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.service.activity.response_begun(close_delimited);
        self.service.interim.response_begun();
        if let Some(line) = &mut self.line {
            line.note(|record| (record.status, record.cut) = (Some(status.as_u16()), true));
        }
        if let Some(meter) = &mut self.meter {
            meter.answered(status);
        }
        let mut outgoing = Outgoing {
            spill: Spill::of(&mut source, &self.service.shared, &self.service.activity),
            source,
            left: if bodiless { None } else { declared },
            declared: declares,
            line: self.line.take(),
            end: End { activity: self.service.activity.clone(), meter: self.meter.take() },
            cut: None,
        };
        if outgoing.is_end_stream() {
            outgoing.is_whole();
        }
        let mut message = http::Response::new(outgoing);
        let reason = response::reason(status);
        if status.canonical_reason() != Some(reason) {
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

    /// Compares the body's length with the one declared, where the app has given both. What can't be known yet is compared
    /// later: by a stream's end, and by the reader of a file.
    fn declares(&mut self, declared: u64, body: &ResponseBody) -> Option<Box<Declared>> {
        // To HEAD, an app may tell the length of a body that it does not make.
        if self.framing.head_only && matches!(body, ResponseBody::Empty | ResponseBody::Stream(_)) {
            return None;
        }
        let whole = body.length();
        if whole == Some(declared) && !matches!(body, ResponseBody::File(_)) {
            return None;
        }
        let declares = self.target.take()?.declares(declared, self.service.shared.clone());
        match (body, whole) {
            (ResponseBody::Stream(stream), _) => stream.expect(declared, move |actual| declares.compare(actual)),
            (_, Some(actual)) if actual != declared => declares.compare(actual),
            _ => return Some(Box::new(declares)),
        }
        None
    }

    /// Whether a drain wants this connection's client to open its next one elsewhere.
    fn tells_close(&self) -> bool {
        let phase = self.service.shared.phase();
        let probability = if self.service.one_shot { 1.0 } else { phase.close_probability(super::now()) };
        probability > 0.0 && fastrand::f64() < probability
    }
}
