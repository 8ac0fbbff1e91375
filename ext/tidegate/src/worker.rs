//! One exchange: env, `app.call`, delivery. What the app raises ends the exchange, not the worker; what ends the
//! thread is passed on at once, without calling Ruby again.

use http::{Method, StatusCode, request::Parts as Head};
use magnus::{
    Error, RArray, RHash, RModule, RString, Ruby, Value, error::ErrorType, gc::Marker, prelude::*, value::Opaque,
};
use tidegate_core::{
    exchange::{Exchange, Responder},
    request::Request,
    response::Response,
};

use crate::{delivery::Delivery, env::EnvMaker, input::Inputs, response::Parts};

/// The app, and what it takes to call it.
pub(crate) struct App {
    app: Opaque<Value>,
    envs: EnvMaker,
    inputs: Inputs,
    /// `Tidegate::Delivery`.
    delivery: Opaque<RModule>,
    development: bool,
}

impl App {
    pub(crate) fn new(ruby: &Ruby, app: Value, env_template: RHash, development: bool) -> Result<Self, Error> {
        let delivery: RModule = ruby.class_object().const_get::<_, RModule>("Tidegate")?.const_get("Delivery")?;
        Ok(Self {
            app: app.into(),
            envs: EnvMaker::new(ruby, env_template)?,
            inputs: Inputs::new(ruby)?,
            delivery: delivery.into(),
            development,
        })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.app);
        self.envs.mark(marker);
        self.inputs.mark(marker);
        marker.mark(self.delivery);
    }

    /// Runs an exchange to its end.
    ///
    /// # Errors
    ///
    /// Only what is to end the thread: `Thread#kill`, a `throw` past us. The client gets 500, or a response that is
    /// visibly cut.
    pub(crate) fn run(&self, ruby: &Ruby, exchange: Exchange) -> Result<(), Error> {
        let Exchange { request, responder } = exchange;
        let Request { head, body, peer, .. } = request;
        let input = match self.inputs.open(ruby, body) {
            Ok(input) => input,
            Err(error) => return self.fail(ruby, &head, error, Some(responder)),
        };
        let env = match self.envs.make(ruby, &head, &peer, &input) {
            Ok(env) => env,
            Err(error) => return self.fail(ruby, &head, error, Some(responder)),
        };
        self.call(ruby, &head, env, responder)?;
        match input.close() {
            Ok(()) => Ok(()),
            Err(error) => self.fail(ruby, &head, error, None),
        }
    }

    /// Calls the app and delivers what it returns.
    fn call(&self, ruby: &Ruby, head: &Head, env: RHash, responder: Responder) -> Result<(), Error> {
        let called = ruby.get_inner(self.app).funcall_public::<_, _, Value>("call", (env,));
        let parts = match called.and_then(|returned| Parts::of(ruby, returned)) {
            Ok(parts) => parts,
            Err(error) => return self.fail(ruby, head, error, Some(responder)),
        };
        let delivery = Delivery::new(responder, head.method == Method::HEAD);
        match delivery.clone().run(ruby, ruby.get_inner(self.delivery), parts) {
            Ok(()) => Ok(()),
            Err(error) => self.fail(ruby, head, error, delivery.responder()),
        }
    }

    /// Reports a failure of the app and answers the client, if it can still be answered. Passes on what is no
    /// exception: it ends the thread.
    fn fail(&self, ruby: &Ruby, head: &Head, error: Error, responder: Option<Responder>) -> Result<(), Error> {
        if !is_exception(&error) {
            return Err(error);
        }
        let report = Report::of(&error)?;
        let cut = if responder.is_none() { ", after the response had begun" } else { "" };
        let (method, path) = (&head.method, head.uri.path());
        log(ruby, &format!("tidegate: {method} {path} raised {}{cut}\n{}", report.message, report.backtrace))?;
        if let Some(responder) = responder {
            let response = if self.development {
                let text = format!("{}\n{}", report.message, report.backtrace);
                Response::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            } else {
                Response::app_failed()
            };
            // A client that has gone needs no answer.
            let _ = responder.send(response);
        }
        Ok(())
    }
}

/// An exception, and not what ends a thread or leaves a block: after that nothing of Ruby's may run on our account.
pub(crate) fn is_exception(error: &Error) -> bool {
    !matches!(error.error_type(), ErrorType::Jump(_))
}

/// What went wrong in the app, in words.
struct Report {
    message: String,
    backtrace: String,
}

impl Report {
    fn of(error: &Error) -> Result<Self, Error> {
        let exception = match error.error_type() {
            ErrorType::Exception(exception) => exception.as_value(),
            ErrorType::Error(class, message) => {
                return Ok(Self { message: format!("{}: {message}", class.inspect()), backtrace: String::new() });
            }
            ErrorType::Jump(_) => return Err(error.clone()),
        };
        let message = tolerate(exception.funcall::<_, _, RString>("message", ()))?.map(lossy).unwrap_or_default();
        let lines = tolerate(exception.funcall::<_, _, Option<RArray>>("backtrace", ()))?.flatten();
        let lines = lines.into_iter().flatten().filter_map(RString::from_value);
        Ok(Self {
            message: format!("{}: {message}", exception.class().inspect()),
            backtrace: lines.map(|line| format!("  {}\n", lossy(line))).collect(),
        })
    }
}

/// What Ruby code returned that may raise without harm; but what ends the thread ends it.
fn tolerate<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_exception(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lossy(text: RString) -> String {
    String::from_utf8_lossy(&text.to_bytes()).into_owned()
}

/// One write to `$stderr`, so that lines of several threads do not mix. Nobody can be told when that fails.
fn log(ruby: &Ruby, text: &str) -> Result<(), Error> {
    let written = ruby.eval::<Value>("$stderr").and_then(|stderr| stderr.funcall::<_, _, Value>("write", (text,)));
    tolerate(written).map(drop)
}
