//! The Tidegate web server, without Ruby.

#![deny(unsafe_code)]

mod admin;
mod config;
mod connection;
mod drain;
mod error;
mod exchange;
mod http;
mod lifecycle;
mod log;
mod pool;
mod probe;
mod server;
mod stats;
mod sync;
mod sys;

pub use self::{
    config::{About, Address, AdminAccess, Config, Interpreter, Limits, MinRate, Probes, Timeouts, Token},
    drain::arrivals::{Arrivals, EPSILON},
    error::Error,
    exchange::{
        Answered, Exchange, Recall, Responder,
        hijack::{Family, HijackGuard, Progress},
    },
    http::{
        added_headers::AddedHeaders,
        body::{
            BadChunks, BodySender, Chunk, Dechunker, FileBody, ReadError, Regular, RequestBody, RequestStream,
            ResponseBody, SendError,
        },
        request::{Peer, RawTarget, Request},
        response::{MOST_HEADER_NAMES, Response, http1_head},
    },
    lifecycle::{
        Event, Phase, Signal,
        plan::{Clamped, Plan, PlanOptions, Platform, Setting},
    },
    log::{
        Log, Logs, TerminationLog,
        access::{AccessLog, Format},
        event::LogEvent,
    },
    pool::{
        Demand, DispatchQueue, GvlEvents, Next, Rest, Worker,
        time_slice::{CpuClock, SLICE, TimeSlicer},
    },
    server::{Observer, Running, Server, StopPoint, signals::BootGuard},
    sync::wake::{Parker, Unparker},
    sys::process::{exit_within, limit_arenas},
};
