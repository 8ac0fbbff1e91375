//! Troubles that connections meet and the operator has to mend: each kind is told once, and then at most once in a while with
//! how often it has come since, because clients and the app decide how often that is.

use std::{
    fmt, io,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    http::request::Peer,
    log::event::{LogEvent, Observer},
};

/// How long a kind of trouble that was told is only counted.
const SILENCE: Duration = Duration::from_secs(60);
/// The same for what an app gets wrong: each such line names another request.
const APP_SILENCE: Duration = Duration::from_secs(10);

/// Tells of them; of none where nothing observes.
#[derive(Default)]
pub(crate) struct Troubles {
    observer: Option<Observer>,
    spool: Mutex<Told>,
    tls: Mutex<Told>,
    crowded: Mutex<Told>,
    spill: Mutex<Told>,
    length: Mutex<Told>,
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles").field("spool", &self.spool).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// What was told of one kind.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    since: u64,
}

impl Told {
    /// Whether to tell of it now, and how many went untold.
    fn again(told: &Mutex<Self>, silence: Duration, now: Instant) -> Option<u64> {
        // No code that can panic runs under this lock.
        let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if told.last.is_some_and(|last| now.saturating_duration_since(last) < silence) {
            told.since += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

impl Troubles {
    pub(crate) fn told_to(observer: Observer) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// A request body could not be written to a temporary file.
    pub(crate) fn spool_failed(&self, error: &io::Error, directory: &Path, now: Instant) {
        self.tell(&self.spool, now, |more| LogEvent::SpoolFailing { error, directory, more });
    }

    /// A client has begun a TLS handshake on an address that has none.
    pub(crate) fn tls_met(&self, peer: &Peer, now: Instant) {
        self.tell(&self.tls, now, |more| LogEvent::TlsOnPlain { source: peer.source, more });
    }

    /// As many connections are open as may be.
    pub(crate) fn crowded(&self, limit: u64, gives_way: bool, now: Instant) {
        self.tell(&self.crowded, now, |_| LogEvent::Crowded { limit, gives_way });
    }

    /// What a slow reader left of a response could not be written to a file.
    pub(crate) fn spill_failed(&self, error: &io::Error, directory: &Path, cut: bool, now: Instant) {
        self.tell(&self.spill, now, |_| LogEvent::SpillFailed { directory, error, cut });
    }

    /// A response is not as long as its head says: `declared` and `actual`, in bytes.
    pub(crate) fn length_was_wrong(&self, method: &str, path: &str, (declared, actual): (u64, u64), now: Instant) {
        self.tell_after(APP_SILENCE, &self.length, now, |unsaid| LogEvent::WrongLength {
            method,
            path,
            declared,
            actual,
            unsaid,
        });
    }

    fn tell<'a>(&self, told: &Mutex<Told>, now: Instant, event: impl FnOnce(u64) -> LogEvent<'a>) {
        self.tell_after(SILENCE, told, now, event);
    }

    fn tell_after<'a>(
        &self,
        silence: Duration,
        told: &Mutex<Told>,
        now: Instant,
        event: impl FnOnce(u64) -> LogEvent<'a>,
    ) {
        if let Some(observer) = &self.observer
            && let Some(more) = Told::again(told, silence, now)
        {
            observer(&event(more));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A full disk and a busy upload form would fill the log as well.
    #[test]
    fn tells_once_a_minute_and_counts_meanwhile() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        let troubles = Troubles::told_to(Arc::new(move |event| heard.lock().unwrap().push(event.to_string())));
        let start = Instant::now();
        let full = io::Error::from_raw_os_error(28);
        for at in [0, 1, 59, 60, 61] {
            troubles.spool_failed(&full, Path::new("/tmp"), start + Duration::from_secs(at));
        }
        troubles.tls_met(&Peer::unix(), start);
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("No space left on device (os error 28)"), "{lines:?}");
        assert!(!lines[0].contains("more"), "{lines:?}");
        assert!(lines[1].ends_with("(2 more since the last such line)"), "{lines:?}");
        assert!(lines[2].contains("is this https?"), "{lines:?}");
    }
}
