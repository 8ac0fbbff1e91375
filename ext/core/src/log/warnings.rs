//! Warnings about what connections meet and the operator has to mend: each kind gets a line once, and then at most one in a while
//! with how often it has come since, because clients and the app decide how often that is.

use std::{
    fmt, io,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    http::request::Peer,
    log::event::{LogEvent, Observer},
    stats::{flood::Flood, proxied::ProxyRefused},
};

/// After a line, how long others of its kind are counted and not logged.
const INTERVAL: Duration = Duration::from_secs(60);
/// The same for what an app gets wrong: each such line names another request.
const APP_INTERVAL: Duration = Duration::from_secs(10);

/// Reports them to an observer, if there is one.
#[derive(Default)]
pub(crate) struct Warnings {
    observer: Option<Observer>,
    spool: RateLimit,
    tls: RateLimit,
    flood: RateLimit,
    handshake: RateLimit,
    proxy: RateLimit,
    gives_way: RateLimit,
    crowded: RateLimit,
    queue_full: RateLimit,
    queue_timeout: RateLimit,
    kept: RateLimit,
    cut: RateLimit,
    length: RateLimit,
    unsendable: RateLimit,
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").field("spool", &self.spool).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Lets one event of a kind through in an interval, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(Mutex<Admitted>);

#[derive(Debug, Default)]
struct Admitted {
    last: Option<Instant>,
    held_back: u64,
}

impl RateLimit {
    /// Whether an event at `now` may have a line, and how many were held back since the last that had one.
    pub(crate) fn admit(&self, interval: Duration, now: Instant) -> Option<u64> {
        // No code that can panic runs under this lock.
        let mut admitted = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if admitted.last.is_some_and(|last| now.saturating_duration_since(last) < interval) {
            admitted.held_back += 1;
            return None;
        }
        admitted.last = Some(now);
        Some(std::mem::take(&mut admitted.held_back))
    }
}

impl Warnings {
    pub(crate) fn reported_to(observer: Observer) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// A request body could not be written to a temporary file.
    pub(crate) fn spool_failed(&self, error: &io::Error, directory: &Path, now: Instant) {
        self.report(&self.spool, now, |more| LogEvent::SpoolFailing { error, directory, more });
    }

    /// A client has begun a TLS handshake on an address that has none.
    pub(crate) fn tls_met(&self, peer: &Peer, now: Instant) {
        self.report(&self.tls, now, |more| LogEvent::TlsOnPlain { source: peer.source, more });
    }

    /// A client of HTTP/2 has flooded the server.
    pub(crate) fn flooded(&self, peer: &Peer, flood: Flood, now: Instant) {
        self.report(&self.flood, now, |more| LogEvent::Flooded { source: peer.source, how: flood.text(), more });
    }

    /// A TLS handshake has failed, and not because the client has gone.
    pub(crate) fn handshake_failed(&self, peer: &Peer, why: &str, now: Instant) {
        self.report(&self.handshake, now, |more| LogEvent::HandshakeFailed { source: peer.source, why, more });
    }

    /// A connection was refused because of the PROXY protocol.
    pub(crate) fn proxy_refused(&self, peer: &Peer, reason: ProxyRefused, now: Instant) {
        self.report(&self.proxy, now, |more| LogEvent::ProxyRefused {
            source: peer.source,
            why: reason.sentence(),
            more,
        });
    }

    /// A thread does not come back from the app. Not rate-limited: there can be only as many as there are threads.
    pub(crate) fn stuck(&self, method: &str, path: &str, held: Duration) {
        if let Some(observer) = &self.observer {
            observer(&LogEvent::Stuck { method, path, held });
        }
    }

    /// As many connections are open as may be. That a new one has to wait is not held back because silent ones gave way before.
    pub(crate) fn crowded(&self, limit: u64, gives_way: bool, now: Instant) {
        let rate_limit = if gives_way { &self.gives_way } else { &self.crowded };
        self.report(rate_limit, now, |_| LogEvent::Crowded { limit, gives_way });
    }

    /// As many requests wait as may, so that one is refused.
    pub(crate) fn queue_full(&self, max_queue: impl FnOnce() -> usize, now: Instant) {
        self.report(&self.queue_full, now, |more| LogEvent::QueueFull { max_queue: max_queue(), more });
    }

    /// A request has waited for as long as it may.
    pub(crate) fn queue_timed_out(&self, queue_timeout: impl FnOnce() -> Duration, now: Instant) {
        self.report(&self.queue_timeout, now, |more| LogEvent::QueueTimeout { queue_timeout: queue_timeout(), more });
    }

    /// What a slow reader left of a response could not be written to a file. That one is cut is not held back because others were
    /// kept in memory before.
    pub(crate) fn spill_failed(&self, error: &io::Error, directory: &Path, cut: bool, now: Instant) {
        let rate_limit = if cut { &self.cut } else { &self.kept };
        self.report(rate_limit, now, |more| LogEvent::SpillFailed { directory, error, cut, more });
    }

    /// A response is not as long as its head says: `declared` and `actual`, in bytes.
    pub(crate) fn length_was_wrong(&self, method: &str, path: &str, (declared, actual): (u64, u64), now: Instant) {
        self.report_within(APP_INTERVAL, &self.length, now, |unsaid| LogEvent::WrongLength {
            method,
            path,
            declared,
            actual,
            unsaid,
        });
    }

    /// What the app wrote to a stream that it has hijacked cannot be sent.
    pub(crate) fn unsendable(&self, why: &str, now: Instant) {
        self.report_within(APP_INTERVAL, &self.unsendable, now, |more| LogEvent::Unsendable { why, more });
    }

    fn report<'a>(&self, limit: &RateLimit, now: Instant, event: impl FnOnce(u64) -> LogEvent<'a>) {
        self.report_within(INTERVAL, limit, now, event);
    }

    fn report_within<'a>(
        &self,
        interval: Duration,
        limit: &RateLimit,
        now: Instant,
        event: impl FnOnce(u64) -> LogEvent<'a>,
    ) {
        if let Some(observer) = &self.observer
            && let Some(more) = limit.admit(interval, now)
        {
            observer(&event(more));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Warnings, and the lines that come of them.
    fn heard() -> (Warnings, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        (Warnings::reported_to(Arc::new(move |event| heard.lock().unwrap().push(event.to_string()))), lines)
    }

    /// A full disk and a busy upload form would fill the log as well.
    #[test]
    fn tells_once_a_minute_and_counts_meanwhile() {
        let (warnings, lines) = heard();
        let start = Instant::now();
        let full = io::Error::from_raw_os_error(28);
        for at in [0, 1, 59, 60, 61] {
            warnings.spool_failed(&full, Path::new("/tmp"), start + Duration::from_secs(at));
        }
        warnings.tls_met(&Peer::unix(), start);
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("No space left on device (os error 28)"), "{lines:?}");
        assert!(!lines[0].contains("more"), "{lines:?}");
        assert!(lines[1].ends_with("(2 more since the last such line)"), "{lines:?}");
        assert!(lines[2].contains("is this https?"), "{lines:?}");
    }

    /// A cut response had no line for a minute after one that was kept in memory.
    #[test]
    fn the_milder_of_two_does_not_hide_the_worse() {
        let (warnings, lines) = heard();
        let now = Instant::now();
        let full = io::Error::from_raw_os_error(28);
        for worse in [false, false, true, true] {
            warnings.spill_failed(&full, Path::new("/tmp"), worse, now);
            warnings.crowded(10, !worse, now);
        }
        warnings.spill_failed(&full, Path::new("/tmp"), true, now + INTERVAL);
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].starts_with("memory beyond buffer_limit is used"), "{lines:?}");
        assert!(lines[1].contains("has been silent longest is closed"), "{lines:?}");
        assert!(lines[2].starts_with("a response was cut"), "{lines:?}");
        assert!(lines[3].contains("new ones wait"), "{lines:?}");
        assert!(lines[4].ends_with("(1 more since the last such line)"), "{lines:?}");
    }
}
