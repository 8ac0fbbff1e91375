//! Connections that come from other workers of the cluster: each becomes a task of its own, as one that was accepted does.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{
    acceptor::make_room,
    listener::{Accepted, Newcomer},
};
use crate::{
    cluster::handover::{Mailbox, Message},
    connection::{self, Shared, Siblings},
    sync::inline_task,
};
use tokio_util::sync::CancellationToken;

/// Has the runtime wait for messages. Needs the runtime.
pub(super) fn watch(mailbox: &Mailbox) -> io::Result<AsyncFd<OwnedFd>> {
    watch_descriptor(mailbox.reader())
}

fn watch_descriptor(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor.try_clone_to_owned()?, Interest::READABLE)
}

/// Takes what siblings send to this worker, until it is aborted.
pub(super) async fn receive(
    readable: AsyncFd<OwnedFd>,
    shared: Arc<Shared>,
    siblings: Arc<Siblings>,
    closing: CancellationToken,
) {
    loop {
        let Ok(mut ready) = readable.readable().await else { return };
        loop {
            // What waits behind a connection limit that is reached is still the siblings' to keep: their inbox is full then.
            make_room(&shared, &closing).await;
            match siblings.inbox().receive() {
                Ok(message) => take_over(message, &shared),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                // No descriptor is left: one that closes makes room.
                Err(_) => {
                    shared.bounds.connections.evict();
                    tokio::time::sleep(super::acceptor::BACK_OFF.0).await;
                }
            }
        }
    }
}

/// Takes all that waits in a mailbox now. Returns whether there was anything.
pub(super) fn empty(mailbox: &Mailbox, shared: &Arc<Shared>) -> bool {
    let mut any = false;
    loop {
        match mailbox.receive() {
            Ok(message) => {
                any = true;
                take_over(message, shared);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => return any,
        }
    }
}

/// Serves a connection that a sibling has sent. One that has ended meanwhile is closed.
pub(super) fn take_over(message: Message, shared: &Arc<Shared>) {
    let Message { socket, traits, read_ahead } = message;
    let Ok(accepted) = Newcomer::of_descriptor(socket).and_then(Newcomer::accepted) else { return };
    let open = shared.services.stats.connection_taken_over();
    let begin = (traits, &read_ahead[..]);
    match accepted {
        Accepted::Tcp(socket, peer) => {
            let serving = connection::take_over(socket, peer, shared.clone(), open, begin);
            shared.tasks.spawn(inline_task::task(serving))
        }
        Accepted::Unix(socket, peer) => {
            let serving = connection::take_over(socket, peer, shared.clone(), open, begin);
            shared.tasks.spawn(inline_task::task(serving))
        }
    };
}
