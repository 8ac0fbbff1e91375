//! What clients that read slowly leave unsent: in memory as much as may be, beyond that in a file, and nothing of it lost.

use super::*;
use crate::http::body::SendError;

const LIMIT: u64 = 300_000;
const LENGTH: usize = 200_000;

fn small_memory() -> Harness {
    Harness::with_limits(Limits { buffer_limit: Some(LIMIT), ..Limits::default() })
}

fn letters(length: usize) -> Bytes {
    (0..length).map(|index| b'a' + (index % 23) as u8).collect()
}

/// Has so many clients ask that read nothing; the server's kernel would take 1,000 bytes of each response.
async fn slow_readers(harness: &Harness, count: usize, body: impl Fn() -> ResponseBody) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = harness.connect_with_buffer(1000);
        client.send(GET).await;
        harness.answer(response(200, &[], body())).await;
        clients.push(client);
    }
    clients
}

/// Waits for the disk.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// 150 clients that asked for a fresh string of 4 MB each, and read nothing, held 635 MB.
#[tokio::test]
async fn what_many_slow_readers_leave_unsent_is_bounded_and_arrives_when_they_read() {
    let harness = small_memory();
    let budget = harness.shared.bounds.bodies.clone();
    let halves = || ResponseBody::from(vec![letters(LENGTH).slice(..90_000), letters(LENGTH).slice(90_000..)]);
    let mut clients = slow_readers(&harness, 5, || ResponseBody::Full(letters(LENGTH))).await;
    clients.extend(slow_readers(&harness, 5, halves).await);
    // All but the first, and of each all but the piece of 64 KiB that hyper has.
    until(|| budget.held() <= LIMIT && budget.spilled() >= 9 * (LENGTH as u64 - 65_536)).await;

    // One that reads at once needs no file.
    let before = budget.spilled();
    let mut fast = harness.request().await;
    harness.answer(response(200, &[], ResponseBody::Full(letters(LENGTH)))).await;
    fast.expect(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n{}", text(LENGTH))).await;
    assert_eq!(budget.spilled(), before);

    for client in &mut clients {
        client.expect(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n{}", text(LENGTH))).await;
    }
    until(|| budget.held() == 0).await;
}

fn text(length: usize) -> String {
    String::from_utf8(letters(length).to_vec()).unwrap()
}

fn chunked(chunks: &[usize]) -> String {
    let chunks: String = chunks.iter().map(|length| format!("{length:X}\r\n{}\r\n", text(*length))).collect();
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")
}

/// Hands over so many bytes as soon as they are taken.
async fn write(sender: &BodySender, length: usize) {
    let mut chunk = letters(length);
    while let Err(error) = sender.try_send(chunk, &Parker::new().unparker()) {
        let SendError::Full(back) = error else { panic!("{error:?}") };
        chunk = back;
        yield_now().await;
    }
}

/// A stream costs its Ruby thread no longer than the app needs for it, however slow its client reads.
#[tokio::test]
async fn a_stream_goes_on_from_a_file_and_holds_up_no_thread() {
    let harness = small_memory();
    let budget = harness.shared.bounds.bodies.clone();
    let _others = slow_readers(&harness, 3, || ResponseBody::Full(letters(LENGTH))).await;
    until(|| budget.held() <= LIMIT).await;
    let _full = budget.count(letters(LIMIT as usize));
    let mut client = harness.connect_with_buffer(1000);
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[]).await;
    // Far more than the channel holds.
    for _ in 0..20 {
        write(&sender, LENGTH).await;
    }
    sender.finish();
    until(|| budget.held() <= 2 * LIMIT).await;
    let mut body = Vec::new();
    while !body.ends_with(b"\r\n0\r\n\r\n") {
        let mut chunk = [0; 4096];
        let length = client.stream.read(&mut chunk).await.unwrap();
        assert_ne!(length, 0);
        body.extend_from_slice(&chunk[..length]);
    }
    assert_eq!(dechunked(&body), text(LENGTH).repeat(20));
}

fn dechunked(message: &[u8]) -> String {
    let message = std::str::from_utf8(message).unwrap();
    let (_, mut chunks) = message.split_once("\r\n\r\n").unwrap();
    let mut text = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&rest[..length]);
        chunks = &rest[(length + 2).min(rest.len())..];
    }
    text
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_cut_behind_what_was_written_and_not_before() {
    let harness = small_memory();
    let budget = harness.shared.bounds.bodies.clone();
    let _full = budget.count(letters(LIMIT as usize + 1));
    let mut client = harness.connect_with_buffer(1000);
    client.send(GET).await;
    let sender = harness.answer_with_stream(&[]).await;
    for length in [10, 5000, 70] {
        write(&sender, length).await;
    }
    until(|| budget.spilled() > 0).await;
    drop(sender);
    let (text, _) = client.rest().await;
    let sent: usize = 10 + 5000 + 70;
    assert!(text.len() > sent && text.contains("transfer-encoding: chunked"), "{} bytes", text.len());
    assert!(!text.ends_with("0\r\n\r\n"), "it does not look whole");
}

#[tokio::test]
async fn a_stream_within_the_bound_is_sent_chunk_by_chunk_as_ever() {
    let harness = small_memory();
    let mut client = harness.request().await;
    let sender = harness.answer_with_stream(&[]).await;
    write(&sender, 100_000).await;
    write(&sender, 3).await;
    client.expect(&chunked(&[100_000, 3])).await;
    assert_eq!(harness.shared.bounds.bodies.spilled(), 0);
}

/// Many small uploads that waited for the app were bounded by nothing but the queue.
#[tokio::test]
async fn request_bodies_go_to_a_file_where_memory_is_used_up() {
    let harness = small_memory();
    let budget = harness.shared.bounds.bodies.clone();
    let upload = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{}", text(100_000));
    let mut waiting = Vec::new();
    for index in 0..5 {
        let mut client = harness.connect();
        client.send(&upload).await;
        let exchange = harness.take().await;
        assert!(budget.held() <= LIMIT, "{index}: {}", budget.held());
        let in_file = matches!(exchange.request.body, crate::http::body::RequestBody::File { len: 100_000, .. });
        // The third would leave nothing to others.
        assert_eq!(in_file, index >= 2, "{index}: {:?}", exchange.request.body);
        waiting.push((client, exchange));
    }
    drop(waiting);
    until(|| budget.held() == 0).await;
}
