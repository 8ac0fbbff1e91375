//! A stream that the app has hijacked: it has one end of a socket pair. What it writes there is a response of HTTP/1, which is
//! sent as the stream's; what the client sends behind an extended CONNECT (RFC 8441) goes to the app as it is.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Response, StatusCode, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::oneshot,
};

use super::{
    super::{Shared, now, state::ConnectionState},
    outgoing::{Piece, Room},
    outlet::{Given, Outlet},
    stream::{End, inform},
};
use crate::{
    exchange::hijack::{Family, HijackRequest, Taken},
    http::written_response::{Asked, Unsendable, Written, WrittenResponse},
};

/// Bytes read from the app at a time.
const CHUNK: usize = 8192;

/// The server's part in the stream.
pub(super) struct Tunnel {
    app: UnixStream,
    /// Resolves when the app has closed its end.
    closed: oneshot::Receiver<Infallible>,
    shared: Arc<Shared>,
    outward: Outward,
    inward: Option<Inward>,
}

/// From the app to the client.
struct Outward {
    state: Arc<ConnectionState>,
    room: Arc<Room>,
    response: WrittenResponse,
    /// What was read of it and is not sent.
    parts: VecDeque<Written>,
    /// From the head on.
    outlet: Option<Outlet>,
    /// All of it was sent.
    over: bool,
    /// The app has closed without reading all that came. What it wrote before may still be there to be read.
    reset: bool,
    /// What comes behind the parts that were read cannot be sent, or does not come.
    broken: bool,
    /// Set once all parts are given of a response that is broken, to the number of flushes so far: the stream is reset with the next
    /// flush, because a reset drops what is not written.
    cut: Option<u64>,
}

/// From the client to the app.
struct Inward {
    stream: RecvStream,
    held: Bytes,
}

impl Tunnel {
    /// Gives the app its end. `protocol` is what the client sends.
    ///
    /// # Errors
    ///
    /// For want of descriptors.
    pub(super) fn open(
        request: HijackRequest,
        asked: Asked,
        protocol: Option<RecvStream>,
        state: Arc<ConnectionState>,
        room: Arc<Room>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let (app, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?.into();
        let (mut response, mut parts) = (WrittenResponse::new(asked), VecDeque::new());
        // The head that the server itself has made for the app is one.
        let _ = response.read(Bytes::copy_from_slice(request.head()), |part| parts.push_back(part));
        let (when_closed, closed) = oneshot::channel();
        request.grant(Taken { descriptor: theirs, family: Family::Unix, held: shared.hijacked(Some(when_closed)) });
        let outward =
            Outward { state, room, response, parts, outlet: None, over: false, reset: false, broken: false, cut: None };
        let inward = protocol.map(|stream| Inward { stream, held: Bytes::new() });
        Ok(Self { app, closed, shared: shared.clone(), outward, inward })
    }

    pub(super) fn outlet(&self) -> Option<&Outlet> {
        self.outward.outlet.as_ref()
    }

    /// Passes on what there is, in both directions.
    pub(super) fn poll(&mut self, respond: &mut SendResponse<Piece>, cx: &mut Context<'_>) -> Poll<End> {
        let Self { app, closed, shared, outward, inward } = self;
        if outward.outlet.is_none() && respond.poll_reset(cx).is_ready() {
            return Poll::Ready(End::Abandoned);
        }
        if !outward.over
            && let Poll::Ready(end) = outward.poll(app, respond, shared, cx)
        {
            match end {
                End::Given => outward.over = true,
                end => return Poll::Ready(end),
            }
        }
        if let Some(passing) = inward
            && let Poll::Ready(end) = passing.poll(app, cx)
        {
            *inward = None;
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
        // An app that has said its last word may still want to hear the client's.
        let done = outward.over && (inward.is_none() || Pin::new(closed).poll(cx).is_ready());
        if done { Poll::Ready(End::Given) } else { Poll::Pending }
    }
}

impl Outward {
    fn poll(
        &mut self,
        app: &mut UnixStream,
        respond: &mut SendResponse<Piece>,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        loop {
            if let Some(outlet) = &mut self.outlet {
                let whole = self.parts.is_empty() && self.response.is_whole();
                match ready!(outlet.poll(cx, whole)) {
                    Given::All => {}
                    Given::Last => return Poll::Ready(End::Given),
                    Given::Nothing => return Poll::Ready(End::Abandoned),
                }
            }
            match (self.parts.pop_front(), &mut self.outlet) {
                (Some(Written::Interim(status, headers)), _) => inform(respond, status, headers),
                (Some(Written::Head { status, mut headers, over }), _) => {
                    headers.entry(header::DATE).or_insert_with(|| shared.services.date.now());
                    let mut head = Response::new(());
                    (*head.status_mut(), *head.headers_mut()) = (status, headers);
                    match respond.send_response(head, over) {
                        Ok(_) if over => return Poll::Ready(End::Given),
                        Ok(stream) => self.outlet = Some(Outlet::new(stream, self.state.clone(), self.room.clone())),
                        Err(_) => return Poll::Ready(End::Abandoned),
                    }
                }
                (Some(Written::Data(data)), Some(outlet)) => outlet.give(data),
                (Some(Written::Data(_)), None) => {}
                (None, Some(outlet)) if self.broken => {
                    let flushes = *self.cut.get_or_insert_with(|| self.state.flushes());
                    outlet.is_idle();
                    ready!(self.state.poll_flushed_since(flushes, cx));
                    return Poll::Ready(End::Cut(Reason::INTERNAL_ERROR));
                }
                (None, None) if self.broken => {
                    // The app is at fault, and has sent nothing.
                    let mut head = Response::new(());
                    *head.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    let sent = respond.send_response(head, true);
                    return Poll::Ready(if sent.is_ok() { End::Given } else { End::Abandoned });
                }
                (None, Some(outlet)) if self.response.is_whole() => return Poll::Ready(outlet.finish(None)),
                (None, _) => {
                    if let Some(end) = ready!(self.poll_app(app, shared, cx)) {
                        return Poll::Ready(end);
                    }
                }
            }
        }
    }

    /// Reads what the app has written; resolves to the stream's end where that was the last.
    fn poll_app(&mut self, app: &mut UnixStream, shared: &Shared, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let mut chunk = [0; CHUNK];
        let mut buf = ReadBuf::new(&mut chunk);
        let read = match Pin::new(app).poll_read(cx, &mut buf) {
            Poll::Pending => {
                if let Some(outlet) = &self.outlet {
                    outlet.is_idle();
                }
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) if !self.reset => {
                self.reset = true;
                return Poll::Ready(None);
            }
            Poll::Ready(_) => buf.filled(),
        };
        let parts = &mut self.parts;
        let fault = if read.is_empty() {
            self.response.finish().err()
        } else {
            self.response.read(Bytes::copy_from_slice(read), |part| parts.push_back(part)).err()
        };
        match (fault, read.is_empty(), &mut self.outlet) {
            (None, true, Some(outlet)) => return Poll::Ready(Some(outlet.finish(None))),
            (None, false, _) => {}
            (fault, _, _) => {
                self.broken = true;
                let why = fault.unwrap_or(Unsendable::Unfinished).to_string();
                shared.services.warnings.unsendable(&why, now());
            }
        }
        Poll::Ready(None)
    }
}

impl Inward {
    /// Resolves when the client has sent all; with the stream's end where it has given the stream up.
    fn poll(&mut self, app: &mut UnixStream, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let mut app = Pin::new(app);
        loop {
            while !self.held.is_empty() {
                match ready!(app.as_mut().poll_write(cx, &self.held)) {
                    Ok(length) => {
                        self.held.advance(length);
                        self.release(length);
                    }
                    // An app that has closed does not get it.
                    Err(_) => {
                        let length = self.held.len();
                        self.held.clear();
                        self.release(length);
                    }
                }
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.held = data,
                Some(Err(_)) => return Poll::Ready(Some(End::Abandoned)),
                None => {
                    // Fails for an app that has closed.
                    let _ = ready!(app.as_mut().poll_shutdown(cx));
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// The client may send as much again.
    fn release(&mut self, length: usize) {
        // Fails only where the stream has ended meanwhile.
        let _ = self.stream.flow_control().release_capacity(length);
    }
}
