//! The way from a stream to h2: as much at a time as the client's window and the socket take.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

use super::{
    super::state::ConnectionState,
    outgoing::{Ledger, PIECE, Piece, Room},
    stream::End,
};

/// Gives h2 what a stream has to send.
pub(super) struct Outlet {
    stream: SendStream<Piece>,
    ledger: Arc<Ledger>,
    /// What h2 has not got yet.
    chunk: Bytes,
}

/// What has become of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// h2 has all of it, and there may be more.
    All,
    /// h2 has all of it, and it was the last.
    Last,
    /// The stream is no more.
    Nothing,
}

impl Outlet {
    pub(super) fn new(stream: SendStream<Piece>, state: Arc<ConnectionState>, room: Arc<Room>) -> Self {
        Self { stream, ledger: Ledger::new(state, room), chunk: Bytes::new() }
    }

    /// How far its bytes are.
    pub(super) fn given(&self) -> &Ledger {
        &self.ledger
    }

    /// How many bytes there are that the socket has not taken.
    pub(super) fn unsent(&self) -> usize {
        self.chunk.len() + self.ledger.unwritten()
    }

    /// There is nothing to give for now.
    pub(super) fn is_idle(&self) {
        self.ledger.is_idle();
    }

    /// The next chunk, once all before it is given.
    pub(super) fn give(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Gives the chunk to h2. `is_last`: nothing follows it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_last: bool) -> Poll<Given> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Given::Nothing);
        }
        while !self.chunk.is_empty() {
            let window = match self.poll_window(cx) {
                Poll::Ready(Some(window)) => window,
                Poll::Ready(None) => return Poll::Ready(Given::Nothing),
                Poll::Pending => {
                    self.ledger.is_stuck();
                    return Poll::Pending;
                }
            };
            let Some(piece) = self.ledger.piece(&mut self.chunk, window, cx.waker()) else {
                self.ledger.is_stuck();
                return Poll::Pending;
            };
            self.ledger.goes_on();
            let last = is_last && self.chunk.is_empty();
            if self.stream.send_data(piece, last).is_err() {
                return Poll::Ready(Given::Nothing);
            }
            if last {
                return Poll::Ready(Given::Last);
            }
        }
        Poll::Ready(Given::All)
    }

    /// How much of the chunk the client takes; `None` where the stream is no more.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        // No more than is given at a time: what one stream has asked for, the others do not get.
        self.stream.reserve_capacity(self.chunk.len().min(PIECE));
        match self.stream.capacity() {
            0 => Poll::Ready(ready!(self.stream.poll_capacity(cx)).and_then(Result::ok)),
            window => Poll::Ready(Some(window)),
        }
    }

    /// Ends the stream, behind all that was given.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) -> End {
        let ended = match trailers {
            // Fields that HTTP/2 does not have are left out, all together.
            Some(trailers) => {
                self.stream.send_trailers(trailers).or_else(|_| self.stream.send_data(Piece::default(), true))
            }
            None => self.stream.send_data(Piece::default(), true),
        };
        if ended.is_ok() { End::Given } else { End::Abandoned }
    }
}
