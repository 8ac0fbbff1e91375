//! Rust errors as Ruby exceptions. The classes are declared in `lib/tidegate/error.rb`.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use magnus::{Error, ExceptionClass, Module, RModule, Ruby, Value, prelude::*};
use tidegate_core::{BadChunks, ReadError};

fn class(ruby: &Ruby, name: &str) -> Result<ExceptionClass, Error> {
    ruby.class_object().const_get::<_, RModule>("Tidegate")?.const_get(name)
}

/// A core error as `Tidegate::BindError`, `Tidegate::ConfigurationError` or `Tidegate::Error`.
pub(crate) fn raise(ruby: &Ruby, error: &tidegate_core::Error) -> Error {
    let name = if error.is_bind() {
        "BindError"
    } else if error.is_configuration() {
        "ConfigurationError"
    } else {
        "Error"
    };
    with_class(ruby, name, error.to_string())
}

/// `Tidegate::Error`, for a call out of order.
pub(crate) fn misuse(ruby: &Ruby, message: &'static str) -> Error {
    with_class(ruby, "Error", message.to_owned())
}

/// `Tidegate::ConfigurationError`.
pub(crate) fn configuration(ruby: &Ruby, message: String) -> Error {
    with_class(ruby, "ConfigurationError", message)
}

/// `Errno::EPIPE`: what writing to a client raises that is not there any more.
pub(crate) fn client_gone(ruby: &Ruby) -> Error {
    let class = ruby.class_object().const_get::<_, RModule>("Errno").and_then(|errno| errno.const_get("EPIPE"));
    raised(class, "the client has gone".to_owned())
}

/// That the app has set `transfer-encoding: chunked` and does not frame its body so.
pub(crate) fn not_in_chunks(ruby: &Ruby, bad: BadChunks) -> Error {
    let message = format!("the app set transfer-encoding: chunked, and its body is not in chunks: {bad}");
    Error::new(ruby.exception_type_error(), message)
}

/// What reading a body raises of which the rest will not come: each class has `Tidegate::ClientError` in it.
pub(crate) fn body_broken(ruby: &Ruby, breach: ReadError) -> Error {
    let (name, message) = match breach {
        ReadError::Lost => ("BodyCut", "the client left before its request was whole"),
        ReadError::Malformed => {
            ("BodyMalformed", "the client has sent a request body that is not framed as HTTP wants it")
        }
        ReadError::Late => ("BodyTimeout", "the client has stopped sending its request"),
        ReadError::TooLong => ("BodyTooLong", "the request body is longer than http_content_length_limit"),
    };
    with_class(ruby, name, message.to_owned())
}

/// Which breach an exception tells of; `None` where it is none of [`body_broken`]'s.
pub(crate) fn breach_of(ruby: &Ruby, error: Value) -> Option<ReadError> {
    let breaches = [
        ("BodyCut", ReadError::Lost),
        ("BodyMalformed", ReadError::Malformed),
        ("BodyTimeout", ReadError::Late),
        ("BodyTooLong", ReadError::TooLong),
    ];
    breaches
        .into_iter()
        .find_map(|(name, breach)| class(ruby, name).is_ok_and(|class| error.is_kind_of(class)).then_some(breach))
}

/// Does `work`. Where it panics, that is an exception like any other, a `Tidegate::Error`: magnus would make one of it that nothing
/// is meant to rescue, and only after the caller's frames have gone.
///
/// # Errors
///
/// As `work`.
pub(crate) fn catching<T>(ruby: &Ruby, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What `work` was changing is the state of one exchange, which ends with this.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(with_class(ruby, "Error", format!("Tidegate has failed: {}", said(&*panic)))))
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without a message",
    }
}

fn with_class(ruby: &Ruby, name: &str, message: String) -> Error {
    raised(class(ruby, name), message)
}

fn raised(class: Result<ExceptionClass, Error>, message: String) -> Error {
    match class {
        Ok(class) => Error::new(class, message),
        Err(error) => error,
    }
}
