//! What happens to exchanges that wait for long: the stall guard lets one more run beside a request that computes without an
//! end, and those that have waited for `queue_timeout` are sent back. The third timer, for those that the app has for long, is
//! in [`request_timeout`](super::request_timeout).

use std::time::{Duration, Instant};

use super::{DispatchQueue, request_timeout::Overdue};
use crate::{stats::Shed, sync::now};

impl DispatchQueue {
    /// Runs the timers; `report` tells of requests whose workers are stuck. For the server's runtime; never ends.
    pub(crate) async fn run_timers(&self, report: impl Fn(Overdue)) {
        tokio::join!(
            self.guard_against_stalls(),
            self.send_back_expired(),
            self.end_overdue(&self.request_timer, report)
        );
    }

    /// Lets one more exchange run whenever the queue has stood still for [`stall_after`](super::estimates::Estimates::stall_after).
    /// Never ends.
    pub(super) async fn guard_against_stalls(&self) {
        loop {
            self.stall_guard.notified().await;
            let (mut taken, mut stall_after) = self.progress();
            loop {
                tokio::time::sleep(stall_after).await;
                let mut state = self.lock();
                if state.queue.is_empty() {
                    state.stall_guard_on = false;
                    break;
                }
                if state.queue.taken() == taken {
                    if state.roster.admission.stall() {
                        self.stats.stalls.inc();
                    }
                    self.call_worker(&mut state);
                }
                (taken, stall_after) = (state.queue.taken(), state.estimates.stall_after());
            }
        }
    }

    /// How many exchanges were taken so far, and how long it may stay so.
    fn progress(&self) -> (u64, Duration) {
        let state = self.lock();
        (state.queue.taken(), state.estimates.stall_after())
    }

    /// Sends back each exchange at the moment when it has waited for as long as it may: its client is not to wait until a
    /// worker comes by. Never ends.
    async fn send_back_expired(&self) {
        loop {
            self.expiry_timer.notified().await;
            while let Some(next) = self.send_back(now()) {
                tokio::time::sleep_until(next.into()).await;
            }
        }
    }

    /// Sends back what has waited for too long at `now`; when the next one will have. The first in the queue came first, and
    /// so is the first to expire.
    fn send_back(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut state = self.lock();
            let next =
                state.queue.first().and_then(|first| Some((state.queue.expiry(first)?, first.responder.is_gone())));
            let Some((expiry, gone)) = next else {
                state.expiry_timer_on = false;
                return None;
            };
            if !gone && now < expiry {
                return Some(expiry);
            }
            let removed = state.queue.remove_first();
            drop(state);
            if gone {
                self.stats.client_gone.inc();
            } else if let Some(exchange) = removed {
                exchange.send_back(Shed::QueueTimeout);
            }
        }
    }
}
