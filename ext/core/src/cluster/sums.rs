//! What all workers of a cluster have counted together. A sum never goes down when a worker leaves: what it counted stays.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    Cluster,
    departed::Departed,
    figures::WorkerFigures,
    table::{Line, Records, Restart},
};
use crate::stats::{AddUp, Label, Of};

impl Cluster {
    /// The records of all workers as those of one: counters of all that there ever were, and gauges of those that live.
    pub(crate) fn sum(&self) -> Box<Records> {
        self.table.undisturbed(|departed| {
            let sum = Box::<Records>::default();
            sum.add(departed.records, Of::Departed);
            let (mut active, mut blocked, mut depth) = (0, 0, 0);
            for (line, records) in self.living(departed) {
                sum.add(records, Of::Living);
                active += u64::from(line.active.load(Relaxed));
                blocked += u64::from(line.blocked.load(Relaxed));
                depth += u64::from(line.waiting.load(Relaxed));
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

    /// The workers that live, beside those that `departed` tells of.
    fn living(&self, departed: &Departed<'_>) -> impl Iterator<Item = (&'static Line, &'static Records)> {
        let excluded = departed.excluded;
        let workers = self.table.lines.iter().zip(self.table.records).enumerate();
        workers
            .filter(move |(slot, _)| excluded != Some(*slot))
            .map(|(_, worker)| worker)
            .filter(|(line, _)| line.is_taken())
    }

    /// The requests that the workers of each index have read, the workers that have left included.
    pub(crate) fn requests_by_index(&self) -> Vec<(usize, u64)> {
        let (counts, lives) = self.table.undisturbed(|departed| {
            let mut counts: Vec<u64> = departed.requests.iter().map(|count| count.load(Relaxed)).collect();
            let mut lives = vec![false; counts.len()];
            for (line, records) in self.living(departed) {
                let index = line.index.load(Relaxed) as usize;
                if let (Some(count), Some(lives)) = (counts.get_mut(index), lives.get_mut(index)) {
                    *count += records.stats.snapshot().requests;
                    *lives = true;
                }
            }
            (counts, lives)
        });
        let known = counts.into_iter().zip(lives).enumerate().filter(|(_, (count, lives))| *count > 0 || *lives);
        known.map(|(index, (count, _))| (index, count)).collect()
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
