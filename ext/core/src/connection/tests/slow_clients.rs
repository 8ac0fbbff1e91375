//! Clients that are slow, and clients that are many.

use tokio::time::{advance, sleep};

use super::*;
use crate::connection::stage::EVICTABLE_AFTER;

/// A client that took a byte a minute of a long response was served for as long as it liked.
#[tokio::test(start_paused = true)]
async fn cuts_a_response_whose_client_takes_it_in_drops() {
    let harness = Harness::new();
    let mut client = harness.connect_with_buffer(64);
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[]).await;
    sender.try_send(vec![b'x'; 50_000].into(), &Parker::new().unparker()).unwrap();
    // Fast enough for a minute, then in drops.
    for _ in 0..3 {
        client.stream.read_exact(&mut [0; 11_000]).await.unwrap();
        sleep(s(20)).await;
    }
    let begun = now();
    while !sender.is_gone() {
        let _ = client.stream.read(&mut [0; 1]).await;
        sleep(s(1)).await;
    }
    let after = now() - begun;
    assert!((s(19)..=s(41)).contains(&after), "{after:?}");
    assert_eq!(harness.shared.services.stats.snapshot().too_slow, 1);
}

/// What is owed is what counts: an event stream may be silent, and each event is small.
#[tokio::test(start_paused = true)]
async fn a_stream_of_few_events_is_not_slow() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    client.expect(CHUNKED).await;
    for _ in 0..10 {
        sleep(s(300)).await;
        push(&sender, "x");
        client.expect("1\r\nx\r\n").await;
    }
    assert!(!sender.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_request_as_a_whole_has_a_deadline_where_one_is_set() {
    let timeouts = Timeouts { receive_timeout: Some(s(45)), ..Timeouts::default() };
    let harness = Harness::with_timeouts(timeouts);
    let mut client = harness.connect();
    sleep(s(5)).await;
    client.send("POST / HTTP/1.1\r\n").await;
    sleep(s(20)).await;
    client.send("host: x\r\ncontent-length: 100000\r\n\r\n").await;
    for _ in 0..5 {
        client.send(&"x".repeat(10_000)).await;
        sleep(s(4)).await;
    }
    let (text, at) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(at, s(5 + 45));

    let timeouts = Timeouts { receive_timeout: Some(s(10)), ..Timeouts::default() };
    let harness = Harness::with_timeouts(timeouts);
    let mut client = harness.connect();
    client.send("GET / HT").await;
    let (text, at) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(at, s(10), "before the head's own");
}

/// The app's time is its own.
#[tokio::test(start_paused = true)]
async fn the_deadline_ends_with_the_request() {
    let timeouts = Timeouts { receive_timeout: Some(s(10)), ..Timeouts::default() };
    let harness = Harness::with_timeouts(timeouts);
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx").await;
    let exchange = harness.take().await;
    sleep(s(3600)).await;
    exchange.responder.send(ok("at last")).unwrap();
    client.expect(&with_length("at last")).await;
}

/// Connections that say nothing, whether ever used or not, give way in the order in which they fell silent.
#[tokio::test(start_paused = true)]
async fn the_connection_that_has_been_silent_longest_gives_way() {
    let harness =
        Harness::with_limits(Limits { max_connections: crate::config::OrAuto::Value(3), ..Limits::default() });
    let (mut used, mut fresh, mut busy) = (harness.connect(), harness.connect(), harness.connect());
    busy.send(GET).await;
    let exchange = harness.take().await;
    advance(s(1)).await;
    used.send(GET).await;
    harness.answer(ok("x")).await;
    used.expect(&with_length("x")).await;
    sleep(s(1)).await;

    let limit = &harness.shared.bounds.connections;
    assert!(!limit.has_room(harness.shared.services.stats.all_connections()));
    assert!(limit.evict());
    fresh.expect_end().await;
    assert!(limit.evict());
    used.expect_end().await;
    assert!(!limit.evict(), "one that waits for its answer is not silent");
    exchange.responder.send(ok("y")).unwrap();
    busy.expect(&with_length("y")).await;
    assert_eq!(harness.shared.services.stats.snapshot().gave_way, 2);
}

/// 400 half heads kept new clients out until the head's deadline.
#[tokio::test(start_paused = true)]
async fn a_head_that_takes_long_gives_way_after_the_silent_and_a_request_does_not() {
    let harness = Harness::new();
    let limit = &harness.shared.bounds.connections;
    let (mut half, mut slow) = (harness.connect(), harness.connect());
    half.send("GET / HT").await;
    slow.send("GET / HT").await;
    sleep(EVICTABLE_AFTER / 2).await;
    assert!(!limit.evict(), "it may be on its way");
    let mut silent = harness.connect();
    sleep(EVICTABLE_AFTER).await;
    assert!(limit.evict());
    silent.expect_end().await;

    slow.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    let exchange = harness.take().await;
    assert!(limit.evict());
    half.expect_end().await;
    assert!(!limit.evict(), "a request is under way");
    exchange.responder.send(ok("y")).unwrap();
    slow.expect(&with_length("y")).await;
    assert_eq!(harness.shared.services.stats.snapshot().gave_way, 2);

    let mut late = harness.connect();
    late.send("GET / HT").await;
    let (text, at) = late.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(at, s(30), "where there is room it has its time");
}
