//! `Tidegate::Native::Exchange`: one exchange as Ruby sees it. Here: how far it has come, and the sending of what the app has
//! returned. Its hijack is in `hijack`.
//!
//! The `ensure` of `lib/tidegate/rack/delivery.rb` closes the body and runs the callbacks. `Thread#kill` unwinds through this
//! code as a jump, and Ruby crashes where Rust calls it between the catching and the resuming of a jump; Ruby's own `ensure` may.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use magnus::{
    DataTypeFunctions, Error, Module, RArray, RHash, RModule, Ruby, TypedData, Value,
    gc::Marker,
    method,
    prelude::*,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::{Answered, Responder, Response, ResponseBody, TimeLimit};

use crate::{
    error, gvl,
    rack::{
        failure::is_exception,
        hijack,
        protocol_change::ProtocolChange,
        response::{Parts, ResponseHead},
        response_body::{self, Body, Kind},
        response_stream::{BodyWriter, ResponseStream},
        trailers::ResponseTrailers,
    },
};

/// How long the head of a response waits for the first chunk that `each` of its body yields. If the app raises before that, the
/// client gets a 500; if the time is over before that, the head is sent alone.
const HEAD_DELAY_EACH: Duration = Duration::from_secs(1);
/// The same for a body that is called (`call`): clients of event streams wait for the head. `flush` sends it at once.
const HEAD_DELAY_CALL: Duration = Duration::from_millis(200);

/// The Ruby object. It is in `rack.hijack`: calling it hijacks the connection.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Exchange", free_immediately, mark)]
pub(crate) struct Exchange {
    delivered: Mutex<Delivered>,
    /// Of the app's time; none where that has no limit.
    time_limit: Option<TimeLimit>,
    asked: Asked,
    env: Opaque<RHash>,
    /// The `Tidegate::Delivery` of this server.
    delivery: Opaque<Value>,
    /// The `Tidegate::Hijacked` that makes sockets of descriptors.
    sockets: Opaque<Value>,
}

/// What the request says of the response.
pub(crate) struct Asked {
    /// The request is a HEAD: the body is not sent.
    pub(crate) bodiless: bool,
    pub(crate) change: ProtocolChange,
    /// What goes out behind the body, where the client takes that.
    pub(crate) trailers: Option<ResponseTrailers>,
}

/// How far an exchange has come.
struct Delivered {
    answer: Answer,
    /// The app has returned, or raised.
    returned: bool,
    /// The app's `to_ary` has closed the body.
    body_closed: bool,
    /// What writing to the stream raised in the app, because the client went away in the middle of it.
    write_error: Option<Opaque<Value>>,
}

/// What the client has got.
enum Answer {
    /// Nothing.
    Open(Responder),
    /// The head, which is on its way.
    Sent,
    /// `request_timeout` has answered in the app's place.
    TimedOut,
    /// The app has the connection, as this socket once Ruby has made it.
    Hijacked(Option<Opaque<Value>>),
}

impl DataTypeFunctions for Exchange {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.env);
        marker.mark(self.delivery);
        marker.mark(self.sockets);
        let delivered = self.delivered();
        if let Some(error) = delivered.write_error {
            marker.mark(error);
        }
        if let Answer::Hijacked(Some(io)) = delivered.answer {
            marker.mark(io);
        }
    }
}

impl Exchange {
    pub(crate) fn wrap(
        ruby: &Ruby,
        responder: Responder,
        env: RHash,
        delivery: Opaque<Value>,
        sockets: Opaque<Value>,
        asked: Asked,
    ) -> Obj<Self> {
        let time_limit = responder.time_limit().cloned();
        let answer = Answer::Open(responder);
        let delivered = Mutex::new(Delivered { answer, returned: false, body_closed: false, write_error: None });
        ruby.obj_wrap(Self { delivered, time_limit, asked, env: env.into(), delivery, sockets })
    }

    // Under this lock Ruby must not be called and no Ruby object allocated: the garbage collector takes it to mark.
    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The responder, if nothing was sent; `answer` takes its place, unless the app's time is over.
    fn replace(&self, answer: Answer) -> Option<Responder> {
        let answer = if self.is_in_time() { answer } else { Answer::TimedOut };
        let mut delivered = self.delivered();
        if !matches!(delivered.answer, Answer::Open(_)) {
            return None;
        }
        let Answer::Open(mut responder) = std::mem::replace(&mut delivered.answer, answer) else { return None };
        drop(delivered);
        if self.is_timed_out() {
            return None;
        }
        // Outside of the lock, because it asks Ruby for the thread.
        responder.waited_for_gvl(gvl::events::waited());
        Some(responder)
    }

    /// The responder to answer with, if nothing was sent.
    pub(crate) fn take_responder(&self) -> Option<Responder> {
        self.replace(Answer::Sent)
    }

    /// The responder to hijack with, if nothing was sent.
    pub(crate) fn begin_hijack(&self) -> Option<Responder> {
        self.replace(Answer::Hijacked(None))
    }

    /// The app has the connection as the socket `io`.
    pub(crate) fn end_hijack(&self, io: Value) {
        self.delivered().answer = Answer::Hijacked(Some(io.into()));
    }

    /// Whether nothing was sent.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.delivered().answer, Answer::Open(_))
    }

    /// Whether the app is in time. From then on it is, for as long as it likes.
    fn is_in_time(&self) -> bool {
        self.time_limit.as_ref().is_none_or(TimeLimit::returned)
    }

    /// Whether the app's time is limited.
    pub(crate) fn is_limited(&self) -> bool {
        self.time_limit.is_some()
    }

    /// Whether the app's time was over before it had returned.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.time_limit.as_ref().is_some_and(TimeLimit::is_exceeded)
    }

    /// Whether `request_timeout` has answered, and the app has been told so.
    pub(crate) fn is_timed_out(&self) -> bool {
        matches!(self.delivered().answer, Answer::TimedOut)
    }

    pub(crate) fn is_hijacked(&self) -> bool {
        matches!(self.delivered().answer, Answer::Hijacked(_))
    }

    /// How the request can change to another protocol.
    pub(crate) fn change(&self) -> ProtocolChange {
        self.asked.change
    }

    /// What goes out behind the body, where the client takes that.
    pub(crate) fn trailers(&self) -> Option<&ResponseTrailers> {
        self.asked.trailers.as_ref()
    }

    /// The response that the trailers belong to is not sent.
    pub(crate) fn forget_trailers(&self) {
        self.trailers().inspect(|trailers| trailers.reset());
    }

    /// The `Tidegate::Hijacked` that makes sockets of descriptors.
    pub(crate) fn sockets(&self, ruby: &Ruby) -> Value {
        ruby.get_inner(self.sockets)
    }

    /// Sends hints ahead of the response; does nothing once that has begun.
    pub(crate) fn hint(&self, headers: &HeaderMap) {
        if let Answer::Open(responder) = &self.delivered().answer {
            responder.hint(headers);
        }
    }

    fn answer(&self, head: ResponseHead, body: ResponseBody) -> Option<Answered> {
        self.trailers().inspect(|trailers| trailers.end("the response is over"));
        let responder = self.take_responder()?;
        Some(responder.answer(Response { status: head.status, headers: head.headers, body }))
    }

    /// Delivers the parts. A response that is whole is returned, for the worker to send.
    ///
    /// # Errors
    ///
    /// What the app raises, or what is wrong with the parts; also a panic of this crate.
    #[inline(never)]
    pub(crate) fn deliver(&self, ruby: &Ruby, parts: &Parts) -> Result<Option<Answered>, Error> {
        let delivered = error::catching(ruby, || self.send(ruby, parts));
        if delivered.is_err() {
            self.forget_trailers();
        }
        delivered
    }

    fn send(&self, ruby: &Ruby, parts: &Parts) -> Result<Option<Answered>, Error> {
        if self.is_hijacked() || self.is_timed_out() {
            return Ok(None);
        }
        let mut head = parts.head(ruby)?;
        let no_content =
            matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        // A response without content leaves the app nothing to write: as in Puma it does not get the connection.
        if let Some(hijack) = head.hijack.take()
            && !no_content
            && !self.asked.bodiless
        {
            let io = hijack::hijack(ruby, self, Some(head))?;
            return hijack.funcall::<_, _, Value>("call", (io,)).map(|_| None);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return hijack::switch_protocols(ruby, self, head, parts).map(|()| None);
        }
        if self.change() == ProtocolChange::Connect && head.status.is_success() {
            // To the client it would say that the app speaks the other protocol from here on.
            return Ok(self.take_responder().map(|responder| {
                responder.answer(Response::text(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented\n"))
            }));
        }
        // The response to a HEAD has the content-length of an array, although the array is not sent.
        let unsent = self.asked.bodiless && RArray::from_value(parts.body).is_none();
        if unsent || no_content {
            return Ok(self.answer(head, ResponseBody::Empty));
        }
        let trailers = self.trailers().filter(|trailers| trailers.is_given() && !self.asked.bodiless);
        if trailers.is_some() {
            // Nothing can come behind a body that the head measures.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let Body { kind, closed } = response_body::read(ruby, parts.body, &mut head, trailers.is_some())?;
        self.delivered().body_closed = closed;
        match kind {
            Kind::Whole(body) => Ok(self.answer(head, body)),
            Kind::Each(source) => self.stream(ruby, head, HEAD_DELAY_EACH, |writer| {
                // The block is made in Ruby: Ruby would read one of magnus' after it was freed (CONTRIBUTING: what of magnus is not used).
                let stream = ruby.obj_wrap(ResponseStream::new(writer, ruby.qnil().as_value()));
                ruby.get_inner(self.delivery).funcall("each", (source, stream))
            }),
            Kind::Call => {
                let input = ruby.get_inner(self.env).lookup::<_, Value>("rack.input")?;
                self.stream(ruby, head, HEAD_DELAY_CALL, |writer| {
                    let stream = ruby.obj_wrap(ResponseStream::new(writer, input));
                    parts.body.funcall("call", (stream,))
                })
            }
        }
    }

    /// Sends the head, and the body as `write` writes it. Where that fails before anything was sent, the exchange is open again.
    fn stream(
        &self,
        ruby: &Ruby,
        mut head: ResponseHead,
        head_delay: Duration,
        write: impl FnOnce(BodyWriter) -> Result<Value, Error>,
    ) -> Result<Option<Answered>, Error> {
        match self.trailers() {
            Some(trailers) if head.headers.contains_key(header::CONTENT_LENGTH) => {
                trailers.end("the response declares a length, and so nothing can come behind its body");
            }
            Some(trailers) => trailers.begin(ruby, &mut head.headers)?,
            None => {}
        }
        let Some(responder) = self.take_responder() else { return Ok(None) };
        let (sender, recall) = responder.stream(head.status, head.headers, head_delay);
        let writer = BodyWriter::new(sender, head.chunked, self.trailers().cloned());
        // A panic must not leave the response open either: the stream that the app has may be collected much later.
        let written = error::catching(ruby, || {
            write(writer.clone())?;
            writer.finish(ruby)
        });
        let Err(error) = written else { return Ok(None) };
        // The exception has told the app that the client has gone, and it is no error of the app.
        let gone = writer.is_gone() && is_exception(&error);
        if let Some(responder) = writer.recall(recall) {
            self.delivered().answer = Answer::Open(responder);
        }
        if gone {
            self.delivered().write_error = error.value().map(Opaque::from);
            return Ok(None);
        }
        Err(error)
    }

    // ===== Ruby methods =====

    /// The app has returned, or raised. Returns whether that was in time; if not, nothing that it returns is sent.
    fn returned(&self) -> bool {
        self.delivered().returned = true;
        let in_time = self.is_in_time();
        if !in_time {
            drop(self.take_responder());
        }
        in_time
    }

    /// Whether the app is still at it, although its time is over.
    fn is_overdue(&self) -> bool {
        self.is_exceeded() && !self.delivered().returned
    }

    fn rb_deliver(ruby: &Ruby, rb_self: &Self, status: Value, headers: Value, body: Value) -> Result<(), Error> {
        // The app goes on with the callbacks, and the response does not wait for them.
        rb_self.deliver(ruby, &Parts { status, headers, body }).map(drop)
    }

    /// Answers with 500, if nothing was sent: with `text`, or with a plain message where that is nil.
    fn refuse(&self, text: Option<String>) {
        if let Some(responder) = self.take_responder() {
            let response = match text {
                Some(text) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, text),
                None => Response::app_failed(),
            };
            // A client that has gone needs no answer.
            let _ = responder.send(response);
        }
    }

    /// Answers with 400, 408 or 413, if nothing was sent, and counts that. `error` is a `Tidegate::ClientError`, and says which.
    fn refuse_client(ruby: &Ruby, rb_self: &Self, error: Value) {
        if let Some(cause) = error::read_error_of(ruby, error)
            && let Some(responder) = rb_self.take_responder()
        {
            responder.refuse(cause);
        }
    }

    pub(crate) fn env(ruby: &Ruby, rb_self: &Self) -> RHash {
        ruby.get_inner(rb_self.env)
    }

    /// The socket that the app has hijacked; nil where it has none.
    pub(crate) fn io(ruby: &Ruby, rb_self: &Self) -> Option<Value> {
        let Answer::Hijacked(Some(io)) = rb_self.delivered().answer else { return None };
        Some(ruby.get_inner(io))
    }

    fn is_closed(&self) -> bool {
        self.delivered().body_closed
    }

    fn error(ruby: &Ruby, rb_self: &Self) -> Option<Value> {
        let error = rb_self.delivered().write_error;
        error.map(|error| ruby.get_inner(error))
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Exchange", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(hijack::call, 0))?;
    class.define_method("deliver", method!(Exchange::rb_deliver, 3))?;
    class.define_method("open?", method!(Exchange::is_open, 0))?;
    class.define_method("returned", method!(Exchange::returned, 0))?;
    class.define_method("overdue?", method!(Exchange::is_overdue, 0))?;
    class.define_method("timed_out?", method!(Exchange::is_timed_out, 0))?;
    class.define_method("refuse", method!(Exchange::refuse, 1))?;
    class.define_method("refuse_client", method!(Exchange::refuse_client, 1))?;
    class.define_method("env", method!(Exchange::env, 0))?;
    class.define_method("io", method!(Exchange::io, 0))?;
    class.define_method("closed?", method!(Exchange::is_closed, 0))?;
    class.define_method("error", method!(Exchange::error, 0))
}
