//! The app, and one exchange from its env through `app.call` and the delivery to the callbacks. An exception of the app ends the
//! exchange and not the worker. `Thread#kill` and a `throw` past this code end the worker's thread: they are passed on at once,
//! without calling Ruby again.

use std::sync::{Mutex, MutexGuard};

use http::{Method, Version, request::Parts as Head};
use magnus::{
    Error, RArray, RHash, Ruby, Value,
    gc::Marker,
    prelude::*,
    typed_data::Obj,
    value::{LazyId, Opaque},
};
use tidegate_core::{Answered, Request, Responder, Response};

use crate::{
    rack::{
        env::{EnvBuilder, Times},
        exchange::{Asked, Exchange},
        failure::{exception, is_exception, tolerate},
        input::{Input, InputClasses},
        protocol_change::{ProtocolChange, takes_trailers},
        response::Parts,
        seats::Seats,
        trailers::ResponseTrailers,
    },
    settings::AppSettings,
};

/// Names that every request calls, looked up once.
static CALL: LazyId = LazyId::new("call");
static CALL_APP: LazyId = LazyId::new("call_app");
static RUN: LazyId = LazyId::new("run");

/// The app, and what each call of it needs.
pub(crate) struct App {
    app: Opaque<Value>,
    envs: EnvBuilder,
    input_classes: InputClasses,
    /// The `Tidegate::Delivery` of this server.
    delivery: Opaque<Value>,
    /// The `Tidegate::Hijacked` of this server, which makes sockets of descriptors.
    sockets: Opaque<Value>,
    early_hints: bool,
    /// Exchanges that have not had their callbacks run, because the worker's thread was ended inside the app.
    unfinished: Mutex<Vec<Opaque<Obj<Exchange>>>>,
    /// Which thread runs what.
    seats: Seats,
}

impl App {
    pub(crate) fn new(ruby: &Ruby, app: Value, settings: &AppSettings) -> Result<Self, Error> {
        Ok(Self {
            app: app.into(),
            envs: EnvBuilder::new(ruby, settings.env_template, settings.rack.underscores())?,
            input_classes: InputClasses::new(ruby)?,
            delivery: settings.delivery.into(),
            sockets: settings.hijacked.into(),
            early_hints: settings.rack.early_hints,
            unfinished: Mutex::default(),
            seats: Seats::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.app);
        self.envs.mark(marker);
        self.input_classes.mark(marker);
        marker.mark(self.delivery);
        marker.mark(self.sockets);
        self.unfinished().iter().for_each(|exchange| marker.mark(*exchange));
        self.seats.mark(marker);
    }

    /// Which thread runs what.
    pub(crate) fn seats(&self) -> &Seats {
        &self.seats
    }

    // Under this lock Ruby must not be called and no Ruby object allocated: the garbage collector takes it to mark.
    fn unfinished(&self) -> MutexGuard<'_, Vec<Opaque<Obj<Exchange>>>> {
        self.unfinished.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes an exchange that ended with its thread, and has its callbacks still to be run.
    pub(crate) fn next_unfinished(&self) -> Option<Opaque<Obj<Exchange>>> {
        self.unfinished().pop()
    }

    /// Runs an exchange of the worker of that number to its end. Returns the response, for the worker to send, if it is whole and no code of the app runs
    /// after it.
    ///
    /// What is on the stack here stays there for as long as the app takes, once for each request in flight: Ruby's garbage collector
    /// reads all of it each time. So it is little, and what comes before and after the app has functions of its own.
    ///
    /// # Errors
    ///
    /// Only what ends the thread: `Thread#kill`, a `throw` past this code. The client gets 500, or a response that is visibly
    /// cut.
    pub(crate) fn run(
        &self,
        ruby: &Ruby,
        worker: usize,
        exchange: Box<tidegate_core::Exchange>,
    ) -> Result<Option<Answered>, Error> {
        let since = exchange.responder.since();
        let Some(Begun { exchange, env, input }) = self.begin(ruby, exchange)? else { return Ok(None) };
        let _answer = AnswerOnDrop(exchange);
        let _taken = self.seats.take(worker, exchange, since);
        let called = match self.envs.add_exchange(ruby, env, exchange, self.early_hints) {
            // The client was answered before the app was called: the interrupter finds no thread in the app.
            Ok(()) if exchange.is_exceeded() => Ok(None),
            Ok(()) => self.call(ruby, env, exchange),
            Err(error) => self.tell_delivery(ruby, "failed", exchange, error),
        };
        if called.is_err() {
            input.release();
            return called;
        }
        match input.close() {
            Ok(()) => called,
            Err(error) => self.tell_delivery(ruby, "late", exchange, error),
        }
    }

    /// Makes what Ruby sees of an exchange. None if that failed: the client has its answer, and the exchange is over.
    #[inline(never)]
    fn begin(&self, ruby: &Ruby, exchange: Box<tidegate_core::Exchange>) -> Result<Option<Begun>, Error> {
        let tidegate_core::Exchange { request, responder } = *exchange;
        let Request { head, body, peer, received, queued } = request;
        let times = Times { received, queued, queue_wait: responder.queue_wait() };
        let input = match self.input_classes.open(ruby, body) {
            Ok(input) => input,
            Err(error) => return self.fail(ruby, &head, &error, responder).map(|()| None),
        };
        let env = match self.envs.make(ruby, &head, &peer, times, &input) {
            Ok(env) => env,
            Err(error) => return self.fail(ruby, &head, &error, responder).map(|()| None),
        };
        let asked = Asked {
            bodiless: head.method == Method::HEAD,
            change: ProtocolChange::of(&head),
            trailers: takes_trailers(&head).then(|| ResponseTrailers::new(head.version < Version::HTTP_2)),
        };
        let exchange = Exchange::wrap(ruby, responder, env, self.delivery, self.sockets, asked);
        Ok(Some(Begun { exchange, env, input }))
    }

    /// Calls the app, delivers what it returns, and sees to it that the callbacks run.
    fn call(&self, ruby: &Ruby, env: RHash, exchange: Obj<Exchange>) -> Result<Option<Answered>, Error> {
        let app = ruby.get_inner(self.app);
        let called = if exchange.is_limited() {
            let call_app = LazyId::get_inner_with(&CALL_APP, ruby);
            ruby.get_inner(self.delivery).funcall::<_, _, Value>(call_app, (app, env, exchange))
        } else {
            app.funcall_public::<_, _, Value>(LazyId::get_inner_with(&CALL, ruby), (env,))
        };
        let parts = match called.and_then(|returned| Parts::of(ruby, returned, exchange.is_hijacked())) {
            Ok(parts) => parts,
            Err(error) if is_exception(&error) => {
                exchange.forget_trailers();
                return self.tell_delivery(ruby, "app_raised", exchange, error);
            }
            Err(ended) => return Err(self.unfinished_by(exchange, ended)),
        };
        // An array need not be closed. Where there are no callbacks either, Ruby's `ensure` has nothing to do.
        let plain = RArray::from_value(parts.body).is_some() && self.envs.has_no_callbacks(ruby, env);
        if plain {
            return match exchange.deliver(ruby, &parts) {
                Err(error) if is_exception(&error) => self.tell_delivery(ruby, "failed", exchange, error),
                // The app was called with the hijacked connection.
                Err(ended) => Err(self.unfinished_by(exchange, ended)),
                delivered => delivered,
            };
        }
        let arguments = (exchange, parts.status, parts.headers, parts.body);
        match ruby.get_inner(self.delivery).funcall::<_, _, Value>(LazyId::get_inner_with(&RUN, ruby), arguments) {
            Ok(_) => Ok(None),
            Err(error) => self.tell_delivery(ruby, "late", exchange, error),
        }
    }

    /// Leaves the callbacks of an exchange to another thread, because this one ends.
    #[cold]
    #[inline(never)]
    fn unfinished_by(&self, exchange: Obj<Exchange>, ended: Error) -> Error {
        self.unfinished().push(exchange.into());
        ended
    }

    /// Calls `method` of `Tidegate::Delivery` with an exception. An error that is no exception ends the thread, and is passed on.
    #[cold]
    #[inline(never)]
    fn tell_delivery(
        &self,
        ruby: &Ruby,
        method: &str,
        exchange: Obj<Exchange>,
        error: Error,
    ) -> Result<Option<Answered>, Error> {
        if !is_exception(&error) {
            return Err(error);
        }
        let arguments = (exchange, exception(ruby, &error));
        ruby.get_inner(self.delivery).funcall::<_, _, Value>(method, arguments).map(|_| None)
    }

    /// Answers the client with 500 and reports an error of the server's own, which came before there was an env.
    #[cold]
    #[inline(never)]
    fn fail(&self, ruby: &Ruby, head: &Head, error: &Error, responder: Responder) -> Result<(), Error> {
        // A client that has gone needs no answer.
        let _ = responder.send(Response::app_failed());
        if !is_exception(error) {
            return Err(error.clone());
        }
        let arguments = (exception(ruby, error), head.method.as_str(), head.uri.path());
        tolerate(ruby.get_inner(self.delivery).funcall::<_, _, Value>("report", arguments)).map(drop)
    }
}

/// What Ruby sees of an exchange. It is on the stack only, where the garbage collector looks.
struct Begun {
    exchange: Obj<Exchange>,
    env: RHash,
    input: Input,
}

/// Answers the client with 500 when the run of an exchange ends without an answer, by the end of its thread or a panic: else the
/// client would wait until the garbage collector frees the object with the responder.
struct AnswerOnDrop(Obj<Exchange>);

impl Drop for AnswerOnDrop {
    #[inline(never)]
    fn drop(&mut self) {
        drop(self.0.take_responder());
    }
}
