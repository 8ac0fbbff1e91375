//! The app's side of a streamed response body.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;

use super::{EXCESS, End, Reader, Stream, lock, tell, wake_reader};
use crate::sync::Unparker;

/// Takes the chunks of a response body. Dropped without [`finish`](Self::finish), it aborts the response, so that a truncated body
/// never looks whole.
#[derive(Debug)]
pub struct BodySender(Option<Arc<Mutex<Stream>>>);

/// Why a chunk was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client is slower than the app; the chunk is given back. The `unparker` given to
    /// [`BodySender::try_send`] is used when there is room.
    Full(Bytes),
    /// The client has gone, or the server has cut the response: nothing more will be taken.
    Gone,
    /// The response has long had all the bytes that its head declares.
    TooLong,
}

impl BodySender {
    pub(super) fn new(stream: Arc<Mutex<Stream>>) -> Self {
        Self(Some(stream))
    }

    /// Hands over one chunk, which is on its way to the client when this returns.
    ///
    /// # Errors
    ///
    /// [`SendError`]. Empty chunks are ignored.
    pub fn try_send(&self, chunk: Bytes, unparker: &Unparker) -> Result<(), SendError> {
        let Some(stream) = &self.0 else { return Err(SendError::Gone) };
        let mut state = lock(stream);
        if matches!(state.reader, Reader::Gone) || state.end != End::Open {
            return Err(SendError::Gone);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if matches!(state.reader, Reader::Satisfied) {
            state.offered += chunk.len() as u64;
            let allowed = state.expected.as_ref().map_or(0, |expected| expected.declared + EXCESS);
            return if state.offered > allowed { Err(SendError::TooLong) } else { Ok(()) };
        }
        if !state.takes(chunk.len()) {
            state.senders.push(unparker.clone());
            return Err(SendError::Full(chunk));
        }
        state.bytes += chunk.len();
        let chunk = match &state.budget {
            Some(budget) => budget.count(chunk),
            None => chunk,
        };
        state.offered += chunk.len() as u64;
        state.chunks.push_back(chunk);
        wake_reader(state);
        Ok(())
    }

    /// Has the head go out now, if it waits for the first of the body.
    pub fn begin(&self) {
        if let Some(stream) = &self.0 {
            let mut state = lock(stream);
            state.begun = true;
            wake_reader(state);
        }
    }

    /// Takes the response back, head and all. Returns whether it was in time.
    pub(crate) fn recall(&self) -> bool {
        let Some(stream) = &self.0 else { return false };
        let mut state = lock(stream);
        let in_time = !state.begun
            && state.chunks.is_empty()
            && state.end == End::Open
            && !matches!(state.reader, Reader::Gone | Reader::Satisfied);
        if in_time {
            state.end = End::Recalled;
            wake_reader(state);
        }
        in_time
    }

    /// Whether the connection takes no more.
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(|stream| matches!(lock(stream).reader, Reader::Gone))
    }

    /// Ends the body: it is whole.
    pub fn finish(mut self) {
        self.end(End::Finished);
    }

    /// Ends the body: it is whole, and these fields are sent behind it (RFC 9110 §6.5) if the client's HTTP has room for them there.
    /// That is not so in HTTP/1 where the head declares a length, or does not name them in `Trailer`.
    pub fn finish_with_trailers(mut self, trailers: HeaderMap) {
        if let Some(stream) = &self.0 {
            lock(stream).trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        }
        self.end(End::Finished);
    }

    fn end(&mut self, end: End) {
        if let Some(stream) = self.0.take() {
            let mut state = lock(&stream);
            if state.end != End::Open {
                return;
            }
            state.end = end;
            state.senders.clear();
            let over = end == End::Finished || matches!(state.reader, Reader::Satisfied);
            let wrong = if over { state.wrong_length() } else { None };
            wake_reader(state);
            tell(wrong);
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.end(End::Aborted);
    }
}
