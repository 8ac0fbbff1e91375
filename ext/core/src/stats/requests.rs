//! Requests by what they were and how they ended, and how long each part of them took. Every series is there from the
//! start, in a fixed place: to count one is an addition, and a client's strange method makes no new one.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::{Method, StatusCode};

use super::{
    counter::adds_up,
    histogram::{Distribution, Histogram},
};
use crate::sys::shared_memory::atomics_only;

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

/// The codes that are told apart; those above are counted together.
const CODES: std::ops::Range<u16> = 100..600;
/// A place for each, and one for all above.
const CODE_PLACES: usize = (CODES.end - CODES.start) as usize + 1;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a response of this status.
    Status(StatusCode),
    /// Without a response: the client left, the app hijacked the connection, or a forced end cut it.
    NoResponse,
}

impl Ending {
    fn class(self) -> usize {
        match self {
            Self::Status(status) => usize::from(status.as_u16() / 100 - 1).min(4),
            Self::NoResponse => STATUSES.len() - 1,
        }
    }
}

impl From<StatusCode> for Ending {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
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
#[derive(Debug)]
pub(crate) struct Requests {
    ended: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    codes: [AtomicU64; CODE_PLACES],
    duration: Histogram,
    queue_wait: Histogram,
    gvl_wait: Histogram,
    app: Histogram,
}

atomics_only!(Requests { ended, codes, duration, queue_wait, gvl_wait, app });
adds_up!(Requests { ended, codes, duration, queue_wait, gvl_wait, app });

impl Default for Requests {
    fn default() -> Self {
        let [duration, queue_wait, gvl_wait, app] = array::from_fn(|_| Histogram::default());
        let (ended, codes) = (Default::default(), array::from_fn(|_| AtomicU64::default()));
        Self { ended, codes, duration, queue_wait, gvl_wait, app }
    }
}

impl Requests {
    pub(super) fn ended(&self, method: MethodClass, ending: Ending, took: Duration) {
        self.ended[method.0][ending.class()].fetch_add(1, Relaxed);
        if let Ending::Status(status) = ending {
            let place = usize::from(status.as_u16().min(CODES.end) - CODES.start);
            self.codes[place].fetch_add(1, Relaxed);
        }
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

    /// The codes that there were, each with its number; all above 599 are `other`.
    pub(crate) fn by_code(&self) -> impl Iterator<Item = (String, u64)> {
        let names = CODES.map(|code| code.to_string()).chain(["other".to_owned()]);
        names.zip(&self.codes).map(|(code, count)| (code, count.load(Relaxed))).filter(|(_, count)| *count > 0)
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
        let count = |method: &str, status: Ending| {
            requests.ended(MethodClass::from(&Method::from_bytes(method.as_bytes()).unwrap()), status, Duration::ZERO);
        };
        count("GET", StatusCode::OK.into());
        count("GET", StatusCode::NO_CONTENT.into());
        count("OPTIONS", StatusCode::NOT_FOUND.into());
        count("PURGE", StatusCode::SWITCHING_PROTOCOLS.into());
        count("get", Ending::NoResponse);
        count("POST", StatusCode::from_u16(999).unwrap().into());
        let counted: Vec<_> = requests.by_class().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(
            counted,
            [("GET", "2xx", 2), ("POST", "5xx", 1), ("OPTIONS", "4xx", 1), ("other", "1xx", 1), ("other", "none", 1)]
        );
        assert_eq!(requests.by_class().count(), 48);
        let codes: Vec<_> = requests.by_code().collect();
        assert_eq!(
            codes,
            [("101", 1), ("200", 1), ("204", 1), ("404", 1), ("other", 1)]
                .map(|(code, count)| (code.to_owned(), count))
        );
        assert_eq!(requests.duration().count(), 6);
    }
}
