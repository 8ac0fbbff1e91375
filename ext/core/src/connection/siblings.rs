//! The other workers of a cluster, as a connection sees them: one of them may be idle, or have less to do, while this worker is busy,
//! and they go on when it leaves.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::opening::Opening;
use crate::{
    cluster::{
        Member,
        handover::{Mailbox, Traits},
    },
    pool::DispatchQueue,
    sys,
};

/// The siblings of a worker, and what connections it may give them.
#[derive(Debug)]
pub(crate) struct Siblings {
    member: Member,
    /// Whether a connection may go to another worker at all.
    hands_over: bool,
    /// Tells when the adoption queue has room, once this worker leaves; `None` where there was no descriptor left for it.
    adoption_room: OnceLock<Option<AsyncFd<OwnedFd>>>,
    /// The adoption queue had no room when a connection was last to go there, or no sibling empties it: clients are told to close.
    turned_away: AtomicBool,
    /// No sibling has taken what is in the adoption queue: this worker serves its connections to their end.
    alone: AtomicBool,
    queue: Arc<DispatchQueue>,
    /// What comes before HTTP on each of the listeners.
    openings: Vec<Option<Arc<Opening>>>,
}

/// A request that has run for so long may well run for longer. To hand a connection over takes some 50 microseconds, of two workers.
const LONG: Duration = Duration::from_millis(1);

impl Siblings {
    /// Of the worker with this place and this queue.
    pub(crate) fn new(
        member: Member,
        queue: Arc<DispatchQueue>,
        hands_over: bool,
        openings: Vec<Option<Arc<Opening>>>,
    ) -> Self {
        let (turned_away, alone) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { member, queue, hands_over, adoption_room: OnceLock::new(), turned_away, alone, openings }
    }

    /// This worker's own place.
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    /// What comes before HTTP on the listener in that place, if there is one and anything does.
    pub(crate) fn opening(&self, listener: u8) -> Option<&Arc<Opening>> {
        self.openings.get(usize::from(listener))?.as_ref()
    }

    /// Where siblings put connections for this worker.
    pub(crate) fn inbox(&self) -> &Mailbox {
        self.member.inbox()
    }

    /// Where a worker that leaves puts its connections.
    pub(crate) fn adoption(&self) -> &Mailbox {
        self.member.adoption()
    }

    /// A sibling that is idle, or that has less to do. The request counts there already: the caller is to [`send`](Self::send) it a
    /// connection.
    pub(crate) fn better_one(&self) -> Option<usize> {
        let will_wait = self.queue.since_last_taken(Instant::now()) > LONG;
        self.member.claim_better_sibling(will_wait)
    }

    /// Whether a request would wait here for so long that it is worth its while to send its connection to a sibling: others wait
    /// already, or the one that runs takes long. Costs a few loads where it would not.
    pub(crate) fn would_help(&self) -> bool {
        self.hands_over
            && !self.member.has_room()
            && (self.member.waiting() > 0 || self.queue.since_last_taken(Instant::now()) > LONG)
    }

    /// Sends a connection to one sibling.
    ///
    /// # Errors
    ///
    /// When its inbox is full; the connection stays.
    pub(crate) fn send(
        &self,
        sibling: usize,
        socket: BorrowedFd<'_>,
        traits: Traits,
        read_ahead: &[u8],
    ) -> io::Result<()> {
        self.member.send_to(sibling, socket, traits, read_ahead)
    }

    // ===== when this worker leaves =====

    /// This worker leaves. To be called on the I/O thread, which waits for room from now on.
    pub(crate) fn begin_to_leave(&self) {
        self.adoption_room.get_or_init(|| {
            let writer = self.adoption().writer().try_clone_to_owned().ok()?;
            sys::watch(writer, Interest::WRITABLE).ok()
        });
    }

    fn adoption_room(&self) -> Option<&AsyncFd<OwnedFd>> {
        self.adoption_room.get()?.as_ref()
    }

    /// Gives a connection at rest to the sibling that takes it first. Returns whether there was room for it.
    pub(super) fn give_away(&self, socket: BorrowedFd<'_>, traits: Traits, read_ahead: &[u8]) -> bool {
        if self.alone.load(Relaxed) {
            return false;
        }
        let sent = self.adoption().send(socket, traits, read_ahead).is_ok();
        self.turned_away.store(!sent, Relaxed);
        if let (false, Some(room)) = (sent, self.adoption_room()) {
            // What the runtime knows of it is out of date.
            let _ = room.try_io(Interest::WRITABLE, |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        sent
    }

    /// Resolves when there may be room again; never where that cannot be told.
    pub(super) async fn has_adoption_room(&self) {
        match self.adoption_room() {
            Some(room) if !self.alone.load(Relaxed) => drop(room.writable().await),
            _ => std::future::pending().await,
        }
    }

    /// Whether clients of a worker that leaves are told to close, because no sibling takes their connections.
    pub(super) fn turns_away(&self) -> bool {
        self.turned_away.load(Relaxed)
    }

    /// No sibling takes connections any more.
    pub(crate) fn stay_alone(&self) {
        self.alone.store(true, Relaxed);
        self.turned_away.store(true, Relaxed);
    }
}
