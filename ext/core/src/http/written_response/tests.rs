//! What apps write on a hijacked stream.

use super::*;
use proptest::prelude::*;

/// The parts as text: heads as `200 name: value`, content joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    heads: Vec<String>,
    over: bool,
    data: Vec<u8>,
}

impl Sent {
    fn take(&mut self, part: Written) {
        let text = |status: StatusCode, headers: &HeaderMap| {
            let fields = headers.iter().map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap()));
            std::iter::once(status.as_u16().to_string()).chain(fields).collect::<String>()
        };
        match part {
            Written::Interim(status, headers) => self.heads.push(text(status, &headers)),
            Written::Head { status, headers, over } => {
                self.heads.push(text(status, &headers));
                self.over = over;
            }
            Written::Data(bytes) => {
                assert!(!bytes.is_empty());
                self.data.extend_from_slice(&bytes);
            }
        }
    }
}

fn read(asked: Asked, pieces: &[&[u8]]) -> (Sent, Result<(), Unsendable>) {
    let (mut response, mut sent) = (WrittenResponse::new(asked), Sent::default());
    for piece in pieces {
        if let Err(error) = response.read(Bytes::copy_from_slice(piece), |part| sent.take(part)) {
            return (sent, Err(error));
        }
    }
    (sent, response.finish())
}

fn whole(asked: Asked, text: &str) -> (Vec<String>, String) {
    let (sent, end) = read(asked, &[text.as_bytes()]);
    assert_eq!(end, Ok(()));
    (sent.heads, String::from_utf8(sent.data).unwrap())
}

fn fails(asked: Asked, text: &str) -> Unsendable {
    read(asked, &[text.as_bytes()]).1.unwrap_err()
}

#[test]
fn a_web_socket_is_accepted_with_200_and_is_raw_from_there_on() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n\u{1}\u{2}raw";
    let (heads, data) = whole(Asked::Protocol, text);
    assert_eq!(heads, ["200 sec-websocket-protocol: chat"]);
    assert_eq!(data, "\u{1}\u{2}raw");
}

#[test]
fn a_success_that_does_not_change_the_protocol_does_not_look_as_if_it_did() {
    let (heads, data) = whole(Asked::Protocol, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((heads.as_slice(), data.as_str()), (["501".to_owned()].as_slice(), ""));
    let (heads, data) = whole(Asked::Protocol, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno such thing");
    assert_eq!((heads.as_slice(), data.as_str()), (["404".to_owned()].as_slice(), "no such thing"));
}

#[test]
fn content_goes_up_to_its_length_or_the_last_chunk_or_the_end() {
    let head = "HTTP/1.1 200 OK\r\nX-One: 1\r\nConnection: close, x-two\r\nX-Two: 2\r\nKeep-Alive: timeout=5\r\n";
    let with = |more: &str| whole(Asked::Content, &format!("{head}{more}"));
    assert_eq!(with("\r\nhello"), (vec!["200 x-one: 1".to_owned()], "hello".to_owned()));
    assert_eq!(with("Content-Length: 5\r\n\r\nhello, and more").1, "hello");
    let (heads, data) = with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!((heads.as_slice(), data.as_str()), (["200 x-one: 1".to_owned()].as_slice(), "hello"));
}

#[test]
fn there_is_no_content_where_there_can_be_none() {
    let (sent, end) = read(Asked::HeadOnly, &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"]);
    assert_eq!((sent.over, sent.data.len(), end), (true, 0, Ok(())));
    assert_eq!(sent.heads, ["200 content-length: 5"]);
    assert!(read(Asked::Content, &[b"HTTP/1.1 204 No Content\r\n\r\nhello"]).0.data.is_empty());
    assert!(read(Asked::Content, &[b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).0.over);
}

#[test]
fn interim_responses_go_ahead() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx";
    assert_eq!(whole(Asked::Content, text).0, ["103 link: </a>", "100", "200"]);
}

#[test]
fn what_is_not_whole_is_an_error() {
    for text in [
        "",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        assert_eq!(fails(Asked::Content, text), Unsendable::Unfinished, "{text:?}");
    }
}

#[test]
fn what_is_no_http_1_is_an_error() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(LONGEST_HEAD));
    for text in [
        "hello, client\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        &long,
    ] {
        assert_eq!(fails(Asked::Content, text), Unsendable::NoHead, "{text:.40}");
    }
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello";
    assert!(matches!(fails(Asked::Content, chunks), Unsendable::NotInChunks(_)));
    assert_eq!(fails(Asked::Content, "HTTP/1.1 101 Switching Protocols\r\n\r\n"), Unsendable::Unasked);
}

#[test]
fn it_is_whole_before_the_app_closes_where_it_says_how_long_it_is() {
    let mut response = WrittenResponse::new(Asked::Content);
    response.read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell".into(), |_| ()).unwrap();
    assert!(!response.is_whole());
    response.read("o".into(), |_| ()).unwrap();
    assert!(response.is_whole());
    let mut response = WrittenResponse::new(Asked::Protocol);
    response.read("HTTP/1.1 101 X\r\n\r\nhello".into(), |_| ()).unwrap();
    assert!(!response.is_whole());
}

proptest! {
    #[test]
    fn it_does_not_matter_where_the_pieces_are_divided(
        text in prop::sample::select(vec![
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
            "nonsense\r\n\r\n",
        ]),
        asked in prop::sample::select(vec![Asked::Content, Asked::HeadOnly, Asked::Protocol]),
        mut at in prop::collection::vec(0..200usize, 0..6),
    ) {
        at.iter_mut().for_each(|at| *at = (*at).min(text.len()));
        at.sort_unstable();
        let mut from = 0;
        let mut pieces = Vec::new();
        for end in at.into_iter().chain([text.len()]) {
            pieces.push(&text.as_bytes()[from..end]);
            from = end;
        }
        let (divided, end) = read(asked, &pieces);
        let (sent, whole) = read(asked, &[text.as_bytes()]);
        prop_assert_eq!(end, whole);
        prop_assert_eq!(divided, sent);
    }
}
