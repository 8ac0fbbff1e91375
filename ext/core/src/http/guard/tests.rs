//! What the guard rewrites and bounds, each line once whole and once byte by byte. What it refuses and lets pass is in `spec/corpus`.

use http::{Method, Uri};

use super::{
    reading::{Message, read},
    *,
};

const LIMITS: HeadLimits = HeadLimits { bytes: 112 * 1024, fields: 1000 };

/// The same in one piece and in many: how it arrives must not matter.
fn read_alike(bytes: &[u8], limits: HeadLimits) -> (Vec<Message>, Option<Refused>) {
    let read = |step| {
        let (mut messages, end) = read(bytes, limits, step);
        // How much of a body passes before it is found to be broken depends on what comes at a time.
        if let (Some(last), Some(_)) = (messages.last_mut(), end)
            && !last.whole
        {
            last.body.clear();
        }
        (messages, end)
    };
    let (messages, end) = read(bytes.len().max(1));
    for step in [1, 2, 7] {
        let (in_pieces, same_end) = read(step);
        assert_eq!((&in_pieces, same_end), (&messages, end), "in pieces of {step}: {}", bytes.escape_ascii());
    }
    (messages, end)
}

fn refusal(bytes: impl AsRef<[u8]>) -> Option<Refused> {
    read_alike(bytes.as_ref(), LIMITS).1
}

#[test]
fn speaks_http_1() {
    for version in ["2.0", "3.0", "0.9", "9.9"] {
        assert_eq!(refusal(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")), Some(Refused::Version), "{version}");
    }
    assert_eq!(refusal("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), Some(Refused::Unsupported));
    assert_eq!(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Refused::Version));
    for minor in 0..=9 {
        let (messages, end) = read_alike(format!("GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n").as_bytes(), LIMITS);
        let expected = format!("GET / HTTP/1.{}\r\nHost: a\r\n\r\n", minor.min(1));
        assert_eq!((messages[0].head.as_slice(), end), (expected.as_bytes(), None));
    }
    assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(Refused::Malformed));
}

/// Old clients and hand-made links have them; Puma passes them on.
#[test]
fn encodes_what_hyper_does_not_take_in_a_target_and_keeps_how_it_came() {
    let passed = |target: &[u8]| {
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let (messages, end) = read_alike(&bytes, LIMITS);
        assert_eq!((messages.len(), end), (1, None), "{}", target.escape_ascii());
        let head = String::from_utf8(messages[0].head.clone()).unwrap();
        let encoded = head.strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        (encoded.to_owned(), messages[0].target.clone())
    };
    for (target, encoded) in [
        (b"/caf\xe9".as_slice(), "/caf%E9"),
        (b"/?q=\xc4\xe3", "/?q=%C4%E3"),
        (b"/caf\xc3\xa9?\xc3\xa9", "/caf%C3%A9?%C3%A9"),
        (b"/\"<>\\^`{|}?\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D?%22%3C%3E%5C%5E%60%7B%7C%7D"),
        (b"http://a/\xe9", "http://a/%E9"),
        (b"HTTP://a:80?\xe9", "HTTP://a:80?%E9"),
    ] {
        let (as_hyper_has_it, raw) = passed(target);
        assert_eq!(as_hyper_has_it, encoded);
        assert_eq!(raw.as_ref().unwrap().as_bytes(), target);
        assert!(Uri::try_from(as_hyper_has_it).is_ok());
    }
    let parts = |target: &[u8]| {
        let (path, query) = passed(target).1.map(|raw| {
            let (path, query) = raw.path_and_query();
            (path.to_vec(), query.map(<[u8]>::to_vec))
        })?;
        Some((path, query))
    };
    assert_eq!(parts(b"/\xe9?a?\xe9"), Some((b"/\xe9".to_vec(), Some(b"a?\xe9".to_vec()))));
    assert_eq!(parts(b"https://a:1/\xe9"), Some((b"/\xe9".to_vec(), None)));
    assert_eq!(parts(b"http://a?\xe9"), Some((b"/".to_vec(), Some(b"\xe9".to_vec()))));
    assert_eq!(parts(b"/plain?[]:@!$&'()*+,;=-._~%e9"), None);
}

/// Whatever byte passes the guard, hyper takes.
#[test]
fn lets_nothing_pass_in_a_target_or_method_that_hyper_does_not_take() {
    for byte in 0..=255u8 {
        for target in [[b"/".as_slice(), &[byte]].concat(), [b"/?", [byte].as_slice()].concat()] {
            let bytes = [b"GET ", target.as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
            if let (messages, None) = read_alike(&bytes, LIMITS) {
                let head = &messages[0].head;
                assert!(Uri::try_from(&head[4..head.len() - 13]).is_ok(), "{byte:#x}");
            } else {
                assert!(byte <= b' ' || byte == 0x7f || byte == b'#', "{byte:#x}");
            }
        }
        let method = [b"A", [byte].as_slice()].concat();
        let passes = read_alike(&[method.as_slice(), b" / HTTP/1.1\r\n\r\n"].concat(), LIMITS).1.is_none();
        assert_eq!(passes, byte != b' ' && Method::from_bytes(&method).is_ok(), "{byte:#x}");
    }
}

#[test]
fn bounds_heads_in_bytes_and_in_fields() {
    let limits = HeadLimits { bytes: 100, fields: 3 };
    let end = |text: &str| read_alike(text.as_bytes(), limits).1;
    assert_eq!(end("GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\n\r\n"), None);
    assert_eq!(end("GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\n"), Some(Refused::HeadTooLarge));
    let long = |length| format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(length));
    assert_eq!((end(&long(77)), long(77).len()), (None, 100));
    assert_eq!(end(&long(78)), Some(Refused::HeadTooLarge));
    // Not when it has come to its end: it may have none.
    assert_eq!(end(&format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(90))), Some(Refused::HeadTooLarge));
    assert_eq!(end(&format!("GET /{}", "y".repeat(100))), Some(Refused::TargetTooLong));
    assert_eq!(end(&"\r\n".repeat(51)), Some(Refused::TargetTooLong));
    // What is rewritten is not larger than what may come.
    let accents =
        |count| read_alike(&[b"GET /".as_slice(), &vec![0xe9; count], b" HTTP/1.1\r\n\r\n"].concat(), limits).1;
    assert_eq!((accents(27), accents(28)), (None, Some(Refused::HeadTooLarge)));
    let target =
        |length: usize, byte: &str| refusal(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", byte.repeat(length)));
    assert_eq!((target(65_533, "a"), target(65_534, "a")), (None, Some(Refused::TargetTooLong)));
    assert_eq!((target(21_844, "^"), target(21_845, "^")), (None, Some(Refused::TargetTooLong)));
    let name = |length| refusal(format!("GET / HTTP/1.1\r\n{}: a\r\n\r\n", "x".repeat(length)));
    assert_eq!((name(65_534), name(65_535)), (None, Some(Refused::HeadTooLarge)));
}

#[test]
fn knows_where_a_message_ends() {
    let bytes = b"\r\nPOST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nTransfer-Encoding: Chunked \r\n\r\n1\r\nx\r\n0\r\n\r\n\
        GET /3 HTTP/1.0\r\n\r\n\r\n\r\nGET /4 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhal";
    let (messages, end) = read_alike(bytes, LIMITS);
    let bodies: Vec<_> =
        messages.iter().map(|message| (message.body.escape_ascii().to_string(), message.whole)).collect();
    assert_eq!(end, None);
    assert_eq!(
        bodies,
        [("abc", true), (r"1\r\nx\r\n0\r\n\r\n", true), ("", true), ("hal", false)]
            .map(|(body, whole)| (body.to_owned(), whole))
    );
}

#[test]
fn the_log_shows_the_first_line_as_far_as_it_is_there() {
    let line = |bytes: &'static [u8]| request_line(bytes);
    assert_eq!(line(b""), None);
    assert_eq!(line(b"\r\n"), None);
    assert_eq!(line(b"\r\nGET / HT"), Some(b"GET / HT".as_slice()));
    assert_eq!(line(b"GET /\nHost: a"), Some(b"GET /".as_slice()));
    assert_eq!(request_line(&[b'x'; 5000]).map(<[u8]>::len), Some(512));
}
