//! The end of a connection: GOAWAY in two steps, and nothing that was sent is lost.

use super::*;

/// The client hears it in the first quarter of the delay; what it has sent meanwhile is answered.
#[tokio::test(start_paused = true)]
async fn a_drain_says_goaway_twice_and_serves_what_crosses_the_first() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    harness.answer(ok("x")).await;
    wire.expect_response(1).await;
    let begun = now();
    harness.enter(Phase::Draining { since: begun, pace: s(20), until: begun + s(20) });
    wire.expect_goaway(ALL).await;
    assert!(now() - begun <= s(5));
    let ping = wire.expect_ping().await;
    wire.get(3).await;
    wire.send(PING, ACK, 0, &ping).await;
    wire.expect_goaway(3).await;
    wire.get(5).await;
    harness.answer(ok("x")).await;
    wire.expect_response(3).await;
    assert_eq!(wire.frame().await, None);
    assert!(matches!(harness.worker.look(), Next::Nothing), "5 was never served, and the client knows");
    wire.client.served().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_ping_is_left_after_two_seconds() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    let exchange = harness.take().await;
    harness.enter(closing(20));
    let begun = now();
    wire.expect_goaway(ALL).await;
    wire.expect_ping().await;
    exchange.responder.send(ok("x")).unwrap();
    wire.expect_response(1).await;
    wire.expect_goaway(1).await;
    assert_eq!((wire.frame().await, now() - begun), (None, s(2)));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_budget_streams_are_refused_or_cut() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    let begun = harness.answer_with_stream(&[]).await;
    push(&begun, "x");
    wire.next().await.unwrap();
    wire.next().await.unwrap();
    wire.get(3).await;
    let waiting = harness.take().await;
    harness.enter(Phase::Forcing { until: now() + s(1) });
    let mut seen = Vec::new();
    while let Some((kind, _, stream, _)) = wire.next().await {
        seen.push((kind, stream));
    }
    seen.retain(|(kind, _)| *kind != PING);
    assert!(seen.contains(&(RST_STREAM, 1)) && seen.contains(&(HEADERS, 3)) && seen.contains(&(GOAWAY, 0)), "{seen:?}");
    assert!(begun.is_gone() && waiting.responder.is_gone());
    assert_eq!(harness.shared.services.stats.snapshot().cut, 2);
}

/// What crosses the first GOAWAY is answered too, as in a drain.
#[tokio::test(start_paused = true)]
async fn a_connection_is_told_to_go_with_its_last_stream() {
    let harness = Harness::with_limits(Limits { max_keep_alive: Some(2), ..Limits::default() });
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    harness.answer(ok("x")).await;
    wire.expect_response(1).await;
    wire.get(3).await;
    wire.expect_goaway(ALL).await;
    let ping = wire.expect_ping().await;
    wire.get(5).await;
    wire.send(PING, ACK, 0, &ping).await;
    wire.expect_goaway(5).await;
    for stream in [3, 5] {
        harness.answer(ok("x")).await;
        wire.expect_response(stream).await;
    }
    assert_eq!(wire.frame().await, None);
    wire.client.served().await;
    assert_eq!(harness.shared.services.stats.snapshot().http2_goaways, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_to_go_before_it_is_closed() {
    let harness = Harness::with_timeouts(Timeouts { persistent_timeout: Some(s(10)), ..Timeouts::default() });
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    harness.answer(ok("x")).await;
    wire.expect_response(1).await;
    let idle = now();
    wire.expect_goaway(ALL).await;
    assert_eq!(now() - idle, s(10));
    let ping = wire.expect_ping().await;
    wire.send(PING, ACK, 0, &ping).await;
    wire.expect_goaway(1).await;
    assert_eq!(wire.frame().await, None);
}

/// The app's part is over, the client's is not: a drain waits for a client that takes its last bytes slowly.
#[tokio::test(start_paused = true)]
async fn a_drain_cuts_nothing_that_a_slow_client_still_takes() {
    let harness = Harness::new();
    let mut wire = Wire { client: harness.connect_with_buffer(1024) };
    wire.client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    wire.send(SETTINGS, 0, 0, &[]).await;
    wire.get(1).await;
    harness.answer(response_of(ResponseBody::Full(vec![b'x'; 20_000].into()))).await;
    while harness.shared.services.stats.snapshot().in_flight > 0 {
        yield_now().await;
    }
    harness.enter(closing(60));
    let mut received = 0;
    while let Some((kind, flags, _, payload)) = wire.next().await {
        tokio::time::sleep(s(1)).await;
        match kind {
            DATA => received += payload.len(),
            PING if flags == 0 => {}
            GOAWAY => assert!(payload[..4] == ALL.to_be_bytes() || received == 20_000, "{received}"),
            _ => {}
        }
    }
    assert_eq!(received, 20_000);
}

/// A client that is told to go before it was ever answered waits for long before it opens its next connection.
#[tokio::test(start_paused = true)]
async fn a_connection_that_came_in_the_drain_is_answered_before_it_is_told_to_go() {
    let harness = Harness::new();
    harness.enter(Phase::Draining { since: now(), pace: s(20), until: now() + s(20) });
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    harness.answer(ok("x")).await;
    wire.expect_response(1).await;
    let answered = now();
    wire.expect_goaway(ALL).await;
    assert_eq!(now(), answered);
}

/// A worker that leaves its cluster cannot hand over what the process has of the protocol.
#[tokio::test(start_paused = true)]
async fn a_worker_that_retires_sends_its_clients_to_the_siblings() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    harness.answer(ok("x")).await;
    wire.expect_response(1).await;
    harness.enter(Phase::Retiring { since: now(), deadline: now() + s(20), hands_over: true });
    wire.expect_goaway(ALL).await;
    let ping = wire.expect_ping().await;
    wire.send(PING, ACK, 0, &ping).await;
    wire.expect_goaway(1).await;
    assert_eq!(wire.frame().await, None);
}
