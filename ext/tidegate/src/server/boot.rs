//! How the server starts: it binds its sockets, guards the process while the app is loaded, and then listens.

use std::{io, sync::Arc};

use magnus::{Error, RArray, Ruby, Value, scan_args};
use tidegate_core::{AccessLog, Running, Signal};

use super::{Server, ServerState, signals};
use crate::{error, gvl};

impl Server {
    /// Binds the sockets of the listeners.
    pub(super) fn bind(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        let taken = std::mem::replace(&mut *rb_self.state(), ServerState::Over);
        let ServerState::Configured(config) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is bound already"));
        };
        *rb_self.state() = ServerState::Binding;
        let bound = gvl::without(ruby, move || tidegate_core::Server::bind(*config));
        let given_up = !matches!(std::mem::replace(&mut *rb_self.state(), ServerState::Over), ServerState::Binding);
        let bound = bound?.map_err(|error| error::raise(ruby, &error))?;
        rb_self.sockets.get_or_init(|| bound.sockets());
        if given_up {
            bound.queue().close();
        } else {
            *rb_self.state() = ServerState::Bound(Box::new(bound));
        }
        Ok(())
    }

    /// Until the server listens, ends the process on one of these signals, also while Ruby cannot run its traps.
    pub(super) fn guard_boot(ruby: &Ruby, rb_self: &Self, names: RArray) -> Result<(), Error> {
        let signals = signals(ruby, names)?;
        let guard = match &*rb_self.state() {
            ServerState::Bound(server) => Some(server.guard_boot(&signals, rb_self.observer(), rb_self.logs.clone())),
            ServerState::Configured(_) | ServerState::Binding | ServerState::Running(_) | ServerState::Over => None,
        };
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), cause.to_string());
        let guard = guard.ok_or_else(|| error::misuse(ruby, "the server is not bound, or listens already"))?;
        *rb_self.guard() = Some(guard.map_err(failed)?);
        Ok(())
    }

    /// Starts the runtime, and returns the addresses that the server listens on. `max_threads` replaces the number that was set. If
    /// the process is the server's own, `signals` are those that the server handles from now on.
    pub(super) fn listen(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Vec<String>, Error> {
        let args = scan_args::scan_args::<(), (Option<usize>, Option<Option<RArray>>), (), (), (), ()>(args)?;
        let (max_threads, signals) = args.optional;
        let signals = signals.flatten().map(|names| self::signals(ruby, names)).transpose()?;
        let taken = std::mem::replace(&mut *rb_self.state(), ServerState::Over);
        let ServerState::Bound(server) = taken else {
            *rb_self.state() = taken;
            return Err(error::misuse(ruby, "the server is not bound, or listens already"));
        };
        let queue = server.queue().clone();
        if let Some(max_threads) = max_threads {
            queue.set_max_threads(max_threads);
        }
        // Workers may wait at the queue already, and are to end when it never gets a request.
        let running = rb_self.start(ruby, *server, signals).inspect_err(|_| queue.close())?;
        // The server handles the signals now.
        drop(rb_self.guard().take());
        let addresses = running.addresses().to_vec();
        *rb_self.state() = ServerState::Running(Arc::new(running));
        // The line that says so comes before the first line of the app.
        rb_self.finish_logs(ruby);
        Ok(addresses)
    }

    fn start(
        &self,
        ruby: &Ruby,
        mut server: tidegate_core::Server,
        signals: Option<Vec<Signal>>,
    ) -> Result<Running, Error> {
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), format!("log: {cause}"));
        if let (Some((format, relayed)), Some(log)) = (self.access, &self.logs.events) {
            let relay = self.logs.relay.clone().filter(|_| relayed);
            server.log_requests(AccessLog::beside(log, format, relay).map_err(failed)?);
        }
        self.logs.start().map_err(failed)?;
        server.finish_logs(self.logs.clone());
        if let Some(slicer) = gvl::time_slice::time_slicer() {
            server.set_time_slicer(slicer);
        }
        if let Some(signals) = signals {
            server.own_process(&signals);
        }
        server.start(self.observer()).map_err(|error| error::raise(ruby, &error))
    }
}
