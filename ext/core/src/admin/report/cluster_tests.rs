//! What the pages say of a cluster: each worker reports for all.

use super::{
    tests::{get, value},
    *,
};
use crate::{
    cluster::{Restart, WorkerState},
    config::Interpreter,
    pool::Worker,
    stats::{MethodClass, Shed},
};

struct Process {
    member: Member,
    report: Arc<Report>,
    /// Its only thread.
    thread: Worker,
}

fn process(cluster: &Arc<Cluster>, index: usize, phase: Phase) -> Process {
    let member = Member::new(cluster.clone(), cluster.reserve(index).unwrap());
    let queue = DispatchQueue::of_member(7, None, 3, member.clone());
    let interpreter = Interpreter { engine: "ruby".into(), version: "3.3.8".into(), patchlevel: 144 };
    let about = About { version: "1.2.3".into(), interpreter: Some(interpreter), ..About::default() };
    let own = Own { member: Some(member.clone()), ..Default::default() };
    let traffic = Arc::new(Traffic::new(false));
    member.set_state(WorkerState::of(&phase));
    let thread = queue.register();
    let report = Report::new(member.stats(), queue, traffic, watch::channel(phase).1, about, own);
    report.publish();
    Process { member, report, thread }
}

fn serve(process: &Process, requests: usize) {
    let stats = process.member.stats();
    for _ in 0..requests {
        stats.request_begun();
        stats.request_ended(MethodClass::from(&Method::GET), StatusCode::OK.into(), Duration::from_millis(3));
    }
}

#[test]
fn each_worker_sums_over_all() {
    let cluster = Cluster::create(6).unwrap();
    let (one, two) = (process(&cluster, 0, Phase::Ready), process(&cluster, 1, Phase::Ready));
    serve(&one, 2);
    serve(&two, 3);
    two.member.stats().request_begun();
    two.member.stats().shed.inc(Shed::QueueFull);
    let open = one.member.stats().connection_accepted();
    cluster.count_restart(Restart::MaxMemory);
    let expected = [
        ("tidegate_requests_total{method=\"GET\",status=\"2xx\"}", 5.0),
        ("tidegate_responses_total{code=\"200\"}", 5.0),
        ("tidegate_request_duration_seconds_count", 5.0),
        ("tidegate_requests_in_flight", 1.0),
        ("tidegate_requests_shed_total{reason=\"queue_full\"}", 1.0),
        ("tidegate_connections{state=\"open\"}", 1.0),
        ("tidegate_threads{state=\"idle\"}", 2.0),
        ("tidegate_threads_limit", 6.0),
        ("tidegate_queue_limit", 14.0),
        ("tidegate_connections_limit", 200.0),
        ("tidegate_phase{phase=\"ready\"}", 1.0),
        ("tidegate_workers{state=\"serving\"}", 2.0),
        ("tidegate_workers{state=\"retiring\"}", 0.0),
        ("tidegate_worker_restarts_total{reason=\"max_memory\"}", 1.0),
        ("tidegate_worker_restarts_total{reason=\"crashed\"}", 0.0),
        ("tidegate_worker_requests_total{worker=\"0\"}", 2.0),
        ("tidegate_worker_requests_total{worker=\"1\"}", 4.0),
        ("tidegate_worker_requests_in_flight{worker=\"0\"}", 0.0),
        ("tidegate_worker_requests_in_flight{worker=\"1\"}", 1.0),
        ("tidegate_worker_queue_depth{worker=\"1\"}", 0.0),
        ("tidegate_worker_threads{worker=\"1\"}", 1.0),
        ("tidegate_worker_threads_in_app{worker=\"1\"}", 0.0),
        ("tidegate_worker_connections{worker=\"0\"}", 1.0),
        ("tidegate_worker_state{worker=\"0\",state=\"serving\"}", 1.0),
        ("tidegate_worker_state{worker=\"0\",state=\"booting\"}", 0.0),
    ];
    for report in [&one.report, &two.report] {
        let (_, page) = get(report, "/metrics", None);
        for (series, expected) in expected {
            assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
        }
        let resident = |worker| value(&page, &format!("tidegate_worker_resident_memory_bytes{{worker=\"{worker}\"}}"));
        let all = value(&page, "process_resident_memory_bytes");
        assert!(resident(0) > 0.0 && all > resident(0) + resident(1), "the master's as well: {all}");
    }
    assert_eq!(one.report.in_flight(), 1);
    drop(open);
}

#[test]
fn what_the_pools_do_is_known_without_waiting_for_a_heart_beat() {
    let cluster = Cluster::create(2).unwrap();
    let (one, two) = (process(&cluster, 0, Phase::Ready), process(&cluster, 1, Phase::Ready));
    let _awaited = [0, 1].map(|_| {
        let (exchange, awaited) = crate::pool::tests::exchange("/");
        two.report.queue.submit(exchange).unwrap();
        awaited
    });
    let crate::pool::Next::Exchange(_running) = two.thread.look() else { panic!("nothing to take") };
    let (_, page) = get(&one.report, "/metrics", None);
    for (series, expected) in [
        ("tidegate_queue_depth", 1.0),
        ("tidegate_worker_queue_depth{worker=\"1\"}", 1.0),
        ("tidegate_threads{state=\"active\"}", 1.0),
        ("tidegate_threads{state=\"idle\"}", 1.0),
        ("tidegate_worker_threads_in_app{worker=\"1\"}", 1.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
    }
}

#[test]
fn a_replacement_and_the_worker_that_leaves_are_told_of_together() {
    let cluster = Cluster::create(6).unwrap();
    let (old, other) = (process(&cluster, 0, Phase::Ready), process(&cluster, 1, Phase::Ready));
    serve(&old, 2);
    old.member.set_state(WorkerState::Retiring);
    cluster.begin_phase();
    let new = process(&cluster, 0, Phase::Ready);
    serve(&new, 3);
    let requests = "tidegate_worker_requests_total{worker=\"0\"}";
    let page = || get(&other.report, "/metrics", None).1;
    assert_eq!(value(&page(), requests).to_string(), "5");
    assert_eq!(value(&page(), "tidegate_worker_state{worker=\"0\",state=\"retiring\"}").to_string(), "1");
    assert_eq!(value(&page(), "tidegate_worker_threads{worker=\"0\"}").to_string(), "2");
    let slot = old.member.slot();
    drop(old.thread);
    cluster.gone(slot);
    let page = page();
    assert_eq!(value(&page, requests).to_string(), "5");
    assert_eq!(value(&page, "tidegate_worker_threads{worker=\"0\"}").to_string(), "1");
    assert_eq!(value(&page, "tidegate_responses_total{code=\"200\"}").to_string(), "5");
}

#[test]
fn each_metric_of_a_cluster_is_described_once_and_documented() {
    let cluster = Cluster::create(2).unwrap();
    let process = process(&cluster, 0, Phase::Ready);
    process.report.stats.gc().publish(&crate::stats::GcFigures { heap_pages: 1, ..Default::default() });
    serve(&process, 1);
    let (_, page) = get(&process.report, "/metrics", None);
    let mut names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    for name in names {
        let rows = [format!("| `{name}` |"), format!("| `{name}{{")];
        assert!(rows.iter().any(|row| documented.contains(row)), "docs/metrics.md has no row for {name}");
    }
}

#[test]
fn stats_have_pumas_keys_of_a_cluster() {
    let cluster = Cluster::create(6).unwrap();
    let (one, two) = (process(&cluster, 0, Phase::Ready), process(&cluster, 1, Phase::Ready));
    serve(&two, 3);
    cluster.begin_phase();
    let third = cluster.reserve(1).unwrap();
    cluster.spawned(third, 4321);
    let (waiting, _awaited) = crate::pool::tests::exchange("/");
    two.report.queue.submit(waiting).unwrap();
    let ask = || -> serde_json::Value { serde_json::from_str(&get(&one.report, "/stats", None).1).unwrap() };
    let stats = ask();
    let numbers = ["workers", "phase", "booted_workers", "old_workers"].map(|key| stats[key].as_u64().unwrap());
    assert_eq!(numbers, [3, 1, 2, 2]);
    let started: jiff::Timestamp = stats["started_at"].as_str().unwrap().parse().unwrap();
    assert!(started <= jiff::Timestamp::now());
    assert_eq!(stats["versions"]["ruby"]["version"], "3.3.8");
    let [first, second, third] = [0, 1, 2].map(|place| &stats["worker_status"][place]);
    for worker in [first, second, third] {
        let _: jiff::Timestamp = worker["started_at"].as_str().unwrap().parse().unwrap();
        let _: jiff::Timestamp = worker["last_checkin"].as_str().unwrap().parse().unwrap();
    }
    assert_eq!(["pid", "index", "phase"].map(|key| third[key].as_u64().unwrap()), [4321, 1, 1]);
    assert_eq!([first, second, third].map(|worker| worker["booted"].as_bool()), [Some(true), Some(true), Some(false)]);
    assert_eq!([first, second].map(|worker| worker["phase"].as_u64()), [Some(0); 2]);
    let keys = ["backlog", "running", "pool_capacity", "busy_threads", "max_threads", "requests_count"];
    assert_eq!(keys.map(|key| second["last_status"][key].as_u64().unwrap()), [1, 1, 3, 0, 3, 3]);
    assert_eq!(second["tidegate"]["state"], "serving");
    assert_eq!([first, second].map(|worker| worker["tidegate"]["room"].as_bool()), [Some(true), Some(false)]);
    assert_eq!(stats["tidegate"]["restarts"]["crashed"], 0);
    assert_eq!(stats["tidegate"]["phase"], "ready");
    // The most that waited is known from the next heart-beat on, and forgotten when it was read.
    let crate::pool::Next::Exchange(_running) = two.thread.look() else { panic!("nothing to take") };
    two.report.publish();
    let most = |stats: &serde_json::Value| stats["worker_status"][1]["last_status"]["backlog_max"].as_u64();
    assert_eq!((most(&ask()), most(&ask())), (Some(1), Some(0)));
}

#[test]
fn a_drain_is_told_of_by_the_worker_that_is_asked_and_summed() {
    let cluster = Cluster::create(2).unwrap();
    let until = Instant::now() + Duration::from_secs(3600);
    let phase = Phase::Draining { since: Instant::now(), pace: Duration::from_secs(1), until };
    let (one, two) = (process(&cluster, 0, phase), process(&cluster, 1, phase));
    let plan = crate::lifecycle::plan::Plan {
        drain_delay: Duration::from_secs(10),
        shutdown_timeout: Duration::from_secs(10),
        budget: None,
        drain_until_quiet: false,
    };
    for process in [&one, &two] {
        let now = Instant::now();
        process.report.traffic.drain_begins(now, &plan, process.report.stats.snapshot());
        drop(process.member.stats().connection_accepted());
        process.report.traffic.arrived(None, now + Duration::from_secs(9));
        process.report.publish();
    }
    let (_, page) = get(&one.report, "/metrics", None);
    for (series, expected) in [
        ("tidegate_drain_connections_total", 2.0),
        ("tidegate_drain_late_connections_total", 2.0),
        ("tidegate_drain_last_connection_seconds", 9.0),
        ("tidegate_phase{phase=\"draining\"}", 1.0),
        ("tidegate_workers{state=\"draining\"}", 2.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 1e-9, "{series} is {}", value(&page, series));
    }
    assert!((3000.0..=3600.0).contains(&value(&page, "tidegate_drain_left_seconds")));
}

#[test]
fn the_liveness_probe_fails_only_when_all_pools_are_dead() {
    let cluster = Cluster::create(2).unwrap();
    let (one, two) = (process(&cluster, 0, Phase::Ready), process(&cluster, 1, Phase::Ready));
    let submit = |process: &Process| {
        let (waiting, awaited) = crate::pool::tests::exchange("/");
        process.report.queue.submit(waiting).unwrap();
        awaited
    };
    let dead = |process: &Process| {
        let later = Instant::now() + Duration::from_secs(100);
        process.report.queue.all_unattended(Some(Duration::from_secs(60)), later).is_some()
    };
    assert!(!dead(&one) && !dead(&two));
    let _first = submit(&one);
    assert!(!dead(&one), "its sibling lives");
    let _second = submit(&two);
    assert!(dead(&two) && dead(&one));
}
