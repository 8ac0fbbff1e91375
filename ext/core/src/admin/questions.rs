//! Questions that clients of the admin listener have for the interpreter: what its threads are doing, what its collector has done,
//! whether it restarts. A thread of the interpreter takes them one after another; the I/O thread waits for the reply, and for no
//! longer than it likes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::oneshot;

use crate::sync::{Parker, Unparker};

/// How many may be unanswered at a time.
const MOST: usize = 8;

/// The questions of one server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Questions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Those that no thread has taken yet, the oldest first.
    waiting: VecDeque<(u64, &'static str)>,
    /// Where the replies go, of those that wait and those that a thread has taken.
    replies: Vec<(u64, oneshot::Sender<Reply>)>,
    last_id: u64,
    /// The thread that waits for the next.
    thread: Option<Unparker>,
    /// Whether a thread has ever asked for one.
    attended: bool,
    closed: bool,
}

/// The interpreter's reply to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done, or known: a JSON text.
    Done(String),
    /// This server does not have that command.
    Unavailable,
    /// It could not be done: a sentence.
    Failed(String),
}

/// What a thread of the interpreter finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextQuestion {
    /// The number of the question, for [`Questions::answer`], and its name.
    Question(u64, &'static str),
    /// The thread was woken for something else.
    Nothing,
    /// There will be none any more.
    Over,
}

/// Why a question is not put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// No thread answers questions.
    Unattended,
    /// [`MOST`] are unanswered.
    Full,
}

impl Questions {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a question. A client that stops waiting drops the receiver, and takes its question back.
    pub(super) fn ask(&self, name: &'static str) -> Result<oneshot::Receiver<Reply>, NotAsked> {
        let mut state = self.state();
        if !state.attended || state.closed {
            return Err(NotAsked::Unattended);
        }
        state.replies.retain(|(_, reply)| !reply.is_closed());
        if state.replies.len() >= MOST {
            return Err(NotAsked::Full);
        }
        state.last_id += 1;
        let id = state.last_id;
        let (reply, replied) = oneshot::channel();
        state.replies.push((id, reply));
        state.waiting.push_back((id, name));
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
        Ok(replied)
    }

    /// The next question that a client still waits for; waits for one until `parker` is woken.
    pub fn next(&self, parker: &Parker) -> NextQuestion {
        let mut state = self.state();
        state.attended = true;
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
        state.take().unwrap_or(NextQuestion::Nothing)
    }

    /// Replies to the question of that number. Without effect when its client waits no longer.
    pub fn answer(&self, id: u64, answer: Reply) {
        let mut state = self.state();
        let found = state.replies.iter().position(|(other, _)| *other == id);
        let reply = found.map(|index| state.replies.swap_remove(index).1);
        drop(state);
        if let Some(reply) = reply {
            // The client may have gone just now.
            let _ = reply.send(answer);
        }
    }

    /// Ends them: the thread that waits for one hears that it is over, and clients get no reply any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        state.replies.clear();
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }
}

impl State {
    fn take(&mut self) -> Option<NextQuestion> {
        while let Some((id, name)) = self.waiting.pop_front() {
            if self.replies.iter().any(|(other, reply)| *other == id && !reply.is_closed()) {
                return Some(NextQuestion::Question(id, name));
            }
        }
        self.closed.then_some(NextQuestion::Over)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn attended() -> Questions {
        let (questions, parker) = (Questions::default(), Parker::new());
        parker.unparker().unpark();
        assert_eq!(questions.next(&parker), NextQuestion::Nothing);
        questions
    }

    fn question(questions: &Questions) -> (u64, &'static str) {
        match questions.next(&Parker::new()) {
            NextQuestion::Question(id, name) => (id, name),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_thread_takes_them_in_turn_and_each_client_gets_its_own_reply() {
        let questions = attended();
        let (mut first, mut second) = (questions.ask("gc").unwrap(), questions.ask("gc-stats").unwrap());
        let ((one, name), (two, other)) = (question(&questions), question(&questions));
        assert_eq!((name, other), ("gc", "gc-stats"));
        questions.answer(two, Reply::Done("2".into()));
        questions.answer(one, Reply::Failed("1".into()));
        questions.answer(one, Reply::Unavailable);
        assert_eq!(first.try_recv(), Ok(Reply::Failed("1".into())));
        assert_eq!(second.try_recv(), Ok(Reply::Done("2".into())));
    }

    #[test]
    fn a_waiting_thread_wakes_for_a_question_and_for_the_end() {
        let questions = attended();
        let asked = questions.clone();
        let thread = thread::spawn(move || {
            let first = loop {
                match asked.next(&Parker::new()) {
                    NextQuestion::Nothing => {}
                    other => break other,
                }
            };
            (first, asked.next(&Parker::new()))
        });
        let reply = questions.ask("gc").unwrap();
        // Taken, or still to be taken: the end comes after it.
        while questions.state().waiting.front().is_some() {
            thread::yield_now();
        }
        questions.close();
        let (first, last) = thread.join().unwrap();
        assert!(matches!(first, NextQuestion::Question(_, "gc")), "{first:?}");
        assert_eq!(last, NextQuestion::Over);
        assert!(reply.blocking_recv().is_err());
    }

    #[test]
    fn what_no_client_waits_for_is_not_asked_and_takes_no_place() {
        let questions = attended();
        for _ in 0..2 * MOST {
            drop(questions.ask("gc").unwrap());
        }
        let kept: Vec<_> = (0..MOST).map(|_| questions.ask("gc-stats").unwrap()).collect();
        assert_eq!(questions.ask("gc").unwrap_err(), NotAsked::Full);
        assert_eq!(question(&questions).1, "gc-stats");
        drop(kept);
        assert!(questions.ask("gc").is_ok());
    }

    #[test]
    fn nothing_is_asked_where_no_thread_answers() {
        let questions = Questions::default();
        assert_eq!(questions.ask("gc").unwrap_err(), NotAsked::Unattended);
        let questions = attended();
        questions.close();
        assert_eq!(questions.ask("gc").unwrap_err(), NotAsked::Unattended);
    }
}
