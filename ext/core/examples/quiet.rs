//! How often a drain with `drain_until_quiet` ends although a client still sends, and how soon it ends when none does:
//! a table over simulated arrivals, or with files as arguments over recorded ones (one line per connection: seconds).
//!
//! `cargo run --release -p tidegate-core --example quiet [FILE...]`

use std::{
    env, fs,
    time::{Duration, Instant},
};

use tidegate_core::{Arrivals, EPSILON};

/// Traffic before the drain, and the delay, in seconds.
const BEFORE: f64 = 60.0;
const DELAY: f64 = 10.0;
/// The least that a drain lasts.
const MIN: f64 = 2.0;

type Gap = Box<dyn Fn(&mut fastrand::Rng) -> f64>;

fn exponential(random: &mut fastrand::Rng, rate: f64) -> f64 {
    -(1.0 - random.f64()).ln() / rate
}

/// Arrival processes: a name, and how long until the next connection.
fn processes() -> Vec<(&'static str, Gap)> {
    vec![
        ("Poisson, 1/s", Box::new(|random| exponential(random, 1.0))),
        ("Poisson, 5/s", Box::new(|random| exponential(random, 5.0))),
        ("Poisson, 50/s", Box::new(|random| exponential(random, 50.0))),
        ("regular, 10/s, a fifth of jitter", Box::new(|random| 0.1 * (0.8 + 0.4 * random.f64()))),
        (
            "bursts: nine of ten gaps 17 ms, one 0.5 s",
            Box::new(|random| {
                let rate = if random.f64() < 0.9 { 60.0 } else { 2.0 };
                exponential(random, rate)
            }),
        ),
        (
            "heavy tail: Pareto, 10/s, exponent 2.2",
            Box::new(|random| 0.1 * (1.2 / 2.2) * (1.0 - random.f64()).powf(-1.0 / 2.2)),
        ),
    ]
}

/// Seconds from the first to each connection.
fn simulated(random: &mut fastrand::Rng, gap: &Gap, length: f64) -> Vec<f64> {
    let mut at = 0.0;
    let mut times = Vec::new();
    while at < length {
        at += gap(random);
        times.push(at);
    }
    times
}

/// Serves `times` up to `term` and on through the drain. Whether it ends early although they go on, and when it would end if
/// they ended with `term`.
fn drain(epsilon: f64, times: &[f64], term: f64) -> (bool, f64) {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let mut arrivals = Arrivals::new(epsilon);
    let source = Some([10, 0, 0, 1].into());
    let (before, after) = times.split_at(times.partition_point(|&time| time < term));
    before.iter().for_each(|&time| arrivals.arrived(source, at(time)));
    arrivals.drain_begins(at(term), Duration::from_secs_f64(DELAY));
    let ends = |arrivals: &Arrivals| {
        let quiet = arrivals.quiet_at().map_or(f64::INFINITY, |quiet| quiet.duration_since(start).as_secs_f64());
        quiet.max(term + MIN).min(term + DELAY)
    };
    let early = ends(&arrivals) - term;
    for &time in after.iter().take_while(|&&time| time < term + DELAY) {
        if ends(&arrivals) < time {
            return (true, early);
        }
        arrivals.arrived(source, at(time));
    }
    (false, early)
}

fn row(name: &str, drains: usize, judge: impl Fn(f64) -> Vec<(bool, f64)>) {
    let wrong = |epsilon: f64| judge(epsilon).iter().filter(|(wrong, _)| *wrong).count();
    let mut ends: Vec<f64> = judge(EPSILON).iter().map(|(_, end)| *end).collect();
    ends.sort_by(f64::total_cmp);
    let median = ends[ends.len() / 2];
    println!("| {name} | {drains} | {} | {} | {median:.1} s |", wrong(1e-2), wrong(EPSILON));
}

fn main() -> Result<(), String> {
    println!(
        "| arrivals | drains | too early at 1e-2 | too early at {EPSILON:e} | ends after, if they end with TERM |"
    );
    println!("|---|--:|--:|--:|--:|");
    let files: Vec<String> = env::args().skip(1).collect();
    for path in &files {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let times: Vec<f64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{path}: {error}"))?;
        let last = times.last().copied().unwrap_or(0.0);
        // A drain begins at every second that has enough before and behind it.
        let terms: Vec<f64> = (BEFORE as u64..(last - DELAY).max(0.0) as u64).map(|second| second as f64).collect();
        if terms.is_empty() {
            return Err(format!("{path}: it takes more than {} s of connections", BEFORE + DELAY));
        }
        row(path, terms.len(), |epsilon| terms.iter().map(|&term| drain(epsilon, &times, term)).collect());
    }
    if files.is_empty() {
        let drains = 10_000;
        for (name, gap) in processes() {
            row(name, drains, |epsilon| {
                let mut random = fastrand::Rng::with_seed(11);
                (0..drains).map(|_| drain(epsilon, &simulated(&mut random, &gap, BEFORE + DELAY), BEFORE)).collect()
            });
        }
    }
    Ok(())
}
