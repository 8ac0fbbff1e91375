//! The server's numbers, for clients of the admin address: `/metrics` as Prometheus reads it, and
//! `/stats` in the shape of Puma's, for what was written for Puma. Answered without the app, like the probes.

mod prometheus;
mod puma_stats;

use std::{sync::Arc, time::SystemTime};

use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;

use crate::{
    config::About,
    connection::ConnectionLimit,
    drain::Traffic,
    http::{body::Budget, probe, response::Response},
    lifecycle::Phase,
    log::{Logs, output::LostLines},
    pool::DispatchQueue,
    stats::SharedStats,
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
}

impl Own {
    fn lost_by_log(&self) -> [(&'static str, u64); 2] {
        [("server", self.log.lost()), ("access", self.access_log.as_ref().map_or(0, LostLines::total))]
    }
}

#[cfg(test)]
impl Default for Own {
    fn default() -> Self {
        let (connections, bodies) = (ConnectionLimit::new(100), Budget::new(Some(1 << 26)));
        Self { connections, bodies, log: Logs::default(), access_log: None }
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

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

#[cfg(test)]
mod tests;
