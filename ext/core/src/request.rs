//! A request as the app will see it: its head, checked; its body, whole; who sent it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use http::{HeaderValue, Method, StatusCode, Version, header, request::Parts, uri::Authority};

use crate::{body::RequestBody, response::Refusal};

/// A complete request.
#[derive(Debug)]
pub struct Request {
    /// Method, target, version and headers.
    pub head: Parts,
    /// The body.
    pub body: RequestBody,
    /// The connection's two ends.
    pub peer: Arc<Peer>,
    /// When the head was complete.
    pub received: Instant,
    /// When it was given to the queue: with its body, unless that is still arriving.
    pub queued: Instant,
}

/// The two ends of a connection, formatted once for all its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's IP address (an IPv4-mapped IPv6 address as IPv4); `127.0.0.1` on a Unix socket.
    pub remote_addr: String,
    /// The client's port; 0 on a Unix socket.
    pub remote_port: u16,
    /// Our host, for requests without a `Host` header.
    pub local_host: String,
    /// Our port; 80 on a Unix socket, as the client is a proxy that took the request on its own port.
    pub local_port: u16,
    /// The client's IP address; `None` on a Unix socket.
    pub source: Option<IpAddr>,
}

impl Peer {
    /// The ends of a TCP connection.
    pub fn tcp(remote: SocketAddr, local: SocketAddr) -> Self {
        let (source, here) = (remote.ip().to_canonical(), local.ip().to_canonical());
        Self {
            remote_addr: source.to_string(),
            remote_port: remote.port(),
            local_host: match here {
                IpAddr::V6(ip) => format!("[{ip}]"),
                IpAddr::V4(ip) => ip.to_string(),
            },
            local_port: local.port(),
            source: Some(source),
        }
    }

    /// The ends of a connection over a Unix socket.
    pub fn unix() -> Self {
        Self {
            remote_addr: "127.0.0.1".into(),
            remote_port: 0,
            local_host: "localhost".into(),
            local_port: 80,
            source: None,
        }
    }
}

/// Checks what hyper leaves to the server.
///
/// # Errors
///
/// 400 for a missing, repeated or malformed `Host` (RFC 9112 §3.2) and for a target that is none for the method
/// (§3.2.1 to 3.2.4); 501 for CONNECT, which asks for a proxy, and for a transfer coding other than chunks (§6.1).
pub(crate) fn check(head: &Parts) -> Result<(), Refusal> {
    if head.method == Method::CONNECT || !head.headers.get_all(header::TRANSFER_ENCODING).iter().all(is_chunked) {
        return Err(Refusal::closing(StatusCode::NOT_IMPLEMENTED));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => head.version < Version::HTTP_11,
        (Some(host), None) => host.is_empty() || host.to_str().is_ok_and(is_host),
        (Some(_), Some(_)) => false,
    };
    let target = match (head.uri.scheme(), head.uri.authority()) {
        (None, None) => head.uri.path() != "*" || head.method == Method::OPTIONS,
        (Some(_), Some(authority)) => is_host(authority.as_str()),
        _ => false,
    };
    if host && target { Ok(()) } else { Err(Refusal::closing(StatusCode::BAD_REQUEST)) }
}

fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// A host and perhaps a port, and nothing else (RFC 3986 §3.2.2, §3.2.3).
fn is_host(text: &str) -> bool {
    let Ok(authority) = Authority::try_from(text) else { return false };
    // What stands behind the host is a colon and digits; what stands before it would be a user.
    let port = text.strip_prefix(authority.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !authority.host().is_empty() && port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the client keeps the connection open for another request, as its head says (RFC 9112 §9.3).
pub(crate) fn wants_keep_alive(head: &Parts) -> bool {
    let says = |word: &str| {
        head.headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    if head.version >= Version::HTTP_11 { !says("close") } else { says("keep-alive") && !says("close") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn wants_one_host_on_http_1_1() {
        let refused = |headers: &[_]| check(&head("GET", "/", Version::HTTP_11, headers)).is_err();
        assert!(refused(&[]));
        assert!(refused(&[("host", "a"), ("host", "b")]));
        assert!(!refused(&[("host", "a")]));
        assert!(check(&head("GET", "/", Version::HTTP_10, &[])).is_ok());
    }

    #[test]
    fn wants_a_host_that_is_one() {
        let accepts = |host| check(&head("GET", "/", Version::HTTP_11, &[("host", host)])).is_ok();
        for host in ["", "a", "a.example:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:80", "my_service.local"] {
            assert!(accepts(host), "{host:?}");
        }
        for host in ["a b", "a/b", "user@a", "a:abc", "::1", "a:80:80", ":80"] {
            assert!(!accepts(host), "{host:?}");
        }
    }

    #[test]
    fn knows_no_coding_but_chunks() {
        let status = |coding| {
            let headers = &[("host", "a"), ("transfer-encoding", coding)];
            check(&head("POST", "/", Version::HTTP_11, headers)).err().map(|refusal| refusal.status())
        };
        assert_eq!(status(" Chunked "), None);
        assert_eq!(status("gzip, chunked"), Some(StatusCode::NOT_IMPLEMENTED));
    }

    #[test]
    fn is_no_proxy_and_knows_the_asterisk() {
        let host = &[("host", "a")];
        let status =
            |method, target| check(&head(method, target, Version::HTTP_11, host)).err().map(|refusal| refusal.status());
        assert_eq!(status("CONNECT", "a:443"), Some(StatusCode::NOT_IMPLEMENTED));
        assert_eq!(status("OPTIONS", "*"), None);
        assert_eq!(status("GET", "*"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("GET", "http://a/x"), None);
        assert_eq!(status("GET", "http://user@a/x"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("GET", "a"), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn tells_whether_the_client_stays() {
        let stays = |version, headers: &[_]| wants_keep_alive(&head("GET", "/", version, headers));
        assert!(stays(Version::HTTP_11, &[]));
        assert!(!stays(Version::HTTP_11, &[("connection", "Upgrade, Close")]));
        assert!(!stays(Version::HTTP_10, &[]));
        assert!(stays(Version::HTTP_10, &[("connection", "keep-alive")]));
    }

    #[test]
    fn formats_addresses_once() {
        let peer = Peer::tcp("[::ffff:10.0.0.1]:5000".parse().unwrap(), "[::1]:80".parse().unwrap());
        assert_eq!((peer.remote_addr.as_str(), peer.local_host.as_str()), ("10.0.0.1", "[::1]"));
    }
}
