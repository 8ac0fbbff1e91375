//! What all connections of a server share: its settings, the services that they use, and the bounds that they keep together.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use http::request::Parts;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use super::{connection_limit::ConnectionLimit, memory_trim::MemoryTrim, opening::HandshakeThread, siblings::Siblings};
use crate::{
    config::{AddedHeaders, Config, Forwarding, Http2, Limits, Probes, Timeouts},
    drain::Traffic,
    exchange::hijack::HijackGuard,
    http::{body::Budget, date::DateHeader, probe, response::Response},
    lifecycle::Phase,
    log::{access::AccessLog, warnings::Warnings},
    pool::DispatchQueue,
    stats::SharedStats,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: ConnectionSettings,
    pub(crate) services: Services,
    pub(crate) bounds: Bounds,
    /// One task for each connection that the server serves.
    pub(crate) tasks: TaskTracker,
    /// A token for each connection that is the app's own. A drain waits for these after the tasks.
    pub(crate) hijacked_connections: TaskTracker,
}

/// Settings that a connection acts on.
#[derive(Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) http2: Http2,
    pub(crate) probes: Probes,
    pub(crate) added_headers: AddedHeaders,
    pub(crate) forwarding: Forwarding,
    /// How long the app may have a request.
    pub(crate) request_timeout: Option<Duration>,
    /// Where bodies wait that are too large for memory.
    pub(crate) spool_directory: PathBuf,
}

impl ConnectionSettings {
    pub(crate) fn of(config: &Config) -> Self {
        let Config {
            timeouts, limits, http2, probes, added_headers, forwarding, request_timeout, spool_directory, ..
        } = config;
        Self {
            timeouts: *timeouts,
            limits: *limits,
            http2: *http2,
            probes: probes.clone(),
            added_headers: *added_headers,
            forwarding: forwarding.clone(),
            request_timeout: *request_timeout,
            spool_directory: spool_directory.clone(),
        }
    }
}

/// Other parts of the server that connections use.
#[derive(Debug)]
pub(crate) struct Services {
    /// Where requests wait for a worker.
    pub(crate) queue: Arc<DispatchQueue>,
    pub(crate) stats: SharedStats,
    /// The server's phase, as the driver sets it.
    pub(crate) phase: watch::Receiver<Phase>,
    /// When requests come and how long they take: what a drain goes by.
    pub(crate) traffic: Arc<Traffic>,
    /// Where each request gets its line, if it gets one.
    pub(crate) access_log: Option<AccessLog>,
    /// Tells the operator what there is to mend.
    pub(crate) warnings: Arc<Warnings>,
    /// The `Date` of responses.
    pub(crate) date: DateHeader,
    /// The other workers; `None` where the process is the only one.
    pub(crate) siblings: Option<Arc<Siblings>>,
}

/// What enforces the [`Limits`] that the connections of a server keep together.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// How many connections there may be.
    pub(crate) connections: Arc<ConnectionLimit>,
    /// How many bytes of bodies may be in memory.
    pub(crate) bodies: Arc<Budget>,
    /// Where handshakes are computed.
    pub(super) handshakes: HandshakeThread,
    /// Has memory given back after a rush.
    pub(crate) memory: MemoryTrim,
}

impl Shared {
    /// For a process that has descriptors for `room` connections, which is the limit where the settings have none.
    pub(crate) fn new(settings: ConnectionSettings, services: Services, room: u64) -> Arc<Self> {
        let limits = &settings.limits;
        let bodies = Budget::new(limits.buffer_limit);
        let bounds = Bounds {
            connections: ConnectionLimit::new(limits.max_connections.value().map_or(room, |limit| limit as u64)),
            memory: MemoryTrim::new(bodies.clone()),
            bodies,
            handshakes: HandshakeThread::default(),
        };
        Arc::new(Self {
            settings,
            services,
            bounds,
            tasks: TaskTracker::new(),
            hijacked_connections: TaskTracker::new(),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.services.phase.borrow()
    }

    /// Resolves when what is left is to be cut.
    pub(super) async fn forced(&self) {
        // The sender goes with the driver, at the server's end.
        let _ = self.services.phase.clone().wait_for(|phase| phase.is_forced()).await;
    }

    /// Resolves when everything new has stopped being served.
    pub(super) async fn refuses_new(&self) {
        let _ = self.services.phase.clone().wait_for(|phase| phase.refuses_new()).await;
    }

    /// A request was ended by force, without a whole response: the server's exit tells of it.
    pub(super) fn request_cut(&self) {
        self.services.traffic.request_cut();
        self.services.stats.cut.inc();
    }

    /// The answer to a probe that came to an address of the app, where the server has one.
    pub(super) fn answer_probe(&self, head: &Parts, now: Instant) -> Option<Response> {
        let probes = &self.settings.probes;
        if probes.are_off() {
            return None;
        }
        let in_flight = || self.services.stats.snapshot().in_flight;
        let unattended = || self.services.queue.all_unattended(probes.liveness_timeout, now);
        probe::answer_beside_app(probes, &head.method, head.uri.path(), self.phase(), now, in_flight, unattended)
    }

    /// Has the server wait for a connection that it no longer has; `closed` is dropped when the app has closed it.
    pub(super) fn hijacked(&self, closed: Option<oneshot::Sender<Infallible>>) -> HijackGuard {
        let count = self.services.stats.connection_hijacked();
        HijackGuard { _closed: closed, _count: count, _token: self.hijacked_connections.token() }
    }
}
