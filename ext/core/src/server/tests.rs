//! Workers of a cluster over real sockets: several servers in one process, each with a Rust thread for its app, share their listeners
//! as forked processes do.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use http::StatusCode;

mod questions;

use super::*;
use crate::{
    cluster::{Cluster, Room, WorkerState, handover::Traits},
    config::{ClusterOptions, OrAuto, PlanOptions},
    http::response::Response,
    pool::Next,
    stats::Snapshot,
    sync::Parker,
    sys,
};

const WAIT: Duration = Duration::from_secs(20);

fn config(bind: &str) -> Config {
    Config {
        bind: vec![Address::parse(bind).unwrap()],
        spool_directory: std::env::temp_dir(),
        shutdown: PlanOptions {
            drain_delay: OrAuto::Value(Duration::ZERO),
            shutdown_timeout: OrAuto::Value(Duration::from_secs(20)),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// A worker, and the master's end of its control socket.
struct TestWorker {
    running: Running,
    slot: usize,
    control: UnixStream,
    /// Ends what `/busy` waits for.
    release: crossbeam_channel::Sender<()>,
    /// What the operator is told by it.
    told: Arc<Mutex<Vec<String>>>,
}

impl TestWorker {
    fn counted(&self) -> Snapshot {
        self.running.stats()
    }

    fn ended(&self) -> Phase {
        assert_eq!(self.running.wait(&Parker::new(), Some(WAIT)), Some(true));
        self.running.phase()
    }

    fn tell(&mut self, byte: u8) {
        self.control.write_all(&[byte]).unwrap();
    }
}

struct TestCluster {
    cluster: Arc<Cluster>,
    workers: Vec<TestWorker>,
    address: String,
    /// A descriptor of the listening socket.
    listener: OwnedFd,
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.running.tell(Event::Stop, now());
            let _ = worker.release.send(());
        }
    }
}

/// Answers with its worker's number and the path. `/busy` is answered when the test says so.
fn run_app(queue: Arc<DispatchQueue>, number: usize) -> crossbeam_channel::Sender<()> {
    let (release, released) = crossbeam_channel::unbounded();
    thread::spawn(move || {
        let worker = queue.register();
        loop {
            match worker.look() {
                Next::Exchange(exchange) => {
                    let path = exchange.request.head.uri.path().to_owned();
                    if path == "/busy" {
                        let _ = released.recv();
                    }
                    let _ = exchange.responder.send(Response::text(StatusCode::OK, format!("{number}{path}")));
                }
                Next::Nothing => drop(worker.sleep()),
                Next::Over => return,
            }
        }
    });
    release
}

fn cluster_of(count: usize, config: Config) -> TestCluster {
    let cluster = Cluster::create(2 * count + 2).unwrap();
    let master = Server::bind(config).unwrap();
    let mut address = String::new();
    let workers = (0..count).map(|number| {
        let mut server = master.twin();
        let slot = cluster.reserve(number).unwrap();
        let (control, theirs) = UnixStream::pair().unwrap();
        control.set_read_timeout(Some(WAIT)).unwrap();
        server.join(Member::new(cluster.clone(), slot), theirs.into());
        let release = run_app(server.queue().clone(), number);
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = told.clone();
        let running = server.start(Arc::new(move |event| lines.lock().unwrap().push(event.to_string()))).unwrap();
        address = running.addresses()[0].clone();
        eventually("it serves", || running.phase() == Phase::Ready);
        TestWorker { running, slot, control, release, told }
    });
    let workers = workers.collect();
    let listener = sys::duplicate(master.sockets()[0].descriptor).unwrap();
    // The process that is the master keeps its descriptors, and has no part in this.
    std::mem::forget(master);
    TestCluster { cluster, workers, address, listener }
}

fn expect_line(control: &mut UnixStream, expected: &str) {
    let mut line = vec![0; expected.len() + 1];
    control.read_exact(&mut line).unwrap();
    assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));
}

/// A client's connection.
trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

struct Client(Box<dyn Stream>);

impl Client {
    fn connect(address: &str) -> std::io::Result<Self> {
        let stream: Box<dyn Stream> = match address.split_once("://").unwrap() {
            ("unix", path) => {
                let stream = UnixStream::connect(Path::new(path))?;
                stream.set_read_timeout(Some(WAIT))?;
                Box::new(stream)
            }
            (_, address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(WAIT))?;
                Box::new(stream)
            }
        };
        Ok(Self(stream))
    }

    fn send(&mut self, path: &str) -> std::io::Result<()> {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
    }

    /// The head and the body of the next response.
    fn receive(&mut self) -> std::io::Result<(String, String)> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((head, String::from_utf8(body).unwrap()))
    }

    fn ask(&mut self, path: &str) -> String {
        self.send(path).unwrap();
        self.receive().unwrap().1
    }

    /// Which worker serves it now.
    fn server(&mut self) -> usize {
        self.ask("/who").split_once('/').unwrap().0.parse().unwrap()
    }
}

fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !happened() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

impl TestCluster {
    fn connect(&self) -> Client {
        Client::connect(&self.address).unwrap()
    }

    /// A connection that this worker has.
    fn connect_to(&self, number: usize) -> Client {
        (0..1000).map(|_| self.connect()).find_map(|mut client| (client.server() == number).then_some(client)).unwrap()
    }

    fn sum(&self, count: impl Fn(&Snapshot) -> u64) -> u64 {
        self.workers.iter().map(|worker| count(&worker.counted())).sum()
    }

    /// Has a worker run a request that takes long.
    fn occupy(&self, number: usize) -> Client {
        let mut client = self.connect_to(number);
        let queue = self.workers[number].running.queue();
        // While it is not back from the one before, a request may go to a sibling.
        eventually("it would run a request at once", || queue.tally().idle == 1);
        client.send("/busy").unwrap();
        eventually("a thread has run it for long", || {
            queue.tally().active == 1 && queue.since_last_taken(now()) > Duration::from_millis(2)
        });
        client
    }
}

fn both_families(test: impl Fn(&str)) {
    test("tcp://127.0.0.1:0");
    let directory = tempfile::tempdir().unwrap();
    test(&format!("unix://{}", directory.path().join("app.sock").display()));
}

/// The point of it all.
#[test]
fn the_next_request_of_a_kept_connection_goes_to_an_idle_sibling() {
    both_families(|bind| {
        let cluster = cluster_of(2, config(bind));
        let counts = || {
            let [one, other] = [0, 1].map(|number: usize| cluster.workers[number].counted());
            [one.handed_over, one.taken_over, other.handed_over, other.taken_over]
        };
        let mut kept = cluster.connect_to(0);
        let mut busy = cluster.occupy(0);
        // On the way there new connections may have been passed on.
        let before = counts();
        let accepted = cluster.sum(|counted| counted.accepted);
        assert_eq!(kept.ask("/kept"), "1/kept");
        assert_eq!(kept.ask("/kept"), "1/kept", "it stays there");
        cluster.workers[0].release.send(()).unwrap();
        assert_eq!(busy.receive().unwrap().1, "0/busy");
        let since: Vec<u64> = counts().iter().zip(before).map(|(now, before)| now - before).collect();
        assert_eq!(since, [1, 0, 0, 1]);
        assert_eq!(cluster.sum(|counted| counted.accepted), accepted, "it is not counted twice");
    });
}

/// Worker 0 is woken for some of them, and sends those on.
#[test]
fn a_new_connection_goes_to_an_idle_sibling() {
    both_families(|bind| {
        let cluster = cluster_of(2, config(bind));
        let _busy = cluster.occupy(0);
        let accepted = cluster.sum(|counted| counted.accepted);
        for number in 1..=20 {
            // One that comes before the sibling sleeps again may stay with worker 0, and waits there for as long as it is busy.
            eventually("the sibling is idle", || cluster.workers[1].running.queue().tally().idle == 1);
            assert_eq!(cluster.connect().ask("/new"), "1/new");
            eventually("it is counted once", || cluster.sum(|counted| counted.accepted) == accepted + number);
        }
        assert_eq!(cluster.workers[0].running.queue().len(), 0);
    });
}

/// The kernel wakes no other for a connection once one that waits was woken.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_is_served_although_the_worker_that_was_woken_for_it_has_died() {
    use rustix::event::epoll::{self, CreateFlags, Event as Ready, EventData, EventFlags};
    let cluster = cluster_of(1, config("tcp://127.0.0.1:0"));
    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&epoll, &cluster.listener, EventData::new_u64(0), EventFlags::IN | EventFlags::EXCLUSIVE).unwrap();
    // A worker that has served a connection goes to the end of the kernel's list, behind the one that will take none.
    assert_eq!(cluster.connect().ask("/first"), "0/first");
    let (waits, waiting) = std::sync::mpsc::channel();
    let dying = thread::spawn(move || {
        waits.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        let mut events = [Ready { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        epoll::wait(&epoll, &mut events[..], None)
    });
    let stat = Path::new("/proc").join(waiting.recv().unwrap()).join("stat");
    eventually("it waits", || std::fs::read_to_string(&stat).unwrap().contains(") S "));
    let mut client = cluster.connect();
    client.send("/second").unwrap();
    assert_eq!(dying.join().unwrap(), Ok(1), "it was woken, and takes nothing");
    assert_eq!(client.receive().unwrap().1, "0/second");
}

#[test]
fn connections_stay_where_they_are_when_hand_over_is_off() {
    let cluster_options = ClusterOptions { hand_over: false, ..Default::default() };
    let cluster = cluster_of(2, Config { cluster: cluster_options, ..config("tcp://127.0.0.1:0") });
    let mut kept = cluster.connect_to(0);
    let _busy = cluster.occupy(0);
    kept.send("/kept").unwrap();
    eventually("it waits", || cluster.workers[0].running.queue().len() == 1);
    cluster.workers[0].release.send(()).unwrap();
    assert_eq!(kept.receive().unwrap().1, "0/kept");
}

/// A sender slow over its head, and requests behind a response, keep no sibling from work.
#[test]
fn only_a_whole_head_that_begins_a_message_goes_elsewhere() {
    let cluster = cluster_of(2, config("tcp://127.0.0.1:0"));
    let mut slow = cluster.connect_to(0);
    let mut pipelined = cluster.connect_to(0);
    let _busy = cluster.occupy(0);
    // Of those that were to come to worker 0, some may have been sent on.
    let before = cluster.workers[1].counted().taken_over;
    slow.0.write_all(b"G").unwrap();
    pipelined.0.write_all(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (first, second) = (pipelined.receive().unwrap().1, pipelined.receive().unwrap().1);
    assert_eq!((first.as_str(), second.as_str()), ("1/1", "1/2"), "both go, and in their order");
    assert_eq!(cluster.workers[1].counted().taken_over, before + 1);
    slow.0.write_all(b"ET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    eventually("it waits here", || cluster.workers[0].running.queue().len() == 1);
    cluster.workers[0].release.send(()).unwrap();
    assert_eq!(slow.receive().unwrap().1, "0/slow");
}

/// Another sibling is idle, and gets nothing: the request was handed over once.
#[test]
fn a_request_is_handed_over_once() {
    let cluster = cluster_of(3, config("tcp://127.0.0.1:0"));
    let mut kept = cluster.connect_to(0);
    // Worker 1 is not idle any more when the connections come.
    let _busy = [cluster.occupy(0), cluster.occupy(1)];
    let queue = cluster.workers[1].running.queue();
    let inbox = Member::new(cluster.cluster.clone(), cluster.workers[1].slot);
    let inbox = inbox.inbox();
    let (mut client, socket) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    client.set_read_timeout(Some(WAIT)).unwrap();
    for (fresh, begun) in [(true, &b""[..]), (false, b"GET /fo"), (false, b"GET /for HTTP/1.1\r\nhost: x\r\n\r\n")] {
        let (before, traits) = (queue.len(), Traits { fresh, for_request: true, one_shot: false, ..Traits::default() });
        if fresh {
            inbox.send(socket.as_fd(), traits, begun).unwrap();
            client.write_all(b"GET /for HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        } else {
            let (mut other, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            inbox.send(theirs.as_fd(), traits, begun).unwrap();
            other.write_all(&b"GET /for HTTP/1.1\r\nhost: x\r\n\r\n"[begun.len().min(27)..]).unwrap();
            std::mem::forget(other);
        }
        eventually("it waits where it came to", || queue.len() == before + 1);
    }
    assert_eq!(cluster.workers[1].counted().handed_over, 0);
    assert_eq!(kept.ask("/kept"), "2/kept");
}

#[test]
fn a_worker_that_leaves_gives_its_connections_to_its_siblings() {
    both_families(|bind| {
        let mut cluster = cluster_of(2, config(bind));
        // A burst goes to one worker where the other's thread gets no processor meanwhile.
        let mut clients = vec![cluster.connect_to(0)];
        clients.extend((0..40).map(|_| cluster.connect()));
        let silent: Vec<_> = (0..10).map(|_| cluster.connect()).collect();
        for client in &mut clients {
            client.server();
        }
        let mut busy = cluster.occupy(0);
        cluster.workers[0].tell(b'R');
        expect_line(&mut cluster.workers[0].control, "retiring");
        eventually("only the one that is in flight is left", || cluster.workers[0].counted().connections == 1);
        for client in &mut clients {
            client.send("/again").unwrap();
            let (head, body) = client.receive().unwrap();
            assert_eq!(body, "1/again");
            assert!(!head.contains("connection: close"), "{head}");
        }
        cluster.workers[0].release.send(()).unwrap();
        let (head, body) = busy.receive().unwrap();
        assert_eq!(body, "0/busy", "what is in flight is finished");
        assert!(!head.contains("connection: close"), "{head}");
        assert_eq!(busy.ask("/after"), "1/after");
        for mut client in silent {
            assert_eq!(client.ask("/first"), "1/first", "it had said nothing yet");
        }
        assert_eq!(cluster.workers[0].ended(), Phase::Stopped { status: 0 });
        assert_eq!(cluster.connect().ask("/new"), "1/new", "the listener is there as before");
        assert!(cluster.workers[0].told.lock().unwrap().is_empty(), "its master tells of it");
    });
}

/// Hand-over is off, or no sibling is there.
#[test]
fn a_worker_that_cannot_give_its_connections_away_tells_their_clients_to_close() {
    let off = ClusterOptions { hand_over: false, ..Default::default() };
    for (cluster_options, workers) in [(off, 2), (ClusterOptions::default(), 1)] {
        let hands_over = cluster_options.hand_over;
        let mut cluster = cluster_of(workers, Config { cluster: cluster_options, ..config("tcp://127.0.0.1:0") });
        let mut kept = cluster.connect_to(0);
        cluster.workers[0].tell(b'R');
        expect_line(&mut cluster.workers[0].control, "retiring");
        let worker = &cluster.workers[0];
        eventually("it leaves", || worker.running.phase().name() == "retiring");
        // With no sibling, it comes back out of the adoption queue.
        eventually("it has gone", || (worker.counted().handed_over > 0) == hands_over);
        kept.send("/again").unwrap();
        let (head, body) = kept.receive().unwrap();
        assert_eq!(body, "0/again");
        assert!(head.contains("connection: close"), "{head}");
        drop(kept);
        assert_eq!(cluster.workers[0].ended(), Phase::Stopped { status: 0 });
    }
}

/// The kernel wakes one of the workers for a connection, and each time another.
#[cfg(target_os = "linux")]
#[test]
fn a_new_connection_wakes_one_worker() {
    const CONNECTIONS: u64 = 200;
    let cluster = cluster_of(8, config("tcp://127.0.0.1:0"));
    for _ in 0..CONNECTIONS {
        cluster.connect().server();
    }
    assert_eq!(cluster.sum(|counted| counted.accepted), CONNECTIONS);
    let woken = cluster.sum(|counted| counted.accept_wakeups);
    assert!(woken <= CONNECTIONS + CONNECTIONS / 5, "{woken} times for {CONNECTIONS} connections");
    let accepted: Vec<_> = cluster.workers.iter().map(|worker| worker.counted().accepted).collect();
    assert!(accepted.iter().all(|count| (CONNECTIONS / 16..=CONNECTIONS / 4).contains(count)), "{accepted:?}");
}

/// A client that connects all the time is answered, or refused at the door.
#[test]
fn a_drain_of_all_workers_loses_no_connection() {
    both_families(|bind| {
        let mut cluster = cluster_of(3, config(bind));
        let address = cluster.address.clone();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let address = address.clone();
                thread::spawn(move || {
                    let mut served = 0;
                    loop {
                        let mut client = match Client::connect(&address) {
                            Ok(client) => client,
                            Err(error)
                                if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) =>
                            {
                                return served;
                            }
                            Err(error) => panic!("{error}"),
                        };
                        client.send("/new").unwrap();
                        let (_, body) = client.receive().unwrap();
                        assert!(body.ends_with("/new"), "{body}");
                        served += 1;
                    }
                })
            })
            .collect();
        eventually("they are served", || cluster.sum(|counted| counted.requests) > 100);
        cluster.workers.iter_mut().for_each(|worker| worker.tell(0));
        let served: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        for worker in &cluster.workers {
            assert_eq!(worker.ended(), Phase::Stopped { status: 0 });
        }
        assert_eq!(cluster.sum(|counted| counted.requests), served);
        let told = cluster.workers.iter().map(|worker| worker.told.lock().unwrap().len()).sum::<usize>();
        assert_eq!(told, 1, "the first worker that closes tells of it for all");
        if let Some(path) = address.strip_prefix("unix://") {
            assert!(!Path::new(path).exists(), "the first that closed has removed it");
        }
    });
}

#[test]
fn a_master_that_is_gone_ends_the_cluster() {
    let mut cluster = cluster_of(2, config("tcp://127.0.0.1:0"));
    for worker in &mut cluster.workers {
        worker.control.shutdown(std::net::Shutdown::Both).unwrap();
    }
    for worker in &cluster.workers {
        assert_eq!(worker.ended(), Phase::Stopped { status: 0 });
    }
}

/// What siblings have sent to a worker that was killed goes to those that live.
#[test]
fn what_waits_for_a_killed_worker_is_served_by_another() {
    let cluster = cluster_of(1, config("tcp://127.0.0.1:0"));
    let slot = cluster.cluster.reserve(1).unwrap();
    let killed = Member::new(cluster.cluster.clone(), slot);
    killed.set_state(WorkerState::Serving);
    killed.publish_room(Room::Free);
    let mut kept = cluster.connect_to(0);
    let mut busy = cluster.occupy(0);
    kept.send("/kept").unwrap();
    eventually("it is on its way", || cluster.workers[0].counted().handed_over == 1);
    cluster.cluster.gone(slot);
    eventually("it has come back", || cluster.workers[0].running.queue().len() == 1);
    cluster.workers[0].release.send(()).unwrap();
    assert_eq!(busy.receive().unwrap().1, "0/busy");
    assert_eq!(kept.receive().unwrap().1, "0/kept");
}

/// Its socket goes back to the worker, which serves it in its turn.
#[test]
fn a_connection_stays_when_the_siblings_inbox_is_full() {
    let cluster = cluster_of(1, config("tcp://127.0.0.1:0"));
    let slot = cluster.cluster.reserve(1).unwrap();
    let stuck = Member::new(cluster.cluster.clone(), slot);
    stuck.set_state(WorkerState::Serving);
    let (_client, socket) = UnixStream::pair().unwrap();
    while stuck.inbox().send(socket.as_fd(), Traits::default(), b"").is_ok() {}
    stuck.publish_room(Room::Free);
    let mut kept = cluster.connect_to(0);
    let _busy = cluster.occupy(0);
    kept.send("/kept").unwrap();
    eventually("it waits here", || cluster.workers[0].running.queue().len() == 1);
    assert_eq!(cluster.workers[0].counted().handed_over, 0);
    cluster.workers[0].release.send(()).unwrap();
    assert_eq!(kept.receive().unwrap().1, "0/kept");
}
