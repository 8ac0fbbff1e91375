//! One exchange as Ruby sees it: the object in `rack.hijack`, and what the app returned on its way to the connection.
//!
//! The closing of the body and the callbacks are in the `ensure` of `lib/tidegate/rack/delivery.rb`. `Thread#kill` unwinds
//! through us as a jump, and to call Ruby between the catching and the resuming of a jump crashes it; Ruby's own
//! `ensure` knows how.

use std::{
    os::fd::IntoRawFd,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use magnus::{
    DataTypeFunctions, Error, Module, RArray, RHash, RModule, Ruby, TypedData, Value,
    gc::Marker,
    method,
    prelude::*,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::{Answered, Family, HijackGuard, Parker, Progress, Responder, Response, ResponseBody, http1_head};

use crate::{
    error, gvl,
    rack::{
        failure::is_exception,
        response::{self, Body, Head, Kind, Parts},
        response_stream::{Outlet, Stream},
    },
};

/// How long the head of a body that yields waits for the first that it yields. An app that fails before it has yielded
/// anything is answered for with a 500; a body that has nothing to say yet has its head sent all the same.
const HOLD_EACH: Duration = Duration::from_secs(1);
/// The same for a body that is called: clients of event streams wait for the head. `flush` sends it at once.
const HOLD_CALL: Duration = Duration::from_millis(200);

/// `Tidegate::Native::Exchange`. Called, it hijacks the connection.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Exchange", free_immediately, mark)]
pub(crate) struct Exchange {
    progress: Mutex<Progression>,
    /// HEAD: the body is not sent.
    bodiless: bool,
    /// HTTP/1.1 or newer: the client knows upgrades.
    upgrades: bool,
    env: Opaque<RHash>,
    /// The `Tidegate::Delivery` of this server.
    delivery: Opaque<Value>,
    /// The `Tidegate::Hijacked` that makes sockets of descriptors.
    hijacked: Opaque<Value>,
}

struct Progression {
    state: State,
    /// `to_ary` has closed the body.
    closed: bool,
    /// Where the client went away in mid-stream: what the app was told.
    error: Option<Opaque<Value>>,
}

enum State {
    /// Nothing was sent.
    Open(Responder),
    /// The head is on its way.
    Sent,
    /// The connection is the app's, as this socket once it has been given.
    Hijacked(Option<Opaque<Value>>),
}

impl DataTypeFunctions for Exchange {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.env);
        marker.mark(self.delivery);
        marker.mark(self.hijacked);
        let progress = self.progress();
        if let Some(error) = progress.error {
            marker.mark(error);
        }
        if let State::Hijacked(Some(io)) = progress.state {
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
        hijacked: Opaque<Value>,
        bodiless: bool,
        upgrades: bool,
    ) -> Obj<Self> {
        let progress = Progression { state: State::Open(responder), closed: false, error: None };
        ruby.obj_wrap(Self { progress: Mutex::new(progress), bodiless, upgrades, env: env.into(), delivery, hijacked })
    }

    // Ruby must not be called under this lock, nor anything allocated of Ruby's: the collector takes it to mark.
    fn progress(&self) -> MutexGuard<'_, Progression> {
        self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The responder, if nothing was sent; `state` takes its place.
    fn take(&self, state: State) -> Option<Responder> {
        let mut progress = self.progress();
        match std::mem::replace(&mut progress.state, State::Sent) {
            State::Open(mut responder) => {
                responder.waited_for_lock(gvl::events::waited());
                progress.state = state;
                Some(responder)
            }
            other => {
                progress.state = other;
                None
            }
        }
    }

    /// The responder, if nothing was sent.
    pub(crate) fn responder(&self) -> Option<Responder> {
        self.take(State::Sent)
    }

    /// Whether nothing was sent.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.progress().state, State::Open(_))
    }

    pub(crate) fn is_hijacked(&self) -> bool {
        matches!(self.progress().state, State::Hijacked(_))
    }

    /// Sends hints ahead of the response; nothing once it has begun.
    pub(crate) fn hint(&self, headers: &HeaderMap) {
        if let State::Open(responder) = &self.progress().state {
            responder.hint(headers);
        }
    }

    fn answer(&self, head: Head, body: ResponseBody) -> Option<Answered> {
        let responder = self.responder()?;
        Some(responder.answer(Response { status: head.status, headers: head.headers, body }))
    }

    /// Delivers the parts. A response that is whole is given back, to be sent.
    ///
    /// # Errors
    ///
    /// What the app raises, or what is wrong with the parts; a panic of ours too.
    pub(crate) fn deliver(&self, ruby: &Ruby, parts: &Parts) -> Result<Option<Answered>, Error> {
        error::catching(ruby, || self.send(ruby, parts))
    }

    fn send(&self, ruby: &Ruby, parts: &Parts) -> Result<Option<Answered>, Error> {
        if self.is_hijacked() {
            return Ok(None);
        }
        let mut head = parts.head(ruby)?;
        let none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        // Where there is no content, the app must not write any: as in Puma it is not given the connection.
        if let Some(hijack) = head.hijack.take()
            && !none
            && !self.bodiless
        {
            let io = self.hijack(ruby, Some(head))?;
            return hijack.funcall::<_, _, Value>("call", (io,)).map(|_| None);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(ruby, head, parts).map(|()| None);
        }
        // The length of an array is worth telling even where the array itself is not sent.
        let unsent = self.bodiless && RArray::from_value(parts.body).is_none();
        if unsent || none {
            return Ok(self.answer(head, ResponseBody::Empty));
        }
        let Body { kind, closed } = response::body(ruby, parts.body, &mut head)?;
        self.progress().closed = closed;
        match kind {
            Kind::Whole(body) => Ok(self.answer(head, body)),
            Kind::Each(source) => self.stream(ruby, head, HOLD_EACH, |outlet| {
                // The block is Ruby's own: one of magnus' would be read after it was freed (CONTRIBUTING, house rule 5).
                let stream = ruby.obj_wrap(Stream::new(outlet, ruby.qnil().as_value()));
                ruby.get_inner(self.delivery).funcall("each", (source, stream))
            }),
            Kind::Call => {
                let input = ruby.get_inner(self.env).lookup::<_, Value>("rack.input")?;
                self.stream(ruby, head, HOLD_CALL, |outlet| {
                    let stream = ruby.obj_wrap(Stream::new(outlet, input));
                    parts.body.funcall("call", (stream,))
                })
            }
        }
    }

    /// Sends the head, and the body as `write` makes it. Where that fails before anything has gone out, the exchange is as it
    /// was before.
    fn stream(
        &self,
        ruby: &Ruby,
        head: Head,
        hold: Duration,
        write: impl FnOnce(Outlet) -> Result<Value, Error>,
    ) -> Result<Option<Answered>, Error> {
        let Some(responder) = self.responder() else { return Ok(None) };
        let (sender, recall) = responder.stream(head.status, head.headers, hold);
        let outlet = Outlet::new(sender, head.chunked);
        // A panic of ours must not leave the body open either: what the app writes to may be collected much later.
        let written = error::catching(ruby, || {
            write(outlet.clone())?;
            outlet.finish(ruby)
        });
        let Err(error) = written else { return Ok(None) };
        // The app was told by an exception, which has done its work.
        let gone = outlet.is_gone() && is_exception(&error);
        if let Some(responder) = outlet.recall(recall) {
            self.progress().state = State::Open(responder);
        }
        if gone {
            self.progress().error = error.value().map(Opaque::from);
            return Ok(None);
        }
        Err(error)
    }

    // ===== the connection itself =====

    /// `101 Switching Protocols`, after which a streaming body speaks the other protocol.
    fn switch(&self, ruby: &Ruby, head: Head, parts: &Parts) -> Result<(), Error> {
        if !self.upgrades || !parts.body.respond_to("call", false)? {
            let why = if self.upgrades { "a body that cannot be called" } else { "a client that speaks HTTP/1.0" };
            let message = format!("the app returned the status 101 with {why}");
            return Err(Error::new(ruby.exception_type_error(), message));
        }
        let io = self.hijack(ruby, Some(head))?;
        let called = parts.body.funcall::<_, _, Value>("call", (io,));
        match called {
            // The other protocol ends when its connection does, and that is nobody's fault.
            Err(error) if is_exception(&error) && is_gone(ruby, &error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes the connection from the server, after sending `head`, as a socket.
    fn hijack(&self, ruby: &Ruby, head: Option<Head>) -> Result<Value, Error> {
        let Some(responder) = self.take(State::Hijacked(None)) else {
            let why = if self.is_hijacked() { "the connection is hijacked already" } else { "the response has begun" };
            return Err(Error::new(ruby.exception_io_error(), why));
        };
        let parker = Parker::new();
        let takeover = responder.hijack(head.map_or_else(Vec::new, |head| to_http1(&head)), parker.unparker());
        let taken = loop {
            match takeover.progress() {
                Progress::Taken(taken) => break taken,
                Progress::Gone => return Err(error::client_gone(ruby)),
                Progress::Pending => {}
            }
            gvl::wait(ruby, &parker.unparker(), || parker.park());
            ruby.thread_check_ints()?;
        };
        let hold = ruby.wrap(Hold(Mutex::new(Some(taken.held))));
        let arguments = (taken.descriptor.into_raw_fd(), taken.family == Family::Tcp, hold);
        let io: Value = ruby.get_inner(self.hijacked).funcall("open", arguments)?;
        self.progress().state = State::Hijacked(Some(io.into()));
        Ok(io)
    }

    // ===== methods =====

    /// `env["rack.hijack"].call`
    fn call(ruby: &Ruby, rb_self: Obj<Self>) -> Result<Value, Error> {
        let env = ruby.get_inner(rb_self.env);
        if rb_self.is_hijacked() {
            return env.lookup("rack.hijack_io");
        }
        let io = error::catching(ruby, || rb_self.hijack(ruby, None))?;
        env.aset("rack.hijack_io", io)?;
        Ok(io)
    }

    fn rb_deliver(ruby: &Ruby, rb_self: &Self, status: Value, headers: Value, body: Value) -> Result<(), Error> {
        // The app goes on, with the callbacks: the response does not wait for it.
        rb_self.deliver(ruby, &Parts { status, headers, body }).map(drop)
    }

    /// Answers with 500 and `text`, or with what clients may know where it is nil, if nothing was sent.
    fn refuse(&self, text: Option<String>) {
        if let Some(responder) = self.responder() {
            let response = match text {
                Some(text) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, text),
                None => Response::app_failed(),
            };
            // A client that has gone needs no answer.
            let _ = responder.send(response);
        }
    }

    /// Answers with 400, 408 or 413, as `error`, a `Tidegate::ClientError`, has it, if nothing was sent; and counts that.
    fn refuse_client(ruby: &Ruby, rb_self: &Self, error: Value) {
        if let Some(breach) = error::breach_of(ruby, error)
            && let Some(responder) = rb_self.responder()
        {
            responder.refuse(breach);
        }
    }

    fn env(ruby: &Ruby, rb_self: &Self) -> RHash {
        ruby.get_inner(rb_self.env)
    }

    /// The socket that the app has; nil where it has none.
    fn io(ruby: &Ruby, rb_self: &Self) -> Option<Value> {
        let State::Hijacked(Some(io)) = rb_self.progress().state else { return None };
        Some(ruby.get_inner(io))
    }

    fn is_closed(&self) -> bool {
        self.progress().closed
    }

    fn error(ruby: &Ruby, rb_self: &Self) -> Option<Value> {
        let error = rb_self.progress().error;
        error.map(|error| ruby.get_inner(error))
    }
}

/// Whether an exception is what reading and writing raise once the other side has ended.
fn is_gone(ruby: &Ruby, error: &Error) -> bool {
    let errno = ruby.class_object().const_get::<_, RModule>("Errno");
    error.is_kind_of(ruby.exception_io_error())
        || errno.is_ok_and(|errno| {
            ["EPIPE", "ECONNRESET"]
                .into_iter()
                .filter_map(|name| errno.const_get::<_, magnus::ExceptionClass>(name).ok())
                .any(|class| error.is_kind_of(class))
        })
}

/// A head past hyper, for a connection that is no longer HTTP's after it.
fn to_http1(head: &Head) -> Vec<u8> {
    let mut headers = head.headers.clone();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        headers.remove(header::TRANSFER_ENCODING);
        headers.entry(header::CONNECTION).or_insert(HeaderValue::from_static("upgrade"));
    } else {
        // The app writes the body, and its end is the end of the connection.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    http1_head(head.status, &headers)
}

/// `Tidegate::Native::Hold`: the server waits for a hijacked connection while this is not released.
#[magnus::wrap(class = "Tidegate::Native::Hold", free_immediately)]
pub(crate) struct Hold(Mutex<Option<HijackGuard>>);

impl Hold {
    fn release(&self) {
        drop(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    }
}

/// `Tidegate::Native::EarlyHints`, in `rack.early_hints`: sends 103 with the headers it is called with.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::EarlyHints", free_immediately, mark)]
pub(crate) struct EarlyHints(Opaque<Obj<Exchange>>);

impl DataTypeFunctions for EarlyHints {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.0);
    }
}

impl EarlyHints {
    pub(crate) fn new(exchange: Obj<Exchange>) -> Self {
        Self(exchange.into())
    }

    fn call(ruby: &Ruby, rb_self: &Self, headers: Value) -> Result<(), Error> {
        error::catching(ruby, || {
            let headers = response::headers(ruby, headers)?.0;
            if !headers.is_empty() {
                ruby.get_inner(rb_self.0).hint(&headers);
            }
            Ok(())
        })
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Exchange", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(Exchange::call, 0))?;
    class.define_method("deliver", method!(Exchange::rb_deliver, 3))?;
    class.define_method("open?", method!(Exchange::is_open, 0))?;
    class.define_method("refuse", method!(Exchange::refuse, 1))?;
    class.define_method("refuse_client", method!(Exchange::refuse_client, 1))?;
    class.define_method("env", method!(Exchange::env, 0))?;
    class.define_method("io", method!(Exchange::io, 0))?;
    class.define_method("closed?", method!(Exchange::is_closed, 0))?;
    class.define_method("error", method!(Exchange::error, 0))?;
    let class = native.define_class("Hold", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("release", method!(Hold::release, 0))?;
    let class = native.define_class("EarlyHints", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(EarlyHints::call, 1))
}
