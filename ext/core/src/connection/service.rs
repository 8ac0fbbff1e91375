//! From a request head to an exchange in the queue: hyper's service.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{StatusCode, Version, header, request::Parts};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::oneshot::error::RecvError;

use super::{
    Shared,
    framing::Framing,
    now,
    response_body::{Line, Meter, TrackedBody},
    response_future::{ResponseFuture, ResponseState, Trace},
    state::{Begun, ConnectionState},
};
use crate::{
    cluster::handover::Traits,
    config::{Limits, Timeouts},
    exchange::{Answer, Awaited, Exchange, interim::Interim, time_limit::TimeLimits},
    http::{
        body::{BodyLimits, RequestBody, Unreceived},
        forwarded::{self, Forwarded},
        request::{self, Peer, Request},
        response::Refusal,
    },
    log::access,
    pool::Rejected,
    stats::{Shed, flood::Flood, refused::Refused},
};

/// Turns hyper's requests into exchanges.
#[derive(Clone, Debug)]
pub(super) struct Service {
    shared: Arc<Shared>,
    state: Arc<ConnectionState>,
    interim: Arc<Interim>,
    peer: Arc<Peer>,
    /// Of the app's time with each request, where that is limited.
    time_limits: Option<Arc<TimeLimits>>,
    /// The connection came after SIGTERM: every response on it says `close`.
    one_shot: bool,
    /// No sibling can have the connection.
    stays: bool,
}

impl Service {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: Arc<ConnectionState>,
        interim: Arc<Interim>,
        peer: Arc<Peer>,
        (one_shot, stays): (bool, bool),
    ) -> Self {
        let time_limits = shared.settings.request_timeout.map(|_| Arc::default());
        Self { shared, state, interim, peer, time_limits, one_shot, stays }
    }

    /// Of one stream of a connection that has several.
    pub(super) fn of_stream(&self, state: Arc<ConnectionState>) -> Self {
        let time_limits = self.time_limits.as_ref().map(|_| Arc::default());
        Self { state, interim: Arc::default(), time_limits, ..self.clone() }
    }

    pub(super) fn interim(&self) -> &Arc<Interim> {
        &self.interim
    }

    pub(super) fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    /// Whether every response on the connection says `close`.
    pub(super) fn is_one_shot(&self) -> bool {
        self.one_shot
    }

    /// What a sibling has to know that takes the connection.
    pub(super) fn traits(&self) -> Traits {
        let counts = self.shared.settings.limits.max_keep_alive.is_some();
        let requests = if counts { self.state.requests() } else { 0 };
        Traits { fresh: self.state.is_fresh(), one_shot: self.one_shot, requests, ..Traits::default() }
    }

    /// Whether the connection has had all the requests that one may have.
    pub(super) fn is_used_up(&self) -> bool {
        let limit = self.shared.settings.limits.max_keep_alive;
        limit.is_some_and(|limit| self.state.requests() >= limit)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How a request body is received that has to be whole by `receive_deadline`.
    fn terms(&self, receive_deadline: Option<Instant>) -> BodyLimits {
        let Timeouts { body_timeout, min_data_rate, .. } = self.shared.settings.timeouts;
        let Limits { http_content_length_limit, body_memory_limit, .. } = self.shared.settings.limits;
        let budget = self.shared.bounds.bodies.clone();
        BodyLimits {
            http_content_length_limit,
            body_memory_limit,
            body_timeout,
            min_data_rate,
            receive_deadline,
            budget,
        }
    }

    /// Counts and logs a request that is refused past hyper. `line` is as much of its first line as has come.
    pub(super) fn trace(&self, refusal: Refusal, reason: Option<Refused>, line: Option<&[u8]>) {
        let now = now();
        if let Some(reason) = reason {
            self.refused(reason, now);
        }
        if let Some(access) = &self.shared.services.access_log {
            let began = self.state.head_since().unwrap_or(now);
            let mut record = access::Record::of_half_a_head(line, self.peer.clone(), began);
            (record.status, record.refused) = (Some(refusal.status().as_u16()), reason);
            record.bytes = refusal.body_length();
            record.draining = self.shared.phase().is_stopping();
            access.write(Box::new(record), now);
        }
    }

    /// Counts a client that was found to flood the server, and tells the operator.
    pub(super) fn flooded(&self, flood: Flood) {
        self.shared.services.stats.http2_floods.inc(flood);
        self.shared.services.warnings.flooded(&self.peer, flood, now());
    }

    /// Counts a refusal, and tells the operator where it may come from a mistake in the configuration.
    pub(super) fn refused(&self, reason: Refused, now: Instant) {
        self.shared.services.stats.refused.inc(reason);
        if reason == Refused::Tls {
            self.shared.services.warnings.tls_met(&self.peer, now);
        }
    }

    /// Waits for the answer, for hints ahead of it, and for the end of the app's time.
    pub(super) fn poll_answer(
        &self,
        answer: Pin<&mut Awaited>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, RecvError>> {
        if self.time_limits.as_ref().is_some_and(|limits| limits.poll_exceeded(cx)) {
            return Poll::Ready(Ok(Answer::TimedOut));
        }
        let answered = answer.poll(cx);
        if answered.is_pending() {
            self.interim.wake_on_hint(cx.waker());
        }
        answered
    }

    /// `close_delimited`: the end of the connection is the end of the body.
    pub(super) fn response_begun(&self, close_delimited: bool) {
        self.state.response_begun(close_delimited);
        self.interim.response_begun();
    }

    /// Whether this response says `close`, so that the client opens its next connection elsewhere.
    pub(super) fn tells_close(&self) -> bool {
        let phase = self.shared.phase();
        let siblings = &self.shared.services.siblings;
        let turned_away = || phase.hands_over() && (self.stays || siblings.as_ref().is_none_or(|all| all.turns_away()));
        let probability = if self.one_shot || turned_away() { 1.0 } else { phase.close_probability(now()) };
        probability > 0.0 && fastrand::f64() < probability
    }

    /// The same for one request: its client may be the one that trusted proxies tell of.
    fn of_request(&self, head: &mut Parts) -> Self {
        let mut service = self.clone();
        let forwarding = &self.shared.settings.forwarding;
        if !forwarding.is_needed() {
            return service;
        }
        if !forwarding.trusted_proxies.contains(self.peer.sender()) {
            if forwarding.strip_forwarded {
                forwarded::strip(&mut head.headers, forwarding);
            }
        } else if let Ok(mut told) = forwarded::read(&head.headers, forwarding)
            && told != Forwarded::default()
        {
            if forwarding.remote_address.is_some() {
                told.client = None;
            }
            service.peer = Arc::new(self.peer.told_of(told));
        }
        service
    }

    /// Puts a request into the queue, or refuses it where there is no room.
    pub(super) fn submit(&self, head: Parts, body: RequestBody, received: Instant, queued: Instant) -> ResponseState {
        let interim = (head.version >= Version::HTTP_11).then(|| self.interim.clone());
        let peer = self.peer.clone();
        let (exchange, answer) = Exchange::new(Request { head, body, peer, received, queued }, interim);
        let exchange = exchange.limited(self.time_limits.as_ref().map(TimeLimits::begin));
        match self.shared.services.queue.submit(exchange) {
            Ok(()) => ResponseState::Waiting(answer),
            Err(rejected) => ResponseState::Refused(self.shed(match rejected {
                Rejected::Full(_) => Shed::QueueFull,
                Rejected::Closed(_) => Shed::Ending,
            })),
        }
    }

    /// The app does not get the request: counts that, tells the operator why where the server does not end, and returns what the
    /// client is told.
    pub(super) fn shed(&self, reason: Shed) -> Refusal {
        let services = &self.shared.services;
        services.stats.shed.inc(reason);
        match reason {
            Shed::QueueFull => services.warnings.queue_full(|| services.queue.max_queue(), now()),
            Shed::QueueTimeout => {
                services.warnings.queue_timed_out(|| services.queue.queue_timeout().unwrap_or_default(), now());
            }
            Shed::Ending => return Refusal::ending(),
        }
        Refusal::busy()
    }

    /// Has the app read the body while it arrives.
    fn stream<B: IncomingBody>(&self, head: Parts, incoming: B, terms: BodyLimits, received: Instant) -> ResponseState {
        let waits_for_continue = head.headers.contains_key(header::EXPECT);
        match RequestBody::stream(incoming, terms, waits_for_continue) {
            Ok(body) => {
                if let RequestBody::Stream(stream) = &body {
                    self.state.upload_begun(stream.abort_handle());
                }
                self.submit(head, body, received, received)
            }
            Err(refusal) => ResponseState::Refused(refusal),
        }
    }

    /// Receives the whole body before the app is called.
    fn receive<B: IncomingBody>(&self, mut head: Parts, incoming: B, terms: BodyLimits) -> ResponseState {
        let shared = self.shared.clone();
        ResponseState::Receiving(Box::pin(async move {
            let spool_directory = &shared.settings.spool_directory;
            match RequestBody::receive(incoming, terms, spool_directory).await {
                Ok((body, trailers)) => {
                    trailers.map(|trailers| head.extensions.insert(trailers));
                    Ok((head, body))
                }
                Err(Unreceived::Refused(refusal)) => Err(refusal),
                Err(Unreceived::Unwritten(error)) => {
                    shared.services.warnings.spool_failed(&error, spool_directory, now());
                    Err(Refusal::closing(StatusCode::INSUFFICIENT_STORAGE))
                }
            }
        }))
    }

    /// The response to a request whose head is complete.
    pub(super) fn respond<B: IncomingBody>(
        &self,
        mut head: Parts,
        incoming: B,
        begun: Begun,
        received: Instant,
    ) -> ResponseFuture {
        let Begun { head_since, arrival, .. } = begun;
        self.interim.request_begun();
        let Shared { settings, services, .. } = &*self.shared;
        if let Some(response) = self.shared.answer_probe(&head, received) {
            if !incoming.is_end_stream() {
                self.state.request_refused();
            }
            return ResponseFuture::probed(self.clone(), response, Framing::of_probe(&head), received);
        }
        if let Some(at) = arrival
            && !settings.probes.is_probe(&head)
            && !self.peer.is_proxy_itself()
        {
            self.state.counts_as_traffic();
            services.traffic.arrived(self.peer.source, at);
        }
        let service = self.of_request(&mut head);
        let meter = Meter::start(self.shared.clone(), &head.method, received);
        let id = settings.added_headers.add_to(&mut head.headers);
        let logged = services.access_log.is_some();
        let line = logged.then(|| Line::new(&head, service.peer.clone(), self.shared.clone(), received));
        let framing = Framing::of_request(&head);
        let receive_deadline = settings.timeouts.receive_timeout.map(|limit| head_since.unwrap_or(received) + limit);
        let state = match request::check(&head) {
            Err(refusal) => ResponseState::Refused(refusal),
            Ok(()) if incoming.is_end_stream() => service.submit(head, RequestBody::Empty, received, received),
            Ok(()) if settings.limits.stream_input => {
                service.stream(head, incoming, service.terms(receive_deadline), received)
            }
            Ok(()) => service.receive(head, incoming, service.terms(receive_deadline)),
        };
        ResponseFuture::new(service, state, framing, received, Trace { id, line, meter })
    }
}

/// The body of a request, as hyper or the stream gives it.
pub(super) trait IncomingBody: Body<Data = Bytes, Error: Error + 'static> + Unpin + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin + Send + 'static> IncomingBody for B {}

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<TrackedBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: http::Request<Incoming>) -> ResponseFuture {
        let (mut head, incoming) = request.into_parts();
        let mut begun = self.state.request_begun(request::wants_keep_alive(&head));
        if let Some(target) = begun.target.take() {
            head.extensions.insert(target);
        }
        self.respond(head, incoming, begun, now())
    }
}
