//! The metrics that dashboards know of any process, under the names that they have everywhere. In a cluster they tell of the master and
//! its workers together.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use prometheus_client::{metrics::gauge::ConstGauge, registry::Unit};

use super::{Report, page::Page};
use crate::{
    cluster::figures::WorkerFigures,
    sys::{self, usage},
};

impl Report {
    /// `figures` are those of this process, or of all workers.
    pub(super) fn process(&self, page: &mut Page<'_>, figures: &WorkerFigures) -> fmt::Result {
        let master = self.cluster().map(|cluster| cluster.master());
        let masters = master.and_then(|pid| usage::of(Some(pid)));
        let cpu = Duration::from_nanos(figures.cpu_ns) + masters.map_or(Duration::ZERO, |usage| usage.cpu);
        page.sum("process_cpu", "CPU time, of user and system", &Unit::Seconds, cpu.as_secs_f64())?;
        let resident = figures.rss + masters.map_or(0, |usage| usage.resident);
        if resident > 0 {
            let value = ConstGauge::new(resident);
            page.measure("tidegate_resident_memory", "Memory of the process", Unit::Bytes, &value)?;
            page.measure("process_resident_memory", "Memory of the process", Unit::Bytes, &value)?;
        }
        if let Some(open) = self.open_files() {
            page.gauge("process_open_fds", "Descriptors that are open, in the process that has most", open)?;
        }
        if let Ok(limit) = sys::descriptor_limit() {
            page.gauge("process_max_fds", "Descriptors that a process may have open", limit)?;
        }
        let first = if master.is_some() { masters } else { usage::of(None) };
        let Some(started) = first.and_then(|usage| usage.started.duration_since(SystemTime::UNIX_EPOCH).ok()) else {
            return Ok(());
        };
        let started = ConstGauge::new(started.as_secs_f64());
        page.measure("process_start_time", "When the process started", Unit::Seconds, &started)
    }

    /// The most descriptors that one of the processes has open.
    fn open_files(&self) -> Option<u64> {
        let Some(cluster) = self.cluster() else { return usage::open_files(None) };
        let workers = cluster.workers().into_iter().map(|worker| worker.pid).filter(|pid| *pid > 0);
        workers.chain([cluster.master()]).filter_map(|pid| usage::open_files(Some(pid))).max()
    }
}
