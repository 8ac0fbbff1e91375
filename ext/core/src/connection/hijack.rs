//! Giving a connection to the app. The app gets the socket itself where that is possible, and the server has no part in it from
//! then on. Where bytes were read ahead, or the stream is no socket, the app gets one end of a socket pair.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

use super::{NEVER, Shared, Socket, socket::Released, tracked_socket::TrackedSocket};
use crate::exchange::hijack::{Family, HijackRequest, Taken};

/// Bytes passed on at a time.
const CHUNK: usize = 8192;

/// Sends the head that the app wants, if any, and gives it the connection. A client that has gone, or does not take
/// the head, is the app's to notice: its request is dropped.
pub(super) async fn give<S: Socket>(mut socket: TrackedSocket<S>, request: HijackRequest, shared: &Shared) {
    if !request.head().is_empty() {
        let limit = shared.settings.timeouts.write_timeout.unwrap_or(NEVER);
        let sent = tokio::select! {
            sent = timeout(limit, socket.write_last(request.head())) => matches!(sent, Ok(Ok(()))),
            // The client has had all the time that there was.
            () = shared.forced() => false,
        };
        if !sent {
            return;
        }
    }
    // This fails only for want of descriptors. The request is dropped then, which tells the app that the client has gone.
    let _ = match socket.try_release() {
        Ok(Released::Descriptor(descriptor, family)) => {
            request.grant(Taken { descriptor, family, held: shared.hijacked(None) });
            Ok(())
        }
        Ok(Released::Stream(socket)) => pass_on(socket, request, shared).await,
        Err(error) => Err(error),
    };
}

/// Gives the app one end of a pair, and passes bytes on between the other end and the client until both have ended,
/// or the drain's budget is used up.
async fn pass_on<S: Socket>(socket: TrackedSocket<S>, request: HijackRequest, shared: &Shared) -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?.into();
    let (when_closed, closed) = oneshot::channel();
    request.grant(Taken { descriptor: theirs, family: Family::Unix, held: shared.hijacked(Some(when_closed)) });
    let (from_client, to_client) = tokio::io::split(socket);
    let (from_app, to_app) = ours.split();
    // An error is one of the client's socket: nothing more can be read from it or written to it.
    let passing = async { tokio::try_join!(pass_to_app(from_client, to_app), pass_to_client(from_app, to_client)) };
    // As the kernel does for a socket that is closed: what the app wrote is delivered, as long as the client takes it.
    let write_timeout = async {
        let _ = closed.await;
        tokio::time::sleep(shared.settings.timeouts.write_timeout.unwrap_or(NEVER)).await;
    };
    tokio::select! {
        passed = passing => passed.map(drop),
        () = shared.forced() => Ok(()),
        () = write_timeout => Ok(()),
    }
}

/// Passes on what the client sends, until it ends. An app that has closed, or reads no more, does not get it; it is read
/// all the same, because a connection closed with unread bytes is reset, and the client may lose the app's last ones.
async fn pass_to_app(mut client: impl AsyncRead + Unpin, mut app: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut app_reads = true;
    loop {
        let length = match client.read(&mut chunk).await {
            // A TLS client that closed without `close_notify`.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if length == 0 {
            // Fails for an app that has closed.
            let _ = app.shutdown().await;
            return Ok(());
        }
        app_reads = app_reads && app.write_all(&chunk[..length]).await.is_ok();
    }
}

/// Passes on what the app writes, until it ends.
async fn pass_to_client(mut app: impl AsyncRead + Unpin, mut client: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut reset = false;
    loop {
        let length = match app.read(&mut chunk).await {
            Ok(length) => length,
            // The app has closed without reading all that came. What it wrote before may still be there to be read.
            Err(_) if !reset => {
                reset = true;
                continue;
            }
            Err(_) => 0,
        };
        if length == 0 {
            return client.shutdown().await;
        }
        client.write_all(&chunk[..length]).await?;
        client.flush().await?;
    }
}
