//! `/status`: where the server is in its life and what its drain will be, and `/settings`: what it was told and where. Both as JSON,
//! for the page and for `tidegate ctl` and `tidegate top`.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde::Serialize;

use super::{Admin, commands::json};
use crate::{
    http::{probe, response::Response},
    lifecycle::{Phase, plan::Plan},
    sync::now,
};

#[derive(Serialize)]
struct Status {
    phase: &'static str,
    /// Of the present phase, where it has an end that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    in_flight: u64,
    connections: u64,
    plan: Delays,
}

/// The plan in seconds.
#[derive(Serialize)]
struct Delays {
    drain_delay: f64,
    shutdown_timeout: f64,
    /// `null` where no platform sets one.
    budget: Option<f64>,
    drain_until_quiet: bool,
}

impl From<Plan> for Delays {
    fn from(plan: Plan) -> Self {
        Self {
            drain_delay: tenths(plan.drain_delay),
            shutdown_timeout: tenths(plan.shutdown_timeout),
            budget: plan.budget.map(tenths),
            drain_until_quiet: plan.drain_until_quiet,
        }
    }
}

impl Admin {
    /// The answer, if the path is one of the two.
    pub(super) fn state(&self, method: &Method, path: &str) -> Option<Response> {
        if !matches!(path, "/status" | "/settings") {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Some(probe::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into()));
        }
        let text = if path == "/status" {
            self.status()
        } else {
            String::from_utf8_lossy(&self.steering.settings).into_owned()
        };
        Some(json(StatusCode::OK, text + "\n"))
    }

    fn status(&self) -> String {
        let phase = *self.phase.borrow();
        let status = Status {
            phase: phase.name(),
            seconds_left: left(phase, now()).map(tenths),
            in_flight: self.report.in_flight(),
            connections: self.report.connections(),
            plan: self.steering.plan.into(),
        };
        // Strings and numbers can always be written.
        serde_json::to_string(&status).unwrap_or_default()
    }
}

fn left(phase: Phase, now: Instant) -> Option<Duration> {
    match phase {
        Phase::Draining { until, .. }
        | Phase::Closing { deadline: until, .. }
        | Phase::Retiring { deadline: until, .. }
        | Phase::Forcing { until } => Some(until.saturating_duration_since(now)),
        Phase::Booting | Phase::Ready | Phase::Stopped { .. } => None,
    }
}

/// Seconds as people read them.
fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
