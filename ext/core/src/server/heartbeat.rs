//! A worker's heart-beat in its cluster: each second its I/O thread tells that it runs, and what the worker does. A worker whose pool is
//! dead tells that instead; one that is busy, for however long, is alive.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    admin::report::Report,
    cluster::{Member, WorkerState},
    sync::now,
};

const INTERVAL: Duration = Duration::from_secs(1);

/// Tells of one worker.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    member: Member,
    report: Arc<Report>,
    /// From when on a pool that takes no request is dead; `None`: it never is.
    liveness_timeout: Option<Duration>,
}

impl Heartbeat {
    pub(super) fn new(member: Member, report: Arc<Report>, liveness_timeout: Option<Duration>) -> Self {
        Self { member, report, liveness_timeout }
    }

    /// Tells it each second, and each new phase at once. Ends with the server.
    pub(super) async fn run(self) {
        let mut phases = self.report.phases();
        let mut seconds = interval(INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = seconds.tick() => self.beat(),
                changed = phases.changed() => match changed {
                    Ok(()) => self.enter(),
                    Err(_) => return,
                },
            }
        }
    }

    /// What there is to tell now. The server tells it for the last time when it has ended.
    pub(super) fn beat(&self) {
        self.enter();
        match self.report.unattended_for_too_long(self.liveness_timeout, now()) {
            Some(silence) => self.member.pool_is_dead(silence),
            None => self.member.beat(),
        }
        self.report.publish();
        self.member.rescue_what_waits();
    }

    fn enter(&self) {
        self.member.set_state(WorkerState::of(&self.report.phase()));
    }
}

#[cfg(test)]
mod tests;
