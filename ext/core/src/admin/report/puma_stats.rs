//! The numbers in the shape of Puma's: the keys that its exporters, dashboards and autoscalers read, at the top; ours
//! beside them, under our name.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Report;
use crate::{
    config::Interpreter,
    stats::{Place, Shown, Values},
};

/// Puma's keys of one process.
#[derive(Serialize)]
struct Numbers<'a> {
    started_at: String,
    backlog: usize,
    running: usize,
    pool_capacity: usize,
    busy_threads: usize,
    backlog_max: usize,
    max_threads: usize,
    requests_count: u64,
    versions: Versions<'a>,
    tidegate: Ours,
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
    active_threads: usize,
    waiting_threads: usize,
    idle_threads: usize,
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

pub(super) fn write(report: &Report) -> String {
    let Report { stats, queue, about, started, .. } = report;
    let (counted, tally) = (stats.snapshot(), queue.tally());
    let running = tally.active + tally.waiting + tally.idle;
    let max_threads = queue.max_threads();
    let ruby = about.interpreter.as_ref().map(|Interpreter { engine, version, patchlevel }| Ruby {
        engine,
        version,
        patchlevel: *patchlevel,
    });
    let numbers = Numbers {
        started_at: Timestamp::try_from(*started)
            .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        backlog: queue.len(),
        running,
        // Those that are yet to be created can be had as well.
        pool_capacity: tally.idle + max_threads.saturating_sub(running),
        busy_threads: tally.active + tally.waiting,
        backlog_max: queue.reset_deepest(),
        max_threads,
        requests_count: counted.requests,
        versions: Versions { tidegate: &about.version, ruby },
        tidegate: Ours {
            phase: report.phase().name(),
            active_threads: tally.active,
            waiting_threads: tally.waiting,
            idle_threads: tally.idle,
            in_flight: counted.in_flight,
            connections: counted.connections,
            hijacked: counted.hijacked,
            counted: Counted(stats.shown()),
        },
    };
    // Strings and numbers can always be written. A newline ends it, for tools that read lines.
    serde_json::to_string(&numbers).unwrap_or_default() + "\n"
}
