//! What a connection begins with before HTTP, in its own task: nothing on most addresses, and on others the header of a proxy, a TLS
//! handshake, or both. It counts as open meanwhile, and may be closed to make room for a new one.

mod failure;
mod handshake_thread;
mod proxy;

use std::{pin::pin, sync::Arc, time::Instant};

use tokio_rustls::TlsAcceptor;

use self::failure::Failure;
pub(super) use self::handshake_thread::HandshakeThread;
use super::{
    Shared, Socket, begin, close, live,
    socket::Peek,
    state::ConnectionState,
    tls_socket::{Encrypted, LastMove, TlsSocket},
};
use crate::{
    config::{ProxyVersions, WireOptions},
    error::Error,
    http::{request::Peer, response::Refusal},
    stats::{OpenConnection, handshakes::Handshake},
    sync::{now, sockets::until},
    tls::Tls,
};

/// What comes before HTTP on the connections of an address.
#[derive(Debug)]
pub(crate) struct Opening {
    proxy_protocol: Option<ProxyVersions>,
    tls: Option<Arc<Tls>>,
}

impl Opening {
    /// Reads what the connections of an address need; `None` where nothing comes before HTTP.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] for a certificate or key that cannot be used.
    pub(crate) fn of(wire: &WireOptions) -> Result<Option<Arc<Self>>, Error> {
        if *wire == WireOptions::default() {
            return Ok(None);
        }
        let tls = wire.tls.as_ref().map(|options| Tls::load(options)).transpose()?;
        Ok(Some(Arc::new(Self { proxy_protocol: wire.proxy_protocol, tls })))
    }
}

impl Opening {
    /// What the connections are encrypted with, where they are.
    pub(crate) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }
}

/// Opens a connection, and serves it until it is closed.
pub(crate) async fn open<S: Peek>(
    mut socket: S,
    mut peer: Peer,
    opening: Arc<Opening>,
    shared: Arc<Shared>,
    open: OpenConnection,
) {
    let (accepted, accepted_in_drain) = (now(), shared.phase().is_stopping());
    let state = |opened| ConnectionState::opened(opened, accepted);
    if let Some(versions) = opening.proxy_protocol {
        match Box::pin(proxy::introduce(&mut socket, versions, &peer, accepted, &shared)).await {
            Some(said) => peer = peer.introduced_by(said),
            None => {
                drop((socket, open));
                return shared.bounds.connections.connection_closed();
            }
        }
    }
    match &opening.tls {
        None => {
            let (socket, service) = begin(socket, peer, shared, state(now()), accepted_in_drain, true);
            live(socket, service, open, false).await;
        }
        Some(tls) => {
            let Some(socket) = Box::pin(shake_hands(socket, tls, &peer, accepted, &shared)).await else {
                drop(open);
                return shared.bounds.connections.connection_closed();
            };
            drop(opening);
            peer.tls = Some(Box::new(socket.info()));
            let (socket, service) = begin(socket, peer, shared, state(now()), accepted_in_drain, true);
            live(socket, service, open, false).await;
        }
    }
}

/// Shakes hands, within the time that there is for it. `None` where that failed: the connection is closed.
async fn shake_hands<S: Socket>(
    socket: S,
    tls: &Tls,
    peer: &Peer,
    accepted: Instant,
    shared: &Shared,
) -> Option<TlsSocket<S>> {
    let last_move = LastMove::new(accepted);
    let encrypted = Encrypted::new(socket, last_move.clone());
    let handshake = TlsAcceptor::from(tls.server_config()).accept(encrypted).into_fallible();
    let failed = match in_time(shared.bounds.handshakes.run(handshake), accepted, Some(last_move), shared).await {
        Ok(Ok(Ok(stream))) => {
            let socket = TlsSocket::new(stream);
            let kind = if socket.is_resumed() { Handshake::Resumed } else { Handshake::Complete };
            shared.services.stats.handshakes.inc(kind);
            return Some(socket);
        }
        Ok(Ok(Err((error, socket)))) => {
            let failure = Failure::of(&error);
            let answer = failure.is_unencrypted().then(Refusal::unencrypted);
            failure.report(peer, shared);
            close::turn_away(socket.socket, answer.as_ref(), shared).await;
            return None;
        }
        // The thread has gone with the server, or rustls has panicked.
        Ok(Err(_)) => Handshake::ClientGone,
        Err(failed) => failed,
    };
    shared.services.stats.handshakes.inc(failed);
    None
}

/// Waits for what opens a connection, as long as it may take. What has come while the process stood still counts; a handshake that
/// goes on only then, with that or with an answer of ours, has the time once more, because the client has to answer. `last_move` is when
/// something of it was last read or written.
///
/// # Errors
///
/// Why it is not waited for any longer.
async fn in_time<T>(
    opening: impl Future<Output = T>,
    accepted: Instant,
    last_move: Option<LastMove>,
    shared: &Shared,
) -> Result<T, Handshake> {
    let mut evictable = shared.bounds.connections.silent_connection();
    let limit = shared.settings.timeouts.handshake_timeout;
    let ending = async {
        shared.refuses_new().await;
        tokio::time::sleep(close::LAST_BYTES).await;
    };
    let opening = async {
        let mut opening = pin!(opening);
        let at = limit.map(|limit| accepted + limit);
        if let Some(opened) = until(at, opening.as_mut()).await {
            return Some(opened);
        }
        let (limit, at, last_move) = (limit?, at?, last_move?);
        shared.bounds.handshakes.catch_up().await;
        let again = (last_move.at() >= at).then(|| now() + limit);
        until(Some(again.unwrap_or(at)), opening).await
    };
    tokio::select! {
        biased;
        opened = opening => opened.ok_or(Handshake::Timeout),
        () = evictable.evicted() => {
            shared.services.stats.gave_way.inc();
            Err(Handshake::GaveWay)
        }
        () = ending => Err(Handshake::Timeout),
        () = shared.forced() => Err(Handshake::Timeout),
    }
}
