//! What a proxy says of a connection before anything else comes on it: read from trusted proxies only, and not one byte beyond its
//! end, because what comes behind it is for TLS or HTTP.

use std::{io, time::Instant};

use tokio::io::AsyncReadExt;

use super::{Shared, in_time};
use crate::{
    config::ProxyVersions,
    connection::socket::Peek,
    http::{
        proxy_protocol::{self, ProxyInfo},
        request::Peer,
    },
    stats::{handshakes::Handshake, proxied::ProxyRefused},
    sync::now,
};

/// As much as is looked at at a time. Nearly every header fits in.
const GLANCE: usize = 512;

/// Reads the header. `None`: the connection is to be closed.
pub(super) async fn introduce<S: Peek>(
    socket: &mut S,
    versions: ProxyVersions,
    peer: &Peer,
    accepted: Instant,
    shared: &Shared,
) -> Option<ProxyInfo> {
    let refusal = if shared.settings.forwarding.trusted_proxies.contains(peer.source) {
        match in_time(read(socket, versions), accepted, None, shared).await {
            Ok(Ok(Ok(said))) => return Some(said),
            Ok(Ok(Err(refusal))) => Some(refusal),
            // A proxy that has changed its mind, or only looks whether the port is open.
            Ok(Err(_)) => None,
            Err(Handshake::Timeout) if is_overdue(accepted, shared) => Some(ProxyRefused::Timeout),
            Err(_) => None,
        }
    } else {
        Some(ProxyRefused::Untrusted)
    };
    if let Some(refusal) = refusal {
        shared.services.stats.proxy_refused.inc(refusal);
        shared.services.warnings.proxy_refused(peer, refusal, now());
    }
    None
}

fn is_overdue(accepted: Instant, shared: &Shared) -> bool {
    shared.settings.timeouts.handshake_timeout.is_some_and(|limit| now() >= accepted + limit)
}

/// # Errors
///
/// When the connection ends before the header does.
async fn read<S: Peek>(socket: &mut S, versions: ProxyVersions) -> io::Result<Result<ProxyInfo, ProxyRefused>> {
    let (mut header, mut glance) = (Vec::new(), [0; GLANCE]);
    loop {
        let seen = socket.peek(&mut glance).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = header.len();
        header.extend_from_slice(&glance[..seen]);
        let (length, said) = match proxy_protocol::read(&header, versions) {
            Ok(Some((length, said))) => (length - before, Some(said)),
            // All of it belongs to the header.
            Ok(None) => (seen, None),
            Err(refusal) => return Ok(Err(refusal)),
        };
        socket.read_exact(&mut glance[..length]).await?;
        if let Some(said) = said {
            return Ok(Ok(said));
        }
    }
}
