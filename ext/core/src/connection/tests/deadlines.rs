//! How long a client may take over each step, to the second.

use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn closes_a_connection_that_says_nothing() {
    let harness = Harness::new();
    let mut client = harness.connect();
    assert_eq!(client.rest().await, (String::new(), s(30)));
}

#[tokio::test(start_paused = true)]
async fn answers_a_head_that_trickles_in_with_408_at_its_deadline() {
    let harness = Harness::new();
    let mut client = harness.connect();
    sleep(s(5)).await;
    client.send("GET / HT").await;
    sleep(s(20)).await;
    client.send("TP/1.1\r\n").await;
    let (text, _) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(now() - client.started, s(5 + 30));
}

/// A refusal that the client did not take held its connection, and a drain, for ever.
#[tokio::test(start_paused = true)]
async fn closes_on_a_client_that_does_not_take_its_refusal() {
    let harness = Harness::new();
    let mut client = harness.connect_with_buffer(16);
    client.send("GET / HT").await;
    client.serving.await.unwrap();
    assert_eq!(now() - client.started, s(30 + 2));
}

#[tokio::test(start_paused = true)]
async fn answers_a_body_that_stops_arriving_with_408() {
    let harness = Harness::with_timeouts(Timeouts { min_data_rate: None, ..Timeouts::default() });
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345").await;
    sleep(s(50)).await;
    client.send("678").await;
    let (text, at) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(at, s(50 + 60));
}

#[tokio::test(start_paused = true)]
async fn closes_an_idle_connection_and_counts_from_the_last_response() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for _ in 0..2 {
        client.send(GET).await;
        harness.answer(ok("x")).await;
        client.expect(&with_length("x")).await;
        sleep(s(60)).await;
    }
    assert_eq!(client.rest().await, (String::new(), s(60 + 65)));
}

#[tokio::test(start_paused = true)]
async fn gives_the_app_all_the_time_it_takes() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let exchange = harness.take().await;
    sleep(s(3600)).await;
    exchange.responder.send(ok("at last")).unwrap();
    client.expect(&with_length("at last")).await;
}

#[tokio::test(start_paused = true)]
async fn gives_a_stream_all_the_time_it_takes_between_chunks() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    sleep(s(3600)).await;
    push(&sender, "x");
    sender.finish();
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn aborts_when_the_client_takes_nothing() {
    let harness = Harness::with_timeouts(Timeouts { min_data_rate: None, ..Timeouts::default() });
    let mut client = harness.connect_with_buffer(64);
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[]).await;
    sender.try_send(vec![b'x'; 1000].into(), &Parker::new().unparker()).unwrap();
    sleep(s(59)).await;
    assert!(!sender.is_gone());
    // A byte taken is a new lease.
    client.stream.read_exact(&mut [0; 64]).await.unwrap();
    sleep(s(59)).await;
    assert!(!sender.is_gone());
    sleep(s(2)).await;
    assert!(sender.is_gone(), "the app is told that the client has gone");
}

#[tokio::test(start_paused = true)]
async fn has_no_deadline_that_is_switched_off() {
    let timeouts = Timeouts {
        first_data_timeout: None,
        head_timeout: None,
        body_timeout: None,
        persistent_timeout: None,
        write_timeout: None,
        receive_timeout: None,
        min_data_rate: None,
        ..Timeouts::default()
    };
    let harness = Harness::with_timeouts(timeouts);
    let mut client = harness.connect();
    sleep(s(10_000)).await;
    client.send("GET / ").await;
    sleep(s(10_000)).await;
    client.send("HTTP/1.1\r\nhost: x\r\n\r\n").await;
    harness.answer(ok("x")).await;
    client.expect(&with_length("x")).await;
}

/// A client that does not end its side holds its connection for as long as the setting says, and not longer.
#[tokio::test(start_paused = true)]
async fn waits_for_the_end_of_the_clients_side_as_long_as_is_set() {
    let harness = Harness::with_timeouts(Timeouts { lingering_timeout: s(7), ..Timeouts::default() });
    let mut client = harness.connect();
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\nmore").await;
    harness.answer(ok("x")).await;
    let mut response = Vec::new();
    client.stream.read_to_end(&mut response).await.unwrap();
    let ended = now();
    client.serving.await.unwrap();
    assert_eq!(now() - ended, s(7));
    assert_eq!(harness.shared.services.stats.snapshot().lingered, 1);
}

/// A long wait for clients that do not end their side used up a drain's whole budget, and the exit said that something was cut.
#[tokio::test(start_paused = true)]
async fn a_server_that_closes_waits_no_longer_for_the_clients_side_than_it_ever_did() {
    let harness = Harness::with_timeouts(Timeouts { lingering_timeout: s(600), ..Timeouts::default() });
    let mut client = harness.connect();
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\nmore").await;
    harness.answer(ok("x")).await;
    client.stream.read_to_end(&mut Vec::new()).await.unwrap();
    sleep(s(60)).await;
    let closing = now();
    harness.enter(Phase::Closing { since: closing, deadline: closing + s(60), gently: true });
    client.serving.await.unwrap();
    assert_eq!(now() - closing, s(2));
}
