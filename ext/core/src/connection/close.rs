//! Closing a connection so that its last response arrives: a close with unread input is a reset, and a reset can
//! destroy a response that the client has not read yet (RFC 9112 §9.6).

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Shared, Socket, socket::TrackedSocket, state::ConnectionState};
use crate::http::response::Refusal;

/// How long a client may take to notice that we have ended. What it still sends meanwhile is read and forgotten.
const LINGER: Duration = Duration::from_secs(2);
/// How often the kernel is asked whether it has delivered everything.
const DELIVERY_POLL: Duration = Duration::from_millis(5);

/// Answers past hyper, and closes. A client that does not take the answer is closed all the same.
pub(super) async fn refuse<S: Socket>(mut socket: TrackedSocket<S>, refusal: Refusal, shared: &Shared) {
    if let Ok(Ok(())) = timeout(LINGER, socket.write_last(&refusal.to_http1())).await {
        linger(socket, shared).await;
    }
}

/// Ends our side towards a client that has said it sends no more, and closes.
pub(super) async fn part<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    if socket.holds_unread(&[]) {
        return linger(socket, shared).await;
    }
    // Said aloud, because a child that the app has forked may hold the connection open.
    let _ = timeout(LINGER, socket.shut_down()).await;
    deliver(socket, shared).await;
}

/// Ends our side, reads on until the client has ended its own, and closes.
pub(super) async fn linger<S: Socket>(mut socket: TrackedSocket<S>, shared: &Shared) {
    let polite = async {
        if socket.shut_down().await.is_ok() {
            socket.discard_input().await;
        }
    };
    // A client that does not end either is closed without it.
    let _ = timeout(LINGER, polite).await;
    deliver(socket, shared).await;
}

/// Closes. When the process is about to end, only after the peer has confirmed every byte: a pod's network
/// disappears soon after its process, and what the kernel still held is lost.
pub(super) async fn deliver<S: Socket>(socket: TrackedSocket<S>, shared: &Shared) {
    if !shared.phase().is_stopping() {
        return;
    }
    let patience = shared.timeouts.write_timeout.map(|limit| Instant::now() + limit);
    loop {
        let unsent = socket.socket().unsent();
        if unsent == 0 {
            return;
        }
        let give_up = shared.phase().is_forced() || patience.is_some_and(|patience| Instant::now() >= patience);
        if give_up {
            shared.stats.unacked_bytes.inc_by(unsent as u64);
            return;
        }
        sleep(DELIVERY_POLL).await;
    }
}

/// Ends a response that its app has cut short, and looks cut: what was sent of it arrives first. Where only the end of the
/// connection marks the end of the body, a reset tells that it was cut.
pub(super) async fn cut<S: Socket>(socket: TrackedSocket<S>, activity: &ConnectionState, shared: &Shared) {
    if !activity.is_close_delimited() {
        return linger(socket, shared).await;
    }
    // A reset destroys what the client's end has not confirmed. A client that takes of it has all the time that it has for a
    // response: it is given up when it has taken nothing for as long.
    let patience = shared.timeouts.write_timeout.unwrap_or(LINGER);
    let (mut left, mut deadline) = (usize::MAX, Instant::now() + patience);
    while !shared.phase().is_forced() && Instant::now() < deadline {
        let unsent = socket.socket().unsent();
        if unsent == 0 {
            break;
        }
        if unsent < left {
            (left, deadline) = (unsent, Instant::now() + patience);
        }
        sleep(DELIVERY_POLL).await;
    }
    abort(socket, activity);
}

/// Closes at once, so that a response cut short looks cut: where only the end of the connection marks the end of
/// the body, by a reset.
pub(super) fn abort<S: Socket>(socket: TrackedSocket<S>, activity: &ConnectionState) {
    if activity.is_close_delimited() {
        socket.socket().reset_on_close();
    }
}
