//! What has come in on the sockets while the process stood still: a paused container, a machine that is moved, a laptop that sleeps.
//!
//! A process that goes on after that hears of its timers first. The system call in which it slept ends with `EINTR` and no
//! events, and all timers have fired; so a time limit that ends something for want of bytes would end what has arrived in time.
//! The task that finds its limit passed asks again after [`look_at_sockets`].

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    runtime::Handle,
    task::{JoinHandle, yield_now},
    time::timeout_at,
};

/// How many events a turn of the I/O driver takes from the kernel, the longest ready first.
pub(crate) const EVENTS_A_TURN: usize = 1024;

/// Resolves when the runtime has heard of all that was in its sockets when this was made, and the tasks that read those were polled.
///
/// It needs turns of the I/O driver, one for each thousand of sockets. A task of its own counts them: `yield_now` goes on behind a
/// turn of the driver, unless the task is polled for another reason, and that one has no other.
#[derive(Debug)]
pub(crate) struct LookAtSockets(JoinHandle<()>);

pub(crate) fn look_at_sockets() -> LookAtSockets {
    look(EVENTS_A_TURN)
}

fn look(events_a_turn: usize) -> LookAtSockets {
    // A task has one socket at most.
    let turns = 1 + Handle::current().metrics().num_alive_tasks() / events_a_turn;
    LookAtSockets(tokio::spawn(async move {
        for _ in 0..turns {
            yield_now().await;
        }
        // What was read may be for another task, which is polled before this one is once more.
        yield_now().await;
    }))
}

impl Future for LookAtSockets {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // It fails only where the runtime ends, and this with it.
        let _ = ready!(Pin::new(&mut self.get_mut().0).poll(cx));
        Poll::Ready(())
    }
}

/// Waits for `future` until then; `None` where what has come until then does not suffice, also in a process that stood still.
pub(crate) async fn until<F: Future>(at: Option<Instant>, future: F) -> Option<F::Output> {
    let Some(at) = at else { return Some(future.await) };
    tokio::pin!(future);
    if let Ok(done) = timeout_at(at.into(), future.as_mut()).await {
        return Some(done);
    }
    look_at_sockets().await;
    // A time that is over polls once.
    timeout_at(at.into(), future).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        io::Write,
        sync::Arc,
        time::{Duration, Instant},
    };

    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        runtime::Builder,
        sync::Notify,
    };

    /// A socket of the runtime and the client's end of it.
    async fn socket() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    /// Sends a byte from each of `clients`, while the runtime stands still.
    fn stand_still(mut clients: Vec<std::net::TcpStream>) -> Vec<std::net::TcpStream> {
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        clients
    }

    /// The task is polled over and over for other reasons than the turns that it waits for, as by several timers that have fired: each
    /// poll was taken for a turn.
    #[tokio::test]
    async fn is_not_over_before_the_runtime_has_looked() {
        let (mut socket, client) = socket().await;
        let mut byte = [0];
        {
            let mut reading = std::pin::pin!(socket.read(&mut byte));
            assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await);
        }
        let _client = stand_still(vec![client]);
        let mut look = look_at_sockets();
        for _ in 0..100 {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut look).poll(cx).is_pending())).await);
        }
        look.await;
        let mut reading = std::pin::pin!(socket.read(&mut byte));
        assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_ready())).await);
    }

    /// More of them than the driver hears of in a turn.
    #[test]
    fn takes_as_many_turns_as_it_needs_to_hear_of_all() {
        const EVENTS: usize = 4;
        let runtime = Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS).build().unwrap();
        runtime.block_on(async {
            let (limit, mut waiting, mut clients) = (Arc::new(Notify::new()), Vec::new(), Vec::new());
            for _ in 0..20 * EVENTS {
                let ((mut socket, client), limit) = (socket().await, limit.clone());
                clients.push(client);
                waiting.push(tokio::spawn(async move {
                    let mut reading = std::pin::pin!(socket.read_u8());
                    assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await);
                    limit.notified().await;
                    look(EVENTS).await;
                    poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_ready())).await
                }));
            }
            yield_now().await;
            let _clients = stand_still(clients);
            limit.notify_waiters();
            for heard in waiting {
                assert!(heard.await.unwrap());
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_in_time_is_late() {
        let at = Instant::now() + Duration::from_secs(1);
        assert_eq!(until(Some(at), std::future::pending::<()>()).await, None);
        assert_eq!(until(None, async { 1 }).await, Some(1));
    }
}
