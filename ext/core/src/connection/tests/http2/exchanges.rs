//! Requests and responses on streams.

use super::*;
use crate::http::body::RequestBody;

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
    assert!(matches!(&exchange.request.body, RequestBody::Memory(body) if body.to_vec() == b"abcde"));
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

/// A request that breaks the protocol costs its client the stream, and one that is too large or for a proxy is answered.
#[tokio::test(start_paused = true)]
async fn what_is_no_request_never_comes_to_the_app() {
    use crate::stats::refused::Refused;
    let harness = Harness::with_limits(Limits { head_limit: 200, ..Limits::default() });
    let (mut sender, _connection) = speak(harness.connect()).await;
    for (name, value) in [("host", "other"), ("x", "padded "), ("content-length", "99999999999999999999")] {
        let (response, _) = sender.send_request(request("GET", "/", &[(name, value)]), true).unwrap();
        assert_eq!(response.await.unwrap_err().reason(), Some(h2::Reason::PROTOCOL_ERROR), "{name}: {value:?}");
    }
    let long = "x".repeat(300);
    for (method, headers, status) in [("GET", &[("x", long.as_str())][..], 431), ("CONNECT", &[], 501)] {
        let uri = if method == "CONNECT" { "x:443" } else { "http://x/" };
        let mut refused = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            refused = refused.header(*name, *value);
        }
        let (response, _) = sender.send_request(refused.body(()).unwrap(), true).unwrap();
        assert_eq!(text(response).await.0, status);
    }
    assert!(matches!(harness.worker.look(), Next::Nothing));
    let refused = &harness.shared.services.stats.refused;
    let counts = [Refused::Malformed, Refused::HeadTooLarge, Refused::Unsupported].map(|reason| refused.get(reason));
    assert_eq!(counts, [2, 1, 1], "h2 itself refuses the length");
}
