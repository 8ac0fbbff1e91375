//! What the server tells of its numbers, to those who ask on the admin address: `/metrics` as Prometheus reads it, and
//! `/stats` in the shape of Puma's, for what was written for Puma. Answered without the app, like the probes.

mod exposition;
mod memory;
mod puma;

use std::{sync::Arc, time::SystemTime};

use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;

use crate::{
    config::About, dispatch::DispatchQueue, lifecycle::Phase, log::Logs, output::Lost, probe, response::Response,
    stats::Stats, traffic::Traffic,
};

/// Where the numbers come from.
#[derive(Debug)]
pub(crate) struct Report {
    stats: Arc<Stats>,
    queue: Arc<DispatchQueue>,
    traffic: Arc<Traffic>,
    phase: watch::Receiver<Phase>,
    about: About,
    lost: LostLines,
    started: SystemTime,
}

/// What was lost of the logs.
#[derive(Debug, Default)]
pub(crate) struct LostLines {
    pub(crate) server: Logs,
    pub(crate) access: Option<Lost>,
}

impl LostLines {
    fn by_log(&self) -> [(&'static str, u64); 2] {
        [("server", self.server.lost()), ("access", self.access.as_ref().map_or(0, Lost::total))]
    }
}

impl Report {
    pub(crate) fn new(
        stats: Arc<Stats>,
        queue: Arc<DispatchQueue>,
        traffic: Arc<Traffic>,
        phase: watch::Receiver<Phase>,
        about: About,
        lost: LostLines,
    ) -> Arc<Self> {
        Arc::new(Self { stats, queue, traffic, phase, about, lost, started: SystemTime::now() })
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
        let (text, kind) =
            if path == "/metrics" { exposition::write(self, accept) } else { (puma::write(self), "application/json") };
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
