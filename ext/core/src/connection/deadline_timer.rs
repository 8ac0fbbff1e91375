//! The timer of a connection that hyper has. The runtime hears of it only when there is something to wait for: most requests are
//! answered before it would be needed.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

/// Resolves when something is due.
pub(super) struct DeadlineTimer<'a> {
    timer: Pin<&'a mut Sleep>,
    at: Option<Instant>,
    /// The timer is registered with the runtime, which its first poll does.
    registered: bool,
}

impl<'a> DeadlineTimer<'a> {
    pub(super) fn new(timer: Pin<&'a mut Sleep>) -> Self {
        Self { timer, at: None, registered: false }
    }

    pub(super) fn set(&mut self, at: Option<Instant>) {
        self.at = at;
        let Some(at) = at else { return };
        if !self.registered {
            // A new timer does not wake the runtime before it is polled; one that is reset does.
            self.timer.set(sleep_until(at.into()));
        } else if self.timer.deadline().into_std() != at {
            self.timer.as_mut().reset(at.into());
        }
    }

    /// Resolves at the time that was set, or at once where `due` is earlier. A later `due` is looked at when the timer has
    /// fired.
    pub(super) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        match (due, self.at) {
            (Some(due), Some(at)) if due < at => Poll::Ready(()),
            (Some(_), None) => Poll::Ready(()),
            (None, Some(_)) if !self.registered => {
                // The request came at once. The runtime would be woken to register a timer that is not needed.
                self.at = None;
                Poll::Pending
            }
            (_, Some(_)) => {
                self.registered = true;
                self.timer.as_mut().poll(cx)
            }
            (None, None) => Poll::Pending,
        }
    }
}
