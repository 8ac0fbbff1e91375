//! The guard and hyper agree about where a message ends: the same bytes are read by both. hyper may refuse what the guard lets pass;
//! it must never see another message, or another body. `random` makes up requests, right and wrong; `fuzz` goes by what they run through.

// What goes wrong in a check fails the test.
#![allow(clippy::unwrap_used)]

#[cfg(test)]
mod random;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{
    HeadLimits,
    reading::{Message, read},
};

pub(crate) const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 100 };

/// A request that hyper has heard: its method and target, and its body where that was whole.
pub(crate) type Heard = (String, Option<Vec<u8>>);

/// What hyper makes of bytes.
pub(crate) fn read_by_hyper(bytes: &[u8]) -> Vec<Heard> {
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
pub(crate) fn unframed(message: &Message) -> Vec<u8> {
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
///
/// # Errors
///
/// What they read in two ways.
pub(crate) fn check_agreement(bytes: &[u8]) -> Result<(), String> {
    let (messages, refused) = read(bytes, LIMITS, 16);
    let passed: Vec<u8> =
        messages.iter().flat_map(|message| [&message.head[..], &message.body[..]]).flatten().copied().collect();
    let heard = read_by_hyper(&passed);
    if heard.len() > messages.len() {
        return Err(format!("hyper heard {heard:?} in {messages:?}"));
    }
    for (at, (message, (line, body))) in messages.iter().zip(&heard).enumerate() {
        let head = String::from_utf8_lossy(&message.head).into_owned();
        let words: Vec<_> = head.split_ascii_whitespace().take(2).collect();
        // hyper writes the scheme and the host of a URL in its own way.
        if words[1].starts_with('/') && *line != words.join(" ") {
            return Err(format!("hyper heard {line:?}, and the guard {words:?}"));
        }
        let whole = message.whole.then(|| unframed(message));
        if *body != whole {
            return Err(format!(
                "hyper heard {body:?}, and the guard {whole:?}: message {at} of {}",
                bytes.escape_ascii()
            ));
        }
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
        if !may_stop {
            let refused = String::from_utf8_lossy(&next.head);
            return Err(format!("hyper refuses {refused:?} in {}", bytes.escape_ascii()));
        }
    }
    // And without rewriting, the bytes themselves are what both read: nothing is heard that did not pass.
    if refused.is_none() && messages.iter().all(|message| message.target.is_none()) {
        let directly = read_by_hyper(bytes);
        if directly.len() > messages.len() {
            return Err(format!("hyper heard {directly:?} in {}", bytes.escape_ascii()));
        }
    }
    Ok(())
}
