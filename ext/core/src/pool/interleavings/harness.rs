//! What the scenarios are made of: a queue, workers that live as those of the binding do, and a record of what became of
//! each exchange.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::pool::{
    Demand, DispatchQueue, Next, Rejected, Woken, Worker, estimates::BRIEF, pause_watch::Alarm, tests::exchange,
};
use crate::{
    exchange::{Answer, Awaited},
    http::response::Response,
    stats::{SharedStats, Shed},
    sync::{
        self, Parker, Unparker,
        interleave::{Clock, point, quiet, spawn, spawn_when_quiet, until},
    },
};

/// How far the time moves at a tick. More than any machine stands still between two of them.
pub(super) const TICK: Duration = Duration::from_secs(7200);

/// What an app does with a request, in the worker's hands.
pub(super) type App = fn(&Arc<Harness>, &Worker, &str);

/// The queue and what has happened at it. Nothing here is a place where threads stop.
pub(super) struct Harness {
    pub(super) queue: Arc<DispatchQueue>,
    pub(super) clock: Clock,
    /// Stands for Ruby's.
    gvl: sync::Mutex<()>,
    begun: Instant,
    taken: Mutex<Vec<String>>,
    awaited: Mutex<Vec<(String, Awaited)>>,
    refused: Mutex<Vec<String>>,
    /// Workers in the app beside which no other may run.
    running: AtomicUsize,
    /// The timer of pauses.
    timer: Timer,
    over: Arc<AtomicBool>,
}

/// Goes off at any time after it was started, or not at all where it is stopped before that. Says whether it is set.
#[derive(Clone, Debug, Default)]
struct Timer(Arc<AtomicBool>);

impl Alarm for Timer {
    fn start(&self, _: Duration) {
        self.0.store(true, SeqCst);
    }

    fn stop(&self) {
        self.0.store(false, SeqCst);
    }
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Served,
    SentBack,
    /// Not queued.
    Refused,
    /// Dropped without an answer, at the server's end.
    Dropped,
    Waits,
}

/// Ruby's way to end a thread: it looks at `asked` between exchanges and before it sleeps, and is woken when it sleeps.
#[derive(Clone, Default)]
pub(super) struct End {
    asked: Arc<AtomicBool>,
    parker: Arc<OnceLock<Unparker>>,
}

impl End {
    pub(super) fn ask(&self) {
        point("ends a worker");
        self.asked.store(true, SeqCst);
        self.parker.get().iter().for_each(|unparker| unparker.unpark());
    }

    fn is_asked(&self) -> bool {
        self.asked.load(SeqCst)
    }
}

impl Harness {
    pub(super) fn new(max_queue: usize, queue_timeout: Option<Duration>, max_threads: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: DispatchQueue::new(max_queue, queue_timeout, max_threads, SharedStats::default()),
            clock: Clock::default(),
            gvl: sync::Mutex::new(()),
            begun: Instant::now(),
            taken: Mutex::default(),
            awaited: Mutex::default(),
            refused: Mutex::default(),
            running: AtomicUsize::new(0),
            timer: Timer::default(),
            over: Arc::default(),
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.begun + TICK * u32::try_from(self.clock.ticks()).unwrap()
    }

    /// The app releases the GVL for moments only, as far as is known.
    pub(super) fn pauses_briefly(&self) {
        (0..99).for_each(|_| self.queue.lock().estimates.pause_ended(Duration::ZERO));
    }

    /// The same, and the I/O thread has a timer for that.
    pub(super) fn watches_pauses(self: &Arc<Self>) {
        self.pauses_briefly();
        self.queue.set_alarm(Some(Box::new(self.timer.clone())));
        let harness = self.clone();
        spawn("timer", move || {
            while !harness.over.load(SeqCst) {
                let (timer, over) = (harness.timer.clone(), harness.over.clone());
                until("the timer is set", move || timer.0.load(SeqCst) || over.load(SeqCst));
                if harness.timer.0.swap(false, SeqCst) {
                    point("goes off");
                    harness.queue.pause_lasts();
                }
            }
        });
    }

    /// The time, as a thread in a short wait sees it: it goes on with each look.
    fn short_wait_time(&self) -> impl Fn() -> Instant {
        let (begun, asked) = (self.now(), Cell::new(0));
        move || begun + BRIEF * asked.replace(asked.get() + 1)
    }

    // ===== threads =====

    pub(super) fn submits(self: &Arc<Self>, name: &'static str, paths: &'static [&'static str]) {
        let harness = self.clone();
        spawn(name, move || paths.iter().for_each(|path| harness.submit(path)));
    }

    pub(super) fn works(self: &Arc<Self>, name: &'static str, app: App) {
        self.works_until(name, app, End::default());
    }

    pub(super) fn works_until(self: &Arc<Self>, name: &'static str, app: App, end: End) {
        let harness = self.clone();
        spawn(name, move || harness.work(app, &end));
    }

    /// The spawner; it fails to create a worker so many times.
    pub(super) fn hires(self: &Arc<Self>, app: App, mut failures: usize) {
        let harness = self.clone();
        spawn("spawner", move || {
            let parker = Parker::new();
            loop {
                match harness.queue.demand_by(&parker, harness.short_wait_time()) {
                    Some(Demand::Worker) if failures > 0 => {
                        failures -= 1;
                        harness.queue.decline();
                    }
                    Some(Demand::Worker) => harness.works("hired worker", app),
                    Some(Demand::Over) => return,
                    None => {}
                }
            }
        });
    }

    /// The spawner is ended before it has done what it was asked for, so many times, and another takes its place.
    pub(super) fn hires_in_succession(self: &Arc<Self>, app: App, mut ends: usize) {
        let harness = self.clone();
        spawn("spawners", move || {
            let mut parker = Parker::new();
            loop {
                match harness.queue.demand_by(&parker, harness.short_wait_time()) {
                    Some(Demand::Worker) if ends > 0 => {
                        ends -= 1;
                        parker = Parker::new();
                        harness.queue.forget_requested();
                    }
                    Some(Demand::Worker) => harness.works("hired worker", app),
                    Some(Demand::Over) => return,
                    None => {}
                }
            }
        });
    }

    /// The server's runtime.
    pub(super) fn keeps_time(self: &Arc<Self>) {
        let harness = self.clone();
        spawn("runtime", move || harness.clock.run(harness.queue.run_timers(drop), TICK));
    }

    pub(super) fn closes(self: &Arc<Self>) {
        let harness = self.clone();
        spawn("closer", move || harness.queue.close());
    }

    /// The drain's deadline comes after `time`.
    pub(super) fn ends_by(self: &Arc<Self>, time: Duration) {
        let harness = self.clone();
        spawn("lifecycle", move || harness.queue.end_by(harness.now() + time, harness.now()));
    }

    /// What is to be so when no thread has anything left to do; then the server ends.
    pub(super) fn at_rest(self: &Arc<Self>, expect: impl FnOnce(&Harness) + Send + 'static) {
        self.at_rest_after(0, expect);
    }

    /// The same after so many times in which time has passed and all has become quiet again.
    pub(super) fn at_rest_after(self: &Arc<Self>, ticks: usize, expect: impl FnOnce(&Harness) + Send + 'static) {
        let harness = self.clone();
        spawn_when_quiet("end", move || {
            harness.pass_ticks(ticks);
            expect(&harness);
            harness.over.store(true, SeqCst);
            harness.queue.close();
        });
    }

    /// Time passes; all is quiet before and after.
    pub(super) fn pass_ticks(&self, ticks: usize) {
        quiet();
        for _ in 0..ticks {
            self.clock.advance();
            quiet();
        }
    }

    // ===== what they do =====

    pub(super) fn submit(&self, path: &str) {
        let (mut exchange, awaited) = exchange(path);
        exchange.request.queued = self.now();
        match self.queue.submit(exchange) {
            Ok(()) => self.awaited.lock().unwrap().push((path.to_owned(), awaited)),
            Err(Rejected::Full(_) | Rejected::Closed(_)) => self.refused.lock().unwrap().push(path.to_owned()),
        }
    }

    /// Has all of `paths` queued before the threads begin, and the first of them `served`, one at a tick.
    pub(super) fn serves_at_a_rate(&self, paths: &[&str], served: usize) {
        paths.iter().for_each(|path| self.submit(path));
        let worker = self.queue.register();
        for _ in 0..served {
            let Next::Exchange(exchange) = worker.look_at(self.now()) else { panic!("there was one") };
            self.taken.lock().unwrap().push(exchange.request.head.uri.path().to_owned());
            exchange.responder.send(Response::app_failed()).unwrap();
            self.clock.set_up(self.clock.ticks() + 1);
        }
    }

    /// Looks for an exchange, so many times, and sleeps no more.
    pub(super) fn takes(&self, times: usize) {
        let worker = self.queue.register();
        for _ in 0..times {
            if let Next::Exchange(exchange) = worker.look_at(self.now()) {
                self.taken.lock().unwrap().push(exchange.request.head.uri.path().to_owned());
                exchange.responder.send(Response::app_failed()).unwrap();
            }
        }
    }

    /// A worker that holds the GVL whenever it does anything, as in Ruby.
    pub(super) fn works_under_gvl(self: &Arc<Self>, name: &'static str) {
        let harness = self.clone();
        spawn(name, move || {
            let gvl = || harness.gvl.lock().unwrap();
            let mut held = gvl();
            let worker = harness.queue.register();
            loop {
                match worker.look_at(harness.now()) {
                    Next::Exchange(exchange) => {
                        harness.taken.lock().unwrap().push(exchange.request.head.uri.path().to_owned());
                        worker.gvl_events().suspended(|| harness.now());
                        drop(held);
                        point("waits");
                        worker.gvl_events().ready(|| harness.now());
                        held = gvl();
                        worker.gvl_events().resumed(|| harness.now());
                        exchange.responder.send(Response::app_failed()).unwrap();
                    }
                    Next::Over => return drop(held),
                    Next::Nothing => {
                        drop(held);
                        worker.sleep_by(harness.short_wait_time());
                        held = gvl();
                    }
                }
            }
        });
    }

    /// As the binding's `Server#work`.
    fn work(self: &Arc<Self>, app: App, end: &End) {
        let worker = self.queue.register();
        // A worker that is not asleep yet is woken when it goes to sleep.
        let _ = end.parker.set(worker.unparker());
        loop {
            if end.is_asked() {
                return;
            }
            match worker.look_at(self.now()) {
                Next::Exchange(exchange) => {
                    let path = exchange.request.head.uri.path().to_owned();
                    self.taken.lock().unwrap().push(path.clone());
                    assert_eq!(self.running.fetch_add(1, SeqCst), 0, "{path} is let in beside another");
                    app(self, &worker, &path);
                    self.running.fetch_sub(1, SeqCst);
                    exchange.responder.send(Response::app_failed()).unwrap();
                }
                Next::Over => return,
                Next::Nothing if end.is_asked() => return,
                Next::Nothing => {
                    if worker.sleep_by(self.short_wait_time()) == Woken::Surplus {
                        return;
                    }
                }
            }
        }
    }

    /// An app releases the GVL, until something has happened.
    pub(super) fn blocks(&self, worker: &Worker, until: impl FnOnce()) {
        worker.gvl_events().suspended(|| self.now());
        self.running.fetch_sub(1, SeqCst);
        until();
        worker.gvl_events().ready(|| self.now());
        self.running.fetch_add(1, SeqCst);
        worker.gvl_events().resumed(|| self.now());
    }

    /// An app computes, and others are let in beside it.
    pub(super) fn hogs(&self, until: impl FnOnce()) {
        self.running.fetch_sub(1, SeqCst);
        until();
        self.running.fetch_add(1, SeqCst);
    }

    // ===== what has happened =====

    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    pub(super) fn has_taken(&self, path: &str) -> bool {
        self.taken.lock().unwrap().iter().any(|taken| taken == path)
    }

    pub(super) fn has_submitted(&self, path: &str) -> bool {
        self.awaited.lock().unwrap().iter().any(|(submitted, _)| submitted == path)
    }

    /// No worker is to come.
    pub(super) fn owes_nothing(&self) {
        assert_eq!(self.queue.lock().hiring.outstanding(), (0, 0));
    }

    /// What became of each exchange; may be asked once.
    pub(super) fn fates(&self) -> BTreeMap<String, Fate> {
        let refused = self.refused.lock().unwrap();
        let mut fates: BTreeMap<_, _> = refused.iter().map(|path| (path.clone(), Fate::Refused)).collect();
        for (path, awaited) in self.awaited.lock().unwrap().iter_mut() {
            let fate = match awaited.try_recv() {
                Ok(Answer::Response(..)) => Fate::Served,
                Ok(Answer::SentBack(Shed::QueueTimeout | Shed::Ending)) => Fate::SentBack,
                Ok(other) => panic!("{other:?}"),
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => Fate::Waits,
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => Fate::Dropped,
            };
            assert_eq!(fate == Fate::Served, self.has_taken(path), "{path}");
            assert!(fates.insert(path.clone(), fate).is_none());
        }
        fates
    }

    /// No worker is left, and no exchange in the queue.
    pub(super) fn has_ended(&self) {
        let fates = self.fates();
        assert!(fates.values().all(|fate| *fate != Fate::Waits), "{fates:?}");
        assert!(self.taken().is_sorted());
        assert_eq!((self.queue.workers(), self.queue.len()), ((0, 0), 0));
    }

    /// Each exchange was served, one after another, and each of `workers` sleeps.
    pub(super) fn has_served(&self, expected: &[&str], workers: usize) {
        assert_eq!(self.taken(), expected);
        assert!(self.fates().values().all(|fate| *fate == Fate::Served));
        assert_eq!((self.queue.workers(), self.queue.len()), ((workers, workers), 0));
    }
}
