//! The head of a request as HTTP/2 has it, brought into the form that a request has elsewhere here: a target and a `Host`. What h2
//! lets pass and the server does not take is refused, as the guard does for HTTP/1.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts};

use crate::{
    config::Limits,
    http::request::{ConnectProtocol, is_host},
    stats::refused::Refused,
};

/// What a field takes beside its name and its value, in HTTP/1, by which `head_limit` is meant.
const FIELD: usize = 4;

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It breaks the protocol: the stream is reset (RFC 9113 §8.1.1).
    Malformed,
    /// It is answered.
    Refused(Refused),
}

/// Checks a head, and rewrites it.
pub(super) fn adapt(head: &mut Parts, limits: &Limits) -> Result<(), Fault> {
    let extended = head.extensions.get::<ConnectProtocol>().is_some();
    if head.method == Method::CONNECT && !extended {
        // This is no proxy.
        return Err(Fault::Refused(Refused::Unsupported));
    }
    check_size(head, limits)?;
    check_fields(&head.headers)?;
    let uri = std::mem::take(&mut head.uri).into_parts();
    if uri.scheme.as_ref().is_some_and(|scheme| !matches!(scheme.as_str(), "http" | "https")) {
        return Err(Fault::Malformed);
    }
    if let Some(authority) = uri.authority {
        if !is_host(authority.as_str()) || !agrees(&head.headers, authority.as_str()) {
            return Err(Fault::Malformed);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::Malformed)?;
        head.headers.insert(header::HOST, host);
    }
    let path = uri.path_and_query.ok_or(Fault::Malformed)?;
    let asterisk = path == "*" && head.method == Method::OPTIONS;
    if !path.as_str().starts_with('/') && !asterisk {
        return Err(Fault::Malformed);
    }
    head.uri = Uri::from(path);
    join_cookies(&mut head.headers);
    Ok(())
}

fn check_size(head: &Parts, limits: &Limits) -> Result<(), Fault> {
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum();
    let target = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if fields + target > limits.head_limit || head.headers.len() > limits.header_fields_limit {
        return Err(Fault::Refused(Refused::HeadTooLarge));
    }
    Ok(())
}

/// What h2 does not look at.
fn check_fields(headers: &HeaderMap) -> Result<(), Fault> {
    // No blanks around a value (RFC 9113 §8.2.1).
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = headers.values().any(|value| blank(value.as_bytes().first()) || blank(value.as_bytes().last()));
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let proper = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        // As for HTTP/1: many proxies keep it in a signed number of 64 bits.
        (Some(length), None) => length
            .to_str()
            .is_ok_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_ok()),
        (Some(_), Some(_)) => false,
    };
    if padded || !proper { Err(Fault::Malformed) } else { Ok(()) }
}

/// Whether a `Host` beside `:authority` says the same (RFC 9113 §8.3.1).
fn agrees(headers: &HeaderMap, authority: &str) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.all(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
}

/// One `Cookie` of all that the client has split it into (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(_)) = (cookies.next(), cookies.next()) {
        let mut joined = first.as_bytes().to_vec();
        for cookie in headers.get_all(header::COOKIE).iter().skip(1) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(cookie.as_bytes());
        }
        // It cannot fail: its parts are values.
        if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
            headers.insert(header::COOKIE, joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn adapted(mut head: Parts) -> Result<Parts, Fault> {
        adapt(&mut head, &Limits::default()).map(|()| head)
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let head = adapted(head("GET", "https://a.example:8443/x?y", &[])).unwrap();
        assert_eq!((head.uri.to_string().as_str(), head.headers["host"].as_bytes()), ("/x?y", &b"a.example:8443"[..]));
    }

    #[test]
    fn a_host_beside_the_authority_says_the_same() {
        assert!(adapted(head("GET", "http://a/", &[("host", "A")])).is_ok());
        assert_eq!(adapted(head("GET", "http://a/", &[("host", "b")])).unwrap_err(), Fault::Malformed);
        assert_eq!(adapted(head("GET", "http://a/", &[("host", "a"), ("host", "b")])).unwrap_err(), Fault::Malformed);
        assert_eq!(adapted(head("GET", "http://u@a/", &[])).unwrap_err(), Fault::Malformed);
    }

    #[test]
    fn the_path_is_one_or_the_asterisk_of_options() {
        assert!(adapted(head("OPTIONS", "*", &[("host", "a")])).is_ok());
        assert_eq!(adapted(head("GET", "*", &[("host", "a")])).unwrap_err(), Fault::Malformed);
        assert_eq!(adapted(head("GET", "ftp://a/", &[])).unwrap_err(), Fault::Malformed);
    }

    #[test]
    fn cookies_are_joined() {
        let head = adapted(head("GET", "http://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")])).unwrap();
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn blanks_around_a_value_and_lengths_that_are_none_are_refused() {
        let fault = |name, value| adapted(head("GET", "http://a/", &[(name, value)])).unwrap_err();
        assert_eq!(fault("x", " y"), Fault::Malformed);
        assert_eq!(fault("x", "y\t"), Fault::Malformed);
        assert_eq!(fault("content-length", "+1"), Fault::Malformed);
        assert_eq!(fault("content-length", "9223372036854775808"), Fault::Malformed);
        let twice = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(adapted(head("POST", "http://a/", &twice)).unwrap_err(), Fault::Malformed);
    }

    #[test]
    fn connect_is_for_proxies() {
        let connect = head("CONNECT", "a:443", &[]);
        assert_eq!(adapted(connect).unwrap_err(), Fault::Refused(Refused::Unsupported));
    }

    #[test]
    fn a_head_has_a_size() {
        let limits = Limits { head_limit: 20, header_fields_limit: 2, ..Limits::default() };
        let fault = |headers: &[_]| adapt(&mut head("GET", "http://a/", headers), &limits);
        let too_large = Err(Fault::Refused(Refused::HeadTooLarge));
        assert_eq!(fault(&[("a", "b")]), Ok(()));
        assert_eq!(fault(&[("a", "0123456789abcdef")]), too_large);
        assert_eq!(fault(&[("a", ""), ("b", ""), ("c", "")]), too_large);
    }
}
