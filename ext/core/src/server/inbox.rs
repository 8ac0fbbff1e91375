//! Connections that come from other workers of the cluster: each becomes a task of its own, as one that was accepted does.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    acceptor::{self, make_room},
    listener::{Accepted, AcceptedSocket, Newcomer},
};
use crate::{
    admin::{questions::Questions, siblings::answer},
    cluster::handover::{Mailbox, Message},
    connection::{self, Shared, Siblings},
    sync::inline_task,
    sys,
};

/// Has the runtime wait for messages. Needs the runtime.
pub(super) fn watch(mailbox: &Mailbox) -> io::Result<AsyncFd<OwnedFd>> {
    sys::watch(mailbox.reader().try_clone_to_owned()?, Interest::READABLE)
}

/// Takes what siblings put into `mailbox`, until it is aborted.
pub(super) async fn receive(
    readable: AsyncFd<OwnedFd>,
    mailbox: &Mailbox,
    shared: &Arc<Shared>,
    closing: &CancellationToken,
    questions: &Questions,
) {
    loop {
        let Ok(mut ready) = readable.readable().await else { return };
        loop {
            // What waits behind a connection limit that is reached is still the siblings' to keep: their inbox is full then.
            make_room(shared, closing).await;
            match mailbox.receive() {
                Ok(message) if message.traits.question => {
                    tokio::spawn(answer(message, questions.clone()));
                }
                Ok(message) => take_over(message, shared),
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

/// How long a worker that leaves waits for its siblings to take what it has given them, and how often it looks. Siblings that are alive
/// take it at once, but on an overloaded machine a process may not get to run for a second or two.
const ADOPTION_MAX: Duration = Duration::from_secs(5);
const ADOPTION_PAUSE: Duration = Duration::from_millis(5);

/// A worker has served all its connections, and ends. Takes what siblings have sent it all the same; one that `leaves` also sees to it
/// that its own connections were taken, and takes them back where no sibling is there to do that. Returns whether there is more to
/// serve.
pub(super) async fn settle(siblings: &Siblings, shared: &Arc<Shared>, leaves: bool) -> bool {
    siblings.member().rescue_all();
    let deadline = Instant::now() + ADOPTION_MAX;
    while leaves && siblings.adoption().holds_messages() && Instant::now() < deadline {
        sleep(ADOPTION_PAUSE).await;
    }
    let mut more = empty(siblings.inbox(), shared);
    if !leaves || siblings.adoption().holds_messages() {
        siblings.stay_alone();
        more |= empty(siblings.adoption(), shared);
    }
    more
}

/// Takes all that waits in a mailbox now. Returns whether there was anything.
fn empty(mailbox: &Mailbox, shared: &Arc<Shared>) -> bool {
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
    // It was for a worker that has gone or is going: its sender sees that there is no answer.
    if traits.question {
        return;
    }
    let Ok(accepted) = Newcomer::of_descriptor(socket).and_then(Newcomer::accepted) else { return };
    if let (true, Some(siblings)) = (traits.for_request, &shared.services.siblings) {
        siblings.member().has_come();
    }
    let open = shared.services.stats.connection_taken_over();
    if read_ahead.is_empty() || traits.opens {
        // It may have nothing to say yet: what its sender has claimed is there for others.
        shared.services.queue.publish_room();
    }
    if traits.opens {
        let listener = read_ahead.first().copied();
        let siblings = shared.services.siblings.as_ref();
        // There is no such listener where the sender was of another image of the cluster.
        let opening = listener.zip(siblings).and_then(|(listener, siblings)| siblings.opening(listener)).cloned();
        if opening.is_some() {
            acceptor::spawn(Accepted { opening, ..accepted }, open, shared);
        }
        return;
    }
    let begin = (traits, &read_ahead[..]);
    let Accepted { socket, peer, .. } = accepted;
    match socket {
        AcceptedSocket::Tcp(socket) => {
            let serving = connection::take_over(socket, peer, shared.clone(), open, begin);
            shared.tasks.spawn(inline_task::task(serving))
        }
        AcceptedSocket::Unix(socket) => {
            let serving = connection::take_over(socket, peer, shared.clone(), open, begin);
            shared.tasks.spawn(inline_task::task(serving))
        }
    };
}
