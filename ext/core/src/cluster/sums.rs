//! What all workers of a cluster have counted together. A sum never goes down when a worker leaves: what it counted stays.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{
    Cluster, WorkerState, WorkerView,
    figures::WorkerFigures,
    table::{Records, Restart},
};
use crate::stats::{AddUp, Label, Of};

impl Cluster {
    /// The records of all workers as those of one: counters of all that there ever were, and gauges of those that live.
    pub(crate) fn sum(&self) -> Box<Records> {
        self.table.undisturbed(|departed| {
            let sum = Box::<Records>::default();
            sum.add(departed, Of::Departed);
            let (mut active, mut blocked, mut depth) = (0, 0, 0);
            for (line, records) in self.table.lines.iter().zip(self.table.records) {
                if line.state.load(Acquire) != WorkerState::Free as u32 {
                    sum.add(records, Of::Living);
                    active += u64::from(line.active.load(Relaxed));
                    blocked += u64::from(line.blocked.load(Relaxed));
                    depth += u64::from(line.waiting.load(Relaxed));
                }
            }
            // What the pools do now is known, and what they did up to a second ago is no news.
            let figures = sum.figures.read();
            sum.figures.publish(&WorkerFigures {
                threads_active: active,
                threads_waiting: blocked,
                threads_idle: figures.threads().saturating_sub(active + blocked),
                queue_depth: depth,
                ..figures
            });
            sum
        })
    }

    /// The requests that the workers of each index have read, the workers that have left included.
    pub(crate) fn requests_by_index(&self) -> Vec<(usize, u64)> {
        let indices = self.table.departed_requests.len();
        let counts = self.table.undisturbed(|_| {
            let mut counts: Vec<u64> = self.table.departed_requests.iter().map(|count| count.load(Relaxed)).collect();
            for WorkerView { index, requests, .. } in self.workers() {
                if let Some(count) = counts.get_mut(index) {
                    *count += requests;
                }
            }
            counts
        });
        let seen = self.workers();
        let is_known = |index: usize, count: u64| count > 0 || seen.iter().any(|worker| worker.index == index);
        (0..indices).zip(counts).filter(|(index, count)| is_known(*index, *count)).collect()
    }

    /// How many workers were replaced, by reason.
    pub(crate) fn restarts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Restart::ALL.iter().map(|reason| (reason.name(), self.table.totals.restarts.get(*reason)))
    }

    /// The most requests that have waited in one worker at a time since the last call.
    pub(crate) fn reset_deepest(&self, slot: usize) -> u64 {
        let line = &self.table.lines[slot];
        line.deepest.swap(line.waiting.load(Relaxed), Relaxed).into()
    }
}
