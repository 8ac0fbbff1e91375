//! The guard and hyper agree about where a message ends: random requests, right and wrong, are read by both. hyper may refuse
//! what the guard lets pass; it must never see another message, or another body.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::{
    HeadLimits,
    tests::{Message, read},
};

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 100 };

/// A request that hyper has heard: its method and target, and its body where that was whole.
type Heard = (String, Option<Vec<u8>>);

/// What hyper makes of bytes.
fn read_by_hyper(bytes: &[u8]) -> Vec<Heard> {
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let requests = heard.clone();
    runtime.block_on(async move {
        let (mut client, server) = tokio::io::duplex(bytes.len() + (1 << 16));
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let heard = heard.clone();
            async move {
                let (head, body) = request.into_parts();
                let at = {
                    let mut heard = heard.lock().unwrap();
                    heard.push((format!("{} {}", head.method, head.uri), None));
                    heard.len() - 1
                };
                if let Ok(body) = body.collect().await {
                    heard.lock().unwrap()[at].1 = Some(body.to_bytes().to_vec());
                }
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
            }
        });
        // How it ends is seen in what was heard.
        let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service).await;
        drop(client);
    });
    Arc::into_inner(requests).unwrap().into_inner().unwrap()
}

/// The body without its framing, read with no care at all: the guard has seen that it is right.
fn unframed(message: &Message) -> Vec<u8> {
    let head = String::from_utf8_lossy(&message.head).to_ascii_lowercase();
    if !head.contains("\r\ntransfer-encoding:") {
        return message.body.clone();
    }
    let (mut rest, mut body) = (message.body.as_slice(), Vec::new());
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let digits = rest[..line].split(|byte| *byte == b';').next().unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// Fails unless hyper reads the messages that the guard has passed, and no other, with the guard and without it.
fn check_agreement(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (messages, refused) = read(bytes, LIMITS, 16);
    let passed: Vec<u8> =
        messages.iter().flat_map(|message| [&message.head[..], &message.body[..]]).flatten().copied().collect();
    let heard = read_by_hyper(&passed);
    prop_assert!(heard.len() <= messages.len(), "hyper heard {heard:?} in {messages:?}");
    for (at, (message, (line, body))) in messages.iter().zip(&heard).enumerate() {
        let head = String::from_utf8_lossy(&message.head).into_owned();
        let words: Vec<_> = head.split_ascii_whitespace().take(2).collect();
        // hyper writes the scheme and the host of a URL in its own way.
        if words[1].starts_with('/') {
            prop_assert_eq!(line, &words.join(" "));
        }
        let whole = message.whole.then(|| unframed(message));
        prop_assert_eq!(body, &whole, "message {} of {}", at, bytes.escape_ascii());
    }
    // Where hyper stopped before the guard did, it has refused something, or the client has asked for an end.
    if let Some(next) = messages.get(heard.len())
        && next.whole
        && heard.iter().all(|(_, body)| body.is_some())
    {
        let before = String::from_utf8_lossy(
            &messages[..=heard.len()].iter().flat_map(|message| message.head.clone()).collect::<Vec<_>>(),
        )
        .to_ascii_lowercase();
        let may_stop = before.contains("close")
            || before.contains("http/1.0")
            || before.contains("upgrade")
            || before.contains("connect");
        prop_assert!(may_stop, "hyper refuses {:?} in {}", String::from_utf8_lossy(&next.head), bytes.escape_ascii());
    }
    // And without rewriting, the bytes themselves are what both read: nothing is heard that did not pass.
    if refused.is_none() && messages.iter().all(|message| message.target.is_none()) {
        let directly = read_by_hyper(bytes);
        prop_assert!(directly.len() <= messages.len(), "hyper heard {directly:?} in {}", bytes.escape_ascii());
    }
    Ok(())
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(texts).prop_map(|text| text.as_bytes().to_vec())
}

/// A request of likely and unlikely parts.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line_end = prop_oneof![20 => one_of(&["\r\n"]), 1 => one_of(&["\n", "\r", "\r\r\n", "\n\r\n", " \r\n"])];
    let method = prop_oneof![10 => one_of(&["GET", "POST", "PUT", "HEAD"]), 1 => one_of(&["CONNECT", "OPTIONS", "get", "", "G T"])];
    let target = prop_oneof![
        10 => one_of(&["/", "/a?b=c", "/a/b", "*", "http://h/x", "/a%20b"]),
        2 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|tail| [b"/".to_vec(), tail].concat()),
        1 => one_of(&["//x", "a:1", "http://", "ftp://x/", "/#", "", "/a b"])
    ];
    let version =
        prop_oneof![20 => one_of(&["HTTP/1.1"]), 2 => one_of(&["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", ""])];
    let field = prop_oneof![
        4 => one_of(&["Host: a", "X: y", "Connection: keep-alive", "Connection: close", "Expect: 100-continue", "A:", "Upgrade: x"]),
        4 => one_of(&["Content-Length: 3", "content-length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "TRANSFER-ENCODING:\tChunked "]),
        1 => one_of(&["Content-Length: 3, 3", "Content-Length: +3", "Content-Length: 03", "Content-Length:", "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding : chunked",
            " Content-Length: 3", "X: a\0b", "Content_Length: 3", "X y", "Transfer-Encoding: chunked\r\n x"]),
        1 => prop::collection::vec(any::<u8>(), 0..8)
    ];
    let body = prop_oneof![
        4 => one_of(&["", "abc", "abcde"]),
        4 => one_of(&["3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\nX: y\r\n\r\n", "1;a=b\r\nx\r\n00\r\n\r\n", "3;a=\"\\\"\"\r\nabc\r\n0;c\r\n\r\n"]),
        2 => one_of(&["3 \r\nabc\r\n0\r\n\r\n", "3;\r\nabc\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\nX: y\n\n", "4\r\nabc\r\n0\r\n\r\n",
            "2\r\nabc\r\n0\r\n\r\n", "0\r\n\n", "0\r\nGET / HTTP/1.1\r\n\r\n", "0\n\n", "FFFFFFFFFFFFFFFFF\r\n"]),
        1 => prop::collection::vec(any::<u8>(), 0..8)
    ];
    (method, target, version, prop::collection::vec((field, line_end.clone()), 0..4), line_end, body).prop_map(
        |(method, target, version, fields, end, body)| {
            let mut bytes = [&method[..], b" ", &target, b" ", &version, b"\r\n"].concat();
            for (field, end) in fields {
                bytes.extend([field, end].concat());
            }
            bytes.extend([end, body].concat());
            bytes
        },
    )
}

/// Several requests, and sometimes a byte in them that is another, that is gone, or that is there twice.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    (prop::collection::vec(request(), 1..4), prop::option::of(change)).prop_map(|(requests, change)| {
        let mut bytes = requests.concat();
        if let Some((at, how, byte)) = change
            && !bytes.is_empty()
        {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_one_says_that_a_message_ends_the_other_does_too(bytes in requests()) {
        check_agreement(&bytes)?;
    }
}

/// The same for as long as one likes: `FUZZ_CASES=1000000 cargo test -p tidegate-core --release -- --ignored agreement`.
#[test]
#[ignore = "runs for as long as it is told to"]
fn agreement_at_length() {
    let cases = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100_000);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in requests())| check_agreement(&bytes)?);
}
