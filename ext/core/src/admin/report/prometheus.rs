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
    encoding::{DescriptorEncoder, prometheus_text, text},
    metrics::gauge::ConstGauge,
    registry::{Registry, Unit},
};

use super::{Report, page::Page};
use crate::{
    cluster::{figures::WorkerFigures, table::Records},
    stats::{Section, Stats, Values},
};

/// A server's phases, in their order.
pub(super) const PHASES: [&str; 6] = ["booting", "ready", "draining", "closing", "forcing", "stopped"];

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics and their content type: OpenMetrics for clients that ask for it, else Prometheus' own text.
pub(super) fn write(report: &Arc<Report>, accept: Option<&HeaderValue>) -> (String, &'static str) {
    let mut registry = Registry::default();
    let records = report.records();
    let figures = records.figures.read();
    registry.register_collector(Box::new(Metrics { report: report.clone(), records, figures }));
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

/// What the page tells of, at one moment.
#[derive(Debug)]
struct Metrics {
    report: Arc<Report>,
    records: Box<Records>,
    figures: WorkerFigures,
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.pool(&mut page)?;
        self.connections(&mut page)?;
        self.drain(&mut page)?;
        self.server(&mut page)?;
        self.certificates(&mut page)?;
        self.gc(&mut page)?;
        self.report.process(&mut page, &self.figures)?;
        self.report.cluster().map_or(Ok(()), |cluster| super::workers::write(cluster, &mut page))
    }
}

fn seconds(nanoseconds: u64) -> ConstGauge<f64> {
    ConstGauge::new(Duration::from_nanos(nanoseconds).as_secs_f64())
}

impl Metrics {
    fn stats(&self) -> &Stats {
        &self.records.stats
    }

    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let kinds = self.stats().by_kind();
        page.counters(
            "tidegate_requests",
            "Requests that are over, by method and kind of status; none: no response",
            kinds.by_class().map(|(method, status, count)| ([("method", method), ("status", status)], count)),
        )?;
        page.counters(
            "tidegate_responses",
            "Requests that are over, by the status of their response; other: above 599",
            kinds.by_code().map(|(code, count)| ([("code", code)], count)),
        )?;
        page.histogram(
            "tidegate_request_duration",
            "From the head of a request to the end of its response",
            &kinds.duration(),
        )?;
        page.histogram("tidegate_queue_wait", "From a whole request to a thread for it", &kinds.queue_wait())?;
        page.histogram("tidegate_gvl_wait", "Waiting for the GVL inside the app, per request", &kinds.gvl_wait())?;
        page.histogram("tidegate_app_time", "From a thread taking a request to its response", &kinds.app())?;
        page.gauge("tidegate_requests_in_flight", "Requests not answered to the end yet", self.stats().in_flight())?;
        self.counted(page, Section::Requests)
    }

    fn pool(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = &self.figures;
        page.gauge("tidegate_queue_depth", "Requests that wait for a thread", figures.queue_depth)?;
        page.gauge("tidegate_queue_limit", "Requests that may wait for a thread", figures.queue_limit)?;
        page.gauges(
            "tidegate_threads",
            "Ruby threads; active: want or have the GVL in the app, waiting: in the app without it, idle: not in the app",
            [("active", figures.threads_active), ("waiting", figures.threads_waiting), ("idle", figures.threads_idle)]
                .map(|(state, count)| ([("state", state)], count)),
        )?;
        page.gauge("tidegate_threads_limit", "Ruby threads that there may be", figures.threads_limit)?;
        page.measure(
            "tidegate_unattended",
            "For how long requests have waited although no thread is in the app; 0 where none waits, or the app is busy",
            Unit::Seconds,
            &seconds(figures.unattended_ns),
        )?;
        self.counted(page, Section::Pool)
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let (counted, figures) = (self.stats().snapshot(), &self.figures);
        page.gauges(
            "tidegate_connections",
            "Connections; open: the server's, hijacked: the app's own",
            [("open", counted.connections), ("hijacked", counted.hijacked)]
                .map(|(state, count)| ([("state", state)], count)),
        )?;
        page.gauge("tidegate_connections_limit", "Connections that there may be", figures.connections_limit)?;
        page.measure(
            "tidegate_buffered",
            "Bodies of requests and responses in memory, those of up to 16 KiB not counted",
            Unit::Bytes,
            &ConstGauge::new(figures.buffered_bytes),
        )?;
        page.measure(
            "tidegate_buffered_request",
            "Of these, bodies of requests: arriving, waiting for a thread, or with the app",
            Unit::Bytes,
            &ConstGauge::new(figures.buffered_request_bytes),
        )?;
        page.measure(
            "tidegate_buffer_limit",
            "Bodies that there may be in memory; 0: no limit",
            Unit::Bytes,
            &ConstGauge::new(figures.buffer_limit_bytes),
        )?;
        page.counter(
            "tidegate_spilled_bytes",
            "Bytes of bodies that went to a file because of that limit",
            figures.spilled_bytes,
        )?;
        self.counted(page, Section::Connections)
    }

    fn drain(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = &self.figures;
        page.measure(
            "tidegate_drain_left",
            "What is left of the phase that a drain is in",
            Unit::Seconds,
            &seconds(figures.drain_left_ns),
        )?;
        page.counter("tidegate_drain_connections", "Connections accepted in a drain", figures.drain_connections)?;
        page.counter("tidegate_drain_requests", "Requests that came in a drain", figures.drain_requests)?;
        page.counter(
            "tidegate_drain_late_connections",
            "Connections that came in the last fifth of the drain delay, or after it",
            figures.drain_late,
        )?;
        page.measure(
            "tidegate_drain_last_connection",
            "When the last new connection came, from the signal on; 0 for none",
            Unit::Seconds,
            &seconds(figures.drain_last_ns),
        )?;
        self.counted(page, Section::Drain)
    }

    /// The counters of a section that are declared in the table of [`stats`](crate::stats).
    fn counted(&self, page: &mut Page<'_>, section: Section) -> fmt::Result {
        self.stats().shown().into_iter().filter(|shown| shown.section == section).try_for_each(|shown| {
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

    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let (current, figures) = (self.report.phase().name(), &self.figures);
        page.gauges(
            "tidegate_phase",
            "1 for the phase of the server's life that it is in",
            PHASES.map(|name| ([("phase", name)], u64::from(name == current))),
        )?;
        page.counters(
            "tidegate_log_lines_lost",
            "Lines that were not written, because a log's reader was too slow or gone; server: what the server says, access: a line a request",
            [("server", figures.server_lines_lost), ("access", figures.access_lines_lost)]
                .map(|(log, count)| ([("log", log)], count)),
        )?;
        let started = self.report.started().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started = ConstGauge::new(started.as_secs_f64());
        page.measure("tidegate_start_time", "When the server started", Unit::Seconds, &started)?;
        let about = &self.report.about;
        page.info("tidegate", "Which server it is", &[("version", about.version.as_str())])?;
        let ruby = about.interpreter.as_ref().map_or("", |interpreter| interpreter.version.as_str());
        page.info(
            "tidegate_build",
            "Which server and which Ruby it is",
            &[("version", about.version.as_str()), ("ruby", ruby)],
        )
    }

    /// Until when the certificates are valid, where there are any.
    fn certificates(&self, page: &mut Page<'_>) -> fmt::Result {
        let ends = self.report.certificate_ends();
        if ends.is_empty() {
            return Ok(());
        }
        page.measures(
            "tidegate_tls_certificate_not_after",
            "Until when the certificate with this name is valid",
            &Unit::Seconds,
            ends.iter().map(|(name, end)| ([("name", name.as_str())], *end as f64)),
        )
    }

    /// What the interpreter's collector does, where the binding tells it.
    fn gc(&self, page: &mut Page<'_>) -> fmt::Result {
        let gc = self.stats().gc().read();
        if gc.heap_pages == 0 {
            return Ok(());
        }
        let minor = gc.count.saturating_sub(gc.major_count);
        page.counters(
            "tidegate_gc_collections",
            "Runs of Ruby's garbage collector",
            [("minor", minor), ("major", gc.major_count)].map(|(kind, count)| ([("kind", kind)], count)),
        )?;
        let took = Duration::from_nanos(gc.time_ns).as_secs_f64();
        page.sum("tidegate_gc_time", "What they took", &Unit::Seconds, took)?;
        page.gauge("tidegate_gc_heap_live_slots", "Slots of Ruby's heap with a live object", gc.heap_live_slots)?;
        page.gauge("tidegate_gc_heap_pages", "Pages of Ruby's heap that hold objects", gc.heap_pages)?;
        page.measure(
            "tidegate_gc_malloc_increase",
            "What was allocated outside Ruby's heap since the last collection",
            Unit::Bytes,
            &ConstGauge::new(gc.malloc_increase_bytes),
        )
    }
}
