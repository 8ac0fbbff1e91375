//! The operator, as connections tell him what he has to know: one line when it begins, and then at most one a minute, however
//! many connections meet the same.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{clock::now, notice::Notice};

/// Hears what the server has to say, on the I/O thread: it must not block for long.
pub type Observer = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

/// How long a notice of the same kind is kept back.
const QUIET: Duration = Duration::from_secs(60);

/// What is told no more often than that.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// As many connections are open as may be.
    Crowded,
    /// What a slow reader left unsent could not be written to a file.
    SpillFailed,
}

/// Passes notices on, each kind in its own time.
pub(crate) struct Operator {
    observer: Observer,
    told: Mutex<[Option<Instant>; 2]>,
}

impl Operator {
    pub(crate) fn new(observer: Observer) -> Self {
        Self { observer, told: Mutex::default() }
    }

    /// Tells it, unless the same was told a short while ago.
    pub(crate) fn tell(&self, kind: Kind, notice: &Notice<'_>) {
        let now = now();
        {
            // No code that can panic runs under this lock.
            let mut told = self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let last = &mut told[kind as usize];
            if last.is_some_and(|at| now.saturating_duration_since(at) < QUIET) {
                return;
            }
            *last = Some(now);
        }
        (self.observer)(notice);
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tells_each_kind_once_a_minute() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let operator = Operator::new(Arc::new(move |notice: &Notice<'_>| ears.lock().unwrap().push(notice.event())));
        let crowded = || operator.tell(Kind::Crowded, &Notice::Crowded { limit: 1, gives_way: true });
        crowded();
        crowded();
        let error = std::io::ErrorKind::StorageFull.into();
        operator.tell(
            Kind::SpillFailed,
            &Notice::SpillFailed { directory: std::path::Path::new("/tmp"), error: &error, cut: true },
        );
        tokio::time::advance(QUIET).await;
        crowded();
        assert_eq!(heard.lock().unwrap()[..], ["crowded", "spill_failed", "crowded"]);
    }
}
