//! What a drain did: its numbers on one line, and as an object in a JSON log.

use std::{fmt, net::IpAddr, time::Duration};

use serde::{Serialize, Serializer};

use crate::lifecycle::plan::Plan;

/// Connections that came when none should have come any more.
#[derive(Clone, Copy, Debug)]
pub struct LateComers {
    /// How many.
    pub connections: u64,
    /// When the last of them came, counted from the signal.
    pub after: Duration,
    /// From where; `None` for a Unix socket.
    pub source: Option<IpAddr>,
}

/// What a drain did. In JSON its numbers have the names of its line; durations are in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// From the first signal to the end.
    #[serde(serialize_with = "in_seconds")]
    pub took: Duration,
    /// What was planned.
    #[serde(skip)]
    pub plan: Plan,
    /// How long everything new was really served.
    #[serde(serialize_with = "in_seconds")]
    pub delay: Duration,
    /// Connections that came after the signal.
    #[serde(rename = "new_conns")]
    pub connections: u64,
    /// Requests that came after the signal.
    pub requests: u64,
    /// When the last of the connections came, counted from the signal.
    #[serde(rename = "last_new_conn", serialize_with = "in_seconds_if_any")]
    pub last_connection: Option<Duration>,
    /// How many of the connections came in the last part of the delay, or after it.
    #[serde(rename = "late_conns")]
    pub late: u64,
    /// See [`Snapshot`](crate::stats::Snapshot).
    pub told_close: u64,
    /// See [`Snapshot`](crate::stats::Snapshot).
    pub idle_closed: u64,
    /// See [`Snapshot`](crate::stats::Snapshot).
    #[serde(rename = "rejected_503")]
    pub rejected: u64,
    /// See [`Snapshot`](crate::stats::Snapshot).
    pub cut: u64,
    /// See [`Snapshot`](crate::stats::Snapshot).
    #[serde(rename = "unacked_bytes")]
    pub unsent: u64,
    /// Connections that were the app's own and still open at the end.
    pub hijacked: u64,
    /// The exit status.
    #[serde(rename = "exit")]
    pub status: i32,
}

fn in_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e3).round() / 1e3)
}

fn in_seconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => in_seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drain: done in {:.1}s (delay {:.1}s", self.took.as_secs_f64(), self.delay.as_secs_f64())?;
        if let Some(budget) = self.plan.budget {
            write!(f, ", budget {:.1}s", budget.as_secs_f64())?;
        }
        write!(f, ") new_conns={} requests={} last_new_conn=", self.connections, self.requests)?;
        match self.last_connection {
            Some(at) => write!(f, "{:.1}s", at.as_secs_f64())?,
            None => f.write_str("none")?,
        }
        write!(
            f,
            " late_conns={} told_close={} idle_closed={} rejected_503={} cut={} unacked_bytes={} hijacked={} exit={}",
            self.late,
            self.told_close,
            self.idle_closed,
            self.rejected,
            self.cut,
            self.unsent,
            self.hijacked,
            self.status
        )?;
        match self.last_connection {
            Some(last) if !self.delay.is_zero() => self.hint(f, last),
            _ => Ok(()),
        }
    }
}

impl Summary {
    /// What the drain has shown about this cluster.
    fn hint(&self, f: &mut fmt::Formatter<'_>, last: Duration) -> fmt::Result {
        let (last, served) = (last.as_secs_f64(), self.delay.as_secs_f64());
        let planned = self.plan.drain_delay.as_secs_f64();
        write!(f, "; hint: connections came until {last:.1}s, ")?;
        if self.delay < self.plan.drain_delay {
            write!(f, "and the drain ended after {served:.1}s of its {planned:.1}s")
        } else if self.late > 0 {
            write!(f, "so a drain_delay of {planned:.1}s is too short")
        } else {
            write!(f, "so a drain_delay of {planned:.1}s leaves {:.1}s", planned - last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_which_delay_this_cluster_needs() {
        let s = Duration::from_secs;
        let plan = Plan { drain_delay: s(10), shutdown_timeout: s(18), budget: Some(s(28)), drain_until_quiet: false };
        let summary = Summary {
            took: Duration::from_millis(11_200),
            plan,
            delay: s(10),
            connections: 431,
            requests: 2210,
            last_connection: Some(Duration::from_millis(3_400)),
            late: 0,
            told_close: 118,
            idle_closed: 9,
            rejected: 0,
            cut: 0,
            unsent: 0,
            hijacked: 0,
            status: 0,
        };
        assert_eq!(
            summary.to_string(),
            "drain: done in 11.2s (delay 10.0s, budget 28.0s) new_conns=431 requests=2210 last_new_conn=3.4s late_conns=0 told_close=118 \
             idle_closed=9 rejected_503=0 cut=0 unacked_bytes=0 hijacked=0 exit=0; hint: connections came until 3.4s, so a drain_delay of \
             10.0s leaves 6.6s"
        );
        let late = Summary { last_connection: Some(s(9)), late: 1, ..summary };
        assert!(late.to_string().ends_with("so a drain_delay of 10.0s is too short"));
        let early = Summary { delay: s(4), ..summary };
        assert!(
            early.to_string().ends_with("connections came until 3.4s, and the drain ended after 4.0s of its 10.0s")
        );
    }
}
