//! What can go wrong before a server serves: an opaque error whose message is one plain sentence.
//!
//! `Display` prints this level only, for a person; the operating system's own words are in `source()`.

use std::{error::Error as StdError, fmt, io};

/// A server could not be configured or started.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    cause: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Configuration,
    Bind,
    Runtime,
}

impl Error {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, message.into(), None)
    }

    pub(crate) fn bind(address: impl fmt::Display, cause: io::Error) -> Self {
        let message = format!("cannot listen on {address}: {}", explain(&cause));
        Self::new(Kind::Bind, message, Some(cause))
    }

    pub(crate) fn bind_refused(address: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Bind, format!("cannot listen on {address}: {reason}"), None)
    }

    pub(crate) fn runtime(cause: io::Error) -> Self {
        let message = format!("cannot start: {}", explain(&cause));
        Self::new(Kind::Runtime, message, Some(cause))
    }

    fn new(kind: Kind, message: String, cause: Option<io::Error>) -> Self {
        Self(Box::new(Inner { kind, message, cause }))
    }

    /// A setting has a value the server cannot use.
    pub fn is_configuration(&self) -> bool {
        self.0.kind == Kind::Configuration
    }

    /// An address could not be bound or listened on.
    pub fn is_bind(&self) -> bool {
        self.0.kind == Kind::Bind
    }

    /// Another socket has the address.
    pub(crate) fn is_address_in_use(&self) -> bool {
        self.0.cause.as_ref().is_some_and(|cause| cause.kind() == io::ErrorKind::AddrInUse)
    }
}

/// The words an operator needs, where the operating system's are terse.
fn explain(cause: &io::Error) -> String {
    match cause.raw_os_error() {
        Some(libc::EADDRINUSE) => "the address is already in use by another process".into(),
        Some(libc::EADDRNOTAVAIL) => "this machine has no such address".into(),
        Some(libc::EACCES | libc::EPERM) => {
            "permission denied (ports below 1024 and other people's directories need privileges)".into()
        }
        Some(libc::ENOENT) => "the directory does not exist".into(),
        Some(libc::ENOTDIR) => "a part of the path is not a directory".into(),
        Some(libc::EMFILE | libc::ENFILE) => "too many open files: raise the limit (ulimit -n, LimitNOFILE=)".into(),
        _ => cause.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
