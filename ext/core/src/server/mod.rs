//! A server: bound, then running on a thread with a runtime of its own. With its driver and its doors, the only
//! module that knows both the lifecycle and the connections.

mod door;
mod driver;

use std::{
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    runtime::{self, Runtime},
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::task::TaskTracker;

use self::driver::Driver;
use crate::{
    access::AccessLog,
    admin::{self, Admin},
    clock::now,
    config::Config,
    connection::{Shared, Slack},
    dispatch::DispatchQueue,
    error::Error,
    lifecycle::{Event, Phase},
    listener::{Accepted, Bound, Listener},
    metrics::Report,
    milestone::{Milestone, Way, milestone},
    notice::Notice,
    signals::{Ears, signal_of},
    slices::Slices,
    stats::{Snapshot, Stats},
    sys,
    traffic::Traffic,
    wake::Sleeper,
};

/// Hears what the server has to say, on the I/O thread: it must not block for long.
pub type Observer = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

/// How long to wait before trying again to accept a probe, when this process cannot.
const PROBE_BACK_OFF: Duration = Duration::from_secs(1);
/// Messages that may wait for the driver. Signals come singly; a flood of them loses nothing that matters.
const MESSAGE_ROOM: usize = 64;

/// What the driver is told.
enum Message {
    /// Something that moves the life on, and when it happened.
    Happened(Event, Instant),
    /// Signals arrive on this stream; what they are goes back the other way.
    Hear(std::os::unix::net::UnixStream, mpsc::Sender<Message>),
}

/// A server with bound sockets, on which nothing can connect yet. No thread runs: it may still be forked.
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    admin: Option<Bound>,
    queue: Arc<DispatchQueue>,
    stats: Arc<Stats>,
    access: Option<AccessLog>,
    slices: Option<(&'static Slices, Option<Duration>)>,
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
        let queue =
            DispatchQueue::new(config.limits.queue, config.limits.queue_wait, config.max_workers, stats.clone());
        queue.retire_idle(config.min_workers, config.idle_worker);
        Ok(Self { config, bound, admin, queue, stats, access: None, slices: None })
    }

    /// Writes a line for each request from the start on. The log's thread runs already: not before a fork.
    pub fn log_requests(&mut self, access: AccessLog) {
        self.access = Some(access);
    }

    /// Interrupts a thread that computes for longer than `slice` while others want the interpreter's lock; `None` interrupts
    /// none.
    pub fn keep_slices(&mut self, slices: &'static Slices, slice: Option<Duration>) {
        self.slices = Some((slices, slice));
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

        let (queue, stats, slices) = (self.queue, self.stats, self.slices);
        let (messages, inbox) = mpsc::channel(MESSAGE_ROOM);
        let (phase, phases) = watch::channel(Phase::Booting);
        let (alive, stopped) = milestone();
        let (turns, stopping, closing) = Turns::new();
        let traffic = Arc::new(Traffic::new(self.config.plan.until_quiet));
        let shared = Arc::new(Shared {
            queue: queue.clone(),
            stats: stats.clone(),
            timeouts: self.config.timeouts,
            limits: self.config.limits,
            phase: phases.clone(),
            marks: self.config.marks,
            probes: self.config.probes,
            traffic: traffic.clone(),
            access: self.access,
            slack: Slack::default(),
            tasks: TaskTracker::new(),
        });
        let requests = shared.clone();
        let admin = admin.map(|listener| {
            let ask = messages.clone();
            // Full means that as many events wait already.
            let drain = Box::new(move || drop(ask.try_send(Message::Happened(Event::Drain, now()))));
            let report = Report::new(stats.clone(), queue.clone(), traffic, phases.clone(), self.config.about);
            (listener, Admin { phase: phases.clone(), stats: stats.clone(), report, drain })
        });
        let driver = Driver::new(self.config.plan, shared, phase, turns, observer);
        driver.announce_ready(&addresses, admin_address.as_deref());
        let ended_queue = queue.clone();
        let serve = move || {
            serve(runtime, driver, inbox, listeners, admin, slices);
            ended_queue.close();
            if let Some(access) = &requests.access {
                access.finish();
            }
            drop(alive);
        };
        thread::Builder::new().name("tidegate-io".into()).spawn(serve).map_err(Error::runtime)?;
        Ok(Running { addresses, admin_address, queue, stats, messages, phases, stopped, stopping, closing })
    }
}

/// A server that serves.
pub struct Running {
    addresses: Vec<String>,
    admin_address: Option<String>,
    queue: Arc<DispatchQueue>,
    stats: Arc<Stats>,
    messages: mpsc::Sender<Message>,
    phases: watch::Receiver<Phase>,
    stopped: Milestone,
    stopping: Milestone,
    closing: Milestone,
}

/// A turn in a server's life that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was told to stop.
    Stopping,
    /// Everything new has stopped being served.
    Closing,
}

/// What the driver drops when a turn has come.
struct Turns {
    stopping: Option<Way>,
    closing: Option<Way>,
}

impl Turns {
    fn new() -> (Self, Milestone, Milestone) {
        let (stopping, told) = milestone();
        let (closing, closed) = milestone();
        (Self { stopping: Some(stopping), closing: Some(closing) }, told, closed)
    }

    fn entered(&mut self, phase: Phase) {
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
        let _ = self.messages.try_send(Message::Happened(event, at));
    }

    /// Hears SIGTERM, SIGQUIT and SIGINT from now on, until the value is dropped, without the interpreter's help.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub fn hear_signals(&self) -> io::Result<Ears> {
        let (ears, reader) = Ears::open()?;
        // Full means that the server has far more to think of than signals; over, that none matters any more.
        let _ = self.messages.try_send(Message::Hear(reader, self.messages.clone()));
        Ok(ears)
    }

    /// Waits until a turn has come: `true`; `false` when `sleeper` was woken.
    pub fn wait_for(&self, turn: Turn, sleeper: &Sleeper) -> bool {
        let turned = match turn {
            Turn::Stopping => &self.stopping,
            Turn::Closing => &self.closing,
        };
        turned.wait(sleeper, None).is_some()
    }

    /// Waits until the server has stopped: `Some(true)`; `Some(false)` after `limit`; `None` when `sleeper` was
    /// woken.
    pub fn wait(&self, sleeper: &Sleeper, limit: Option<Duration>) -> Option<bool> {
        self.stopped.wait(sleeper, limit)
    }
}

// ===== the I/O thread =====

fn serve(
    runtime: Runtime,
    mut driver: Driver,
    inbox: mpsc::Receiver<Message>,
    listeners: Vec<Listener>,
    admin: Option<(Listener, Admin)>,
    slices: Option<(&'static Slices, Option<Duration>)>,
) {
    runtime.block_on(async {
        let administering = admin.map(|(listener, admin)| tokio::spawn(administer(listener, Arc::new(admin))));
        for listener in listeners {
            driver.accept_on(listener);
        }
        let shared = driver.shared();
        if let Some((slices, slice)) = slices {
            tokio::spawn(slices.keep(slice, shared.stats.clone()));
        }
        tokio::spawn(async move { tokio::join!(shared.queue.keep_time(), shared.slack.keep_small(give_back_memory)) });
        driver.run(inbox).await;
        if let Some(administering) = administering {
            administering.abort();
        }
    });
    // What a forced end has left is dropped, and with it its sockets. A file read under way may finish by itself.
    runtime.shutdown_background();
}

/// Passes signals on to the driver, until nobody hears them any more.
async fn hear(stream: std::os::unix::net::UnixStream, messages: mpsc::Sender<Message>) {
    let Ok(mut stream) = UnixStream::from_std(stream) else { return };
    while let Ok(byte) = stream.read_u8().await {
        if let Some(signal) = signal_of(byte) {
            // Full means that as many events wait already.
            let _ = messages.try_send(Message::Happened(Event::Signal(signal), now()));
        }
    }
}

/// On a thread of its own, because it takes some milliseconds.
async fn give_back_memory() {
    // What can't be given back stays.
    let _ = tokio::task::spawn_blocking(sys::give_back_memory).await;
}

async fn administer(listener: Listener, admin: Arc<Admin>) {
    loop {
        match listener.accept().await {
            Ok(Accepted::Tcp(socket, peer)) => drop(tokio::spawn(admin::serve(socket, peer, admin.clone()))),
            Ok(Accepted::Unix(socket, peer)) => drop(tokio::spawn(admin::serve(socket, peer, admin.clone()))),
            Err(_) => sleep(PROBE_BACK_OFF).await,
        }
    }
}
