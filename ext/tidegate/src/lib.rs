//! The Ruby binding of [`tidegate_core`]: `Tidegate::Native::Server`.
//!
//! # Layout
//!
//! | module | subject |
//! |---|---|
//! | `gvl` | waiting without the GVL; its children: |
//! | `gvl::{events, thread_slot}` | telling the queue when the thread of a worker releases the GVL, and what is kept of each thread for that |
//! | `gvl::time_slice` | having the GVL handed on in time |
//! | `gvl::{ractor, fork}` | telling the app's Ractor from others, and a process from its children |
//! | `error` | Rust errors as the Ruby exceptions declared in `lib/tidegate/error.rb` |
//! | `native` | the functions of `Tidegate::Native` that need no server |
//! | `cluster` | what a master shares with its workers |
//! | `settings` | the resolved Ruby configuration as [`tidegate_core::Config`] |
//! | `sources` | files with source text, read in one go |
//! | `thread_probe` | whether the system has room for more threads |
//! | `rack::{env, env_keys, header_keys, hash_builder}` | a request as a Rack env |
//! | `rack::{input, request_stream}` | a request body as `rack.input` |
//! | `rack::{response, response_headers, response_body, response_stream}` | a Rack response as the core's |
//! | `rack::lent_string` | strings that a connection reads while Ruby keeps them |
//! | `rack::{exchange, hijack, early_hints}` | the response on its way, `rack.hijack`, `rack.early_hints` |
//! | `rack::protocol_change` `rack::trailers` | extended CONNECT as the app sees it; what is behind a body, in both directions |
//! | `rack::failure` | an exception of the app, or the end of its thread |
//! | `rack::app` | one exchange: env, `app.call`, delivery, callbacks |
//! | `server` | the Ruby class; its start in `boot`, the loop of a worker's thread in `worker` |
//!
//! The tokio threads never touch Ruby, but for asking it to have the GVL handed on. Ruby threads never touch a socket, except one
//! that was hijacked; but before it sleeps, a worker may do the next step of a connection's task in the core, without the GVL
//! (`Worker::hand_in`). Ruby values live on the stack, or in objects that mark them: `Server`, `Exchange`, `EarlyHints`,
//! `ResponseStream`, `LentStrings`. No lock is held while Ruby code may run or the GVL is released. Unsafe code is in `gvl` and
//! `rack::lent_string` only.

#![deny(unsafe_code)]
#![expect(missing_docs, reason = "a cdylib exports nothing but the init function that a macro writes")]

mod cluster;
mod error;
mod gvl;
mod native;
mod rack;
mod server;
mod settings;
mod sources;
mod thread_probe;

use magnus::{Error, Module, Ruby};

/// Defines what Ruby sees.
#[magnus::init(name = "tidegate")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    gvl::prepare();
    let native = ruby.define_module("Tidegate")?.define_module("Native")?;
    native::define(native)?;
    server::define(ruby, native)?;
    cluster::define(ruby, native)?;
    rack::exchange::define(ruby, native)?;
    rack::hijack::define(ruby, native)?;
    rack::early_hints::define(ruby, native)?;
    rack::request_stream::define(ruby, native)?;
    rack::lent_string::define(ruby, native)?;
    rack::response_stream::define(ruby, native)?;
    rack::trailers::define(ruby, native)?;
    look_classes_up(ruby);
    Ok(())
}

/// Looks all classes up while the launcher holds signals back. magnus would look a class up when it is first needed, and panics
/// when Ruby raises meanwhile, as a signal's trap or `Thread#raise` may.
fn look_classes_up(ruby: &Ruby) {
    use magnus::TypedData;
    let classes = [
        server::Server::class,
        cluster::Cluster::class,
        rack::exchange::Exchange::class,
        rack::hijack::HijackGuard::class,
        rack::early_hints::EarlyHints::class,
        rack::request_stream::RequestStream::class,
        rack::lent_string::LentStrings::class,
        rack::response_stream::ResponseStream::class,
        rack::trailers::SendTrailers::class,
    ];
    for class in classes {
        class(ruby);
    }
}
