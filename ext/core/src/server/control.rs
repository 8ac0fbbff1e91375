//! The control socket of a worker: its master tells it by bytes what the cluster does, and is told by lines what it is asked for.
//!
//! | byte | meaning |
//! |---|---|
//! | 0 to 3 | a signal, as in [`signals`](super::signals): what it is to a single process, it is to the cluster |
//! | `R` | this worker leaves, its siblings go on |
//! | `S` | the cluster ends, and no signal has said so |
//! | `L` | the logs' files are to be opened anew |
//! | the end | the master is gone: the cluster ends, as on SIGTERM |

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::{io::AsyncReadExt, net::UnixStream, sync::mpsc};

use super::{Message, signals::signal_of};
use crate::{
    cluster::handover::SEND_FLAGS,
    lifecycle::{Event, Signal},
    sync::{
        Parker,
        latch::{Latch, LatchTrigger, latch},
        now,
    },
};

const RETIRE: u8 = b'R';
const STOP: u8 = b'S';
const REOPEN: u8 = b'L';

/// A worker's end of the control socket.
#[derive(Debug)]
pub(super) struct Control {
    socket: OwnedFd,
    reopening: Mutex<Reopening>,
    /// A signal has come that has this worker leave.
    signalled: AtomicBool,
}

/// How often the logs were to be opened anew, and what tells of the next time.
#[derive(Debug)]
struct Reopening {
    asked: u64,
    next: Latch,
    trigger: Option<LatchTrigger>,
}

impl Control {
    pub(super) fn new(socket: OwnedFd) -> Arc<Self> {
        let (trigger, next) = latch();
        Arc::new(Self {
            socket,
            reopening: Mutex::new(Reopening { asked: 0, next, trigger: Some(trigger) }),
            signalled: false.into(),
        })
    }

    /// What a signal to this worker alone asks for. It leaves on SIGTERM, when the master has agreed: a signal to the whole process
    /// group reaches the master too, and then all drain together, by the plan. A second one does not wait for the master. The master
    /// has Ctrl-C, like all processes of the terminal, and passes on what that means.
    pub(super) fn signalled(&self, signal: Signal) -> Option<Event> {
        match signal {
            Signal::Term | Signal::Quit if self.signalled.swap(true, Relaxed) => Some(Event::Retire),
            Signal::Term | Signal::Quit => {
                self.tell("leave\n");
                None
            }
            Signal::Int | Signal::Hup => None,
        }
    }

    /// Tells the master something. A master that reads nothing is not waited for.
    pub(super) fn tell(&self, line: &str) {
        // One that is gone is noticed by the reader.
        let _ = rustix::net::send(&self.socket, line.as_bytes(), SEND_FLAGS);
    }

    fn reopening(&self) -> MutexGuard<'_, Reopening> {
        // No code that can panic runs under this lock.
        self.reopening.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn reopen(&self) {
        let mut reopening = self.reopening();
        let (trigger, next) = latch();
        reopening.asked += 1;
        reopening.next = next;
        let asked = reopening.trigger.replace(trigger);
        drop(reopening);
        drop(asked);
    }

    /// Waits until the logs were to be opened anew more than `seen` times. `None` when `parker` was woken for something else.
    pub(super) fn await_reopen(&self, seen: u64, parker: &Parker) -> Option<u64> {
        let reopening = self.reopening();
        if reopening.asked > seen {
            return Some(reopening.asked);
        }
        let next = reopening.next.clone();
        drop(reopening);
        next.wait(parker, None)?;
        Some(self.reopening().asked)
    }

    /// Hears the master until it is gone. Needs the runtime.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors left.
    pub(super) fn listen(self: Arc<Self>, messages: mpsc::Sender<Message>) -> io::Result<impl Future<Output = ()>> {
        let stream = StdUnixStream::from(self.socket.as_fd().try_clone_to_owned()?);
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        Ok(async move {
            loop {
                let (event, over) = match stream.read_u8().await {
                    Ok(RETIRE) => (Some(Event::Retire), false),
                    Ok(STOP) => (Some(Event::Stop), false),
                    Ok(REOPEN) => {
                        self.reopen();
                        (None, false)
                    }
                    Ok(byte) => (signal_of(byte).map(Event::Signal), false),
                    Err(_) => (Some(Event::Signal(Signal::Term)), true),
                };
                if let Some(event) = event {
                    let message = Message { event, at: now() };
                    // A few bytes in a worker's life: none of them is dropped, as a flood of signals may be.
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::Shutdown,
        thread,
    };

    #[tokio::test]
    async fn bytes_are_events_and_the_end_is_the_clusters() {
        let (mut master, worker) = StdUnixStream::pair().unwrap();
        let control = Control::new(worker.into());
        let (messages, mut inbox) = mpsc::channel(1);
        let hearing = tokio::spawn(control.clone().listen(messages).unwrap());
        master.write_all(b"R\x02L?\x00").unwrap();
        master.shutdown(Shutdown::Write).unwrap();
        let mut events = Vec::new();
        while let Some(Message { event, .. }) = inbox.recv().await {
            events.push(event);
        }
        let term = Event::Signal(Signal::Term);
        assert_eq!(events, [Event::Retire, Event::Signal(Signal::Int), term, term]);
        hearing.await.unwrap();
        assert_eq!(control.await_reopen(0, &Parker::new()), Some(1));
        control.tell("drain\n");
        let mut line = [0; 6];
        master.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"drain\n");
    }

    #[test]
    fn a_master_that_reads_nothing_is_not_waited_for() {
        let (master, worker) = StdUnixStream::pair().unwrap();
        let control = Control::new(worker.into());
        for _ in 0..100_000 {
            control.tell("drain\n");
        }
        drop(master);
        control.tell("drain\n");
    }

    #[test]
    fn a_thread_that_waits_hears_of_each_time_that_logs_are_to_be_opened() {
        let (_master, worker) = StdUnixStream::pair().unwrap();
        let control = Control::new(worker.into());
        let parker = Parker::new();
        parker.unparker().unpark();
        assert_eq!(control.await_reopen(0, &parker), None);
        let waiting = control.clone();
        let waiting = thread::spawn(move || waiting.await_reopen(0, &Parker::new()));
        control.reopen();
        assert!(waiting.join().unwrap() >= Some(1));
        control.reopen();
        assert_eq!(control.await_reopen(1, &parker), Some(2), "it was not waiting");
    }
}
