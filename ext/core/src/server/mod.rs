//! A server: bound, then running on a thread with a runtime of its own. The only module that drives the lifecycle.
//!
//! | module | subject |
//! |---|---|
//! | `listener` | sockets that are bound, listen and are closed without losing a connection |
//! | `acceptor` `admin_acceptor` | connections in, each into a task of its own |
//! | `descriptors` | how many there is room for |
//! | `signals` | signals, heard by the I/O thread |
//! | `driver` | feeds the lifecycle and carries out its actions |
//! | `io_thread` | the thread that all of this runs on |
//! | `running` | the server as other threads see it |

pub(crate) mod acceptor;
pub(crate) mod admin_acceptor;
pub(crate) mod descriptors;
pub(crate) mod driver;
mod io_thread;
pub(crate) mod listener;
mod running;
pub(crate) mod signals;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::sync::{mpsc, watch};

pub use self::running::{Running, StopPoint};
pub use crate::log::event::Observer;

use self::{
    admin_acceptor::AdminListener,
    driver::Driver,
    io_thread::{IoThread, end_process},
    listener::Bound,
    running::StopTriggers,
    signals::{BootGuard, SignalListener},
};
use crate::{
    admin::{
        Admin, Liveness,
        report::{Own, Report},
    },
    config::{Address, Config},
    connection::{ConnectionLimit, ConnectionSettings, Services, Shared},
    drain::Traffic,
    error::Error,
    lifecycle::{
        Event, Phase, Signal,
        plan::{Clamped, Plan},
    },
    log::{Logs, access::AccessLog, event::LogEvent, warnings::Warnings},
    pool::{DispatchQueue, time_slice::TimeSlicer},
    stats::Stats,
    sync::{latch::latch, now},
};

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
    time_slicer: Option<&'static TimeSlicer>,
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
        queue.limit_requests(config.request_timeout);
        let (plan, clamped) = Plan::resolve(config.shutdown, config.platform);
        Ok(Self {
            config,
            bound,
            admin,
            queue,
            stats,
            access: None,
            logs: Logs::default(),
            time_slicer: None,
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
    /// [`Observer`] writes to them.
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

    /// Has `time_slicer` interrupt a worker that has held the GVL for longer than [`Config::time_slice`] while others want it.
    pub fn set_time_slicer(&mut self, time_slicer: &'static TimeSlicer) {
        self.time_slicer = Some(time_slicer);
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
        let runtime = io_thread::runtime()?;
        let heard = self.own_process.as_deref().map(SignalListener::open).transpose().map_err(Error::runtime)?;
        let (signal_listener, signals) = heard.unzip();
        let entered = runtime.enter();
        let addresses: Vec<String> = self.bound.iter().map(Bound::address).collect();
        let admin_address = self.admin.as_ref().map(Bound::address);
        let listeners = self.bound.into_iter().map(Bound::listen).collect::<Result<Vec<_>, _>>()?;
        let admin_listener = self.admin.map(Bound::listen).transpose()?;
        drop(entered);

        let (messages, inbox) = mpsc::channel(MESSAGE_ROOM);
        let (phase, phases) = watch::channel(Phase::Booting);
        let (stopped_trigger, stopped) = latch();
        let (triggers, stopping, closing) = StopTriggers::new();
        // The app is loaded, and has opened what it keeps open.
        let room = descriptors::room_for_connections(self.queue.max_threads());
        let services = Services {
            queue: self.queue.clone(),
            stats: self.stats.clone(),
            phase: phases.clone(),
            traffic: Arc::new(Traffic::new(self.plan.drain_until_quiet)),
            access_log: self.access,
            warnings: Arc::new(Warnings::reported_to(observer.clone())),
        };
        let shared = Shared::new(ConnectionSettings::of(&self.config), services, room.clients);
        let admin = admin_listener.zip(self.config.admin.as_ref()).map(|(listener, address)| AdminListener {
            listener,
            admin: Arc::new(admin(&self.config, address, &shared, &self.logs, &messages, &observer)),
            clients: ConnectionLimit::new(room.admin),
        });
        let watchdog = match signal_listener {
            Some(_) => {
                Some(io_thread::watchdog(observer.clone(), self.logs.clone(), phases.clone()).map_err(Error::runtime)?)
            }
            None => None,
        };
        let driver = Driver::new(self.plan, shared, phase, triggers, observer, watchdog);
        driver.announce_ready(&addresses, admin_address.as_deref());
        let time_slicer = self.time_slicer.map(|time_slicer| (time_slicer, self.config.time_slice));
        let signals = signals.map(|stream| (stream, messages.clone()));
        let logs = self.logs;
        IoThread { runtime, driver, inbox, listeners, admin, time_slicer, signals, logs, stopped: stopped_trigger }
            .spawn()?;
        Ok(Running {
            addresses,
            admin_address,
            queue: self.queue,
            stats: self.stats,
            messages,
            phases,
            stopped,
            stopping,
            closing,
            signal_listener: Mutex::new(signal_listener),
        })
    }
}

/// The admin endpoints on `address`.
fn admin(
    config: &Config,
    address: &Address,
    shared: &Shared,
    logs: &Logs,
    messages: &mpsc::Sender<Message>,
    observer: &Observer,
) -> Admin {
    let Services { queue, stats, traffic, phase, access_log, .. } = &shared.services;
    let (connections, bodies) = (shared.bounds.connections.clone(), shared.bounds.bodies.clone());
    let access_log = access_log.as_ref().map(|log| log.lost().clone());
    let own = Own { connections, bodies, log: logs.clone(), access_log };
    let report = Report::new(stats.clone(), queue.clone(), traffic.clone(), phase.clone(), config.about.clone(), own);
    let liveness = Liveness::new(queue.clone(), config.probes.liveness_timeout, observer.clone());
    let messages = messages.clone();
    // Full means that as many events wait already.
    let drain = Box::new(move || drop(messages.try_send(Message { event: Event::Drain, at: now() })));
    let access = (address, config.admin_access.clone());
    Admin::new(phase.clone(), stats.clone(), report, liveness, drain, observer.clone(), access)
}
