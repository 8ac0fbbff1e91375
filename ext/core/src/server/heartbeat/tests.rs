//! The heart-beat of a worker whose pool is alive, busy or dead.

use std::time::Instant;

use super::*;
use crate::{
    admin::report::Own,
    cluster::{Cluster, WorkerView},
    drain::Traffic,
    lifecycle::Phase,
    pool::{DispatchQueue, Next, tests::exchange},
};
use tokio::sync::watch;

struct Worker {
    cluster: Arc<Cluster>,
    queue: Arc<DispatchQueue>,
    phase: watch::Sender<Phase>,
    heartbeat: Heartbeat,
}

fn worker(liveness_timeout: Duration) -> Worker {
    let cluster = Cluster::create(2).unwrap();
    let member = Member::new(cluster.clone(), cluster.reserve(0).unwrap());
    let queue = DispatchQueue::of_member(5, None, 2, member.clone());
    let (phase, phases) = watch::channel(Phase::Booting);
    let own = Own { member: Some(member.clone()), ..Default::default() };
    let report =
        Report::new(member.stats(), queue.clone(), Arc::new(Traffic::new(false)), phases, Default::default(), own);
    Worker { cluster, queue, phase, heartbeat: Heartbeat::new(member, report, Some(liveness_timeout)) }
}

impl Worker {
    fn seen(&self) -> WorkerView {
        self.cluster.workers()[0]
    }

    /// Yields until it is seen so.
    async fn until(&self, seen: impl Fn(&WorkerView) -> bool) {
        while !seen(&self.seen()) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tells_each_phase_at_once_and_the_figures_each_second() {
    let worker = worker(Duration::from_secs(60));
    let beating = tokio::spawn(worker.heartbeat.clone().run());
    worker.until(|seen| seen.rss > 0).await;
    assert_eq!((worker.seen().state, worker.seen().max_threads, worker.seen().threads), (WorkerState::Booting, 2, 0));
    worker.phase.send_replace(Phase::Ready);
    worker.until(|seen| seen.state == WorkerState::Serving).await;
    let thread = worker.queue.register();
    assert_eq!(worker.seen().threads, 0, "no second is over");
    tokio::time::advance(INTERVAL).await;
    worker.until(|seen| seen.threads == 1).await;
    drop((thread, worker.phase));
    beating.await.unwrap();
}

#[test]
fn a_worker_with_a_dead_pool_has_no_heart_beat_and_a_busy_one_has() {
    let worker = worker(Duration::from_millis(20));
    let age = || worker.seen().heartbeat_age;
    let older = |limit: Duration| {
        let began = Instant::now();
        while began.elapsed() < limit {
            std::thread::yield_now();
        }
    };
    let (waiting, _awaited) = exchange("/");
    worker.queue.submit(waiting).unwrap();
    older(Duration::from_millis(30));
    worker.heartbeat.beat();
    assert!(age() >= Duration::from_millis(30), "{:?}", age());
    let thread = worker.queue.register();
    let Next::Exchange(running) = thread.look() else { panic!("nothing to take") };
    older(Duration::from_millis(30));
    let before = age();
    worker.heartbeat.beat();
    assert!(age() < before, "{:?} after {before:?}", age());
    drop(running);
}

#[test]
fn a_claim_that_came_to_nothing_is_void_at_the_next_beat() {
    let worker = worker(Duration::from_secs(60));
    worker.phase.send_replace(Phase::Ready);
    worker.heartbeat.beat();
    let sibling = Member::new(worker.cluster.clone(), worker.cluster.reserve(1).unwrap());
    assert_eq!((sibling.claim_better_sibling(true), sibling.claim_better_sibling(true)), (Some(0), None));
    worker.heartbeat.beat();
    assert_eq!(sibling.claim_better_sibling(true), Some(0));
}
