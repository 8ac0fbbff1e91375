//! The loop: sends what is due, reads what comes, ends in time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event};
use rustix::time::Timespec;

use crate::connection::{Connection, Outcome};
use crate::plan::{Group, Plan};
use crate::random::Random;
use crate::schedule::Schedule;
use crate::stream;
use crate::tally::{Failure, Tally};

/// How often requests are looked at that may have waited too long.
const CHECK: Duration = Duration::from_millis(50);

/// After a failure a connection is left alone for this long, so that a server that is gone is not asked in a tight loop.
const RECOVER: Duration = Duration::from_millis(10);

/// One group while it runs.
struct Client<'a> {
    group: &'a Group,
    kinds: Vec<Asked>,
    schedule: Schedule,
    random: Random,
}

/// One kind of request of a group.
struct Asked {
    name: String,
    /// The part of all requests that are of this kind or of one before it.
    up_to: f64,
    request: Vec<u8>,
    tally: Tally,
}

impl Client<'_> {
    /// The kind of the next request.
    fn choose(&mut self) -> usize {
        if self.kinds.len() == 1 {
            return 0;
        }
        let part = self.random.part();
        self.kinds.iter().position(|kind| part < kind.up_to).unwrap_or(0)
    }
}

struct Run<'a> {
    address: SocketAddr,
    timeout: Duration,
    end: Instant,
    epoll: OwnedFd,
    clients: Vec<Client<'a>>,
    connections: Vec<Connection>,
}

/// Measures; the result is JSON with a report for each group by its name.
pub(crate) fn run(plan: &Plan) -> std::io::Result<String> {
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    let mut run = Run {
        address: plan.address,
        timeout: plan.timeout(),
        end,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        clients: plan.groups.iter().map(|group| client(group, plan.address, start, end)).collect(),
        connections: Vec::new(),
    };
    for (number, group) in plan.groups.iter().enumerate() {
        let tls = group.tls.then(|| stream::config(group.resume).map_err(io::Error::other)).transpose()?;
        for _ in 0..group.connections {
            run.clients[number].schedule.ready(run.connections.len(), start);
            run.connections.push(Connection::new(number, tls.clone()));
        }
    }
    run.go()?;
    let reports: serde_json::Map<String, serde_json::Value> = run
        .clients
        .into_iter()
        .flat_map(|client| client.kinds)
        .map(|kind| serde_json::to_value(kind.tally.report(plan.seconds)).map(|value| (kind.name, value)))
        .collect::<Result<_, _>>()?;
    Ok(serde_json::json!({ "seconds": plan.seconds, "groups": reports }).to_string())
}

fn client(group: &Group, address: SocketAddr, start: Instant, end: Instant) -> Client<'_> {
    let schedule = match group.rate {
        Some(rate) => Schedule::clock(start, end, rate, (!group.mix.is_empty()).then(|| Random::new(1))),
        None => Schedule::answered(end),
    };
    let kinds = group.kinds();
    let sum: f64 = kinds.iter().map(|kind| kind.share).sum();
    let mut up_to = 0.0;
    let kinds = kinds.into_iter().map(|kind| {
        up_to += kind.share / sum;
        Asked { request: group.request(&kind.path, address), name: kind.name, up_to, tally: Tally::default() }
    });
    Client { group, kinds: kinds.collect(), schedule, random: Random::new(2) }
}

impl Run<'_> {
    fn go(&mut self) -> std::io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let mut scratch = vec![0; 256 * 1024];
        let mut check = Instant::now() + CHECK;
        loop {
            self.send();
            let now = Instant::now();
            if now >= check {
                self.give_up_on_late(now);
                check = now + CHECK;
            }
            if now >= self.end && (self.quiet() || now >= self.end + self.timeout) {
                break;
            }
            let wait = self.wake().map_or(check, |wake| wake.min(check)).saturating_duration_since(now);
            let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.handle(event, &mut scratch);
            }
        }
        self.count_unanswered();
        Ok(())
    }

    /// Sends every request that is due, as far as there are connections for them.
    fn send(&mut self) {
        for number in 0..self.clients.len() {
            while let Some((connection, due)) = self.clients[number].schedule.next(Instant::now()) {
                let kind = self.clients[number].choose();
                let request = &self.clients[number].kinds[kind].request;
                self.connections[connection].kind = kind;
                let outcome = self.connections[connection].ask(connection, request, self.address, &self.epoll, due);
                self.settle(connection, outcome);
            }
        }
    }

    fn handle(&mut self, event: &Event, scratch: &mut [u8]) {
        let (data, flags) = (event.data.u64(), event.flags);
        let (generation, number) = ((data >> 32) as u32, (data & 0xffff_ffff) as usize);
        let connection = &mut self.connections[number];
        let Asked { request, tally, .. } = &mut self.clients[connection.group].kinds[connection.kind];
        let outcome = connection.handle(flags, generation, request, scratch, &mut |size| tally.received(size));
        self.settle(number, outcome);
    }

    /// Counts what has become of a request, and lets its connection take the next.
    fn settle(&mut self, number: usize, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        let now = Instant::now();
        let connection = &mut self.connections[number];
        let client = &mut self.clients[connection.group];
        let pause = Duration::from_secs_f64(client.group.pause);
        let tally = &mut client.kinds[connection.kind].tally;
        match outcome {
            Outcome::Answered(asking, whole) => {
                if whole.close || !client.group.keep_alive {
                    connection.close();
                }
                if (200..300).contains(&whole.status) {
                    tally.success(now - asking.due, now < self.end);
                } else {
                    tally.failure(Failure::Status, now - asking.due);
                }
                client.schedule.ready(number, now + pause);
            }
            Outcome::Failed(asking, why) => {
                tally.failure(why, now - asking.due);
                client.schedule.ready(number, now + pause.max(RECOVER));
            }
        }
    }

    fn give_up_on_late(&mut self, now: Instant) {
        for number in 0..self.connections.len() {
            let late = self.connections[number].asking().is_some_and(|asking| now - asking.begun >= self.timeout);
            if late {
                let outcome = self.connections[number].fail(Failure::Timeout);
                self.settle(number, outcome);
            }
        }
    }

    /// Whether nothing is under way and nothing is due any more.
    fn quiet(&self) -> bool {
        self.connections.iter().all(|connection| connection.asking().is_none())
            && self.clients.iter().all(|client| client.schedule.waiting().next().is_none())
    }

    fn wake(&self) -> Option<Instant> {
        self.clients.iter().filter_map(|client| client.schedule.wake()).min()
    }

    /// What is still under way when the time is over, or was never sent, has failed, and has waited until now at least.
    fn count_unanswered(&mut self) {
        let now = Instant::now();
        for number in 0..self.connections.len() {
            let outcome = self.connections[number].fail(Failure::Timeout);
            self.settle(number, outcome);
        }
        for client in &mut self.clients {
            let waiting: Vec<_> = client.schedule.waiting().collect();
            for due in waiting {
                let kind = client.choose();
                client.kinds[kind].tally.failure(Failure::Timeout, now - due);
            }
        }
    }
}
