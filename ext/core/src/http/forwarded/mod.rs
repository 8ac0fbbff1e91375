//! What trusted proxies tell of a request's client by headers: `Forwarded` (RFC 7239), `X-Forwarded-For` and its companions, or a
//! header with one address. Pure: headers in, what counts of them out.
//!
//! Each proxy adds at the right where the request came to it from, so the way is walked from the right, as long as the hops are
//! trusted proxies: what is left of the first address that is none came from the client, may be anything, and is not looked at.
//! Where a header is malformed within that part, none of them counts.

mod elements;

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::{HeaderMap, HeaderName, header::FORWARDED};

use self::elements::{elements, from_the_right, pairs};
use crate::{
    config::{ClientHeader, Forwarding},
    http::request::is_host,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// By which proxies tell of clients; those that the settings name come in addition.
const TELLING: [HeaderName; 11] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    HeaderName::from_static("x-forwarded-by"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-real-ip"),
];

/// The most proxies between a client and the server.
const MOST_HOPS: usize = 32;

/// What trusted proxies have told of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address, with port 0 where that was not told.
    pub client: Option<SocketAddr>,
    /// Whether the client came by https.
    pub https: Option<bool>,
    /// The host that the client asked for, perhaps with a port.
    pub host: Option<String>,
    /// The port that the client asked for.
    pub port: Option<u16>,
}

/// The header is malformed where it counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads what counts for a request that came from a trusted proxy.
///
/// # Errors
///
/// [`Malformed`]: then nothing counts.
pub(crate) fn read(headers: &HeaderMap, forwarding: &Forwarding) -> Result<Forwarded, Malformed> {
    let names = &forwarding.forwarded_headers;
    let mut told = Forwarded::default();
    let mut hops = 1;
    match &names.client {
        Some(ClientHeader::Forwarded) => return read_forwarded(headers, forwarding),
        Some(ClientHeader::List) => (told.client, hops) = walk(headers, forwarding)?,
        Some(ClientHeader::One(name)) => {
            let mut values = headers.get_all(name).iter();
            told.client = values.next().map(|value| address(value.as_bytes()).ok_or(Malformed)).transpose()?;
            if values.next().is_some() {
                return Err(Malformed);
            }
        }
        None => {}
    }
    // The companions of a list may be lists themselves, or the word of the last proxy, or of the one that the client came to.
    let companion = |name: HeaderName, wanted: bool| {
        if wanted { from_the_right(headers, &name).take(hops).last() } else { None }
    };
    if let Some(proto) = companion(X_FORWARDED_PROTO, names.proto) {
        told.https = Some(is_https(proto)?);
    }
    if let Some(host) = companion(X_FORWARDED_HOST, names.host) {
        told.host = Some(host_of(host)?);
    }
    if let Some(port) = companion(X_FORWARDED_PORT, names.port) {
        told.port = Some(number(port).filter(|port| *port > 0).ok_or(Malformed)?);
    }
    Ok(told)
}

/// Takes away from a request that came from elsewhere the headers by which proxies tell of clients.
pub(crate) fn strip(headers: &mut HeaderMap, forwarding: &Forwarding) {
    let named = match &forwarding.forwarded_headers.client {
        Some(ClientHeader::One(name)) => Some(name.as_str()),
        _ => None,
    };
    // Their env keys are the same with underscores.
    let tells = |name: &HeaderName| {
        let dashed = name.as_str().replace('_', "-");
        Some(dashed.as_str()) == named || TELLING.iter().any(|telling| telling.as_str() == dashed)
    };
    let found: Vec<HeaderName> = headers.keys().filter(|name| tells(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// The client in `X-Forwarded-For`, and how many hops from the right it is.
fn walk(headers: &HeaderMap, forwarding: &Forwarding) -> Result<(Option<SocketAddr>, usize), Malformed> {
    let (mut client, mut hops) = (None, 0);
    for element in from_the_right(headers, &X_FORWARDED_FOR) {
        if hops == MOST_HOPS {
            return Err(Malformed);
        }
        hops += 1;
        // Squid's word for an address that it does not tell.
        if element == b"unknown" {
            break;
        }
        let hop = address(element).ok_or(Malformed)?;
        client = Some(hop);
        if !forwarding.trusted_proxies.contains(Some(hop.ip())) {
            break;
        }
    }
    Ok((client, hops.max(1)))
}

fn read_forwarded(headers: &HeaderMap, forwarding: &Forwarding) -> Result<Forwarded, Malformed> {
    let mut told = Forwarded::default();
    for (hops, element) in elements(headers, &FORWARDED).enumerate() {
        if hops == MOST_HOPS {
            return Err(Malformed);
        }
        let (node, https, host) = hop(element)?;
        (told.https, told.host) = (https, host);
        let Some(node) = node else { break };
        told.client = Some(node);
        if !forwarding.trusted_proxies.contains(Some(node.ip())) {
            break;
        }
    }
    Ok(told)
}

/// What one proxy told: where the request came to it from, unless it hides that, whether encrypted, and for which host.
type Hop = (Option<SocketAddr>, Option<bool>, Option<String>);

/// Reads what one proxy told.
fn hop(element: &[u8]) -> Result<Hop, Malformed> {
    let [mut from, mut proto, mut host, mut by] = [const { None }; 4];
    for (name, value) in pairs(element)? {
        let field = match name.to_ascii_lowercase().as_slice() {
            b"for" => &mut from,
            b"proto" => &mut proto,
            b"host" => &mut host,
            b"by" => &mut by,
            _ => continue,
        };
        if field.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    let node = from.map(|value| node(&value)).transpose()?.flatten();
    let https = proto.map(|value: Cow<'_, [u8]>| is_https(&value)).transpose()?;
    Ok((node, https, host.map(|value: Cow<'_, [u8]>| host_of(&value)).transpose()?))
}

/// A node of RFC 7239 §6: an address, `unknown`, or a name that a proxy made up; `None` for the last two.
fn node(text: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    let obscure = |text: &str| {
        let made_up = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(made_up))
    };
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(port) if !obscure(port) => number(port.as_bytes()).ok_or(Malformed)?,
        _ => 0,
    };
    if name.eq_ignore_ascii_case("unknown") || obscure(name) {
        return Ok(None);
    }
    let ip: IpAddr = match name.strip_prefix('[') {
        Some(rest) => {
            let ip: Ipv6Addr = rest.strip_suffix(']').and_then(|ip| ip.parse().ok()).ok_or(Malformed)?;
            ip.into()
        }
        None => name.parse::<std::net::Ipv4Addr>().map_err(|_| Malformed)?.into(),
    };
    Ok(Some(SocketAddr::new(ip.to_canonical(), port)))
}

/// An address as other headers have it: with or without a port, and IPv6 in brackets or not.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip.to_canonical(), 0));
    bare().or_else(|| node(text.as_bytes()).ok().flatten())
}

/// A WebSocket comes by HTTP.
fn is_https(proto: &[u8]) -> Result<bool, Malformed> {
    match proto.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Ok(true),
        b"http" | b"ws" => Ok(false),
        _ => Err(Malformed),
    }
}

fn host_of(host: &[u8]) -> Result<String, Malformed> {
    let host = std::str::from_utf8(host).map_err(|_| Malformed)?;
    if is_host(host) { Ok(host.to_owned()) } else { Err(Malformed) }
}

fn number(text: &[u8]) -> Option<u16> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests;
