//! A relay: lines on their way through the interpreter, where the app has a formatter or a logger of its own.
//!
//! The thread of an [`Output`](super::output::Output) passes the lines on that it is about to write, and waits for what the interpreter
//! makes of them. Nothing else waits: what the output has no room for meanwhile is lost and counted as ever. While no thread of
//! the interpreter attends the relay, and once it is closed, the lines are written as they are.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crossbeam_channel::{Sender, bounded};

use crate::sync::{Parker, Unparker};

/// The relay of one server's logs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Relay(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The process whose thread attends the relay; 0 for none. A child that the app has forked has no such thread, and the lock may be
    /// held there by one that is not there either: no child takes it.
    attended_in: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What outputs have passed on and no thread has taken yet: one batch for each output at most.
    waiting: VecDeque<Batch>,
    /// Where the reply to the batch goes that a thread has taken.
    taken: Option<Sender<Option<Vec<u8>>>>,
    /// The thread that waits for the next.
    thread: Option<Unparker>,
    closed: bool,
}

#[derive(Debug)]
struct Batch {
    lines: Vec<RelayedLine>,
    reply: Sender<Option<Vec<u8>>>,
}

/// A line, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedLine {
    /// What it is about.
    pub kind: LineKind,
    /// The text, with the end of its last line.
    pub text: Vec<u8>,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// What the server does.
    Event,
    /// What is wrong.
    Error,
    /// A request.
    Access,
}

/// What a thread of the interpreter finds.
#[derive(Debug, PartialEq, Eq)]
pub enum NextLines {
    /// Lines, for [`Relay::reply`].
    Lines(Vec<RelayedLine>),
    /// The thread was woken for something else.
    Nothing,
    /// There will be none any more.
    Over,
}

impl Relay {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_attended(&self) -> bool {
        self.0.attended_in.load(Relaxed) == std::process::id()
    }

    /// From now on lines wait for the calling process's thread, which is about to ask for the [`next`](Self::next).
    pub fn open(&self) {
        self.state().closed = false;
        self.0.attended_in.store(std::process::id(), Relaxed);
    }

    /// Lines are written as they are from now on, and so are those that wait.
    pub fn close(&self) {
        if !self.is_attended() {
            return;
        }
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        state.taken = None;
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    /// Whether lines are to be passed on.
    pub(super) fn is_open(&self) -> bool {
        self.is_attended() && !self.state().closed
    }

    /// Passes lines on, and waits for what is to be written in their place; `None`: they are to be written as they are.
    pub(super) fn pass(&self, lines: Vec<RelayedLine>) -> Option<Vec<u8>> {
        if !self.is_attended() {
            return None;
        }
        let (reply, replied) = bounded(1);
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.waiting.push_back(Batch { lines, reply });
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
        // The sender is dropped where the relay is closed, or the thread has ended.
        replied.recv().ok().flatten()
    }

    /// The next lines; waits for some until `parker` is woken. A thread that asks without having replied to the last has lost them: they
    /// are written as they are.
    pub fn next(&self, parker: &Parker) -> NextLines {
        let mut state = self.state();
        state.taken = None;
        if let Some(next) = state.take() {
            return next;
        }
        let unparker = parker.unparker();
        state.thread = Some(unparker.clone());
        drop(state);
        parker.park();
        let mut state = self.state();
        // Another thread may have taken this one's place meanwhile.
        state.thread.take_if(|thread| thread.is_same_as(&unparker));
        state.take().unwrap_or(NextLines::Nothing)
    }

    /// Has `text` written in the place of the lines that were taken; `None` has them written as they are.
    pub fn reply(&self, text: Option<Vec<u8>>) {
        if let Some(reply) = self.state().taken.take() {
            // There is room for the one reply, and the output waits for it.
            let _ = reply.try_send(text);
        }
    }
}

impl State {
    fn take(&mut self) -> Option<NextLines> {
        if let Some(Batch { lines, reply }) = self.waiting.pop_front() {
            self.taken = Some(reply);
            return Some(NextLines::Lines(lines));
        }
        self.closed.then_some(NextLines::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn event(text: &str) -> Vec<RelayedLine> {
        vec![RelayedLine { kind: LineKind::Event, text: text.into() }]
    }

    /// Passes a line on in a thread of its own.
    fn passing(relay: &Relay, text: &'static str) -> thread::JoinHandle<Option<Vec<u8>>> {
        let relay = relay.clone();
        thread::spawn(move || relay.pass(event(text)))
    }

    fn next(relay: &Relay, parker: &Parker) -> NextLines {
        loop {
            match relay.next(parker) {
                NextLines::Nothing => {}
                next => return next,
            }
        }
    }

    #[test]
    fn lines_wait_for_what_the_interpreter_makes_of_them() {
        let (relay, parker) = (Relay::default(), Parker::new());
        assert_eq!(relay.pass(event("early\n")), None, "no thread attends");
        relay.open();
        for (text, reply) in [("one\n", Some(b"ONE\n".to_vec())), ("two\n", None), ("three\n", Some(Vec::new()))] {
            let passed = passing(&relay, text);
            assert_eq!(next(&relay, &parker), NextLines::Lines(event(text)));
            relay.reply(reply.clone());
            assert_eq!(passed.join().unwrap(), reply);
        }
    }

    /// Ruby frees the server at the end of a child that the app has forked, where the lock may be another process's thread's.
    #[test]
    fn a_child_waits_for_no_lock_of_its_parent() {
        let relay = Relay::default();
        relay.open();
        let parent = relay.0.attended_in.swap(0, Relaxed);
        let _held = relay.0.state.try_lock().unwrap();
        let (child, (done, is_done)) = (relay.clone(), std::sync::mpsc::channel());
        thread::spawn(move || {
            child.close();
            done.send((child.is_open(), child.pass(event("x\n")))).unwrap();
        });
        assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(20)).unwrap(), (false, None));
        assert_eq!(parent, std::process::id());
    }

    #[test]
    fn lines_that_a_thread_has_lost_are_written_as_they_are() {
        let (relay, parker) = (Relay::default(), Parker::new());
        relay.open();
        let (first, second) = (passing(&relay, "x\n"), passing(&relay, "x\n"));
        assert_eq!(next(&relay, &parker), NextLines::Lines(event("x\n")));
        assert_eq!(next(&relay, &parker), NextLines::Lines(event("x\n")));
        relay.reply(Some(b"y\n".to_vec()));
        let mut both = [first.join().unwrap(), second.join().unwrap()];
        both.sort();
        assert_eq!(both, [None, Some(b"y\n".to_vec())]);
    }

    #[test]
    fn what_waits_when_the_relay_is_closed_is_written_as_it_is() {
        let (relay, parker) = (Relay::default(), Parker::new());
        relay.open();
        let taken = passing(&relay, "x\n");
        assert_eq!(next(&relay, &parker), NextLines::Lines(event("x\n")));
        let waiting = passing(&relay, "y\n");
        while relay.state().waiting.is_empty() {
            thread::yield_now();
        }
        relay.close();
        assert_eq!((taken.join().unwrap(), waiting.join().unwrap()), (None, None));
        relay.reply(Some(b"too late\n".to_vec()));
        assert_eq!(next(&relay, &parker), NextLines::Over);
        assert_eq!(relay.pass(event("z\n")), None);
    }

    /// A thread that waits hears of both.
    #[test]
    fn a_thread_that_waits_is_woken_by_lines_and_by_the_end() {
        let relay = Relay::default();
        relay.open();
        let attending = {
            let relay = relay.clone();
            thread::spawn(move || {
                let parker = Parker::new();
                let mut seen = 0;
                while let NextLines::Lines(_) = next(&relay, &parker) {
                    seen += 1;
                    relay.reply(Some(b"seen\n".to_vec()));
                }
                seen
            })
        };
        for _ in 0..100 {
            assert_eq!(relay.pass(event("x\n")), Some(b"seen\n".to_vec()));
        }
        relay.close();
        assert_eq!(attending.join().unwrap(), 100);
    }
}
