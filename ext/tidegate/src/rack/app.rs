//! One exchange: env, `app.call`, delivery, callbacks. What the app raises ends the exchange, not the worker; what ends the
//! thread is passed on at once, without calling Ruby again.

use std::sync::{Mutex, MutexGuard};

use http::{Method, Version, request::Parts as Head};
use magnus::{Error, RArray, RHash, Ruby, Value, gc::Marker, prelude::*, typed_data::Obj, value::Opaque};
use tidegate_core::{Answered, Request, Responder, Response};

use crate::{
    rack::{
        env::{EnvMaker, Times},
        exchange::Exchange,
        failure::{exception, is_exception, tolerate},
        input::Inputs,
        response::Parts,
    },
    settings::AppSettings,
};

/// The app, and what it takes to call it.
pub(crate) struct App {
    app: Opaque<Value>,
    envs: EnvMaker,
    inputs: Inputs,
    /// The `Tidegate::Delivery` of this server.
    delivery: Opaque<Value>,
    /// The `Tidegate::Hijacked` of this server.
    hijacked: Opaque<Value>,
    early_hints: bool,
    /// Exchanges whose threads were ended inside the app, before they could run the callbacks.
    unfinished: Mutex<Vec<Opaque<Obj<Exchange>>>>,
}

impl App {
    pub(crate) fn new(ruby: &Ruby, app: Value, boundary: &AppSettings) -> Result<Self, Error> {
        Ok(Self {
            app: app.into(),
            envs: EnvMaker::new(ruby, boundary.env_template, boundary.underscores)?,
            inputs: Inputs::new(ruby)?,
            delivery: boundary.delivery.into(),
            hijacked: boundary.hijacked.into(),
            early_hints: boundary.early_hints,
            unfinished: Mutex::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.app);
        self.envs.mark(marker);
        self.inputs.mark(marker);
        marker.mark(self.delivery);
        marker.mark(self.hijacked);
        self.unfinished().iter().for_each(|exchange| marker.mark(*exchange));
    }

    // Ruby must not be called under this lock, nor anything allocated of Ruby's: the collector takes it to mark.
    fn unfinished(&self) -> MutexGuard<'_, Vec<Opaque<Obj<Exchange>>>> {
        self.unfinished.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// An exchange that was ended with its thread, and whose callbacks are still to be run.
    pub(crate) fn next_unfinished(&self) -> Option<Opaque<Obj<Exchange>>> {
        self.unfinished().pop()
    }

    /// Runs an exchange to its end. A response that is whole, and behind which nothing of the app's comes, is given back, to be
    /// sent at once.
    ///
    /// # Errors
    ///
    /// Only what is to end the thread: `Thread#kill`, a `throw` past us. The client gets 500, or a response that is
    /// visibly cut.
    pub(crate) fn run(&self, ruby: &Ruby, exchange: tidegate_core::Exchange) -> Result<Option<Answered>, Error> {
        let tidegate_core::Exchange { request, responder } = exchange;
        let Request { head, body, peer, received, queued } = request;
        let times = Times { received, queued, queue_wait: responder.queue_wait() };
        let input = match self.inputs.open(ruby, body) {
            Ok(input) => input,
            Err(error) => return self.fail(ruby, &head, &error, responder).map(|()| None),
        };
        let env = match self.envs.make(ruby, &head, &peer, times, &input) {
            Ok(env) => env,
            Err(error) => return self.fail(ruby, &head, &error, responder).map(|()| None),
        };
        let (bodiless, upgrades) = (head.method == Method::HEAD, head.version >= Version::HTTP_11);
        let exchange = Exchange::wrap(ruby, responder, env, self.delivery, self.hijacked, bodiless, upgrades);
        let _end = End(exchange);
        let called = match self.envs.add_exchange(ruby, env, exchange, self.early_hints) {
            Ok(()) => self.call(ruby, env, exchange),
            Err(error) => self.tell(ruby, "failed", exchange, error),
        };
        if called.is_err() {
            input.release();
            return called;
        }
        match input.close() {
            Ok(()) => called,
            Err(error) => self.tell(ruby, "late", exchange, error),
        }
    }

    /// Calls the app, delivers what it returns, and sees to it that the callbacks run.
    fn call(&self, ruby: &Ruby, env: RHash, exchange: Obj<Exchange>) -> Result<Option<Answered>, Error> {
        let called = ruby.get_inner(self.app).funcall_public::<_, _, Value>("call", (env,));
        let parts = match called.and_then(|returned| Parts::of(ruby, returned, exchange.is_hijacked())) {
            Ok(parts) => parts,
            Err(error) if is_exception(&error) => return self.tell(ruby, "app_raised", exchange, error),
            Err(ended) => return Err(self.unfinished_by(exchange, ended)),
        };
        // An array needs no closing, and where nobody waits for the end there is no need of help from Ruby.
        let plain = RArray::from_value(parts.body).is_some() && self.envs.nobody_waits(ruby, env);
        if plain {
            return match exchange.deliver(ruby, &parts) {
                Err(error) if is_exception(&error) => self.tell(ruby, "failed", exchange, error),
                // A hijack of the response was in the app's hands.
                Err(ended) => Err(self.unfinished_by(exchange, ended)),
                delivered => delivered,
            };
        }
        let arguments = (exchange, parts.status, parts.headers, parts.body);
        match ruby.get_inner(self.delivery).funcall::<_, _, Value>("run", arguments) {
            Ok(_) => Ok(None),
            Err(error) => self.tell(ruby, "late", exchange, error),
        }
    }

    /// Leaves the end of an exchange to another thread, because this one ends.
    fn unfinished_by(&self, exchange: Obj<Exchange>, ended: Error) -> Error {
        self.unfinished().push(exchange.into());
        ended
    }

    /// Tells `Tidegate::Delivery` of an exception. What is none ends the thread, and is passed on.
    fn tell(&self, ruby: &Ruby, what: &str, exchange: Obj<Exchange>, error: Error) -> Result<Option<Answered>, Error> {
        if !is_exception(&error) {
            return Err(error);
        }
        let arguments = (exchange, exception(ruby, &error));
        ruby.get_inner(self.delivery).funcall::<_, _, Value>(what, arguments).map(|_| None)
    }

    /// Answers the client and reports a failure of ours, before there was an env.
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

/// However the run of an exchange ends, by the end of its thread or a panic of ours, its client is answered then, and not when
/// the object that holds the responder is collected.
struct End(Obj<Exchange>);

impl Drop for End {
    fn drop(&mut self) {
        drop(self.0.responder());
    }
}
