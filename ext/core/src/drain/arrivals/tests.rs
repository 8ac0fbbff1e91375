//! Judgement of silence, by tables, and by the errors it makes over many simulated drains.

use super::*;

fn address(number: u8) -> Source {
    Some(IpAddr::from([10, 0, 0, number]))
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Connections from `source` every `gap` for `length` from `start` on; the last of them.
fn regular(arrivals: &mut Arrivals, source: Source, gap: Duration, length: Duration, start: Instant) -> Instant {
    let mut at = start;
    while at < start + length {
        arrivals.arrived(source, at);
        at += gap;
    }
    at - gap
}

#[test]
fn a_source_is_gone_after_a_silence_of_many_of_its_gaps() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    let last = regular(&mut arrivals, address(1), Duration::from_millis(100), s(60), start);
    assert_eq!(arrivals.quiet_at(), None, "the server was not told to stop");
    arrivals.drain_begins(start + s(60), s(10));
    let silence = arrivals.quiet_at().unwrap().duration_since(last).as_secs_f64();
    // ln(1/1e-8) gaps for a rate that is known, and a little more for one that is not: 100 gaps fit into the drain.
    assert!((1.84..2.0).contains(&silence), "{silence}");
}

#[test]
fn a_connection_in_the_drain_puts_the_end_off() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    regular(&mut arrivals, address(1), Duration::from_millis(100), s(60), start);
    arrivals.drain_begins(start + s(60), s(10));
    let before = arrivals.quiet_at().unwrap();
    arrivals.arrived(address(1), start + s(61));
    let after = arrivals.quiet_at().unwrap();
    assert!(after > before + Duration::from_millis(900), "{:?}", after - before);
}

#[test]
fn the_slowest_source_decides() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    regular(&mut arrivals, address(1), Duration::from_millis(10), s(60), start);
    let last = regular(&mut arrivals, address(2), s(1), s(60), start);
    arrivals.drain_begins(start + s(60), s(10));
    assert!(arrivals.quiet_at().unwrap() > last + s(14));
}

#[test]
fn nothing_is_told_of_sources_that_are_seen_too_seldom_or_too_late() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    arrivals.drain_begins(start, s(10));
    assert_eq!(arrivals.quiet_at(), None, "an idle service");

    let mut arrivals = Arrivals::new(1e-6);
    regular(&mut arrivals, address(1), s(30), s(120), start);
    arrivals.drain_begins(start + s(120), s(10));
    assert!(arrivals.quiet_at().is_none_or(|at| at > start + s(1000)), "a connection every 30 s");

    let mut arrivals = Arrivals::new(1e-6);
    regular(&mut arrivals, address(1), Duration::from_millis(10), s(60), start);
    arrivals.drain_begins(start + s(60), s(10));
    arrivals.arrived(address(2), start + s(61));
    assert_eq!(arrivals.quiet_at(), None, "it came with the drain");
}

#[test]
fn a_thousandth_of_the_traffic_is_not_waited_for_unless_it_is_heard() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    let last = regular(&mut arrivals, address(1), Duration::from_millis(10), s(100), start);
    arrivals.arrived(address(2), start + s(10));
    arrivals.arrived(address(2), start + s(90));
    arrivals.drain_begins(start + s(100), s(10));
    assert!(arrivals.quiet_at().unwrap() < last + s(1));
    arrivals.arrived(address(2), start + s(101));
    assert!(arrivals.quiet_at().unwrap() > last + s(100));
}

#[test]
fn a_source_that_left_long_ago_is_forgotten() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    arrivals.arrived(address(2), start);
    let last = regular(&mut arrivals, address(1), Duration::from_millis(100), s(60), start + s(400));
    arrivals.drain_begins(start + s(460), s(10));
    assert!(arrivals.quiet_at().unwrap() < last + s(3));
}

#[test]
fn more_sources_than_can_be_told_apart_are_not_judged() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    for number in 0..=SOURCES_MAX as u32 {
        arrivals.arrived(Some(IpAddr::from(number.to_be_bytes())), start);
    }
    arrivals.drain_begins(start + s(1), s(10));
    assert_eq!(arrivals.quiet_at(), None);
    assert_eq!(arrivals.sources.len(), SOURCES_MAX);
}

#[test]
fn bursts_make_it_wait_longer() {
    let (mut arrivals, start) = (Arrivals::new(1e-6), Instant::now());
    let mut last = start;
    for burst in 0..20 {
        last = regular(
            &mut arrivals,
            address(1),
            Duration::from_millis(2),
            Duration::from_millis(400),
            start + s(3 * burst),
        );
    }
    arrivals.drain_begins(start + s(60), s(10));
    assert!(arrivals.quiet_at().unwrap() >= last + s(5), "twice the pause between two bursts");
}

// ===== errors over many drains =====

/// A minute of traffic, then a drain in which it goes on as before: whether the drain ends early all the same.
fn wrongly_quiet(epsilon: f64, random: &mut fastrand::Rng, gap: impl Fn(&mut fastrand::Rng) -> f64) -> bool {
    let (mut arrivals, start) = (Arrivals::new(epsilon), Instant::now());
    let (term, delay) = (start + s(60), s(10));
    let (mut at, mut begun) = (start, false);
    loop {
        let next = at + Duration::from_secs_f64(gap(random));
        if !begun && next >= term {
            arrivals.drain_begins(term, delay);
            begun = true;
        }
        if begun && arrivals.quiet_at().is_some_and(|quiet| quiet.max(term) < next.min(term + delay)) {
            return true;
        }
        if next >= term + delay {
            return false;
        }
        arrivals.arrived(address(1), next);
        at = next;
    }
}

fn errors(drains: u32, epsilon: f64, gap: impl Fn(&mut fastrand::Rng) -> f64) -> u32 {
    let mut random = fastrand::Rng::with_seed(7);
    (0..drains).map(|_| u32::from(wrongly_quiet(epsilon, &mut random, &gap))).sum()
}

fn exponential(random: &mut fastrand::Rng, rate: f64) -> f64 {
    -(1.0 - random.f64()).ln() / rate
}

/// The chance is kept for independent connections: at one in a hundred, fewer than that (the bound is a sum over all gaps,
/// and the longest gap counts too); at the chance that is used, none.
#[test]
fn ends_too_early_no_more_often_than_accepted_on_random_traffic() {
    for rate in [2.0, 20.0] {
        let poisson = |random: &mut fastrand::Rng| exponential(random, rate);
        assert!(errors(2000, 1e-2, poisson) <= 20, "rate {rate}");
        assert_eq!(errors(2000, EPSILON, poisson), 0, "rate {rate}");
    }
}

/// Real traffic is less regular than that.
#[test]
fn does_not_take_a_pause_between_bursts_for_the_end() {
    // Nine of ten gaps are short, one is thirty times as long.
    let bursts = |random: &mut fastrand::Rng| {
        let rate = if random.f64() < 0.9 { 60.0 } else { 2.0 };
        exponential(random, rate)
    };
    assert_eq!(errors(1000, EPSILON, bursts), 0);
    let regular = |random: &mut fastrand::Rng| 0.1 * (0.8 + 0.4 * random.f64());
    assert_eq!(errors(1000, EPSILON, regular), 0);
}
