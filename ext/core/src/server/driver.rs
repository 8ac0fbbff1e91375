//! The driver: feeds the lifecycle with signals, deadlines and the end of the last connection, and does what it says.

use std::{convert::Infallible, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Message, Observer,
    door::{Closed, Door},
    hear, now,
};
use crate::{
    connection::Shared,
    dispatch::DispatchQueue,
    lifecycle::{Action, Event, Lifecycle, Phase},
    listener::Listener,
    notice::{Notice, Summary},
    plan::Plan,
    probe::Probe,
    stats::Snapshot,
};

/// Feeds the lifecycle and does what it says.
pub(super) struct Driver {
    plan: Plan,
    lifecycle: Lifecycle,
    phase: watch::Sender<Phase>,
    /// Dropped when the server is first told to stop.
    unasked: Option<crossbeam_channel::Sender<Infallible>>,
    observer: Observer,
    shared: Arc<Shared>,
    /// Cancelled when the listeners are to close.
    closing: CancellationToken,
    accepting: Vec<JoinHandle<Closed>>,
    /// When the first signal came, and the counters then.
    drained_from: Option<(Instant, Snapshot)>,
}

impl Driver {
    pub(super) fn new(
        plan: Plan,
        shared: Arc<Shared>,
        phase: watch::Sender<Phase>,
        unasked: crossbeam_channel::Sender<Infallible>,
        observer: Observer,
    ) -> Self {
        Self {
            plan,
            lifecycle: Lifecycle::new(plan),
            phase,
            unasked: Some(unasked),
            observer,
            shared,
            closing: CancellationToken::new(),
            accepting: Vec::new(),
            drained_from: None,
        }
    }

    /// What the probes tell about.
    pub(super) fn probe(&self) -> Probe {
        Probe { phase: self.shared.phase.clone(), stats: self.shared.stats.clone() }
    }

    /// Where the connections' exchanges wait.
    pub(super) fn queue(&self) -> Arc<DispatchQueue> {
        self.shared.queue.clone()
    }

    /// Tells the operator that the server serves.
    pub(super) fn announce_ready(&self, addresses: &[String], admin: Option<&str>) {
        let url = |address: &str| address.replacen("tcp://", "http://", 1);
        let addresses: Vec<String> = addresses.iter().map(|address| url(address)).collect();
        (self.observer)(&Notice::Ready {
            addresses: &addresses,
            admin: admin.map(url).as_deref(),
            max_workers: self.shared.queue.max_workers(),
            plan: self.plan,
        });
    }

    /// Lets connections in through a listener, from now on.
    pub(super) fn accept_on(&mut self, listener: Listener) {
        let door = Door::new(self.shared.clone(), self.observer.clone(), self.closing.clone());
        self.accepting.push(tokio::spawn(door.keep(listener)));
    }

    /// Runs until the lifecycle is over.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        self.handle(Event::Booted, now());
        // Resolves once nothing is left; pending until the closing begins.
        let mut emptied: JoinHandle<()> = tokio::spawn(std::future::pending());
        let mut inbox_open = true;
        while !matches!(self.lifecycle.phase(), Phase::Stopped { .. }) {
            let deadline = self.lifecycle.deadline();
            let ring = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
            let (event, at) = tokio::select! {
                message = inbox.recv(), if inbox_open => match message {
                    Some(Message::Happened(event, at)) => (event, at),
                    Some(Message::Hear(stream, messages)) => {
                        tokio::spawn(hear(stream, messages));
                        continue;
                    }
                    None => {
                        inbox_open = false;
                        continue;
                    }
                },
                () = ring, if deadline.is_some() => (Event::DeadlineReached { unfinished: self.unfinished() }, now()),
                _ = &mut emptied => (Event::Emptied { cut: self.shared.stats.snapshot().cut > 0 }, now()),
            };
            if self.handle(event, at) == Listening::Ends {
                emptied.abort();
                emptied = tokio::spawn(self.empty());
            }
        }
        emptied.abort();
        self.summarize();
    }

    /// A forced end has left connections with something still to send or to answer.
    fn unfinished(&self) -> bool {
        let now = self.shared.stats.snapshot();
        now.connections > 0 || now.cut > 0
    }

    fn handle(&mut self, event: Event, at: Instant) -> Listening {
        let mut listening = Listening::GoesOn;
        for action in self.lifecycle.handle(event, at) {
            match action {
                Action::Announce(phase, cause) => {
                    let counted = self.shared.stats.snapshot();
                    if self.drained_from.is_none() && phase.is_stopping() {
                        self.drained_from = Some((at, counted));
                    }
                    // The driver itself holds a receiver.
                    self.phase.send_replace(phase);
                    if phase.is_stopping() {
                        self.unasked = None;
                    }
                    let lasts = self.lifecycle.deadline().map(|end| end.saturating_duration_since(at));
                    if !matches!(phase, Phase::Ready | Phase::Stopped { .. }) {
                        (self.observer)(&Notice::Entered { phase, cause, now: counted, lasts });
                    }
                }
                Action::CloseListeners => listening = Listening::Ends,
                // Connections see the phase.
                Action::Force => {}
                Action::Unmoved(signal) => (self.observer)(&Notice::Unmoved(signal)),
            }
        }
        listening
    }

    /// Closes the listeners and resolves when the last connection is gone.
    fn empty(&mut self) -> impl Future<Output = ()> + use<> {
        self.closing.cancel();
        let (accepting, tasks, observer) =
            (std::mem::take(&mut self.accepting), self.shared.tasks.clone(), self.observer.clone());
        let begun = now();
        async move {
            let mut all = Closed { late: 0, lossless: true };
            for listener in accepting {
                if let Ok(closed) = listener.await {
                    all.late += closed.late;
                    all.lossless &= closed.lossless;
                }
            }
            let took = now().saturating_duration_since(begun);
            observer(&Notice::ListenersClosed { took, late: all.late, lossless: all.lossless });
            tasks.close();
            tasks.wait().await;
        }
    }

    fn summarize(&self) {
        let (Some((begun, before)), Phase::Stopped { status }) = (self.drained_from, self.lifecycle.phase()) else {
            return;
        };
        let after = self.shared.stats.snapshot();
        (self.observer)(&Notice::Summary(Summary {
            took: now().saturating_duration_since(begun),
            plan: self.plan,
            delay: self.lifecycle.drained_for(),
            connections: after.accepted - before.accepted,
            requests: after.requests - before.requests,
            last_connection: after
                .last_accept
                .filter(|_| after.accepted > before.accepted)
                .map(|at| at.saturating_duration_since(begun)),
            told_close: after.told_close - before.told_close,
            idle_closed: after.idle_closed - before.idle_closed,
            rejected: after.rejected - before.rejected,
            cut: after.cut - before.cut,
            unsent: after.unsent - before.unsent,
            hijacked: after.hijacked,
            status,
        }));
    }
}

/// Whether an event has ended the accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    GoesOn,
    Ends,
}
