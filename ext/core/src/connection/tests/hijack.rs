//! Connections that the app hijacks, and hints ahead of responses.

use std::io::{Read, Write};

use super::*;

async fn read(stream: &mut std::os::unix::net::UnixStream) -> String {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(length) => return String::from_utf8_lossy(&chunk[..length]).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_app_gets_the_connection_and_what_was_read_ahead() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    harness.answer(ok("first")).await;
    client.expect(&with_length("first")).await;
    client.send(&format!("{GET}early")).await;
    let (mut stream, held) = harness.hijack(b"HTTP/1.1 101 X\r\n\r\n").await;
    client.expect("HTTP/1.1 101 X\r\n\r\n").await;
    assert_eq!(read(&mut stream).await, "early");
    stream.write_all(b"hello").unwrap();
    client.expect("hello").await;
    client.send("and back").await;
    assert_eq!(read(&mut stream).await, "and back");
    let stats = || harness.shared.services.stats.snapshot();
    assert_eq!((stats().connections, stats().hijacked, stats().in_flight), (0, 1, 0));
    drop((stream, held));
    client.expect_end().await;
    client.served().await;
    assert_eq!(stats().hijacked, 0);
}

/// The kernel then fails what is written to the pair, or resets it: the answer in it is the client's all the same.
#[tokio::test]
async fn an_answer_reaches_the_client_when_the_app_has_not_read_what_the_client_sent() {
    let answer = "0123456789abcdef".repeat(256);
    // Left unread in the pair; sent when the app has closed; both.
    for (early, late) in [("\r\n", ""), ("", "late"), ("early", "late")] {
        let harness = Harness::new();
        // Takes the answer piece by piece.
        let mut client = harness.connect_with_buffer(100);
        client.send(&format!("{GET}{early}")).await;
        let (mut stream, held) = harness.hijack(b"").await;
        stream.write_all(answer.as_bytes()).unwrap();
        drop((stream, held));
        client.send(late).await;
        assert!(client.rest().await.0 == answer, "lost with {early:?} before and {late:?} after");
        client.send("What comes then is read and forgotten. ".repeat(100).as_str()).await;
        client.served().await;
    }
}

/// It has said that it reads no more, not that it writes no more.
#[tokio::test]
async fn an_app_that_has_closed_its_reading_side_may_go_on_writing() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let (mut stream, held) = harness.hijack(b"").await;
    stream.shutdown(std::net::Shutdown::Read).unwrap();
    client.send("unwanted").await;
    stream.write_all(b"one ").unwrap();
    client.expect("one ").await;
    client.send("unwanted").await;
    stream.write_all(b"two").unwrap();
    client.expect("two").await;
    drop((stream, held));
    client.expect_end().await;
    client.served().await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_the_app_has_closed_does_not_wait_for_the_client_for_ever() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let (mut stream, held) = harness.hijack(b"").await;
    stream.write_all(b"bye").unwrap();
    drop((stream, held));
    client.expect("bye").await;
    let Client { stream: _open, serving, .. } = client;
    serving.await.unwrap();
}

#[tokio::test]
async fn a_pair_is_cut_when_the_drains_budget_is_used_up() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let (mut stream, _held) = harness.hijack(b"").await;
    harness.enter(Phase::Forcing { until: now() + s(1) });
    client.expect_end().await;
    assert_eq!(read(&mut stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_asks_for_a_client_that_has_gone_is_told() {
    let harness = Harness::new();
    let client = harness.request().await;
    let exchange = harness.take().await;
    client.served().await;
    let parker = Parker::new();
    let hijack = exchange.responder.hijack(Vec::new(), parker.unparker());
    parker.park();
    assert!(matches!(hijack.progress(), HijackProgress::Gone));
}

fn link(target: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static(target))])
}

#[tokio::test(start_paused = true)]
async fn hints_go_ahead_of_the_response() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let exchange = harness.take().await;
    exchange.responder.hint(&link("</a.css>"));
    client.expect("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await;
    exchange.responder.hint(&link("</b.css>"));
    exchange.responder.hint(&link("</c.css>"));
    exchange.responder.send(ok("x")).unwrap();
    client
        .expect(
            "HTTP/1.1 103 Early Hints\r\nlink: </b.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </c.css>\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        )
        .await;
    client.send(GET).await;
    harness.answer(ok("y")).await;
    client.expect(&with_length("y")).await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_knows_no_hints() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let exchange = harness.take().await;
    exchange.responder.hint(&link("</a.css>"));
    exchange.responder.send(ok("x")).unwrap();
    assert!(!client.rest().await.0.contains("103"));
}
