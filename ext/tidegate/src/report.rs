//! What went wrong in the app, in words: for the log, and for a developer.

use http::request::Parts as Head;
use magnus::{Error, RArray, RString, Ruby, Value, error::ErrorType, prelude::*};

/// Whose failure it was.
#[derive(Clone, Copy)]
pub(crate) enum Culprit {
    /// The app, before anything was sent.
    App,
    /// The app, after the response had begun.
    AppLate,
    /// The block that is to answer in the app's place.
    ErrorHandler,
}

/// Writes what went wrong to the log. Passes on what is no exception: it ends the thread.
pub(crate) fn report(ruby: &Ruby, head: &Head, error: &Error, culprit: Culprit) -> Result<Report, Error> {
    let report = Report::of(error)?;
    let (who, when) = match culprit {
        Culprit::App => ("", ""),
        Culprit::AppLate => ("", ", after the response had begun"),
        Culprit::ErrorHandler => (": lowlevel_error_handler", ""),
    };
    let (method, path) = (&head.method, head.uri.path());
    log(ruby, &format!("tidegate: {method} {path}{who} raised {}{when}\n{}", report.message, report.backtrace))?;
    Ok(report)
}

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

/// What went wrong in the app, in words.
pub(crate) struct Report {
    message: String,
    backtrace: String,
}

impl Report {
    /// The same for a developer who looks at the response.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.message, self.backtrace)
    }

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
