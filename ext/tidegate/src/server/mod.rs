//! `Tidegate::Native::Server`: the core's server as a Ruby object. Here: what it holds, how far it has come, and how it is stopped
//! and asked. It is started in `boot`, the threads that Ruby makes for it run in `worker`, and
//! `control` has what clients of the admin listener want of Ruby, and `log` what Ruby has to do with the lines of the logs.

mod boot;
mod cluster;
mod control;
mod log;
mod worker;

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
    BootGuard, DispatchQueue, Event, Inherited, LogFormat, Logs, Observer, Parker, Phase, Plan, Relay, Running, Signal,
    StopPoint,
};

use self::log::LOG_FLUSH;
use crate::{error, gvl, rack::app::App, settings};

/// The longest limit of a wait: longer than any process lives, and short enough to be added to any instant.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The Ruby object.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Server", free_immediately, mark)]
pub(crate) struct Server {
    /// Set when the Ruby object exists, which marks the Ruby values in it.
    app: OnceLock<App>,
    logs: Logs,
    /// The format of the access log's lines, which come where the log of events writes, and whether the app's logger gets them; `None` for
    /// no access log.
    access: Option<(LogFormat, bool)>,
    /// The sockets, for a process that is to inherit them; set when they are bound.
    sockets: OnceLock<Vec<Inherited>>,
    /// The delays of the shutdown.
    plan: Plan,
    state: Mutex<ServerState>,
    /// Set while the app is loaded: it ends the process on a signal.
    guard: Mutex<Option<BootGuard>>,
}

impl DataTypeFunctions for Server {
    fn mark(&self, marker: &Marker) {
        if let Some(app) = self.app.get() {
            app.mark(marker);
        }
    }
}

/// Ruby drops the server of a process that ends without having stopped it: its last log lines are still written.
impl Drop for Server {
    fn drop(&mut self) {
        // No thread of Ruby's attends any more.
        self.logs.relay.iter().for_each(Relay::close);
        self.logs.finish(Instant::now() + LOG_FLUSH);
    }
}

/// How far the server has come.
enum ServerState {
    /// The settings are read.
    Configured(Box<tidegate_core::Config>),
    /// A thread binds without the GVL: host names are looked up, which may take long.
    Binding,
    /// The sockets are bound, and the app may be loaded.
    Bound(Box<tidegate_core::Server>),
    Running(Arc<Running>),
    /// Binding or listening has failed, or the server was stopped before it listened.
    Over,
}

impl Server {
    /// From the app, its settings and the keywords that [`settings::read_keywords`] reads.
    fn new(ruby: &Ruby, args: &[Value]) -> Result<Obj<Self>, Error> {
        let args = scan_args::scan_args::<(Value, RHash), (), (), (), RHash, ()>(args)?;
        let (app, settings) = args.required;
        let (config, rack) = settings::read(ruby, settings)?;
        let (app_settings, descriptors) = settings::read_keywords(rack, args.keywords)?;
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), cause.to_string());
        let relay = descriptors.is_relayed().then(Relay::default);
        let lines = relay.clone().filter(|_| descriptors.relays_lines);
        let logs = Logs { relay, ..Logs::open(&config, descriptors.log, descriptors.errors, lines).map_err(failed)? };
        let access = config.logging.log_requests.then_some((config.logging.log_format, descriptors.relays_access));
        let (plan, _) = Plan::resolve(config.shutdown, config.platform);
        let state = Mutex::new(ServerState::Configured(Box::new(config)));
        let (app_slot, sockets) = (OnceLock::new(), OnceLock::new());
        let server = ruby.obj_wrap(Self { app: app_slot, logs, access, sockets, plan, state, guard: Mutex::default() });
        let app = App::new(ruby, app, &app_settings)?;
        server.app.get_or_init(|| app);
        Ok(server)
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn guard(&self) -> MutexGuard<'_, Option<BootGuard>> {
        self.guard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn running(&self) -> Option<Arc<Running>> {
        match &*self.state() {
            ServerState::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    /// The queue; `None` if the server was stopped before it listened.
    fn queue(&self, ruby: &Ruby) -> Result<Option<Arc<DispatchQueue>>, Error> {
        let queue = match &*self.state() {
            ServerState::Bound(server) => Some(Some(server.queue().clone())),
            ServerState::Running(running) => Some(Some(running.queue().clone())),
            ServerState::Over => Some(None),
            ServerState::Configured(_) | ServerState::Binding => None,
        };
        queue.ok_or_else(|| error::misuse(ruby, "the server is not bound"))
    }

    fn observer(&self) -> Observer {
        let logs = self.logs.clone();
        Arc::new(move |event| logs.write(event))
    }

    // ===== Ruby methods =====

    fn admin_address(&self) -> Option<String> {
        match &*self.state() {
            ServerState::Bound(server) => server.admin_address(),
            ServerState::Running(running) => running.admin_address().map(str::to_owned),
            ServerState::Configured(_) | ServerState::Binding | ServerState::Over => None,
        }
    }

    /// Waits until the server is told to stop.
    fn await_stop(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_point(ruby, StopPoint::Stopping)
    }

    /// Waits until the server serves nothing new any more.
    fn await_closing(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.await_point(ruby, StopPoint::Closing)
    }

    fn await_point(&self, ruby: &Ruby, point: StopPoint) -> Result<(), Error> {
        let parker = Parker::new();
        let Some(running) = self.running() else { return Ok(()) };
        loop {
            ruby.thread_check_ints()?;
            if gvl::wait(ruby, &parker.unparker(), || running.wait_for(point, &parker)) == Some(true) {
                return Ok(());
            }
        }
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

    /// Has the files of certificates looked at now.
    fn reload_certificates(&self) {
        self.running().iter().for_each(|running| running.reload_certificates());
    }

    /// The keys by which clients resume TLS sessions, for the next image of the process: a secret. Empty where there are none.
    fn ticket_keys(ruby: &Ruby, rb_self: &Self) -> RString {
        let keys = rb_self.running().map(|running| running.export_ticket_keys());
        ruby.str_from_slice(&keys.unwrap_or_default())
    }

    /// Takes those of the image before this one, before the server listens.
    fn adopt_ticket_keys(&self, keys: RString) {
        if let ServerState::Bound(server) = &*self.state() {
            server.import_ticket_keys(&keys.to_bytes());
        }
    }

    fn stop(&self, drain: bool) {
        self.tell(if drain { Event::Drain } else { Event::Stop });
    }

    /// Passes an event on to the lifecycle. Before the server listens there is none, and each event means that it is not to: the
    /// sockets are closed, and a worker that waits already finds the queue closed.
    fn tell(&self, event: Event) {
        if let Some(running) = self.running() {
            return running.tell(event, Instant::now());
        }
        drop(self.guard().take());
        if let ServerState::Bound(server) = std::mem::replace(&mut *self.state(), ServerState::Over) {
            server.queue().close();
        }
    }

    fn join(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<bool, Error> {
        let args = scan_args::scan_args::<(), (Option<Option<f64>>,), (), (), (), ()>(args)?;
        let seconds = args.optional.0.flatten();
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let deadline = limit.map(|limit| Instant::now() + limit.min(LONGEST));
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

    /// In seconds.
    fn drain_delay(&self) -> f64 {
        self.plan.drain_delay.as_secs_f64()
    }

    /// For each socket its address as it was configured, its descriptor, and whether it goes on listening after this process. The
    /// descriptors are open until the server closes its listeners.
    fn sockets(&self) -> Vec<(String, RawFd, bool)> {
        let sockets = self.sockets.get().into_iter().flatten();
        sockets.map(|socket| (socket.address.to_string(), socket.descriptor, socket.outlives_us)).collect()
    }

    fn exit_status(&self) -> i32 {
        match self.running().map(|running| running.phase()) {
            Some(Phase::Stopped { status }) => status,
            _ => 0,
        }
    }

    fn phase(ruby: &Ruby, rb_self: &Self) -> Symbol {
        let phase = match &*rb_self.state() {
            ServerState::Configured(_) | ServerState::Binding | ServerState::Bound(..) => Phase::Booting,
            ServerState::Running(running) => running.phase(),
            ServerState::Over => Phase::Stopped { status: 0 },
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

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Server", ruby.class_object())?;
    class.define_singleton_method("new", function!(Server::new, -1))?;
    class.define_method("bind", method!(Server::bind, 0))?;
    class.define_method("guard_boot", method!(Server::guard_boot, 1))?;
    class.define_method("listen", method!(Server::listen, -1))?;
    class.define_method("admin_address", method!(Server::admin_address, 0))?;
    class.define_method("join_cluster", method!(Server::join_cluster, 3))?;
    class.define_method("share", method!(Server::share, 0))?;
    class.define_method("retire", method!(Server::retire, 0))?;
    class.define_method("live_on", method!(Server::live_on, 0))?;
    class.define_method("conclude_cluster", method!(Server::conclude_cluster, 3))?;
    class.define_method("publish_gc", method!(Server::publish_gc, 6))?;
    class.define_method("await_reopen", method!(Server::await_reopen, 1))?;
    class.define_method("ready_sentence", method!(Server::ready_sentence, 2))?;
    class.define_method("end_guard", method!(Server::end_guard, 0))?;
    class.define_method("work", method!(Server::work, 0))?;
    class.define_method("demand", method!(Server::demand, 0))?;
    class.define_method("next_overdue", method!(Server::next_overdue, 1))?;
    class.define_method("next_idle", method!(Server::next_idle, 0))?;
    class.define_method("serving", method!(Server::serving, 0))?;
    class.define_method("stuck", method!(Server::stuck, 0))?;
    class.define_method("next_unfinished", method!(Server::next_unfinished, 0))?;
    class.define_method("await_stop", method!(Server::await_stop, 0))?;
    class.define_method("await_closing", method!(Server::await_closing, 0))?;
    class.define_method("forget_requested", method!(Server::forget_requested, 0))?;
    class.define_method("decline", method!(Server::decline, 0))?;
    class.define_method("next_question", method!(Server::next_question, 0))?;
    class.define_method("answer", method!(Server::answer, 3))?;
    class.define_method("show_settings", method!(Server::show_settings, 1))?;
    class.define_method("signal", method!(Server::signal, 1))?;
    class.define_method("ignore_signals", method!(Server::ignore_signals, 0))?;
    class.define_method("print", method!(Server::print, 2))?;
    class.define_method("attend_lines", method!(Server::attend_lines, 0))?;
    class.define_method("next_lines", method!(Server::next_lines, 0))?;
    class.define_method("replace_lines", method!(Server::replace_lines, 1))?;
    class.define_method("leave_lines", method!(Server::leave_lines, 0))?;
    class.define_method("stop", method!(Server::stop, 1))?;
    class.define_method("join", method!(Server::join, -1))?;
    class.define_method("drain_delay", method!(Server::drain_delay, 0))?;
    class.define_method("reload_certificates", method!(Server::reload_certificates, 0))?;
    class.define_method("ticket_keys", method!(Server::ticket_keys, 0))?;
    class.define_method("adopt_ticket_keys", method!(Server::adopt_ticket_keys, 1))?;
    class.define_method("reopen_logs", method!(Server::reopen_logs, 0))?;
    class.define_method("sockets", method!(Server::sockets, 0))?;
    class.define_method("exit_status", method!(Server::exit_status, 0))?;
    class.define_method("phase", method!(Server::phase, 0))?;
    class.define_method("stats", method!(Server::stats, 0))
}
