//! What the server counts while it runs: one line of the table below declares each counter. Counters only grow; gauges go up and
//! down through their guards. They are for people and their tools: nothing that the server does is decided by a counter. The connection limit goes by two
//! gauges, because their guards are what an open connection is.

pub(crate) mod certificates;
pub(crate) mod counter;
pub(crate) mod figures;
pub(crate) mod flood;
pub(crate) mod gc;
pub(crate) mod handshakes;
pub(crate) mod histogram;
pub(crate) mod proxied;
pub(crate) mod refused;
pub(crate) mod requests;

use std::{ops::Deref, sync::Arc, time::Duration};

pub use self::gc::GcFigures;
use self::{
    certificates::CertificateReload,
    counter::{Counter, Counts, Gauge, Shows, adds_up, labels},
    flood::Flood,
    gc::GcCells,
    handshakes::Handshake,
    proxied::ProxyRefused,
    refused::Refused,
};
pub(crate) use self::{
    counter::{AddUp, Family, Label, Of, Values},
    histogram::Distribution,
    requests::{Ending, MethodClass, Requests, Times},
};
use crate::{lifecycle::Signal, sys::shared_memory::atomics_only};

/// Where in `/metrics` a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Requests,
    Pool,
    Connections,
    Drain,
}

/// Whether `/stats` has a counter as well, under the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    MetricsOnly,
    StatsToo,
}

/// A counter as the reports show it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The name of its field.
    pub(crate) name: &'static str,
    pub(crate) section: Section,
    pub(crate) place: Place,
    /// The metric, to which the encoder adds `_total`.
    pub(crate) metric: &'static str,
    pub(crate) help: &'static str,
    pub(crate) values: Values,
}

/// Makes [`Stats`], [`Snapshot`] and [`Stats::shown`] of the table.
macro_rules! declare {
    (
        apart { $($apart:ident: $kind:ty, $meaning:literal;)* }
        shown { $($field:ident: $type:ty, $section:ident, $place:ident, $metric:literal, $help:literal;)* }
    ) => {
        /// A server's counters: atomics only, so that they may lie in memory that the workers of a cluster share.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($apart: $kind,)*
            $(#[doc = $help] pub(crate) $field: $type,)*
            by_kind: Requests,
            gc: GcCells,
        }

        atomics_only!(Stats { $($apart,)* $($field,)* by_kind, gc });
        adds_up!(Stats { $($apart,)* $($field,)* by_kind, gc });

        /// The counters at one moment, or what was counted between two.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $(#[doc = $meaning] pub $apart: u64,)*
            $(#[doc = $help] pub $field: u64,)*
        }

        impl Stats {
            /// The counters as they stand; of a family the sum.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($apart: self.$apart.total(),)* $($field: self.$field.total(),)* }
            }

            /// What each metric says that a line of the table declares.
            pub(crate) fn shown(&self) -> Vec<Shown> {
                vec![$(Shown {
                    name: stringify!($field),
                    section: Section::$section,
                    place: Place::$place,
                    metric: $metric,
                    help: $help,
                    values: self.$field.values(),
                },)*]
            }
        }

        impl Snapshot {
            /// What was counted since `before`; gauges are as they are now.
            pub(crate) fn since(&self, before: &Self) -> Self {
                Self {
                    $($apart: <$kind>::between(before.$apart, self.$apart),)*
                    $($field: <$type>::between(before.$field, self.$field),)*
                }
            }
        }
    };
}

declare! {
    // What the reports show in a form of its own.
    apart {
        connections: Gauge, "Connections open now";
        hijacked: Gauge, "Connections that are the app's own now";
        in_flight: Gauge, "Requests not answered to the end yet";
        requests: Counter, "Requests whose head was read";
    }
    // Everything else: field, section and place in the reports, metric, help. docs/metrics.md says what each is for.
    shown {
        accepted: Counter, Connections, StatsToo, "tidegate_connections_accepted",
            "Connections accepted";
        shed: Family<Shed>, Requests, StatsToo, "tidegate_requests_shed",
            "Requests answered with 503 by the server itself, by reason";
        refused: Family<Refused>, Requests, MetricsOnly, "tidegate_requests_refused",
            "Requests, and what passed for requests, that the server refused itself, by reason";
        client_gone: Counter, Requests, StatsToo, "tidegate_requests_client_gone",
            "Requests dropped from the queue because their client had gone";
        cut: Counter, Requests, StatsToo, "tidegate_requests_cut",
            "Requests ended by force, without a whole response";
        timed_out: Counter, Requests, MetricsOnly, "tidegate_requests_timed_out",
            "Requests that the app had for longer than request_timeout";
        stuck: Counter, Requests, MetricsOnly, "tidegate_requests_stuck",
            "Requests of these whose threads did not come back when they were interrupted";
        response_body_bytes: Counter, Requests, MetricsOnly, "tidegate_response_body_bytes",
            "Bytes of response bodies, of requests that are over";
        gave_way: Counter, Connections, MetricsOnly, "tidegate_connections_gave_way",
            "Connections without a whole request closed because new ones needed their places";
        too_slow: Counter, Connections, MetricsOnly, "tidegate_responses_too_slow",
            "Responses cut because their clients took them too slowly, or not at all";
        proxy_refused: Family<ProxyRefused>, Connections, MetricsOnly, "tidegate_proxy_protocol_refused",
            "Connections refused because of the PROXY protocol, by reason";
        lingered: Counter, Connections, MetricsOnly, "tidegate_connections_lingered",
            "Connections closed without the client's end, which did not come within lingering_timeout";
        unacked_bytes: Counter, Connections, MetricsOnly, "tidegate_unacked_bytes",
            "Bytes of responses that their clients had not confirmed when the server gave them up, in a drain";
        certificate_reloads: Family<CertificateReload>, Connections, MetricsOnly, "tidegate_tls_certificate_reloads",
            "Certificates that were found changed, by what came of it; each worker counts its own";
        handshakes: Family<Handshake>, Connections, MetricsOnly, "tidegate_tls_handshakes",
            "TLS handshakes, by how they ended";
        accept_wakeups: Counter, Connections, MetricsOnly, "tidegate_accept_wakeups",
            "Times that a new connection woke this worker of a cluster, whether it was there to accept or not";
        handed_over: Counter, Connections, MetricsOnly, "tidegate_connections_handed_over",
            "Connections that a worker has handed over to a sibling";
        taken_over: Counter, Connections, MetricsOnly, "tidegate_connections_taken_over",
            "Connections that a worker has taken over from a sibling";
        http2_connections: Counter, Connections, MetricsOnly, "tidegate_http2_connections",
            "Connections that have spoken HTTP/2";
        http2_streams: Counter, Connections, MetricsOnly, "tidegate_http2_streams",
            "Streams that clients have opened on connections of HTTP/2";
        http2_resets: Family<By>, Connections, MetricsOnly, "tidegate_http2_resets",
            "Streams that were reset, by the side that did it";
        http2_goaways: Counter, Connections, MetricsOnly, "tidegate_http2_goaways",
            "Connections of HTTP/2 whose clients were told to open no more streams";
        http2_floods: Family<Flood>, Connections, MetricsOnly, "tidegate_http2_floods",
            "Connections of HTTP/2 that were ended because their client sent too much that is of no use, by what that was";
        signals: Family<Signal>, Drain, MetricsOnly, "tidegate_signals",
            "Signals that the server has heard";
        told_close: Counter, Drain, StatsToo, "tidegate_told_close",
            "Responses that told the client to close, in a drain";
        idle_closed: Counter, Drain, StatsToo, "tidegate_idle_closed",
            "Idle connections closed, in a drain";
        stalls: Counter, Pool, StatsToo, "tidegate_stalls",
            "Times that one more request was let in beside one that computed for long";
        yields: Counter, Pool, StatsToo, "tidegate_yields",
            "Times that a thread let others in the app go first";
        preemptions: Counter, Pool, StatsToo, "tidegate_preemptions",
            "Times that a thread that computed was asked to let others have the GVL";
    }
}

labels! {
    /// Why a request was answered with 503 in the app's place.
    pub(crate) enum Shed by "reason" {
        /// As many waited as may.
        QueueFull = "queue_full",
        /// It had waited for a worker for as long as may be.
        QueueTimeout = "queue_timeout",
        /// The server ends.
        Ending = "ending",
    }
}

labels! {
    /// Which side has done something.
    pub(crate) enum By by "by" {
        /// The client.
        Client = "client",
        /// The server.
        Server = "server",
    }
}

impl Label for Signal {
    const KEY: &'static str = "signal";
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        Signal::name(self)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The counters of a server, for everything that has something to count: the process's own, or those of a worker's place in the
/// memory that a cluster shares.
#[derive(Clone, Debug)]
pub enum SharedStats {
    /// Those of a server that is no worker of a cluster.
    Own(Arc<Stats>),
    /// Those of a worker.
    Mapped(&'static Stats),
}

impl Default for SharedStats {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl Deref for SharedStats {
    type Target = Stats;

    fn deref(&self) -> &Stats {
        match self {
            Self::Own(stats) => stats,
            Self::Mapped(stats) => stats,
        }
    }
}

impl SharedStats {
    pub(crate) fn connection_accepted(&self) -> OpenConnection {
        self.accepted.inc();
        self.connections.inc();
        OpenConnection(self.clone())
    }

    /// A connection has come from another worker, which has counted it as accepted.
    pub(crate) fn connection_taken_over(&self) -> OpenConnection {
        self.taken_over.inc();
        self.connections.inc();
        OpenConnection(self.clone())
    }

    pub(crate) fn connection_hijacked(&self) -> HijackedConnection {
        self.hijacked.inc();
        HijackedConnection(self.clone())
    }
}

impl Stats {
    /// Connections that hold a descriptor: the server's and the app's own.
    pub(crate) fn all_connections(&self) -> u64 {
        self.connections.get() + self.hijacked.get()
    }

    /// The requests by kind, and what took how long.
    pub(crate) fn by_kind(&self) -> &Requests {
        &self.by_kind
    }

    pub(crate) fn request_begun(&self) {
        self.requests.inc();
        self.in_flight.inc();
    }

    /// Requests not answered to the end yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get()
    }

    pub(crate) fn request_ended(&self, method: MethodClass, ending: Ending, took: Duration) {
        self.in_flight.dec();
        self.by_kind.ended(method, ending, took);
    }

    /// What the interpreter's collector has done.
    pub(crate) fn gc(&self) -> &GcCells {
        &self.gc
    }

    /// A worker has answered.
    pub(crate) fn answered(&self, times: &Times) {
        self.by_kind.answered(times);
    }
}

/// Counts a connection as open while it exists.
#[derive(Debug)]
pub(crate) struct OpenConnection(SharedStats);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// Counts a connection as the app's own while it exists.
#[derive(Debug)]
pub(crate) struct HijackedConnection(SharedStats);

impl Drop for HijackedConnection {
    fn drop(&mut self) {
        self.0.hijacked.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_moments_counters_differ_and_gauges_are_the_last() {
        let stats = SharedStats::default();
        let open = stats.connection_accepted();
        stats.shed.inc(Shed::QueueFull);
        let before = stats.snapshot();
        let _second = stats.connection_accepted();
        let _third = stats.connection_accepted();
        drop(open);
        stats.shed.inc(Shed::Ending);
        let since = stats.snapshot().since(&before);
        assert_eq!((since.accepted, since.shed, since.connections), (2, 1, 2));
    }

    #[test]
    fn every_counter_has_names_of_its_own_and_a_sentence() {
        let shown = Stats::default().shown();
        for (at, one) in shown.iter().enumerate() {
            assert!(one.metric.starts_with("tidegate_") && !one.metric.ends_with("_total"), "{}", one.metric);
            assert!(!one.help.is_empty() && !one.help.ends_with('.'), "{}", one.help);
            assert!(shown[..at].iter().all(|other| other.metric != one.metric && other.name != one.name));
        }
    }

    /// What each is for is written by hand, with all its labels; that it is there at all is checked here.
    #[test]
    fn every_counter_is_in_the_documentation_with_its_labels() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
        for Shown { metric, values, .. } in Stats::default().shown() {
            let (label, names) = match values {
                Values::One(_) => (String::new(), Vec::new()),
                Values::Labelled { key, counts } => (format!("{{{key}}}"), counts),
            };
            let start = format!("| `{metric}_total{label}` | counter |");
            let row = page.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no row that starts with {start}"));
            names.iter().for_each(|(name, _)| assert!(row.contains(&format!("`{name}`")), "{name} is not in {row}"));
        }
    }
}
