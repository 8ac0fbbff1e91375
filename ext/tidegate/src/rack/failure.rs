//! How a call of Ruby has failed: with an exception, for which the client can be answered, or with the end of the thread. The
//! log's lines about an exception are made in `lib/tidegate/log/error_report.rb`.

use magnus::{Error, Ruby, Value, error::ErrorType, prelude::*};

/// Whether this is an exception. Otherwise it ends the thread or leaves a block (`Thread#kill`, `throw`), and this crate must call
/// no Ruby until it is passed on.
pub(crate) fn is_exception(error: &Error) -> bool {
    !matches!(error.error_type(), ErrorType::Jump(_))
}

/// The exception of an error, to be shown to Ruby code; nil for what is no exception.
pub(crate) fn exception(ruby: &Ruby, error: &Error) -> Value {
    let made = match error.error_type() {
        ErrorType::Exception(exception) => Some(exception.as_value()),
        ErrorType::Error(class, message) => class.new_instance((&**message,)).ok().map(|made| made.as_value()),
        ErrorType::Jump(_) => None,
    };
    made.unwrap_or_else(|| ruby.qnil().as_value())
}

/// The result of Ruby code of which an exception does no harm. What ends the thread is passed on.
pub(crate) fn tolerate<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_exception(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
