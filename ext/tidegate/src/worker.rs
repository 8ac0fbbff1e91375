//! One exchange: env, `app.call`, response, `body.close`. What the app raises ends the exchange, not the worker.

use http::{Method, StatusCode};
use magnus::{
    Error, ExceptionClass, RArray, RHash, RString, Ruby, Value, error::ErrorType, gc::Marker, prelude::*, value::Opaque,
};
use tidegate_core::{
    body::{self, ResponseBody},
    exchange::{Exchange, Responder},
    request::Request,
    response::Response,
};

use crate::{
    env::EnvMaker,
    input::Inputs,
    response::{self, Body, Kind, Parts},
    stream::{self, Outlet, Stream},
};

/// The app, and what it takes to call it.
pub(crate) struct App {
    app: Opaque<Value>,
    envs: EnvMaker,
    inputs: Inputs,
    development: bool,
}

impl App {
    pub(crate) fn new(ruby: &Ruby, app: Value, env_template: RHash, development: bool) -> Result<Self, Error> {
        Ok(Self { app: app.into(), envs: EnvMaker::new(ruby, env_template)?, inputs: Inputs::new(ruby)?, development })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.app);
        self.envs.mark(marker);
        self.inputs.mark(marker);
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
        let subject = format!("{} {}", head.method, head.uri.path());
        let input = match self.inputs.open(ruby, body) {
            Ok(input) => input,
            Err(error) => return self.fail(ruby, &subject, error, Some(responder)),
        };
        let env = match self.envs.make(ruby, &head, &peer, &input) {
            Ok(env) => env,
            Err(error) => return self.fail(ruby, &subject, error, Some(responder)),
        };
        let bodiless = head.method == Method::HEAD;
        let result = self.call(ruby, env, responder, bodiless, &subject);
        let closed = input.close();
        result?;
        match closed {
            Ok(()) => Ok(()),
            Err(error) => self.fail(ruby, &subject, error, None),
        }
    }

    fn call(&self, ruby: &Ruby, env: RHash, responder: Responder, bodiless: bool, subject: &str) -> Result<(), Error> {
        let called = ruby.get_inner(self.app).funcall_public::<_, _, Value>("call", (env,));
        let parts = match called.and_then(|returned| Parts::of(ruby, returned)) {
            Ok(parts) => parts,
            Err(error) => return self.fail(ruby, subject, error, Some(responder)),
        };
        let mut responder = Some(responder);
        let mut closed = false;
        let sent = self.respond(ruby, &parts, &mut responder, bodiless, &mut closed);
        let after = match sent {
            Ok(()) => Ok(()),
            Err(error) => self.fail(ruby, subject, error, responder),
        };
        if !closed && let Some(Err(error)) = parts.body.check_funcall::<_, _, Value>("close", ()) {
            self.fail(ruby, subject, error, None)?;
        }
        after
    }

    /// Sends what the app returned. The responder is gone once the head is sent.
    fn respond(
        &self,
        ruby: &Ruby,
        parts: &Parts,
        responder: &mut Option<Responder>,
        bodiless: bool,
        closed: &mut bool,
    ) -> Result<(), Error> {
        let mut head = parts.head(ruby)?;
        if bodiless && RArray::from_value(parts.body).is_none()
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            send(responder, head, ResponseBody::Empty);
            return Ok(());
        }
        let Body { kind, closed: by_to_ary } = response::body(ruby, parts.body, &mut head)?;
        *closed = by_to_ary;
        let outlet = match kind {
            Kind::Whole(body) => {
                send(responder, head, body);
                return Ok(());
            }
            Kind::Each | Kind::Call => {
                let (sender, receiver) = body::channel();
                send(responder, head, ResponseBody::Stream(receiver));
                Outlet::new(sender)
            }
        };
        let written = match kind {
            Kind::Call => {
                let stream = ruby.wrap(Stream::new(outlet.clone()));
                parts.body.funcall::<_, _, Value>("call", (stream,))
            }
            Kind::Each | Kind::Whole(_) => {
                let target = outlet.clone();
                let block = ruby.proc_from_fn(move |ruby, args, _| match args {
                    [value, ..] => target.write(ruby, stream::chunk(*value)?),
                    [] => Ok(()),
                });
                parts.body.funcall_with_block::<_, _, Value>("each", (), block)
            }
        };
        match written {
            Ok(_) => outlet.finish(),
            // The app was told by an exception, which has done its work.
            Err(error) if outlet.is_gone() && is_exception(&error) => outlet.abort(),
            Err(error) => {
                outlet.abort();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reports a failure of the app and answers the client, if it can still be answered. Passes on what is no
    /// exception: it ends the thread.
    fn fail(&self, ruby: &Ruby, subject: &str, error: Error, responder: Option<Responder>) -> Result<(), Error> {
        if !is_exception(&error) {
            return Err(error);
        }
        let report = Report::of(&error);
        let cut = if responder.is_none() { ", after the response had begun" } else { "" };
        log(ruby, &format!("tidegate: {subject} raised {}{cut}\n{}", report.message, report.backtrace));
        if let Some(responder) = responder {
            let text = if self.development {
                format!("{}\n{}", report.message, report.backtrace)
            } else {
                "500 Internal Server Error\n".to_owned()
            };
            // A client that has gone needs no answer.
            let _ = responder.send(Response::text(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        Ok(())
    }
}

fn send(responder: &mut Option<Responder>, head: response::Head, body: ResponseBody) {
    if let Some(responder) = responder.take() {
        // A client that has gone needs no answer.
        let _ = responder.send(Response { status: head.status, headers: head.headers, body });
    }
}

fn is_exception(error: &Error) -> bool {
    !matches!(error.error_type(), ErrorType::Jump(_))
}

/// What went wrong in the app, in words.
struct Report {
    message: String,
    backtrace: String,
}

impl Report {
    fn of(error: &Error) -> Self {
        match error.error_type() {
            ErrorType::Exception(exception) => {
                let exception = exception.as_value();
                let text = |method: &str| exception.funcall::<_, _, RString>(method, ()).map(lossy).unwrap_or_default();
                let lines: Vec<String> = exception
                    .funcall::<_, _, Option<RArray>>("backtrace", ())
                    .ok()
                    .flatten()
                    .map(|lines| {
                        lines
                            .into_iter()
                            .filter_map(RString::from_value)
                            .map(|line| format!("  {}\n", lossy(line)))
                            .collect()
                    })
                    .unwrap_or_default();
                Self { message: format!("{}: {}", class_name(exception), text("message")), backtrace: lines.concat() }
            }
            other => Self { message: error_words(other), backtrace: String::new() },
        }
    }
}

fn class_name(exception: Value) -> String {
    exception.class().inspect()
}

fn error_words(kind: &ErrorType) -> String {
    match kind {
        ErrorType::Error(class, message) => format!("{}: {message}", ExceptionClass::inspect(*class)),
        ErrorType::Jump(_) | ErrorType::Exception(_) => String::new(),
    }
}

fn lossy(text: RString) -> String {
    String::from_utf8_lossy(&text.to_bytes()).into_owned()
}

/// One write to `$stderr`, so that lines of several threads do not mix. Nobody can be told when that fails.
fn log(ruby: &Ruby, text: &str) {
    if let Ok(stderr) = ruby.eval::<Value>("$stderr") {
        let _ = stderr.funcall::<_, _, Value>("write", (text,));
    }
}
