//! A connection that the app hijacks: the app asks for it in place of a response, and gets the socket itself where that is
//! possible, otherwise one end of a socket pair.

use std::{convert::Infallible, os::fd::OwnedFd};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use crate::{stats::HijackedConnection, sync::Unparker};

/// What the app gets.
#[derive(Debug)]
pub struct Taken {
    /// The connection, open in both directions, and non-blocking.
    pub descriptor: OwnedFd,
    /// What kind of socket it is.
    pub family: Family,
    /// The server waits for it at the end of a drain, for as long as it exists.
    pub held: HijackGuard,
}

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// TCP, the client's own connection.
    Tcp,
    /// A Unix socket: the client's own connection, or one end of a pair behind which the server passes the bytes on.
    Unix,
}

/// Counts a connection as the app's while it exists.
#[derive(Debug)]
pub struct HijackGuard {
    /// Dropped, it says that the app has closed the connection.
    pub(crate) _closed: Option<oneshot::Sender<Infallible>>,
    pub(crate) _count: HijackedConnection,
    pub(crate) _token: tokio_util::task::task_tracker::TaskTrackerToken,
}

/// The app's request for the connection: the end that the connection has.
#[derive(Debug)]
pub(crate) struct HijackRequest {
    /// What is sent to the client first.
    head: Vec<u8>,
    grant: Sender<Taken>,
    /// Unparks the app's thread when the connection was granted, or the request dropped.
    unparker: Unparker,
}

/// The app's request for the connection: the end that the app has.
#[derive(Debug)]
pub struct Hijack(Receiver<Taken>);

/// How far a hijack has come.
#[derive(Debug)]
pub enum HijackProgress {
    /// Not decided; the unparker wakes the app's thread when it is.
    Pending,
    /// The app has the connection.
    Taken(Box<Taken>),
    /// The client has gone.
    Gone,
}

impl HijackRequest {
    pub(crate) fn new(head: Vec<u8>, unparker: Unparker) -> (Self, Hijack) {
        let (grant, granted) = bounded(1);
        (Self { head, grant, unparker }, Hijack(granted))
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Gives the connection away. An app that no longer waits for it loses it.
    pub(crate) fn grant(self, taken: Taken) {
        let _ = self.grant.try_send(taken);
    }
}

impl Drop for HijackRequest {
    fn drop(&mut self) {
        // The app's thread wakes and finds what was granted, or a channel without a sender.
        let (closed, _) = bounded(0);
        self.grant = closed;
        self.unparker.unpark();
    }
}

impl Hijack {
    /// What there is to say now.
    pub fn progress(&self) -> HijackProgress {
        match self.0.try_recv() {
            Ok(taken) => HijackProgress::Taken(Box::new(taken)),
            Err(crossbeam_channel::TryRecvError::Empty) => HijackProgress::Pending,
            Err(crossbeam_channel::TryRecvError::Disconnected) => HijackProgress::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Parker;

    #[test]
    fn a_request_that_is_dropped_tells_the_app() {
        let parker = Parker::new();
        let (request, hijack) = HijackRequest::new(Vec::new(), parker.unparker());
        assert!(matches!(hijack.progress(), HijackProgress::Pending));
        drop(request);
        parker.park();
        assert!(matches!(hijack.progress(), HijackProgress::Gone));
    }
}
