//! The Ruby binding of [`tidegate_core`]: `Tidegate::Native::Server`.
//!
//! # Layout
//!
//! | module | subject |
//! |---|---|
//! | `gvl` | waiting without the GVL; with `loan` this crate's only unsafe code |
//! | `error` | Rust errors as the Ruby exceptions declared in `lib/tidegate/error.rb` |
//! | `settings` | the resolved Ruby configuration as [`tidegate_core::Config`] |
//! | `names` `pairs` `env` `input` `feed` | a request as a Rack env |
//! | `response` `stream` | a Rack response as the core's |
//! | `loan` | strings that a connection reads while Ruby keeps them |
//! | `exchange` | `rack.hijack`, `rack.early_hints`, and the response on its way |
//! | `report` | an exception of the app, or the end of its thread |
//! | `worker` | one exchange: env, `app.call`, delivery, callbacks |
//! | `server` | the Ruby class |
//!
//! Tokio's threads never touch Ruby, but for asking it to have the GVL handed on. Ruby's threads never touch a socket, except
//! one that was hijacked, but may do a step of a connection's task in the core, without the GVL, before they sleep
//! (`Worker::hand_in`). Ruby values live on the stack, or in objects that mark them: `Server`, `Exchange`, `EarlyHints`,
//! `Stream`, `Loans`. No lock is held while Ruby code may run or the GVL is released.

#![deny(unsafe_code)]
#![expect(missing_docs, reason = "a cdylib exports nothing but the init function that a macro writes")]

mod error;
mod gvl;
mod rack;
mod server;
mod settings;

use magnus::{Error, Module, Ruby};

/// Defines what Ruby sees.
#[magnus::init(name = "tidegate")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    gvl::prepare();
    let native = ruby.define_module("Tidegate")?.define_module("Native")?;
    server::define(ruby, native)?;
    rack::exchange::define(ruby, native)?;
    rack::request_stream::define(ruby, native)?;
    rack::lent_string::define(ruby, native)?;
    rack::response_stream::define(ruby, native)?;
    know_classes(ruby);
    Ok(())
}

/// magnus looks a class up when it is first needed, and panics when Ruby raises meanwhile, as a signal's trap or
/// `Thread#raise` may: all are looked up here, while the launcher holds signals back.
fn know_classes(ruby: &Ruby) {
    use magnus::TypedData;
    let classes = [
        server::Server::class,
        rack::exchange::Exchange::class,
        rack::exchange::Hold::class,
        rack::exchange::EarlyHints::class,
        rack::request_stream::RequestStream::class,
        rack::lent_string::Keeper::class,
        rack::response_stream::Stream::class,
    ];
    for class in classes {
        class(ruby);
    }
}
