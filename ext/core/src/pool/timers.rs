//! What becomes of exchanges that wait for long: one more is let in beside a request that computes without an end, and
//! those that have waited for as long as they may are sent back.

use std::time::{Duration, Instant};

use super::DispatchQueue;
use crate::{stats::Shed, sync::now};

impl DispatchQueue {
    /// Does what has its time. For the server's runtime; never ends.
    pub(crate) async fn keep_time(&self) {
        tokio::join!(self.guard_against_stalls(), self.send_back_expired());
    }

    /// Lets one more in whenever the queue has stood still for too long. Never ends.
    pub(super) async fn guard_against_stalls(&self) {
        loop {
            self.backlog.notified().await;
            let (mut taken, mut patience) = self.patience();
            loop {
                tokio::time::sleep(patience).await;
                let mut crew = self.crew();
                if self.none_waits(&crew) {
                    crew.watched = false;
                    break;
                }
                if crew.taken == taken {
                    if crew.admission.stall() {
                        self.stats.stalls.inc();
                    }
                    self.call_someone(&mut crew);
                }
                (taken, patience) = (crew.taken, crew.habits.patience());
            }
        }
    }

    /// Exchanges taken so far, and for how long there may be no more of them.
    fn patience(&self) -> (u64, Duration) {
        let crew = self.crew();
        (crew.taken, crew.habits.patience())
    }

    /// Sends back what has waited for as long as it may, at that moment: the client is not to wait for a worker to come
    /// by. Never ends.
    async fn send_back_expired(&self) {
        loop {
            self.aging.notified().await;
            while let Some(next) = self.send_back(now()) {
                tokio::time::sleep_until(next.into()).await;
            }
        }
    }

    /// Sends back what has waited for too long at `now`; when the next will have. They came in order, so the first to look
    /// at is the first to go.
    fn send_back(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut crew = self.crew();
            let next = self.first(&mut crew).and_then(|exchange| Some((self.limit(&exchange)?, exchange)));
            let Some((limit, exchange)) = next else {
                crew.aging = false;
                return None;
            };
            if exchange.responder.is_gone() {
                drop(crew);
                self.stats.client_gone.inc();
            } else if now < limit {
                crew.head = Some(exchange);
                return Some(limit);
            } else {
                drop(crew);
                exchange.send_back(Shed::QueueTimeout);
            }
        }
    }
}
