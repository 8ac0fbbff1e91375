//! What `fuzz` feeds with any bytes: each function here is a target, and panics where the bytes come out as they must not. The
//! targets name what is private; so they are here, and only what chooses the bytes is there.

// What goes wrong in a target is what is looked for.
#![allow(clippy::unwrap_used)]

mod http2;
mod proxied;

use std::{future::poll_fn, io::Write};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::Value;

use crate::{
    config::{AddedHeaders, Address, Config, Limits, SettingsByName},
    connection::conversation::{Conversation, converse},
    http::{
        body::{BadChunks, Dechunker, FileBody, ResponseBody},
        guard::{
            HeadLimits, Preface,
            agreement::{LIMITS, check_agreement, unframed},
            reading::read,
        },
    },
};

pub use self::{
    http2::{frames, http2},
    proxied::{forwarded, proxy_protocol},
};

/// How the input is cut into pieces: by its own bytes, so that an input need not say it.
fn step(data: &[u8]) -> usize {
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    [data.len().max(1), 1, 7, 64][sum % 4]
}

/// Whole requests on a connection: the guard, hyper, the app, the response. The app gets what the guard has let pass, and no more;
/// the client gets responses that are whole, and then the end.
pub fn connection(data: &[u8]) {
    let limits = Limits {
        head_limit: LIMITS.bytes,
        header_fields_limit: LIMITS.fields,
        stream_input: data.len() % 2 == 1,
        ..Limits::default()
    };
    let pieces: Vec<_> = data.chunks(step(data)).collect();
    let Conversation { heard, answered, waits, refused } = converse(&pieces, true, limits);
    assert!(!waits, "the server waits for a client that has ended: {}", answered.escape_ascii());
    if Preface::of(data) == Preface::Whole {
        return;
    }
    let (messages, _) = read(data, LIMITS, data.len().max(1));
    assert!(heard.len() <= messages.len(), "the app got {heard:?} of {messages:?}");
    for (heard, message) in heard.iter().zip(&messages) {
        assert!(message.whole, "the app got {heard:?} of half of {message:?}");
        assert_eq!(heard.body, unframed(message));
        assert!(message.head.windows(heard.method.len()).any(|window| window == heard.method.as_bytes()));
    }
    assert!(refused.len() <= 1, "{refused:?}");
    let answers = count_answers(&answered, &heard.iter().map(|heard| heard.method == "HEAD").collect::<Vec<_>>());
    assert!(answers <= heard.len() + 1, "{answers} answers for {heard:?}: {}", answered.escape_ascii());
}

/// How many final responses there are, each of them whole.
fn count_answers(mut rest: &[u8], heads: &[bool]) -> usize {
    let mut count = 0;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(rest).unwrap() else {
            panic!("half a response: {}", rest.escape_ascii())
        };
        rest = &rest[length..];
        let status = response.code.unwrap();
        if status < 200 {
            continue;
        }
        let field = |name: &str| {
            let mut found = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let first = found.next().map(|field| std::str::from_utf8(field.value).unwrap().to_owned());
            assert!(found.next().is_none(), "{name} twice");
            first
        };
        let (length, chunked) = (field("content-length"), field("transfer-encoding").is_some());
        assert!(length.is_none() || !chunked);
        let bodiless = heads.get(count).copied().unwrap_or(false) || matches!(status, 204 | 304);
        count += 1;
        if bodiless {
            continue;
        }
        if chunked {
            let end = rest.windows(5).position(|window| window == b"0\r\n\r\n").unwrap();
            rest = &rest[end + 5..];
        } else if let Some(length) = length {
            let length: usize = length.parse().unwrap();
            // HEAD that the server refused has no body, and was not heard.
            rest = if rest.starts_with(b"HTTP/1.") { rest } else { rest.get(length..).unwrap_or_default() };
        } else {
            rest = &[];
        }
    }
    count
}

/// The guard and hyper, about where messages end.
pub fn guard(data: &[u8]) {
    check_agreement(data).unwrap();
    let usual = read(data, LIMITS, data.len().max(1));
    for size in [1, 3] {
        let (messages, refused) = read(data, LIMITS, size);
        assert_eq!(refused, usual.1, "in pieces of {size}");
        assert_eq!(messages.len(), usual.0.len(), "in pieces of {size}");
    }
}

/// A message as the guard reads it.
#[derive(Debug)]
pub struct Message {
    /// As hyper gets it.
    pub head: Vec<u8>,
    /// The client's own target, where hyper gets another.
    pub target: Option<Vec<u8>>,
    /// With its framing, as far as it has come.
    pub framed: Vec<u8>,
    /// Without its framing; `None` where it is not whole.
    pub body: Option<Vec<u8>>,
}

/// What the guard lets pass of `data`, and whether it then refuses what follows.
pub fn messages(data: &[u8]) -> (Vec<Message>, bool) {
    let limits = HeadLimits { bytes: 1 << 20, fields: 1000 };
    let (messages, refused) = read(data, limits, data.len().max(1));
    let messages = messages.iter().map(|message| Message {
        head: message.head.clone(),
        target: message.target.as_ref().map(|target| target.as_bytes().to_vec()),
        framed: message.body.clone(),
        body: message.whole.then(|| unframed(message)),
    });
    (messages.collect(), refused.is_some())
}

/// The target of a request: what hyper gets in its place is a URI, and decodes to what came.
pub fn target(data: &[u8]) {
    let bytes = [b"GET ", data, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let (messages, refused) = read(&bytes, HeadLimits { bytes: 1 << 20, fields: 10 }, bytes.len());
    if refused.is_some() || data.windows(2).any(|pair| pair == b"\r\n") {
        return;
    }
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let head = std::str::from_utf8(&message.head).unwrap();
    let passed = head.strip_prefix("GET ").unwrap().split(' ').next().unwrap();
    let uri = Uri::try_from(passed).unwrap();
    let Some(raw) = &message.target else {
        assert_eq!(passed.as_bytes(), data);
        return;
    };
    assert_eq!(raw.as_bytes(), data);
    let (path, query) = raw.path_and_query();
    assert!(path.starts_with(b"/") || path == b"*", "{}", path.escape_ascii());
    assert_eq!(query.is_some(), uri.query().is_some());
    let encoded = |byte: &u8| match byte {
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => format!("%{byte:02X}"),
        plain => char::from(*plain).to_string(),
    };
    let again = |part: &[u8]| part.iter().map(encoded).collect::<String>();
    assert_eq!(again(path), uri.path());
    assert_eq!(query.map(again).as_deref(), uri.query());
}

/// The chunks of a response that the app has framed itself, however they are divided.
pub fn dechunk(data: &[u8]) {
    let decode = |size: usize| {
        let (mut content, mut dechunker) = (Vec::new(), Dechunker::default());
        for piece in data.chunks(size.max(1)) {
            dechunker.decode(Bytes::copy_from_slice(piece), |bytes| content.extend_from_slice(&bytes))?;
        }
        dechunker.finish().map(|()| content)
    };
    let whole: Result<Vec<u8>, BadChunks> = decode(data.len());
    for size in [1, 2, 7] {
        assert_eq!(decode(size), whole, "in pieces of {size}");
    }
    if let Ok(content) = &whole {
        assert!(content.len() < data.len());
        // What the stricter guard reads as chunks has the same content.
        let request = [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", data].concat();
        if let (messages, None) = read(&request, HeadLimits { bytes: 1 << 20, fields: 10 }, request.len()) {
            assert_eq!(unframed(&messages[0]), *content);
        }
    }
}

/// An address to listen on: a sentence where it is none, and otherwise one that is printed as it is read.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Address::parse(text) {
        Err(error) => assert!(error.is_configuration() && !error.to_string().is_empty()),
        Ok(address) => {
            let printed = address.to_string();
            if let Ok(again) = Address::parse(&printed) {
                assert_eq!(again.to_string(), printed);
            }
        }
    }
}

/// Settings by name: values of any kind are taken or refused in a sentence.
pub fn settings(data: &[u8]) {
    let Ok(Value::Object(settings)) = serde_json::from_slice(data) else { return };
    if let Err(error) = Config::from_settings(SettingsByName::from_iter(settings)) {
        assert!(error.is_configuration() && !error.to_string().is_empty());
    }
}

/// A file as a body: what was promised of it, or an end that is none.
pub fn file_body(data: &[u8]) {
    let [promised, cut, size @ .., _] = data else { return };
    let content: Vec<u8> = size.iter().copied().cycle().take(size.len() * 3000).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let promised = usize::from(*promised) * content.len() / 128;
    let kept = usize::from(*cut) * content.len() / 128;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (got, whole) = runtime.block_on(async {
        let mut body = FileBody::new(file.try_clone().unwrap(), promised as u64);
        let (mut got, mut left) = (Vec::new(), body.len());
        loop {
            match poll_fn(|cx| body.poll_next(cx)).await {
                None => return (got, true),
                Some(Err(_)) => return (got, false),
                Some(Ok(chunk)) => got.extend_from_slice(&chunk),
            }
            assert!(body.len() < left, "no progress");
            left = body.len();
            if got.len() < content.len() && kept < content.len() {
                file.set_len(kept as u64).unwrap();
            }
        }
    });
    assert_eq!(whole, got.len() == promised, "{} of {promised}", got.len());
    assert_eq!(got[..], content[..got.len()]);
    assert_eq!(ResponseBody::File(FileBody::new(file, promised as u64)).length(), Some(promised as u64));
}

/// What the server adds to a request: an id that can go into a log, and the time, unless the client has sent its own.
pub fn added_headers(data: &[u8]) {
    let mut headers = headers_of(data);
    let before = headers.clone();
    let id = AddedHeaders { request_id: true, request_start: true }.add_to(&mut headers).unwrap();
    assert!((1..=200).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic()));
    assert!(headers.get_all("x-request-id").iter().any(|value| value == id));
    assert!(headers.contains_key("x-request-start") || headers.contains_key("x-queue-start"));
    for name in before.keys().filter(|name| *name != "x-request-id") {
        assert!(before.get_all(name).iter().eq(headers.get_all(name).iter()), "{name}");
    }
}

/// The headers that lines of `name:value` say; those that are none are left out.
fn headers_of(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
