//! The threads that Ruby makes for the server: the workers, each of which runs exchanges, and the one that waits until the pool
//! wants one more worker.

use magnus::{Error, Ruby, Symbol, typed_data::Obj};
use tidegate_core::{Demand, Next, Parker, Woken};

use super::Server;
use crate::{error, gvl, rack::exchange::Exchange};

impl Server {
    /// Runs exchanges until the server is over or has more workers than it needs.
    pub(super) fn work(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let app = rb_self.app.get().ok_or_else(|| error::misuse(ruby, "the server has no app"))?;
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(()) };
        let worker = queue.register();
        let _registration = gvl::events::register(ruby, &worker);
        let forks = gvl::fork::forks();
        loop {
            // An interrupt ends this thread here, before it takes an exchange from the queue, and not after.
            ruby.thread_check_ints()?;
            match worker.look() {
                Next::Exchange(exchange) => {
                    gvl::time_slice::begin_request();
                    let answered = error::catching(ruby, || app.run(ruby, *exchange));
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
