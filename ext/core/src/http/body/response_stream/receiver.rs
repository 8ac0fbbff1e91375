//! The connection's side of a streamed response body.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

use super::{End, Expected, Reader, STREAM_WINDOW, Stream, lock, tell};
use crate::{
    http::body::{Aborted, Budget},
    sync::Unparker,
};

/// Gives the chunks of a response body to the connection.
#[derive(Debug)]
pub struct BodyReceiver(Arc<Mutex<Stream>>);

/// What becomes of a response that waits for the first of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Its head goes out.
    Begins,
    /// Another response takes its place.
    Recalled,
    /// The app dropped the sender without a chunk and without an end.
    Failed,
}

impl BodyReceiver {
    pub(super) fn new(stream: Arc<Mutex<Stream>>) -> Self {
        Self(stream)
    }

    /// Counts in `budget` what waits here now and later, until the connection has written it.
    pub(crate) fn count_in(&self, budget: &Arc<Budget>) {
        let mut state = lock(&self.0);
        for chunk in &mut state.chunks {
            *chunk = budget.count(std::mem::take(chunk));
        }
        state.budget = Some(budget.clone());
    }

    /// Waits until it is known what becomes of the response.
    pub(crate) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Start> {
        let mut state = lock(&self.0);
        if state.end == End::Open && !state.begun && state.chunks.is_empty() {
            state.reader = Reader::Waiting(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(start(&mut state))
    }

    /// Says what becomes of the response, which has waited for long enough.
    pub(crate) fn start(&mut self) -> Start {
        start(&mut lock(&self.0))
    }

    /// The head declares a length. When the body is over and has another, `wrong` is called with that, on the thread that
    /// ends it.
    pub(crate) fn expect(&self, declared: u64, wrong: impl FnOnce(u64) + Send + 'static) {
        let mut state = lock(&self.0);
        state.expected = Some(Expected { declared, wrong: Box::new(wrong) });
        let wrong = if state.end == End::Finished { state.wrong_length() } else { None };
        drop(state);
        tell(wrong);
    }

    /// The client has all that was declared: the app may go on to its end, and what it still gives is dropped.
    pub(crate) fn satisfied(&self) {
        let mut state = lock(&self.0);
        state.reader = Reader::Satisfied;
        state.chunks.clear();
        state.bytes = 0;
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.iter().for_each(Unparker::unpark);
    }

    /// What goes out behind the body, once that is over; only once.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        let mut state = lock(&self.0);
        if state.end == End::Finished && state.chunks.is_empty() { state.trailers.take() } else { None }
    }

    /// The next chunk; `None` after a finished body.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let mut state = lock(&self.0);
        let Some(chunk) = state.chunks.pop_front() else {
            return match state.end {
                End::Finished => Poll::Ready(None),
                End::Aborted | End::Recalled => Poll::Ready(Some(Err(Aborted))),
                End::Open => {
                    state.reader = Reader::Waiting(cx.waker().clone());
                    // A thread may wait for just this, where the server is over its budget.
                    let senders = std::mem::take(&mut state.senders);
                    drop(state);
                    senders.iter().for_each(Unparker::unpark);
                    Poll::Pending
                }
            };
        };
        state.bytes -= chunk.len();
        if state.bytes <= STREAM_WINDOW / 2 && !state.senders.is_empty() {
            let senders = std::mem::take(&mut state.senders);
            drop(state);
            senders.iter().for_each(Unparker::unpark);
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

fn start(state: &mut Stream) -> Start {
    match state.end {
        End::Recalled => Start::Recalled,
        End::Aborted if !state.begun && state.chunks.is_empty() => Start::Failed,
        End::Open | End::Finished | End::Aborted => {
            state.begun = true;
            Start::Begins
        }
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        if matches!(state.reader, Reader::Satisfied) {
            return;
        }
        state.reader = Reader::Gone;
        state.chunks.clear();
        state.bytes = 0;
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.iter().for_each(Unparker::unpark);
    }
}
