//! HTTP/2 on a connection, spoken by h2's own client: requests and responses on streams.

use h2::client::{self, ResponseFuture, SendRequest};
use http::Request;

use super::*;
use crate::http::body::RequestBody;

type Sender = SendRequest<Bytes>;

/// A client that has begun with HTTP/2. The task that speaks for it ends when the connection does.
async fn speak(client: Client) -> (Sender, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = client::handshake(client.stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn get(sender: &mut Sender, path: &str) -> ResponseFuture {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
    sender.send_request(request("GET", path, &[]), true).unwrap().0
}

async fn text(response: ResponseFuture) -> (u16, String) {
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn answers_requests_on_streams_in_any_order() {
    let harness = Harness::new();
    let (mut sender, connection) = speak(harness.connect()).await;
    let (first, second) = (get(&mut sender, "/1?a").await, get(&mut sender, "/2").await);
    let (one, two) = (harness.take().await, harness.take().await);
    assert_eq!(one.request.head.uri, "/1?a");
    assert_eq!(
        (one.request.head.version, &one.request.head.headers["host"]),
        (http::Version::HTTP_2, &HeaderValue::from_static("x"))
    );
    two.responder.send(ok("two")).unwrap();
    assert_eq!(text(second).await, (200, "two".into()));
    one.responder.send(ok("one")).unwrap();
    let response = first.await.unwrap();
    assert_eq!(response.headers()["content-length"], "3");
    assert!(response.headers().contains_key("date"));
    drop((sender, response));
    connection.await.unwrap().unwrap();
    let stats = harness.shared.services.stats.snapshot();
    assert_eq!((stats.http2_streams, stats.in_flight), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn takes_bodies_whole_and_sends_streams() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (response, mut body) = sender.send_request(request("POST", "/", &[]), false).unwrap();
    body.send_data("abc".into(), false).unwrap();
    body.send_data("de".into(), true).unwrap();
    let exchange = harness.take().await;
    assert!(matches!(&exchange.request.body, RequestBody::Memory(bytes) if bytes == "abcde"));
    let (stream, receiver) = channel();
    exchange.responder.send(response_of(ResponseBody::Stream(receiver))).unwrap();
    push(&stream, "one ");
    let mut response = response.await.unwrap().into_body();
    assert_eq!(response.data().await.unwrap().unwrap(), "one ");
    push(&stream, "two");
    stream.finish();
    assert_eq!(response.data().await.unwrap().unwrap(), "two");
    assert_eq!(response.data().await.unwrap().unwrap(), "");
    assert!(response.is_end_stream());
}

fn response_of(body: ResponseBody) -> Response {
    response(200, &[], body)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_app_does_not_finish_is_reset_behind_what_there_was_of_it() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let response = get(&mut sender, "/").await;
    let stream = harness.answer_with_stream(&[]).await;
    push(&stream, "half");
    drop(stream);
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "half");
    let error = body.data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_length_is_a_reset_or_is_cut() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let short = get(&mut sender, "/").await;
    harness.answer(response(200, &[("content-length", "5")], ResponseBody::Full("abc".into()))).await;
    let mut body = short.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "abc");
    assert!(body.data().await.unwrap().is_err());
    let long = get(&mut sender, "/").await;
    harness.answer(response(200, &[("content-length", "2")], ResponseBody::Full("abc".into()))).await;
    assert_eq!(text(long).await, (200, "ab".into()));
}

#[tokio::test(start_paused = true)]
async fn head_and_responses_without_content_have_no_body() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    for (method, status, length) in [("HEAD", 200, Some("1")), ("GET", 204, None), ("GET", 304, None)] {
        let (response, _) = sender.send_request(request(method, "/", &[]), true).unwrap();
        harness.answer(self::response(status, &[], ResponseBody::Full("x".into()))).await;
        let response = response.await.unwrap();
        assert_eq!(response.headers().get("content-length").map(|length| length.to_str().unwrap()), length);
        assert!(response.into_body().is_end_stream(), "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_connection_of_http_1_is_left_out() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let response = get(&mut sender, "/").await;
    let headers =
        [("connection", "x"), ("keep-alive", "y"), ("upgrade", "z"), ("transfer-encoding", "chunked"), ("a", "b")];
    harness.answer(self::response(200, &headers, ResponseBody::Full("x".into()))).await;
    let response = response.await.unwrap();
    let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "content-length", "date"]);
}

#[tokio::test(start_paused = true)]
async fn hints_go_ahead_and_a_body_is_asked_for() {
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (mut response, mut body) =
        sender.send_request(request("POST", "/", &[("expect", "100-continue")]), false).unwrap();
    let first = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!(first.status(), 100);
    body.send_data("x".into(), true).unwrap();
    let exchange = harness.take().await;
    let mut hints = HeaderMap::new();
    hints.insert("link", HeaderValue::from_static("</a.css>"));
    exchange.responder.hint(&hints);
    let hint = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!((hint.status().as_u16(), hint.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
    exchange.responder.send(ok("y")).unwrap();
    assert_eq!(text(response).await, (200, "y".into()));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_told_to_one_stream_only() {
    let harness = Harness::with_limits(Limits { max_queue: 1, ..Limits::default() });
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (first, second) = (get(&mut sender, "/").await, get(&mut sender, "/").await);
    let refused = second.await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    harness.answer(ok("x")).await;
    assert_eq!(text(first).await, (200, "x".into()));
}

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
async fn the_preface_may_come_in_pieces_and_with_the_switch_off_it_is_refused() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for piece in ["PRI * HT", "TP/2.0\r\n\r\n", "SM\r\n", "\r\n"] {
        client.send(piece).await;
        yield_now().await;
    }
    let mut settings = [0; 9];
    client.stream.read_exact(&mut settings).await.unwrap();
    assert_eq!((settings[3], settings[4]), (4, 0), "SETTINGS");
    let mut harness = Harness::new();
    Arc::get_mut(&mut harness.shared).unwrap().settings.http2.http2 = false;
    let mut client = harness.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(client.rest().await.0.starts_with("HTTP/1.1 505 "));
}

/// The same bytes behind a request are a request of a version that is not spoken.
#[tokio::test(start_paused = true)]
async fn a_preface_is_one_only_at_the_beginning() {
    let harness = Harness::new();
    let mut client = harness.connect();
    harness.round(&mut client, &with_length("x")).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(client.rest().await.0.starts_with("HTTP/1.1 505 "));
}

/// A client that reads and writes frames itself.
struct Wire {
    client: Client,
}

type Frame = (u8, u8, u32, Vec<u8>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://x/`, from HPACK's static table but for the authority.
const GET_FIELDS: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'x'];

impl Wire {
    async fn begin(harness: &Harness) -> Self {
        let mut wire = Self { client: harness.connect() };
        wire.client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send(SETTINGS, 0, 0, &[]).await;
        wire
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.client.stream.write_all(&frame).await.unwrap();
    }

    async fn get(&mut self, stream: u32) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, GET_FIELDS).await;
    }

    /// The next frame; `None` at the end.
    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if self.client.stream.read_exact(&mut head).await.is_err() {
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.client.stream.read_exact(&mut payload).await.unwrap();
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// The next frame of what matters to requests and to the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await {
                Some((SETTINGS | WINDOW_UPDATE, ..)) => {}
                frame => return frame,
            }
        }
    }

    async fn expect_goaway(&mut self, last: u32) {
        let (kind, _, _, payload) = self.next().await.unwrap();
        assert_eq!((kind, &payload), (GOAWAY, &[last.to_be_bytes(), [0; 4]].concat()));
    }

    /// The PING behind the first GOAWAY.
    async fn expect_ping(&mut self) -> Vec<u8> {
        let (kind, flags, _, payload) = self.next().await.unwrap();
        assert_eq!((kind, flags), (PING, 0));
        payload
    }

    async fn expect_response(&mut self, stream: u32) {
        let (kind, _, of, _) = self.next().await.unwrap();
        assert_eq!((kind, of), (HEADERS, stream));
        let (kind, flags, of, payload) = self.next().await.unwrap();
        assert_eq!((kind, flags, of, payload.as_slice()), (DATA, END_STREAM, stream, &b"x"[..]));
    }
}

const ALL: u32 = (1 << 31) - 1;

fn closing(budget: u64) -> Phase {
    Phase::Closing { since: now(), deadline: now() + s(budget), gently: true }
}

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
    drop(app);
    assert_eq!(text(response).await, (500, "".into()));
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

#[tokio::test(start_paused = true)]
async fn trailers_go_both_ways() {
    use crate::http::body::Trailers;
    let harness = Harness::new();
    let (mut sender, _connection) = speak(harness.connect()).await;
    let (response, mut body) = sender.send_request(request("POST", "/", &[]), false).unwrap();
    let fields = |value| HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static(value))]);
    body.send_data("a".into(), false).unwrap();
    body.send_trailers(fields("1")).unwrap();
    let Exchange { request, responder } = harness.take().await;
    assert_eq!(request.head.extensions.get::<Trailers>().unwrap().0["x-sum"], "1");
    let (stream, receiver) = channel();
    responder.send(response_of(ResponseBody::Stream(receiver))).unwrap();
    push(&stream, "b");
    stream.finish_with_trailers(fields("2"));
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "b");
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["x-sum"], "2");
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
