//! Response bodies on the wire: none is longer or shorter than its head says, and a cut one never looks whole.

use super::*;
use crate::http::body::Trailers;

#[tokio::test(start_paused = true)]
async fn sends_each_chunk_before_the_next_is_made() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    client.expect(CHUNKED).await;
    push(&sender, "data: 1\n\n");
    client.expect("9\r\ndata: 1\n\n\r\n").await;
    push(&sender, "data: 2\n\n");
    client.expect("9\r\ndata: 2\n\n\r\n").await;
    sender.finish();
    client.expect("0\r\n\r\n").await;
    client.send(GET).await;
    harness.answer(ok("x")).await;
    client.expect(&with_length("x")).await;
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))])
}

#[tokio::test(start_paused = true)]
async fn trailers_go_behind_the_last_chunk_to_a_client_that_takes_them() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
    let sender = harness.answer_with_stream(&[("trailer", "x-sum")]).await;
    push(&sender, "a");
    sender.finish_with_trailers(trailers());
    let head = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n";
    client.expect(&format!("{head}1\r\na\r\n0\r\nx-sum: 1\r\n\r\n")).await;
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[("trailer", "x-sum")]).await;
    sender.finish_with_trailers(trailers());
    client.expect(&format!("{head}0\r\n\r\n")).await;
    harness.round(&mut client, &with_length("x")).await;
}

#[tokio::test(start_paused = true)]
async fn trailers_are_left_out_where_the_head_declares_a_length() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
    let sender = harness.answer_with_stream(&[("content-length", "1"), ("trailer", "x-sum")]).await;
    push(&sender, "a");
    sender.finish_with_trailers(trailers());
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntrailer: x-sum\r\n\r\na").await;
    harness.round(&mut client, &with_length("x")).await;
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_chunked_request_come_with_it() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
        .await;
    let Exchange { request, responder } = harness.take().await;
    assert_eq!(request.head.extensions.get::<Trailers>().unwrap().0, trailers());
    responder.send(ok("x")).unwrap();
    client.expect(&with_length("x")).await;
    harness.round(&mut client, &with_length("x")).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_the_app_did_not_finish_has_no_last_chunk() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    push(&sender, "half");
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    drop(sender);
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_tells_the_app() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    client.expect(CHUNKED).await;
    client.served().await;
    assert!(sender.is_gone());
}

#[tokio::test(start_paused = true)]
async fn sends_a_body_of_parts_with_the_length_of_all() {
    let parts = || ResponseBody::from(["ab", "", "cde", "f"].map(Bytes::from).to_vec());
    let harness = Harness::new();
    let mut client = harness.request().await;
    harness.answer(response(200, &[], parts())).await;
    client.expect(&with_length("abcdef")).await;
    client.send(GET).await;
    harness.answer(response(200, &[("content-length", "4")], parts())).await;
    client.expect(&with_length("abcd")).await;
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    harness.answer(response(200, &[], parts())).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").await;
    harness.told();
    client.send(GET).await;
    harness.answer(response(200, &[("content-length", "7")], parts())).await;
    let (text, _) = client.rest().await;
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabcdef");
}

#[test]
fn a_body_of_parts_is_no_more_than_it_needs_to_be() {
    assert!(matches!(ResponseBody::from(vec![Bytes::new()]), ResponseBody::Empty));
    let one = ResponseBody::from(vec![Bytes::new(), "a".into()]);
    assert!(matches!(one, ResponseBody::Full(bytes) if bytes == "a"));
}

#[tokio::test(start_paused = true)]
async fn cuts_what_goes_past_the_declared_length() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    harness.answer(response(200, &[("content-length", "3")], ResponseBody::Full("abcdef".into()))).await;
    client.expect(&with_length("abc")).await;
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[("content-length", "3")]).await;
    push(&sender, "ab");
    push(&sender, "cd");
    sender.finish();
    client.expect(&with_length("abc")).await;
    client.send(GET).await;
    harness.answer(ok("in step")).await;
    client.expect(&with_length("in step")).await;
}

/// Neither head nor body was sent, so that a proxy asked again; and the log said 200.
#[tokio::test(start_paused = true)]
async fn sends_what_there_is_of_a_body_that_is_too_short_and_cuts() {
    for (body, sent) in [
        (ResponseBody::Full("ab".into()), "ab"),
        (ResponseBody::from(vec!["a".into(), "b".into()]), "ab"),
        (ResponseBody::Empty, ""),
    ] {
        let harness = Harness::new();
        let mut client = harness.request().await;
        harness.answer(response(200, &[("content-length", "3")], body)).await;
        assert_eq!(client.rest().await.0, format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{sent}"));
        assert_eq!(
            harness.told(),
            [format!("GET /: the app's content-length is 3, but its body has {} bytes: it was cut", sent.len())]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_measured_when_it_ends() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[("content-length", "3")]).await;
    push(&sender, "ab");
    push(&sender, "cd");
    client.expect(&with_length("abc")).await;
    push(&sender, "ef");
    assert!(!sender.is_gone(), "the app goes on to its end");
    sender.finish();
    assert_eq!(
        harness.told(),
        ["GET /: the app's content-length is 3, but its body has 6 bytes: the rest was left out"]
    );
    tokio::time::advance(s(60)).await;
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[("content-length", "3")]).await;
    push(&sender, "ab");
    sender.finish();
    assert_eq!(client.rest().await.0, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab");
    assert_eq!(harness.told(), ["GET /: the app's content-length is 3, but its body has 2 bytes: it was cut"]);
}

/// An app that gets every length wrong would fill the log.
#[tokio::test(start_paused = true)]
async fn lengths_that_are_wrong_again_and_again_are_counted() {
    let harness = Harness::new();
    let mut client = harness.connect();
    let mut ask = async || {
        client.send(GET).await;
        harness.answer(response(200, &[("content-length", "1")], ResponseBody::Full("ab".into()))).await;
        client.expect(&with_length("a")).await;
    };
    for _ in 0..5 {
        ask().await;
    }
    assert_eq!(harness.told().len(), 1);
    tokio::time::advance(s(11)).await;
    ask().await;
    let told = harness.told();
    assert!(told[0].ends_with(" (4 more such responses since the last line about one)"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_shrinks_while_it_is_sent_is_cut_and_told_of() {
    let harness = Harness::new();
    let mut client = harness.connect_with_buffer(1024);
    client.send(GET).await;
    let file = tempfile::tempfile().unwrap();
    file.set_len(400_000).unwrap();
    let body = ResponseBody::File(crate::http::body::FileBody::new(file.try_clone().unwrap(), 400_000));
    harness.answer(response(200, &[("content-length", "400000")], body)).await;
    let mut first = [0; 1000];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut first).await.unwrap();
    file.set_len(200_000).unwrap();
    let (text, _) = client.rest().await;
    let head = std::str::from_utf8(&first).unwrap().find("\r\n\r\n").unwrap() + 4;
    let sent = first.len() - head + text.len();
    assert!((100_000..=262_144).contains(&sent), "what there was, {sent} bytes");
    assert_eq!(
        harness.told(),
        [format!("GET /: the app's content-length is 400000, but its body has {sent} bytes: it was cut")]
    );
}

/// hyper forgets what it has not written when a body fails: what was yielded, with the head, was lost.
#[tokio::test(start_paused = true)]
async fn what_came_before_a_failure_goes_out_before_the_cut() {
    for buffer in [16, 1 << 20] {
        let harness = Harness::new();
        let mut client = harness.connect_with_buffer(buffer);
        client.send(GET).await;
        let (sender, receiver) = channel();
        push(&sender, "half of it");
        drop(sender);
        harness.answer(response(200, &[], ResponseBody::Stream(receiver))).await;
        let (text, _) = client.rest().await;
        assert_eq!(text, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\nhalf of it\r\n");
    }
}

/// A response whose body is made as it goes, with its head held for up to a second.
async fn tentative(harness: &Harness) -> (BodySender, crate::exchange::Recall) {
    harness.take().await.responder.stream(StatusCode::OK, HeaderMap::new(), s(1))
}

#[tokio::test(start_paused = true)]
async fn a_head_waits_for_the_first_of_the_body() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let harness = Harness::new();
    let mut client = harness.request().await;
    let (sender, _recall) = tentative(&harness).await;
    tokio::time::sleep(s(1) / 2).await;
    assert_eq!(client.here(), "");
    push(&sender, "x");
    client.expect(&format!("{HEAD}1\r\nx\r\n")).await;
    sender.finish();
    client.expect("0\r\n\r\n").await;

    client.send(GET).await;
    let (sender, _recall) = tentative(&harness).await;
    let asked = now();
    client.expect(HEAD).await;
    assert_eq!(now() - asked, s(1), "but not for ever");
    sender.finish();
    client.expect("0\r\n\r\n").await;

    client.send(GET).await;
    let (sender, _recall) = tentative(&harness).await;
    let asked = now();
    sender.begin();
    client.expect(HEAD).await;
    assert_eq!(now(), asked, "nor where the app says that it is to go");
    sender.finish();
    client.expect("0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_has_not_begun_gives_way_to_another() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    let (sender, recall) = tentative(&harness).await;
    yield_now().await;
    let responder = recall.recall(&sender).unwrap();
    drop(sender);
    tokio::time::sleep(s(5)).await;
    responder.send(response(500, &[], ResponseBody::Full("sorry".into()))).unwrap();
    client.expect("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\nsorry").await;

    client.send(GET).await;
    let (sender, recall) = tentative(&harness).await;
    drop((sender, recall));
    client
        .expect(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\n\
             500 Internal Server Error\n",
        )
        .await;

    client.send(GET).await;
    let (sender, recall) = tentative(&harness).await;
    push(&sender, "x");
    assert!(recall.recall(&sender).is_none(), "what was yielded is on its way");
}

#[tokio::test(start_paused = true)]
async fn a_status_without_a_name_has_an_empty_reason() {
    let harness = Harness::new();
    let mut client = harness.connect();
    for (status, line) in [
        (299, "299 "),
        (413, "413 Content Too Large"),
        (422, "422 Unprocessable Content"),
        (599, "599 "),
        (418, "418 I'm a teapot"),
        (999, "999 "),
    ] {
        client.send(GET).await;
        harness.answer(response(status, &[], ResponseBody::Full("x".into()))).await;
        client.expect(&format!("HTTP/1.1 {line}\r\ncontent-length: 1\r\n\r\nx")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sends_no_body_where_there_is_none() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    harness.answer(ok("hello")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let sender = harness.answer_with_stream(&[("content-length", "99")]).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").await;
    assert!(sender.is_gone());
    client.send(GET).await;
    harness.answer(response(204, &[("content-length", "5")], ResponseBody::Full("hello".into()))).await;
    client.expect("HTTP/1.1 204 No Content\r\n\r\n").await;
    for length in ["5", "0"] {
        client.send(GET).await;
        harness.answer(response(205, &[("content-length", length)], ResponseBody::Full("hello".into()))).await;
        client.expect("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n").await;
    }
    client.send(GET).await;
    harness.answer(response(205, &[], ResponseBody::Empty)).await;
    client.expect("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n").await;
    assert!(harness.told().is_empty());
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    harness.answer(response(200, &[("content-length", "99")], ResponseBody::Full("hello".into()))).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").await;
    assert_eq!(harness.told().len(), 1, "GET would be cut");
    client.send(GET).await;
    harness.answer(response(304, &[("etag", "\"x\"")], ResponseBody::Full("hello".into()))).await;
    client.expect("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n").await;
    client.send(GET).await;
    harness.answer(ok("in step")).await;
    client.expect(&with_length("in step")).await;
}

#[tokio::test(start_paused = true)]
async fn frames_the_message_itself() {
    let harness = Harness::new();
    let mut client = harness.request().await;
    harness.answer(response(200, &[("transfer-encoding", "identity")], ResponseBody::Full("x".into()))).await;
    client.expect(&with_length("x")).await;
}

#[tokio::test(start_paused = true)]
async fn ends_an_http_1_0_stream_with_the_connection() {
    let harness = Harness::new();
    let mut client = harness.connect();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    let sender = harness.answer_with_stream(&[]).await;
    push(&sender, "all of it");
    sender.finish();
    let (text, _) = client.rest().await;
    assert_eq!(text, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nall of it");
}
