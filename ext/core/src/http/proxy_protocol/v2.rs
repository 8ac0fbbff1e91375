//! Version 2: a signature, a command, two addresses in binary, and records of type, length and value.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ProxyInfo, Route, tlv};
use crate::stats::proxied::ProxyRefused::{self, Malformed};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
pub(super) const FIXED: usize = 16;
/// Of what comes behind that: a header with a client's certificate fits in, and what a connection can make the server hold is
/// bounded.
const LONGEST: usize = 8192;
/// Of an address of a Unix socket.
const PATH: usize = 108;

pub(super) fn read(bytes: &[u8]) -> Result<Option<(usize, ProxyInfo)>, ProxyRefused> {
    let at = |at: usize| bytes.get(SIGNATURE.len() + at).copied();
    let local = match at(0) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed),
    };
    let (Some(family), Some(high), Some(low)) = (at(1), at(2), at(3)) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(ProxyRefused::TooLong);
    }
    let Some(header) = bytes.get(..FIXED + length) else { return Ok(None) };
    // All that comes behind this command is to be ignored, the family too.
    let info = if local { ProxyInfo::of_no_client(2, true) } else { proxied(header, family)? };
    Ok(Some((header.len(), info)))
}

fn proxied(header: &[u8], family: u8) -> Result<ProxyInfo, ProxyRefused> {
    let mut rest = &header[FIXED..];
    // Datagrams (0x12, 0x22, 0x32) do not come over a connection.
    let route = match family {
        0x00 => Some(None),
        0x11 => take_ends(&mut rest, |bytes: [u8; 4]| Ipv4Addr::from(bytes)),
        0x21 => take_ends(&mut rest, |bytes: [u8; 16]| Ipv6Addr::from(bytes)),
        0x31 => take_paths(&mut rest),
        _ => None,
    };
    let route = route.ok_or(Malformed)?;
    Ok(ProxyInfo { version: 2, local: false, route, tlvs: tlv::read(header, header.len() - rest.len())? })
}

fn take_ends<const N: usize, A: Into<std::net::IpAddr>>(
    rest: &mut &[u8],
    address: fn([u8; N]) -> A,
) -> Option<Option<Route>> {
    let [source, destination] = [address(take(rest)?), address(take(rest)?)];
    let [source_port, destination_port] = [take(rest)?, take(rest)?].map(u16::from_be_bytes);
    let source = SocketAddr::new(source.into(), source_port);
    Some(Some(Route::Tcp { source, destination: SocketAddr::new(destination.into(), destination_port) }))
}

fn take_paths(rest: &mut &[u8]) -> Option<Option<Route>> {
    let [source, destination] = [take::<PATH>(rest)?, take::<PATH>(rest)?].map(|path| {
        // A name in the abstract namespace begins with a zero; zeros fill up what a path leaves.
        let end = path.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        path[..end].to_vec()
    });
    Some(Some(Route::Unix { source, destination }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}
