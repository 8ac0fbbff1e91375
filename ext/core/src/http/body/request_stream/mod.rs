//! A request body handed to the app while it arrives: a channel from the connection to the app's thread, bounded in
//! bytes, so that a client that is faster than the app is held back by TCP instead of filling memory.

use std::{
    collections::VecDeque,
    error::Error,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::Poll,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use super::{
    Budget,
    buffered::BodyLimits,
    pieces::{Pieces, ReadError},
};
use crate::sync::Unparker;

/// How many bytes may wait for the app. One piece larger than this still passes.
const WINDOW: usize = 256 * 1024;

/// The app's end of a body that is still arriving. When it is dropped or [closed](Self::close), the rest is not received.
#[derive(Debug)]
pub struct RequestStream(Arc<Mutex<Stream>>);

/// What there is to read next.
#[derive(Debug, PartialEq, Eq)]
pub enum NextPiece {
    /// The next bytes, never none.
    Piece(Bytes),
    /// Nothing yet; the app's thread is unparked when there is more to say.
    Nothing,
    /// The body is whole, and read.
    Whole,
    /// The rest will not come.
    Broken(ReadError),
    /// The program has [closed](RequestStream::close) the stream.
    Closed,
}

#[derive(Debug, Default)]
struct Stream {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<(), ReadError>>,
    /// What came behind the body.
    trailers: Option<HeaderMap>,
    /// The app has asked for the first piece.
    wanted: bool,
    /// The app wants no more.
    closed: bool,
    /// What the pieces are counted in until the app has read them.
    budget: Option<Arc<Budget>>,
    /// The app's threads that wait for the next piece.
    readers: Vec<Unparker>,
    /// The task that receives, where it waits for room.
    receiver: Option<std::task::Waker>,
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    // No code that can panic runs under this lock.
    stream.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl RequestStream {
    /// Begins to receive `incoming`, on a task of its own. With `waits_for_continue`, which is for clients that wait for
    /// `100 Continue`, only when the app first asks.
    pub(crate) fn of<B>(incoming: B, terms: BodyLimits, waits_for_continue: bool) -> Self
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin + Send + 'static,
    {
        let budget = Some(terms.budget.clone());
        let stream = Arc::new(Mutex::new(Stream { wanted: !waits_for_continue, budget, ..Stream::default() }));
        let receiving = stream.clone();
        tokio::spawn(async move {
            // Where the task is dropped in the middle, with the server, the app is told.
            let unfinished = Unfinished(&receiving);
            let end = receive(&receiving, Pieces::new(incoming, &terms)).await;
            finish(&receiving, end);
            drop(unfinished);
        });
        Self(stream)
    }

    /// For the connection, to end the body when the connection ends.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        AbortHandle(Arc::downgrade(&self.0))
    }

    /// The next piece, if it is there. Of several threads that ask, one gets it.
    pub fn next(&self, unparker: &Unparker) -> NextPiece {
        let mut state = lock(&self.0);
        if state.closed {
            return NextPiece::Closed;
        }
        let Some(piece) = state.pieces.pop_front() else {
            match state.end {
                Some(Ok(())) => return NextPiece::Whole,
                Some(Err(error)) => return NextPiece::Broken(error),
                None => {}
            }
            if !state.readers.iter().any(|reader| reader.is_of_same_parker(unparker)) {
                state.readers.push(unparker.clone());
            }
            if !std::mem::replace(&mut state.wanted, true) {
                wake_receiver(state);
            }
            return NextPiece::Nothing;
        };
        state.bytes -= piece.len();
        if state.bytes <= WINDOW / 2 {
            wake_receiver(state);
        }
        NextPiece::Piece(piece)
    }

    /// Ends the app's interest: the rest is not received, and threads that wait for it are told.
    pub fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        state.pieces.clear();
        let (readers, receiver) = (std::mem::take(&mut state.readers), state.receiver.take());
        drop(state);
        readers.iter().for_each(Unparker::unpark);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// What the client has sent behind the body (RFC 9110 §6.5), once [`next`](Self::next) has said that it is whole; only once.
    pub fn take_trailers(&self) -> Option<HeaderMap> {
        let mut state = lock(&self.0);
        if state.pieces.is_empty() && state.end == Some(Ok(())) { state.trailers.take() } else { None }
    }
}

/// Ends a body with its connection. To hyper's body, a connection that is dropped looks like the end of the request.
#[derive(Debug)]
pub(crate) struct AbortHandle(Weak<Mutex<Stream>>);

impl AbortHandle {
    /// Ends the body: what has not arrived never will. Returns whether anything was missing. A body that is whole stays so.
    pub(crate) fn abort(self) -> bool {
        self.0.upgrade().is_some_and(|stream| finish(&stream, Err(ReadError::Lost)))
    }
}

/// Sets how the body has ended, unless that is set. Returns whether it was not.
fn finish(stream: &Mutex<Stream>, end: Result<(), ReadError>) -> bool {
    let mut state = lock(stream);
    let open = state.end.is_none();
    state.end.get_or_insert(end);
    wake_readers(state);
    open
}

/// A body that is being received. It is lost when this is dropped and nothing else was said.
struct Unfinished<'a>(&'a Mutex<Stream>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        finish(self.0, Err(ReadError::Lost));
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes pieces on until the body or the app's interest ends.
async fn receive<B>(stream: &Mutex<Stream>, mut pieces: Pieces<B>) -> Result<(), ReadError>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    while has_room(stream).await {
        let received = tokio::select! {
            received = pieces.next() => received,
            () = closed(stream) => return Err(ReadError::Lost),
        };
        match received? {
            None => {
                lock(stream).trailers = pieces.take_trailers();
                return Ok(());
            }
            Some(piece) if piece.is_empty() => {}
            Some(piece) => {
                let mut state = lock(stream);
                state.bytes += piece.len();
                let piece = match &state.budget {
                    Some(budget) => budget.count_request(piece),
                    None => piece,
                };
                state.pieces.push_back(piece);
                wake_readers(state);
            }
        }
    }
    Err(ReadError::Lost)
}

/// Waits for room; false when the app wants no more.
async fn has_room(stream: &Mutex<Stream>) -> bool {
    poll_fn(|cx| {
        let mut state = lock(stream);
        if state.closed {
            return Poll::Ready(false);
        }
        // Where the server has no room, one piece at a time.
        let over_budget = state.budget.as_ref().is_some_and(|budget| budget.is_over());
        if state.wanted && state.bytes < if over_budget { 1 } else { WINDOW } {
            return Poll::Ready(true);
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// Resolves when the app wants no more.
async fn closed(stream: &Mutex<Stream>) {
    poll_fn(|cx| {
        let mut state = lock(stream);
        if state.closed {
            return Poll::Ready(());
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

fn wake_readers(mut state: MutexGuard<'_, Stream>) {
    let readers = std::mem::take(&mut state.readers);
    drop(state);
    readers.iter().for_each(Unparker::unpark);
}

fn wake_receiver(mut state: MutexGuard<'_, Stream>) {
    let receiver = state.receiver.take();
    drop(state);
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

#[cfg(test)]
mod tests;
