//! Tidegate's core with Rust threads for workers: the way of a request through everything but Ruby.

use std::{io, str::FromStr, sync::Arc, thread, time::Instant};

use tidegate_core::{
    Address, Config, Demand, DispatchQueue, Exchange, GvlEvents, Next, Parker, RequestBody, Response, ResponseBody,
    Server, Woken,
};

use crate::answers::Answers;

/// How many workers there are at first and at most, as with `tidegate -t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    min: usize,
    max: usize,
}

impl Default for Threads {
    /// Tidegate's own.
    fn default() -> Self {
        Self { min: 0, max: 32 }
    }
}

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse().map_err(|_| format!("{text:?} is not MIN:MAX"));
        let (min, max) = text.split_once(':').unwrap_or((text, text));
        let threads = Self { min: number(min)?, max: number(max)? };
        if threads.max == 0 || threads.min > threads.max {
            return Err(format!("{text:?} is not MIN:MAX"));
        }
        Ok(threads)
    }
}

/// Serves at `bind` until the process is ended.
pub(crate) fn serve(bind: &str, answers: Arc<Answers>, threads: Threads) -> Result<(), String> {
    let config = Config {
        bind: vec![Address::parse(bind).map_err(|error| error.to_string())?],
        spool_directory: std::env::temp_dir(),
        min_threads: threads.min,
        max_threads: threads.max,
        ..Config::default()
    };
    let server = Server::bind(config).map_err(|error| error.to_string())?;
    let queue = server.queue().clone();
    for _ in 0..threads.min {
        spawn(&queue, &answers).map_err(|error| error.to_string())?;
    }
    let running = server.start(Arc::new(|_| {})).map_err(|error| error.to_string())?;
    println!("limit: ready on {}", running.addresses().join(" "));
    let parker = Parker::new();
    loop {
        match queue.demand(&parker) {
            Some(Demand::Worker) if spawn(&queue, &answers).is_err() => queue.decline(),
            Some(Demand::Over) => return Ok(()),
            Some(Demand::Worker) | None => {}
        }
    }
}

fn spawn(queue: &Arc<DispatchQueue>, answers: &Arc<Answers>) -> io::Result<()> {
    let (queue, answers) = (queue.clone(), answers.clone());
    thread::Builder::new().name("worker".into()).spawn(move || work(&queue, &answers)).map(drop)
}

/// What a Ruby thread of the binding does, without Ruby.
fn work(queue: &Arc<DispatchQueue>, answers: &Answers) {
    let worker = queue.register();
    let events = worker.gvl_events();
    loop {
        match worker.look() {
            Next::Exchange(exchange) => worker.hand_in(answer(*exchange, answers, &events)),
            Next::Nothing if worker.sleep() == Woken::Surplus => return,
            Next::Nothing => {}
            Next::Over => return,
        }
    }
}

fn answer(exchange: Exchange, answers: &Answers, events: &GvlEvents) -> tidegate_core::Answered {
    let answer = answers.at(exchange.request.head.uri.path());
    if let RequestBody::File { mut file, .. } = exchange.request.body {
        // The apps of the workloads read theirs. An error here would be one in the answer's length there.
        drop(io::copy(&mut file, &mut io::sink()));
    }
    if let Some(sleep) = answer.sleep {
        // The pool is told what Ruby tells of a thread that sleeps.
        events.suspended(Instant::now);
        thread::sleep(sleep);
        events.ready(Instant::now);
        events.resumed(Instant::now);
    }
    let body = if answer.body.is_empty() { ResponseBody::Empty } else { ResponseBody::Full(answer.body) };
    exchange.responder.answer(Response { status: answer.status, headers: answer.headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_as_with_tidegate() {
        assert_eq!("1:5".parse(), Ok(Threads { min: 1, max: 5 }));
        assert_eq!("5".parse(), Ok(Threads { min: 5, max: 5 }));
        for text in ["5:1", "0", "many", "1:", ""] {
            assert!(text.parse::<Threads>().is_err(), "{text}");
        }
    }
}
