//! The numbers in the shape of Puma's: the keys that its exporters, dashboards and autoscalers read, at the top; ours
//! beside them, under our name.

use std::{collections::BTreeMap, time::SystemTime};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Report;
use crate::{
    cluster::{Cluster, WorkerState, WorkerView},
    config::Interpreter,
    stats::{Place, Shown, Values},
};

/// Puma's keys of one process.
#[derive(Serialize)]
struct Numbers<'a> {
    started_at: String,
    #[serde(flatten)]
    pool: Pool,
    versions: Versions<'a>,
    tidegate: Ours,
}

/// Puma's keys of a cluster.
#[derive(Serialize)]
struct ClusterNumbers<'a> {
    started_at: String,
    workers: usize,
    /// How many phased restarts there have been.
    phase: u32,
    booted_workers: usize,
    old_workers: usize,
    worker_status: Vec<WorkerStatus>,
    versions: Versions<'a>,
    tidegate: OursOfCluster,
}

#[derive(Serialize)]
struct WorkerStatus {
    started_at: String,
    pid: u32,
    index: usize,
    phase: u32,
    booted: bool,
    last_checkin: String,
    last_status: Pool,
    tidegate: OursOfWorker,
}

/// Puma's keys of a pool of threads.
#[derive(Serialize)]
struct Pool {
    backlog: u64,
    running: u64,
    pool_capacity: u64,
    busy_threads: u64,
    backlog_max: u64,
    max_threads: u64,
    requests_count: u64,
}

impl Pool {
    fn new(
        (running, busy_threads, max_threads): (u64, u64, u64),
        backlog: u64,
        backlog_max: u64,
        requests: u64,
    ) -> Self {
        // Those that are yet to be created can be had as well.
        let pool_capacity = running.saturating_sub(busy_threads) + max_threads.saturating_sub(running);
        Self { backlog, running, pool_capacity, busy_threads, backlog_max, max_threads, requests_count: requests }
    }
}

/// What Puma does not tell of a worker.
#[derive(Serialize)]
struct OursOfWorker {
    slot: usize,
    state: &'static str,
    room: bool,
    in_flight: u64,
    connections: u64,
    rss: u64,
    heartbeat_age: f64,
}

/// What Puma does not tell of a cluster.
#[derive(Serialize)]
struct OursOfCluster {
    restarts: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    all: Ours,
}

#[derive(Serialize)]
struct Versions<'a> {
    tidegate: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ruby: Option<Ruby<'a>>,
}

#[derive(Serialize)]
struct Ruby<'a> {
    engine: &'a str,
    version: &'a str,
    patchlevel: i64,
}

/// What Puma does not count.
#[derive(Serialize)]
struct Ours {
    phase: &'static str,
    active_threads: u64,
    waiting_threads: u64,
    idle_threads: u64,
    in_flight: u64,
    connections: u64,
    hijacked: u64,
    #[serde(flatten)]
    counted: Counted,
}

/// The counters that the table of [`stats`](crate::stats) marks `StatsToo`, by the names of their fields.
struct Counted(Vec<Shown>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.0.iter().filter(|shown| shown.place == Place::StatsToo);
        serializer.collect_map(shown.map(|shown| (shown.name, &shown.values)))
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(count) => serializer.serialize_u64(*count),
            Self::Labelled { counts, .. } => serializer.collect_map(counts.iter().copied()),
        }
    }
}

/// The time as Puma writes it.
fn written(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(super) fn write(report: &Report) -> String {
    let about = &report.about;
    let ruby = about.interpreter.as_ref().map(|Interpreter { engine, version, patchlevel }| Ruby {
        engine,
        version,
        patchlevel: *patchlevel,
    });
    let versions = Versions { tidegate: &about.version, ruby };
    // Before anything is reset by being read.
    let backlog_max = if report.cluster().is_none() { report.queue.reset_deepest() } else { 0 };
    let records = report.records();
    let (counted, figures) = (records.stats.snapshot(), records.figures.read());
    let ours = Ours {
        phase: report.phase().name(),
        active_threads: figures.threads_active,
        waiting_threads: figures.threads_waiting,
        idle_threads: figures.threads_idle,
        in_flight: counted.in_flight,
        connections: counted.connections,
        hijacked: counted.hijacked,
        counted: Counted(records.stats.shown()),
    };
    let started_at = written(report.started());
    // Strings and numbers can always be written.
    let text = if let Some(cluster) = report.cluster() {
        serde_json::to_string(&of_cluster(cluster, started_at, versions, ours))
    } else {
        let threads = (figures.threads(), figures.threads_active + figures.threads_waiting, figures.threads_limit);
        let pool = Pool::new(threads, figures.queue_depth, backlog_max as u64, counted.requests);
        serde_json::to_string(&Numbers { started_at, pool, versions, tidegate: ours })
    };
    // A newline ends it, for tools that read lines.
    text.unwrap_or_default() + "\n"
}

fn of_cluster<'a>(cluster: &Cluster, started_at: String, versions: Versions<'a>, all: Ours) -> ClusterNumbers<'a> {
    let (now, phase, workers) = (SystemTime::now(), cluster.phase(), cluster.workers());
    let count = |which: &dyn Fn(&WorkerView) -> bool| workers.iter().filter(|worker| which(worker)).count();
    ClusterNumbers {
        started_at,
        workers: workers.len(),
        phase,
        booted_workers: count(&|worker| worker.state != WorkerState::Booting),
        old_workers: count(&|worker| worker.phase != phase),
        worker_status: workers.iter().map(|worker| of_worker(cluster, worker, now)).collect(),
        versions,
        tidegate: OursOfCluster { restarts: cluster.restarts().collect(), all },
    }
}

fn of_worker(cluster: &Cluster, worker: &WorkerView, now: SystemTime) -> WorkerStatus {
    let WorkerView { slot, index, pid, state, phase, started_at, heartbeat_age, room, .. } = *worker;
    let WorkerView { requests, in_flight, in_app, waiting, threads, max_threads, connections, rss, .. } = *worker;
    WorkerStatus {
        started_at: written(started_at),
        pid,
        index,
        phase,
        booted: state != WorkerState::Booting,
        last_checkin: written(now.checked_sub(heartbeat_age).unwrap_or(started_at)),
        last_status: Pool::new((threads, in_app, max_threads), waiting, cluster.reset_deepest(slot), requests),
        tidegate: OursOfWorker {
            slot,
            state: state.name(),
            room,
            in_flight,
            connections,
            rss,
            heartbeat_age: heartbeat_age.as_secs_f64(),
        },
    }
}
