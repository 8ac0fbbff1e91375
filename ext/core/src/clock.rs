//! The clock that everything timed goes by.

use std::time::Instant;

/// The time, as the runtime has it: tests stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
