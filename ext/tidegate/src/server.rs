//! `Tidegate::Native::Server`: the core's server as a Ruby object. Ruby makes the threads; they wait and work here.

use std::{
    io,
    os::fd::RawFd,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use magnus::{
    DataTypeFunctions, Error, RArray, RHash, RModule, RString, Ruby, Symbol, TypedData, Value, function, gc::Marker,
    method, prelude::*, scan_args, try_convert::TryConvert, typed_data::Obj,
};
use tidegate_core::{
    AccessLog, BootGuard, Demand, DispatchQueue, Event, LogFormat, Logs, Next, Observer, Parker, Phase, Plan, Rest,
    Running, Signal, StopPoint, limit_arenas,
};

use crate::{
    error, gvl,
    rack::{app::App, exchange::Exchange},
    settings,
};

/// How long lines may take to be written at the server's beginning and after its end.
const LAST_LINES: Duration = Duration::from_millis(200);

/// The Ruby object.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Server", free_immediately, mark)]
pub(crate) struct Server {
    /// Set once the object exists that marks the Ruby values in it.
    app: OnceLock<App>,
    logs: Logs,
    /// Where each request gets a line, and how it looks.
    access: Option<(RawFd, LogFormat)>,
    /// The shutdown's delays as they were resolved.
    plan: Plan,
    state: Mutex<State>,
    /// While the app is loaded.
    guard: Mutex<Option<BootGuard>>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &Marker) {
        if let Some(app) = self.app.get() {
            app.mark(marker);
        }
    }
}

/// A process that ends without having stopped its server drops it in the end: what was said last is still written.
impl Drop for Server {
    fn drop(&mut self) {
        self.logs.finish(Instant::now() + LAST_LINES);
    }
}

/// How far the server has come.
enum State {
    Configured(Box<tidegate_core::Config>),
    /// Without the GVL: names are looked up, which may take long.
    Binding,
    Bound(Box<tidegate_core::Server>),
    Running(Arc<Running>),
    /// Binding or listening has failed, or the boot was given up.
    Over,
}

impl Server {
    /// From the app, its settings and the keywords that [`settings::beside`] reads.
    fn new(ruby: &Ruby, args: &[Value]) -> Result<Obj<Self>, Error> {
        let args = scan_args::scan_args::<(Value, RHash), (), (), (), RHash, ()>(args)?;
        let (app, settings) = args.required;
        let (config, rack) = settings::read(ruby, settings)?;
        let (boundary, descriptors) = settings::beside(&rack, args.keywords)?;
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), cause.to_string());
        let logs = Logs::open(&config, descriptors.log, descriptors.errors).map_err(failed)?;
        let access =
            descriptors.log.filter(|_| config.logging.log_requests).map(|log| (log, config.logging.log_format));
        let (plan, _) = Plan::resolve(config.shutdown, config.platform);
        let state = Mutex::new(State::Configured(Box::new(config)));
        let server = ruby.obj_wrap(Self { app: OnceLock::new(), logs, access, plan, state, guard: Mutex::default() });
        let app = App::new(ruby, app, &boundary)?;
        server.app.get_or_init(|| app);
        Ok(server)
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
            State::Configured(_) | State::Binding => None,
        };
        queue.ok_or_else(|| error::misuse(ruby, "the server is not bound"))
    }

    fn observer(&self) -> Observer {
        let logs = self.logs.clone();
        Arc::new(move |event| logs.hear(event))
    }

    // ===== methods =====

    fn bind(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let taken = std::mem::replace(&mut *rb_self.state(), State::Over);
        let State::Configured(config) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is bound already"));
        };
        *rb_self.state() = State::Binding;
        let bound = gvl::without(ruby, move || tidegate_core::Server::bind(*config));
        let given_up = !matches!(std::mem::replace(&mut *rb_self.state(), State::Over), State::Binding);
        let bound = bound?.map_err(|error| error::raise(ruby, &error))?;
        if given_up {
            bound.queue().close();
        } else {
            *rb_self.state() = State::Bound(Box::new(bound));
        }
        Ok(())
    }

    /// Sees to it that the process ends on one of these signals although Ruby can't run, until the server listens.
    fn guard_boot(ruby: &Ruby, rb_self: &Self, names: RArray) -> Result<(), Error> {
        let signals = signals(ruby, names)?;
        let guard = match &*rb_self.state() {
            State::Bound(server) => Some(server.guard_boot(&signals, rb_self.observer(), rb_self.logs.clone())),
            State::Configured(_) | State::Binding | State::Running(_) | State::Over => None,
        };
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), cause.to_string());
        let guard = guard.ok_or_else(|| error::misuse(ruby, "the server is not bound, or listens already"))?;
        *rb_self.guard() = Some(guard.map_err(failed)?);
        Ok(())
    }

    fn guard(&self) -> MutexGuard<'_, Option<BootGuard>> {
        self.guard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `max_workers` replaces the number that was set. `signals` are given where the process is the server's own: the server
    /// hears them from now on.
    fn listen(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Vec<String>, Error> {
        let args = scan_args::scan_args::<(), (Option<usize>, Option<Option<RArray>>), (), (), (), ()>(args)?;
        let (max_workers, signals) = args.optional;
        let signals = signals.flatten().map(|names| self::signals(ruby, names)).transpose()?;
        let taken = std::mem::replace(&mut *rb_self.state(), State::Over);
        let State::Bound(mut server) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is not bound, or listens already"));
        };
        let queue = server.queue().clone();
        if let Some(max_workers) = max_workers {
            queue.limit_workers(max_workers);
        }
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), format!("log: {cause}"));
        if let Some((descriptor, format)) = rb_self.access {
            server.log_requests(AccessLog::to(descriptor, format).map_err(failed)?);
        }
        rb_self.logs.start().map_err(failed)?;
        server.finish_logs(rb_self.logs.clone());
        if let Some(slices) = gvl::slices() {
            server.keep_slices(slices);
        }
        if let Some(signals) = signals {
            server.own_process(&signals);
        }
        let running = server.start(rb_self.observer()).map_err(|error| {
            queue.close();
            error::raise(ruby, &error)
        })?;
        // The server hears the signals by now.
        drop(rb_self.guard().take());
        let addresses = running.addresses().to_vec();
        *rb_self.state() = State::Running(Arc::new(running));
        // So that it is said before the app says anything about it.
        rb_self.finish_logs(ruby);
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
        let process = gvl::process();
        loop {
            // The exchange stays in the queue until nothing can keep this thread from running it.
            ruby.thread_check_ints()?;
            match worker.look() {
                Next::Exchange(exchange) => {
                    gvl::begin_request();
                    let answered = error::catching(ruby, || app.run(ruby, *exchange));
                    if gvl::process() != process {
                        // The app has forked, and this is the child, which has come back from the app as well. The connection
                        // is the parent's, and the locks of the queue may be held by threads that are not here.
                        std::mem::forget((answered, worker));
                        return Ok(());
                    }
                    if let Some(answered) = answered? {
                        worker.hand_in(answered);
                    }
                    if gvl::is_due() {
                        worker.end_exchange();
                        gvl::wait(ruby, &worker.unparker(), || worker.deliver());
                    }
                }
                Next::Over => return Ok(()),
                Next::Nothing => {
                    if gvl::wait(ruby, &worker.unparker(), || worker.sleep()) == Some(Rest::Surplus) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn demand(ruby: &Ruby, rb_self: &Self) -> Result<Symbol, Error> {
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

    /// An exchange that was ended with its thread, and whose callbacks are still to be run; nil for none.
    fn next_unfinished(ruby: &Ruby, rb_self: &Self) -> Option<Obj<Exchange>> {
        let exchange = rb_self.app.get()?.next_unfinished()?;
        Some(ruby.get_inner(exchange))
    }

    /// Waits until the server is told to stop.
    fn await_stop(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_turn(ruby, StopPoint::Stopping)
    }

    /// Waits until everything new has stopped being served.
    fn await_closing(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_turn(ruby, StopPoint::Closing)
    }

    fn await_turn(&self, ruby: &Ruby, turn: StopPoint) -> Result<(), Error> {
        let parker = Parker::new();
        let Some(running) = self.running() else { return Ok(()) };
        loop {
            ruby.thread_check_ints()?;
            if gvl::wait(ruby, &parker.unparker(), || running.wait_for(turn, &parker)) == Some(true) {
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

    /// The thread that calls `demand` is a new one; what the one before it was asked for may never come.
    fn forget_promises(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        if let Some(queue) = rb_self.queue(ruby)? {
            queue.forget_promises();
        }
        Ok(())
    }

    fn signal(ruby: &Ruby, rb_self: &Self, name: Symbol) -> Result<(), Error> {
        let signal = signal(ruby, name)?;
        match rb_self.running() {
            Some(running) => running.signalled(signal, Instant::now()),
            None => rb_self.tell(Event::Signal(signal)),
        }
        Ok(())
    }

    fn ignore_signals(&self) {
        if let Some(running) = self.running() {
            running.ignore_signals();
        }
    }

    /// Has lines written beside the server's own, to the log of its errors or of its events; false where there is none, or no
    /// thread of the server's writes: before it listens, and in a child that the app has forked.
    fn print(ruby: &Ruby, rb_self: &Self, lines: RString, error: bool) -> bool {
        let log = if error { &rb_self.logs.errors } else { &rb_self.logs.events };
        let Some(log) = log else { return false };
        let printed = log.print(lines.to_bytes().to_vec());
        if printed && rb_self.running().is_some_and(|running| matches!(running.phase(), Phase::Stopped { .. })) {
            // The process may end at any moment.
            rb_self.finish_logs(ruby);
        }
        printed
    }

    /// Waits until what was said is written, but not for long.
    fn finish_logs(&self, ruby: &Ruby) {
        let deadline = Instant::now() + LAST_LINES;
        gvl::wait(ruby, &Parker::new().unparker(), || self.logs.finish(deadline));
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
        drop(self.guard().take());
        if let State::Bound(server) = std::mem::replace(&mut *self.state(), State::Over) {
            server.queue().close();
        }
    }

    fn join(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<bool, Error> {
        let args = scan_args::scan_args::<(), (Option<Option<f64>>,), (), (), (), ()>(args)?;
        let limit = args.optional.0.flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let deadline = limit.map(|limit| Instant::now() + limit);
        let parker = Parker::new();
        let Some(running) = rb_self.running() else {
            return Err(error::misuse(ruby, "the server does not listen"));
        };
        loop {
            ruby.thread_check_ints()?;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(stopped) = gvl::wait(ruby, &parker.unparker(), || running.wait(&parker, left)).flatten() {
                return Ok(stopped);
            }
        }
    }

    /// Seconds.
    fn drain_delay(&self) -> f64 {
        self.plan.drain_delay.as_secs_f64()
    }

    fn exit_status(&self) -> i32 {
        match self.running().map(|running| running.phase()) {
            Some(Phase::Stopped { status }) => status,
            _ => 0,
        }
    }

    fn phase(ruby: &Ruby, rb_self: &Self) -> Symbol {
        let phase = match &*rb_self.state() {
            State::Configured(_) | State::Binding | State::Bound(..) => Phase::Booting,
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
            ("rejected", stats.shed),
            ("client_gone", stats.client_gone),
            ("cut", stats.cut),
            ("hijacked", stats.hijacked),
        ] {
            hash.aset(ruby.to_symbol(name), value)?;
        }
        Ok(hash)
    }
}

fn signal(ruby: &Ruby, name: Symbol) -> Result<Signal, Error> {
    match &*name.name()? {
        "TERM" => Ok(Signal::Term),
        "QUIT" => Ok(Signal::Quit),
        "INT" => Ok(Signal::Int),
        "HUP" => Ok(Signal::Hup),
        other => Err(Error::new(ruby.exception_arg_error(), format!("no signal of ours: {other}"))),
    }
}

fn signals(ruby: &Ruby, names: RArray) -> Result<Vec<Signal>, Error> {
    names.into_iter().map(|name| signal(ruby, Symbol::try_convert(name)?)).collect()
}

fn exit_within(ruby: &Ruby, seconds: f64, status: i32) -> Result<(), Error> {
    let limit = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Error::new(ruby.exception_arg_error(), error.to_string()))?;
    tidegate_core::exit_within(limit, status)
        .map_err(|error| Error::new(ruby.exception_thread_error(), error.to_string()))
}

/// The shutdown plan that comes of these settings, in seconds; no `budget` where the platform sets none. `clamped` are sentences.
fn plan(ruby: &Ruby, settings: RHash) -> Result<RHash, Error> {
    let (config, _) = settings::read(ruby, settings)?;
    let (plan, clamped) = Plan::resolve(config.shutdown, config.platform);
    let clamped: Vec<String> = clamped.iter().map(ToString::to_string).collect();
    let hash = ruby.hash_new();
    hash.aset(ruby.to_symbol("drain_delay"), plan.drain_delay.as_secs_f64())?;
    hash.aset(ruby.to_symbol("shutdown_timeout"), plan.shutdown_timeout.as_secs_f64())?;
    hash.aset(ruby.to_symbol("budget"), plan.budget.map(|budget| budget.as_secs_f64()))?;
    hash.aset(ruby.to_symbol("clamped"), clamped)?;
    Ok(hash)
}

/// How long the request that this thread runs has waited for the GVL so far, in milliseconds.
fn gvl_wait() -> f64 {
    gvl::waited().as_secs_f64() * 1e3
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.define_singleton_method("plan", function!(plan, 1))?;
    native.define_singleton_method("exit_within", function!(exit_within, 2))?;
    native.define_singleton_method("limit_arenas", function!(limit_arenas, 1))?;
    native.define_singleton_method("gvl_wait", function!(gvl_wait, 0))?;
    native.define_singleton_method("io_bound", function!(gvl::step_aside, 0))?;
    native.define_singleton_method("knows_threads?", function!(gvl::knows_threads, 0))?;
    let class = native.define_class("Server", ruby.class_object())?;
    class.define_singleton_method("new", function!(Server::new, -1))?;
    class.define_method("bind", method!(Server::bind, 0))?;
    class.define_method("guard_boot", method!(Server::guard_boot, 1))?;
    class.define_method("listen", method!(Server::listen, -1))?;
    class.define_method("admin_address", method!(Server::admin_address, 0))?;
    class.define_method("work", method!(Server::work, 0))?;
    class.define_method("demand", method!(Server::demand, 0))?;
    class.define_method("next_unfinished", method!(Server::next_unfinished, 0))?;
    class.define_method("await_stop", method!(Server::await_stop, 0))?;
    class.define_method("await_closing", method!(Server::await_closing, 0))?;
    class.define_method("forget_promises", method!(Server::forget_promises, 0))?;
    class.define_method("decline", method!(Server::decline, 0))?;
    class.define_method("signal", method!(Server::signal, 1))?;
    class.define_method("ignore_signals", method!(Server::ignore_signals, 0))?;
    class.define_method("print", method!(Server::print, 2))?;
    class.define_method("stop", method!(Server::stop, 1))?;
    class.define_method("join", method!(Server::join, -1))?;
    class.define_method("drain_delay", method!(Server::drain_delay, 0))?;
    class.define_method("exit_status", method!(Server::exit_status, 0))?;
    class.define_method("phase", method!(Server::phase, 0))?;
    class.define_method("stats", method!(Server::stats, 0))
}
