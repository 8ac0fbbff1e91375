//! The body of a request on a stream. The stream's window is opened as the bytes are taken: an app that does not read them holds up
//! its own stream, and no other.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::interim::Interim;

/// A request's body as it arrives.
pub(super) struct Incoming {
    /// `None` at the end.
    stream: Option<RecvStream>,
    length: Option<u64>,
    /// Where the client waits to be told to send it.
    asks: Option<Arc<Interim>>,
}

impl Incoming {
    /// None.
    pub(super) fn none() -> Self {
        Self { stream: None, length: Some(0), asks: None }
    }

    /// `length` is what the head declares. `asks`: the client sends it only when it is told to.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, asks: Option<Arc<Interim>>) -> Self {
        Self { stream: Some(stream), length, asks }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let data = stream.poll_data(cx);
        if data.is_pending()
            && let Some(interim) = this.asks.take()
        {
            interim.want_body();
        }
        match ready!(data) {
            Some(Ok(data)) => {
                // Fails only where the stream has ended meanwhile.
                let _ = stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = ready!(stream.poll_trailers(cx)).transpose();
                this.stream = None;
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
