//! What a call of Ruby has ended with: an exception, which the exchange can be answered for, or the end of the thread. What an
//! exception looks like in the log is in `lib/tidegate/log/error_report.rb`.

use magnus::{Error, Ruby, Value, error::ErrorType, prelude::*};

/// An exception, and not what ends a thread or leaves a block: after that nothing of Ruby's may run on our account.
pub(crate) fn is_exception(error: &Error) -> bool {
    !matches!(error.error_type(), ErrorType::Jump(_))
}

/// An error as the exception that Ruby code is shown; nil where there is none to show.
pub(crate) fn exception(ruby: &Ruby, error: &Error) -> Value {
    let made = match error.error_type() {
        ErrorType::Exception(exception) => Some(exception.as_value()),
        ErrorType::Error(class, message) => class.new_instance((&**message,)).ok().map(|made| made.as_value()),
        ErrorType::Jump(_) => None,
    };
    made.unwrap_or_else(|| ruby.qnil().as_value())
}

/// What Ruby code returned that may raise without harm; but what ends the thread ends it.
pub(crate) fn tolerate<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_exception(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
