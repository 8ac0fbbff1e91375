//! `Tidegate::Native::Server`: the core's server as a Ruby object. Ruby makes the threads; they wait and work here.

use std::{
    io,
    os::fd::RawFd,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use magnus::{
    DataTypeFunctions, Error, RHash, RModule, Ruby, Symbol, TypedData, Value, function, gc::Marker, method, prelude::*,
    scan_args, typed_data::Obj,
};
use tidegate_core::{
    access::{AccessLog, Format},
    dispatch::{Demand, DispatchQueue, Next, Rest},
    heap,
    lifecycle::{Event, Phase, Signal},
    log::{Log, TerminationLog},
    notice::Notice,
    plan::{Misfit, Plan},
    server::{self, Observer, Running, Turn},
    signals::Ears,
    wake::Sleeper,
    watchdog,
};

use crate::{error, gvl, settings::Settings, worker::App};

/// The Ruby object.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Server", free_immediately, mark)]
struct Server {
    /// Set once the object exists that marks the Ruby values in it.
    app: OnceLock<App>,
    log: Option<Arc<Log>>,
    /// Where each request gets a line, and how it looks.
    access: Option<(RawFd, Format)>,
    last_words: Option<Arc<TerminationLog>>,
    /// The shutdown's delays as they were resolved.
    plan: Plan,
    /// While the process's signals are this server's.
    ears: Mutex<Option<Ears>>,
    state: Mutex<State>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &Marker) {
        if let Some(app) = self.app.get() {
            app.mark(marker);
        }
    }
}

/// How far the server has come.
enum State {
    Configured(Box<tidegate_core::config::Config>, Vec<Misfit>),
    Bound(Box<server::Server>),
    Running(Arc<Running>),
    /// Binding or listening has failed, or the boot was given up.
    Over,
}

impl Server {
    fn new(ruby: &Ruby, app: Value, settings: RHash) -> Result<Obj<Self>, Error> {
        let Settings { config, misfits, log, last_words, access, boundary } = Settings::read(ruby, settings)?;
        let (log, last_words) = (log.map(Arc::new), last_words.map(Arc::new));
        let plan = config.plan;
        let state = Mutex::new(State::Configured(Box::new(config), misfits));
        let server =
            ruby.obj_wrap(Self { app: OnceLock::new(), log, access, last_words, plan, ears: Mutex::default(), state });
        let app = App::new(ruby, app, &boundary)?;
        server.app.get_or_init(|| app);
        Ok(server)
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn ears(&self) -> MutexGuard<'_, Option<Ears>> {
        self.ears.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn running(&self) -> Option<Arc<Running>> {
        match &*self.state() {
            State::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    /// The queue; `None` when it is over before it began.
    fn queue(&self, ruby: &Ruby) -> Result<Option<Arc<DispatchQueue>>, Error> {
        let queue = match &*self.state() {
            State::Bound(server) => Some(Some(server.queue().clone())),
            State::Running(running) => Some(Some(running.queue().clone())),
            State::Over => Some(None),
            State::Configured(..) => None,
        };
        queue.ok_or_else(|| error::misuse(ruby, "the server is not bound"))
    }

    fn observer(&self) -> Observer {
        let (log, last_words) = (self.log.clone(), self.last_words.clone());
        Arc::new(move |notice| {
            log.iter().for_each(|log| log.write(notice));
            last_words.iter().for_each(|log| log.write(notice));
        })
    }

    // ===== methods =====

    fn bind(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let taken = std::mem::replace(&mut *rb_self.state(), State::Over);
        let State::Configured(config, misfits) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is bound already"));
        };
        let observer = rb_self.observer();
        misfits.into_iter().for_each(|misfit| observer(&Notice::Misfit(misfit)));
        let bound = server::Server::bind(*config).map_err(|error| error::raise(ruby, &error))?;
        *rb_self.state() = State::Bound(Box::new(bound));
        Ok(())
    }

    fn listen(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Vec<String>, Error> {
        let args = scan_args::scan_args::<(), (Option<usize>,), (), (), (), ()>(args)?;
        let taken = std::mem::replace(&mut *rb_self.state(), State::Over);
        let State::Bound(mut server) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is not bound, or listens already"));
        };
        let queue = server.queue().clone();
        if let (Some(max_workers),) = args.optional {
            queue.limit_workers(max_workers);
        }
        if let Some((descriptor, format)) = rb_self.access {
            let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), format!("access log: {cause}"));
            server.log_requests(AccessLog::to(descriptor, format).map_err(failed)?);
        }
        if let Some(slices) = gvl::slices() {
            server.keep_slices(slices);
        }
        let running = server.start(rb_self.observer()).map_err(|error| {
            queue.close();
            error::raise(ruby, &error)
        })?;
        let addresses = running.addresses().to_vec();
        *rb_self.state() = State::Running(Arc::new(running));
        Ok(addresses)
    }

    fn admin_address(&self) -> Option<String> {
        self.running()?.admin_address().map(str::to_owned)
    }

    fn work(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let app = rb_self.app.get().ok_or_else(|| error::misuse(ruby, "the server has no app"))?;
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(()) };
        let worker = queue.register();
        let _watched = gvl::watch(ruby, &worker);
        loop {
            // The exchange stays in the queue until nothing can keep this thread from running it.
            ruby.thread_check_ints()?;
            match worker.look() {
                Next::Exchange(exchange) => {
                    if let Some(answered) = app.run(ruby, *exchange)? {
                        worker.hand_in(answered);
                    }
                }
                Next::Over => return Ok(()),
                Next::Nothing => {
                    if gvl::wait(ruby, &worker.waker(), || worker.sleep()) == Some(Rest::Surplus) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn demand(ruby: &Ruby, rb_self: &Self) -> Result<Symbol, Error> {
        let Some(queue) = rb_self.queue(ruby)? else { return Ok(ruby.to_symbol("stopped")) };
        let sleeper = Sleeper::new();
        loop {
            ruby.thread_check_ints()?;
            let demand = gvl::wait(ruby, &sleeper.waker(), || queue.demand(&sleeper)).flatten();
            match demand {
                Some(Demand::Worker) => return Ok(ruby.to_symbol("spawn")),
                Some(Demand::Over) => return Ok(ruby.to_symbol("stopped")),
                None => {}
            }
        }
    }

    /// The env of a request that was ended with its thread, and whose callbacks are still to be run; nil for none.
    fn next_unfinished(ruby: &Ruby, rb_self: &Self) -> Option<RHash> {
        let env = rb_self.app.get()?.next_unfinished()?;
        Some(ruby.get_inner(env))
    }

    /// Waits until the server is told to stop.
    fn await_stop(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_turn(ruby, Turn::Stopping)
    }

    /// Waits until everything new has stopped being served.
    fn await_closing(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_turn(ruby, Turn::Closing)
    }

    fn await_turn(&self, ruby: &Ruby, turn: Turn) -> Result<(), Error> {
        let sleeper = Sleeper::new();
        let Some(running) = self.running() else { return Ok(()) };
        loop {
            ruby.thread_check_ints()?;
            if gvl::wait(ruby, &sleeper.waker(), || running.wait_for(turn, &sleeper)) == Some(true) {
                return Ok(());
            }
        }
    }

    fn decline(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        if let Some(queue) = rb_self.queue(ruby)? {
            queue.decline();
        }
        Ok(())
    }

    fn signal(ruby: &Ruby, rb_self: &Self, name: Symbol) -> Result<(), Error> {
        let signal = match &*name.name()? {
            "TERM" => Signal::Term,
            "QUIT" => Signal::Quit,
            "INT" => Signal::Int,
            "HUP" => Signal::Hup,
            other => return Err(Error::new(ruby.exception_arg_error(), format!("no signal of ours: {other}"))),
        };
        let heard = rb_self.ears().as_ref().is_some_and(|ears| ears.heard(signal));
        if !heard {
            rb_self.tell(Event::Signal(signal));
        }
        Ok(())
    }

    fn hear_signals(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let Some(running) = rb_self.running() else {
            return Err(error::misuse(ruby, "the server does not listen"));
        };
        let ears = running.hear_signals().map_err(|cause| Error::new(ruby.exception_io_error(), cause.to_string()))?;
        *rb_self.ears() = Some(ears);
        Ok(())
    }

    fn ignore_signals(&self) {
        drop(self.ears().take());
    }

    fn stop(&self, drain: bool) {
        self.tell(if drain { Event::Drain } else { Event::Stop });
    }

    /// Passes an event on to the lifecycle. Before there is one, every event of ours gives the boot up: the sockets
    /// are closed, and a worker that waits already finds the queue closed.
    fn tell(&self, event: Event) {
        if let Some(running) = self.running() {
            return running.tell(event, Instant::now());
        }
        if let State::Bound(server) = std::mem::replace(&mut *self.state(), State::Over) {
            server.queue().close();
        }
    }

    fn join(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<bool, Error> {
        let args = scan_args::scan_args::<(), (Option<Option<f64>>,), (), (), (), ()>(args)?;
        let limit = args.optional.0.flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let deadline = limit.map(|limit| Instant::now() + limit);
        let sleeper = Sleeper::new();
        let Some(running) = rb_self.running() else {
            return Err(error::misuse(ruby, "the server does not listen"));
        };
        loop {
            ruby.thread_check_ints()?;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(stopped) = gvl::wait(ruby, &sleeper.waker(), || running.wait(&sleeper, left)).flatten() {
                return Ok(stopped);
            }
        }
    }

    /// Seconds.
    fn drain_delay(&self) -> f64 {
        self.plan.drain_delay.as_secs_f64()
    }

    /// Seconds; no `budget` where the platform sets none. `misfits` are sentences, until the server is bound.
    fn plan(ruby: &Ruby, rb_self: &Self) -> Result<RHash, Error> {
        let misfits: Vec<String> = match &*rb_self.state() {
            State::Configured(_, misfits) => misfits.iter().map(ToString::to_string).collect(),
            State::Bound(_) | State::Running(_) | State::Over => Vec::new(),
        };
        let plan = ruby.hash_new();
        plan.aset(ruby.to_symbol("drain_delay"), rb_self.drain_delay())?;
        plan.aset(ruby.to_symbol("shutdown_timeout"), rb_self.plan.shutdown_timeout.as_secs_f64())?;
        plan.aset(ruby.to_symbol("budget"), rb_self.plan.budget.map(|budget| budget.as_secs_f64()))?;
        plan.aset(ruby.to_symbol("misfits"), misfits)?;
        Ok(plan)
    }

    fn exit_status(&self) -> i32 {
        match self.running().map(|running| running.phase()) {
            Some(Phase::Stopped { status }) => status,
            _ => 0,
        }
    }

    fn phase(ruby: &Ruby, rb_self: &Self) -> Symbol {
        let phase = match &*rb_self.state() {
            State::Configured(..) | State::Bound(_) => Phase::Booting,
            State::Running(running) => running.phase(),
            State::Over => Phase::Stopped { status: 0 },
        };
        ruby.to_symbol(phase.name())
    }

    fn stats(ruby: &Ruby, rb_self: &Self) -> Result<RHash, Error> {
        let hash = ruby.hash_new();
        let Some(running) = rb_self.running() else { return Ok(hash) };
        let stats = running.stats();
        let (workers, idle) = running.queue().workers();
        for (name, value) in [
            ("connections", stats.connections),
            ("accepted", stats.accepted),
            ("requests", stats.requests),
            ("in_flight", stats.in_flight),
            ("queued", running.queue().len() as u64),
            ("workers", workers as u64),
            ("idle_workers", idle as u64),
            ("told_close", stats.told_close),
            ("idle_closed", stats.idle_closed),
            ("rejected", stats.rejected),
            ("client_gone", stats.client_gone),
            ("cut", stats.cut),
            ("hijacked", stats.hijacked),
        ] {
            hash.aset(ruby.to_symbol(name), value)?;
        }
        Ok(hash)
    }
}

fn exit_within(ruby: &Ruby, seconds: f64, status: i32) -> Result<(), Error> {
    let limit = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Error::new(ruby.exception_arg_error(), error.to_string()))?;
    watchdog::exit_within(limit, status).map_err(|error| Error::new(ruby.exception_thread_error(), error.to_string()))
}

/// How long the request that this thread runs has waited for the GVL so far, in milliseconds.
fn gvl_wait() -> f64 {
    gvl::waited().as_secs_f64() * 1e3
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.define_singleton_method("exit_within", function!(exit_within, 2))?;
    native.define_singleton_method("limit_arenas", function!(heap::limit_arenas, 1))?;
    native.define_singleton_method("gvl_wait", function!(gvl_wait, 0))?;
    native.define_singleton_method("io_bound", function!(gvl::step_aside, 0))?;
    native.define_singleton_method("knows_threads?", function!(gvl::knows_threads, 0))?;
    let class = native.define_class("Server", ruby.class_object())?;
    class.define_singleton_method("new", function!(Server::new, 2))?;
    class.define_method("bind", method!(Server::bind, 0))?;
    class.define_method("listen", method!(Server::listen, -1))?;
    class.define_method("admin_address", method!(Server::admin_address, 0))?;
    class.define_method("work", method!(Server::work, 0))?;
    class.define_method("demand", method!(Server::demand, 0))?;
    class.define_method("next_unfinished", method!(Server::next_unfinished, 0))?;
    class.define_method("await_stop", method!(Server::await_stop, 0))?;
    class.define_method("await_closing", method!(Server::await_closing, 0))?;
    class.define_method("decline", method!(Server::decline, 0))?;
    class.define_method("signal", method!(Server::signal, 1))?;
    class.define_method("hear_signals", method!(Server::hear_signals, 0))?;
    class.define_method("ignore_signals", method!(Server::ignore_signals, 0))?;
    class.define_method("stop", method!(Server::stop, 1))?;
    class.define_method("join", method!(Server::join, -1))?;
    class.define_method("drain_delay", method!(Server::drain_delay, 0))?;
    class.define_method("plan", method!(Server::plan, 0))?;
    class.define_method("exit_status", method!(Server::exit_status, 0))?;
    class.define_method("phase", method!(Server::phase, 0))?;
    class.define_method("stats", method!(Server::stats, 0))
}
