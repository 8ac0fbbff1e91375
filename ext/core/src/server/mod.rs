//! A server: bound, then running on a thread with a runtime of its own. With its driver and its acceptors, the only
//! module that knows both the lifecycle and the connections.

pub(crate) mod acceptor;
pub(crate) mod administer;
pub(crate) mod descriptors;
pub(crate) mod driver;
pub(crate) mod listener;
pub(crate) mod signals;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    runtime::{self, Runtime},
    sync::{mpsc, watch},
};
use tokio_util::task::TaskTracker;

pub use crate::log::event::Observer;

use self::{administer::administer, driver::Driver};
use crate::{
    admin::{
        Admin, Liveness,
        report::{Own, Report},
    },
    config::Config,
    connection::{Crowd, MemoryTrim, Shared},
    drain::Traffic,
    error::Error,
    http::body::{Budget, Spool},
    lifecycle::{
        Event, Phase, Signal,
        plan::{Clamped, Plan},
    },
    log::{LAST_LINES, Logs, access::AccessLog, event::LogEvent, troubles::Troubles},
    pool::{DispatchQueue, time_slice::TimeSlicer},
    server::{
        listener::{Bound, Listener},
        signals::{BootGuard, SignalListener, signal_of},
    },
    stats::{Snapshot, Stats},
    sync::{
        latch::{Latch, LatchTrigger, latch},
        now,
        wake::Parker,
    },
    sys::{self, process::Watchdog},
};

/// How long the end of the server waits for the check of TMPDIR, which is over long before.
const CHECK_PATIENCE: Duration = Duration::from_millis(100);
/// How long the process's last line may take to be written.
const LAST_WORD: Duration = Duration::from_millis(500);
/// Messages that may wait for the driver. Signals come singly; a flood of them loses nothing that matters.
const MESSAGE_ROOM: usize = 64;

/// What the driver is told.
struct Message {
    /// What moves the life on.
    event: Event,
    /// When it happened.
    at: Instant,
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
    logs: Logs,
    slices: Option<&'static TimeSlicer>,
    /// The shutdown's delays.
    plan: Plan,
    /// What of the settings did not fit into the plan.
    clamped: Vec<Clamped>,
    /// The signals to hear, where the process is the server's own.
    own_process: Option<Vec<Signal>>,
}

impl Server {
    /// Binds all addresses.
    ///
    /// # Errors
    ///
    /// [`Error::is_bind`] with a sentence that names the address and the reason.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let mut bound = Vec::new();
        for address in &config.bind {
            bound.append(&mut Bound::bind(address)?);
        }
        if bound.is_empty() {
            return Err(Error::configuration("there is no address to listen on"));
        }
        let admin = match &config.admin {
            Some(address) => Bound::bind(&address.clone().private())?.into_iter().next(),
            None => None,
        };
        let stats = Arc::new(Stats::default());
        let queue =
            DispatchQueue::new(config.limits.max_queue, config.limits.queue_timeout, config.max_threads, stats.clone());
        queue.retire_idle(config.min_threads, config.idle_thread_timeout);
        let (plan, clamped) = Plan::resolve(config.shutdown, config.platform);
        Ok(Self {
            config,
            bound,
            admin,
            queue,
            stats,
            access: None,
            logs: Logs::default(),
            slices: None,
            plan,
            clamped,
            own_process: None,
        })
    }

    /// Writes a line for each request from the start on. The log's thread runs already: not before a fork.
    pub fn log_requests(&mut self, access: AccessLog) {
        self.access = Some(access);
    }

    /// At its end the server waits for a moment until these are written, and its metrics tell what was lost of them. The
    /// [`Observer`] alone puts lines into them.
    pub fn finish_logs(&mut self, logs: Logs) {
        self.logs = logs;
    }

    /// The process is the server's own. From the first moment in which a client can connect the server hears these of its
    /// signals without the interpreter's help, until [`Running::ignore_signals`]; and once a signal or the platform's hook has
    /// ended the server, the process is gone a second before the platform would kill it (30 s after the server, where none
    /// would), whatever its interpreter does.
    pub fn own_process(&mut self, signals: &[Signal]) {
        self.own_process = Some(signals.to_vec());
    }

    /// While this exists, the process ends with 0 within the time that the platform leaves when one of these signals has come,
    /// whatever the interpreter does. For a process that is the server's own, and that does not fork any more.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors or threads left.
    pub fn guard_boot(&self, signals: &[Signal], observer: Observer, logs: Logs) -> io::Result<BootGuard> {
        BootGuard::start(signals, self.plan.boot_end(), move || {
            // Nothing can be said without it.
            let _ = logs.start();
            end_process(&observer, &logs, 0, Phase::Booting)
        })
    }

    /// Has `slices` interrupt a thread that computes for longer than [`Config::time_slice`] while others want the GVL.
    pub fn keep_slices(&mut self, slices: &'static TimeSlicer) {
        self.slices = Some(slices);
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
        self.clamped.iter().for_each(|clamped| observer(&LogEvent::Clamped(*clamped)));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(32)
            .thread_name("tidegate-disk")
            .build()
            .map_err(Error::runtime)?;
        let failed = |cause| Error::runtime(cause);
        let heard = self.own_process.as_deref().map(SignalListener::open).transpose().map_err(failed)?;
        let (listener, signals) = heard.unzip();
        let entered = runtime.enter();
        let addresses: Vec<String> = self.bound.iter().map(Bound::address).collect();
        let admin_address = self.admin.as_ref().map(Bound::address);
        let listeners = self.bound.into_iter().map(Bound::listen).collect::<Result<Vec<_>, _>>()?;
        let admin = self.admin.map(Bound::listen).transpose()?;
        drop(entered);

        let (queue, stats, logs) = (self.queue, self.stats, self.logs);
        let slices = self.slices.map(|slices| (slices, self.config.time_slice));
        let (messages, inbox) = mpsc::channel(MESSAGE_ROOM);
        let (phase, phases) = watch::channel(Phase::Booting);
        let (alive, stopped) = latch();
        let (turns, stopping, closing) = StopWaiters::new();
        let traffic = Arc::new(Traffic::new(self.plan.drain_until_quiet));
        // The app is loaded, and has opened what it keeps open.
        let room = descriptors::room_for_connections(queue.max_workers());
        let crowd = Crowd::new(self.config.limits.max_connections.fixed().map_or(room.clients, |limit| limit as u64));
        let askers = Crowd::new(room.admin);
        let budget = Budget::new(self.config.limits.buffer_limit);
        let troubles = Arc::new(Troubles::told_to(observer.clone()));
        let shared = Arc::new(Shared {
            queue: queue.clone(),
            stats: stats.clone(),
            timeouts: self.config.timeouts,
            limits: self.config.limits,
            spool_directory: self.config.spool_directory,
            phase: phases.clone(),
            added_headers: self.config.added_headers,
            probes: self.config.probes,
            traffic: traffic.clone(),
            access: self.access,
            memory_trim: MemoryTrim::default(),
            crowd: crowd.clone(),
            budget: budget.clone(),
            troubles,
            tasks: TaskTracker::new(),
            hijacked_connections: TaskTracker::new(),
        });
        let requests = shared.clone();
        let admin = admin.zip(self.config.admin.as_ref()).map(|(listener, address)| {
            let ask = messages.clone();
            // Full means that as many events wait already.
            let drain = Box::new(move || drop(ask.try_send(Message { event: Event::Drain, at: now() })));
            let access_log = requests.access.as_ref().map(|log| log.lost().clone());
            let own = Own { crowd, budget, log: logs.clone(), access_log };
            let report = Report::new(stats.clone(), queue.clone(), traffic, phases.clone(), self.config.about, own);
            let access = (address, self.config.admin_access);
            let liveness = Liveness::new(queue.clone(), requests.probes.liveness_timeout, observer.clone());
            let phase = phases.clone();
            (listener, Admin::new(phase, stats.clone(), report, liveness, drain, observer.clone(), access), askers)
        });
        let watchdog = match listener {
            Some(_) => Some(watchdog(observer.clone(), logs.clone(), phases.clone()).map_err(failed)?),
            None => None,
        };
        let driver = Driver::new(self.plan, shared, phase, turns, observer, watchdog);
        driver.announce_ready(&addresses, admin_address.as_deref());
        let ended_queue = queue.clone();
        let signals = signals.map(|stream| (stream, messages.clone()));
        let serve = move || {
            serve(runtime, driver, inbox, listeners, admin, slices, signals);
            let deadline = Instant::now() + LAST_LINES;
            // Before the workers come to their end, about which the app may have something to say.
            logs.finish(deadline);
            ended_queue.close();
            requests.access.iter().for_each(|access| access.finish(deadline));
            drop(alive);
        };
        thread::Builder::new().name("tidegate-io".into()).spawn(serve).map_err(Error::runtime)?;
        Ok(Running {
            addresses,
            admin_address,
            queue,
            stats,
            messages,
            phases,
            stopped,
            stopping,
            closing,
            signal_listener: Mutex::new(listener),
        })
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
    stopped: Latch,
    stopping: Latch,
    closing: Latch,
    signal_listener: Mutex<Option<SignalListener>>,
}

/// A turn in a server's life that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPoint {
    /// It was told to stop.
    Stopping,
    /// Everything new has stopped being served.
    Closing,
}

/// What the driver drops when a turn has come.
struct StopWaiters {
    stopping: Option<LatchTrigger>,
    closing: Option<LatchTrigger>,
}

impl StopWaiters {
    fn new() -> (Self, Latch, Latch) {
        let (stopping, told) = latch();
        let (closing, closed) = latch();
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
        let _ = self.messages.try_send(Message { event, at });
    }

    /// The interpreter reports a signal, which the server may have heard by itself already.
    pub fn signalled(&self, signal: Signal, at: Instant) {
        let heard = self.signal_listener().as_ref().is_some_and(|listener| listener.heard(signal));
        if !heard {
            self.tell(Event::Signal(signal), at);
        }
    }

    /// Hears the process's signals no longer.
    pub fn ignore_signals(&self) {
        drop(self.signal_listener().take());
    }

    fn signal_listener(&self) -> MutexGuard<'_, Option<SignalListener>> {
        // No code that can panic runs under this lock.
        self.signal_listener.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until a turn has come: `true`; `false` when `parker` was woken.
    pub fn wait_for(&self, turn: StopPoint, parker: &Parker) -> bool {
        let turned = match turn {
            StopPoint::Stopping => &self.stopping,
            StopPoint::Closing => &self.closing,
        };
        turned.wait(parker, None).is_some()
    }

    /// Waits until the server has stopped: `Some(true)`; `Some(false)` after `limit`; `None` when `parker` was
    /// woken.
    pub fn wait(&self, parker: &Parker, limit: Option<Duration>) -> Option<bool> {
        self.stopped.wait(parker, limit)
    }
}

// ===== the I/O thread =====

fn serve(
    runtime: Runtime,
    mut driver: Driver,
    inbox: mpsc::Receiver<Message>,
    listeners: Vec<Listener>,
    admin: Option<(Listener, Admin, Arc<Crowd>)>,
    slices: Option<(&'static TimeSlicer, Option<Duration>)>,
    signals: Option<(std::os::unix::net::UnixStream, mpsc::Sender<Message>)>,
) {
    runtime.block_on(async {
        if let Some((stream, messages)) = signals {
            tokio::spawn(hear(stream, messages));
        }
        let clients = driver.shared().crowd.clone();
        let administering =
            admin.map(|(listener, admin, askers)| tokio::spawn(administer(listener, Arc::new(admin), askers, clients)));
        for listener in listeners {
            driver.accept_on(listener);
        }
        let shared = driver.shared();
        if let Some((slices, slice)) = slices {
            tokio::spawn(slices.keep(slice, shared.stats.clone()));
        }
        tokio::spawn(
            async move { tokio::join!(shared.queue.keep_time(), shared.memory_trim.keep_small(give_back_memory)) },
        );
        let shared = driver.shared();
        let checking = tokio::spawn(async move {
            if let Err(error) = Spool::check(&shared.spool_directory).await {
                shared.troubles.spool_failed(&error, &shared.spool_directory, now());
            }
        });
        driver.run(inbox).await;
        // A server that ends at once leaves no file behind; one with a TMPDIR that hangs does not wait for it.
        let _ = tokio::time::timeout(CHECK_PATIENCE, checking).await;
        if let Some(administering) = administering {
            administering.abort();
        }
    });
    // What a forced end has left is dropped, and with it its sockets. A file read under way may finish by itself.
    runtime.shutdown_background();
}

/// Ends the process when it is time, and says so.
fn watchdog(observer: Observer, logs: Logs, phases: watch::Receiver<Phase>) -> io::Result<Watchdog> {
    Watchdog::start(move || {
        let phase = *phases.borrow();
        let status = if let Phase::Stopped { status } = phase { status } else { 1 };
        end_process(&observer, &logs, status, phase)
    })
}

fn end_process(observer: &Observer, logs: &Logs, status: i32, phase: Phase) -> ! {
    observer(&LogEvent::Overdue { status, phase });
    logs.finish(Instant::now() + LAST_WORD);
    sys::exit_now(status)
}

/// Passes signals on to the driver, until they are ignored.
async fn hear(stream: std::os::unix::net::UnixStream, messages: mpsc::Sender<Message>) {
    let Ok(mut stream) = UnixStream::from_std(stream) else { return };
    while let Ok(byte) = stream.read_u8().await {
        if let Some(signal) = signal_of(byte) {
            // Full means that as many events wait already.
            let _ = messages.try_send(Message { event: Event::Signal(signal), at: now() });
        }
    }
}

/// On a thread of its own, because it takes some milliseconds.
async fn give_back_memory() {
    // What can't be given back stays.
    let _ = tokio::task::spawn_blocking(sys::give_back_memory).await;
}
