//! One exchange: env, `app.call`, delivery, callbacks. What the app raises ends the exchange, not the worker; what ends the
//! thread is passed on at once, without calling Ruby again.

use std::sync::{Mutex, MutexGuard};

use http::{Method, StatusCode, Version, request::Parts as Head};
use magnus::{Error, RArray, RHash, RModule, Ruby, Value, gc::Marker, prelude::*, typed_data::Obj, value::Opaque};
use tidegate_core::{
    exchange::{self, Answered, Responder},
    request::Request,
    response::Response,
};

use crate::{
    env::{EnvMaker, Times},
    exchange::Exchange,
    input::Inputs,
    report::{Culprit, Report, exception, is_exception, report},
    response::Parts,
    settings::Boundary,
};

/// The app, and what it takes to call it.
pub(crate) struct App {
    app: Opaque<Value>,
    envs: EnvMaker,
    inputs: Inputs,
    /// `Tidegate::Delivery`.
    delivery: Opaque<RModule>,
    /// The `Tidegate::Hijacked` of this server.
    hijacked: Opaque<Value>,
    early_hints: bool,
    /// Answers in the place of an app that has raised; nil for none.
    error_handler: Opaque<Value>,
    development: bool,
    /// The envs of requests whose threads were ended inside the app, before they could run the callbacks.
    unfinished: Mutex<Vec<Opaque<RHash>>>,
}

impl App {
    pub(crate) fn new(ruby: &Ruby, app: Value, boundary: &Boundary) -> Result<Self, Error> {
        let delivery: RModule = ruby.class_object().const_get::<_, RModule>("Tidegate")?.const_get("Delivery")?;
        Ok(Self {
            app: app.into(),
            envs: EnvMaker::new(ruby, boundary.env_template, boundary.underscores)?,
            inputs: Inputs::new(ruby)?,
            delivery: delivery.into(),
            hijacked: boundary.hijacked.into(),
            early_hints: boundary.early_hints,
            error_handler: boundary.error_handler.into(),
            development: boundary.development,
            unfinished: Mutex::default(),
        })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.app);
        self.envs.mark(marker);
        self.inputs.mark(marker);
        marker.mark(self.delivery);
        marker.mark(self.hijacked);
        marker.mark(self.error_handler);
        self.unfinished().iter().for_each(|env| marker.mark(*env));
    }

    // Ruby must not be called under this lock, nor anything allocated of Ruby's: the collector takes it to mark.
    fn unfinished(&self) -> MutexGuard<'_, Vec<Opaque<RHash>>> {
        self.unfinished.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The env of a request that was ended with its thread and whose callbacks nobody has run yet.
    pub(crate) fn next_unfinished(&self) -> Option<Opaque<RHash>> {
        self.unfinished().pop()
    }

    /// Runs an exchange to its end. A response that is whole, and behind which nothing of the app's comes, is given back, to be
    /// sent at once.
    ///
    /// # Errors
    ///
    /// Only what is to end the thread: `Thread#kill`, a `throw` past us. The client gets 500, or a response that is
    /// visibly cut.
    pub(crate) fn run(&self, ruby: &Ruby, exchange: exchange::Exchange) -> Result<Option<Answered>, Error> {
        let exchange::Exchange { request, responder } = exchange;
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
        let called = match self.envs.add_exchange(ruby, env, exchange, self.early_hints) {
            Ok(()) => self.call(ruby, &head, env, exchange),
            Err(error) => self.app_failed(ruby, &head, env, exchange, error).map(|()| None),
        };
        if called.is_err() {
            input.release();
            return called;
        }
        if let Err(error) = input.close() {
            report(ruby, &head, &error, Culprit::AppLate)?;
        }
        called
    }

    /// Calls the app, delivers what it returns, and sees to it that the callbacks run.
    fn call(&self, ruby: &Ruby, head: &Head, env: RHash, exchange: Obj<Exchange>) -> Result<Option<Answered>, Error> {
        let module = ruby.get_inner(self.delivery);
        let called = ruby.get_inner(self.app).funcall_public::<_, _, Value>("call", (env,));
        let parts = match called.and_then(|returned| Parts::of(ruby, returned, exchange.is_hijacked())) {
            Ok(parts) => parts,
            Err(error) => {
                if !is_exception(&error) {
                    // The client is answered now, and not when the object that holds the responder is collected.
                    drop(exchange.responder());
                    self.unfinished().push(env.into());
                    return Err(error);
                }
                let raised = exception(ruby, &error);
                if let Err(ended) = self.app_failed(ruby, head, env, exchange, error) {
                    self.unfinished().push(env.into());
                    return Err(ended);
                }
                return module.funcall::<_, _, Value>("finish", (env, ruby.qnil(), ruby.qnil(), raised)).map(|_| None);
            }
        };
        // An array needs no closing, and where nobody waits for the end there is no need of help from Ruby.
        let plain = RArray::from_value(parts.body).is_some() && self.envs.nobody_waits(ruby, env);
        let delivered = if plain {
            exchange.deliver(ruby, &parts)
        } else {
            let arguments = (exchange, env, parts.status, parts.headers, parts.body);
            module.funcall::<_, _, Value>("run", arguments).map(|_| None)
        };
        delivered.or_else(|error| self.app_failed(ruby, head, env, exchange, error).map(|()| None))
    }

    /// Reports a failure of the app and answers the client, if it can still be answered: as the app's own handler wants
    /// it, or else with a plain 500.
    fn app_failed(
        &self,
        ruby: &Ruby,
        head: &Head,
        env: RHash,
        exchange: Obj<Exchange>,
        error: Error,
    ) -> Result<(), Error> {
        let answered = self.answer_failure(ruby, head, env, exchange, error);
        if answered.is_err() {
            // The thread ends; the client is answered now, as when it ends inside the app.
            drop(exchange.responder());
        }
        answered
    }

    fn answer_failure(
        &self,
        ruby: &Ruby,
        head: &Head,
        env: RHash,
        exchange: Obj<Exchange>,
        error: Error,
    ) -> Result<(), Error> {
        let open = exchange.is_open();
        let failure = report(ruby, head, &error, if open { Culprit::App } else { Culprit::AppLate })?;
        let handler = ruby.get_inner(self.error_handler);
        if open && !handler.is_nil() {
            let arguments = (handler, exchange, env, exception(ruby, &error));
            match ruby.get_inner(self.delivery).funcall::<_, _, Value>("answer", arguments) {
                Ok(_) => return Ok(()),
                Err(error) => drop(report(ruby, head, &error, Culprit::ErrorHandler)?),
            }
        }
        if let Some(responder) = exchange.responder() {
            self.refuse(responder, &failure);
        }
        Ok(())
    }

    /// Reports a failure of ours, before the app was called, and answers the client.
    fn fail(&self, ruby: &Ruby, head: &Head, error: &Error, responder: Responder) -> Result<(), Error> {
        let failure = report(ruby, head, error, Culprit::App)?;
        self.refuse(responder, &failure);
        Ok(())
    }

    fn refuse(&self, responder: Responder, report: &Report) {
        let response = if self.development {
            Response::text(StatusCode::INTERNAL_SERVER_ERROR, report.text())
        } else {
            Response::app_failed()
        };
        // A client that has gone needs no answer.
        let _ = responder.send(response);
    }
}
