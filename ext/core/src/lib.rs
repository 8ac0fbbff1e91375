//! The Tidegate web server, without Ruby.
//!
//! # Layout
//!
//! Each layer knows only the ones above it.
//!
//! | layer | modules | subject |
//! |---|---|---|
//! | 1 | [`config`] [`error`] [`lifecycle`] [`arrivals`] `admission` `recent` `traffic` [`plan`] [`stats`] [`notice`] `refused` `troubles` [`slices`] `sync` [`wake`] | values and pure state machines; time is an argument; no I/O |
//! | 2 | `guard` [`request`] [`marks`] [`response`] [`body`] | heads validated, in front of hyper and behind it; bounded bodies in both directions |
//! | 3 | `clock` `step` [`exchange`] [`takeover`] `interim` [`dispatch`] | one request with its responder, which may take the connection over or send hints ahead; the bounded queue to the workers, in which full is a value |
//! | 4 | `sys` `descriptors` `listener` `connection` `metrics` `probe` `admin` `output` [`log`] [`access`] [`signals`] [`watchdog`] [`heap`] | sockets; one task per connection; deadlines; the admin endpoints; log lines, for events and for requests; signals; a bound on the exit; the C library's heap |
//! | 5 | [`server`] | owns the runtime, feeds [`lifecycle::Lifecycle`] and carries out its actions |
//!
//! An application takes part by running worker threads: each registers with the
//! [`dispatch::DispatchQueue`], takes [`exchange::Exchange`]s and sends a [`response::Response`] for each.

#![deny(unsafe_code)]

pub mod access;
pub mod arrivals;
pub mod body;
pub mod config;
pub mod dispatch;
pub mod error;
pub mod exchange;
pub mod heap;
pub mod lifecycle;
pub mod log;
pub mod marks;
pub mod notice;
pub mod plan;
pub mod request;
pub mod response;
pub mod server;
pub mod signals;
pub mod slices;
pub mod stats;
pub mod takeover;
pub mod wake;
pub mod watchdog;

mod admin;
mod admission;
mod bell;
mod clock;
mod connection;
mod descriptors;
mod guard;
mod interim;
#[cfg(test)]
mod interleave;
mod listener;
mod metrics;
mod milestone;
mod output;
mod probe;
mod recent;
mod refused;
mod step;
mod sync;
mod sys;
mod traffic;
mod troubles;
