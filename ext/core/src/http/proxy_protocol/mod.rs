//! The PROXY protocol: what a proxy says of a client at the beginning of its connection, before the client's own bytes. Both
//! versions, as <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt> has them. Pure: bytes in, a header out.
//!
//! The crate `ppp` reads the form alone: it neither checks the checksum nor bounds the unique id, and takes ports as `+80`.

mod tlv;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use self::tlv::{ProxySsl, Tlvs};
use crate::{config::ProxyVersions, stats::proxied::ProxyRefused};

/// What a proxy said of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo {
    /// The version of the header: 1 or 2.
    pub version: u8,
    /// The proxy speaks for itself, as for a health check (`LOCAL`), and not for a client.
    pub local: bool,
    /// Where the client's connection to the proxy came from and went to; `None` where the proxy does not say (`LOCAL`,
    /// `UNKNOWN`, `UNSPEC`).
    pub route: Option<Route>,
    /// What else it said (version 2).
    pub tlvs: Tlvs,
}

/// The two ends of the client's connection to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A TCP connection.
    Tcp {
        /// The client's.
        source: SocketAddr,
        /// The proxy's.
        destination: SocketAddr,
    },
    /// A connection over a Unix socket, with the paths of its ends; a client seldom has one.
    Unix {
        /// The client's.
        source: Vec<u8>,
        /// The proxy's.
        destination: Vec<u8>,
    },
}

impl ProxyInfo {
    /// A header that says nothing of a client.
    fn of_no_client(version: u8, local: bool) -> Self {
        Self { version, local, route: None, tlvs: Tlvs::default() }
    }
}

/// A header with its length, or `None` where more bytes are needed.
type Reading = Result<Option<(usize, ProxyInfo)>, ProxyRefused>;

/// Reads the header at the beginning of `bytes`. Returns it with its length, or `None` where more bytes are needed; then all
/// that there are belong to the header.
///
/// # Errors
///
/// Why the connection is to be refused.
pub(crate) fn read(bytes: &[u8], versions: ProxyVersions) -> Reading {
    let (read, spoken): (fn(&[u8]) -> Reading, _) = match bytes.first() {
        None => return Ok(None),
        Some(_) if begins(bytes, v1::PREFIX) => (v1::read, versions != ProxyVersions::V2),
        Some(_) if begins(bytes, v2::SIGNATURE) => (v2::read, versions != ProxyVersions::V1),
        Some(_) => return Err(ProxyRefused::Missing),
    };
    if spoken { read(bytes) } else { Err(ProxyRefused::Version) }
}

/// Whether the bytes begin with `prefix`, as far as they are there.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    let length = bytes.len().min(prefix.len());
    bytes[..length] == prefix[..length]
}

#[cfg(test)]
mod tests;
