//! Response bodies on the wire: none is longer or shorter than its head says, and a cut one never looks whole.

use super::*;
use crate::{
    body::{BodySender, channel},
    wake::Sleeper,
};

fn stream() -> (BodySender, ResponseBody) {
    let (sender, receiver) = channel();
    (sender, ResponseBody::Stream(receiver))
}

fn push(sender: &BodySender, text: &'static str) {
    sender.try_send(Bytes::from_static(text.as_bytes()), &Sleeper::new().waker()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn sends_each_chunk_before_the_next_is_made() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    let (sender, body) = stream();
    stage.answer(response(200, &[], body)).await;
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    push(&sender, "data: 1\n\n");
    client.expect("9\r\ndata: 1\n\n\r\n").await;
    push(&sender, "data: 2\n\n");
    client.expect("9\r\ndata: 2\n\n\r\n").await;
    sender.finish();
    client.expect("0\r\n\r\n").await;
    client.send(GET).await;
    stage.answer(ok("x")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_the_app_did_not_finish_has_no_last_chunk() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    let (sender, body) = stream();
    stage.answer(response(200, &[], body)).await;
    push(&sender, "half");
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    drop(sender);
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_tells_the_app() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    let (sender, body) = stream();
    stage.answer(response(200, &[], body)).await;
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.served().await;
    assert!(sender.is_gone());
}

#[tokio::test(start_paused = true)]
async fn sends_a_body_of_parts_with_the_length_of_all() {
    let parts = || ResponseBody::from(["ab", "", "cde", "f"].map(Bytes::from).to_vec());
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    stage.answer(response(200, &[], parts())).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef").await;
    client.send(GET).await;
    stage.answer(response(200, &[("content-length", "4")], parts())).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd").await;
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    stage.answer(response(200, &[], parts())).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").await;
    client.send(GET).await;
    stage.answer(response(200, &[("content-length", "7")], parts())).await;
    let (text, _) = client.rest().await;
    assert!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabcdef".starts_with(&text), "{text}");
}

#[test]
fn a_body_of_parts_is_no_more_than_it_needs_to_be() {
    assert!(matches!(ResponseBody::from(vec![Bytes::new()]), ResponseBody::Empty));
    let one = ResponseBody::from(vec![Bytes::new(), "a".into()]);
    assert!(matches!(one, ResponseBody::Full(bytes) if bytes == "a"));
}

#[tokio::test(start_paused = true)]
async fn cuts_what_goes_past_the_declared_length() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    stage.answer(response(200, &[("content-length", "3")], ResponseBody::Full("abcdef".into()))).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").await;
    client.send(GET).await;
    let (sender, body) = stream();
    stage.answer(response(200, &[("content-length", "3")], body)).await;
    push(&sender, "ab");
    push(&sender, "cd");
    sender.finish();
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").await;
    client.send(GET).await;
    stage.answer(ok("in step")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nin step").await;
}

#[tokio::test(start_paused = true)]
async fn ends_the_connection_when_the_declared_length_is_not_reached() {
    for body in [ResponseBody::Full("ab".into()), ResponseBody::Empty] {
        let stage = Stage::new();
        let mut client = stage.connect();
        client.send(GET).await;
        stage.answer(response(200, &[("content-length", "3")], body)).await;
        let (text, _) = client.rest().await;
        assert!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab".starts_with(&text), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn sends_no_body_where_there_is_none() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    stage.answer(ok("hello")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    client.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (sender, body) = stream();
    stage.answer(response(200, &[("content-length", "99")], body)).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").await;
    assert!(sender.is_gone());
    client.send(GET).await;
    stage.answer(response(204, &[("content-length", "5")], ResponseBody::Full("hello".into()))).await;
    client.expect("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.send(GET).await;
    stage.answer(response(304, &[("etag", "\"x\"")], ResponseBody::Full("hello".into()))).await;
    client.expect("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n").await;
    client.send(GET).await;
    stage.answer(ok("in step")).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nin step").await;
}

#[tokio::test(start_paused = true)]
async fn frames_the_message_itself() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(GET).await;
    stage.answer(response(200, &[("transfer-encoding", "identity")], ResponseBody::Full("x".into()))).await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
}

#[tokio::test(start_paused = true)]
async fn ends_an_http_1_0_stream_with_the_connection() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    let (sender, body) = stream();
    stage.answer(response(200, &[], body)).await;
    push(&sender, "all of it");
    sender.finish();
    let (text, _) = client.rest().await;
    assert_eq!(text, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nall of it");
}
