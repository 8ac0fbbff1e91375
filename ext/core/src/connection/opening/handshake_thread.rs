//! The thread that shakes hands. What a handshake computes takes 0.2 ms with an elliptic curve and more than 1 ms with RSA, and clients
//! decide how many there are: on the I/O thread each would hold up all connections, and in a flood the kernel shares the processor
//! out between the two threads.

use std::{convert::Infallible, io, sync::OnceLock, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::task::AbortOnDropHandle;

/// Nothing that the thread calls goes deep.
const STACK: usize = 512 * 1024;

/// The thread, once there was a handshake.
#[derive(Debug, Default)]
pub(in crate::connection) struct HandshakeThread(OnceLock<Option<Started>>);

#[derive(Debug)]
struct Started {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _end: oneshot::Sender<Infallible>,
}

impl HandshakeThread {
    /// Runs `handshake` on the thread, until that is over or is not waited for any longer. Where the system had no thread left, the
    /// caller's runs it.
    pub(super) async fn run<T, F>(&self, handshake: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        match self.0.get_or_init(|| start().ok()) {
            Some(started) => AbortOnDropHandle::new(started.runtime.spawn(handshake)).await.map_err(io::Error::other),
            None => Ok(handshake.await),
        }
    }

    /// Returns when the handshakes have gone on that had something to read before.
    pub(super) async fn catch_up(&self) {
        // The thread takes its turns in the order in which they were asked for. Where it has gone, so has the server.
        let _ = self.run(async {}).await;
    }
}

fn start() -> io::Result<Started> {
    // The sockets are the I/O thread's: it hears of what comes in, and wakes this one.
    let runtime = Builder::new_current_thread().build()?;
    let (handle, (end, told)) = (runtime.handle().clone(), oneshot::channel::<Infallible>());
    let thread = thread::Builder::new().name("tidegate-tls".into()).stack_size(STACK);
    thread.spawn(move || drop(runtime.block_on(told)))?;
    Ok(Started { runtime: handle, _end: end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn runs_a_handshake_elsewhere_and_drops_one_that_is_not_waited_for() {
        let thread = HandshakeThread::default();
        let name = thread.run(async { thread::current().name().map(str::to_owned) }).await.unwrap();
        assert_eq!(name.as_deref(), Some("tidegate-tls"));
        let (held, dropped) = oneshot::channel::<Infallible>();
        {
            let waiting = thread.run(async move {
                let _held = held;
                std::future::pending::<()>().await
            });
            tokio::pin!(waiting);
            assert!(futures_util::poll!(&mut waiting).is_pending());
        }
        assert!(dropped.await.is_err());
    }
}
