//! What the server tells its operator: each event is one line, and its sentence is in `sentences`.

mod sentences;

use std::{io, net::IpAddr, path::Path, sync::Arc, time::Duration};

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
        /// How many processes serve; `None` where it is this one.
        workers: Option<usize>,
        /// How many requests the app may run at a time in each process.
        max_threads: usize,
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
    /// The app may run more requests at a time than there may be connections.
    FewConnections {
        /// How many requests.
        max_threads: usize,
        /// How many connections.
        limit: u64,
    },
    /// A request was answered with 503, because as many wait for a thread as may.
    QueueFull {
        /// How many.
        max_queue: usize,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// A request was answered with 503, because no thread was there for it in time.
    QueueTimeout {
        /// For how long it may wait.
        queue_timeout: Duration,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// What a slow reader left of a response could not be written to a file, and memory has no room for it.
    SpillFailed {
        /// Where the file was to be.
        directory: &'a Path,
        /// Why it could not.
        error: &'a io::Error,
        /// The response was cut; otherwise it stays in memory.
        cut: bool,
        /// How often that has happened since it was told last.
        more: u64,
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
    /// A client of the admin address gives a command, and may.
    CommandAsked {
        /// As in its path.
        command: &'a str,
        /// The client's address.
        by: &'a str,
    },
    /// A client of the admin address gives a command, and may not.
    CommandRefused {
        /// As in its path.
        command: &'a str,
        /// The client's address.
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
    /// A connection of HTTP/2 was ended, because its client made the server work for nothing.
    Flooded {
        /// From where; `None` for a Unix socket.
        source: Option<IpAddr>,
        /// What the client did: the end of a sentence about it.
        how: &'a str,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// A client cannot open an encrypted connection.
    HandshakeFailed {
        /// From where; `None` for a Unix socket.
        source: Option<IpAddr>,
        /// A sentence about the client.
        why: &'a str,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// A connection was refused on an address where connections begin with what a proxy says of them.
    ProxyRefused {
        /// From where; `None` for a Unix socket.
        source: Option<IpAddr>,
        /// A sentence about the connection.
        why: &'static str,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// The files of an address's certificates have changed, and new connections get these.
    CertificatesReloaded {
        /// The address.
        address: &'a str,
        /// What is in them now: their names, and until when they are valid.
        certificates: &'a str,
    },
    /// They have changed, and cannot be used.
    CertificatesRefused {
        /// The address.
        address: &'a str,
        /// A sentence with the name of the file.
        why: &'a str,
    },
    /// Something about the certificates of an address is not as it should be.
    CertificateWarning {
        /// The address.
        address: &'a str,
        /// A sentence.
        warning: &'a str,
    },
    /// A certificate has expired, is not valid yet or expires soon.
    CertificateEnds {
        /// The address.
        address: &'a str,
        /// A name that it is for.
        name: &'a str,
        /// What is so, as a clause.
        concern: &'a str,
    },
    /// An address shows a certificate that this machine has made for itself.
    DevelopmentCertificate {
        /// The address.
        address: &'a str,
        /// The file of the authority that has signed it.
        authority: &'a Path,
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
    /// An app has hijacked a stream of HTTP/2, and what it wrote there cannot be sent.
    Unsendable {
        /// Why not: the end of a sentence about it.
        why: &'a str,
        /// How often that has happened since it was told last.
        more: u64,
    },
    /// A request has exceeded `request_timeout`, and its thread does not come back from the app.
    Stuck {
        /// The request's method.
        method: &'a str,
        /// The request's path.
        path: &'a str,
        /// For how long the app has had it.
        held: Duration,
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
            Self::FewConnections { .. } => "few_connections",
            Self::QueueFull { .. } => "queue_full",
            Self::QueueTimeout { .. } => "queue_timeout",
            Self::SpillFailed { .. } => "spill_failed",
            Self::DrainAsked { .. } => "drain_asked",
            Self::DrainRefused { .. } => "drain_refused",
            Self::CommandAsked { .. } => "command_asked",
            Self::CommandRefused { .. } => "command_refused",
            Self::SpoolFailing { .. } => "spool_failing",
            Self::TlsOnPlain { .. } => "tls_on_plain",
            Self::Flooded { .. } => "flooded",
            Self::HandshakeFailed { .. } => "handshake_failed",
            Self::ProxyRefused { .. } => "proxy_refused",
            Self::CertificatesReloaded { .. } => "certificates_reloaded",
            Self::CertificatesRefused { .. } => "certificates_refused",
            Self::CertificateWarning { .. } => "certificate_warning",
            Self::CertificateEnds { .. } => "certificate_ends",
            Self::DevelopmentCertificate { .. } => "development_certificate",
            Self::Unattended { .. } => "unattended",
            Self::LinesLost(_) => "lines_lost",
            Self::WrongLength { .. } => "wrong_length",
            Self::Unsendable { .. } => "unsendable",
            Self::Stuck { .. } => "stuck",
            Self::Unmoved(..) => "unmoved",
            Self::Summary(_) => "drained",
            Self::Overdue { .. } => "overdue",
        }
    }

    /// Whether the operator should look into it.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Clamped(_)
            | Self::CertificatesRefused { .. }
            | Self::CertificateWarning { .. }
            | Self::CertificateEnds { .. }
            | Self::Extended { .. }
            | Self::Late(_)
            | Self::AcceptFailing(_)
            | Self::Crowded { .. }
            | Self::FewConnections { .. }
            | Self::QueueFull { .. }
            | Self::QueueTimeout { .. }
            | Self::SpillFailed { .. }
            | Self::DrainRefused { .. }
            | Self::CommandRefused { .. }
            | Self::SpoolFailing { .. }
            | Self::Flooded { .. }
            | Self::Unattended { .. }
            | Self::LinesLost(_)
            | Self::WrongLength { .. }
            | Self::Unsendable { .. }
            | Self::Stuck { .. }
            | Self::Overdue { .. } => true,
            Self::Entered { phase, .. } => phase.is_forced(),
            Self::ListenersClosed { lossless, .. } => !lossless,
            Self::Summary(summary) => summary.status != 0,
            Self::Ready { .. }
            | Self::CertificatesReloaded { .. }
            | Self::DevelopmentCertificate { .. }
            | Self::AcceptRecovered
            | Self::DrainAsked { .. }
            | Self::CommandAsked { .. }
            | Self::TlsOnPlain { .. }
            | Self::HandshakeFailed { .. }
            | Self::ProxyRefused { .. }
            | Self::Unmoved(..) => false,
        }
    }
}
