//! A connection in each phase of the server's end: nothing that a client has sent is lost.

use tokio::time::sleep;

use super::*;
use crate::http::response::Refusal;
use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
const KEEP: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";

fn draining(delay: u64) -> Phase {
    Phase::Draining { since: now(), pace: s(delay), until: now() + s(delay) }
}

fn closing(budget: u64) -> Phase {
    Phase::Closing { since: now(), deadline: now() + s(budget), gently: true }
}

#[tokio::test(start_paused = true)]
async fn a_drain_keeps_idle_connections_and_tells_them_to_close_from_its_half() {
    let harness = Harness::new();
    let mut client = harness.connect();
    harness.round(&mut client, KEEP).await;
    harness.enter(draining(10));
    harness.round(&mut client, KEEP).await;
    sleep(s(5)).await;
    harness.round(&mut client, CLOSE).await;
    client.expect_end().await;
    assert_eq!(harness.shared.services.stats.snapshot().told_close, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_came_in_the_drain_is_served_once() {
    let harness = Harness::new();
    harness.enter(draining(10));
    let mut client = harness.connect();
    harness.round(&mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn an_http_1_0_connection_is_told_too() {
    let harness = Harness::new();
    harness.enter(draining(10));
    let mut client = harness.connect();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    harness.answer(ok("x")).await;
    client.expect("HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx").await;
    client.expect_end().await;
}

/// Closing an idle connection at once would race with the request that is on its way.
#[tokio::test(start_paused = true)]
async fn closing_waits_until_a_connection_is_cold() {
    for (gently, seconds) in [(true, 4), (false, 1)] {
        let harness = Harness::new();
        let mut client = harness.connect();
        harness.round(&mut client, KEEP).await;
        harness.enter(Phase::Closing { since: now(), deadline: now() + s(10), gently });
        let closing_at = now();
        client.expect_end().await;
        assert_eq!(now() - closing_at, s(seconds));
        assert_eq!(harness.shared.services.stats.snapshot().idle_closed, 1);
    }
}

/// hyper is let go of meanwhile, which no client notices.
#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_is_served_on_and_closed_like_any_other() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for _ in 0..3 {
        harness.round(&mut client, KEEP).await;
        sleep(s(20)).await;
    }
    client.send("GET / HTTP/1.1\r\nho").await;
    sleep(s(3)).await;
    client.send("st: x\r\n\r\n").await;
    harness.answer(ok("x")).await;
    client.expect(KEEP).await;
    sleep(s(20)).await;
    harness.enter(Phase::Forcing { until: now() + s(1) });
    client.expect_end().await;
    assert_eq!(harness.shared.services.stats.snapshot().idle_closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_before_the_connection_is_cold_is_answered() {
    let harness = Harness::new();
    let mut client = harness.connect();
    harness.round(&mut client, KEEP).await;
    harness.enter(closing(10));
    sleep(Duration::from_millis(150)).await;
    harness.round(&mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_said_nothing_yet_is_heard() {
    let harness = Harness::new();
    let mut client = harness.connect();
    harness.enter(closing(10));
    sleep(Duration::from_millis(150)).await;
    harness.round(&mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_head_and_half_a_body_are_read_on() {
    let harness = Harness::new();
    let (mut fresh, mut used, mut posting) = (harness.connect(), harness.connect(), harness.connect());
    harness.round(&mut used, KEEP).await;
    fresh.send("GET / HT").await;
    used.send("GET / HT").await;
    posting.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await;
    while harness.shared.services.stats.snapshot().in_flight == 0 {
        yield_now().await;
    }
    harness.enter(closing(20));
    sleep(s(5)).await;
    for client in [&mut fresh, &mut used] {
        client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
        harness.answer(ok("x")).await;
        client.expect(CLOSE).await;
    }
    posting.send("cd").await;
    harness.answer(ok("x")).await;
    posting.expect(CLOSE).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_pipelined_head_is_not_taken_for_silence() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send(&format!("{GET}GET / HT")).await;
    harness.answer(ok("x")).await;
    client.expect(KEEP).await;
    harness.enter(closing(20));
    sleep(s(5)).await;
    client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    harness.answer(ok("x")).await;
    client.expect(CLOSE).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_finished() {
    let harness = Harness::new();
    let (mut waiting, mut streaming) = (harness.connect(), harness.connect());
    waiting.send(GET).await;
    let exchange = harness.take().await;
    streaming.send(GET).await;
    let sender = harness.answer_with_stream(&[]).await;
    streaming.expect(CHUNKED).await;
    harness.enter(closing(20));
    sleep(s(10)).await;
    exchange.responder.send(ok("x")).unwrap();
    waiting.expect(CLOSE).await;
    sender.finish();
    streaming.expect("0\r\n\r\n").await;
    streaming.served().await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_refuses_what_waits_and_cuts_what_has_begun() {
    let harness = Harness::new();
    let mut waiting = harness.request().await;
    let exchange = harness.take().await;
    let mut streaming = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    streaming.expect(CHUNKED).await;
    let (mut half, mut silent) = (harness.connect(), harness.connect());
    half.send("GET / HT").await;
    sleep(s(1)).await;
    harness.enter(Phase::Forcing { until: now() + s(1) });
    let refused = "HTTP/1.1 503 Service Unavailable\r\n";
    let (text, _) = waiting.rest().await;
    assert!(
        text.starts_with(refused) && text.contains("retry-after: 1\r\n") && text.contains("connection: close\r\n"),
        "{text}"
    );
    assert!(exchange.responder.is_gone());
    assert!(half.rest().await.0.starts_with(refused));
    streaming.expect_end().await;
    assert!(sender.is_gone());
    silent.expect_end().await;
    assert_eq!(harness.shared.services.stats.snapshot().cut, 2);
}

/// A request that was in the kernel's buffer when the drain's budget was used up was reset, where the signals were seen before
/// the request: INT, QUIT and TERM at once, on a busy machine.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_looked_at_before_a_forced_end_is_refused() {
    let refused = Refusal::ending().to_http1();
    for silent_for in [None, Some(Duration::ZERO), Some(s(3))] {
        let harness = Harness::new();
        let mut client = harness.connect_through_kernel();
        if let Some(silence) = silent_for {
            client.write_all(GET.as_bytes()).await.unwrap();
            harness.answer(ok("x")).await;
            let mut answer = [0; 1024];
            let _ = client.read(&mut answer).await.unwrap();
            sleep(silence).await;
        }
        // Nothing runs between these two.
        client.try_write(b"GET /late HTTP/1.1\r\nhost").unwrap();
        harness.enter(Phase::Forcing { until: now() + s(1) });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8(answer), String::from_utf8(refused.to_vec()), "after {silent_for:?}");
        assert_eq!(harness.shared.services.stats.snapshot().shed, 1);
    }
}

/// The same for what is left of a body that the app has not read: the response was on its way, and the reset destroyed it.
#[tokio::test(start_paused = true)]
async fn a_forced_end_leaves_a_response_alone_whose_request_body_is_still_coming() {
    let limits = Limits { stream_input: true, ..Limits::default() };
    let harness = Harness::with_limits(limits);
    let mut client = harness.connect_through_kernel();
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\nbegun").await.unwrap();
    harness.answer(ok("x")).await;
    while client.try_write(&[b'b'; 4096]).is_ok() {}
    harness.enter(Phase::Forcing { until: now() + s(1) });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let answer = without_date(std::str::from_utf8(&answer).unwrap());
    assert!(answer.ends_with("\r\n\r\nx") && answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// A connection looked at the phase again and again once its driver had gone, and its task never waited.
#[tokio::test]
async fn a_connection_waits_on_when_the_driver_has_gone() {
    let harness = Harness::new();
    let (mut client, theirs) = tokio::io::duplex(1024);
    let open = harness.shared.services.stats.connection_accepted();
    let mut connection = Box::pin(serve(theirs, Peer::unix(), harness.shared.clone(), open));
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    tokio::spawn(poll_fn(move |cx| {
        counted.fetch_add(1, Relaxed);
        connection.as_mut().poll(cx)
    }));
    client.write_all(GET.as_bytes()).await.unwrap();
    let _exchange = harness.take().await;
    drop(harness.phase);
    let before = polls.load(Relaxed);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(polls.load(Relaxed) - before < 5, "it was polled {} times", polls.load(Relaxed) - before);
}
