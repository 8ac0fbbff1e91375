//! The functions of `Tidegate::Native` that need no server.

use std::time::Duration;

use magnus::{Error, RHash, RModule, Ruby, function, prelude::*};
use tidegate_core::{Plan, certificate_report, hold_signals, limit_arenas, release_signals};

use crate::{error, gvl, settings, sources, thread_probe::threads_start};

/// Ends the process within `seconds`. Returns false where the system has no thread that could: the process ends by itself then.
fn exit_within(ruby: &Ruby, seconds: f64, status: i32) -> Result<bool, Error> {
    let limit = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Error::new(ruby.exception_arg_error(), error.to_string()))?;
    Ok(tidegate_core::exit_within(limit, status).is_ok())
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

/// Reads the certificates of these settings: a sentence for each, and for what is wrong. It may run a command and take as long.
fn certificates(ruby: &Ruby, settings: RHash) -> Result<Vec<String>, Error> {
    let (config, _) = settings::read(ruby, settings)?;
    let report = gvl::without(ruby, move || certificate_report(&config))?;
    report.map_err(|wrong| error::raise(ruby, &wrong))
}

/// How long the request that this thread runs has waited for the GVL so far, in milliseconds.
fn gvl_wait() -> f64 {
    gvl::events::waited().as_secs_f64() * 1e3
}

/// The garbage collector is to count so many bytes more as allocated since its last run, or fewer.
fn adjust_memory_usage(ruby: &Ruby, bytes: isize) {
    ruby.gc_adjust_memory_usage(bytes);
}

/// Gives the system back what the allocator keeps of freed memory. Takes some milliseconds, in which other Ruby threads run.
fn trim_memory(ruby: &Ruby) -> Result<(), Error> {
    gvl::without(ruby, tidegate_core::trim_memory)
}

/// Makes this process the parent of orphans below it. Returns false where the system has no such thing.
fn adopt_orphans() -> bool {
    tidegate_core::adopt_orphans().is_ok()
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("plan", function!(plan, 1))?;
    native.define_singleton_method("certificates", function!(certificates, 1))?;
    native.define_singleton_method("exit_within", function!(exit_within, 2))?;
    native.define_singleton_method("limit_arenas", function!(limit_arenas, 1))?;
    native.define_singleton_method("adjust_memory_usage", function!(adjust_memory_usage, 1))?;
    native.define_singleton_method("trim_memory", function!(trim_memory, 0))?;
    native.define_singleton_method("changed_sources", function!(sources::changed, 2))?;
    native.define_singleton_method("threads_start?", function!(threads_start, 1))?;
    native.define_singleton_method("adopt_orphans", function!(adopt_orphans, 0))?;
    native.define_singleton_method("hold_signals", function!(hold_signals, 0))?;
    native.define_singleton_method("release_signals", function!(release_signals, 0))?;
    native.define_singleton_method("gvl_wait", function!(gvl_wait, 0))?;
    native.define_singleton_method("io_bound", function!(gvl::events::mark_io_bound, 0))?;
    native.define_singleton_method("knows_threads?", function!(gvl::events::knows_threads, 0))
}
