//! Sends HTTP/1.1 requests to a server on this machine and measures what comes back. One thread, one epoll.
//!
//! The plan is JSON on the standard input's first line, the result JSON on the standard output. Every latency is counted
//! from when the request was meant to be sent: a server that stalls is charged for all requests that were due meanwhile.
//!
//! | module | subject |
//! |---|---|
//! | `plan` | what is to be asked, read from JSON |
//! | `random` | what is chosen at random, the same in every run |
//! | `schedule` | when the next request of a group is due |
//! | `response` | where a response ends |
//! | `stream` | a socket, with TLS or without |
//! | `connection` | one socket and the request on it |
//! | `run` | the loop that drives all of them |
//! | `hold` | connections that are opened, used once and kept |
//! | `tally` | what was counted, and its quantiles |

mod connection;
mod hold;
mod plan;
mod random;
mod response;
mod run;
mod schedule;
mod stream;
mod tally;

use std::io::BufRead;
use std::process::ExitCode;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    raise_descriptor_limit();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("no plan on the standard input: {error}"))?;
    let plan = plan::Plan::parse(&line)?;
    match plan.hold {
        Some(connections) => hold::hold(&plan, connections),
        None => {
            let result = run::run(&plan).map_err(|error| format!("cannot go on: {error}"))?;
            println!("{result}");
            Ok(())
        }
    }
}

/// As many open files as this process may have; thousands of connections need them.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Without it, opening a connection fails and is counted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
