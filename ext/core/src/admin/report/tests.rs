//! What the pages say, without a socket.

use super::*;
use crate::{
    config::Interpreter,
    http::body::ResponseBody,
    lifecycle::Signal,
    stats::{Ending, MethodClass, Shed, Times},
};
use std::time::{Duration, Instant};

fn report() -> Arc<Report> {
    let stats = SharedStats::default();
    let queue = DispatchQueue::new(7, None, 3, stats.clone());
    let interpreter = Interpreter { engine: "ruby".into(), version: "3.3.8".into(), patchlevel: 144 };
    let about = About { version: "1.2.3".into(), interpreter: Some(interpreter), ..About::default() };
    Report::new(stats, queue, Arc::new(Traffic::new(false)), watch::channel(Phase::Ready).1, about, Own::default())
}

pub(super) fn get(report: &Arc<Report>, path: &str, accept: Option<&'static str>) -> (String, String) {
    let accept = accept.map(HeaderValue::from_static);
    let response = report.answer(&Method::GET, path, accept.as_ref()).unwrap();
    let ResponseBody::Full(body) = response.body else { panic!("{response:?}") };
    let kind = response.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    (kind, String::from_utf8(body.to_vec()).unwrap())
}

/// The value of a series.
pub(super) fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{page}")).parse().unwrap()
}

#[test]
fn prometheus_reads_what_was_counted() {
    let report = report();
    let stats = &report.stats;
    let get_class = MethodClass::from(&Method::GET);
    (0..3).for_each(|_| stats.request_begun());
    stats.request_ended(get_class, StatusCode::OK.into(), Duration::from_millis(3));
    stats.request_ended(get_class, Ending::NoResponse, Duration::from_secs(100));
    let ms = Duration::from_millis;
    stats.answered(&Times { queue_wait: ms(1), gvl_wait: ms(20), app: ms(30) });
    stats.shed.inc(Shed::QueueTimeout);
    let open = stats.connection_accepted();
    let (kind, page) = get(&report, "/metrics", None);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    for (series, expected) in [
        ("tidegate_requests_total{method=\"GET\",status=\"2xx\"}", 1.0),
        ("tidegate_requests_total{method=\"GET\",status=\"none\"}", 1.0),
        ("tidegate_requests_total{method=\"other\",status=\"5xx\"}", 0.0),
        ("tidegate_request_duration_seconds_bucket{le=\"0.0025\"}", 0.0),
        ("tidegate_request_duration_seconds_bucket{le=\"0.005\"}", 1.0),
        ("tidegate_request_duration_seconds_bucket{le=\"60\"}", 1.0),
        ("tidegate_request_duration_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("tidegate_request_duration_seconds_count", 2.0),
        ("tidegate_request_duration_seconds_sum", 100.003),
        ("tidegate_queue_wait_seconds_sum", 0.001),
        ("tidegate_gvl_wait_seconds_sum", 0.02),
        ("tidegate_app_time_seconds_sum", 0.03),
        ("tidegate_requests_in_flight", 1.0),
        ("tidegate_requests_shed_total{reason=\"queue_full\"}", 0.0),
        ("tidegate_requests_shed_total{reason=\"queue_timeout\"}", 1.0),
        ("tidegate_queue_limit", 7.0),
        ("tidegate_threads_limit", 3.0),
        ("tidegate_connections{state=\"open\"}", 1.0),
        ("tidegate_connections_accepted_total", 1.0),
        ("tidegate_phase{phase=\"ready\"}", 1.0),
        ("tidegate_phase{phase=\"draining\"}", 0.0),
        ("tidegate_unattended_seconds", 0.0),
        ("tidegate_log_lines_lost_total{log=\"server\"}", 0.0),
        ("tidegate_log_lines_lost_total{log=\"access\"}", 0.0),
        ("tidegate_info{version=\"1.2.3\"}", 1.0),
        ("tidegate_build_info{version=\"1.2.3\",ruby=\"3.3.8\"}", 1.0),
        ("tidegate_responses_total{code=\"200\"}", 1.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
    }
    assert!(!page.contains("code=\"404\""), "codes that there were not have no series");
    assert!(!page.contains("tidegate_worker"), "this is no cluster: {page}");
    assert!(!page.contains("tidegate_gc_"), "nothing was told of the collector");
    for series in ["tidegate_resident_memory_bytes", "process_resident_memory_bytes", "process_cpu_seconds_total"] {
        assert!(value(&page, series) > 0.0, "{series}");
    }
    drop(open);
    assert_eq!(value(&get(&report, "/metrics", None).1, "tidegate_connections{state=\"open\"}").to_string(), "0");
}

#[test]
fn the_process_has_the_names_that_dashboards_know() {
    let (_, page) = get(&report(), "/metrics", None);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let (started, open) = (value(&page, "process_start_time_seconds"), value(&page, "process_open_fds"));
    assert!(started <= now && started > 1e9, "{started}");
    assert!(open >= 3.0 && open <= value(&page, "process_max_fds"), "{open}");
}

#[test]
fn the_collector_is_shown_once_it_is_told_of() {
    let report = report();
    let figures = crate::stats::GcFigures {
        count: 12,
        major_count: 2,
        time_ns: 1_500_000_000,
        heap_live_slots: 70_000,
        heap_pages: 90,
        malloc_increase_bytes: 4096,
    };
    report.stats.gc().publish(&figures);
    let (_, page) = get(&report, "/metrics", None);
    for (series, expected) in [
        ("tidegate_gc_collections_total{kind=\"minor\"}", 10.0),
        ("tidegate_gc_collections_total{kind=\"major\"}", 2.0),
        ("tidegate_gc_time_seconds_total", 1.5),
        ("tidegate_gc_heap_live_slots", 70_000.0),
        ("tidegate_gc_heap_pages", 90.0),
        ("tidegate_gc_malloc_increase_bytes", 4096.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
    }
}

#[test]
fn a_drain_shows_while_it_lasts() {
    let report = report();
    let page = || get(&report, "/metrics", None).1;
    assert_eq!(value(&page(), "tidegate_drain_connections_total"), 0.0);
    let now = Instant::now();
    drop(report.stats.connection_accepted());
    let plan = crate::lifecycle::plan::Plan {
        drain_delay: Duration::from_secs(10),
        shutdown_timeout: Duration::from_secs(10),
        budget: None,
        drain_until_quiet: false,
    };
    report.traffic.drain_begins(now, &plan, report.stats.snapshot());
    drop(report.stats.connection_accepted());
    report.traffic.arrived(None, now + Duration::from_secs(9));
    report.stats.request_begun();
    report.stats.signals.inc(Signal::Term);
    let page = page();
    for (series, expected) in [
        ("tidegate_drain_connections_total", 1.0),
        ("tidegate_drain_requests_total", 1.0),
        ("tidegate_drain_late_connections_total", 1.0),
        ("tidegate_drain_last_connection_seconds", 9.0),
        ("tidegate_signals_total{signal=\"SIGTERM\"}", 1.0),
        ("tidegate_signals_total{signal=\"SIGHUP\"}", 0.0),
        ("tidegate_drain_left_seconds", 0.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
    }
}

#[test]
fn open_metrics_is_for_clients_that_ask_for_it() {
    let report = report();
    let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
    let (kind, page) = get(&report, "/metrics", Some(asked));
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("# TYPE tidegate_requests counter\n"), "{page}");
    assert!(page.contains("# UNIT tidegate_queue_wait_seconds seconds\n"), "{page}");
    assert!(page.contains("tidegate_queue_wait_seconds_bucket{le=\"+Inf\"} 0\n"), "{page}");
    let (kind, page) = get(&report, "/metrics", Some("*/*"));
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!page.contains("# EOF"), "{page}");
}

#[test]
fn each_metric_is_described_once_and_all_that_are_declared_are_there() {
    let report = report();
    let (_, page) = get(&report, "/metrics", None);
    let described = |of: &str| -> Vec<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(of));
        lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let (mut helps, mut types) = (described("# HELP "), described("# TYPE "));
    for shown in report.stats.shown() {
        let help = format!("# HELP {}_total {}\n", shown.metric, shown.help);
        assert!(page.contains(&help), "no {help} in:\n{page}");
    }
    for names in [&mut helps, &mut types] {
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
}

#[test]
fn stats_have_pumas_keys() {
    let report = report();
    report.stats.request_begun();
    let worker = report.queue.register();
    let (kind, text) = get(&report, "/stats", None);
    assert_eq!(kind, "application/json");
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    let numbers =
        ["backlog", "running", "pool_capacity", "busy_threads", "backlog_max", "max_threads", "requests_count"]
            .map(|key| stats[key].as_u64().unwrap());
    assert_eq!(numbers, [0, 1, 3, 0, 0, 3, 1]);
    let started: jiff::Timestamp = stats["started_at"].as_str().unwrap().parse().unwrap();
    assert!(started <= jiff::Timestamp::now());
    assert_eq!(stats["versions"]["ruby"]["engine"], "ruby");
    assert_eq!(stats["versions"]["ruby"]["patchlevel"], 144);
    assert_eq!(stats["tidegate"]["phase"], "ready");
    assert_eq!(stats["tidegate"]["shed"]["queue_full"], 0);
    drop(worker);
}

#[test]
fn every_phase_has_its_gauge() {
    let now = Instant::now();
    let phases = [
        Phase::Booting,
        Phase::Ready,
        Phase::Draining { since: now, pace: Duration::ZERO, until: now },
        Phase::Closing { since: now, deadline: now, gently: true },
        Phase::Forcing { until: now },
        Phase::Stopped { status: 0 },
    ];
    assert_eq!(phases.map(Phase::name), prometheus::PHASES);
}

#[test]
fn nothing_is_changed_here_and_other_paths_are_others() {
    let report = report();
    let refused = report.answer(&Method::POST, "/metrics", None).unwrap();
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(report.answer(&Method::HEAD, "/stats", None).is_some());
    assert!(report.answer(&Method::GET, "/livez", None).is_none());
}
