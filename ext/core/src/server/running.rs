//! A server that runs, as other threads see it: what they may tell it, and what they may wait for.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use super::{
    Message,
    certificates::Asking,
    control::Control,
    signals::{SignalListener, event_of},
};
use crate::{
    admin::questions::Questions,
    lifecycle::{Event, Phase, Signal},
    pool::DispatchQueue,
    stats::{GcFigures, SharedStats, Snapshot},
    sync::{
        Parker,
        latch::{Latch, LatchTrigger, latch},
    },
    sys::process::Recall,
    tls::tickets::KeyStore,
};

/// A server that serves.
pub struct Running {
    pub(super) addresses: Vec<String>,
    pub(super) admin_address: Option<String>,
    pub(super) queue: Arc<DispatchQueue>,
    pub(super) stats: SharedStats,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) phases: watch::Receiver<Phase>,
    pub(super) stopped: Latch,
    pub(super) stopping: Latch,
    pub(super) closing: Latch,
    pub(super) questions: Questions,
    pub(super) signal_listener: Mutex<Option<SignalListener>>,
    pub(super) control: Option<Arc<Control>>,
    /// Of what ends the process in time.
    pub(super) recall: Option<Recall>,
    /// Asks for a look at the files of certificates, where there are any.
    pub(super) certificates: Option<Asking>,
    pub(super) ticket_keys: Option<KeyStore>,
}

/// A point in a server's life that other threads wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPoint {
    /// It was told to stop.
    Stopping,
    /// Everything new has stopped being served.
    Closing,
}

/// Wakes the threads that wait for those points.
pub(super) struct StopTriggers {
    stopping: Option<LatchTrigger>,
    closing: Option<LatchTrigger>,
}

impl StopTriggers {
    pub(super) fn new() -> (Self, Latch, Latch) {
        let (stopping, told) = latch();
        let (closing, closed) = latch();
        (Self { stopping: Some(stopping), closing: Some(closing) }, told, closed)
    }

    pub(super) fn entered(&mut self, phase: Phase) {
        if phase.is_stopping() {
            self.stopping = None;
        }
        if phase.refuses_new() {
            self.closing = None;
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).field("phase", &self.phase()).finish()
    }
}

impl Running {
    /// What it listens on, with the ports the kernel chose: `tcp://127.0.0.1:40123`, `unix:///run/app.sock`.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where the probes are answered.
    pub fn admin_address(&self) -> Option<&str> {
        self.admin_address.as_deref()
    }

    /// Where workers get their exchanges.
    pub fn queue(&self) -> &Arc<DispatchQueue> {
        &self.queue
    }

    /// What clients of the admin listener ask of the interpreter. They end with that listener.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// The counters.
    pub fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// What the interpreter's garbage collector has done so far, for `/metrics`. The binding tells it from time to time, once a second at
    /// most; until then the metrics have nothing about it.
    pub fn publish_gc(&self, figures: &GcFigures) {
        self.stats.gc().publish(figures);
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> Phase {
        *self.phases.borrow()
    }

    /// Tells the lifecycle what happened, and when. Never blocks.
    pub fn tell(&self, event: Event, at: Instant) {
        // Full means that as many events wait already; closed, that it is over.
        let _ = self.messages.try_send(Message { event, at });
    }

    /// The interpreter reports a signal, which the server may have heard by itself already.
    pub fn signalled(&self, signal: Signal, at: Instant) {
        let heard = self.signal_listener().as_ref().is_some_and(|listener| listener.heard(signal));
        if !heard && let Some(event) = event_of(signal, self.control.as_deref()) {
            self.tell(event, at);
        }
    }

    /// Waits until the master of the cluster has asked more than `seen` times, counted from 0, to open the logs' files anew. Returns
    /// how often it has by then; `None` when `parker` was woken, and in a single process.
    pub fn await_reopen(&self, seen: u64, parker: &Parker) -> Option<u64> {
        self.control.as_ref()?.await_reopen(seen, parker)
    }

    /// Has the files of certificates looked at now, in a thread of their own, and what comes of it told. Never blocks.
    pub fn reload_certificates(&self) {
        self.certificates.iter().for_each(Asking::ask);
    }

    /// The keys by which clients resume their TLS sessions, for the image that follows this one: a secret. Empty where there are none.
    pub fn export_ticket_keys(&self) -> Vec<u8> {
        self.ticket_keys.as_ref().map(|store| store.keys().export()).unwrap_or_default()
    }

    /// Whether it is a worker's, which has a master.
    pub fn is_in_cluster(&self) -> bool {
        self.control.is_some()
    }

    /// The process is to live on when the server has stopped: nothing ends it in time any more.
    pub fn live_on(&self) {
        self.recall.iter().for_each(Recall::call_off);
    }

    /// Hears the process's signals no longer.
    pub fn ignore_signals(&self) {
        drop(self.signal_listener().take());
    }

    fn signal_listener(&self) -> MutexGuard<'_, Option<SignalListener>> {
        // No code that can panic runs under this lock.
        self.signal_listener.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until that point has come: `true`; `false` when `parker` was woken.
    pub fn wait_for(&self, point: StopPoint, parker: &Parker) -> bool {
        let latch = match point {
            StopPoint::Stopping => &self.stopping,
            StopPoint::Closing => &self.closing,
        };
        latch.wait(parker, None).is_some()
    }

    /// Waits until the server has stopped: `Some(true)`; `Some(false)` after `limit`; `None` when `parker` was
    /// woken.
    pub fn wait(&self, parker: &Parker, limit: Option<Duration>) -> Option<bool> {
        self.stopped.wait(parker, limit)
    }
}
