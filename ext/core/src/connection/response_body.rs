//! A response body as hyper takes it, held to the length that its head declares; and what is counted and logged of the request,
//! which ends when hyper drops the body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use http_body::{Body, Frame, SizeHint};

use super::{
    Shared,
    spill::{self, Spill},
    state::ConnectionState,
    wrong_length::Declared,
};
use crate::{
    http::{
        body::{Aborted, ResponseBody},
        request::Peer,
    },
    log::access::Record,
    stats::{Ending, MethodClass},
};

/// A response body as hyper takes it, held to the length the app declared.
#[derive(Debug)]
pub(super) struct TrackedBody {
    pub(super) source: ResponseBody,
    /// Bytes still to come, where the head declares a length.
    pub(super) left: Option<u64>,
    /// Keeps a body that may be long from filling memory.
    pub(super) spill: Option<Box<Spill>>,
    /// The length that the head declares for a file, which may get shorter while it is sent.
    pub(super) declared: Option<Box<Declared>>,
    pub(super) line: Option<Line>,
    pub(super) end: EndReporter,
    /// Set when the body has ended too early, to the number of flushes so far: hyper is told with the next flush, when it has
    /// written what came before.
    pub(super) cut: Option<u64>,
}

/// Reports the end of the response, however it ends.
#[derive(Debug)]
pub(super) struct EndReporter {
    pub(super) state: Arc<ConnectionState>,
    /// `None` where it did not count as a request.
    pub(super) meter: Option<Meter>,
}

impl Drop for EndReporter {
    fn drop(&mut self) {
        self.state.response_ended();
    }
}

impl TrackedBody {
    /// Ends the body with an error, once hyper has written what there was of it.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let flushes = self.end.state.flushes();
        self.cut = Some(flushes);
        self.source = ResponseBody::Empty;
        self.spill = None;
        ready!(self.end.state.poll_flushed_since(flushes, cx));
        Poll::Ready(Some(Err(Aborted)))
    }

    /// The body is complete: the access log does not call it cut.
    pub(super) fn is_whole(&mut self) {
        if let Some(line) = &mut self.line {
            line.note(|record| record.cut = false);
        }
    }

    /// The client does not get all of it: `unsent` bytes that were taken are dropped.
    pub(super) fn is_cut(&mut self, unsent: u64) {
        if let Some(line) = &mut self.line {
            line.note(|record| {
                record.cut = true;
                record.bytes = record.bytes.saturating_sub(unsent);
            });
        }
        if let Some(meter) = &mut self.end.meter {
            meter.not_sent(unsent);
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        match &mut self.spill {
            None => spill::poll_body(&mut self.source, cx),
            Some(spill) => spill.poll_next(&mut self.source, cx),
        }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        if let Some(flushes) = this.cut {
            // hyper forgets what it has not written when a body fails.
            ready!(this.end.state.poll_flushed_since(flushes, cx));
            return Poll::Ready(Some(Err(Aborted)));
        }
        let chunk = ready!(this.poll_chunk(cx));
        let frame = match (chunk, &mut this.left) {
            (Some(Err(_)), left) => {
                if let (Some(declared), Some(left)) = (this.declared.take(), left) {
                    declared.fell_short(*left);
                }
                return this.poll_cut(cx);
            }
            (None, Some(left)) if *left > 0 => return this.poll_cut(cx),
            (None, _) => match &mut this.source {
                ResponseBody::Stream(stream) => stream.take_trailers().map(|trailers| Ok(Frame::trailers(trailers))),
                _ => None,
            },
            (Some(Ok(chunk)), None) => Some(Ok(Frame::data(chunk))),
            (Some(Ok(mut chunk)), Some(left)) => {
                // What goes past the declared length would be read as the next response.
                chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= chunk.len() as u64;
                if *left == 0 {
                    if let ResponseBody::Stream(stream) = &this.source {
                        stream.satisfied();
                    }
                    this.source = ResponseBody::Empty;
                    this.spill = None;
                }
                Some(Ok(Frame::data(chunk)))
            }
        };
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            if let Some(line) = &mut this.line {
                line.note(|record| record.bytes += length);
            }
            if let Some(meter) = &mut this.end.meter {
                meter.sent(length);
            }
        }
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) || this.is_end_stream() {
            this.is_whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none()
            && self.source.is_over()
            && self.spill.as_ref().is_none_or(|spill| spill.is_empty())
            && self.left.is_none_or(|left| left == 0)
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, self.source.length()) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, Some(length)) => SizeHint::with_exact(length),
            (None, None) => SizeHint::default(),
        }
    }
}

/// The request's line in the access log. It is written when this is dropped.
#[derive(Debug)]
pub(super) struct Line {
    record: Option<Box<Record>>,
    shared: Arc<Shared>,
}

impl Line {
    pub(super) fn new(head: &Parts, peer: Arc<Peer>, shared: Arc<Shared>, received: Instant) -> Self {
        let record = Record::new(head, peer, received);
        Self { record: Some(Box::new(record)), shared }
    }

    pub(super) fn note(&mut self, note: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let (Some(mut record), Some(access)) = (self.record.take(), &self.shared.services.access_log) {
            record.draining = self.shared.phase().is_stopping();
            access.write(record, super::now());
        }
    }
}

/// Counts a request: in flight from its head on, and with its method, status and duration when this is dropped.
#[derive(Debug)]
pub(super) struct Meter {
    shared: Arc<Shared>,
    method: MethodClass,
    status: Ending,
    received: Instant,
    bytes: u64,
}

impl Meter {
    /// A request whose head was complete at `received`.
    pub(super) fn start(shared: Arc<Shared>, method: &Method, received: Instant) -> Self {
        shared.services.stats.request_begun();
        shared.services.queue.request_opened();
        Self { shared, method: method.into(), status: Ending::NoResponse, received, bytes: 0 }
    }

    /// Its response begins.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.into();
    }

    /// A piece of the response's body goes out.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// It does not after all.
    pub(super) fn not_sent(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let now = super::now();
        self.shared.services.queue.request_closed();
        self.shared.services.stats.request_ended(
            self.method,
            self.status,
            now.saturating_duration_since(self.received),
        );
        self.shared.services.stats.response_body_bytes.inc_by(self.bytes);
        self.shared.services.traffic.answered(self.received, now);
    }
}
