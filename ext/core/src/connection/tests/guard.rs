//! The guard on the wire: what it refuses is answered and closed, what comes behind a request waits for it, and what is the app's
//! goes to the app as it came.

use super::*;
use crate::stats::refused::Refused;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn refused(status: &str) -> String {
    let length = status.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{status}\n"
    )
}

/// Behind a proxy that lets a bare LF through in a value, this was a request with a body.
#[tokio::test(start_paused = true)]
async fn a_bare_line_feed_is_refused_and_the_connection_closed() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 3\r\n\r\n").await;
    client.expect(&refused("400 Bad Request")).await;
    client.served().await;
    assert_eq!(harness.shared.services.stats.refused.get(Refused::Malformed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_behind_a_request_is_refused_after_its_response() {
    for (bytes, status, reason) in [
        ("NONSENSE\r\n\r\n", "400 Bad Request", Refused::Malformed),
        ("GET / HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported", Refused::Version),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501 Not Implemented", Refused::Unsupported),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "501 Not Implemented",
            Refused::Unsupported,
        ),
        ("\x16\x03\x01\x02", "400 Bad Request", Refused::Tls),
    ] {
        let harness = Harness::new();
        let mut client = harness.connect();
        client.send(&format!("{GET}{bytes}")).await;
        let exchange = harness.take().await;
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(client.here(), "", "{bytes:?} must wait for its turn");
        exchange.responder.send(ok("ok")).unwrap();
        assert_eq!(client.rest().await.0, format!("{OK}{}", refused(status)));
        assert_eq!(harness.shared.services.stats.refused.get(reason), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_at_once_are_served_one_after_the_other() {
    let harness = Harness::new();
    let mut client = harness.connect();
    let post = "POST /2 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    let chunks = "POST /3 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nxyz\r\n0\r\nT: u\r\n\r\n";
    client.send(&format!("{GET}{post}{chunks}\r\n{GET}GET /ha")).await;
    for expected in ["/", "/2", "/3", "/"] {
        let exchange = harness.take().await;
        assert_eq!(exchange.request.head.uri.path(), expected);
        exchange.responder.send(ok("ok")).unwrap();
        client.expect(OK).await;
    }
    client.send("lf HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let exchange = harness.take().await;
    assert_eq!(exchange.request.head.uri.path(), "/half");
    exchange.responder.send(ok("ok")).unwrap();
    client.expect(OK).await;
    client.served().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_is_served() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for _ in 0..2 {
        for byte in format!("\r\n{GET}").chars() {
            client.send(&byte.to_string()).await;
            yield_now().await;
        }
        harness.answer(ok("ok")).await;
        client.expect(OK).await;
    }
}

/// A head in two parts, the first of which comes to a connection at rest, had no deadline of its own.
#[tokio::test(start_paused = true)]
async fn half_a_head_on_a_resting_connection_is_answered_with_408() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    harness.answer(ok("ok")).await;
    client.expect(OK).await;
    tokio::time::sleep(s(10)).await;
    client.send("GET / HT").await;
    let (text, after) = client.rest().await;
    assert_eq!(text, refused("408 Request Timeout"));
    assert_eq!(after.as_secs(), 40);
    assert_eq!(harness.shared.services.stats.refused.get(Refused::HeadTimeout), 1);
}

/// hyper holds a hundred fields; Puma takes as many as there are.
#[tokio::test(start_paused = true)]
async fn heads_of_many_fields_are_served_between_heads_of_few() {
    let harness = Harness::new();
    let mut client = harness.connect();
    let many = |count: usize| format!("GET /many HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: 1\r\n".repeat(count - 1));
    client.send(&format!("{GET}{}{GET}{}", many(1000), many(101))).await;
    for fields in [1, 1000, 1, 101] {
        let exchange = harness.take().await;
        assert_eq!(exchange.request.head.headers.len(), fields);
        exchange.responder.send(ok("ok")).unwrap();
        client.expect(OK).await;
    }
    client.send(&many(1001)).await;
    client.expect(&refused("431 Request Header Fields Too Large")).await;
    client.served().await;
    assert_eq!(harness.shared.services.stats.refused.get(Refused::HeadTooLarge), 1);
}

#[tokio::test(start_paused = true)]
async fn heads_of_many_bytes_are_served_up_to_the_limit() {
    let harness = Harness::new();
    let head = |length: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(length - 32));
    let mut client = harness.connect();
    client.send(&head(112 * 1024)).await;
    let exchange = harness.take().await;
    assert_eq!(exchange.request.head.headers["x"].len(), 112 * 1024 - 32);
    exchange.responder.send(ok("ok")).unwrap();
    client.expect(OK).await;
    client.send(&head(112 * 1024 + 1)).await;
    client.expect(&refused("431 Request Header Fields Too Large")).await;
}

#[tokio::test(start_paused = true)]
async fn the_app_gets_a_target_as_it_came() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.stream.write_all(b"GET /caf\xe9?q={\xc4} HTTP/1.2\r\nhost: x\r\n\r\n").await.unwrap();
    client.send(GET).await;
    let exchange = harness.take().await;
    let head = &exchange.request.head;
    assert_eq!((head.uri.to_string().as_str(), head.version), ("/caf%E9?q=%7B%C4%7D", http::Version::HTTP_11));
    let raw = head.extensions.get::<crate::http::request::RawTarget>().unwrap();
    assert_eq!(raw.path_and_query(), (b"/caf\xe9".as_slice(), Some(b"q={\xc4}".as_slice())));
    exchange.responder.send(ok("ok")).unwrap();
    client.expect(OK).await;
    let exchange = harness.take().await;
    assert!(exchange.request.head.extensions.get::<crate::http::request::RawTarget>().is_none());
    exchange.responder.send(ok("ok")).unwrap();
    client.expect(OK).await;
}

/// What comes behind a request is HTTP only if the app does not hijack the connection: it must neither be refused nor rewritten.
#[tokio::test]
async fn what_the_app_hijacks_is_what_came() {
    use std::io::Read;

    for behind in
        [b"\x81\x05hello\n\n".as_slice(), b"GET /\xe9 HTTP/1.2\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
    {
        let harness = Harness::new();
        let mut client = harness.connect();
        let upgrade = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: y\r\n\r\n";
        client.stream.write_all(&[upgrade.as_bytes(), behind].concat()).await.unwrap();
        let (mut stream, _held) = harness.hijack(b"HTTP/1.1 101 X\r\n\r\n").await;
        client.stream.write_all(b"\n more").await.unwrap();
        let expected = [behind, b"\n more"].concat();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let mut chunk = [0; 100];
            match stream.read(&mut chunk) {
                Ok(length) => got.extend_from_slice(&chunk[..length]),
                Err(_) => yield_now().await,
            }
        }
        assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_behind_its_request_gets_its_response() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send(&format!("{GET}GET /half")).await;
    let exchange = harness.take().await;
    client.stream.shutdown().await.unwrap();
    exchange.responder.send(ok("ok")).unwrap();
    assert_eq!(client.rest().await.0, OK);
}
