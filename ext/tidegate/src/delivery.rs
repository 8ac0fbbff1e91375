//! The delivery of a response: what the app returned goes to the connection, and the body is closed whatever happens.
//!
//! The closing is in the `ensure` of `lib/tidegate/delivery.rb`. `Thread#kill` unwinds through us as a jump, and to call
//! Ruby between the catching and the resuming of a jump crashes it; Ruby's own `ensure` knows how.

use std::sync::{Arc, Mutex, MutexGuard};

use http::StatusCode;
use magnus::{Error, Module, RArray, RModule, Ruby, Value, method, prelude::*};
use tidegate_core::{
    body::{self, ResponseBody},
    exchange::Responder,
    response::Response,
};

use crate::{
    response::{self, Body, Head, Kind, Parts},
    stream::{self, Outlet, Stream},
    worker::is_exception,
};

/// `Tidegate::Native::Delivery`.
#[derive(Clone)]
#[magnus::wrap(class = "Tidegate::Native::Delivery", free_immediately)]
pub(crate) struct Delivery {
    progress: Arc<Mutex<Progress>>,
    /// HEAD: the body is not sent.
    bodiless: bool,
}

struct Progress {
    /// Until the head is sent.
    responder: Option<Responder>,
    /// `to_ary` has closed the body.
    closed: bool,
}

impl Delivery {
    pub(crate) fn new(responder: Responder, bodiless: bool) -> Self {
        let progress = Progress { responder: Some(responder), closed: false };
        Self { progress: Arc::new(Mutex::new(progress)), bodiless }
    }

    // Ruby must not be called under this lock.
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The responder, if nothing was sent.
    pub(crate) fn responder(&self) -> Option<Responder> {
        self.progress().responder.take()
    }

    /// Delivers the parts. An array needs no closing, and so no help from Ruby's `module`.
    pub(crate) fn run(self, ruby: &Ruby, module: RModule, parts: Parts) -> Result<(), Error> {
        if RArray::from_value(parts.body).is_some() {
            return self.deliver(ruby, &parts);
        }
        let arguments = (ruby.wrap(self), parts.status, parts.headers, parts.body);
        module.funcall::<_, _, Value>("run", arguments).map(drop)
    }

    fn send(&self, head: Head, body: ResponseBody) {
        if let Some(responder) = self.responder() {
            // A client that has gone needs no answer.
            let _ = responder.send(Response { status: head.status, headers: head.headers, body });
        }
    }

    fn deliver(&self, ruby: &Ruby, parts: &Parts) -> Result<(), Error> {
        let mut head = parts.head(ruby)?;
        // The length of an array is worth telling even where the array itself is not sent.
        let unsent = self.bodiless && RArray::from_value(parts.body).is_none();
        if unsent || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            self.send(head, ResponseBody::Empty);
            return Ok(());
        }
        let Body { kind, closed } = response::body(ruby, parts.body, &mut head)?;
        self.progress().closed = closed;
        match kind {
            Kind::Whole(body) => {
                self.send(head, body);
                Ok(())
            }
            Kind::Each => self.stream(head, |outlet| {
                let block = ruby.proc_from_fn(move |ruby, args, _| match args {
                    [value, ..] => outlet.write(ruby, stream::chunk(*value)?),
                    [] => Ok(()),
                });
                parts.body.funcall_with_block("each", (), block)
            }),
            Kind::Call => self.stream(head, |outlet| {
                let stream = ruby.wrap(Stream::new(outlet));
                parts.body.funcall("call", (stream,))
            }),
        }
    }

    /// Sends the head, and the body as `write` makes it.
    fn stream(&self, head: Head, write: impl FnOnce(Outlet) -> Result<Value, Error>) -> Result<(), Error> {
        let (sender, receiver) = body::channel();
        self.send(head, ResponseBody::Stream(receiver));
        let outlet = Outlet::new(sender);
        match write(outlet.clone()) {
            Ok(_) => {
                outlet.finish();
                Ok(())
            }
            // The app was told by an exception, which has done its work.
            Err(error) if outlet.is_gone() && is_exception(&error) => {
                outlet.abort();
                Ok(())
            }
            Err(error) => {
                outlet.abort();
                Err(error)
            }
        }
    }

    // ===== methods =====

    fn call(ruby: &Ruby, rb_self: &Self, status: Value, headers: Value, body: Value) -> Result<(), Error> {
        rb_self.deliver(ruby, &Parts { status, headers, body })
    }

    fn is_closed(&self) -> bool {
        self.progress().closed
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Delivery", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(Delivery::call, 3))?;
    class.define_method("closed?", method!(Delivery::is_closed, 0))
}
