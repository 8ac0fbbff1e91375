//! The hijack of a connection: `rack.hijack` in the env and in the response, and the change of protocol with status 101. The app
//! gets a socket, and the server waits for that to be closed at the end of a drain.

use std::{os::fd::IntoRawFd, sync::Mutex};

use http::{HeaderValue, StatusCode, header};
use magnus::{Error, Module, RModule, Ruby, Value, method, prelude::*, typed_data::Obj, value::ReprValue};
use tidegate_core::{Family, HijackProgress, Parker, http1_head};

use crate::{
    error, gvl,
    rack::{
        exchange::Exchange,
        failure::is_exception,
        response::{Parts, ResponseHead},
    },
};

/// Sends `101 Switching Protocols`, and calls the body with the socket, to speak the other protocol on it.
pub(crate) fn switch_protocols(
    ruby: &Ruby,
    exchange: &Exchange,
    head: ResponseHead,
    parts: &Parts,
) -> Result<(), Error> {
    let obstacle = exchange.change().obstacle();
    if obstacle.is_some() || !parts.body.respond_to("call", false)? {
        let why = obstacle.unwrap_or("a body that cannot be called");
        let message = format!("the app returned the status 101 with {why}");
        return Err(Error::new(ruby.exception_type_error(), message));
    }
    let io = hijack(ruby, exchange, Some(head))?;
    let called = parts.body.funcall::<_, _, Value>("call", (io,));
    match called {
        // The other protocol ends with its connection, and that is no error of the app.
        Err(error) if is_exception(&error) && is_gone(ruby, &error) => Ok(()),
        other => other.map(drop),
    }
}

/// Takes the connection from the server, once `head` is sent, as a Ruby socket.
///
/// # Errors
///
/// `IOError` when the response has begun or the connection is hijacked already, `Errno::EPIPE` when the client has gone, and what
/// an interrupt of the wait raises.
pub(crate) fn hijack(ruby: &Ruby, exchange: &Exchange, head: Option<ResponseHead>) -> Result<Value, Error> {
    let Some(responder) = exchange.begin_hijack() else {
        let why = if exchange.is_hijacked() {
            "the connection is hijacked already"
        } else if exchange.is_timed_out() {
            "request_timeout has answered the client"
        } else {
            "the response has begun"
        };
        return Err(Error::new(ruby.exception_io_error(), why));
    };
    let parker = Parker::new();
    let hijack = responder.hijack(head.map_or_else(Vec::new, |head| to_http1(&head)), parker.unparker());
    let taken = loop {
        match hijack.progress() {
            HijackProgress::Taken(taken) => break taken,
            HijackProgress::Gone => return Err(error::client_gone(ruby)),
            HijackProgress::Pending => {}
        }
        gvl::wait(ruby, &parker.unparker(), || parker.park());
        ruby.thread_check_ints()?;
    };
    let guard = ruby.wrap(HijackGuard(Mutex::new(Some(taken.held))));
    let arguments = (taken.descriptor.into_raw_fd(), taken.family == Family::Tcp, guard);
    let io: Value = exchange.sockets(ruby).funcall("open", arguments)?;
    exchange.end_hijack(io);
    Ok(io)
}

/// `env["rack.hijack"].call`: the socket, which is then in `rack.hijack_io` too.
pub(crate) fn call(ruby: &Ruby, rb_self: Obj<Exchange>) -> Result<Value, Error> {
    let env = Exchange::env(ruby, &rb_self);
    if rb_self.is_hijacked() {
        let io: Option<Value> = env.get("rack.hijack_io");
        return io.or_else(|| Exchange::io(ruby, &rb_self)).ok_or_else(|| {
            // Only the first call says that the client has gone.
            Error::new(ruby.exception_io_error(), "the connection could not be hijacked")
        });
    }
    let io = error::catching(ruby, || hijack(ruby, &rb_self, None))?;
    env.aset("rack.hijack_io", io)?;
    Ok(io)
}

/// Whether an exception is what reading and writing raise once the client has closed the connection.
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

/// A head as bytes, written without hyper, because what follows it on the connection is not HTTP.
fn to_http1(head: &ResponseHead) -> Vec<u8> {
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

/// `Tidegate::Native::HijackGuard`: the server waits for a hijacked connection until this is released.
#[magnus::wrap(class = "Tidegate::Native::HijackGuard", free_immediately)]
pub(crate) struct HijackGuard(Mutex<Option<tidegate_core::HijackGuard>>);

impl HijackGuard {
    fn release(&self) {
        drop(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("HijackGuard", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("release", method!(HijackGuard::release, 0))
}
