//! An acceptor: takes the connections of one listener, or in a cluster those that the accepting thread has for this worker, each
//! into a task of its own, until the server closes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use super::accept_thread::{AcceptThread, End, Incoming};
use super::{Observer, inbox};
use crate::{
    connection::{self, Shared},
    log::event::LogEvent,
    server::listener::{Accepted, AcceptedSocket, Listener, gone_already},
    stats::OpenConnection,
    sync::{inline_task, now},
};

/// How long to wait before trying again to accept, when this process cannot: at first, and at most.
pub(super) const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often connections are counted again while a new one waits.
const RECOUNT: Duration = Duration::from_millis(100);

/// One in so many connections is asked for its round-trip time, which costs a system call; of the first and in a drain,
/// each is.
const SAMPLED: u64 = 16;
const FIRST: u64 = 64;

/// What was found when a listener closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    /// Connections that were on their way or in the queue.
    pub(super) late: u64,
    /// The kernel refused the new ones and lost none of the others.
    pub(super) lossless: bool,
}

/// Accepts the connections of one listener.
pub(super) struct Acceptor {
    shared: Arc<Shared>,
    observer: Observer,
    closing: CancellationToken,
}

impl Acceptor {
    pub(super) fn new(shared: Arc<Shared>, observer: Observer, closing: CancellationToken) -> Self {
        Self { shared, observer, closing }
    }

    /// Accepts until the server closes, then closes the listener. A server that is `leaving` lets it be: the process's next image, which
    /// has the descriptor, accepts those that wait.
    pub(super) async fn run(self, listener: Listener, leaving: Arc<AtomicBool>) -> Closed {
        let mut failing = Failing::default();
        let mut slowest = Slowest::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    if failing.recovered() {
                        (self.observer)(&LogEvent::AcceptRecovered);
                    }
                    slowest.sample(&accepted, self.shared.phase().is_stopping());
                    make_room(&self.shared, &self.closing).await;
                    self.spawn(accepted);
                }
                Err(error) if gone_already(&error) => {}
                Err(error) => {
                    if is_exhausted(&error) {
                        self.shared.bounds.connections.evict();
                    }
                    let pause = failing.again(&error, &self.observer);
                    tokio::select! {
                        () = self.closing.cancelled() => break,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        if leaving.load(Relaxed) {
            std::mem::forget(listener);
            return Closed { late: 0, lossless: true };
        }
        let mut late = 0;
        let lossless = listener
            .close(slowest.round_trip, |accepted| {
                late += 1;
                self.spawn(accepted);
            })
            .await;
        Closed { late, lossless }
    }

    /// The same in a cluster, where the thread accepts: until this worker leaves, or all of them close.
    #[cfg(target_os = "linux")]
    pub(super) async fn run_shared(self, mut thread: AcceptThread, leaving: Arc<AtomicBool>) -> Closed {
        let mut slowest = Slowest::default();
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                incoming = thread.next() => incoming,
            };
            let Some(incoming) = incoming else { break };
            make_room(&self.shared, &self.closing).await;
            self.take_in(incoming, &mut slowest);
        }
        let mut closed = Closed { late: 0, lossless: true };
        let leaves = leaving.load(Relaxed);
        thread.end(if leaves { End::Leave } else { End::GiveBack });
        while let Some(incoming) = thread.next().await {
            closed.late += u64::from(!leaves);
            self.take_in(incoming, &mut slowest);
        }
        for listener in thread.listeners() {
            // Fails only for want of memory: the connections in the queue are then left to the siblings.
            let Ok(listener) = listener.into_listener() else { continue };
            closed.lossless &= listener
                .close(slowest.round_trip, |accepted| {
                    closed.late += 1;
                    self.spawn(accepted);
                })
                .await;
        }
        closed
    }

    #[cfg(target_os = "linux")]
    fn take_in(&self, incoming: Incoming, slowest: &mut Slowest) {
        match incoming {
            Incoming::Accepted(newcomer) => {
                // Fails only for want of memory.
                let Ok(accepted) = newcomer.accepted() else { return };
                slowest.sample(&accepted, self.shared.phase().is_stopping());
                self.spawn(accepted);
            }
            Incoming::Adopted(message) => inbox::take_over(message, &self.shared),
        }
    }

    fn spawn(&self, accepted: Accepted) {
        spawn(accepted, self.shared.services.stats.connection_accepted(), &self.shared);
    }
}

/// Serves a connection in a task of its own.
pub(super) fn spawn(accepted: Accepted, open: OpenConnection, shared: &Arc<Shared>) {
    let Accepted { socket, peer, opening } = accepted;
    let (tasks, shared) = (&shared.tasks, shared.clone());
    match (socket, opening) {
        (AcceptedSocket::Tcp(socket), None) => {
            tasks.spawn(inline_task::task(connection::serve(socket, peer, shared, open)))
        }
        (AcceptedSocket::Unix(socket), None) => {
            tasks.spawn(inline_task::task(connection::serve(socket, peer, shared, open)))
        }
        (AcceptedSocket::Tcp(socket), Some(opening)) => {
            tasks.spawn(inline_task::task(connection::open(socket, peer, opening, shared, open)))
        }
        (AcceptedSocket::Unix(socket), Some(opening)) => {
            tasks.spawn(inline_task::task(connection::open(socket, peer, opening, shared, open)))
        }
    };
}

/// Returns when there is room for the connection that was accepted: a silent one is told to close; where none is silent, this
/// one waits, and so do those behind it in the kernel's queue. When the server closes, all are taken.
pub(super) async fn make_room(shared: &Shared, closing: &CancellationToken) {
    let limit = &shared.bounds.connections;
    loop {
        let change = limit.changed();
        if limit.has_room(shared.services.stats.all_connections()) {
            return;
        }
        let gives_way = limit.evict();
        shared.services.warnings.crowded(limit.max_connections(), gives_way, now());
        if !gives_way {
            tokio::select! {
                () = closing.cancelled() => return,
                () = change => {}
                // Nothing else tells of a hijacked connection that the app has closed.
                () = sleep(RECOUNT) => {}
            }
        }
    }
}

/// Whether descriptors have run out, so that closing a connection helps.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The longest round trip of the clients seen, which says how long a handshake takes.
#[derive(Debug, Default)]
struct Slowest {
    round_trip: Duration,
    seen: u64,
}

impl Slowest {
    fn sample(&mut self, accepted: &Accepted, always: bool) {
        self.seen += 1;
        if always || self.seen <= FIRST || self.seen.is_multiple_of(SAMPLED) {
            self.round_trip = self.round_trip.max(accepted.round_trip());
        }
    }
}

/// A row of failed accepts, as when descriptors have run out: logged once, and tried again after ever longer pauses.
#[derive(Debug, Default)]
pub(super) struct Failing(Option<Duration>);

impl Failing {
    pub(super) fn again(&mut self, error: &io::Error, observer: &Observer) -> Duration {
        let pause = match self.0 {
            None => {
                observer(&LogEvent::AcceptFailing(error));
                BACK_OFF.0
            }
            Some(pause) => (2 * pause).min(BACK_OFF.1),
        };
        self.0 = Some(pause);
        pause
    }

    pub(super) fn recovered(&mut self) -> bool {
        self.0.take().is_some()
    }
}
