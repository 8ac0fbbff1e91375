//! The metrics as Prometheus reads them. Their names, labels and units are a promise to dashboards and alerts: docs/metrics.md
//! says what each is for, and tests see to it that the page and the documentation have the same.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet, prometheus_text, text},
    metrics::{MetricType, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::Report;
use crate::{
    lifecycle::Phase,
    stats::{Distribution, Section, Values},
    sync::now,
    sys::memory,
};

/// A server's phases, in their order.
pub(super) const PHASES: [&str; 6] = ["booting", "ready", "draining", "closing", "forcing", "stopped"];

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics and their content type: OpenMetrics for clients that ask for it, else Prometheus' own text.
pub(super) fn write(report: &Arc<Report>, accept: Option<&HeaderValue>) -> (String, &'static str) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(report.clone()));
    let mut text = String::with_capacity(16 * 1024);
    let asked = accept.and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|kind| kind.trim_start().starts_with("application/openmetrics-text"))
    });
    // Writing to a `String` cannot fail.
    if asked {
        let _ = text::encode(&mut text, &registry);
        (text, OPEN_METRICS)
    } else {
        let _ = prometheus_text::encode(&mut text, &registry);
        (text, prometheus_text::CONTENT_TYPE)
    }
}

impl Collector for Report {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.pool(&mut page)?;
        self.connections(&mut page)?;
        self.drain(&mut page)?;
        self.process(&mut page)
    }
}

impl Report {
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let kinds = self.stats.by_kind();
        page.counters(
            "tidegate_requests",
            "Requests that are over, by method and kind of status; none: no response",
            kinds.by_class().map(|(method, status, count)| ([("method", method), ("status", status)], count)),
        )?;
        page.histogram(
            "tidegate_request_duration",
            "From the head of a request to the end of its response",
            &kinds.duration(),
        )?;
        page.histogram("tidegate_queue_wait", "From a whole request to a thread for it", &kinds.queue_wait())?;
        page.histogram("tidegate_gvl_wait", "Waiting for the GVL inside the app, per request", &kinds.gvl_wait())?;
        page.histogram("tidegate_app_time", "From a thread taking a request to its response", &kinds.app())?;
        page.gauge("tidegate_requests_in_flight", "Requests not answered to the end yet", self.stats.in_flight())?;
        self.counted(page, Section::Requests)
    }

    fn pool(&self, page: &mut Page<'_>) -> fmt::Result {
        let tally = self.queue.tally();
        page.gauge("tidegate_queue_depth", "Requests that wait for a thread", self.queue.len() as u64)?;
        page.gauge("tidegate_queue_limit", "Requests that may wait for a thread", self.queue.max_queue() as u64)?;
        page.gauges(
            "tidegate_threads",
            "Ruby threads; active: want or have the GVL in the app, waiting: in the app without it, idle: not in the app",
            [("active", tally.active), ("waiting", tally.waiting), ("idle", tally.idle)]
                .map(|(state, count)| ([("state", state)], count as u64)),
        )?;
        page.gauge("tidegate_threads_limit", "Ruby threads that there may be", self.queue.max_threads() as u64)?;
        page.measure(
            "tidegate_unattended",
            "For how long requests have waited although no thread is in the app; 0 where none waits, or the app is busy",
            Unit::Seconds,
            &ConstGauge::new(self.queue.unattended(now()).as_secs_f64()),
        )?;
        self.counted(page, Section::Pool)
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let counted = self.stats.snapshot();
        page.gauges(
            "tidegate_connections",
            "Connections; open: the server's, hijacked: the app's own",
            [("open", counted.connections), ("hijacked", counted.hijacked)]
                .map(|(state, count)| ([("state", state)], count)),
        )?;
        page.gauge(
            "tidegate_connections_limit",
            "Connections that there may be",
            self.own.connections.max_connections(),
        )?;
        let bytes = |count: u64| ConstGauge::new(count);
        let budget = &self.own.bodies;
        page.measure(
            "tidegate_buffered",
            "Bodies of requests and responses in memory, those of up to 16 KiB not counted",
            Unit::Bytes,
            &bytes(budget.held()),
        )?;
        page.measure(
            "tidegate_buffer_limit",
            "Bodies that there may be in memory; 0: no limit",
            Unit::Bytes,
            &bytes(if budget.limit() == u64::MAX { 0 } else { budget.limit() }),
        )?;
        page.counter(
            "tidegate_spilled_bytes",
            "Bytes of bodies that went to a file because of that limit",
            budget.spilled(),
        )?;
        self.counted(page, Section::Connections)
    }

    fn drain(&self, page: &mut Page<'_>) -> fmt::Result {
        let drain = self.traffic.drain();
        let seconds = |duration: Duration| ConstGauge::new(duration.as_secs_f64());
        let counted = drain.map(|drain| self.stats.snapshot().since(&drain.before)).unwrap_or_default();
        let left = match self.phase() {
            Phase::Draining { until: end, .. } | Phase::Closing { deadline: end, .. } => {
                end.saturating_duration_since(now())
            }
            _ => Duration::ZERO,
        };
        page.measure(
            "tidegate_drain_left",
            "What is left of the phase that a drain is in",
            Unit::Seconds,
            &seconds(left),
        )?;
        page.counter("tidegate_drain_connections", "Connections accepted in a drain", counted.accepted)?;
        page.counter("tidegate_drain_requests", "Requests that came in a drain", counted.requests)?;
        page.counter(
            "tidegate_drain_late_connections",
            "Connections that came in the last fifth of the drain delay, or after it",
            drain.map_or(0, |drain| drain.late),
        )?;
        page.measure(
            "tidegate_drain_last_connection",
            "When the last new connection came, from the signal on; 0 for none",
            Unit::Seconds,
            &seconds(self.traffic.last_in_drain().unwrap_or_default()),
        )?;
        self.counted(page, Section::Drain)
    }

    /// The counters of a section that are declared in the table of [`stats`](crate::stats).
    fn counted(&self, page: &mut Page<'_>, section: Section) -> fmt::Result {
        self.stats.shown().into_iter().filter(|shown| shown.section == section).try_for_each(|shown| {
            match shown.values {
                Values::One(count) => page.counter(shown.metric, shown.help, count),
                Values::Labelled { key, counts } => page.counters(
                    shown.metric,
                    shown.help,
                    counts.into_iter().map(|(name, count)| ([(key, name)], count)),
                ),
            }
        })
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let current = self.phase().name();
        page.gauges(
            "tidegate_phase",
            "1 for the phase of the server's life that it is in",
            PHASES.map(|name| ([("phase", name)], u64::from(name == current))),
        )?;
        page.counters(
            "tidegate_log_lines_lost",
            "Lines that were not written, because a log's reader was too slow or gone; server: what the server says, access: a line a request",
            self.own.lost_by_log().map(|(log, count)| ([("log", log)], count)),
        )?;
        if let Some(resident) = memory::resident() {
            page.measure("tidegate_resident_memory", "Memory of the process", Unit::Bytes, &ConstGauge::new(resident))?;
        }
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0.0, Duration::as_secs_f64);
        page.measure("tidegate_start_time", "When the server started", Unit::Seconds, &ConstGauge::new(started))?;
        page.info("tidegate", "Which server it is", &[("version", self.about.version.as_str())])
    }
}

/// Metrics on their way to the page.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    fn measure(&mut self, name: &str, help: &str, unit: Unit, value: &impl EncodeMetric) -> fmt::Result {
        value.encode(self.0.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?)
    }

    fn info(&mut self, name: &str, help: &str, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    fn histogram(&mut self, name: &str, help: &str, values: &Distribution) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(values.seconds, values.count(), &values.buckets(), None)
    }
}
