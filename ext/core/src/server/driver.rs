//! The driver: feeds the lifecycle with signals, deadlines and the end of the last connection, and does what it says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinHandle, yield_now},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use super::accept_thread::AcceptThread;
use super::{
    Message, Observer, StopTriggers,
    acceptor::{Acceptor, Closed},
    control::Control,
    inbox, now,
};
use crate::{
    cluster::WorkerState,
    connection::{Shared, Siblings},
    lifecycle::{
        Action, Event, Lifecycle, Phase, Retirement,
        plan::{MIN_DELAY, Plan},
    },
    log::{
        event::LogEvent,
        summary::{LateComers, Summary},
    },
    server::listener::Listener,
    sys::process::Watchdog,
};

/// When the deadline of a forced end is so long past, this thread could not run in time, and the end is still to be made.
const OVERSLEPT: Duration = Duration::from_millis(20);
/// How long it goes on then. Together with its own time this is less than what a process may live on after it.
const CATCH_UP: Duration = Duration::from_millis(200);

/// Feeds the lifecycle and does what it says.
pub(super) struct Driver {
    plan: Plan,
    lifecycle: Lifecycle,
    phase: watch::Sender<Phase>,
    waiters: StopTriggers,
    observer: Observer,
    shared: Arc<Shared>,
    /// Cancelled when the listeners are to close.
    closing: CancellationToken,
    accepting: Vec<JoinHandle<Closed>>,
    /// Whether the operator knows that the drain takes longer than planned.
    extension_reported: bool,
    /// Ends the process, where it is the server's own.
    watchdog: Option<Watchdog>,
    /// Tells the master of a cluster what this worker does.
    control: Option<Arc<Control>>,
    /// Set when the listeners are left to the siblings, and not closed.
    leaving: Arc<AtomicBool>,
    admin: Option<AbortHandle>,
}

impl Driver {
    pub(super) fn new(
        plan: Plan,
        shared: Arc<Shared>,
        phase: watch::Sender<Phase>,
        waiters: StopTriggers,
        observer: Observer,
        watchdog: Option<Watchdog>,
        (retirement, control): (Retirement, Option<Arc<Control>>),
    ) -> Self {
        Self {
            plan,
            lifecycle: Lifecycle::new(plan, retirement),
            phase,
            waiters,
            observer,
            shared,
            closing: CancellationToken::new(),
            accepting: Vec::new(),
            extension_reported: false,
            watchdog,
            control,
            leaving: Arc::default(),
            admin: None,
        }
    }

    /// Cancelled when no more connections are waited for.
    pub(super) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// The control socket of a worker.
    pub(super) fn control(&self) -> Option<Arc<Control>> {
        self.control.clone()
    }

    /// What answers on the admin listener, and ends when a worker leaves its cluster.
    pub(super) fn answers_on_admin(&mut self, task: AbortHandle) {
        self.admin = Some(task);
    }

    fn siblings(&self) -> Option<&Arc<Siblings>> {
        self.shared.services.siblings.as_ref()
    }

    /// What the connections share.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Tells the operator that the server serves.
    pub(super) fn announce_ready(&self, addresses: &[String], admin: Option<&str>) {
        let max_threads = self.shared.services.queue.max_threads();
        ready(addresses, admin, None, max_threads, self.plan, |event| (self.observer)(event));
    }

    /// Lets connections in through a listener, from now on.
    pub(super) fn accept_on(&mut self, listener: Listener) {
        let acceptor = Acceptor::new(self.shared.clone(), self.observer.clone(), self.closing.clone());
        self.accepting.push(tokio::spawn(acceptor.run(listener, self.leaving.clone())));
    }

    /// Lets in the connections that a thread accepts for this worker, from now on.
    #[cfg(target_os = "linux")]
    pub(super) fn accept_from(&mut self, thread: AcceptThread) {
        let acceptor = Acceptor::new(self.shared.clone(), self.observer.clone(), self.closing.clone());
        self.accepting.push(tokio::spawn(acceptor.run_shared(thread, self.leaving.clone())));
    }

    /// Runs until the lifecycle is over. Returns whether the server has left its listeners open, for its process's next image.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) -> bool {
        self.handle(Event::Booted, now());
        // Resolves once nothing is left; pending until the closing begins.
        let mut emptied: JoinHandle<()> = tokio::spawn(std::future::pending());
        let mut inbox_open = true;
        while !matches!(self.lifecycle.phase(), Phase::Stopped { .. }) {
            let deadline = self.next_deadline();
            let timer = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
            let (event, at) = tokio::select! {
                message = inbox.recv(), if inbox_open => match message {
                    Some(Message { event, at }) => {
                        if let Event::Signal(signal) = event {
                            self.shared.services.stats.signals.inc(signal);
                        }
                        (event, at)
                    }
                    None => {
                        inbox_open = false;
                        continue;
                    }
                },
                () = timer, if deadline.is_some() => {
                    // A worker may have ended the last connection just now: its task has its turn first.
                    yield_now().await;
                    let all_gone = self.overslept() && timeout(CATCH_UP, &mut emptied).await.is_ok();
                    (if all_gone { self.emptied() } else { self.deadline_passed(now()) }, now())
                }
                _ = &mut emptied => (self.emptied(), now()),
            };
            if self.handle(event, at) == Listening::Ends {
                emptied.abort();
                emptied = tokio::spawn(self.empty());
            }
            self.arm_watchdog();
        }
        emptied.abort();
        self.report_summary();
        self.leaving.load(Relaxed) && self.siblings().is_none()
    }

    /// Sees to it that the process is gone in time.
    fn arm_watchdog(&self) {
        if let (Some(watchdog), Some(time)) = (&self.watchdog, self.lifecycle.gone_by(now())) {
            watchdog.set(time);
        }
    }

    /// Whether this thread was kept from running while a forced end was to be made: all that was due meanwhile is due at
    /// once, and has its turn before the end. Connections in the accept queues would be reset otherwise.
    fn overslept(&self) -> bool {
        matches!(self.lifecycle.phase(), Phase::Forcing { until } if now() > until + OVERSLEPT)
    }

    fn emptied(&self) -> Event {
        Event::Emptied { cut: self.shared.services.traffic.has_cut() }
    }

    /// When there is something to decide, if nothing happens before.
    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.lifecycle.deadline();
        match self.quiet_at() {
            Some(quiet) => deadline.map(|deadline| deadline.min(quiet)),
            None => deadline,
        }
    }

    /// When a drain may end early, if no more connections come.
    fn quiet_at(&self) -> Option<Instant> {
        let Phase::Draining { since, .. } = self.lifecycle.phase() else { return None };
        if self.siblings().is_some() {
            // A worker does not know what comes to its siblings, and all are to close at the same moment.
            return None;
        }
        self.shared.services.traffic.quiet_at().map(|quiet| quiet.max(since + MIN_DELAY))
    }

    /// The event for a deadline that has passed.
    fn deadline_passed(&self, now: Instant) -> Event {
        if let (Phase::Draining { until, .. }, None) = (self.lifecycle.phase(), self.siblings()) {
            if now < until && self.quiet_at().is_some_and(|quiet| now >= quiet) {
                return Event::Quiet;
            }
            let late_from = until.checked_sub(self.plan.extension()).unwrap_or(until);
            let last = self.shared.services.traffic.last().filter(|last| last.at >= late_from);
            if let (true, Some(last)) = (self.plan.drain_until_quiet && now >= until, last) {
                return Event::StillArriving { last: last.at, reserve: self.shared.services.traffic.reserve() };
            }
        }
        Event::DeadlineReached { unfinished: self.unfinished() }
    }

    /// A forced end has left connections with something still to send or to answer.
    fn unfinished(&self) -> bool {
        !self.shared.tasks.is_empty() || self.shared.services.traffic.has_cut()
    }

    fn handle(&mut self, event: Event, at: Instant) -> Listening {
        let mut listening = Listening::GoesOn;
        for action in self.lifecycle.handle(event, at) {
            match action {
                Action::Announce(phase, cause) => {
                    let counted = self.shared.services.stats.snapshot();
                    if phase.is_stopping() {
                        self.shared.services.traffic.drain_begins(at, &self.plan, counted);
                    }
                    if let Phase::Closing { .. } = phase {
                        self.report_late_connections();
                    }
                    if let Phase::Closing { deadline, .. } | Phase::Retiring { deadline, .. } = phase {
                        self.shared.services.queue.end_by(deadline, at);
                    }
                    // The siblings know it before a connection does.
                    self.tell_cluster(phase);
                    // The driver itself holds a receiver.
                    self.phase.send_replace(phase);
                    self.waiters.entered(phase);
                    let lasts = self.lifecycle.deadline().map(|end| end.saturating_duration_since(at));
                    if !matches!(phase, Phase::Ready | Phase::Stopped { .. }) {
                        (self.observer)(&LogEvent::Entered { phase, cause, now: counted, lasts });
                    }
                }
                Action::Extend(phase) => {
                    self.phase.send_replace(phase);
                    self.report_extension(at);
                }
                Action::CloseListeners => listening = Listening::Ends,
                Action::LeaveListeners => {
                    self.leaving.store(true, Relaxed);
                    if self.siblings().is_some() {
                        self.admin.iter().for_each(AbortHandle::abort);
                    }
                    listening = Listening::Ends;
                }
                // Each connection watches the phase and ends by itself.
                Action::Force => {}
                Action::Unmoved(signal) => (self.observer)(&LogEvent::Unmoved(signal, self.lifecycle.phase())),
            }
        }
        listening
    }

    /// Tells the siblings and the master of a phase.
    fn tell_cluster(&self, phase: Phase) {
        let Some(siblings) = self.siblings() else { return };
        siblings.member().set_state(WorkerState::of(&phase));
        if let Phase::Retiring { .. } = phase {
            siblings.begin_to_leave();
            self.control.iter().for_each(|control| control.tell("retiring\n"));
        }
    }

    /// Tells the operator of connections that came at the end of the delay or after it.
    fn report_late_connections(&self) {
        let (drain, last) = (self.shared.services.traffic.drain(), self.shared.services.traffic.last());
        if let (Some(drain), Some(last)) = (drain.filter(|drain| drain.late > 0), last) {
            (self.observer)(&LogEvent::Late(LateComers {
                connections: drain.late,
                after: last.at.saturating_duration_since(drain.begun),
                source: last.source,
            }));
        }
    }

    /// Tells the operator once that the drain goes on because connections still come: it may be prolonged many times.
    fn report_extension(&mut self, now: Instant) {
        if let (false, Some(last)) = (self.extension_reported, self.shared.services.traffic.last()) {
            self.extension_reported = true;
            (self.observer)(&LogEvent::Extended { ago: now.saturating_duration_since(last.at), source: last.source });
        }
    }

    /// Closes the listeners and resolves when the last connection is gone.
    fn empty(&mut self) -> impl Future<Output = ()> + use<> {
        self.closing.cancel();
        let (accepting, shared, observer) =
            (std::mem::take(&mut self.accepting), self.shared.clone(), self.observer.clone());
        let (begun, leaves) = (now(), self.leaving.load(Relaxed));
        async move {
            let mut all = Closed { late: 0, lossless: true };
            for listener in accepting {
                if let Ok(closed) = listener.await {
                    all.late += closed.late;
                    all.lossless &= closed.lossless;
                }
            }
            let took = now().saturating_duration_since(begun);
            observer(&LogEvent::ListenersClosed { took, late: all.late, lossless: all.lossless });
            loop {
                shared.tasks.close();
                shared.tasks.wait().await;
                // Each of those tasks that gave its connection to the app has left a token before it ended.
                shared.hijacked_connections.close();
                shared.hijacked_connections.wait().await;
                match &shared.services.siblings {
                    Some(siblings) if inbox::settle(siblings, &shared, leaves).await => {}
                    _ => return,
                }
            }
        }
    }

    fn report_summary(&self) {
        let (Some(drain), Phase::Stopped { status }) = (self.shared.services.traffic.drain(), self.lifecycle.phase())
        else {
            return;
        };
        if !self.lifecycle.has_drained() {
            return; // one worker has left, or the process is about to become another image
        }
        let counted = self.shared.services.stats.snapshot().since(&drain.before);
        (self.observer)(&LogEvent::Summary(Summary {
            took: now().saturating_duration_since(drain.begun),
            plan: self.plan,
            delay: self.lifecycle.drained_for(),
            connections: counted.accepted,
            requests: counted.requests,
            last_connection: self.shared.services.traffic.last_in_drain(),
            late: drain.late,
            told_close: counted.told_close,
            idle_closed: counted.idle_closed,
            rejected: counted.shed,
            cut: counted.cut,
            unsent: counted.unacked_bytes,
            hijacked: counted.hijacked,
            status,
        }));
    }
}

/// Makes the event which says that the server serves, on these addresses as URLs.
pub(super) fn ready<T>(
    addresses: &[String],
    admin: Option<&str>,
    workers: Option<usize>,
    max_threads: usize,
    plan: Plan,
    tell: impl FnOnce(&LogEvent<'_>) -> T,
) -> T {
    let url = |address: &str| address.replacen("tcp://", "http://", 1).replacen("ssl://", "https://", 1);
    let addresses: Vec<String> = addresses.iter().map(|address| url(address)).collect();
    tell(&LogEvent::Ready { addresses: &addresses, admin: admin.map(url).as_deref(), workers, max_threads, plan })
}

/// Whether an event has ended the accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    GoesOn,
    Ends,
}
