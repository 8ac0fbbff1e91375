//! The signals that move a server's life on, and their names.

use std::fmt;

/// A signal the server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The platform wants the process gone: drain.
    Term,
    /// The same, from images that have it as their stop signal.
    Quit,
    /// A developer's Ctrl-C: no delay.
    Int,
    /// The terminal is gone: the same, but it never hastens a stop that is under way.
    Hup,
}

impl Signal {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Term, Self::Quit, Self::Int, Self::Hup];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Quit => "SIGQUIT",
            Self::Int => "SIGINT",
            Self::Hup => "SIGHUP",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
