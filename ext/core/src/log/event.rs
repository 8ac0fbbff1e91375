//! What the server tells its operator: each event is one line, a short sentence with its numbers.

use std::{fmt, io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use crate::{
    lifecycle::{
        Cause, Phase, Signal,
        plan::{Clamped, Plan},
    },
    log::summary::{LateComers, Summary},
    stats::Snapshot,
};

/// Hears what the server has to say, on the I/O thread or a worker: it must not block.
pub type Observer = Arc<dyn Fn(&LogEvent<'_>) + Send + Sync>;

/// Something worth a line in the log.
#[derive(Debug)]
pub enum LogEvent<'a> {
    /// The server accepts and serves.
    Ready {
        /// What it listens on, as URLs.
        addresses: &'a [String],
        /// Where the probes are answered.
        admin: Option<&'a str>,
        /// How many requests the app may run at a time.
        max_workers: usize,
        /// What will happen on SIGTERM.
        plan: Plan,
    },
    /// The shutdown plan had to be cut to fit the platform's grace period.
    Clamped(Clamped),
    /// A phase was entered.
    Entered {
        /// Which.
        phase: Phase,
        /// Why.
        cause: Cause,
        /// The counters at that moment.
        now: Snapshot,
        /// How long the new phase may last.
        lasts: Option<Duration>,
    },
    /// No new connection comes in any more.
    ListenersClosed {
        /// From the beginning of the close.
        took: Duration,
        /// Connections that were still in the accept queues or under way.
        late: u64,
        /// Whether the kernel could refuse new connections and keep those under way.
        lossless: bool,
    },
    /// The drain delay is over and new connections still come, so it goes on.
    Extended {
        /// How long ago the last of them came.
        ago: Duration,
        /// From where; `None` for a Unix socket.
        source: Option<IpAddr>,
    },
    /// Connections came at the end of the drain delay or after it.
    Late(LateComers),
    /// Connections cannot be accepted for now.
    AcceptFailing(&'a io::Error),
    /// Connections are accepted again.
    AcceptRecovered,
    /// As many connections are open as may be.
    Crowded {
        /// How many.
        limit: u64,
        /// The one that has been silent longest is closed for the new one; otherwise none is silent, and the new one waits.
        gives_way: bool,
    },
    /// What a slow reader left of a response could not be written to a file, and memory has no room for it.
    SpillFailed {
        /// Where the file was to be.
        directory: &'a Path,
        /// Why it could not.
        error: &'a io::Error,
        /// The response was cut; otherwise it stays in memory.
        cut: bool,
    },
    /// A client of the admin address asks for a drain, and may.
    DrainAsked {
        /// Its address.
        by: &'a str,
    },
    /// A client of the admin address asks for a drain, and may not.
    DrainRefused {
        /// Its address.
        by: &'a str,
        /// A sentence for both sides.
        reason: &'a str,
    },
    /// Request bodies cannot be written to temporary files.
    SpoolFailing {
        /// Why.
        error: &'a io::Error,
        /// Where they would be.
        directory: &'a Path,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// A client speaks TLS to an address that has none.
    TlsOnPlain {
        /// From where; `None` for a Unix socket.
        source: Option<IpAddr>,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// The liveness probe fails: requests wait, and nothing runs the app.
    Unattended {
        /// For how long.
        silence: Duration,
        /// How many requests.
        waiting: usize,
        /// Workers there are.
        workers: usize,
        /// How many of them sleep.
        idle: usize,
    },
    /// So many lines of this log were lost.
    LinesLost(u64),
    /// The app's response is not as long as its head says.
    WrongLength {
        /// The request's method.
        method: &'a str,
        /// The request's path, without control characters.
        path: &'a str,
        /// What the head says, in bytes.
        declared: u64,
        /// How long the body is, in bytes.
        actual: u64,
        /// How many more there have been since the last line of this kind.
        unsaid: u64,
    },
    /// A signal changed nothing.
    Unmoved(Signal, Phase),
    /// The drain is over.
    Summary(Summary),
    /// The interpreter has not ended the process in time, so that the server does, with this status.
    Overdue {
        /// The exit status.
        status: i32,
        /// Where the server was in its life.
        phase: Phase,
    },
}

impl LogEvent<'_> {
    /// What has happened, in one word for machines.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::Clamped(_) => "clamped",
            Self::Entered { phase, .. } => phase.name(),
            Self::ListenersClosed { .. } => "listeners_closed",
            Self::Extended { .. } => "extended",
            Self::Late(_) => "late",
            Self::AcceptFailing(_) => "accept_failing",
            Self::AcceptRecovered => "accept_recovered",
            Self::Crowded { .. } => "crowded",
            Self::SpillFailed { .. } => "spill_failed",
            Self::DrainAsked { .. } => "drain_asked",
            Self::DrainRefused { .. } => "drain_refused",
            Self::SpoolFailing { .. } => "spool_failing",
            Self::TlsOnPlain { .. } => "tls_on_plain",
            Self::Unattended { .. } => "unattended",
            Self::LinesLost(_) => "lines_lost",
            Self::WrongLength { .. } => "wrong_length",
            Self::Unmoved(..) => "unmoved",
            Self::Summary(_) => "drained",
            Self::Overdue { .. } => "overdue",
        }
    }

    /// Whether the operator should look into it.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Clamped(_)
            | Self::Extended { .. }
            | Self::Late(_)
            | Self::AcceptFailing(_)
            | Self::Crowded { .. }
            | Self::SpillFailed { .. }
            | Self::DrainRefused { .. }
            | Self::SpoolFailing { .. }
            | Self::Unattended { .. }
            | Self::LinesLost(_)
            | Self::WrongLength { .. }
            | Self::Overdue { .. } => true,
            Self::Entered { phase, .. } => phase.is_forced(),
            Self::ListenersClosed { lossless, .. } => !lossless,
            Self::Summary(summary) => summary.status != 0,
            Self::Ready { .. }
            | Self::AcceptRecovered
            | Self::DrainAsked { .. }
            | Self::TlsOnPlain { .. }
            | Self::Unmoved(..) => false,
        }
    }
}

fn repeated(more: u64) -> String {
    if more == 0 { String::new() } else { format!(" ({more} more since the last such line)") }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl fmt::Display for LogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { addresses, admin, max_workers, plan } => {
                write!(f, "ready on {} (", addresses.join(", "))?;
                if let Some(admin) = admin {
                    write!(f, "probes on {admin}; ")?;
                }
                write!(
                    f,
                    "up to {}; on SIGTERM {} of drain delay, then {} to finish)",
                    count(*max_workers as u64, "thread", "threads"),
                    seconds(plan.drain_delay),
                    seconds(plan.shutdown_timeout)
                )
            }
            Self::Clamped(clamped) => clamped.fmt(f),
            Self::Entered { phase, cause, now, lasts } => entered(f, *phase, *cause, now, *lasts),
            Self::ListenersClosed { took, late, lossless } => {
                let late = count(*late, "connection", "connections");
                write!(f, "listeners closed: took {}, {late} came out of the accept queues", seconds(*took))?;
                if *lossless {
                    Ok(())
                } else {
                    f.write_str("; handshakes under way may have been refused (no SO_BINDTOIFINDEX here)")
                }
            }
            Self::Extended { ago, source } => {
                write!(
                    f,
                    "draining on: the drain delay is over and new connections still come, the last {} ago from {}",
                    seconds(*ago),
                    place(*source)
                )
            }
            Self::Late(late) => write!(
                f,
                "late: {} came at the end of the drain delay, the last {} after the signal from {}: requests are still \
                 routed here, so drain_delay is too short or this server was not taken out of service",
                count(late.connections, "connection", "connections"),
                seconds(late.after),
                place(late.source)
            ),
            Self::AcceptFailing(error) => write!(f, "cannot accept connections for now, trying again: {error}"),
            Self::AcceptRecovered => f.write_str("accepting connections again"),
            Self::Crowded { limit, gives_way } => {
                write!(f, "all {limit} connections that there may be are open: ")?;
                f.write_str(if *gives_way {
                    "for each new one, the one that has been silent longest is closed"
                } else {
                    "none of them is silent, and new ones wait until one ends"
                })?;
                f.write_str(" (max_connections; its default follows from ulimit -n)")
            }
            Self::SpillFailed { directory, error, cut } => write!(
                f,
                "{}: buffer_limit is used up, and what slow clients leave of their responses cannot be written to a file in {}: {error}",
                if *cut { "a response was cut" } else { "memory beyond buffer_limit is used" },
                directory.display()
            ),
            Self::DrainAsked { by } => write!(f, "asked to drain by {by}"),
            Self::DrainRefused { by, reason } => write!(f, "refused to drain for {by}: {reason}"),
            Self::SpoolFailing { error, directory, more } => {
                write!(
                    f,
                    "cannot keep request bodies in {}: {error}; large uploads are answered with 507 until there is room, or \
                     spool_directory (TMPDIR unless it is set) names a directory that can be written to{}",
                    directory.display(),
                    repeated(*more)
                )
            }
            Self::TlsOnPlain { source, more } => write!(
                f,
                "a client at {} began a TLS handshake, and this address speaks plain HTTP: is this https?{}",
                place(*source),
                repeated(*more)
            ),
            Self::Unattended { silence, waiting, workers, idle } => write!(
                f,
                "/livez fails: {} waited for up to {} and no thread is in the app ({}, {idle} asleep)",
                count(*waiting as u64, "request has", "requests have"),
                seconds(*silence),
                count(*workers as u64, "thread", "threads"),
            ),
            Self::LinesLost(lost) => {
                write!(f, "{} of this log could not be written, or not fast enough", count(*lost, "line", "lines"))
            }
            Self::WrongLength { method, path, declared, actual, unsaid } => {
                let fate = if actual < declared { "it was cut" } else { "the rest was left out" };
                write!(
                    f,
                    "{method} {path}: the app's content-length is {declared}, but its body has {actual} bytes: {fate}"
                )?;
                if *unsaid > 0 {
                    write!(f, " ({unsaid} more such responses since the last line about one)")?;
                }
                Ok(())
            }
            Self::Unmoved(Signal::Hup, _) => f.write_str("SIGHUP: ignored, the server is stopping already"),
            Self::Unmoved(signal, Phase::Draining { .. }) => {
                write!(f, "{signal}: the drain goes on as planned; one more signal ends the delay")
            }
            Self::Unmoved(signal, _) => {
                write!(f, "{signal}: still finishing what is in flight; one more signal cuts it")
            }
            Self::Summary(summary) => summary.fmt(f),
            Self::Overdue { status, phase } => {
                write!(f, "exiting with {status} now: ")?;
                f.write_str(match phase {
                    Phase::Booting => {
                        "told to end before it was ready, and Ruby has not ended the process in time (a thread that holds the \
                         GVL while the app is loaded)"
                    }
                    Phase::Stopped { .. } => {
                        "the server has stopped, and Ruby has not ended the process in time (a thread that holds the GVL, or an \
                         at_exit block that does not return)"
                    }
                    _ => "the time is over, and the server has not stopped",
                })
            }
        }
    }
}

fn entered(
    f: &mut fmt::Formatter<'_>,
    phase: Phase,
    cause: Cause,
    now: &Snapshot,
    lasts: Option<Duration>,
) -> fmt::Result {
    let connections = count(now.connections, "connection", "connections");
    let mut requests = count(now.in_flight, "request", "requests");
    requests.push_str(" in flight");
    if now.hijacked > 0 {
        requests.push_str(&format!(", {} of the app's own", now.hijacked));
    }
    let lasts = seconds(lasts.unwrap_or_default());
    match phase {
        Phase::Draining { .. } => {
            write!(f, "draining: {cause}; serving everything new for {lasts} ({connections} open, {requests})")
        }
        Phase::Closing { .. } => {
            write!(f, "closing: {cause}; nothing new, up to {lasts} to finish ({connections} open, {requests})")
        }
        Phase::Forcing { .. } => write!(f, "forcing: {cause}; cutting what is left ({connections} open, {requests})"),
        Phase::Stopped { .. } | Phase::Booting | Phase::Ready => write!(f, "{}: {cause}", phase.name()),
    }
}

fn place(source: Option<IpAddr>) -> String {
    source.map_or_else(|| "a Unix socket".into(), |ip| ip.to_string())
}
