//! The Tidegate web server, without Ruby.
//!
//! # Layout
//!
//! Each module names only those of the layers above its own; `bin/layers` checks that.
//!
//! | layer | modules | subject |
//! |---|---|---|
//! | 1 | `error` `sys` `sync` | why a server could not be configured or started; the system calls that no safe crate wraps; how threads wake each other and share a task |
//! | 2 | `config` | the settings, and how they are read by their names |
//! | 3 | `lifecycle` `tls` | the phases of a server's life and the plan of its shutdown: pure values, time is an argument; certificates and keys, and what a handshake agrees on |
//! | 4 | `stats` | what is counted |
//! | 5 | `cluster` | what the processes of a cluster share: the table of workers, what they have counted together, and the connections that go from one to another |
//! | 6 | `http` | heads and bodies in both directions, the guard in front of hyper, the probes' answers |
//! | 7 | `exchange` | one request with its responder, which may send hints ahead or give the connection away |
//! | 8 | `pool` `drain` `log` | the queue to the workers and which of them may run; the traffic during a drain; lines for operators |
//! | 9 | `connection` | one task for each connection: its state, deadlines and close |
//! | 10 | `admin` | the admin listener's endpoints |
//! | 11 | `server` | the listeners, the runtime, and the driver that feeds the lifecycle and carries out its actions |
//! | 12 | `fuzzing` | what `fuzz` feeds with any bytes; not there without the feature of that name |
//!
//! # What takes part
//!
//! An application takes part by running worker threads: each registers with the [`DispatchQueue`], takes [`Exchange`]s and
//! sends a [`Response`] for each. Worker threads of one interpreter share its lock, which is called the GVL here, as in Ruby;
//! the core never takes it, and only hears from the binding which thread has it.

#![deny(unsafe_code)]

mod admin;
mod cluster;
mod config;
mod connection;
mod drain;
mod error;
mod exchange;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod lifecycle;
mod log;
mod pool;
mod server;
mod stats;
mod sync;
mod sys;
mod tls;

// What the binding names, and what is in the signatures of that.
pub use self::{
    admin::questions::{NextQuestion, Questions, Reply},
    cluster::{Cluster, DrainFigures, Member, Restart, WorkerState, WorkerView},
    config::{
        About, AddedHeaders, Address, AdminAccess, CertificateSource, ClientHeader, ClientVerification, ClusterOptions,
        Config, ForwardedHeaders, Forwarding, Http2, Inherited, Interpreter, Limits, LogFormat, Logging, MinRate,
        OrAuto, PemSource, PlanOptions, Platform, Probes, ProxyVersions, SettingsByName, Timeouts, TlsOptions, Token,
        TrustedProxies, VerifyMode, WireOptions,
    },
    drain::arrivals::{Arrivals, EPSILON},
    error::Error,
    exchange::{
        Answered, Exchange, Recall, Responder,
        hijack::{Family, HijackGuard, HijackProgress},
        time_limit::TimeLimit,
    },
    http::{
        body::{
            Account, BadChunks, BodySender, Dechunker, FileBody, MemoryBody, NextPiece, ReadError, Regular,
            RequestBody, RequestStream, ResponseBody, SendError, Trailers,
        },
        forwarded::Forwarded,
        proxy_protocol::{ProxyInfo, ProxySsl, Route, Tlvs},
        request::{ConnectProtocol, Peer, RawTarget, Request},
        response::{MOST_HEADER_NAMES, Response, http1_head},
    },
    lifecycle::{
        Event, Phase, Signal,
        plan::{Clamped, Plan},
    },
    log::{
        Log, Logs, TerminationLog,
        access::AccessLog,
        event::LogEvent,
        relay::{LineKind, NextLines, Relay, RelayedLine},
    },
    pool::{
        Demand, DispatchQueue, GvlEvents, Idle, Next, NextOverdue, Overdue, Woken, Worker,
        time_slice::{CpuClock, TimeSlicer},
    },
    server::{Observer, Running, Server, StopPoint, certificate_report, signals::BootGuard},
    stats::GcFigures,
    sync::{Parker, Unparker},
    sys::{
        duplicate,
        family::{adopt_orphans, hold_signals, release_signals},
        process::{exit_within, limit_arenas},
        trim_memory,
    },
    tls::TlsInfo,
};
