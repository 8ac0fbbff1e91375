//! The sources of new connections, the rate of each, and since when each is silent: from that follows when a drain may end
//! early, because no source sends any more. A pure value; the time is an argument.
//!
//! Behind Kubernetes' service proxy each node balances for itself and hears of a pod's end in its own time, so each
//! source address is judged for itself. A source that has sent `n` connections in a time `w` stays silent for `t` by
//! chance with the probability `(w / (w + t))^n`: its rate is not known, only estimated, and this is what a Poisson
//! process of a rate estimated so predicts (for many connections it is `exp(-n·t/w)`). When that falls below the
//! accepted chance of an error, the source counts as gone. Connections also come in bursts, with pauses that are longer
//! than this formula expects. So the silence must besides exceed the longest gap seen lately, by the factor that makes it as
//! unlikely among so many gaps if the tail of the gaps is exponential.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How fast the past is forgotten: a connection counts e times less after this.
const MEMORY: Duration = Duration::from_secs(60);
/// A source that was silent for so long before the drain is no source any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// The rarest sources need not be judged as long as they are silent: those that together send this part of all connections.
const TAIL: f64 = 0.001;
/// Sources that can be told apart. A server with more sees its clients' own addresses, which tell nothing about nodes.
const SOURCES_MAX: usize = 4096;
/// How many times longer than any gap seen lately a silence has to be, at least.
const LONGEST_GAPS: f64 = 2.0;

/// The accepted chance that one drain ends early although a source still sends.
pub const EPSILON: f64 = 1e-6;

/// Where connections come from. `None` stands for all that have no address: Unix sockets.
pub(crate) type Source = Option<IpAddr>;

/// What is known of the sources of new connections.
#[derive(Debug)]
pub struct Arrivals {
    epsilon: f64,
    sources: HashMap<Source, History>,
    /// When there were last more than [`SOURCES_MAX`] sources.
    overflowed: Option<Instant>,
    /// The chance of an error that each gap of the drain may take; `None` before it.
    per_gap: Option<f64>,
}

impl Arrivals {
    /// No connection has come yet. `epsilon` is the accepted chance of an error per drain.
    pub fn new(epsilon: f64) -> Self {
        Self { epsilon, sources: HashMap::new(), overflowed: None, per_gap: None }
    }

    /// A connection came from `source`.
    pub fn arrived(&mut self, source: Source, at: Instant) {
        if let Some(history) = self.sources.get_mut(&source) {
            return history.arrived(at, self.per_gap.is_some());
        }
        if self.sources.len() >= SOURCES_MAX {
            self.forget(at);
        }
        if self.sources.len() >= SOURCES_MAX {
            self.overflowed = Some(at);
            return;
        }
        self.sources.insert(source, History::new(at, self.per_gap.is_some()));
    }

    /// The server was told to stop, and will serve on for up to `delay`: from now on silence is looked for, and rates are those
    /// of before.
    pub fn drain_begins(&mut self, at: Instant, delay: Duration) {
        self.forget(at);
        let rate: f64 = self.sources.values().map(History::rate).sum();
        // The error is accepted once per drain, and each gap between two connections is a chance to make it.
        self.per_gap = Some(self.epsilon / (rate * delay.as_secs_f64()).max(1.0));
    }

    /// The moment from which on all sources count as gone, if none of them sends any more before it. `None` when that
    /// cannot be told: no source was seen, or one that sends so seldom that its silence means nothing, or is new.
    pub fn quiet_at(&self) -> Option<Instant> {
        let epsilon = self.per_gap?;
        if self.overflowed.is_some() || self.sources.is_empty() {
            return None;
        }
        let mut sources: Vec<&History> = self.sources.values().collect();
        sources.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let mut tail = TAIL * sources.iter().map(|source| source.rate()).sum::<f64>();
        let judged = sources.into_iter().filter(|source| {
            tail -= source.rate();
            source.heard_in_drain || tail < 0.0
        });
        judged.map(|source| source.gone_at(epsilon)).try_fold(None, |latest, gone| Some(latest.max(Some(gone?))))?
    }

    fn forget(&mut self, now: Instant) {
        self.sources.retain(|_, source| now.saturating_duration_since(source.last) < FORGOTTEN_AFTER);
        if self.overflowed.is_some_and(|at| now.saturating_duration_since(at) >= FORGOTTEN_AFTER) {
            self.overflowed = None;
        }
    }
}

/// What is known of one source.
#[derive(Debug)]
struct History {
    /// Connections after the first, the older ones counting less.
    count: f64,
    /// Seconds in which they came, forgotten alike.
    exposure: f64,
    last: Instant,
    /// The longest silences in the present and the last stretch of [`MEMORY`], and when the present one began.
    gaps: [Duration; 2],
    stretch: Instant,
    heard_in_drain: bool,
}

impl History {
    fn new(at: Instant, in_drain: bool) -> Self {
        Self { count: 0.0, exposure: 0.0, last: at, gaps: [Duration::ZERO; 2], stretch: at, heard_in_drain: in_drain }
    }

    fn arrived(&mut self, at: Instant, in_drain: bool) {
        let gap = at.saturating_duration_since(self.last);
        self.last = self.last.max(at);
        if at.saturating_duration_since(self.stretch) >= MEMORY {
            self.gaps = [self.gaps[1], Duration::ZERO];
            self.stretch = at;
        }
        self.gaps[1] = self.gaps[1].max(gap);
        self.heard_in_drain |= in_drain;
        if !in_drain {
            let (memory, seconds) = (MEMORY.as_secs_f64(), gap.as_secs_f64());
            let kept = (-seconds / memory).exp();
            self.count = self.count * kept + 1.0;
            self.exposure = self.exposure * kept + memory * (1.0 - kept);
        }
    }

    /// Connections per second.
    fn rate(&self) -> f64 {
        if self.exposure > 0.0 { self.count / self.exposure } else { 0.0 }
    }

    /// When its silence is too long to be chance.
    fn gone_at(&self, epsilon: f64) -> Option<Instant> {
        if self.count == 0.0 {
            return None;
        }
        let silence = self.exposure * (epsilon.powf(-1.0 / self.count) - 1.0);
        let silence = Duration::try_from_secs_f64(silence).ok()?;
        let longest = self.gaps[0].max(self.gaps[1]);
        let factor = (epsilon.ln() / -(1.0 + self.count).ln()).max(LONGEST_GAPS);
        self.last.checked_add(silence.max(longest.mul_f64(factor)))
    }
}

#[cfg(test)]
mod tests;
