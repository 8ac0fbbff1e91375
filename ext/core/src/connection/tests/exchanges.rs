//! Requests and their responses: keep-alive, pipelining, refusals, clients that leave.

use super::*;
use crate::{config::Limits, http::body::RequestBody};

#[tokio::test(start_paused = true)]
async fn serves_one_request_after_another() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for text in ["one", "two"] {
        client.send(GET).await;
        harness.answer(ok(text)).await;
        client.expect(&with_length(text)).await;
    }
    client.served().await;
    assert_eq!(harness.shared.services.stats.snapshot().connections, 0);
    assert_eq!(harness.shared.services.stats.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_pipelined_requests_in_order() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send(&format!("{GET}{GET}{GET}")).await;
    for text in ["1", "2", "3"] {
        harness.answer(ok(text)).await;
        client.expect(&with_length(text)).await;
    }
}

/// The response to the last request that a connection may have says so, and what the client has sent behind it is not served.
#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_last_request() {
    let harness = Harness::with_limits(Limits { max_keep_alive: Some(3), ..Limits::default() });
    let mut client = harness.connect();
    harness.round(&mut client, &with_length("x")).await;
    client.send(&format!("{GET}{GET}{GET}")).await;
    harness.answer(ok("2")).await;
    harness.answer(ok("3")).await;
    let (text, _) = client.rest().await;
    assert_eq!(text, format!("{}HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n3", with_length("2")));
    client.served().await;
    assert!(matches!(harness.worker.look(), Next::Nothing), "the fourth request is not served");
    assert_eq!(harness.shared.services.stats.snapshot().told_close, 0, "that counts what a drain does");
}

/// A client of HTTP/1.0 is told `keep-alive` while the connection is kept, and then that it is not.
#[tokio::test(start_paused = true)]
async fn a_connection_of_an_old_client_ends_with_its_last_request() {
    let harness = Harness::with_limits(Limits { max_keep_alive: Some(2), ..Limits::default() });
    let mut client = harness.connect();
    let get = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    client.send(get).await;
    harness.answer(ok("x")).await;
    client.expect("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx").await;
    client.send(get).await;
    harness.answer(ok("x")).await;
    let (text, _) = client.rest().await;
    assert_eq!(text, "HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx");
}

/// The runtime has no turn between the answer and what is read of it.
#[tokio::test(start_paused = true)]
async fn the_worker_that_delivers_an_answer_writes_it() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for text in ["one", "two"] {
        client.send(GET).await;
        let answered = harness.take().await.responder.answer(ok(text));
        assert_eq!(client.here(), "");
        answered.deliver();
        assert_eq!(client.here(), format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{text}"));
        assert_eq!(harness.shared.services.stats.snapshot().in_flight, 0);
    }
    client.served().await;
    assert_eq!(harness.shared.services.stats.snapshot().connections, 0);
}

/// The worker that answers a request reads the next one, which comes to the queue.
#[tokio::test(start_paused = true)]
async fn the_worker_that_delivers_an_answer_reads_a_pipelined_request() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send(&format!("{GET}{GET}")).await;
    harness.take().await.responder.answer(ok("1")).deliver();
    assert_eq!(harness.shared.services.queue.len(), 1);
    harness.take().await.responder.answer(ok("2")).deliver();
    let both = ["1", "2"].map(|text| format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{text}")).concat();
    client.expect(&both).await;
}

/// Told to close, the connection is closed by the runtime.
#[tokio::test(start_paused = true)]
async fn the_worker_that_delivers_the_last_answer_leaves_the_rest_to_the_runtime() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    harness.take().await.responder.answer(ok("1")).deliver();
    let (text, _) = client.rest().await;
    assert_eq!(text, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1");
}

#[tokio::test(start_paused = true)]
async fn a_worker_holds_no_answer_back_while_there_are_other_requests() {
    let harness = Harness::new();
    let (mut client, mut other) = (harness.connect(), harness.connect());
    client.send(GET).await;
    other.send(GET).await;
    let exchange = harness.take().await;
    harness.worker.hand_in(exchange.responder.answer(ok("1")));
    client.expect(&with_length("1")).await;
}

#[tokio::test(start_paused = true)]
async fn a_workers_answer_goes_out_before_it_sleeps_or_runs_another() {
    let harness = Harness::new();
    harness.shared.services.queue.retire_idle(1, Some(Duration::ZERO));
    let mut client = harness.connect();
    for text in ["1", "2"] {
        client.send(GET).await;
        let exchange = harness.take().await;
        harness.worker.hand_in(exchange.responder.answer(ok(text)));
        if text == "1" {
            assert!(matches!(harness.worker.look(), Next::Nothing));
            harness.worker.sleep();
        } else {
            let _other = harness.request().await;
            drop(harness.take().await);
        }
        client.expect(&with_length(text)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hands_over_the_whole_body() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    let exchange = harness.take().await;
    assert!(matches!(&exchange.request.body, RequestBody::Memory(body) if body.to_vec() == b"abcde"));
    exchange.responder.send(ok("")).unwrap();
    client.expect(&with_length("")).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_app_reads_never_looks_whole_when_its_connection_is_cut() {
    use crate::http::body::{NextPiece, ReadError};
    let harness = Harness::with_limits(Limits { stream_input: true, ..Limits::default() });
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let exchange = harness.take().await;
    let RequestBody::Stream(stream) = exchange.request.body else { panic!("not streamed") };
    let parker = Parker::new();
    let next = async || loop {
        match stream.next(&parker.unparker()) {
            NextPiece::Nothing => yield_now().await,
            chunk => return chunk,
        }
    };
    assert_eq!(next().await, NextPiece::Piece("abc".into()));
    harness.enter(Phase::Forcing { until: now() + s(1) });
    assert_eq!(next().await, NextPiece::Broken(ReadError::Lost));
    assert!(client.rest().await.0.starts_with("HTTP/1.1 503 "));
}

#[tokio::test(start_paused = true)]
async fn asks_for_a_body_that_waits_to_be_asked_for() {
    let harness = Harness::with_limits(Limits { http_content_length_limit: Some(4), ..Limits::default() });
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("ok").await;
    harness.answer(ok("")).await;
    client.expect(&with_length("")).await;
    client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let (text, _) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn closes_when_the_client_asks_for_it() {
    for (request, version) in
        [("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "1.1"), ("GET / HTTP/1.0\r\n\r\n", "1.0")]
    {
        let harness = Harness::new();
        let mut client = harness.connect();
        client.send(request).await;
        harness.answer(ok("x")).await;
        let (text, _) = client.rest().await;
        assert!(text.starts_with(&format!("HTTP/{version} 200 OK\r\n")) && text.ends_with("\r\n\r\nx"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn keeps_an_http_1_0_connection_that_asks_for_it() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
        harness.answer(ok("x")).await;
        client.expect("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx").await;
    }
}

/// A client that is refused in the middle of an upload is still sending, whatever it said about the connection. Where the server
/// closes at once, the client sees a reset instead of the answer.
#[tokio::test(start_paused = true)]
async fn lingers_where_an_upload_was_refused() {
    let harness = Harness::with_limits(Limits { http_content_length_limit: Some(4), ..Limits::default() });
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n").await;
    let (text, _) = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(!client.serving.is_finished());
    client.send("still sending").await;
    client.served().await;
}

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\n\
                    content-length: 24\r\n\r\n503 Service Unavailable\n";

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_answered_and_the_connection_stays() {
    let harness = Harness::with_limits(Limits { max_queue: 1, ..Limits::default() });
    let _first = harness.request().await;
    while harness.shared.services.queue.is_empty() {
        yield_now().await;
    }
    let mut second = harness.request().await;
    second.expect(BUSY).await;
    harness.answer(ok("x")).await;
    second.send(GET).await;
    harness.answer(ok("y")).await;
    second.expect(&with_length("y")).await;
    assert_eq!(harness.shared.services.stats.snapshot().shed, 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_too_long_is_answered_and_the_connection_stays() {
    let harness = Harness::with_limits(Limits { queue_timeout: Some(s(2)), ..Limits::default() });
    let queue = harness.shared.services.queue.clone();
    let clock = tokio::spawn(async move { queue.run_timers(drop).await });
    let mut client = harness.request().await;
    client.expect(BUSY).await;
    assert!(harness.shared.services.queue.is_empty());
    assert_eq!(harness.shared.services.stats.shed.get(crate::stats::Shed::QueueTimeout), 1);
    assert_eq!(harness.shared.services.stats.snapshot().in_flight, 0);
    clock.abort();
}

const LATE: &str = "HTTP/1.1 504 Gateway Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 20\r\n\r\n\
                    504 Gateway Timeout\n";

/// A server on which the app may take 3 s for a request, and its timers.
fn limited(limits: Limits) -> (Harness, tokio::task::JoinHandle<()>) {
    let harness = Harness::with_all(Timeouts::default(), limits, Some(s(3)), None);
    let queue = harness.shared.services.queue.clone();
    let timers = tokio::spawn(async move { queue.run_timers(drop).await });
    (harness, timers)
}

#[tokio::test(start_paused = true)]
async fn what_the_app_has_for_too_long_is_answered_and_the_connection_stays() {
    let (harness, timers) = limited(Limits::default());
    let mut client = harness.request().await;
    let late = harness.take().await;
    client.expect(LATE).await;
    client.send(GET).await;
    let next = harness.take().await;
    assert!(!late.responder.time_limit().unwrap().returned());
    assert!(late.responder.is_gone());
    drop(late.responder.answer(ok("late")));
    assert!(next.responder.time_limit().unwrap().returned());
    drop(next.responder.answer(ok("next")));
    client.expect(&with_length("next")).await;
    let counted = harness.shared.services.stats.snapshot();
    assert_eq!((counted.timed_out, counted.in_flight, counted.shed), (1, 0, 0));
    timers.abort();
}

#[tokio::test(start_paused = true)]
async fn an_app_that_has_returned_may_stream_for_as_long_as_it_likes() {
    let (harness, timers) = limited(Limits::default());
    let mut client = harness.request().await;
    let Exchange { responder, .. } = harness.take().await;
    assert!(responder.time_limit().unwrap().returned());
    let (sender, _recall) = responder.stream(StatusCode::OK, HeaderMap::new(), s(1));
    push(&sender, "a");
    client.expect(&format!("{CHUNKED}1\r\na\r\n")).await;
    tokio::time::sleep(s(60)).await;
    push(&sender, "b");
    client.expect("1\r\nb\r\n").await;
    assert_eq!(harness.shared.services.stats.snapshot().timed_out, 0);
    timers.abort();
}

/// What follows the answer would be taken for the next request.
#[tokio::test(start_paused = true)]
async fn the_connection_ends_where_the_app_has_not_read_the_body_of_a_late_request() {
    let (harness, timers) = limited(Limits { stream_input: true, ..Limits::default() });
    let mut client = harness.connect();
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").await;
    let late = harness.take().await;
    client.expect(&LATE.replace("content-length", "connection: close\r\ncontent-length")).await;
    client.expect_end().await;
    drop(late);
    timers.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_queued_is_not_served() {
    let harness = Harness::new();
    let client = harness.request().await;
    while harness.shared.services.queue.is_empty() {
        yield_now().await;
    }
    client.served().await;
    assert!(matches!(harness.worker.look(), Next::Nothing));
    assert_eq!(harness.shared.services.stats.snapshot().client_gone, 1);
}

#[tokio::test(start_paused = true)]
async fn a_responder_dropped_unsent_is_a_500() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    drop(harness.take().await);
    client
        .expect(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\n\
             500 Internal Server Error\n",
        )
        .await;
}

/// `HeaderMap` panics when it is full and one is added: here, or in hyper, in the connection's task.
#[tokio::test(start_paused = true)]
async fn a_response_of_too_many_headers_is_500_and_one_of_very_many_is_sent() {
    use crate::http::response::MOST_HEADER_NAMES;

    let many = |count: usize| -> Response {
        let headers = (0..count)
            .map(|number| (HeaderName::try_from(format!("x{number}")).unwrap(), HeaderValue::from_static("y")))
            .collect();
        Response { status: StatusCode::OK, headers, body: ResponseBody::Full(Bytes::from_static(b"b")) }
    };
    let harness = Harness::new();
    for (count, status) in [(MOST_HEADER_NAMES, "HTTP/1.1 200 "), (MOST_HEADER_NAMES + 1, "HTTP/1.1 500 ")] {
        let mut client = harness.connect();
        client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        harness.answer(many(count)).await;
        assert!(client.rest().await.0.starts_with(status), "{count} headers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_with_an_exchange_has_answered_500() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let exchange = harness.take().await;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _exchange = exchange;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    client
        .expect(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\n\
             500 Internal Server Error\n",
        )
        .await;
}
