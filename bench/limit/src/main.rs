//! What a server could reach on this machine: answers that were prepared, without Ruby.
//!
//! `tidegate-limit hyper tcp://HOST:PORT ANSWERS` is hyper alone on one thread. `tidegate-limit core BIND ANSWERS [MIN:MAX]` is Tidegate's
//! core, with Rust threads in the place of Ruby's: everything but Ruby. BIND is what Tidegate takes.
//!
//! | module | subject |
//! |---|---|
//! | `answers` | the answers by their paths, read from a file |
//! | `alone` | hyper with nothing around it |
//! | `rust_workers` | the core with Rust threads for workers |

mod alone;
mod answers;
mod rust_workers;

use std::{env, process::ExitCode, sync::Arc};

use answers::Answers;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match serve(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("limit: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[&str]) -> Result<(), String> {
    match *arguments {
        ["hyper", bind, file] => alone::serve(bind, Arc::new(Answers::read(file)?)),
        ["core", bind, file] => {
            rust_workers::serve(bind, Arc::new(Answers::read(file)?), rust_workers::Threads::default())
        }
        ["core", bind, file, threads] => rust_workers::serve(bind, Arc::new(Answers::read(file)?), threads.parse()?),
        _ => Err("usage: tidegate-limit hyper tcp://HOST:PORT ANSWERS | core BIND ANSWERS [MIN:MAX]".into()),
    }
}
