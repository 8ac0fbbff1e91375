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

/// `Errno::EPIPE`: the client has gone, and something is written to it.
pub(crate) fn client_gone(ruby: &Ruby) -> Error {
    let class = ruby.class_object().const_get::<_, RModule>("Errno").and_then(|errno| errno.const_get("EPIPE"));
    raised(class, "the client has gone".to_owned())
}

/// `TypeError`: the app has set `transfer-encoding: chunked`, and its body is not in chunks.
pub(crate) fn not_in_chunks(ruby: &Ruby, bad: BadChunks) -> Error {
    let message = format!("the app set transfer-encoding: chunked, and its body is not in chunks: {bad}");
    Error::new(ruby.exception_type_error(), message)
}

/// What reading a request body raises when the rest of it will not come: a class that includes `Tidegate::ClientError`.
pub(crate) fn body_broken(ruby: &Ruby, cause: ReadError) -> Error {
    let (name, message) = match cause {
        ReadError::Lost => ("BodyCut", "the client left before its request was whole"),
        ReadError::Malformed => {
            ("BodyMalformed", "the client has sent a request body that is not framed as HTTP wants it")
        }
        ReadError::Late => ("BodyTimeout", "the client has stopped sending its request"),
        ReadError::TooLong => ("BodyTooLong", "the request body is longer than http_content_length_limit"),
    };
    with_class(ruby, name, message.to_owned())
}

/// What an exception of [`body_broken`] says; `None` for any other exception.
pub(crate) fn read_error_of(ruby: &Ruby, error: Value) -> Option<ReadError> {
    let causes = [
        ("BodyCut", ReadError::Lost),
        ("BodyMalformed", ReadError::Malformed),
        ("BodyTimeout", ReadError::Late),
        ("BodyTooLong", ReadError::TooLong),
    ];
    causes
        .into_iter()
        .find_map(|(name, cause)| class(ruby, name).is_ok_and(|class| error.is_kind_of(class)).then_some(cause))
}

/// Does `work`, and makes a `Tidegate::Error` of its panic. magnus would make `fatal` of it, which no `rescue` sees, and only
/// after the caller's frames have gone.
///
/// # Errors
///
/// As `work`.
pub(crate) fn catching<T>(ruby: &Ruby, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // A panic may leave the state of one exchange half changed, and that exchange ends here.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(failed(ruby, &*panic)))
}

#[cold]
#[inline(never)]
fn failed(ruby: &Ruby, panic: &(dyn Any + Send)) -> Error {
    with_class(ruby, "Error", format!("Tidegate has failed: {}", said(panic)))
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
