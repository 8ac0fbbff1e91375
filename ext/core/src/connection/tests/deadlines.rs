//! How long a client may take over each step, to the second.

use tokio::time::sleep;

use super::*;
use crate::{http::body::channel, sync::Parker};

#[tokio::test(start_paused = true)]
async fn closes_a_connection_that_says_nothing() {
    let stage = Stage::new();
    let mut client = stage.connect();
    assert_eq!(client.rest().await, (String::new(), s(30)));
}

#[tokio::test(start_paused = true)]
async fn answers_a_head_that_trickles_in_with_408_at_its_deadline() {
    let stage = Stage::new();
    let mut client = stage.connect();
    sleep(s(5)).await;
    client.send("GET / HT").await;
    sleep(s(20)).await;
    client.send("TP/1.1\r\n").await;
    let (text, _) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(now() - client.started, s(5 + 30));
}

/// A refusal that nobody took held its connection, and a drain, for ever.
#[tokio::test(start_paused = true)]
async fn waits_for_nobody_to_take_a_refusal() {
    let stage = Stage::new();
    let mut client = stage.connect_with_buffer(16);
    client.send("GET / HT").await;
    client.serving.await.unwrap();
    assert_eq!(now() - client.started, s(30 + 2));
}

#[tokio::test(start_paused = true)]
async fn answers_a_body_that_stops_arriving_with_408() {
    let stage = Stage::with(Timeouts { min_data_rate: None, ..Timeouts::default() }, Limits::default());
    let mut client = stage.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345").await;
    sleep(s(50)).await;
    client.send("678").await;
    let (text, at) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(at, s(50 + 60));
}

#[tokio::test(start_paused = true)]
async fn closes_an_idle_connection_and_counts_from_the_last_response() {
    let stage = Stage::new();
    let mut client = stage.connect();
    for _ in 0..2 {
        client.send(GET).await;
        stage.answer(ok("x")).await;
        client.expect("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
        sleep(s(60)).await;
    }
    assert_eq!(client.rest().await, (String::new(), s(60 + 65)));
}

#[tokio::test(start_paused = true)]
async fn gives_the_app_all_the_time_it_takes() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    let exchange = stage.take().await;
    sleep(s(3600)).await;
    exchange.responder.send(ok("at last")).unwrap();
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nat last").await;
}

#[tokio::test(start_paused = true)]
async fn gives_a_stream_all_the_time_it_takes_between_chunks() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    let (sender, receiver) = channel();
    stage.answer(response(200, &[], ResponseBody::Stream(receiver))).await;
    sleep(s(3600)).await;
    sender.try_send("x".into(), &Parker::new().unparker()).unwrap();
    sender.finish();
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn aborts_when_the_client_takes_nothing() {
    let stage = Stage::with(Timeouts { min_data_rate: None, ..Timeouts::default() }, Limits::default());
    let mut client = stage.connect_with_buffer(64);
    client.send(GET).await;
    let (sender, receiver) = channel();
    stage.answer(response(200, &[], ResponseBody::Stream(receiver))).await;
    sender.try_send(vec![b'x'; 1000].into(), &Parker::new().unparker()).unwrap();
    sleep(s(59)).await;
    assert!(!sender.is_gone());
    // A byte taken is a new lease.
    client.stream.read_exact(&mut [0; 64]).await.unwrap();
    sleep(s(59)).await;
    assert!(!sender.is_gone());
    sleep(s(2)).await;
    assert!(sender.is_gone(), "the app is told that nobody reads");
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
    };
    let stage = Stage::with(timeouts, Limits::default());
    let mut client = stage.connect();
    sleep(s(10_000)).await;
    client.send("GET / ").await;
    sleep(s(10_000)).await;
    client.send("HTTP/1.1\r\nhost: x\r\n\r\n").await;
    stage.answer(ok("x")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
}
