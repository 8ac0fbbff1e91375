//! Lets connections in through the admin listener, each into a task of its own, until the server ends. They have their own bound,
//! so that neither the app's clients nor theirs keep a probe out, and a few that are slow take no descriptors from the app.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{task::yield_now, time::sleep};
use tokio_util::task::TaskTracker;

use super::acceptor::is_exhausted;
use crate::{
    admin::{self, Admin, Asker},
    connection::ConnectionLimit,
    server::listener::{Accepted, Listener, gone_already},
};

/// How long to wait before trying again to accept, when this process cannot, and before connections are counted again.
const PAUSE: Duration = Duration::from_millis(100);

/// At most as many at a time as `askers` has room for. Where descriptors have run out, one of those gives way, or one of the
/// app's `clients`.
pub(super) async fn administer(
    listener: Listener,
    admin: Arc<Admin>,
    askers: Arc<ConnectionLimit>,
    clients: Arc<ConnectionLimit>,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if gone_already(&error) => continue,
            Err(error) => {
                if is_exhausted(&error) && !askers.evict() {
                    clients.evict();
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        make_room(&askers, &tasks).await;
        match accepted {
            Accepted::Tcp(socket, _) => {
                // A client that has gone already needs no answer.
                let Ok(client) = socket.peer_addr() else { continue };
                let asker = Asker::Tcp(SocketAddr::new(client.ip().to_canonical(), client.port()));
                tasks.spawn(admin::serve(socket, asker, admin.clone(), askers.clone()))
            }
            Accepted::Unix(socket, _) => {
                let asker = Asker::Unix(socket.peer_cred().ok());
                tasks.spawn(admin::serve(socket, asker, admin.clone(), askers.clone()))
            }
        };
    }
}

/// Returns when there is room for one more: the one that has waited longest for its client is told to leave; where all wait for
/// the drain, the new one waits.
async fn make_room(askers: &ConnectionLimit, tasks: &TaskTracker) {
    loop {
        let change = askers.changed();
        if askers.has_room(tasks.len() as u64) {
            return;
        }
        // The runtime looks at the sockets: a request that is here already is answered.
        yield_now().await;
        if !askers.has_room(tasks.len() as u64) && !askers.evict() {
            tokio::select! {
                () = change => {}
                () = sleep(PAUSE) => {}
            }
        }
    }
}
