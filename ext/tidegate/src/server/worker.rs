//! The threads that Ruby makes for the server: the workers, each of which runs exchanges, and the one that waits until the pool
//! wants one more worker.

use std::time::{Duration, Instant};

use magnus::{Error, IntoValue, RArray, Ruby, Symbol, Value, prelude::*, typed_data::Obj};
use tidegate_core::{Demand, Idle, Next, NextOverdue, Parker, Woken};

use super::Server;
use crate::{error, gvl, rack::exchange::Exchange};

impl Server {
    /// Runs exchanges until the server is over or has more workers than it needs.
    pub(super) fn work(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let app = rb_self.app.get().ok_or_else(|| error::misuse(ruby, "the server has no app"))?;
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(()) };
        let worker = queue.register();
        let _registration = gvl::events::register(ruby, &worker);
        let _seat = app.seats().sit_down(ruby, worker.number());
        let forks = gvl::fork::forks();
        loop {
            // An interrupt ends this thread here, before it takes an exchange from the queue, and not after.
            ruby.thread_check_ints()?;
            match worker.look() {
                Next::Exchange(exchange) => {
                    gvl::time_slice::begin_request();
                    let answered = error::catching(ruby, || app.run(ruby, worker.number(), exchange));
                    if gvl::fork::forks() != forks {
                        // The app has forked, and this is the child, in which the app has returned as well. The connection
                        // belongs to the parent, and threads that are not in the child may hold the locks of the queue.
                        std::mem::forget((answered, worker));
                        return Ok(());
                    }
                    if let Some(answered) = answered? {
                        worker.hand_in(answered);
                    }
                    if gvl::time_slice::is_due() {
                        worker.end_exchange();
                        gvl::wait(ruby, &worker.unparker(), || worker.deliver());
                    }
                }
                Next::Over => return Ok(()),
                Next::Nothing => {
                    if gvl::wait(ruby, &worker.unparker(), || worker.sleep()) == Some(Woken::Surplus) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until the pool wants one more worker (`:spawn`) or is over (`:stopped`).
    pub(super) fn demand(ruby: &Ruby, rb_self: &Self) -> Result<Symbol, Error> {
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(ruby.to_symbol("stopped")) };
        let parker = Parker::new();
        loop {
            ruby.thread_check_ints()?;
            let demand = gvl::wait(ruby, &parker.unparker(), || queue.demand(&parker)).flatten();
            match demand {
                Some(Demand::Worker) => return Ok(ruby.to_symbol("spawn")),
                Some(Demand::Over) => return Ok(ruby.to_symbol("stopped")),
                None => {}
            }
        }
    }

    /// Waits for a request that the app has had for longer than `request_timeout`, for up to `seconds`: its method, its path, for how
    /// long the app has had it in seconds, and its thread and its exchange, which are nil where the worker has come back meanwhile.
    /// nil for no request, false when there will be none any more.
    pub(super) fn next_overdue(ruby: &Ruby, rb_self: &Self, seconds: Option<f64>) -> Result<Value, Error> {
        let over = false.into_value_with(ruby);
        let (Some(queue), Some(app)) = (rb_self.queue(ruby)?, rb_self.app.get()) else { return Ok(over) };
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let parker = Parker::new();
        ruby.thread_check_ints()?;
        let overdue = match gvl::wait(ruby, &parker.unparker(), || queue.next_overdue(&parker, limit)) {
            Some(NextOverdue::Request(overdue)) => overdue,
            Some(NextOverdue::Over) => return Ok(over),
            Some(NextOverdue::Nothing) | None => return Ok(ruby.qnil().as_value()),
        };
        let (thread, exchange) = app
            .seats()
            .at(overdue.worker)
            .filter(|_| queue.has(&overdue))
            .map(|(thread, exchange, _)| (ruby.get_inner(thread), ruby.get_inner(exchange)))
            .unzip();
        let request = (overdue.method.as_str(), overdue.path, overdue.held.as_secs_f64(), thread, exchange);
        Ok(request.into_value_with(ruby))
    }

    /// The threads that are in the app: each with its exchange and for how long it has had it, in seconds.
    pub(super) fn serving(ruby: &Ruby, rb_self: &Self) -> Result<RArray, Error> {
        let all = ruby.ary_new();
        let now = Instant::now();
        for (thread, exchange, since) in rb_self.app.get().map(|app| app.seats().all()).unwrap_or_default() {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            all.push((ruby.get_inner(thread), ruby.get_inner(exchange), seconds))?;
        }
        Ok(all)
    }

    /// How many threads do not come back from a request that has exceeded `request_timeout`.
    pub(super) fn stuck(ruby: &Ruby, rb_self: &Self) -> Result<usize, Error> {
        Ok(rb_self.queue(ruby)?.map_or(0, |queue| queue.stuck()))
    }

    /// Waits until no request waits or runs, and one has ended since the last time; no request is taken then until this is called
    /// again. False when that will not come any more.
    pub(super) fn next_idle(ruby: &Ruby, rb_self: &Self) -> Result<bool, Error> {
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(false) };
        let parker = Parker::new();
        loop {
            ruby.thread_check_ints()?;
            match gvl::wait(ruby, &parker.unparker(), || queue.next_idle(&parker)) {
                Some(Idle::Now) => return Ok(true),
                Some(Idle::Over) => return Ok(false),
                Some(Idle::Nothing) | None => {}
            }
        }
    }

    /// An exchange that ended with its thread, and has its callbacks still to be run; nil for none.
    pub(super) fn next_unfinished(ruby: &Ruby, rb_self: &Self) -> Option<Obj<Exchange>> {
        let exchange = rb_self.app.get()?.next_unfinished()?;
        Some(ruby.get_inner(exchange))
    }

    /// Ruby could not make the worker that the pool wanted.
    pub(super) fn decline(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        if let Some(queue) = rb_self.queue(ruby)? {
            queue.decline();
        }
        Ok(())
    }

    /// A new thread calls `demand` from now on; the workers that the thread before it was to make may never come.
    pub(super) fn forget_requested(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        if let Some(queue) = rb_self.queue(ruby)? {
            queue.forget_requested();
        }
        Ok(())
    }
}
