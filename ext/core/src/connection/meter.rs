//! The measure of a request: in flight from its head to its end, however it ends, and then counted with its kind.

use std::{sync::Arc, time::Instant};

use http::{Method, StatusCode};

use crate::stats::{MethodClass, Stats, StatusClass};

/// A request that is being counted.
#[derive(Debug)]
pub(super) struct Meter {
    stats: Arc<Stats>,
    method: MethodClass,
    status: StatusClass,
    began: Instant,
}

impl Meter {
    /// A request whose head was complete at `began`.
    pub(super) fn start(stats: Arc<Stats>, method: &Method, began: Instant) -> Self {
        stats.request_begun();
        Self { stats, method: method.into(), status: StatusClass::NONE, began }
    }

    /// Its response begins.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.into();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let took = super::now().saturating_duration_since(self.began);
        self.stats.request_ended(self.method, self.status, took);
    }
}
