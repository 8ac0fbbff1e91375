//! The server's numbers, for clients of the admin address: `/metrics` as Prometheus reads it, and
//! `/stats` in the shape of Puma's, for what was written for Puma. Answered without the app, like the probes.

mod page;
mod process;
mod prometheus;
mod puma_stats;
mod workers;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;

use crate::{
    cluster::{Cluster, Member, figures::WorkerFigures, table::Records},
    config::About,
    connection::ConnectionLimit,
    drain::Traffic,
    http::{body::Budget, probe, response::Response},
    lifecycle::Phase,
    log::{Logs, output::LostLines},
    pool::DispatchQueue,
    stats::{AddUp, Of, SharedStats},
    sync::now,
    sys::{clock, memory},
    tls::Tls,
};

/// Where the numbers come from.
#[derive(Debug)]
pub(crate) struct Report {
    stats: SharedStats,
    queue: Arc<DispatchQueue>,
    traffic: Arc<Traffic>,
    phase: watch::Receiver<Phase>,
    about: About,
    own: Own,
    started: SystemTime,
}

/// What a server has of its own to tell about: its bounds, and what was lost of its logs.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) connections: Arc<ConnectionLimit>,
    pub(crate) bodies: Arc<Budget>,
    pub(crate) log: Logs,
    pub(crate) access_log: Option<LostLines>,
    /// Its place in a cluster.
    pub(crate) member: Option<Member>,
    /// What its addresses are encrypted with.
    pub(crate) tls: Vec<Arc<Tls>>,
}

#[cfg(test)]
impl Default for Own {
    fn default() -> Self {
        let (connections, bodies) = (ConnectionLimit::new(100), Budget::new(Some(1 << 26)));
        Self { connections, bodies, log: Logs::default(), access_log: None, member: None, tls: Vec::new() }
    }
}

impl Report {
    pub(crate) fn new(
        stats: SharedStats,
        queue: Arc<DispatchQueue>,
        traffic: Arc<Traffic>,
        phase: watch::Receiver<Phase>,
        about: About,
        own: Own,
    ) -> Arc<Self> {
        Arc::new(Self { stats, queue, traffic, phase, about, own, started: SystemTime::now() })
    }

    /// The answer, if the path is one of these. `accept` is what the client says it can read.
    pub(crate) fn answer(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        accept: Option<&HeaderValue>,
    ) -> Option<Response> {
        if !matches!(path, "/metrics" | "/stats") {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Some(probe::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into()));
        }
        let (text, kind) = if path == "/metrics" {
            prometheus::write(self, accept)
        } else {
            (puma_stats::write(self), "application/json")
        };
        let mut response = probe::text(StatusCode::OK, text);
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Some(response)
    }

    /// Where the server is in its life.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Tells of each phase from now on.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    // ===== this process =====

    /// For how long its requests have waited with nothing to run them, where that is at least the `limit`.
    pub(crate) fn unattended_for_too_long(&self, limit: Option<Duration>, now: Instant) -> Option<Duration> {
        self.queue.unattended_for_too_long(limit, now)
    }

    /// Tells the processes of the cluster what there is to tell of this one, for their reports.
    pub(crate) fn publish(&self) {
        if let Some(member) = &self.own.member {
            self.queue.publish_room();
            member.publish_figures(&self.figures(), self.queue.reset_deepest());
        }
    }

    /// What there is to tell beside the counters.
    fn figures(&self) -> WorkerFigures {
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (now, tally, drain) = (now(), self.queue.tally(), self.traffic.drain());
        let drained = drain.map(|drain| self.stats.snapshot().since(&drain.before)).unwrap_or_default();
        let drain_left = match self.phase() {
            Phase::Draining { until: end, .. } | Phase::Closing { deadline: end, .. } => {
                end.saturating_duration_since(now)
            }
            _ => Duration::ZERO,
        };
        let Own { connections, bodies, log, access_log, .. } = &self.own;
        WorkerFigures {
            threads_active: tally.active as u64,
            threads_waiting: tally.waiting as u64,
            threads_idle: tally.idle as u64,
            threads_limit: self.queue.max_threads() as u64,
            queue_depth: self.queue.len() as u64,
            threads_stuck: self.queue.stuck() as u64,
            queue_limit: self.queue.max_queue() as u64,
            unattended_ns: nanoseconds(self.queue.unattended(now)),
            connections_limit: connections.max_connections(),
            buffered_bytes: bodies.held(),
            buffered_request_bytes: bodies.of_requests(),
            buffer_limit_bytes: if bodies.limit() == u64::MAX { 0 } else { bodies.limit() },
            spilled_bytes: bodies.spilled(),
            drain_left_ns: nanoseconds(drain_left),
            drain_connections: drained.accepted,
            drain_requests: drained.requests,
            drain_late: drain.map_or(0, |drain| drain.late),
            drain_last_ns: nanoseconds(self.traffic.last_in_drain().unwrap_or_default()),
            server_lines_lost: log.lost(),
            access_lines_lost: access_log.as_ref().map_or(0, LostLines::total),
            rss: memory::resident().unwrap_or(0),
            cpu_ns: nanoseconds(clock::process_cpu()),
        }
    }

    // ===== the whole server =====

    /// The counters and figures of the server, which in a cluster are those of all workers together.
    fn records(&self) -> Box<Records> {
        self.publish();
        if let Some(cluster) = self.cluster() {
            return cluster.sum();
        }
        let records = Box::<Records>::default();
        records.stats.add(&self.stats, Of::Living);
        records.figures.publish(&self.figures());
        records
    }

    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.own.member.as_ref().map(Member::cluster)
    }

    /// Requests that the server has not answered to the end yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.cluster().map_or_else(|| self.stats.in_flight(), |cluster| cluster.sum().stats.in_flight())
    }

    /// Connections that the server holds, those that are the app's own included.
    pub(crate) fn connections(&self) -> u64 {
        self.records().stats.snapshot().connections
    }

    /// The names of the certificates that this process shows, each with the end of the first of them that ends.
    fn certificate_ends(&self) -> BTreeMap<String, i64> {
        let mut ends = BTreeMap::new();
        for certificate in self.own.tls.iter().flat_map(|tls| tls.certificates()) {
            let end = ends.entry(certificate.name().to_owned()).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
        ends
    }

    /// When the server started, which in a cluster is when its master did.
    fn started(&self) -> SystemTime {
        self.cluster().map_or(self.started, |cluster| cluster.started_at())
    }
}

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
