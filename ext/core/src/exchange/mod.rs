//! An exchange: one request and the one chance to answer it, on its way from a connection to a worker.

pub(crate) mod hijack;
pub(crate) mod interim;
pub(crate) mod time_limit;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use crate::{
    exchange::{
        hijack::{Hijack, HijackRequest},
        interim::Interim,
        time_limit::TimeLimit,
    },
    http::{
        body::{self, BodySender, ReadError, ResponseBody},
        request::Request,
        response::{Refusal, Response},
    },
    stats::{Shed, Times},
    sync::{Unparker, inline_task},
};

/// A worker that answers within this time has not been asked for the GVL by another thread yet.
const SOON: Duration = Duration::from_millis(1);

/// A request with its responder.
#[derive(Debug)]
pub struct Exchange {
    /// What the client wants.
    pub request: Request,
    /// Where the answer goes.
    pub responder: Responder,
}

/// Sends the response, once. Dropped unsent, the client gets 500.
#[derive(Debug)]
pub struct Responder {
    answer: oneshot::Sender<Answer>,
    /// Where hints go; none where the client's HTTP knows no interim responses.
    interim: Option<Arc<Interim>>,
    /// Of the app's time; none where that has no limit.
    time_limit: Option<TimeLimit>,
    /// When a worker took the exchange; before that, when it was queued.
    since: Instant,
    queue_wait: Duration,
    gvl_wait: Duration,
}

/// How an exchange ends.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Response, Times),
    /// A response whose head waits for the first of its body.
    Tentative(Box<Tentative>, Times),
    /// The app speaks to the client itself from now on.
    Hijack(HijackRequest, Times),
    /// The client is at fault: its request is refused as the server refuses one that has not come to the app.
    Refused(Refusal, Times),
    /// No worker took it within `queue_timeout`, or none would have.
    SentBack(Shed),
    /// The app has had it for as long as `request_timeout`.
    TimedOut,
}

/// A response that may still be recalled.
#[derive(Debug)]
pub(crate) struct Tentative {
    pub(crate) response: Response,
    /// How long its head may wait.
    pub(crate) head_delay: Duration,
    /// Where the answer comes from, if it is recalled.
    pub(crate) instead: Awaited,
}

/// The connection's end: resolves to the answer, or to an error when the responder was dropped.
pub(crate) type Awaited = oneshot::Receiver<Answer>;

impl Exchange {
    pub(crate) fn new(request: Request, interim: Option<Arc<Interim>>) -> (Self, Awaited) {
        let (answer, awaited) = oneshot::channel();
        let since = request.queued;
        let responder = Responder {
            answer,
            interim,
            time_limit: None,
            since,
            queue_wait: Duration::ZERO,
            gvl_wait: Duration::ZERO,
        };
        (Self { request, responder }, awaited)
    }

    /// The app's time has this limit.
    pub(crate) fn limited(mut self, time_limit: Option<TimeLimit>) -> Self {
        self.responder.time_limit = time_limit;
        self
    }

    /// A worker takes it at `now`, the time when the worker began to look; the exchange may have come after that.
    pub(crate) fn taken(&mut self, now: Instant) {
        let since = now.max(self.request.queued);
        self.responder.queue_wait = since - self.request.queued;
        self.responder.since = since;
    }

    /// It will not be run: the client is told why.
    pub(crate) fn send_back(self, reason: Shed) {
        // A client that has gone needs no answer.
        let _ = self.responder.answer.send(Answer::SentBack(reason));
    }
}

/// An answer that is ready, and sent when this is dropped. It is boxed, because the stack of each worker has room for some of them, and
/// keeps it while the app runs.
#[derive(Debug)]
pub struct Answered(Option<Box<(oneshot::Sender<Answer>, Answer)>>);

impl Answered {
    /// Whether the app was so quick that its thread will not lose the GVL before it is done.
    pub(crate) fn came_soon(&self) -> bool {
        self.0.as_deref().is_some_and(|(_, answer)| matches!(answer, Answer::Response(_, times) if times.app < SOON))
    }

    /// Sends it and does the connection's next step on this thread, so that the I/O thread is not woken. For a worker that has
    /// nothing else to do.
    pub fn deliver(self) {
        inline_task::run_inline(|| drop(self));
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some((sender, answer)) = self.0.take().map(|answered| *answered) {
            // A client that has gone needs no answer.
            let _ = sender.send(answer);
        }
    }
}

/// Allows the app to send another response in the place of one that has not begun.
#[derive(Debug)]
pub struct Recall(Responder);

impl Recall {
    /// Takes the response back whose body `sender` sends, if nothing of it has gone out: the client is to be answered again.
    pub fn recall(self, sender: &BodySender) -> Option<Responder> {
        sender.recall().then_some(self.0)
    }
}

impl Responder {
    /// Makes the response ready to be sent.
    pub fn answer(self, response: Response) -> Answered {
        let times = self.times();
        Answered(Some(Box::new((self.answer, Answer::Response(response, times)))))
    }

    /// Sends the response head, with its body or the first of it.
    ///
    /// # Errors
    ///
    /// The response, when the client has gone.
    pub fn send(self, response: Response) -> Result<(), Box<Response>> {
        let times = self.times();
        self.answer.send(Answer::Response(response, times)).map_err(|answer| match answer {
            Answer::Response(response, _) => Box::new(response),
            _ => Box::new(Response::app_failed()),
        })
    }

    /// Refuses the request for what its client did with the body, as 400, 408 or 413. The connection ends with it.
    pub fn refuse(self, error: ReadError) {
        let times = self.times();
        // A client that has gone needs no answer.
        let _ = self.answer.send(Answer::Refused(error.refusal(), times));
    }

    /// Sends a response whose body is made as it goes. Its head waits for the first of the body, but for no longer than
    /// `head_delay`; until then the response may be recalled.
    pub fn stream(self, status: StatusCode, headers: HeaderMap, head_delay: Duration) -> (BodySender, Recall) {
        let times = self.times();
        let (sender, receiver) = body::channel();
        let (answer, instead) = oneshot::channel();
        let Self { interim, since, queue_wait, gvl_wait, .. } = self;
        let response = Response { status, headers, body: ResponseBody::Stream(receiver) };
        // A client that has gone needs no answer, and the body's sender tells of it.
        drop(self.answer.send(Answer::Tentative(Box::new(Tentative { response, head_delay, instead }), times)));
        (sender, Recall(Self { answer, interim, time_limit: None, since, queue_wait, gvl_wait }))
    }

    /// The limit on the app's time. The app's return is to be told to it before anything is sent.
    pub fn time_limit(&self) -> Option<&TimeLimit> {
        self.time_limit.as_ref()
    }

    /// When the worker took the exchange.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How long the exchange waited for its worker.
    pub fn queue_wait(&self) -> Duration {
        self.queue_wait
    }

    /// Notes how long its worker has waited for the GVL.
    pub fn waited_for_gvl(&mut self, duration: Duration) {
        self.gvl_wait = duration;
    }

    fn times(&self) -> Times {
        Times { queue_wait: self.queue_wait, gvl_wait: self.gvl_wait, app: self.since.elapsed() }
    }

    /// Sends `head` and asks for the connection itself, in place of a response. `unparker` is used when
    /// `Hijack::progress` has something to say.
    pub fn hijack(self, head: Vec<u8>, unparker: Unparker) -> Hijack {
        let (request, hijack) = HijackRequest::new(head, unparker);
        let times = self.times();
        // Where the client has gone, the request is dropped with the answer, and tells the app so.
        drop(self.answer.send(Answer::Hijack(request, times)));
        hijack
    }

    /// Sends 103 Early Hints (RFC 8297) ahead of the response, if the client's HTTP has such a thing. May be repeated.
    pub fn hint(&self, headers: &HeaderMap) {
        if let Some(interim) = &self.interim {
            interim.hint(headers);
        }
    }

    /// Whether the client has gone, so that no answer is waited for.
    pub fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}
