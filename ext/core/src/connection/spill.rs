//! A response that may be long, on its way to a client that may be slow. As long as the server's bodies are within their
//! [budget](Budget), hyper gets it as it comes. Beyond it, hyper gets one piece at a time; and what the client does not take at
//! once goes to an unlinked file, so that neither memory nor a Ruby thread waits for it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};

use super::{Shared, output::WriteProgress, state::ConnectionState};
use crate::http::body::{Aborted, Budget, Failed, Overflow, ResponseBody};

/// A body up to this size is not counted, and goes to hyper whole: a connection's own buffers are larger.
const SMALL: u64 = 16 * 1024;
/// The same on a stream, of which a connection may have many.
const SMALL_ON_STREAM: u64 = 1024;

/// What a connection has in memory of a response beyond the budget.
const PIECE: usize = 64 * 1024;

/// How much of a response that the app is still making may go to the file. Beyond it, the app waits for the client.
const STREAM_MAX: u64 = 64 * 1024 * 1024;

/// What hyper gets; `None` is the end.
type NextFrame = Option<Result<Bytes, Aborted>>;

/// Stands between a body and hyper.
#[derive(Debug)]
pub(super) struct Spill {
    shared: Arc<Shared>,
    state: Arc<ConnectionState>,
    /// Taken from the body and not given to hyper yet. Older than what is in the body, newer than what is in the file.
    next: VecDeque<Bytes>,
    /// The first of these is the rest of a larger chunk.
    divided: bool,
    overflow: Overflow,
    /// The overflow could not be written.
    no_file: bool,
}

impl Spill {
    /// `None` for a body that needs none of this.
    pub(super) fn of(
        body: &mut ResponseBody,
        shared: &Arc<Shared>,
        state: &Arc<ConnectionState>,
        on_stream: bool,
    ) -> Option<Box<Self>> {
        let length = body.length();
        let small = if on_stream { SMALL_ON_STREAM } else { SMALL };
        match body {
            ResponseBody::Empty => return None,
            _ if length.is_some_and(|length| length <= small) => return None,
            ResponseBody::Full(bytes) => *bytes = shared.bounds.bodies.count(std::mem::take(bytes)),
            ResponseBody::Parts(parts) => {
                parts.iter_mut().for_each(|part| *part = shared.bounds.bodies.count(std::mem::take(part)));
            }
            ResponseBody::File(_) => {}
            ResponseBody::Stream(stream) => stream.count_in(&shared.bounds.bodies),
        }
        Some(Box::new(Self {
            shared: shared.clone(),
            state: state.clone(),
            next: VecDeque::new(),
            divided: false,
            overflow: Overflow::default(),
            no_file: false,
        }))
    }

    /// Whether it holds nothing: what is to come is in the body.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.overflow.is_empty()
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.shared.bounds.bodies
    }

    /// The next piece for hyper.
    pub(super) fn poll_next(&mut self, body: &mut ResponseBody, cx: &mut Context<'_>) -> Poll<NextFrame> {
        loop {
            match ready!(self.overflow.poll_done(cx)) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(self.give(piece)),
                Err(failed) => {
                    let kept = self.keep(failed);
                    if !kept {
                        return Poll::Ready(Some(Err(Aborted)));
                    }
                }
            }
            if self.is_empty() && !self.budget().is_over() {
                match ready!(poll_body(body, cx)) {
                    Some(Ok(chunk)) => {
                        let chunk = self.counted(chunk, body);
                        if !self.budget().is_over() {
                            return Poll::Ready(self.give(chunk));
                        }
                        self.next.push_back(chunk);
                    }
                    end => return Poll::Ready(end),
                }
            }
            match self.state.write_progress(cx.waker()) {
                WriteProgress::UnderWay => return Poll::Pending,
                WriteProgress::Blocked { .. } if self.put_aside(body, cx) => {}
                WriteProgress::Blocked { .. } => return Poll::Pending,
                WriteProgress::Written => {
                    if let Some(next) = ready!(self.poll_piece(body, cx)) {
                        return Poll::Ready(next);
                    }
                }
            }
        }
    }

    /// The oldest of what there is: a piece of it, or the end. `None` where it is being read from the file.
    fn poll_piece(&mut self, body: &mut ResponseBody, cx: &mut Context<'_>) -> Poll<Option<NextFrame>> {
        if self.overflow.unread() > 0 {
            self.overflow.read(PIECE);
            return Poll::Ready(None);
        }
        let mut first = match self.next.pop_front() {
            Some(first) => first,
            None => match ready!(poll_body(body, cx)) {
                Some(Ok(chunk)) => self.counted(chunk, body),
                end => return Poll::Ready(Some(end)),
            },
        };
        let divided = std::mem::take(&mut self.divided);
        if first.len() <= PIECE {
            let last = if divided { Bytes::copy_from_slice(&first) } else { first };
            return Poll::Ready(Some(self.give(last)));
        }
        self.divided = true;
        // A copy, because a slice would keep the whole chunk in memory.
        let piece = Bytes::copy_from_slice(&first[..PIECE]);
        first.advance(PIECE);
        self.next.push_front(first);
        Poll::Ready(Some(self.give(piece)))
    }

    /// The client takes nothing for now: begins to write to the file what the app has given. False where that is nothing, or where
    /// there is no file.
    fn put_aside(&mut self, body: &mut ResponseBody, cx: &mut Context<'_>) -> bool {
        // A file is on disk already.
        if self.no_file || matches!(body, ResponseBody::File(_)) {
            return false;
        }
        self.divided = false;
        let mut pieces: Vec<Bytes> = self.next.drain(..).collect();
        let mut bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        while self.overflow.unread() + bytes < STREAM_MAX || !matches!(body, ResponseBody::Stream(_)) {
            // The end, or an error, stays in the body until hyper has got all before it.
            let Poll::Ready(Some(Ok(chunk))) = poll_body(body, cx) else { break };
            bytes += chunk.len() as u64;
            pieces.push(chunk);
        }
        if pieces.is_empty() {
            return false;
        }
        self.budget().spill(bytes);
        self.overflow.append(pieces, &self.shared.settings.spool_directory);
        true
    }

    /// The file could not be written. What was to go there stays in memory, while all bodies take no more than twice their limit;
    /// beyond that the response is cut: false.
    fn keep(&mut self, failed: Failed) -> bool {
        self.no_file = true;
        let kept = !failed.pieces.is_empty() && self.budget().held() <= self.budget().limit().saturating_mul(2);
        let spool_directory = &self.shared.settings.spool_directory;
        self.shared.services.warnings.spill_failed(&failed.error, spool_directory, !kept, super::now());
        self.next.extend(failed.pieces);
        kept
    }

    /// A stream's chunks are counted already, by its channel.
    fn counted(&self, chunk: Bytes, body: &ResponseBody) -> Bytes {
        if let ResponseBody::File(_) = body { self.budget().count(chunk) } else { chunk }
    }

    fn give(&self, piece: Bytes) -> NextFrame {
        self.state.chunk_queued();
        Some(Ok(piece))
    }
}

/// The next chunk of a body, as it is.
pub(super) fn poll_body(body: &mut ResponseBody, cx: &mut Context<'_>) -> Poll<NextFrame> {
    match body {
        ResponseBody::Empty => Poll::Ready(None),
        ResponseBody::Full(bytes) => {
            let bytes = std::mem::take(bytes);
            *body = ResponseBody::Empty;
            Poll::Ready(Some(Ok(bytes)))
        }
        ResponseBody::Parts(parts) => Poll::Ready(parts.pop_front().map(Ok)),
        ResponseBody::Stream(stream) => stream.poll_next(cx),
        ResponseBody::File(file) => file.poll_next(cx),
    }
}
