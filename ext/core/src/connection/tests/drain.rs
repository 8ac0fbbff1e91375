//! A connection in each phase of the server's end: nothing that a client has sent is lost.

use tokio::time::sleep;

use super::*;
use crate::http::{body::channel, response::Refusal};

const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
const KEEP: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";

fn draining(delay: u64) -> Phase {
    Phase::Draining { since: now(), pace: s(delay), until: now() + s(delay) }
}

fn closing(patience: u64) -> Phase {
    Phase::Closing { since: now(), deadline: now() + s(patience), gently: true }
}

async fn round(stage: &Stage, client: &mut Client, expected: &str) {
    client.send(GET).await;
    stage.answer(ok("x")).await;
    client.expect(expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_keeps_idle_connections_and_tells_them_to_close_from_its_half() {
    let stage = Stage::new();
    let mut client = stage.connect();
    round(&stage, &mut client, KEEP).await;
    stage.enter(draining(10));
    round(&stage, &mut client, KEEP).await;
    sleep(s(5)).await;
    round(&stage, &mut client, CLOSE).await;
    client.expect_end().await;
    assert_eq!(stage.shared.stats.snapshot().told_close, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_came_in_the_drain_is_served_once() {
    let stage = Stage::new();
    stage.enter(draining(10));
    let mut client = stage.connect();
    round(&stage, &mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn an_http_1_0_connection_is_told_too() {
    let stage = Stage::new();
    stage.enter(draining(10));
    let mut client = stage.connect();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    stage.answer(ok("x")).await;
    client.expect("HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx").await;
    client.expect_end().await;
}

/// Closing an idle connection at once would race with the request that is on its way.
#[tokio::test(start_paused = true)]
async fn closing_waits_until_a_connection_is_cold() {
    for (gently, patience) in [(true, 4), (false, 1)] {
        let stage = Stage::new();
        let mut client = stage.connect();
        round(&stage, &mut client, KEEP).await;
        stage.enter(Phase::Closing { since: now(), deadline: now() + s(10), gently });
        let closing_at = now();
        client.expect_end().await;
        assert_eq!(now() - closing_at, s(patience));
        assert_eq!(stage.shared.stats.snapshot().idle_closed, 1);
    }
}

/// hyper is let go of meanwhile; nobody notices.
#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_is_served_on_and_closed_like_any_other() {
    let stage = Stage::new();
    let mut client = stage.connect();
    for _ in 0..3 {
        round(&stage, &mut client, KEEP).await;
        sleep(s(20)).await;
    }
    client.send("GET / HTTP/1.1\r\nho").await;
    sleep(s(3)).await;
    client.send("st: x\r\n\r\n").await;
    stage.answer(ok("x")).await;
    client.expect(KEEP).await;
    sleep(s(20)).await;
    stage.enter(Phase::Forcing { until: now() + s(1) });
    client.expect_end().await;
    assert_eq!(stage.shared.stats.snapshot().idle_closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_before_the_connection_is_cold_is_answered() {
    let stage = Stage::new();
    let mut client = stage.connect();
    round(&stage, &mut client, KEEP).await;
    stage.enter(closing(10));
    sleep(Duration::from_millis(150)).await;
    round(&stage, &mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_said_nothing_yet_is_heard() {
    let stage = Stage::new();
    let mut client = stage.connect();
    stage.enter(closing(10));
    sleep(Duration::from_millis(150)).await;
    round(&stage, &mut client, CLOSE).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_head_and_half_a_body_are_read_on() {
    let stage = Stage::new();
    let (mut fresh, mut used, mut posting) = (stage.connect(), stage.connect(), stage.connect());
    round(&stage, &mut used, KEEP).await;
    fresh.send("GET / HT").await;
    used.send("GET / HT").await;
    posting.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await;
    while stage.shared.stats.snapshot().in_flight == 0 {
        yield_now().await;
    }
    stage.enter(closing(20));
    sleep(s(5)).await;
    for client in [&mut fresh, &mut used] {
        client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
        stage.answer(ok("x")).await;
        client.expect(CLOSE).await;
    }
    posting.send("cd").await;
    stage.answer(ok("x")).await;
    posting.expect(CLOSE).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_pipelined_head_is_not_taken_for_silence() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(&format!("{GET}GET / HT")).await;
    stage.answer(ok("x")).await;
    client.expect(KEEP).await;
    stage.enter(closing(20));
    sleep(s(5)).await;
    client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    stage.answer(ok("x")).await;
    client.expect(CLOSE).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_finished() {
    let stage = Stage::new();
    let (mut waiting, mut streaming) = (stage.connect(), stage.connect());
    waiting.send(GET).await;
    let exchange = stage.take().await;
    streaming.send(GET).await;
    let (sender, receiver) = channel();
    stage.answer(response(200, &[], ResponseBody::Stream(receiver))).await;
    streaming.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    stage.enter(closing(20));
    sleep(s(10)).await;
    exchange.responder.send(ok("x")).unwrap();
    waiting.expect(CLOSE).await;
    sender.finish();
    streaming.expect("0\r\n\r\n").await;
    streaming.served().await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_refuses_what_waits_and_cuts_what_has_begun() {
    let stage = Stage::new();
    let mut waiting = stage.connect();
    waiting.send(GET).await;
    let exchange = stage.take().await;
    let mut streaming = stage.connect();
    streaming.send(GET).await;
    let (sender, receiver) = channel();
    stage.answer(response(200, &[], ResponseBody::Stream(receiver))).await;
    streaming.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let (mut half, mut silent) = (stage.connect(), stage.connect());
    half.send("GET / HT").await;
    sleep(s(1)).await;
    stage.enter(Phase::Forcing { until: now() + s(1) });
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
    assert_eq!(stage.shared.stats.snapshot().cut, 2);
}

/// A request that was in the kernel's buffer when the server's patience ended was reset, where the signals were seen before
/// the request: INT, QUIT and TERM at once, on a busy machine.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_looked_at_before_a_forced_end_is_refused() {
    let refused = Refusal::ending().to_http1();
    for silent_for in [None, Some(Duration::ZERO), Some(s(3))] {
        let stage = Stage::new();
        let mut client = stage.connect_through_kernel();
        if let Some(silence) = silent_for {
            client.write_all(GET.as_bytes()).await.unwrap();
            stage.answer(ok("x")).await;
            let mut answer = [0; 1024];
            let _ = client.read(&mut answer).await.unwrap();
            sleep(silence).await;
        }
        // Nothing runs between these two.
        client.try_write(b"GET /late HTTP/1.1\r\nhost").unwrap();
        stage.enter(Phase::Forcing { until: now() + s(1) });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8(answer), String::from_utf8(refused.to_vec()), "after {silent_for:?}");
        assert_eq!(stage.shared.stats.snapshot().shed, 1);
    }
}

/// The same for what is left of a body that the app has not read: the response was on its way, and the reset destroyed it.
#[tokio::test(start_paused = true)]
async fn a_forced_end_leaves_a_response_alone_whose_request_body_is_still_coming() {
    let limits = Limits { stream_input: true, ..Limits::default() };
    let stage = Stage::with(Timeouts::default(), limits);
    let mut client = stage.connect_through_kernel();
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\nbegun").await.unwrap();
    stage.answer(ok("x")).await;
    while client.try_write(&[b'b'; 4096]).is_ok() {}
    stage.enter(Phase::Forcing { until: now() + s(1) });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let answer = without_date(std::str::from_utf8(&answer).unwrap());
    assert!(answer.ends_with("\r\n\r\nx") && answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
