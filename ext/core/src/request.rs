//! A request as the app will see it: its head, checked; its body, whole; who sent it.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use http::{Method, StatusCode, Version, header, request::Parts};

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
}

impl Peer {
    /// The ends of a TCP connection.
    pub fn tcp(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote_addr: remote.ip().to_canonical().to_string(),
            remote_port: remote.port(),
            local_host: match local.ip().to_canonical() {
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                std::net::IpAddr::V4(ip) => ip.to_string(),
            },
            local_port: local.port(),
        }
    }

    /// The ends of a connection over a Unix socket.
    pub fn unix() -> Self {
        Self { remote_addr: "127.0.0.1".into(), remote_port: 0, local_host: "localhost".into(), local_port: 80 }
    }
}

/// Checks what hyper leaves to the server.
///
/// # Errors
///
/// 400 for a missing or repeated `Host` (RFC 9112 §3.2), 501 for CONNECT, which asks for a proxy.
pub(crate) fn check(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Refusal::closing(StatusCode::BAD_REQUEST)),
        (None, _) if head.version >= Version::HTTP_11 => return Err(Refusal::closing(StatusCode::BAD_REQUEST)),
        _ => {}
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::closing(StatusCode::NOT_IMPLEMENTED));
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Refusal::closing(StatusCode::BAD_REQUEST));
    }
    Ok(())
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
    fn is_no_proxy_and_knows_the_asterisk() {
        let host = &[("host", "a")];
        let status =
            |method, target| check(&head(method, target, Version::HTTP_11, host)).err().map(|refusal| refusal.status());
        assert_eq!(status("CONNECT", "a:443"), Some(StatusCode::NOT_IMPLEMENTED));
        assert_eq!(status("OPTIONS", "*"), None);
        assert_eq!(status("GET", "*"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("GET", "http://a/x"), None);
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
