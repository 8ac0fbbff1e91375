//! What the server tells of its numbers, to those who ask on the admin address: `/metrics` as Prometheus reads it, and
//! `/stats` in the shape of Puma's, for what was written for Puma. Answered without the app, like the probes.

mod exposition;
mod memory;
mod puma;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use tokio::sync::watch;

use crate::{config::About, dispatch::DispatchQueue, lifecycle::Phase, stats::Stats};

/// Where the numbers come from.
#[derive(Debug)]
pub(crate) struct Report {
    stats: Arc<Stats>,
    queue: Arc<DispatchQueue>,
    phase: watch::Receiver<Phase>,
    about: About,
    started: SystemTime,
}

impl Report {
    pub(crate) fn new(
        stats: Arc<Stats>,
        queue: Arc<DispatchQueue>,
        phase: watch::Receiver<Phase>,
        about: About,
    ) -> Arc<Self> {
        Arc::new(Self { stats, queue, phase, about, started: SystemTime::now() })
    }

    /// The answer, if the path is one of these. `accept` is what the client says it can read.
    pub(crate) fn answer(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        accept: Option<&HeaderValue>,
    ) -> Option<Response<Full<Bytes>>> {
        let (text, kind) = match path {
            "/metrics" | "/stats" if !matches!(*method, Method::GET | Method::HEAD) => {
                let refused = response("only GET and HEAD\n".into(), "text/plain; charset=utf-8");
                let (mut head, body) = refused.into_parts();
                head.status = StatusCode::METHOD_NOT_ALLOWED;
                return Some(Response::from_parts(head, body));
            }
            "/metrics" => exposition::write(self, accept),
            "/stats" => (puma::write(self), "application/json"),
            _ => return None,
        };
        Some(response(text, kind))
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

fn response(text: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
