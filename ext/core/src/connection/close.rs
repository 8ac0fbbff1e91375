//! Closing a connection so that its last response arrives: a close with unread input is a reset, and a reset can
//! destroy a response that the client has not read yet (RFC 9112 §9.6).

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{Shared, Socket, state::ConnectionState, tracked_socket::TrackedSocket};
use crate::http::response::Refusal;

/// How long a client may take to take the last bytes that are left for it, which fit into any buffer.
pub(super) const LAST_BYTES: Duration = Duration::from_secs(2);
/// How often the kernel is asked whether it has delivered everything.
const DELIVERY_POLL: Duration = Duration::from_millis(5);

/// Writes a refusal past hyper, and closes. The connection is closed too where the client does not take the refusal.
pub(super) async fn refuse<S: Socket>(mut socket: TrackedSocket<S>, refusal: Refusal, shared: &Shared) {
    if let Ok(Ok(())) = timeout(LAST_BYTES, socket.write_last(&refusal.to_http1())).await {
        linger(socket, shared).await;
    }
}

/// Shuts the server's side down for a client that has said it sends no more, and closes.
pub(super) async fn part<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    if socket.holds_unread(&[]) {
        return linger(socket, shared).await;
    }
    // A close alone would not do: a child process that the app has forked may hold the socket open.
    let _ = timeout(LAST_BYTES, socket.shut_down()).await;
    deliver(socket, shared).await;
}

/// Closes a connection on which nothing is in flight. Where the stream has an end of its own, the client is sent it.
pub(super) async fn leave<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    if socket.socket().has_end_of_its_own() && matches!(timeout(LAST_BYTES, socket.shut_down()).await, Ok(Ok(()))) {
        deliver(socket, shared).await;
    }
}

/// Closes a connection that was not opened: behind `refusal`, or behind what was sent already. A client that goes on sending reads
/// that first.
pub(super) async fn turn_away<S: Socket>(mut socket: S, refusal: Option<&Refusal>, shared: &Shared) {
    let parting = async {
        if let Some(refusal) = refusal {
            socket.write_all(&refusal.to_http1()).await?;
        }
        socket.shutdown().await?;
        let mut forgotten = [0; 1024];
        while socket.read(&mut forgotten).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::select! {
        // A client that does not end its side in time, or has gone, is not waited for.
        _ = timeout(shared.settings.timeouts.lingering_timeout.min(LAST_BYTES), parting) => {}
        () = shared.forced() => {}
    }
}

/// Shuts the server's side down, reads on until the client has ended its own, and closes. What the client still sends is forgotten.
pub(super) async fn linger<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    let until_the_client_ends = async {
        if socket.shut_down().await.is_ok() {
            socket.discard_input().await;
        }
    };
    // Where the client does not end its side in time, the connection is closed all the same. A server that ends does not wait for
    // it longer than for the last bytes, whatever is set.
    let ending = async {
        shared.refuses_new().await;
        sleep(LAST_BYTES).await;
    };
    tokio::select! {
        ended = timeout(shared.settings.timeouts.lingering_timeout, until_the_client_ends) => if ended.is_err() {
            shared.services.stats.lingered.inc();
        },
        () = ending => shared.services.stats.lingered.inc(),
    }
    deliver(socket, shared).await;
}

/// Closes on a client that would send for as long as it is read: once its kernel has the last bytes, and without reading what comes
/// meanwhile, so that the client's own buffers stop it.
pub(super) async fn dismiss<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    let taken = async {
        if socket.shut_down().await.is_ok() {
            while socket.socket().unsent() > 0 && !shared.phase().is_forced() {
                sleep(DELIVERY_POLL).await;
            }
        }
    };
    let _ = timeout(LAST_BYTES, taken).await;
}

/// Closes. When the process is about to end, only after the peer has confirmed every byte: a pod's network
/// disappears soon after its process, and what the kernel still held is lost.
pub(super) async fn deliver<S: Socket>(socket: TrackedSocket<S>, shared: &Shared) {
    if !shared.phase().is_stopping() {
        return;
    }
    let deadline = shared.settings.timeouts.write_timeout.map(|limit| Instant::now() + limit);
    loop {
        let unsent = socket.socket().unsent();
        if unsent == 0 {
            return;
        }
        if shared.phase().is_forced() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            shared.services.stats.unacked_bytes.inc_by(unsent as u64);
            return;
        }
        sleep(DELIVERY_POLL).await;
    }
}

/// Closes behind a response that the app did not finish, so that the client gets what was sent and sees that it is not whole. Where
/// only the end of the connection marks the end of the body, a reset says so.
pub(super) async fn cut<S: Socket>(mut socket: TrackedSocket<S>, state: &ConnectionState, shared: &Shared) {
    if !state.is_close_delimited() {
        return linger(socket, shared).await;
    }
    // What TLS has encrypted is not the kernel's yet.
    let flush = timeout(shared.settings.timeouts.write_timeout.unwrap_or(LAST_BYTES), socket.flush());
    let flushed = tokio::select! {
        flushed = flush => matches!(flushed, Ok(Ok(()))),
        () = shared.forced() => false,
    };
    if !flushed {
        return abort(socket, state);
    }
    // A reset destroys what the client's kernel has not confirmed. The write timeout counts as for any response: from the last
    // byte that the client took.
    let write_timeout = shared.settings.timeouts.write_timeout.unwrap_or(LAST_BYTES);
    let (mut left, mut deadline) = (usize::MAX, Instant::now() + write_timeout);
    while !shared.phase().is_forced() && Instant::now() < deadline {
        let unsent = socket.socket().unsent();
        if unsent == 0 {
            break;
        }
        if unsent < left {
            (left, deadline) = (unsent, Instant::now() + write_timeout);
        }
        sleep(DELIVERY_POLL).await;
    }
    abort(socket, state);
}

/// Closes at once, so that the client sees that its response is not whole: where only the end of the connection marks the end of
/// the body, by a reset.
pub(super) fn abort<S: Socket>(socket: TrackedSocket<S>, state: &ConnectionState) {
    if state.is_close_delimited() {
        socket.socket().reset_on_close();
    }
}
