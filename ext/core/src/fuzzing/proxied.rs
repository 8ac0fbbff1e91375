//! What proxies say of a client, as targets: the header of the PROXY protocol, and the headers of a request.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers_of;
use crate::{
    config::{ClientHeader, ForwardedHeaders, Forwarding, ProxyVersions},
    http::{
        forwarded,
        proxy_protocol::{self, Route},
    },
};

/// The longest header that the server waits for: a version 2 with all its records.
const LONGEST_HEADER: usize = 16 + 8192;

/// The header of the PROXY protocol: it ends where it ends, however many of its bytes are there and whatever comes behind it; what
/// is refused is refused at once, or with the bytes that make it wrong.
pub fn proxy_protocol(data: &[u8]) {
    for versions in [ProxyVersions::Any, ProxyVersions::V1, ProxyVersions::V2] {
        let whole = proxy_protocol::read(data, versions);
        for end in (0..data.len()).step_by(1 + data.len() / 256) {
            let begun = proxy_protocol::read(&data[..end], versions);
            match (&begun, &whole) {
                (Ok(None), Ok(Some((length, _)))) => assert!(end < *length, "{end} bytes of {length} are not enough"),
                (Ok(None), _) => assert!(end < LONGEST_HEADER, "more than {end} bytes are waited for"),
                // The reason may be another: fewer bytes may still be those of another version.
                (Err(_), Err(_)) => {}
                _ => assert_eq!(begun, whole, "{end} of {} bytes", data.len()),
            }
        }
        let Ok(Some((length, info))) = whole else { continue };
        assert!((1..=data.len().min(LONGEST_HEADER)).contains(&length));
        assert_eq!(proxy_protocol::read(&data[..length], versions), Ok(Some((length, info.clone()))));
        assert!(info.version == 2 || (length <= 107 && data[..length].ends_with(b"\r\n")));
        assert!(!info.local || (info.version == 2 && info.route.is_none()));
        assert!(info.tlvs.unique_id.as_ref().is_none_or(|id| id.len() <= 128));
        if let (1, Some(Route::Tcp { source, destination })) = (info.version, &info.route) {
            // Such a line is written as it is read, but for the ways in which an IPv6 address can be.
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let ports = (source.port(), destination.port());
            let line = format!("PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), ports.0, ports.1);
            let again = proxy_protocol::read(line.as_bytes(), versions);
            assert_eq!(again, Ok(Some((line.len(), info.clone()))));
            assert!(source.is_ipv6() || line.as_bytes() == &data[..length]);
        }
    }
}

/// The headers by which trusted proxies tell of the client: what the client itself put in front of theirs changes nothing, and
/// where they are stripped none is left. The first byte says which are believed, the second how long the client's part is.
pub fn forwarded(data: &[u8]) {
    let [names, length, rest @ ..] = data else { return };
    let (forged, told) = rest.split_at(usize::from(*length).min(rest.len()));
    let client = [ClientHeader::List, ClientHeader::Forwarded, ClientHeader::One(HeaderName::from_static("x-real-ip"))];
    let client = client.into_iter().nth(usize::from(names % 4));
    let plain = client != Some(ClientHeader::Forwarded);
    let [proto, host, port] = [4, 8, 16].map(|bit| plain && names & bit != 0);
    let trusted = ["10.0.0.0/8", "2001:db8::/32", "loopback"].map(str::to_owned).to_vec();
    let forwarding = Forwarding {
        trusted_proxies: trusted.try_into().unwrap(),
        forwarded_headers: ForwardedHeaders { client, proto, host, port },
        strip_forwarded: true,
        remote_address: None,
    };
    let mut headers = headers_of(told);
    let read = forwarded::read(&headers, &forwarding);
    if let Ok(told) = &read
        && let Some(host) = &told.host
    {
        assert!(!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()), "{host:?}");
        assert_ne!(told.port, Some(0));
    }

    let list = match &forwarding.forwarded_headers.client {
        Some(ClientHeader::List) => Some("x-forwarded-for"),
        Some(ClientHeader::Forwarded) => Some("forwarded"),
        _ => None,
    };
    if let (Ok(told), Some(name)) = (&read, list)
        && told.client.is_some_and(|client| !forwarding.trusted_proxies.contains(Some(client.ip())))
        && let Some(behind) = put_before(&headers, name, forged)
    {
        assert_eq!(forwarded::read(&behind, &forwarding).as_ref(), Ok(told), "behind {}", forged.escape_ascii());
    }

    forwarded::strip(&mut headers, &forwarding);
    assert_eq!(forwarded::read(&headers, &forwarding), Ok(forwarded::Forwarded::default()));
}

/// The headers with `forged` as the first of the elements of `name`; `None` where those bytes cannot stand in a header.
fn put_before(headers: &HeaderMap, name: &'static str, forged: &[u8]) -> Option<HeaderMap> {
    let mut lines: Vec<_> = headers.get_all(name).iter().cloned().collect();
    let first = lines.first_mut()?;
    *first = HeaderValue::from_bytes(&[forged, b", ", first.as_bytes()].concat()).ok()?;
    let mut behind = headers.clone();
    behind.remove(name);
    for line in lines {
        behind.append(HeaderName::from_static(name), line);
    }
    Some(behind)
}
