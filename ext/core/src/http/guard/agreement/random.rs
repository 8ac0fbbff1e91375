//! Random requests for [`check_agreement`], of parts that are likely to be read in two ways.

use proptest::prelude::*;

use super::check_agreement;

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
        check_agreement(&bytes).map_err(TestCaseError::fail)?;
    }
}

/// The same for as long as one likes: `FUZZ_CASES=1000000 cargo test -p tidegate-core --release -- --ignored agreement`.
#[test]
#[ignore = "runs for as long as it is told to"]
fn agreement_at_length() {
    let cases = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100_000);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in requests())| check_agreement(&bytes).map_err(TestCaseError::fail)?);
}
