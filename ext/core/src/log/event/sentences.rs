//! The sentence of each event, a short one with its numbers.

use std::{fmt, net::IpAddr, time::Duration};

use super::LogEvent;
use crate::{
    lifecycle::{Cause, Phase, Signal, plan::Plan},
    stats::Snapshot,
};

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
            Self::Ready { addresses, admin, workers, max_threads, plan } => {
                ready(f, addresses, *admin, (*workers, *max_threads), plan)
            }
            Self::Clamped(clamped) => clamped.fmt(f),
            Self::Entered { phase, cause, now, lasts } => entered(f, *phase, *cause, now, *lasts),
            Self::ListenersClosed { took, late, lossless } => listeners_closed(f, *took, *late, *lossless),
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
            Self::Crowded { limit, gives_way } => crowded(f, *limit, *gives_way),
            Self::FewConnections { max_threads, limit } => write!(
                f,
                "there may be {} (max_connections; its default follows from ulimit -n), so that not all of the {max_threads} \
                 threads of max_threads can have a request",
                count(*limit, "connection", "connections"),
            ),
            Self::QueueFull { max_queue, more } => write!(
                f,
                "answered a request with 503: {} for a thread already, and max_queue allows no more{}",
                count(*max_queue as u64, "request waits", "requests wait"),
                repeated(*more)
            ),
            Self::QueueTimeout { queue_timeout, more } => write!(
                f,
                "answered a request with 503: it waited for {} (queue_timeout) and no thread could take it{}",
                seconds(*queue_timeout),
                repeated(*more)
            ),
            Self::SpillFailed { directory, error, cut, more } => write!(
                f,
                "{}: buffer_limit is used up, and what slow clients leave of their responses cannot be written to a file in {}: {error}{}",
                if *cut { "a response was cut" } else { "memory beyond buffer_limit is used" },
                directory.display(),
                repeated(*more)
            ),
            Self::DrainAsked { by } => write!(f, "asked to drain by {by}"),
            Self::DrainRefused { by, reason } => write!(f, "refused to drain for {by}: {reason}"),
            Self::CommandAsked { command, by } => write!(f, "command {command} from {by}"),
            Self::CommandRefused { command, by, reason } => {
                write!(f, "refused the command {command} of {by}: {reason}")
            }
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
            Self::Flooded { source, how, more } => {
                write!(f, "the HTTP/2 connection of a client at {} was ended: {how}{}", place(*source), repeated(*more))
            }
            Self::HandshakeFailed { source, why, more } => {
                write!(f, "no TLS connection with a client at {}: {why}{}", place(*source), repeated(*more))
            }
            Self::ProxyRefused { source, why, more } => {
                write!(f, "refused a connection from {}: {why}{}", place(*source), repeated(*more))
            }
            Self::CertificatesReloaded { address, certificates } => {
                write!(f, "{address} has new certificates: {certificates}")
            }
            Self::CertificatesRefused { address, why } => {
                write!(f, "{address} keeps its certificates, as the new ones cannot be used: {why}")
            }
            Self::CertificateWarning { address, warning } => write!(f, "{address}: {warning}"),
            Self::CertificateEnds { address, name, concern } => {
                write!(f, "the certificate for {name} of {address} {concern}")
            }
            Self::DevelopmentCertificate { address, authority } => write!(
                f,
                "{address} shows a certificate for localhost, for development alone; to have it accepted trust {} (curl --cacert, \
                 or once for all programs as docs/tls.md says)",
                authority.display()
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
                wrong_length(f, [method, path], [*declared, *actual], *unsaid)
            }
            Self::Unsendable { why, more } => write!(
                f,
                "the app has hijacked a stream of HTTP/2, and what it wrote there cannot be sent: {why}{}",
                repeated(*more)
            ),
            Self::Stuck { method, path, held } => write!(
                f,
                "{method} {path}: the app has had it for {}, and its thread does not come back although it was interrupted \
                 (request_timeout); it serves nothing else until it does",
                seconds(*held)
            ),
            Self::Unmoved(Signal::Hup, _) => f.write_str("SIGHUP: ignored, the server is stopping already"),
            Self::Unmoved(signal, Phase::Draining { .. }) => {
                write!(f, "{signal}: the drain goes on as planned; one more signal ends the delay")
            }
            Self::Unmoved(signal, _) => {
                write!(f, "{signal}: still finishing what is in flight; one more signal cuts it")
            }
            Self::Summary(summary) => summary.fmt(f),
            Self::Overdue { status, phase } => overdue(f, *status, *phase),
        }
    }
}

fn ready(
    f: &mut fmt::Formatter<'_>,
    addresses: &[String],
    admin: Option<&str>,
    (workers, max_threads): (Option<usize>, usize),
    plan: &Plan,
) -> fmt::Result {
    write!(f, "ready on {} (", addresses.join(", "))?;
    if let Some(admin) = admin {
        write!(f, "probes on {admin}; ")?;
    }
    if let Some(workers) = workers {
        write!(f, "{}, each with ", count(workers as u64, "worker", "workers"))?;
    }
    write!(
        f,
        "up to {}; on SIGTERM {} of drain delay, then {} to finish)",
        count(max_threads as u64, "thread", "threads"),
        seconds(plan.drain_delay),
        seconds(plan.shutdown_timeout)
    )
}

fn listeners_closed(f: &mut fmt::Formatter<'_>, took: Duration, late: u64, lossless: bool) -> fmt::Result {
    let late = count(late, "connection", "connections");
    write!(f, "listeners closed: took {}, {late} came out of the accept queues", seconds(took))?;
    if lossless {
        Ok(())
    } else {
        f.write_str("; handshakes under way may have been refused (no SO_BINDTOIFINDEX here)")
    }
}

fn crowded(f: &mut fmt::Formatter<'_>, limit: u64, gives_way: bool) -> fmt::Result {
    write!(f, "all {limit} connections that there may be are open: ")?;
    f.write_str(if gives_way {
        "for each new one, the one that has been silent longest is closed"
    } else {
        "none of them is silent, and new ones wait until one ends"
    })?;
    f.write_str(" (max_connections; its default follows from ulimit -n)")
}

fn wrong_length(
    f: &mut fmt::Formatter<'_>,
    [method, path]: [&str; 2],
    [declared, actual]: [u64; 2],
    unsaid: u64,
) -> fmt::Result {
    let fate = if actual < declared { "it was cut" } else { "the rest was left out" };
    write!(f, "{method} {path}: the app's content-length is {declared}, but its body has {actual} bytes: {fate}")?;
    if unsaid > 0 {
        write!(f, " ({unsaid} more such responses since the last line about one)")?;
    }
    Ok(())
}

fn overdue(f: &mut fmt::Formatter<'_>, status: i32, phase: Phase) -> fmt::Result {
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
        Phase::Retiring { .. } => {
            write!(f, "leaving: {cause}; up to {lasts} to finish ({connections} open, {requests})")
        }
        Phase::Closing { .. } => {
            write!(f, "closing: {cause}; nothing new, up to {lasts} to finish ({connections} open, {requests})")?;
            // A developer in front of a terminal may not want to wait.
            if cause == Cause::Signal(Signal::Int) { f.write_str("; Ctrl-C again cuts what is left") } else { Ok(()) }
        }
        Phase::Forcing { .. } => write!(f, "forcing: {cause}; cutting what is left ({connections} open, {requests})"),
        Phase::Stopped { .. } | Phase::Booting | Phase::Ready => write!(f, "{}: {cause}", phase.name()),
    }
}

fn place(source: Option<IpAddr>) -> String {
    source.map_or_else(|| "a Unix socket".into(), |ip| ip.to_string())
}
