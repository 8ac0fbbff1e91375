//! The measure of a request: in flight from its head to its end, however it ends, and then counted with its kind.

use std::{sync::Arc, time::Instant};

use http::{Method, StatusCode};

use super::Shared;
use crate::stats::{MethodClass, StatusClass};

/// A request that is being counted.
#[derive(Debug)]
pub(super) struct Meter {
    shared: Arc<Shared>,
    method: MethodClass,
    status: StatusClass,
    received: Instant,
    bytes: u64,
}

impl Meter {
    /// A request whose head was complete at `received`.
    pub(super) fn start(shared: Arc<Shared>, method: &Method, received: Instant) -> Self {
        shared.stats.request_begun();
        Self { shared, method: method.into(), status: StatusClass::NONE, received, bytes: 0 }
    }

    /// Its response begins.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.into();
    }

    /// A piece of the response's body goes out.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let now = super::now();
        self.shared.stats.request_ended(self.method, self.status, now.saturating_duration_since(self.received));
        self.shared.stats.response_body_bytes.inc_by(self.bytes);
        self.shared.traffic.answered(self.received, now);
    }
}
