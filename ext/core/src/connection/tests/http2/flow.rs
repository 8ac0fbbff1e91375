//! Streams side by side: what one client, app or window does, the others do not notice.

use super::*;
use crate::http::body::{NextPiece, RequestBody};

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_a_stream_up_is_gone_for_its_app_and_no_other() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (_, mut reset) = sender.send_request(request("GET", "/", &[]), true).unwrap();
    let kept = get(&mut sender, "/").await;
    let (gone, exchange) = (harness.take().await, harness.take().await);
    reset.send_reset(h2::Reason::CANCEL);
    while !gone.responder.is_gone() {
        yield_now().await;
    }
    exchange.responder.send(ok("x")).unwrap();
    assert_eq!(text(kept).await, (200, "x".into()));
    assert_eq!(harness.shared.services.stats.http2_resets.get(crate::stats::By::Client), 1);
}

/// What a slow reader does not take holds up its own stream, and no other.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_reads_nothing_holds_up_no_other() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let stuck = get(&mut sender, "/").await;
    harness.answer(response_of(ResponseBody::Full(vec![b'x'; 40_000].into()))).await;
    let other = get(&mut sender, "/").await;
    harness.answer(response_of(ResponseBody::Full(vec![b'y'; 20_000].into()))).await;
    assert_eq!(text(other).await.1.len(), 20_000);
    assert_eq!(text(stuck).await.1.len(), 40_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_no_window_loses_its_stream_after_the_write_timeout() {
    let harness = Harness::with_timeouts(Timeouts { write_timeout: Some(s(10)), ..Timeouts::default() });
    let mut wire = Wire { client: harness.connect() };
    wire.client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    wire.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    wire.get(1).await;
    harness.answer(ok("x")).await;
    let answered = now();
    assert_eq!(wire.next().await.unwrap().0, HEADERS);
    let (kind, _, stream, _) = wire.next().await.unwrap();
    assert_eq!((kind, stream, now() - answered), (RST_STREAM, 1, s(10)));
    assert_eq!(harness.shared.services.stats.snapshot().too_slow, 1);
}

/// With `stream_input` the app reads at its own pace, which the client of that stream alone has to keep to.
#[tokio::test(start_paused = true)]
async fn a_body_that_the_app_does_not_read_holds_up_no_other_stream() {
    let harness = Harness::with_limits(Limits { stream_input: true, ..Limits::default() });
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (_unread, mut body) = sender.send_request(request("POST", "/", &[]), false).unwrap();
    body.send_data(vec![b'x'; 1 << 20].into(), true).unwrap();
    let unread = harness.take().await;
    for _ in 0..3 {
        let (response, mut body) = sender.send_request(request("POST", "/", &[]), false).unwrap();
        body.send_data(vec![b'y'; 100_000].into(), true).unwrap();
        let exchange = harness.take().await;
        let RequestBody::Stream(stream) = exchange.request.body else { panic!("not streamed") };
        let parker = Parker::new();
        let mut read = 0;
        loop {
            match stream.next(&parker.unparker()) {
                NextPiece::Piece(piece) => read += piece.len(),
                NextPiece::Nothing => yield_now().await,
                NextPiece::Whole => break,
                other @ (NextPiece::Broken(_) | NextPiece::Closed) => panic!("{other:?}"),
            }
        }
        assert_eq!(read, 100_000);
        exchange.responder.send(ok("x")).unwrap();
        assert_eq!(text(response).await.0, 200);
    }
    let held = harness.shared.bounds.bodies.held();
    assert!(held <= 300 * 1024, "{held} bytes of a body are in memory that is not read");
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_arriving_is_answered_on_its_stream() {
    let harness = Harness::with_timeouts(Timeouts { body_timeout: Some(s(3)), ..Timeouts::default() });
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (late, _body) = sender.send_request(request("POST", "/", &[]), false).unwrap();
    let other = get(&mut sender, "/").await;
    assert_eq!(text(late).await.0, 408);
    harness.answer(ok("x")).await;
    assert_eq!(text(other).await, (200, "x".into()));
}

/// A client that opens windows and reads nothing does not fill memory: what is beyond the budget waits in a file.
#[tokio::test]
async fn responses_beyond_the_budget_wait_in_files() {
    let harness = Harness::with_limits(Limits { buffer_limit: Some(200_000), ..Limits::default() });
    let mut wire = Wire::begin(&harness).await;
    wire.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    wire.send(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()).await;
    const BODY: usize = 1 << 20;
    for stream in [1, 3, 5] {
        wire.get(stream).await;
        harness.answer(response_of(ResponseBody::Full(vec![b'x'; BODY].into()))).await;
    }
    // The bodies themselves were made before they were counted; what stays of them is far less.
    let deadline = std::time::Instant::now() + s(20);
    while harness.shared.bounds.bodies.held() > 700_000 {
        assert!(std::time::Instant::now() < deadline, "{} bytes in memory", harness.shared.bounds.bodies.held());
        yield_now().await;
    }
    let mut received = [0; 3];
    while received != [BODY; 3] {
        let (kind, _, stream, payload) = wire.next().await.unwrap();
        if kind == DATA {
            received[stream as usize / 2] += payload.len();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_may_be_are_refused_and_may_be_sent_again() {
    let mut harness = Harness::new();
    Arc::get_mut(&mut harness.shared).unwrap().settings.http2.http2_max_concurrent_streams = 1;
    let mut wire = Wire::begin(&harness).await;
    // Once the client knows of the limit.
    while !matches!(wire.frame().await, Some((SETTINGS, ACK, ..))) {}
    wire.send(SETTINGS, ACK, 0, &[]).await;
    wire.get(1).await;
    let first = harness.take().await;
    wire.get(3).await;
    let refused = wire.next().await.unwrap();
    assert_eq!(refused, (RST_STREAM, 0, 3, 7_u32.to_be_bytes().to_vec()), "REFUSED_STREAM");
    first.responder.send(ok("x")).unwrap();
    wire.expect_response(1).await;
    wire.get(5).await;
    harness.answer(ok("x")).await;
    wire.expect_response(5).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_gives_way_to_a_new_one() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    let exchange = harness.take().await;
    tokio::time::sleep(s(1)).await;
    assert!(!harness.shared.bounds.connections.evict(), "it has a stream");
    exchange.responder.send(ok("x")).unwrap();
    wire.expect_response(1).await;
    tokio::time::sleep(s(1)).await;
    assert!(harness.shared.bounds.connections.evict());
    wire.expect_goaway(1).await;
    assert_eq!(wire.frame().await, None);
    assert_eq!(harness.shared.services.stats.snapshot().gave_way, 1);
}

/// No other request can come meanwhile (RFC 9113 §6.10), so the connection ends with it.
#[tokio::test(start_paused = true)]
async fn a_head_that_takes_too_long_ends_the_connection() {
    let harness = Harness::with_timeouts(Timeouts { head_timeout: Some(s(5)), ..Timeouts::default() });
    for pieces in [2_usize, 0] {
        let mut wire = Wire::begin(&harness).await;
        wire.get(1).await;
        harness.answer(ok("x")).await;
        wire.expect_response(1).await;
        let begun = now();
        if pieces == 0 {
            // Half of a frame.
            wire.client.stream.write_all(&[0, 0, 6, HEADERS, 5, 0, 0, 0, 3, 0x82]).await.unwrap();
        } else {
            wire.send(HEADERS, END_STREAM, 3, &GET_FIELDS[..1]).await;
        }
        for at in 1..=pieces {
            tokio::time::sleep(s(2)).await;
            wire.send(CONTINUATION, 0, 3, &GET_FIELDS[at..=at]).await;
        }
        wire.expect_goaway(1).await;
        assert_eq!(now() - begun, s(5));
        assert_eq!(wire.frame().await, None);
    }
    assert_eq!(harness.shared.services.stats.refused.get(crate::stats::refused::Refused::HeadTimeout), 2);
}
