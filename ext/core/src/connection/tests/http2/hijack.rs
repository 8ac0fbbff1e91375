//! Streams that the app reads and writes itself.

use super::*;

async fn hijacked(harness: &Harness, head: &[u8]) -> (UnixStream, HijackGuard) {
    let (socket, guard) = harness.hijack(head).await;
    (UnixStream::from_std(socket).unwrap(), guard)
}

/// As websocket-driver does it: the app writes the handshake of HTTP/1, which becomes the stream's 200.
#[tokio::test]
async fn an_extended_connect_gives_the_app_a_socket_in_both_directions() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    while !sender.is_extended_connect_protocol_enabled() {
        yield_now().await;
    }
    let mut connect = request("CONNECT", "/cable", &[("sec-websocket-version", "13")]);
    connect.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut to_app) = sender.send_request(connect, false).unwrap();
    let (mut app, guard) = hijacked(&harness, b"").await;
    app.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-protocol: a\r\n\r\nhello")
        .await
        .unwrap();
    let response = response.await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["sec-websocket-protocol"].as_bytes()), (200, &b"a"[..]));
    let mut from_app = response.into_body();
    assert_eq!(from_app.data().await.unwrap().unwrap(), "hello");
    to_app.send_data("ping".into(), false).unwrap();
    let mut heard = [0; 4];
    app.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    to_app.send_data("".into(), true).unwrap();
    assert_eq!(app.read(&mut heard).await.unwrap(), 0);
    app.write_all(b"bye").await.unwrap();
    drop((app, guard));
    assert_eq!(from_app.data().await.unwrap().unwrap(), "bye");
    while !from_app.is_end_stream() {
        assert_eq!(from_app.data().await.unwrap().unwrap(), "");
    }
    let stats = harness.shared.services.stats.snapshot();
    assert_eq!((stats.hijacked, stats.in_flight), (0, 0));
}

#[tokio::test]
async fn an_app_that_hijacks_a_stream_writes_a_response_of_http_1() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let response = get(&mut sender, "/").await;
    let (mut app, _guard) = hijacked(&harness, b"").await;
    app.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(text(response).await, (200, "abc".into()));
    let response = get(&mut sender, "/").await;
    let (mut app, _guard) = hijacked(&harness, b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n").await;
    app.write_all(b"raw").await.unwrap();
    drop(app);
    assert_eq!(text(response).await, (200, "raw".into()));
    let response = get(&mut sender, "/").await;
    let (app, _guard) = hijacked(&harness, b"").await;
    assert!(harness.told().is_empty());
    drop(app);
    assert_eq!(text(response).await, (500, "".into()));
    let told = harness.told();
    assert!(told.len() == 1 && told[0].contains("what it wrote there cannot be sent: it ended before"), "{told:?}");
}

#[tokio::test]
async fn a_hijacked_stream_is_waited_for_and_then_cut() {
    let harness = Harness::new();
    let mut wire = Wire::begin(&harness).await;
    wire.get(1).await;
    let (mut app, _guard) = hijacked(&harness, b"HTTP/1.1 200 OK\r\n\r\n").await;
    app.write_all(b"x").await.unwrap();
    assert_eq!((wire.next().await.unwrap().0, wire.next().await.unwrap().0), (HEADERS, DATA));
    harness.enter(closing(20));
    wire.expect_goaway(ALL).await;
    let ping = wire.expect_ping().await;
    wire.send(PING, ACK, 0, &ping).await;
    wire.expect_goaway(1).await;
    app.write_all(b"y").await.unwrap();
    assert_eq!(wire.next().await.unwrap().0, DATA);
    harness.enter(Phase::Forcing { until: now() + s(1) });
    let (kind, _, stream, _) = wire.next().await.unwrap();
    assert_eq!((kind, stream), (RST_STREAM, 1));
    assert_eq!(wire.next().await, None);
    assert_eq!(app.read(&mut [0]).await.unwrap(), 0);
}
