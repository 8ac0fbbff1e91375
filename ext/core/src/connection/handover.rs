//! Giving a connection to the app. Where the socket can be given as it is, the server is out of the way from then on;
//! bytes that were read ahead, and streams that are no sockets, go through a socket pair.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

use super::{
    Shared, Socket,
    transport::{Released, Watched},
};
use crate::{
    lifecycle::Phase,
    takeover::{Family, TakeOver, Taken},
};

/// Sends the head that the app wants, if any, and gives it the connection. A client that has gone, or does not take
/// the head, is the app's to notice: its request is dropped.
pub(super) async fn give<S: Socket>(mut socket: Watched<S>, request: TakeOver, shared: &Shared) {
    if !request.head().is_empty() {
        let sending = socket.write_last(request.head());
        let sent = match shared.timeouts.write {
            Some(limit) => timeout(limit, sending).await.unwrap_or_else(|late| Err(late.into())),
            None => sending.await,
        };
        if sent.is_err() {
            return;
        }
    }
    // What fails here fails for want of descriptors, and the app learns of it as of a client that has gone.
    let _ = match socket.try_release() {
        Ok(Released::Descriptor(descriptor, family)) => {
            request.grant(Taken { descriptor, family, held: shared.hold(None) });
            Ok(())
        }
        Ok(Released::Stream(socket)) => pass_on(socket, request, shared).await,
        Err(error) => Err(error),
    };
}

/// Gives the app one end of a pair, and passes bytes on between the other end and the client until both have ended,
/// or the server's patience has.
async fn pass_on<S: Socket>(mut socket: Watched<S>, request: TakeOver, shared: &Shared) -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?.into();
    let (tell, closed) = oneshot::channel();
    request.grant(Taken { descriptor: theirs, family: Family::Unix, held: shared.hold(Some(tell)) });
    let mut phase = shared.phase.clone();
    let forced = async { drop(phase.wait_for(|phase: &Phase| phase.is_forced()).await) };
    // As the kernel does it for a socket that is closed: what was written is delivered, to a client that takes it.
    let patience = async {
        let _ = closed.await;
        tokio::time::sleep(shared.timeouts.write.unwrap_or(Duration::MAX / 4)).await;
    };
    tokio::select! {
        passed = copy_bidirectional(&mut socket, &mut ours) => {
            passed?;
            socket.shutdown().await
        }
        () = forced => Ok(()),
        () = patience => Ok(()),
    }
}
