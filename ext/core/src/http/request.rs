//! A request as the app will see it: its checked head, its body, and the connection's two ends.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use http::{Method, StatusCode, Version, header, request::Parts};

/// The protocol that an extended CONNECT asks for (RFC 8441 §4): in the extensions of the request's head.
pub use h2::ext::Protocol as ConnectProtocol;

pub use crate::http::guard::RawTarget;
use crate::{
    http::{
        body::RequestBody,
        forwarded::Forwarded,
        proxy_protocol::{ProxyInfo, Route},
        response::Refusal,
    },
    tls::TlsInfo,
};

/// A request.
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
    /// The server's host, for requests without a `Host` header.
    pub local_host: String,
    /// The server's port; 80 on a Unix socket, as the client is a proxy that took the request on its own port.
    pub local_port: u16,
    /// The IP address of the socket's other end, which is a proxy's where one is in between; `None` on a Unix socket.
    pub source: Option<IpAddr>,
    /// What its TLS handshake has agreed on; `None` where the connection is not encrypted.
    pub tls: Option<Box<TlsInfo>>,
    /// What a proxy has said of the connection by the PROXY protocol; the ends above are then those that it has named.
    pub proxy: Option<Box<ProxyInfo>>,
    /// What trusted proxies have told of this request by headers; the client above is then the one that they have named.
    pub forwarded: Option<Box<Forwarded>>,
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
            tls: None,
            proxy: None,
            forwarded: None,
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
            tls: None,
            proxy: None,
            forwarded: None,
        }
    }

    /// The same connection with the ends that a proxy has named.
    pub(crate) fn introduced_by(self, proxy: ProxyInfo) -> Self {
        let ends = match &proxy.route {
            Some(Route::Tcp { source, destination }) => Self::tcp(*source, *destination),
            Some(Route::Unix { .. }) => Self::unix(),
            None => self.clone(),
        };
        Self { source: self.source, proxy: Some(Box::new(proxy)), ..ends }
    }

    /// The same with an address of the client that is set for all. Where it comes from is known all the same.
    pub(crate) fn known_as(self, address: &str) -> Self {
        Self { remote_addr: address.to_owned(), ..self }
    }

    /// The same for a request of which trusted proxies have told something.
    pub(crate) fn told_of(&self, told: Forwarded) -> Self {
        let mut peer = self.clone();
        if let Some(client) = told.client {
            (peer.remote_addr, peer.remote_port) = (client.ip().to_string(), client.port());
        }
        peer.forwarded = Some(Box::new(told));
        peer
    }

    /// The address that requests are sent from, as far as the connection tells; `None` is a Unix socket.
    pub(crate) fn sender(&self) -> Option<IpAddr> {
        match self.proxy.as_ref().and_then(|proxy| proxy.route.as_ref()) {
            None => self.source,
            Some(Route::Tcp { source, .. }) => Some(source.ip().to_canonical()),
            Some(Route::Unix { .. }) => None,
        }
    }

    /// Whether the proxy has opened the connection for itself, as for a health check.
    pub(crate) fn is_proxy_itself(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.local)
    }

    /// Whether the client came by https: to the server, or to a proxy that is trusted.
    pub fn is_https(&self) -> bool {
        let proxied = || {
            self.tls.is_some()
                || self.proxy.as_ref().and_then(|proxy| proxy.tlvs.ssl.as_ref()).is_some_and(|ssl| ssl.tls)
        };
        self.forwarded.as_ref().and_then(|told| told.https).unwrap_or_else(proxied)
    }
}

/// Checks what the guard and hyper leave to the server.
///
/// # Errors
///
/// 400 for a missing, repeated or malformed `Host` (RFC 9112 §3.2) and for a target that is none for the method
/// (§3.2.1 to 3.2.4).
pub(crate) fn check(head: &Parts) -> Result<(), Refusal> {
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

/// A host and perhaps a port, and nothing else (RFC 3986 §3.2.2, §3.2.3): an IPv6 address in brackets, or a name, which may
/// have whatever a name may have there, underscores too.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) if is_ipv6(address) => (None, port),
        Some(_) => return false,
        None => match text.find(':') {
            Some(colon) => (Some(&text[..colon]), &text[colon..]),
            None => (Some(text), ""),
        },
    };
    host.is_none_or(is_name) && is_port(port)
}

fn is_name(name: &str) -> bool {
    let encoded = |rest: &[u8]| rest.len() > 2 && rest[1..3].iter().all(u8::is_ascii_hexdigit);
    !name.is_empty()
        && name.bytes().enumerate().all(|(at, byte)| match byte {
            b'%' => encoded(&name.as_bytes()[at..]),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
                true
            }
            byte => byte.is_ascii_alphanumeric(),
        })
}

/// With a zone or without: some clients leave it there, although it is of no use to the server.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    address.parse::<Ipv6Addr>().is_ok() && is_name(zone)
}

/// Nothing, or a colon and perhaps a number.
fn is_port(text: &str) -> bool {
    let number = text.strip_prefix(':').unwrap_or(text);
    (text.is_empty() || text.starts_with(':'))
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (number.is_empty() || number.parse::<u16>().is_ok())
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
    use crate::{config::ProxyVersions, http::proxy_protocol};
    use http::HeaderValue;

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
        for host in [
            "",
            "a",
            "a.example:80",
            "a:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "my_service.local",
            "[fe80::1%eth0]",
            "a,b",
            "x%41",
        ] {
            assert!(accepts(host), "{host:?}");
        }
        let wrong = [
            "a b",
            "a/b",
            "user@a",
            "a:abc",
            "::1",
            "a:80:80",
            ":80",
            "[x]",
            "[]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]80",
            "[127.0.0.1]",
            "[v1.a]",
            "a:65536",
            "a:+1",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "<a>",
            "a%",
            "a%4",
            "a%zz",
            "[",
            "]",
            "caf\u{e9}",
        ];
        for host in wrong {
            let host = HeaderValue::from_bytes(host.as_bytes()).unwrap();
            let mut head = head("GET", "/", Version::HTTP_11, &[]);
            head.headers.insert("host", host.clone());
            assert!(check(&head).is_err(), "{host:?}");
        }
    }

    #[test]
    fn is_no_proxy_and_knows_the_asterisk() {
        let host = &[("host", "a")];
        let status =
            |method, target| check(&head(method, target, Version::HTTP_11, host)).err().map(|refusal| refusal.status());
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

    fn proxied(line: &[u8]) -> Peer {
        let (_, info) = proxy_protocol::read(line, ProxyVersions::Any).unwrap().unwrap();
        Peer::tcp("10.0.0.1:5000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()).introduced_by(info)
    }

    #[test]
    fn a_proxy_names_the_ends_and_remains_the_source_of_the_connection() {
        let peer = proxied(b"PROXY TCP6 2001:db8::1 ::1 4000 443\r\n");
        assert_eq!((peer.remote_addr.as_str(), peer.remote_port), ("2001:db8::1", 4000));
        assert_eq!((peer.local_host.as_str(), peer.local_port), ("[::1]", 443));
        assert_eq!(peer.source, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(peer.sender(), Some("2001:db8::1".parse().unwrap()));
        let peer = proxied(b"PROXY UNKNOWN\r\n");
        assert_eq!((peer.remote_addr.as_str(), peer.remote_port, peer.local_port), ("10.0.0.1", 5000, 80));
        assert_eq!(peer.sender(), peer.source);
    }

    #[test]
    fn what_proxies_tell_of_a_request_is_of_that_request_alone() {
        let peer = Peer::tcp("10.0.0.1:5000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let told =
            Forwarded { client: Some("192.0.2.1:4000".parse().unwrap()), https: Some(true), ..Default::default() };
        let of_request = peer.told_of(told);
        assert_eq!((of_request.remote_addr.as_str(), of_request.remote_port), ("192.0.2.1", 4000));
        assert!(of_request.is_https() && !peer.is_https());
        assert_eq!(of_request.sender(), peer.sender());
    }

    #[test]
    fn formats_addresses_once() {
        let peer = Peer::tcp("[::ffff:10.0.0.1]:5000".parse().unwrap(), "[::1]:80".parse().unwrap());
        assert_eq!((peer.remote_addr.as_str(), peer.local_host.as_str()), ("10.0.0.1", "[::1]"));
    }
}
