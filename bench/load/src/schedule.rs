//! When the next request of a group is due: by the clock, or on each connection after its last response. Knows no socket.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use crate::random::Random;

/// The pace of one group.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// By the clock, whatever the server does. A request that finds no free connection waits for one.
    /// `random` chooses among the free ones; without it the last that became free is taken.
    Clock {
        start: Instant,
        end: Instant,
        rate: f64,
        made: u64,
        waiting: VecDeque<Instant>,
        free: Vec<usize>,
        random: Option<Random>,
    },
    /// On each connection when it has been answered and has paused.
    Answered { end: Instant, due: BinaryHeap<Reverse<(Instant, usize)>> },
}

impl Schedule {
    pub(crate) fn clock(start: Instant, end: Instant, rate: f64, random: Option<Random>) -> Schedule {
        Schedule::Clock { start, end, rate, made: 0, waiting: VecDeque::new(), free: Vec::new(), random }
    }

    pub(crate) fn answered(end: Instant) -> Schedule {
        Schedule::Answered { end, due: BinaryHeap::new() }
    }

    /// That connection can take a request, where it is not for the clock to say from then on.
    pub(crate) fn ready(&mut self, connection: usize, from: Instant) {
        match self {
            Schedule::Clock { free, .. } => free.push(connection),
            Schedule::Answered { due, .. } => due.push(Reverse((from, connection))),
        }
    }

    /// A request to send now: its connection, and when it was meant to be sent.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(usize, Instant)> {
        match self {
            Schedule::Clock { start, end, rate, made, waiting, free, random } => {
                loop {
                    let due = instant(*start, *rate, *made);
                    if due > now || due >= *end {
                        break;
                    }
                    waiting.push_back(due);
                    *made += 1;
                }
                if waiting.is_empty() {
                    return None;
                }
                let connection = match random {
                    Some(random) if !free.is_empty() => free.swap_remove(random.below(free.len())),
                    _ => free.pop()?,
                };
                waiting.pop_front().map(|due| (connection, due))
            }
            Schedule::Answered { end, due, .. } => {
                let &Reverse((at, _)) = due.peek()?;
                if at > now || now >= *end {
                    return None;
                }
                // A connection that asks when it was answered has no other time than now.
                due.pop().map(|Reverse((_, connection))| (connection, now))
            }
        }
    }

    /// When to look again, if nothing else happens before.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match self {
            Schedule::Clock { start, end, rate, made, .. } => {
                Some(instant(*start, *rate, *made)).filter(|due| due < end)
            }
            Schedule::Answered { end, due, .. } => due.peek().map(|Reverse((at, _))| *at).filter(|at| at < end),
        }
    }

    /// Requests that are due and that no connection has taken.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Instant> + '_ {
        let waiting = match self {
            Schedule::Clock { waiting, .. } => Some(waiting),
            Schedule::Answered { .. } => None,
        };
        waiting.into_iter().flatten().copied()
    }
}

/// Request number `made` is due then.
fn instant(start: Instant, rate: f64, made: u64) -> Instant {
    start + Duration::from_secs_f64(made as f64 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn by_the_clock_a_late_look_finds_all_that_were_due_with_their_own_times() {
        let start = Instant::now();
        let mut schedule = Schedule::clock(start, start + 1000 * MS, 100.0, None);
        (0..3).for_each(|connection| schedule.ready(connection, start));

        let late = start + 35 * MS;
        let times: Vec<_> = std::iter::from_fn(|| schedule.next(late)).map(|(_, due)| due - start).collect();
        assert_eq!(times, [Duration::ZERO, 10 * MS, 20 * MS]);
        assert_eq!(schedule.waiting().map(|due| due - start).collect::<Vec<_>>(), [30 * MS]);
        assert_eq!(schedule.wake(), Some(start + 40 * MS));

        schedule.ready(1, late);
        assert_eq!(schedule.next(late), Some((1, start + 30 * MS)));
    }

    #[test]
    fn by_the_clock_exactly_as_many_are_due_as_the_rate_says() {
        let start = Instant::now();
        let mut schedule = Schedule::clock(start, start + 1000 * MS, 250.0, None);
        let late = start + 5000 * MS;
        assert_eq!(schedule.next(late), None);
        assert_eq!(schedule.waiting().count(), 250);
        assert_eq!(schedule.wake(), None);
    }

    #[test]
    fn at_random_every_connection_has_its_turn() {
        let start = Instant::now();
        let mut schedule = Schedule::clock(start, start + 1000 * MS, 1000.0, Some(Random::new(1)));
        (0..4).for_each(|connection| schedule.ready(connection, start));
        let mut counts = [0; 4];
        for ms in 0..1000 {
            let (connection, _) = schedule.next(start + ms * MS).unwrap();
            counts[connection] += 1;
            schedule.ready(connection, start);
        }
        assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn answered_connections_pause_and_stop_at_the_end() {
        let start = Instant::now();
        let mut schedule = Schedule::answered(start + 100 * MS);
        schedule.ready(7, start);
        assert_eq!(schedule.next(start), Some((7, start)));
        schedule.ready(7, start + 50 * MS);
        assert_eq!(schedule.next(start + 49 * MS), None);
        assert_eq!(schedule.wake(), Some(start + 50 * MS));
        assert_eq!(schedule.next(start + 51 * MS), Some((7, start + 51 * MS)));
        schedule.ready(7, start + 90 * MS);
        assert_eq!(schedule.next(start + 200 * MS), None);
        schedule.ready(8, start + 110 * MS);
        assert_eq!(schedule.next(start + 90 * MS), Some((7, start + 90 * MS)));
        assert_eq!(schedule.wake(), None);
    }
}
