//! Connections that go to another worker of the cluster, and come from one, between two requests.

use std::os::fd::AsFd;

use tokio::time::sleep;

use super::*;
use crate::cluster::{
    Cluster, Room, WorkerState,
    handover::{MAX_READ_AHEAD, Message, Traits},
};

const KEEP: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";

/// A worker, and an idle sibling that the test plays.
fn pair() -> (Harness, Member) {
    pair_with(Timeouts::default(), Limits::default())
}

fn pair_with(timeouts: Timeouts, limits: Limits) -> (Harness, Member) {
    let cluster = Cluster::create(2).unwrap();
    let [own, sibling] = [0, 1].map(|index| {
        let member = Member::new(cluster.clone(), cluster.reserve(index).unwrap());
        member.set_state(WorkerState::Serving);
        member
    });
    let harness = Harness::with_all(timeouts, limits, None, Some(own));
    harness.shared.services.queue.publish_room();
    (harness, sibling)
}

/// A connection that the kernel has a part in.
struct Kernel(UnixStream);

impl Kernel {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn expect(&mut self, expected: &str) {
        let mut text = String::new();
        while without_date(&text).len() < expected.len() {
            let mut chunk = [0; 4096];
            let length = self.0.read(&mut chunk).await.unwrap();
            assert_ne!(length, 0, "closed after {text:?}, expected {expected:?}");
            text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
        assert_eq!(without_date(&text), expected);
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0; 16]).await.unwrap(), 0);
    }
}

impl Harness {
    fn connect_kernel(&self) -> Kernel {
        Kernel(self.connect_through_kernel())
    }

    /// A connection that has had a request.
    async fn used(&self) -> Kernel {
        let mut client = self.connect_kernel();
        client.send(GET.as_bytes()).await;
        self.answer(ok("x")).await;
        client.expect(KEEP).await;
        client
    }

    /// The app computes for long. The exchange is dropped with what is returned.
    async fn busy(&self) -> (Client, Exchange) {
        let client = self.request().await;
        let exchange = self.take().await;
        self.runs_long();
        assert!(!self.shared.services.siblings.as_ref().unwrap().member().has_room());
        (client, exchange)
    }

    /// Waits for what the pool takes for long, by its own clock, which no test stops.
    fn runs_long(&self) {
        while self.shared.services.queue.since_last_taken(Instant::now()) < Duration::from_millis(2) {
            std::thread::yield_now();
        }
    }

    fn handed_over(&self) -> u64 {
        self.shared.services.stats.snapshot().handed_over
    }

    async fn queued(&self, expected: usize) {
        while self.shared.services.queue.len() < expected {
            yield_now().await;
        }
        assert_eq!(self.shared.services.queue.len(), expected);
    }

    /// A connection that comes from a sibling.
    fn take_over(&self, traits: Traits, read_ahead: &[u8]) -> Kernel {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let open = self.shared.services.stats.connection_taken_over();
        let serving = take_over(theirs, Peer::unix(), self.shared.clone(), open, (traits, read_ahead));
        tokio::spawn(inline_task::task(serving));
        Kernel(ours)
    }
}

/// What has come for the sibling.
async fn received(sibling: &Member) -> Message {
    loop {
        match sibling.inbox().receive() {
            Ok(message) => return message,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        yield_now().await;
    }
}

const FOR_REQUEST: Traits =
    Traits { fresh: false, for_request: true, one_shot: false, opens: false, question: false, requests: 0 };

#[tokio::test(start_paused = true)]
async fn a_request_that_would_wait_goes_with_its_connection_to_an_idle_sibling() {
    // hyper has the connection; the connection rests.
    for silent_for in [Duration::ZERO, s(10)] {
        let (harness, sibling) = pair();
        let mut client = harness.used().await;
        sleep(silent_for).await;
        let busy = harness.busy().await;
        sibling.publish_room(Room::Free);
        client.send(GET.as_bytes()).await;
        let Message { socket, traits, read_ahead } = received(&sibling).await;
        assert_eq!((traits, &read_ahead[..]), (FOR_REQUEST, GET.as_bytes()));
        let stats = harness.shared.services.stats.snapshot();
        assert_eq!((stats.connections, stats.handed_over, stats.idle_closed), (1, 1, 0), "after {silent_for:?}");
        let mut there = std::os::unix::net::UnixStream::from(socket);
        std::io::Write::write_all(&mut there, b"answer").unwrap();
        client.expect("answer").await;
        drop(busy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_goes_on_counts_as_one_that_has_said_nothing() {
    let (harness, sibling) = pair();
    let mut client = harness.connect_kernel();
    let _busy = harness.busy().await;
    sibling.publish_room(Room::Free);
    client.send(GET.as_bytes()).await;
    assert_eq!(received(&sibling).await.traits, Traits { fresh: true, ..FOR_REQUEST });
}

/// A sibling without room, or that does not serve, is not sent anything.
#[tokio::test(start_paused = true)]
async fn a_connection_stays_where_it_would_not_be_served_sooner_elsewhere() {
    for (room, state) in
        [(Room::None, WorkerState::Serving), (Room::Free, WorkerState::Retiring), (Room::Free, WorkerState::Booting)]
    {
        let (harness, sibling) = pair();
        let mut client = harness.used().await;
        let (_first, exchange) = harness.busy().await;
        sibling.publish_room(room);
        sibling.set_state(state);
        client.send(GET.as_bytes()).await;
        harness.queued(1).await;
        exchange.responder.send(ok("x")).unwrap();
        harness.worker.end_exchange();
        harness.answer(ok("x")).await;
        client.expect(KEEP).await;
        assert_eq!(harness.handed_over(), 0);
    }
}

/// It was the last of those that waited here, while another worker had one request.
#[tokio::test(start_paused = true)]
async fn where_no_sibling_is_idle_a_request_goes_to_one_that_has_two_less_to_do() {
    let (harness, sibling) = pair();
    sibling.publish_room(Room::Shared);
    sibling.publish_load((1, 0), 0);
    let mut clients = [harness.used().await, harness.used().await, harness.used().await];
    let _busy = harness.busy().await;
    sibling.publish_taken();
    for (waiting, client) in clients.iter_mut().enumerate().take(2) {
        client.send(GET.as_bytes()).await;
        harness.queued(waiting + 1).await;
    }
    clients[2].send(GET.as_bytes()).await;
    let Message { traits, read_ahead, .. } = received(&sibling).await;
    assert_eq!((traits, &read_ahead[..]), (FOR_REQUEST, GET.as_bytes()));
    assert_eq!((harness.handed_over(), harness.shared.services.queue.len()), (1, 2));
}

/// Bodies, requests behind others, upgrades: what is in flight stays.
#[tokio::test(start_paused = true)]
async fn a_connection_with_something_in_flight_stays() {
    let (harness, sibling) = pair();
    let mut posting = harness.used().await;
    posting.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 31\r\n\r\n").await;
    let mut streaming = harness.used().await;
    streaming.send(GET.as_bytes()).await;
    let sender = harness.answer_with_stream(&[]).await;
    harness.worker.end_exchange();
    streaming.expect(CHUNKED).await;
    let mut hijacked = harness.used().await;
    hijacked.send(GET.as_bytes()).await;
    let (app, _held) = harness.hijack(b"HTTP/1.1 101 X\r\n\r\n").await;
    harness.worker.end_exchange();
    hijacked.expect("HTTP/1.1 101 X\r\n\r\n").await;
    let (_client, exchange) = harness.busy().await;
    sibling.publish_room(Room::Free);
    for client in [&mut posting, &mut streaming, &mut hijacked] {
        client.send(b"GET /body HTTP/1.1\r\nhost: x\r\n\r\n").await;
    }
    // Its body is whole.
    harness.queued(1).await;
    sender.finish();
    streaming.expect("0\r\n\r\n").await;
    harness.queued(2).await;
    assert_eq!(sibling.inbox().receive().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(sibling.has_room(), "it was not even asked");
    assert_eq!(harness.handed_over(), 0);
    let mut came = [0; 64];
    app.set_nonblocking(true).unwrap();
    assert_eq!(std::io::Read::read(&mut &app, &mut came).unwrap(), 31, "the app's own gets what is sent to it");
    drop(exchange);
}

#[tokio::test(start_paused = true)]
async fn a_head_too_long_for_a_message_stays_and_is_served() {
    let (harness, sibling) = pair_with(Timeouts::default(), Limits { head_limit: 64 * 1024, ..Limits::default() });
    let mut client = harness.used().await;
    let (_busy, exchange) = harness.busy().await;
    sibling.publish_room(Room::Free);
    let padding = "x".repeat(MAX_READ_AHEAD);
    client.send(format!("GET / HTTP/1.1\r\nhost: x\r\npadding: {padding}\r\n\r\n").as_bytes()).await;
    harness.queued(1).await;
    exchange.responder.send(ok("x")).unwrap();
    harness.worker.end_exchange();
    harness.answer(ok("x")).await;
    client.expect(KEEP).await;
    assert_eq!(harness.handed_over(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_came_for_a_request_stays_for_it_and_may_go_on_after_it() {
    for (fresh, begun, rest) in [(true, "", GET), (false, GET, ""), (false, &GET[..9], &GET[9..])] {
        let (harness, sibling) = pair();
        let (_busy, exchange) = harness.busy().await;
        sibling.publish_room(Room::Free);
        let mut client = harness.take_over(Traits { fresh, ..FOR_REQUEST }, begun.as_bytes());
        yield_now().await;
        client.send(rest.as_bytes()).await;
        harness.queued(1).await;
        exchange.responder.send(ok("x")).unwrap();
        harness.worker.end_exchange();
        harness.answer(ok("x")).await;
        harness.worker.end_exchange();
        client.expect(KEEP).await;
        assert_eq!(harness.handed_over(), 0);
        let _busy = harness.busy().await;
        client.send(GET.as_bytes()).await;
        assert_eq!(received(&sibling).await.read_ahead, GET.as_bytes());
    }
}

/// Where the requests of a connection are limited, their number goes with it.
#[tokio::test(start_paused = true)]
async fn a_connection_keeps_the_number_of_its_requests() {
    let (harness, sibling) = pair_with(Timeouts::default(), Limits { max_keep_alive: Some(3), ..Limits::default() });
    let mut client = harness.used().await;
    let (_busy, exchange) = harness.busy().await;
    sibling.publish_room(Room::Free);
    client.send(GET.as_bytes()).await;
    assert_eq!(received(&sibling).await.traits, Traits { requests: 1, ..FOR_REQUEST });
    exchange.responder.send(ok("x")).unwrap();
    harness.worker.end_exchange();
    let mut client = harness.take_over(Traits { requests: 1, ..FOR_REQUEST }, b"");
    for expected in [KEEP, CLOSE] {
        client.send(GET.as_bytes()).await;
        harness.answer(ok("x")).await;
        client.expect(expected).await;
        harness.worker.end_exchange();
    }
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_taken_over_has_its_time_anew() {
    let timeouts = Timeouts {
        first_data_timeout: Some(s(3)),
        persistent_timeout: Some(s(7)),
        head_timeout: Some(s(5)),
        ..Timeouts::default()
    };
    for (traits, begun, seconds) in
        [(Traits { fresh: true, ..Traits::default() }, "", 3), (Traits::default(), "", 7), (FOR_REQUEST, "GET / HT", 5)]
    {
        let (harness, _) = pair_with(timeouts, Limits::default());
        let taken_over = now();
        let mut client = harness.take_over(traits, begun.as_bytes());
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).await.unwrap();
        assert_eq!((now() - taken_over).as_secs(), seconds);
        assert_eq!(answer.is_empty(), begun.is_empty(), "a head that does not come is refused");
        let counted = harness.shared.services.stats.snapshot();
        assert_eq!((counted.accepted, counted.taken_over), (0, 1));
    }
}

fn retiring() -> Phase {
    Phase::Retiring { since: now(), deadline: now() + s(30), hands_over: true }
}

fn leave(harness: &Harness) {
    harness.shared.services.siblings.as_ref().unwrap().begin_to_leave();
    harness.enter(retiring());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_gives_away_what_is_at_rest_and_what_comes_to_rest() {
    let (harness, sibling) = pair();
    let (mut used, mut at_rest, mut posting) = (harness.used().await, harness.used().await, harness.used().await);
    sleep(s(5)).await;
    used.send(GET.as_bytes()).await;
    harness.answer(ok("x")).await;
    used.expect(KEEP).await;
    posting.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na").await;
    let fresh = harness.connect_kernel();
    while harness.shared.services.stats.snapshot().in_flight == 0 {
        yield_now().await;
    }
    leave(&harness);
    let mut adopted = Vec::new();
    while adopted.len() < 3 {
        match sibling.adoption().receive() {
            Ok(message) => adopted.push(message),
            Err(_) => yield_now().await,
        }
    }
    assert!(adopted.iter().all(|message| message.read_ahead.is_empty() && !message.traits.for_request));
    assert_eq!(adopted.iter().filter(|message| message.traits.fresh).count(), 1);
    assert_eq!(harness.shared.services.stats.snapshot().connections, 1);
    posting.send(b"b").await;
    harness.answer(ok("x")).await;
    posting.expect(KEEP).await;
    while harness.handed_over() < 4 {
        yield_now().await;
    }
    // None was closed: the sibling has them.
    drop(adopted);
    used.expect_end().await;
    at_rest.expect_end().await;
    drop(fresh);
}

/// Nothing is closed while a request may be on its way; what goes first is told to close.
#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_serves_on_while_the_adoption_queue_is_full() {
    let (harness, sibling) = pair();
    let (_client, filler) = UnixStream::pair().unwrap();
    while sibling.adoption().send(filler.as_fd(), Traits::default(), b"").is_ok() {}
    let (mut asks, mut cold) = (harness.used().await, harness.used().await);
    leave(&harness);
    let begun = now();
    for _ in 0..20 {
        yield_now().await;
    }
    asks.send(GET.as_bytes()).await;
    harness.answer(ok("x")).await;
    asks.expect(CLOSE).await;
    cold.expect_end().await;
    assert_eq!((now() - begun).as_secs(), 4, "as in a drain");
    assert_eq!(harness.handed_over(), 0);
}

#[tokio::test]
async fn a_connection_goes_when_the_adoption_queue_has_room_again() {
    let (harness, sibling) = pair();
    let (_client, filler) = UnixStream::pair().unwrap();
    while sibling.adoption().send(filler.as_fd(), Traits::default(), b"").is_ok() {}
    let _client = harness.used().await;
    leave(&harness);
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(harness.handed_over(), 0);
    while sibling.adoption().receive().is_ok() {}
    while harness.handed_over() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(sibling.adoption().receive().is_ok());
}
