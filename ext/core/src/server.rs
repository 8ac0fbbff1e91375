//! A server: its sockets, its runtime, and the driver that feeds the lifecycle and carries out its actions.
//! The only module that knows both the lifecycle and the connections.

use std::{
    convert::Infallible,
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, never, select};
use tokio::{
    runtime::{self, Runtime},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    connection::{self, Shared},
    dispatch::DispatchQueue,
    error::Error,
    lifecycle::{Action, Event, Lifecycle, Phase},
    listener::{Accepted, Bound, Listener, gone_already},
    notice::{Notice, Summary},
    probe::{self, Probe},
    stats::{Snapshot, Stats},
    wake::Sleeper,
};

/// Hears what the server has to say, on the I/O thread: it must not block for long.
pub type Observer = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

/// How long to wait before trying again to accept, when this process cannot: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Events that may wait for the driver. Signals come singly; a flood of them loses nothing that matters.
const EVENT_ROOM: usize = 64;

/// A server with bound sockets, on which nothing can connect yet. No thread runs: it may still be forked.
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    admin: Option<Bound>,
    queue: Arc<DispatchQueue>,
    stats: Arc<Stats>,
}

impl Server {
    /// Binds all addresses.
    ///
    /// # Errors
    ///
    /// [`Error::is_bind`] with a sentence that names the address and the reason.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let mut bound = Vec::new();
        for address in &config.binds {
            bound.append(&mut Bound::bind(address)?);
        }
        if bound.is_empty() {
            return Err(Error::configuration("there is no address to listen on"));
        }
        let admin = match &config.admin {
            Some(address) => Bound::bind(address)?.into_iter().next(),
            None => None,
        };
        let stats = Arc::new(Stats::default());
        let queue = DispatchQueue::new(config.limits.queue, config.max_workers, stats.clone());
        Ok(Self { config, bound, admin, queue, stats })
    }

    /// Where workers get their exchanges; they may wait there already.
    pub fn queue(&self) -> &Arc<DispatchQueue> {
        &self.queue
    }

    /// Listens and serves, on a thread of its own, until the lifecycle ends.
    ///
    /// # Errors
    ///
    /// [`Error::is_bind`] when another process listens after all; otherwise when the system has no descriptors or
    /// threads left.
    pub fn start(self, observer: Observer) -> Result<Running, Error> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(32)
            .thread_name("tidegate-disk")
            .build()
            .map_err(Error::runtime)?;
        let entered = runtime.enter();
        let addresses: Vec<String> = self.bound.iter().map(Bound::address).collect();
        let admin_address = self.admin.as_ref().map(Bound::address);
        let listeners = self.bound.into_iter().map(Bound::listen).collect::<Result<Vec<_>, _>>()?;
        let admin = self.admin.map(Bound::listen).transpose()?;
        drop(entered);

        let (queue, stats) = (self.queue, self.stats);
        let (events, inbox) = mpsc::channel(EVENT_ROOM);
        let (phase, phases) = watch::channel(Phase::Booting);
        let (alive, stopped) = crossbeam_channel::bounded::<Infallible>(0);
        let driver = Driver {
            lifecycle: Lifecycle::new(self.config.plan),
            phase,
            observer,
            shared: Arc::new(Shared {
                queue: queue.clone(),
                stats: stats.clone(),
                timeouts: self.config.timeouts,
                limits: self.config.limits,
                phase: phases.clone(),
            }),
            config: self.config,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            accepting: Vec::new(),
            drained_from: None,
        };
        driver.announce_ready(&addresses, admin_address.as_deref());
        let ended_queue = queue.clone();
        let serve = move || {
            serve(runtime, driver, inbox, listeners, admin);
            ended_queue.close();
            drop(alive);
        };
        thread::Builder::new().name("tidegate-io".into()).spawn(serve).map_err(Error::runtime)?;
        Ok(Running { addresses, admin_address, queue, stats, events, phases, stopped })
    }
}

/// A server that serves.
pub struct Running {
    addresses: Vec<String>,
    admin_address: Option<String>,
    queue: Arc<DispatchQueue>,
    stats: Arc<Stats>,
    events: mpsc::Sender<(Event, Instant)>,
    phases: watch::Receiver<Phase>,
    stopped: Receiver<Infallible>,
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

    /// The counters.
    pub fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> Phase {
        *self.phases.borrow()
    }

    /// Tells the lifecycle what happened, and when. Never blocks.
    pub fn tell(&self, event: Event, at: Instant) {
        // Full means that as many events wait already; closed, that it is over.
        let _ = self.events.try_send((event, at));
    }

    /// Waits until the server has stopped: `Some(true)`; `Some(false)` after `limit`; `None` when `sleeper` was
    /// woken.
    pub fn wait(&self, sleeper: &Sleeper, limit: Option<Duration>) -> Option<bool> {
        let late = limit.map_or_else(never, crossbeam_channel::after);
        select! {
            recv(self.stopped) -> _ => Some(true),
            recv(sleeper.bell()) -> _ => None,
            recv(late) -> _ => Some(false),
        }
    }
}

// ===== the I/O thread =====

fn serve(
    runtime: Runtime,
    mut driver: Driver,
    inbox: mpsc::Receiver<(Event, Instant)>,
    listeners: Vec<Listener>,
    admin: Option<Listener>,
) {
    runtime.block_on(async {
        let probing = admin.map(|listener| {
            let probe = Probe { phase: driver.shared.phase.clone(), stats: driver.shared.stats.clone() };
            tokio::spawn(answer_probes(listener, Arc::new(probe)))
        });
        for listener in listeners {
            driver.accept_on(listener);
        }
        driver.run(inbox).await;
        if let Some(probing) = probing {
            probing.abort();
        }
    });
    // What a forced end has left is dropped, and with it its sockets. A file read under way may finish by itself.
    runtime.shutdown_background();
}

async fn answer_probes(listener: Listener, probe: Arc<Probe>) {
    loop {
        match listener.accept().await {
            Ok(Accepted::Tcp(socket, _)) => drop(tokio::spawn(probe::serve(socket, probe.clone()))),
            Ok(Accepted::Unix(socket, _)) => drop(tokio::spawn(probe::serve(socket, probe.clone()))),
            Err(_) => sleep(BACK_OFF.1).await,
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Feeds the lifecycle and does what it says.
struct Driver {
    config: Config,
    lifecycle: Lifecycle,
    phase: watch::Sender<Phase>,
    observer: Observer,
    shared: Arc<Shared>,
    /// One task per connection.
    tasks: TaskTracker,
    /// Cancelled when the listeners are to close.
    closing: CancellationToken,
    accepting: Vec<JoinHandle<Closed>>,
    /// When the first signal came, and the counters then.
    drained_from: Option<(Instant, Snapshot)>,
}

impl Driver {
    fn announce_ready(&self, addresses: &[String], admin: Option<&str>) {
        let url = |address: &str| address.replacen("tcp://", "http://", 1);
        let addresses: Vec<String> = addresses.iter().map(|address| url(address)).collect();
        (self.observer)(&Notice::Ready {
            addresses: &addresses,
            admin: admin.map(url).as_deref(),
            max_workers: self.config.max_workers,
            plan: self.config.plan,
        });
    }

    fn accept_on(&mut self, listener: Listener) {
        let door = Door {
            shared: self.shared.clone(),
            tasks: self.tasks.clone(),
            observer: self.observer.clone(),
            closing: self.closing.clone(),
        };
        self.accepting.push(tokio::spawn(door.keep(listener)));
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<(Event, Instant)>) {
        self.handle(Event::Booted, now());
        // Resolves once nothing is left; pending until the closing begins.
        let mut emptied: JoinHandle<()> = tokio::spawn(std::future::pending());
        let mut inbox_open = true;
        while !matches!(self.lifecycle.phase(), Phase::Stopped { .. }) {
            let deadline = self.lifecycle.deadline();
            let ring = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
            let (event, at) = tokio::select! {
                heard = inbox.recv(), if inbox_open => match heard {
                    Some(heard) => heard,
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
                    if self.drained_from.is_none() && !matches!(phase, Phase::Booting | Phase::Ready) {
                        self.drained_from = Some((at, counted));
                    }
                    // The driver itself holds a receiver.
                    self.phase.send_replace(phase);
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
        let (accepting, tasks, observer) = (std::mem::take(&mut self.accepting), self.tasks.clone(), self.observer.clone());
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
        let (Some((begun, before)), Phase::Stopped { status }) = (self.drained_from, self.lifecycle.phase()) else { return };
        let after = self.shared.stats.snapshot();
        (self.observer)(&Notice::Summary(Summary {
            took: now().saturating_duration_since(begun),
            plan: self.config.plan,
            delay: self.lifecycle.drained_for(),
            connections: after.accepted - before.accepted,
            requests: after.requests - before.requests,
            last_connection: after.last_accept.filter(|_| after.accepted > before.accepted).map(|at| at.saturating_duration_since(begun)),
            told_close: after.told_close - before.told_close,
            idle_closed: after.idle_closed - before.idle_closed,
            rejected: after.rejected - before.rejected,
            cut: after.cut - before.cut,
            unsent: after.unsent - before.unsent,
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

/// What was found when a listener closed.
#[derive(Clone, Copy, Debug)]
struct Closed {
    late: u64,
    lossless: bool,
}

/// Lets connections in through one listener.
struct Door {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    observer: Observer,
    closing: CancellationToken,
}

impl Door {
    async fn keep(self, listener: Listener) -> Closed {
        let mut failing = Failing::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    if failing.recovered() {
                        (self.observer)(&Notice::AcceptRecovered);
                    }
                    self.welcome(accepted);
                }
                Err(error) if gone_already(&error) => {}
                Err(error) => {
                    let pause = failing.again(&error, &self.observer);
                    tokio::select! {
                        () = self.closing.cancelled() => break,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        let mut late = 0;
        let lossless = listener
            .close(|accepted| {
                late += 1;
                self.welcome(accepted);
            })
            .await;
        Closed { late, lossless }
    }

    fn welcome(&self, accepted: Accepted) {
        let open = self.shared.stats.connection_accepted(now());
        let shared = self.shared.clone();
        match accepted {
            Accepted::Tcp(socket, peer) => self.tasks.spawn(connection::serve(socket, peer, shared, open)),
            Accepted::Unix(socket, peer) => self.tasks.spawn(connection::serve(socket, peer, shared, open)),
        };
    }
}

/// A row of failed accepts, as when descriptors have run out: told once, tried again ever more patiently.
#[derive(Debug, Default)]
struct Failing(Option<Duration>);

impl Failing {
    fn again(&mut self, error: &io::Error, observer: &Observer) -> Duration {
        let pause = match self.0 {
            None => {
                observer(&Notice::AcceptFailing(error));
                BACK_OFF.0
            }
            Some(pause) => (2 * pause).min(BACK_OFF.1),
        };
        self.0 = Some(pause);
        pause
    }

    fn recovered(&mut self) -> bool {
        self.0.take().is_some()
    }
}
