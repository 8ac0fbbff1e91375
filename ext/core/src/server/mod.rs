//! A server: bound, then running on a thread with a runtime of its own. The only module that drives the lifecycle.
//!
//! | module | subject |
//! |---|---|
//! | `listener` | sockets that are bound, listen and are closed without losing a connection |
//! | `acceptor` `admin_acceptor` | connections in, each into a task of its own |
//! | `accept_thread` `inbox` | the same in a cluster: how one worker is woken for each, and what siblings send |
//! | `control` | what the master of a cluster tells a worker |
//! | `descriptors` | how many there is room for |
//! | `signals` | signals, heard by the I/O thread |
//! | `certificates` | a thread that looks at the certificates' files while the server runs |
//! | `driver` | feeds the lifecycle and carries out its actions |
//! | `heartbeat` | tells the master and the siblings of a cluster that the worker lives |
//! | `in_cluster` | what is different for a worker of a cluster |
//! | `io_thread` | the thread that all of this runs on |
//! | `running` | the server as other threads see it |

#[cfg(target_os = "linux")]
pub(crate) mod accept_thread;
pub(crate) mod acceptor;
pub(crate) mod admin_acceptor;
mod certificates;
mod control;
pub(crate) mod descriptors;
pub(crate) mod driver;
pub(crate) mod heartbeat;
mod in_cluster;
mod inbox;
mod io_thread;
pub(crate) mod listener;
mod running;
pub(crate) mod signals;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::sync::{mpsc, watch};

pub use self::running::{Running, StopPoint};
pub use crate::log::event::Observer;

use self::{
    admin_acceptor::AdminListener,
    certificates::{CertificateWatch, Encrypted},
    control::Control,
    driver::Driver,
    heartbeat::Heartbeat,
    io_thread::{Accepting, IoThread, end_process},
    listener::Bound,
    running::StopTriggers,
    signals::{BootGuard, SignalListener},
};
use crate::{
    admin::{
        Admin, Liveness,
        commands::Steering,
        questions::Questions,
        report::{Own, Report},
    },
    cluster::Member,
    config::{Address, Config, Inherited, WireOptions},
    connection::{ConnectionLimit, ConnectionSettings, Services, Shared, Siblings},
    drain::Traffic,
    error::Error,
    http::date::DateHeader,
    lifecycle::{
        Event, Phase, Retirement, Signal,
        plan::{Clamped, Plan},
    },
    log::{Logs, access::AccessLog, event::LogEvent, warnings::Warnings},
    pool::{DispatchQueue, time_slice::TimeSlicer},
    stats::SharedStats,
    sync::{latch::latch, now},
    sys::{self, process::Watchdog},
    tls::{Tls, tickets::KeyStore, unix_now},
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
    stats: SharedStats,
    /// The server's place among the workers of a cluster, and what its master tells it.
    member: Option<(Member, Arc<Control>)>,
    access: Option<AccessLog>,
    logs: Logs,
    time_slicer: Option<&'static TimeSlicer>,
    /// The shutdown's delays.
    plan: Plan,
    /// What of the settings did not fit into the plan.
    clamped: Vec<Clamped>,
    /// The signals to hear, where the process is the server's own.
    own_process: Option<Vec<Signal>>,
    /// What clients of the admin listener ask of the interpreter.
    questions: Questions,
}

impl Server {
    /// Binds all addresses, but for those of which there are sockets among [`Config::inherit`].
    ///
    /// # Errors
    ///
    /// [`Error::is_bind`] with a sentence that names the address and the reason.
    pub fn bind(mut config: Config) -> Result<Self, Error> {
        if !config.http2.http2 {
            config.bind.iter_mut().for_each(Address::refuse_http2);
        }
        let mut bound = Vec::new();
        for address in &config.bind {
            bound.append(&mut Bound::open(address, &config.inherit)?);
        }
        if bound.is_empty() {
            return Err(Error::configuration("there is no address to listen on"));
        }
        if config.admin.as_ref().is_some_and(|admin| *admin.wire() != WireOptions::default()) {
            return Err(Error::configuration(
                "the admin address speaks plain HTTP: it is tcp://HOST:PORT or unix:///PATH",
            ));
        }
        let admin = match &config.admin {
            Some(address) => Bound::open(&address.clone().private(), &config.inherit)?.into_iter().next(),
            None => None,
        };
        share_ticket_keys(&bound);
        let stats = SharedStats::default();
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
            member: None,
            access: None,
            logs: Logs::default(),
            time_slicer: None,
            plan,
            clamped,
            own_process: None,
            questions: Questions::default(),
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

    /// The sockets, for a process that is to inherit them: each with the address that was configured.
    pub fn sockets(&self) -> Vec<Inherited> {
        self.bound.iter().chain(&self.admin).map(Bound::inheritance).collect()
    }

    /// Where the probes will be answered.
    pub fn admin_address(&self) -> Option<String> {
        self.admin.as_ref().map(Bound::address)
    }

    /// The sentence which says that so many `workers`, forked from this process, serve.
    pub fn ready_sentence(&self, workers: usize, max_threads: usize) -> String {
        let addresses: Vec<String> = self.bound.iter().map(Bound::address).collect();
        let admin = self.admin_address();
        driver::ready(&addresses, admin.as_deref(), Some(workers), max_threads, self.plan, |event| event.to_string())
    }

    /// The sockets are for the workers that this process is about to fork: it serves nothing itself, and leaves the files of its Unix
    /// sockets alone when it drops the server. [`remove_socket_files`](Self::remove_socket_files) is for the end.
    pub fn share(&mut self) {
        self.bound.iter_mut().chain(&mut self.admin).for_each(Bound::share);
    }

    /// All workers have left: removes the files of Unix sockets, which the last of the workers may not have come to.
    pub fn remove_socket_files(self) {
        self.bound.into_iter().chain(self.admin).for_each(Bound::remove);
    }

    /// Serves as a worker of a cluster. The calling process is the one that the master has forked for this; no thread knows the
    /// [`queue`](Self::queue) yet, which is another from now on.
    ///
    /// `control` is a stream socket to the master, which says by bytes what the cluster does: 0 to 3 for SIGTERM, SIGQUIT, SIGINT and
    /// SIGHUP, each as it is to a single process; `R` has this worker leave, `S` ends the cluster, `L` asks for the logs' files to be opened anew
    /// ([`Running::await_reopen`]), and the end says that the master is gone, which is as SIGTERM. The worker writes lines:
    /// `retiring` when it leaves, `drain` or `halt` when a client of the admin listener has asked for that. The worker
    /// reports none of its phases to the [`Observer`].
    pub fn join(&mut self, member: Member, control: OwnedFd) {
        let Config { limits, max_threads, min_threads, idle_thread_timeout, request_timeout, .. } = &self.config;
        self.queue = DispatchQueue::of_member(limits.max_queue, limits.queue_timeout, *max_threads, member.clone());
        self.queue.retire_idle(*min_threads, *idle_thread_timeout);
        self.queue.limit_requests(*request_timeout);
        self.stats = member.stats();
        let keys = KeyStore::Shared(member.cluster().ticket_keys());
        self.encrypted().iter().for_each(|(_, tls)| tls.share_tickets(keys.clone()));
        self.member = Some((member, Control::new(control)));
        self.share();
    }

    /// A server with the same sockets, as a forked process has them.
    #[cfg(test)]
    fn twin(&self) -> Self {
        let Self { config, bound, admin, queue, stats, plan, clamped, .. } = self;
        Self {
            config: config.clone(),
            bound: bound.iter().map(Bound::twin).collect(),
            admin: admin.as_ref().map(Bound::twin),
            queue: queue.clone(),
            stats: stats.clone(),
            member: None,
            access: None,
            logs: Logs::default(),
            time_slicer: None,
            plan: *plan,
            clamped: clamped.clone(),
            own_process: None,
            questions: Questions::default(),
        }
    }

    /// The encrypted addresses, each with what it is encrypted with. Several sockets of one address have it in common.
    fn encrypted(&self) -> Vec<Encrypted> {
        let mut all: Vec<Encrypted> = Vec::new();
        for bound in &self.bound {
            if let Some(tls) = bound.tls()
                && !all.iter().any(|(_, other)| Arc::ptr_eq(other, tls))
            {
                all.push((bound.address(), tls.clone()));
            }
        }
        all
    }

    /// Takes the keys by which the image before this one has let clients resume their TLS sessions.
    pub fn import_ticket_keys(&self, keys: &[u8]) {
        if let Some((_, tls)) = self.encrypted().first() {
            tls.ticket_keys().keys().import(keys);
        }
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
        let observer = match &self.member {
            Some((member, _)) => in_cluster::phases_once(observer, member.clone()),
            None => observer,
        };
        self.clamped.iter().for_each(|clamped| observer(&LogEvent::Clamped(*clamped)));
        let runtime = io_thread::runtime()?;
        let heard = self.own_process.as_deref().map(SignalListener::open).transpose().map_err(Error::runtime)?;
        let (signal_listener, signals) = heard.unzip();
        let addresses: Vec<String> = self.bound.iter().map(Bound::address).collect();
        let encrypted = self.encrypted();
        let ticket_keys = encrypted.first().map(|(_, tls)| tls.ticket_keys());
        let admin_address = self.admin.as_ref().map(Bound::address);

        let (messages, inbox) = mpsc::channel(MESSAGE_ROOM);
        let (phase, phases) = watch::channel(Phase::Booting);
        let (stopped_trigger, stopped) = latch();
        let (triggers, stopping, closing) = StopTriggers::new();
        // The app is loaded, and has opened what it keeps open.
        let room = descriptors::room_for_connections(self.queue.max_threads());
        sys::futex::make_room(self.queue.max_threads());
        let (member, control) = self.member.unzip();
        let hand_over = self.config.cluster.hand_over;
        let openings = self.bound.iter().map(Bound::opening).collect();
        let services = Services {
            queue: self.queue.clone(),
            stats: self.stats.clone(),
            phase: phases.clone(),
            traffic: Arc::new(Traffic::new(self.plan.drain_until_quiet)),
            access_log: self.access,
            warnings: Arc::new(Warnings::reported_to(observer.clone())),
            date: DateHeader::default(),
            siblings: member
                .clone()
                .map(|member| Arc::new(Siblings::new(member, self.queue.clone(), hand_over, openings))),
        };
        let shared = Shared::new(ConnectionSettings::of(&self.config), services, room.clients);
        let (max_threads, limit) = (self.queue.max_threads(), shared.bounds.connections.max_connections());
        if limit < max_threads as u64 {
            observer(&LogEvent::FewConnections { max_threads, limit });
        }

        let entered = runtime.enter();
        let accepting = match (&shared.services.siblings, &control) {
            (Some(siblings), Some(control)) => {
                let cluster = in_cluster::ClusterStart {
                    siblings,
                    control,
                    shared: &shared,
                    messages: &messages,
                    observer: &observer,
                    questions: &self.questions,
                };
                Accepting::InCluster(cluster.begin(self.bound)?)
            }
            _ => Accepting::Alone(self.bound.into_iter().map(Bound::listen).collect::<Result<_, _>>()?),
        };
        let admin_listener = self.admin.map(Bound::listen).transpose()?;
        drop(entered);
        let tls = encrypted.iter().map(|(_, tls)| tls.clone()).collect();
        let report = report(&self.config, &shared, &self.logs, member.clone(), tls);
        let watch = CertificateWatch {
            addresses: encrypted,
            interval: self.config.tls_reload_interval,
            observer: observer.clone(),
            stats: self.stats.clone(),
            member: member.clone(),
        };
        let (certificates, watching) = watch.start()?.unzip();
        let heartbeat =
            member.clone().map(|member| Heartbeat::new(member, report.clone(), self.config.probes.liveness_timeout));
        let steering = Steering {
            end: in_cluster::ending(control.clone(), messages.clone()),
            questions: self.questions.clone(),
            plan: self.plan,
            settings: self.config.about.settings.clone().into(),
            member: member.clone(),
        };
        let admin = admin_listener.zip(self.config.admin.as_ref()).map(|(listener, address)| AdminListener {
            listener: Arc::new(listener),
            admin: Arc::new(admin((&self.config, address), &shared, report, steering, &observer)),
            clients: ConnectionLimit::new(room.admin),
        });
        let watchdog = match signal_listener {
            Some(_) => {
                Some(io_thread::watchdog(observer.clone(), self.logs.clone(), phases.clone()).map_err(Error::runtime)?)
            }
            None => None,
        };
        let recall = watchdog.as_ref().map(Watchdog::recall);
        let retirement = Retirement { timeout: self.config.cluster.worker_shutdown_timeout, hands_over: hand_over };
        let cluster = (retirement, control.clone());
        let driver = Driver::new(self.plan, shared, phase, triggers, observer, watchdog, cluster);
        driver.announce_ready(&addresses, admin_address.as_deref());
        let time_slicer = self.time_slicer.map(|time_slicer| (time_slicer, self.config.time_slice));
        let signals = signals.map(|stream| (stream, messages.clone()));
        let logs = self.logs;
        IoThread {
            runtime,
            driver,
            inbox,
            accepting,
            admin,
            heartbeat,
            time_slicer,
            signals,
            logs,
            _certificates: watching,
            stopped: stopped_trigger,
        }
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
            questions: self.questions,
            signal_listener: Mutex::new(signal_listener),
            control,
            recall,
            certificates,
            ticket_keys,
        })
    }
}

/// Where the server's numbers come from; `member` is its place in a cluster.
fn report(config: &Config, shared: &Shared, logs: &Logs, member: Option<Member>, tls: Vec<Arc<Tls>>) -> Arc<Report> {
    let Services { queue, stats, traffic, phase, access_log, .. } = &shared.services;
    let (connections, bodies) = (shared.bounds.connections.clone(), shared.bounds.bodies.clone());
    let access_log = access_log.as_ref().map(|log| log.lost().clone());
    let own = Own { connections, bodies, log: logs.clone(), access_log, member, tls };
    Report::new(stats.clone(), queue.clone(), traffic.clone(), phase.clone(), config.about.clone(), own)
}

/// A session that was begun on one address is resumed on any other that asks the same of its clients.
fn share_ticket_keys(bound: &[Bound]) {
    let mut all = bound.iter().filter_map(Bound::tls);
    if let Some(keys) = all.next().map(|tls| tls.ticket_keys()) {
        all.for_each(|tls| tls.share_tickets(keys.clone()));
    }
}

/// The certificates of the encrypted addresses of a configuration, without listening on them: a sentence for each, and for what is wrong.
///
/// # Errors
///
/// [`Error::is_configuration`] where the server would not start because of them.
pub fn certificate_report(config: &Config) -> Result<Vec<String>, Error> {
    let mut sentences = Vec::new();
    for address in &config.bind {
        if let Some(options) = &address.wire().tls {
            let said = Tls::load(options)?.report(unix_now());
            sentences.extend(said.iter().map(|sentence| format!("{address}: {sentence}")));
        }
    }
    Ok(sentences)
}

/// The admin endpoints on `address`.
fn admin(
    (config, address): (&Config, &Address),
    shared: &Shared,
    report: Arc<Report>,
    steering: Steering,
    observer: &Observer,
) -> Admin {
    let Services { queue, phase, .. } = &shared.services;
    let liveness = Liveness::new(queue.clone(), config.probes.liveness_timeout, observer.clone());
    let access = (address, config.admin_access.clone());
    Admin::new(phase.clone(), report, liveness, steering, observer.clone(), access)
}

#[cfg(test)]
mod tests;
