//! Requests by what they were and how they ended, and how long each part of them took. Every series is there from the
//! start, in a fixed place: to count one is an addition, and a client's strange method makes no new one.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::{Method, StatusCode};

use super::histogram::{Distribution, Histogram};

/// The methods that are told apart; the last stands for all others.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
/// The kinds of ending that are told apart; the last is that of a request without a response.
const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodClass(usize);

impl From<&Method> for MethodClass {
    fn from(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::PATCH => 4,
            Method::DELETE => 5,
            Method::OPTIONS => 6,
            _ => METHODS.len() - 1,
        })
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusClass(usize);

impl StatusClass {
    /// Without a response: the client left, the app hijacked the connection, or a forced end cut it.
    pub(crate) const NONE: Self = Self(STATUSES.len() - 1);
}

impl From<StatusCode> for StatusClass {
    fn from(status: StatusCode) -> Self {
        Self(usize::from(status.as_u16() / 100 - 1).min(4))
    }
}

/// What a worker tells of an exchange it has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// From the moment it was queued until a worker took it.
    pub queue_wait: Duration,
    /// What of [`app`](Self::app) was spent in waiting for the GVL.
    pub gvl_wait: Duration,
    /// From the worker's taking it to the response.
    pub app: Duration,
}

/// Requests, counted and timed.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    ended: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    duration: Histogram,
    queue_wait: Histogram,
    gvl_wait: Histogram,
    app: Histogram,
}

impl Requests {
    pub(super) fn ended(&self, method: MethodClass, status: StatusClass, took: Duration) {
        self.ended[method.0][status.0].fetch_add(1, Relaxed);
        self.duration.observe(took);
    }

    pub(super) fn answered(&self, times: &Times) {
        self.queue_wait.observe(times.queue_wait);
        self.gvl_wait.observe(times.gvl_wait);
        self.app.observe(times.app);
    }

    /// Method, status and how many there were, of every combination.
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        METHODS.into_iter().zip(&self.ended).flat_map(|(method, row)| {
            STATUSES.into_iter().zip(row).map(move |(status, count)| (method, status, count.load(Relaxed)))
        })
    }

    pub(crate) fn duration(&self) -> Distribution {
        self.duration.read()
    }

    pub(crate) fn queue_wait(&self) -> Distribution {
        self.queue_wait.read()
    }

    pub(crate) fn gvl_wait(&self) -> Distribution {
        self.gvl_wait.read()
    }

    pub(crate) fn app(&self) -> Distribution {
        self.app.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_and_status_has_a_class() {
        let requests = Requests::default();
        let count = |method: &str, status: StatusClass| {
            requests.ended(MethodClass::from(&Method::from_bytes(method.as_bytes()).unwrap()), status, Duration::ZERO);
        };
        count("GET", StatusCode::OK.into());
        count("GET", StatusCode::NO_CONTENT.into());
        count("OPTIONS", StatusCode::NOT_FOUND.into());
        count("PURGE", StatusCode::SWITCHING_PROTOCOLS.into());
        count("get", StatusClass::NONE);
        count("POST", StatusCode::from_u16(999).unwrap().into());
        let counted: Vec<_> = requests.by_class().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(
            counted,
            [("GET", "2xx", 2), ("POST", "5xx", 1), ("OPTIONS", "4xx", 1), ("other", "1xx", 1), ("other", "none", 1)]
        );
        assert_eq!(requests.by_class().count(), 48);
        assert_eq!(requests.duration().count(), 6);
    }
}
