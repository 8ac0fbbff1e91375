//! Accepting in a cluster, where all workers wait for connections on the same sockets: a new one is to wake one worker.
//!
//! That takes an epoll with `EPOLLEXCLUSIVE`, and a thread that waits in it: where the epoll is nested in another, as the runtime's
//! would be, the kernel wakes all. It wakes the first that waits. That would always be the same worker, unless it goes to the end of the
//! kernel's list, which it does by leaving the epoll and coming back after each connection. The adoption queue is watched in the
//! same way.
//!
//! A worker that dies between being woken and accepting leaves a connection of which no other was told: all look from time to time.
//!
//! Connections go to the I/O thread through a small channel. While that is full, or this process has no descriptor left, the thread
//! is in none of the lists, and the other workers take what comes.

use std::{
    io, mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{
    EventfdFlags, PollFd, PollFlags, Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
    eventfd, poll,
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Observer,
    acceptor::{Failing, is_exhausted},
    listener::{Newcomer, SharedListener, gone_already},
};
use crate::{
    cluster::handover::{Message, Traits},
    connection::{Shared, Siblings},
    log::event::LogEvent,
};

/// Connections between the thread and the I/O thread. Few, because they wait where this worker has as many as it may.
const CHANNEL: usize = 4;

/// How often the thread looks for what it was not woken for.
const LOOK: Duration = Duration::from_secs(1);

/// Nothing that the thread calls goes deep.
const STACK: usize = 256 * 1024;

/// A connection for the I/O thread.
#[derive(Debug)]
pub(super) enum Incoming {
    Accepted(Newcomer),
    Adopted(Message),
}

/// How the thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The worker leaves, and others go on: lets go of the listeners, but for what this worker alone may have been woken for.
    Leave,
    /// All close: gives the listeners back.
    GiveBack,
}

/// The thread, as the I/O thread has it.
#[derive(Debug)]
pub(super) struct AcceptThread {
    incoming: mpsc::Receiver<Incoming>,
    told: Arc<Told>,
    /// `None` once the listeners were given back.
    thread: Option<JoinHandle<Vec<SharedListener>>>,
}

#[derive(Debug)]
struct Told {
    end: OnceLock<End>,
    event: OwnedFd,
}

impl AcceptThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors or threads left.
    pub(super) fn start(
        listeners: Vec<SharedListener>,
        shared: Arc<Shared>,
        siblings: Arc<Siblings>,
        observer: Observer,
    ) -> io::Result<Self> {
        let (sender, incoming) = mpsc::channel(CHANNEL);
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let told = Arc::new(Told { end: OnceLock::new(), event });
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &told.event, EventData::new_u64(TOLD), EventFlags::IN)?;
        let failing = Failing::default();
        let accepting = Accepting { epoll, listeners, told: told.clone(), shared, siblings, sender, observer, failing };
        let thread = thread::Builder::new().name("tidegate-accept".into()).stack_size(STACK);
        let thread = thread.spawn(|| accepting.run())?;
        Ok(Self { incoming, told, thread: Some(thread) })
    }

    /// Waits for the next connection; `None` once the thread has ended and all were taken.
    pub(super) async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Has the thread end. What it has accepted until then comes out of [`next`](Self::next).
    pub(super) fn end(&self, end: End) {
        // Only the first counts.
        let _ = self.told.end.set(end);
        // The count of an eventfd is never full here.
        let _ = rustix::io::write(&self.told.event, &1_u64.to_ne_bytes());
    }

    /// The listeners, which the thread gives back; none where it was told to leave. To be called when [`next`](Self::next) has
    /// nothing more.
    pub(super) fn listeners(mut self) -> Vec<SharedListener> {
        // It has dropped its end of the channel, which is the last thing that it does.
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// A server that could not start, or that ends by force, accepts nothing more.
impl Drop for AcceptThread {
    fn drop(&mut self) {
        self.end(End::Leave);
    }
}

/// What the data of an event says: the thread is told to end, or the adoption queue holds something; otherwise it is the index of
/// a listener.
const TOLD: u64 = u64::MAX;
const ADOPTION: u64 = u64::MAX - 1;

/// As many events as are taken out of the epoll at a time.
const EVENTS: usize = 16;

struct Accepting {
    epoll: OwnedFd,
    listeners: Vec<SharedListener>,
    told: Arc<Told>,
    shared: Arc<Shared>,
    siblings: Arc<Siblings>,
    sender: mpsc::Sender<Incoming>,
    observer: Observer,
    failing: Failing,
}

impl Accepting {
    fn run(mut self) -> Vec<SharedListener> {
        self.watch_all();
        let end = loop {
            let ready = self.wait(LOOK);
            if let Some(end) = self.told.end.get() {
                break *end;
            }
            if ready.is_empty() {
                self.look();
                continue;
            }
            self.shared.services.stats.accept_wakeups.inc();
            ready.into_iter().for_each(|source| self.serve(source));
        };
        self.unwatch_all();
        if end == End::GiveBack {
            return mem::take(&mut self.listeners);
        }
        // The kernel wakes no other worker for a connection that it has woken this one for.
        self.sources().for_each(|source| drop(self.take(source).map(|incoming| self.pass(source, incoming))));
        Vec::new()
    }

    /// The data of all that is watched beside the order to end.
    fn sources(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.listeners.len() as u64).chain([ADOPTION])
    }

    fn descriptor(&self, source: u64) -> Option<BorrowedFd<'_>> {
        if source == ADOPTION {
            return Some(self.siblings.adoption().reader());
        }
        self.listeners.get(usize::try_from(source).ok()?).map(AsFd::as_fd)
    }

    /// Goes to the end of the list of those that wait for this.
    fn watch(&self, source: u64) {
        let Some(descriptor) = self.descriptor(source) else { return };
        // Fails only for want of memory, and then until the next connection of another source.
        let _ = epoll::add(&self.epoll, descriptor, EventData::new_u64(source), EventFlags::IN | EventFlags::EXCLUSIVE);
    }

    fn unwatch(&self, source: u64) {
        let Some(descriptor) = self.descriptor(source) else { return };
        // It may be out already.
        let _ = epoll::delete(&self.epoll, descriptor);
    }

    fn watch_all(&self) {
        self.sources().for_each(|source| self.watch(source));
    }

    fn unwatch_all(&self) {
        self.sources().for_each(|source| self.unwatch(source));
    }

    /// Takes what waits although the worker that was woken for it has not taken it.
    fn look(&mut self) {
        self.sources()
            .filter(|source| self.holds(*source))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|source| self.serve(source));
    }

    fn holds(&self, source: u64) -> bool {
        let Some(descriptor) = self.descriptor(source) else { return false };
        let mut readable = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        poll(&mut readable, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Waits until something is watched that is ready, at most for `limit`. Returns what is, which is nothing where the thread is
    /// told something.
    fn wait(&self, limit: Duration) -> Vec<u64> {
        let limit = Timespec::try_from(limit).ok();
        let mut events = [const { Event { flags: EventFlags::empty(), data: EventData::new_u64(TOLD) } }; EVENTS];
        // An interrupted wait is one in which nothing was ready.
        let count = epoll::wait(&self.epoll, &mut events[..], limit.as_ref()).unwrap_or(0);
        events[..count].iter().map(|event| event.data.u64()).filter(|source| *source != TOLD).collect()
    }

    fn serve(&mut self, source: u64) {
        match self.take(source) {
            Ok(incoming) => {
                if self.failing.recovered() {
                    (self.observer)(&LogEvent::AcceptRecovered);
                }
                self.pass(source, incoming);
            }
            // Another worker was quicker, or the client has gone. What is no message is closed.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || gone_already(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return self.back_off(&error),
        }
        self.unwatch(source);
        self.watch(source);
    }

    fn take(&self, source: u64) -> io::Result<Incoming> {
        if source == ADOPTION {
            return self.siblings.adoption().receive().map(Incoming::Adopted);
        }
        match usize::try_from(source).ok().and_then(|index| self.listeners.get(index)) {
            Some(listener) => listener.accept().map(Incoming::Accepted),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Sends a new connection to a sibling that is idle or has less to do, where its request would wait here; everything else to the
    /// I/O thread.
    fn pass(&self, source: u64, incoming: Incoming) {
        if let Incoming::Accepted(newcomer) = &incoming
            && self.siblings.would_help()
            && let Some(sibling) = self.siblings.better_one()
        {
            let one_shot = self.shared.phase().is_stopping();
            let opens = !newcomer.is_plain();
            let traits = Traits { fresh: true, for_request: true, one_shot, opens, ..Traits::default() };
            let listener = [u8::try_from(source).unwrap_or(u8::MAX)];
            let said = if opens { &listener[..] } else { &[] };
            if self.siblings.send(sibling, newcomer.as_fd(), traits, said).is_ok() {
                self.shared.services.stats.accepted.inc();
                self.shared.services.stats.handed_over.inc();
                return;
            }
        }
        match self.sender.try_send(incoming) {
            Ok(()) => {}
            Err(TrySendError::Full(incoming)) => {
                self.unwatch_all();
                // Fails where the I/O thread has gone, and the connection with it.
                let _ = self.sender.blocking_send(incoming);
                if self.told.end.get().is_none() {
                    self.watch_all();
                }
            }
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// This process cannot accept for now. The others take what comes meanwhile.
    fn back_off(&mut self, error: &io::Error) {
        if is_exhausted(error) {
            self.shared.bounds.connections.evict();
        }
        let pause = self.failing.again(error, &self.observer);
        self.unwatch_all();
        self.wait(pause);
        self.watch_all();
    }
}
