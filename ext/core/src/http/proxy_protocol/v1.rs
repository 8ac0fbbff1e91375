//! Version 1: one line of text, `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.

use std::{net::SocketAddr, str::FromStr};

use super::{ProxyInfo, Route, Tlvs};
use crate::stats::proxied::ProxyRefused::{self, Malformed};

pub(super) const PREFIX: &[u8] = b"PROXY ";
/// With the end of the line (section 2.1).
const LONGEST: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Result<Option<(usize, ProxyInfo)>, ProxyRefused> {
    let within = &bytes[..bytes.len().min(LONGEST)];
    let Some(end) = within.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if within.len() < LONGEST { Ok(None) } else { Err(ProxyRefused::TooLong) };
    };
    match &within[end..] {
        [b'\r'] if within.len() == LONGEST => return Err(ProxyRefused::TooLong),
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(Malformed),
    }
    // The prefix has been compared as far as it was there: a line that ends within it is none.
    let rest = within[..end].strip_prefix(PREFIX).ok_or(Malformed)?;
    let info = line(rest).ok_or(Malformed)?;
    Ok(Some((end + 2, info)))
}

/// What is behind `PROXY `.
fn line(rest: &[u8]) -> Option<ProxyInfo> {
    // What comes behind this word is to be ignored.
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Some(ProxyInfo::of_no_client(1, false));
    }
    let mut words = std::str::from_utf8(rest).ok()?.split(' ');
    let family = words.next()?;
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() {
        return None;
    }
    let end = |address: &str, port: &str| {
        let ip = match family {
            "TCP4" => address.parse::<std::net::Ipv4Addr>().ok()?.into(),
            "TCP6" => address.parse::<std::net::Ipv6Addr>().ok()?.into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, decimal(port)?))
    };
    let route = Route::Tcp { source: end(source, source_port)?, destination: end(destination, destination_port)? };
    Some(ProxyInfo { version: 1, local: false, route: Some(route), tlvs: Tlvs::default() })
}

/// A number without sign and leading zeros.
fn decimal(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { u16::from_str(text).ok() } else { None }
}
