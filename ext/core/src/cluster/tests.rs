//! The table as the master and its workers use it; a fork stands in for a worker's process where that is the point.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{handover::Traits, *};
use crate::{
    stats::{Ending, MethodClass, Shed},
    sys::shared_memory::in_child,
};

fn serving(cluster: &Arc<Cluster>, index: usize) -> Member {
    let member = Member::new(cluster.clone(), cluster.reserve(index).unwrap());
    member.set_state(WorkerState::Serving);
    member
}

#[test]
fn a_place_is_given_out_once_until_its_worker_is_gone() {
    let cluster = Cluster::create(2).unwrap();
    assert_eq!((cluster.reserve(0), cluster.reserve(1), cluster.reserve(0)), (Some(0), Some(1), None));
    cluster.spawned(1, 4321);
    let workers = cluster.workers();
    let seen: Vec<_> = workers.iter().map(|one| (one.slot, one.index, one.pid, one.state)).collect();
    assert_eq!(seen, [(0, 0, 0, WorkerState::Booting), (1, 1, 4321, WorkerState::Booting)]);
    assert!(workers.iter().all(|one| one.heartbeat_age < Duration::from_secs(60)), "{workers:?}");
    cluster.gone(0);
    assert_eq!(cluster.workers().len(), 1);
    cluster.begin_phase();
    assert_eq!(cluster.reserve(0), Some(0));
    let phases: Vec<_> = cluster.workers().iter().map(|worker| worker.phase).collect();
    assert_eq!(phases, [1, 0], "the replacement is of the new phase");
}

#[test]
fn what_a_forked_worker_tells_its_master_sees() {
    let cluster = Cluster::create(2).unwrap();
    let slot = cluster.reserve(1).unwrap();
    // The child may allocate nothing.
    let member = Member::new(cluster.clone(), slot);
    in_child(|| {
        member.set_state(WorkerState::Serving);
        member.publish_room(Room::Free);
        member.publish_load((1, 1), 5);
        let stats = member.stats();
        (0..3).for_each(|_| stats.request_begun());
        stats.request_ended(MethodClass::from(&http::Method::GET), http::StatusCode::OK.into(), Duration::ZERO);
        stats.shed.inc(Shed::QueueFull);
        cluster.table.lines[slot].pid.store(std::process::id(), Relaxed);
    });
    let [worker] = cluster.workers()[..] else { panic!("{:?}", cluster.workers()) };
    assert_eq!((worker.state, worker.room, worker.in_app, worker.waiting), (WorkerState::Serving, true, 2, 5));
    assert_eq!((worker.requests, worker.in_flight), (3, 2));
    assert_ne!(worker.pid, std::process::id());
    let sum = cluster.sum();
    assert_eq!(sum.stats.snapshot().shed, 1);
    assert_eq!(sum.stats.by_kind().by_code().collect::<Vec<_>>(), [("200".to_owned(), 1)]);
}

#[test]
fn an_idle_sibling_is_claimed_once_until_it_says_again_that_it_has_room() {
    let cluster = Cluster::create(4).unwrap();
    let [busy, other, idle] = [0, 1, 2].map(|index| serving(&cluster, index));
    assert_eq!(busy.claim_better_sibling(true), None, "none has said so yet");
    idle.publish_room(Room::Free);
    assert_eq!(idle.claim_better_sibling(true), None, "itself it is no sibling");
    assert_eq!((busy.claim_better_sibling(true), other.claim_better_sibling(true)), (Some(idle.slot()), None));
    idle.publish_room(Room::None);
    assert_eq!(busy.claim_better_sibling(true), None);
    idle.publish_room(Room::Free);
    idle.set_state(WorkerState::Retiring);
    assert_eq!(busy.claim_better_sibling(true), None, "it leaves");
    idle.set_state(WorkerState::Serving);
    cluster.table.lines[idle.slot()].heartbeat.fetch_sub(60_000, Relaxed);
    assert_eq!(busy.claim_better_sibling(true), None, "its process stands still");
    idle.beat();
    assert_eq!(busy.claim_better_sibling(true), Some(idle.slot()));
}

/// A request stayed at a worker with others that waited, and was the last to be served, while a sibling had one.
#[test]
fn where_no_sibling_is_idle_the_one_with_the_least_to_do_is_better_by_two() {
    let cluster = Cluster::create(4).unwrap();
    let [own, one, two] = [0, 1, 2].map(|index| serving(&cluster, index));
    own.publish_taken();
    own.publish_room(Room::Shared);
    own.publish_load((1, 0), 2);
    one.publish_room(Room::Shared);
    one.publish_load((1, 0), 1);
    assert_eq!(own.claim_better_sibling(true), None, "one less is not worth it, and the other has no room");
    one.publish_load((1, 0), 0);
    assert_eq!(own.claim_better_sibling(true), None, "it has computed for long");
    one.publish_taken();
    assert_eq!(own.claim_better_sibling(false), None, "a hand-over takes longer than to wait");
    assert_eq!(own.claim_better_sibling(true), Some(one.slot()));
    one.publish_load((1, 0), 0);
    assert_eq!(own.claim_better_sibling(true), None, "what is on its way counts, until it comes");
    assert_eq!(cluster.workers()[one.slot()].waiting, 0, "but does not wait there yet");
    one.has_come();
    two.publish_room(Room::Shared);
    two.publish_load((0, 3), 0);
    two.publish_taken();
    assert_eq!(own.claim_better_sibling(true), Some(two.slot()), "threads that wait in the app are no load");
    two.publish_room(Room::Free);
    assert_eq!((own.claim_better_sibling(true), two.has_room()), (Some(two.slot()), true), "an idle one is the best");
    one.set_state(WorkerState::Retiring);
    assert_eq!(own.claim_better_sibling(true), None);
    assert_eq!(one.claim_better_sibling(true), None, "it has less to do itself");
    one.set_state(WorkerState::Serving);
    cluster.table.lines[one.slot()].taken.fetch_sub(60_000, Relaxed);
    assert_eq!(own.claim_better_sibling(true), None, "it has computed for long again");
    cluster.table.lines[own.slot()].taken.fetch_sub(120_000, Relaxed);
    assert_eq!(own.claim_better_sibling(true), Some(one.slot()), "but not for as long as this one");
    let (_client, socket) = UnixStream::pair().unwrap();
    while one.inbox().send(socket.as_fd(), Traits::default(), b"").is_ok() {}
    assert!(own.send_to(one.slot(), socket.as_fd(), Traits::default(), b"").is_err());
    assert_eq!(own.claim_better_sibling(true), Some(one.slot()), "what could not be sent does not come");
}

/// Workers whose threads all sleep had forty requests and two.
#[test]
fn of_workers_without_a_thread_the_one_for_which_fewer_wait_is_better() {
    let cluster = Cluster::create(2).unwrap();
    let [own, one] = [0, 1].map(|index| serving(&cluster, index));
    for (member, blocked, waiting) in [(&own, 5, 4), (&one, 4, 2)] {
        member.publish_taken();
        member.publish_room(Room::Full);
        member.publish_load((1, blocked), waiting);
    }
    assert_eq!(own.claim_better_sibling(true), Some(one.slot()));
    assert_eq!(own.claim_better_sibling(true), None, "what is coming waits as well");
    one.has_come();
    own.publish_room(Room::Shared);
    assert_eq!(own.claim_better_sibling(true), None, "here there is a thread");
}

#[test]
fn a_request_that_is_taken_while_a_sibling_looks_is_none_that_has_computed_for_weeks() {
    let cluster = Cluster::create(1).unwrap();
    let line = &cluster.table.lines[0];
    for (taken, now, since) in [(7, 10, 3), (11, 10, 0), (u32::MAX, 2, 3)] {
        line.taken.store(taken, Relaxed);
        assert_eq!(line.since_taken(now), since);
    }
}

#[test]
fn a_connection_for_a_sibling_that_has_died_since_it_was_claimed_goes_to_the_others() {
    let cluster = Cluster::create(2).unwrap();
    let [busy, idle] = [0, 1].map(|index| serving(&cluster, index));
    let (_client, socket) = UnixStream::pair().unwrap();
    let traits = Traits { for_request: true, ..Traits::default() };
    idle.publish_room(Room::Free);
    let claimed = busy.claim_better_sibling(true).unwrap();
    busy.send_to(claimed, socket.as_fd(), traits, b"").unwrap();
    assert_eq!(idle.inbox().receive().unwrap().traits, traits, "it lives");
    cluster.gone(claimed);
    busy.send_to(claimed, socket.as_fd(), traits, b"").unwrap();
    assert_eq!(idle.inbox().receive().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(busy.adoption().receive().unwrap().traits, traits);
}

#[test]
fn what_waits_for_a_sibling_that_gives_no_sign_of_life_goes_to_the_others() {
    let cluster = Cluster::create(3).unwrap();
    let [one, other] = [0, 1].map(|index| serving(&cluster, index));
    let (_client, socket) = UnixStream::pair().unwrap();
    let send = |slot| cluster.handover.inbox(slot).send(socket.as_fd(), Traits::default(), b"").unwrap();
    let rescued = || cluster.handover.adoption().receive().is_ok();
    send(other.slot());
    one.rescue_what_waits();
    assert!(!rescued(), "it lives, and takes it by itself");
    cluster.table.lines[other.slot()].heartbeat.fetch_sub(60_000, Relaxed);
    one.rescue_what_waits();
    assert!(rescued(), "it has died, or stands still");
    send(2);
    one.rescue_what_waits();
    assert!(rescued(), "it has gone");
    other.beat();
    send(other.slot());
    one.rescue_all();
    assert!(rescued(), "the one that leaves does not ask");
}

#[test]
fn two_senders_never_claim_the_same_sibling() {
    let cluster = Cluster::create(3).unwrap();
    let [idle, one, two] = [0, 1, 2].map(|index| serving(&cluster, index));
    for _ in 0..500 {
        // On a busy machine the rounds take longer than a worker may be silent.
        idle.beat();
        idle.publish_room(Room::Free);
        let claims = std::thread::scope(|scope| {
            let claim = |member: &'_ Member| member.claim_better_sibling(true).is_some();
            let threads = [&one, &two].map(|member| scope.spawn(move || claim(member)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(claims.iter().filter(|claimed| **claimed).count(), 1);
    }
}

#[test]
fn a_sum_never_goes_down_when_a_worker_is_replaced() {
    let cluster = Cluster::create(4).unwrap();
    let (one, two) = (serving(&cluster, 0), serving(&cluster, 1));
    let open = [one.stats().connection_accepted(), two.stats().connection_accepted()];
    one.stats().request_begun();
    one.stats().request_ended(MethodClass::from(&http::Method::GET), Ending::NoResponse, Duration::from_secs(1));
    one.stats().request_begun();
    one.publish_figures(&figures::WorkerFigures { rss: 100, cpu_ns: 7, ..Default::default() }, 9);
    two.publish_figures(&figures::WorkerFigures { rss: 20, cpu_ns: 1, ..Default::default() }, 3);
    let counted = |cluster: &Cluster| {
        let sum = cluster.sum();
        let (snapshot, figures) = (sum.stats.snapshot(), sum.figures.read());
        let durations = sum.stats.by_kind().duration().count();
        (
            snapshot.accepted,
            snapshot.requests,
            durations,
            figures.cpu_ns,
            snapshot.connections,
            snapshot.in_flight,
            figures.rss,
        )
    };
    assert_eq!(counted(&cluster), (2, 2, 1, 8, 2, 1, 120));
    assert_eq!(cluster.requests_by_index(), [(0, 2), (1, 0)]);
    assert_eq!((cluster.reset_deepest(0), cluster.reset_deepest(0)), (9, 0));
    // Its process has ended with a connection and a request.
    std::mem::forget(open);
    cluster.gone(one.slot());
    assert_eq!(counted(&cluster), (2, 2, 1, 8, 1, 0, 20), "gauges go with their worker");
    let replacement = serving(&cluster, 0);
    assert_eq!(replacement.slot(), one.slot());
    replacement.stats().request_begun();
    assert_eq!(counted(&cluster), (2, 3, 1, 8, 1, 1, 20));
    assert_eq!(cluster.requests_by_index(), [(0, 3), (1, 0)]);
}

#[test]
fn a_reader_never_sees_a_worker_twice_or_not_at_all_while_it_leaves() {
    let cluster = Cluster::create(2).unwrap();
    let replace = |cluster: &Arc<Cluster>| {
        let member = serving(cluster, 0);
        (0..10).for_each(|_| member.stats().request_begun());
        cluster.gone(member.slot());
    };
    let looks = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for replaced in 0..500 {
                replace(&cluster);
                // Each replacement comes while the reader is at work, and none of its looks meets more than a few of them.
                while looks.load(Relaxed) <= replaced {
                    std::thread::yield_now();
                }
            }
        });
        let mut before = 0;
        let mut faults = Vec::new();
        while !replacing.is_finished() {
            let (sum, by_index) = (cluster.sum().stats.snapshot().requests, cluster.requests_by_index());
            let next = by_index.first().map_or(sum, |(_, requests)| *requests);
            if sum < before || next < sum {
                faults.push((before, sum, next));
            }
            before = next;
            looks.fetch_add(1, Relaxed);
        }
        assert_eq!(faults, []);
    });
    assert_eq!(cluster.sum().stats.snapshot().requests, 5_000);
}

#[test]
fn only_when_all_pools_are_dead_is_the_cluster() {
    let cluster = Cluster::create(3).unwrap();
    let [one, two] = [0, 1].map(|index| serving(&cluster, index));
    assert!(!one.all_pools_dead());
    one.pool_is_dead(Duration::from_secs(70));
    assert!(!one.all_pools_dead());
    cluster.table.lines[two.slot()].heartbeat.fetch_sub(60_000, Relaxed);
    assert!(one.all_pools_dead(), "the other stands still");
    two.beat();
    two.pool_is_dead(Duration::from_millis(1));
    assert!(one.all_pools_dead());
    one.beat();
    assert!(!two.all_pools_dead());
}

#[test]
fn restarts_are_counted_by_reason() {
    let cluster = Cluster::create(1).unwrap();
    cluster.count_restart(Restart::Crashed);
    cluster.count_restart(Restart::Crashed);
    cluster.count_restart(Restart::MaxMemory);
    let counted: Vec<_> = cluster.restarts().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("crashed", 2), ("max_memory", 1)]);
}

#[test]
fn each_state_is_found_by_its_number() {
    assert!(WorkerState::ALL.iter().all(|state| WorkerState::from_number(*state as u32) == *state));
    assert_eq!((WorkerState::from_number(0), WorkerState::from_number(99)), (WorkerState::Free, WorkerState::Free));
}

#[test]
fn a_cluster_without_places_or_with_far_too_many_is_an_error() {
    assert!(Cluster::create(0).is_err());
    assert!(Cluster::create(1 << 40).is_err());
}
