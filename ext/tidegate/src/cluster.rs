//! `Tidegate::Native::Cluster`: what a master shares with the workers that it forks, as a Ruby object.

use std::{io, os::fd::RawFd, sync::Arc};

use magnus::{Error, RArray, RHash, RModule, RString, Ruby, Symbol, TypedData, function, method, prelude::*};
use tidegate_core::{Cluster as Core, Restart, WorkerView};

use crate::error;

/// The Ruby object. A child that the master forks has the same memory behind it.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Cluster", free_immediately)]
pub(crate) struct Cluster {
    core: Arc<Core>,
    slots: usize,
}

impl magnus::DataTypeFunctions for Cluster {}

impl Cluster {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// With `adoption`, the descriptors that the image of this process before had for connections without a worker.
    fn new(ruby: &Ruby, slots: usize, adoption: Option<(RawFd, RawFd)>) -> Result<Self, Error> {
        let failed = |cause: io::Error| Error::new(ruby.exception_io_error(), format!("no shared memory: {cause}"));
        let own = |(reader, writer)| Ok((tidegate_core::duplicate(reader)?, tidegate_core::duplicate(writer)?));
        let core = match adoption.map(own).transpose().map_err(failed)? {
            Some(adoption) => Core::create_after_exec(slots, adoption),
            None => Core::create(slots),
        };
        Ok(Self { core: core.map_err(failed)?, slots })
    }

    /// Those descriptors, for the next image.
    fn adoption(&self) -> (RawFd, RawFd) {
        self.core.adoption_descriptors()
    }

    /// The keys by which the workers resume TLS sessions, for the next image: a secret.
    fn ticket_keys(ruby: &Ruby, rb_self: &Self) -> RString {
        ruby.str_from_slice(&rb_self.core.export_ticket_keys())
    }

    /// Takes those of the image before this one. Before the first fork.
    fn adopt_ticket_keys(&self, keys: RString) {
        self.core.import_ticket_keys(&keys.to_bytes());
    }

    fn slots(&self) -> usize {
        self.slots
    }

    /// A free place for the worker of that index; nil where all are taken.
    fn reserve(&self, index: usize) -> Option<usize> {
        self.core.reserve(index)
    }

    fn spawned(ruby: &Ruby, rb_self: &Self, slot: usize, pid: u32) -> Result<(), Error> {
        rb_self.checked(ruby, slot)?;
        rb_self.core.spawned(slot, pid);
        Ok(())
    }

    /// The worker of that place has ended, and was waited for.
    fn gone(ruby: &Ruby, rb_self: &Self, slot: usize) -> Result<(), Error> {
        rb_self.checked(ruby, slot)?;
        rb_self.core.gone(slot);
        Ok(())
    }

    fn checked(&self, ruby: &Ruby, slot: usize) -> Result<(), Error> {
        if slot < self.slots { Ok(()) } else { Err(error::misuse(ruby, "the cluster has no such place")) }
    }

    /// A Hash for each worker.
    fn workers(ruby: &Ruby, rb_self: &Self) -> Result<RArray, Error> {
        let views = ruby.ary_new();
        for view in rb_self.core.workers() {
            views.push(self::view(ruby, &view)?)?;
        }
        Ok(views)
    }

    fn begin_phase(&self) -> u32 {
        self.core.begin_phase()
    }

    /// Counts a worker that is replaced, for the metrics.
    fn count_restart(ruby: &Ruby, rb_self: &Self, reason: Symbol) -> Result<(), Error> {
        let reason = match &*reason.name()? {
            "crashed" => Restart::Crashed,
            "timeout" | "stuck" => Restart::Timeout,
            "max_requests" => Restart::MaxRequests,
            "max_memory" => Restart::MaxMemory,
            "phased" | "restart" => Restart::Phased,
            "refork" => Restart::Refork,
            "asked" => Restart::Asked,
            other => return Err(Error::new(ruby.exception_arg_error(), format!("no reason of ours: {other}"))),
        };
        rb_self.core.count_restart(reason);
        Ok(())
    }
}

fn view(ruby: &Ruby, view: &WorkerView) -> Result<RHash, Error> {
    let hash = ruby.hash_new();
    hash.aset(ruby.to_symbol("slot"), view.slot)?;
    hash.aset(ruby.to_symbol("index"), view.index)?;
    hash.aset(ruby.to_symbol("pid"), view.pid)?;
    hash.aset(ruby.to_symbol("state"), ruby.to_symbol(view.state.name()))?;
    hash.aset(ruby.to_symbol("heartbeat_age"), view.heartbeat_age.as_secs_f64())?;
    hash.aset(ruby.to_symbol("requests"), view.requests)?;
    hash.aset(ruby.to_symbol("in_flight"), view.in_flight)?;
    hash.aset(ruby.to_symbol("connections"), view.connections)?;
    hash.aset(ruby.to_symbol("hijacked"), view.hijacked)?;
    hash.aset(ruby.to_symbol("stuck"), view.stuck)?;
    hash.aset(ruby.to_symbol("rss"), view.rss)?;
    Ok(hash)
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Cluster", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("new", function!(Cluster::new, 2))?;
    class.define_method("adoption", method!(Cluster::adoption, 0))?;
    class.define_method("ticket_keys", method!(Cluster::ticket_keys, 0))?;
    class.define_method("adopt_ticket_keys", method!(Cluster::adopt_ticket_keys, 1))?;
    class.define_method("slots", method!(Cluster::slots, 0))?;
    class.define_method("reserve", method!(Cluster::reserve, 1))?;
    class.define_method("spawned", method!(Cluster::spawned, 2))?;
    class.define_method("gone", method!(Cluster::gone, 1))?;
    class.define_method("workers", method!(Cluster::workers, 0))?;
    class.define_method("begin_phase", method!(Cluster::begin_phase, 0))?;
    class.define_method("count_restart", method!(Cluster::count_restart, 1))
}
