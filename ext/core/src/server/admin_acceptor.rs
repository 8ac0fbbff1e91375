//! The admin listener's acceptor: takes its connections, each into a task of its own, until the server ends. They have a limit of
//! their own, so that neither the app's clients nor slow ones of this listener keep a probe out or take descriptors from the app.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{task::yield_now, time::sleep};
use tokio_util::task::TaskTracker;

use super::acceptor::is_exhausted;
use crate::{
    admin::{self, Admin, AdminClient},
    connection::ConnectionLimit,
    server::listener::{AcceptedSocket, Listener, gone_already},
};

/// How long to wait before trying again to accept, when this process cannot, and before connections are counted again.
const PAUSE: Duration = Duration::from_millis(100);

/// The admin listener and what answers on it.
pub(super) struct AdminListener {
    pub(super) listener: Arc<Listener>,
    pub(super) admin: Arc<Admin>,
    /// How many clients it may have at a time.
    pub(super) clients: Arc<ConnectionLimit>,
}

/// Takes at most as many at a time as its limit has room for. Where descriptors have run out, one of those is closed, or
/// one of the app's `clients`.
pub(super) async fn accept_admin(admin: AdminListener, clients: Arc<ConnectionLimit>) {
    let AdminListener { listener, admin, clients: admin_clients } = admin;
    let tasks = TaskTracker::new();
    loop {
        let accepted = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if gone_already(&error) => continue,
            Err(error) => {
                if is_exhausted(&error) && !admin_clients.evict() {
                    clients.evict();
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        make_room(&admin_clients, &tasks).await;
        match accepted.socket {
            AcceptedSocket::Tcp(socket) => {
                // A client that has gone already needs no answer.
                let Ok(peer) = socket.peer_addr() else { continue };
                let client = AdminClient::Tcp(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                tasks.spawn(admin::serve(socket, client, admin.clone(), admin_clients.clone()))
            }
            AcceptedSocket::Unix(socket) => {
                let client = AdminClient::Unix(socket.peer_cred().ok());
                tasks.spawn(admin::serve(socket, client, admin.clone(), admin_clients.clone()))
            }
        };
    }
}

/// Returns when there is room for one more: the connection that has waited longest for its client is told to close; where all
/// wait for the drain, the new one waits.
async fn make_room(admin_clients: &ConnectionLimit, tasks: &TaskTracker) {
    loop {
        let change = admin_clients.changed();
        if admin_clients.has_room(tasks.len() as u64) {
            return;
        }
        // The runtime looks at the sockets: a request that is here already is answered.
        yield_now().await;
        if !admin_clients.has_room(tasks.len() as u64) && !admin_clients.evict() {
            tokio::select! {
                () = change => {}
                () = sleep(PAUSE) => {}
            }
        }
    }
}
