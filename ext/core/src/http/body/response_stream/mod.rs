//! A response body sent while it is made: a channel from the app's thread to the connection, bounded in bytes, so
//! that a slow reader holds the app back instead of filling memory. Until the first of it has come, the response may be
//! recalled, and another one sent in its place.

mod receiver;
mod sender;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::HeaderMap;

pub(crate) use self::receiver::{BodyReceiver, Start};
pub use self::sender::{BodySender, SendError};
use super::Budget;
use crate::sync::Unparker;

/// How many bytes may wait between the app and the socket. One chunk larger than this still passes.
const STREAM_WINDOW: usize = 256 * 1024;

/// How many bytes past the declared length are dropped and counted before the app is told to stop.
const EXCESS: u64 = 64 * 1024;

/// A response body whose chunks are sent as they are made.
pub(crate) fn channel() -> (BodySender, BodyReceiver) {
    let stream = Arc::new(Mutex::new(Stream::default()));
    (BodySender::new(stream.clone()), BodyReceiver::new(stream))
}

#[derive(Debug, Default)]
struct Stream {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: End,
    /// What goes out behind the body.
    trailers: Option<HeaderMap>,
    reader: Reader,
    /// What the chunks are counted in, once the response has begun.
    budget: Option<Arc<Budget>>,
    /// The app's threads that wait for room.
    senders: Vec<Unparker>,
    /// The head goes out, or has gone out.
    begun: bool,
    /// Bytes that the app has given, whether they are sent or not.
    offered: u64,
    expected: Option<Expected>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Finished,
    Aborted,
    /// Another response takes its place.
    Recalled,
}

#[derive(Debug, Default)]
enum Reader {
    #[default]
    Busy,
    Waiting(std::task::Waker),
    /// It has all the bytes that the head has declared.
    Satisfied,
    Gone,
}

/// The length that the head declares, and what is called with the real one when that differs.
struct Expected {
    declared: u64,
    wrong: Box<dyn FnOnce(u64) + Send>,
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expected({})", self.declared)
    }
}

impl Stream {
    /// What is to be called with the real length, once the body is over.
    fn wrong_length(&mut self) -> Option<(Expected, u64)> {
        let offered = self.offered;
        self.expected.take_if(|expected| expected.declared != offered).map(|expected| (expected, offered))
    }

    /// Whether there is room for a chunk of that length. Where the server is over its budget, only if the connection would send
    /// it at once, or put it into a file.
    fn takes(&self, length: usize) -> bool {
        if self.budget.as_ref().is_some_and(|budget| budget.is_over()) {
            return self.bytes == 0 && matches!(self.reader, Reader::Waiting(_));
        }
        self.bytes == 0 || self.bytes + length <= STREAM_WINDOW
    }
}

fn tell(wrong: Option<(Expected, u64)>) {
    if let Some((expected, offered)) = wrong {
        (expected.wrong)(offered);
    }
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    // No code that can panic runs under this lock.
    stream.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn wake_reader(mut state: MutexGuard<'_, Stream>) {
    if let Reader::Waiting(task) = &state.reader {
        let task = task.clone();
        state.reader = Reader::Busy;
        drop(state);
        task.wake();
    }
}

#[cfg(test)]
mod tests;
