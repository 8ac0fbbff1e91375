//! The metrics of a cluster and of each of its workers. The label `worker` is a worker's index: while a worker is replaced two have the
//! same, and are told of together.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use prometheus_client::registry::Unit;

use super::page::Page;
use crate::cluster::{Cluster, WorkerState, WorkerView};

/// The workers of an index.
struct Indexed(BTreeMap<usize, Vec<WorkerView>>);

impl Indexed {
    fn sums(&self, of: impl Fn(&WorkerView) -> u64) -> impl Iterator<Item = ([(&'static str, String); 1], u64)> {
        self.0.iter().map(move |(index, workers)| ([("worker", index.to_string())], workers.iter().map(&of).sum()))
    }

    fn maxima(&self, of: impl Fn(&WorkerView) -> Duration) -> impl Iterator<Item = ([(&'static str, String); 1], f64)> {
        self.0.iter().map(move |(index, workers)| {
            let most = workers.iter().map(&of).max().unwrap_or_default();
            ([("worker", index.to_string())], most.as_secs_f64())
        })
    }
}

pub(super) fn write(cluster: &Cluster, page: &mut Page<'_>) -> fmt::Result {
    let workers = cluster.workers();
    let in_state = |state: WorkerState| workers.iter().filter(|worker| worker.state == state).count() as u64;
    page.gauges(
        "tidegate_workers",
        "Workers of the cluster, by how far they have come",
        WorkerState::ALL.map(|state| ([("state", state.name())], in_state(state))),
    )?;
    page.counters(
        "tidegate_worker_restarts",
        "Workers that were replaced, by reason",
        cluster.restarts().map(|(reason, count)| ([("reason", reason)], count)),
    )?;
    page.counters(
        "tidegate_worker_requests",
        "Requests whose head was read, by worker",
        cluster.requests_by_index().into_iter().map(|(index, count)| ([("worker", index.to_string())], count)),
    )?;
    let mut indexed = Indexed(BTreeMap::new());
    workers.iter().for_each(|worker| indexed.0.entry(worker.index).or_default().push(*worker));
    page.gauges(
        "tidegate_worker_requests_in_flight",
        "Requests not answered to the end yet, by worker",
        indexed.sums(|worker| worker.in_flight),
    )?;
    page.gauges(
        "tidegate_worker_queue_depth",
        "Requests that wait for a thread, by worker",
        indexed.sums(|worker| worker.waiting),
    )?;
    page.gauges("tidegate_worker_threads", "Ruby threads, by worker", indexed.sums(|worker| worker.threads))?;
    page.gauges(
        "tidegate_worker_threads_in_app",
        "Ruby threads that are in the app, by worker",
        indexed.sums(|worker| worker.in_app),
    )?;
    page.gauges(
        "tidegate_worker_connections",
        "Connections, the app's own included, by worker",
        indexed.sums(|worker| worker.connections),
    )?;
    page.measures(
        "tidegate_worker_resident_memory",
        "Memory of the process, by worker; what workers share is counted for each",
        &Unit::Bytes,
        indexed.sums(|worker| worker.rss).map(|(labels, bytes)| (labels, bytes as f64)),
    )?;
    page.measures(
        "tidegate_worker_start_time",
        "When the worker was started; the newest of an index",
        &Unit::Seconds,
        indexed.maxima(|worker| worker.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
    )?;
    page.measures(
        "tidegate_worker_heartbeat_age",
        "For how long there was no sign of life; the oldest of an index",
        &Unit::Seconds,
        indexed.maxima(|worker| worker.heartbeat_age),
    )?;
    let states = indexed.0.iter().flat_map(|(index, workers)| {
        WorkerState::ALL.map(|state| {
            let count = workers.iter().filter(|worker| worker.state == state).count() as u64;
            ([("worker", index.to_string()), ("state", state.name().to_owned())], count)
        })
    });
    page.gauges("tidegate_worker_state", "Workers of an index, by how far they have come", states)
}
