//! The pieces of a request body as they arrive: each within `body_timeout`, all of them fast enough, in time and within the limit.
//! Only the time in which the client is waited for counts.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};

use super::buffered::BodyLimits;
use crate::{
    config::MinRate,
    http::response::Refusal,
    sync::{now, sockets::look_at_sockets},
};

/// A timer that fires so much too late tells of a process that has stood still: its clients' pace is not to be judged by that.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Why the rest of a body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The client has gone.
    Lost,
    /// It has broken the framing.
    Malformed,
    /// It sent nothing, or too little, for too long.
    Late,
    /// It sent more than it may.
    TooLong,
}

impl ReadError {
    /// What the client is told, if it is still there.
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::closing(match self {
            Self::Lost | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        })
    }

    /// Of what hyper says. It has an `io::Error` behind it: of these kinds where what has come is no chunk.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        match causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Self::Malformed,
            _ => Self::Lost,
        }
    }
}

/// The data frames of a body, and the fields behind them.
pub(super) struct Pieces<B> {
    incoming: B,
    trailers: Option<HeaderMap>,
    http_content_length_limit: Option<u64>,
    body_timeout: Option<Duration>,
    /// When the body has to be whole; later by all the time in which nothing was asked of the client.
    receive_deadline: Option<Instant>,
    /// Since when nothing is asked of it, where there is a `receive_deadline`.
    unasked: Option<Instant>,
    pace: Option<Pace>,
    received: u64,
}

/// How much has come in how much time of waiting, since that was last looked at.
struct Pace {
    rate: MinRate,
    waited: Duration,
    received: u64,
}

impl Pace {
    /// When the pace has to be looked at, if the client is waited for from `begun` on.
    fn end(&self, begun: Instant) -> Instant {
        begun + self.rate.window().saturating_sub(self.waited)
    }

    /// It was waited for, and is fast enough.
    fn suffices(&mut self, waited: Duration) -> bool {
        self.waited += waited;
        if self.waited < self.rate.window() {
            return true;
        }
        let received = std::mem::take(&mut self.received);
        self.waited = Duration::ZERO;
        // Silence has its own limit, `body_timeout`.
        received == 0 || received >= self.rate.quota()
    }
}

impl<B: Body<Data = Bytes, Error: Error + 'static> + Unpin> Pieces<B> {
    pub(super) fn new(incoming: B, terms: &BodyLimits) -> Self {
        let pace = terms.min_data_rate.map(|rate| Pace { rate, waited: Duration::ZERO, received: 0 });
        let &BodyLimits { http_content_length_limit, body_timeout, receive_deadline, .. } = terms;
        Self {
            incoming,
            trailers: None,
            http_content_length_limit,
            body_timeout,
            receive_deadline,
            unasked: receive_deadline.map(|_| now()),
            pace,
            received: 0,
        }
    }

    /// What the client has sent behind the body (RFC 9110 §6.5), once `next` has come to the end.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().filter(|trailers| !trailers.is_empty())
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// Where it does not come in time, goes beyond the limit, breaks the framing, or the client has left.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let Some(frame) = self.frame().await? else { return Ok(None) };
            let frame = frame.map_err(|error| ReadError::of(&error))?;
            let piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok().or(self.trailers.take());
                    continue;
                }
            };
            self.received += piece.len() as u64;
            if let Some(pace) = &mut self.pace {
                pace.received += piece.len() as u64;
            }
            if self.http_content_length_limit.is_some_and(|limit| self.received > limit) {
                return Err(ReadError::TooLong);
            }
            return Ok(Some(piece));
        }
    }

    async fn frame(&mut self) -> Result<Option<Result<Frame<Bytes>, B::Error>>, ReadError> {
        // Most are there already, and need no clock.
        if self.receive_deadline.is_none() {
            let frame = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.incoming).poll_frame(cx))).await;
            if let Poll::Ready(frame) = frame {
                return Ok(frame);
            }
        }
        let begun = now();
        if let (Some(receive_deadline), Some(unasked)) = (&mut self.receive_deadline, self.unasked) {
            *receive_deadline += begun.saturating_duration_since(unasked);
        }
        let timeout = self.body_timeout.map(|limit| begun + limit);
        let end = [timeout, self.receive_deadline].into_iter().flatten().min();
        let mut since = begun;
        // Where the time is up: whether what is in the socket is looked at for that, or was.
        let (mut look_first, mut looked) = (false, false);
        loop {
            if std::mem::take(&mut look_first) {
                look_at_sockets().await;
            }
            let look = self.pace.as_ref().map(|pace| pace.end(since));
            let frame = poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx));
            let at = [end, look].into_iter().flatten().min();
            let frame = match at {
                None => Some(frame.await),
                Some(at) => tokio::time::timeout_at(at.into(), frame).await.ok(),
            };
            let now = now();
            if let (Some(pace), Some(at)) = (&mut self.pace, at)
                && now > at + OVERSLEPT
            {
                (pace.waited, pace.received, since) = (Duration::ZERO, 0, now);
            }
            self.unasked = self.receive_deadline.map(|_| now);
            let late = match frame {
                Some(_) => self.receive_deadline.is_some_and(|receive_deadline| now >= receive_deadline),
                None => end.is_some_and(|end| now >= end),
            };
            let waited = now.saturating_duration_since(since);
            let slow = self.pace.as_mut().is_some_and(|pace| !pace.suffices(waited));
            match frame {
                // The end is not to be had any sooner.
                Some(None) => return Ok(None),
                None if late && !std::mem::replace(&mut looked, true) => {
                    (look_first, since) = (true, now);
                }
                _ if late || slow => return Err(ReadError::Late),
                Some(frame) => return Ok(frame),
                None => since = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, task::Context};
    use tokio::{sync::mpsc, time::sleep};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A body whose pieces come when the test sends them.
    struct Sent(mpsc::UnboundedReceiver<Bytes>);

    impl Body for Sent {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn terms() -> BodyLimits {
        let rate = MinRate { bytes: 10, grace: s(20) };
        BodyLimits { body_timeout: Some(s(60)), min_data_rate: Some(rate), ..BodyLimits::unlimited() }
    }

    /// After how many seconds a client is refused or done that sends so many bytes so often, of 1,000; and the refusal.
    async fn sends(
        bytes: usize,
        every: Duration,
        within: Option<Duration>,
        terms: BodyLimits,
    ) -> (u64, Option<StatusCode>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let begun = now();
        let terms = BodyLimits { receive_deadline: within.map(|within| begun + within), ..terms };
        let sending = tokio::spawn(async move {
            for _ in 0..1000 / bytes {
                sleep(every).await;
                if sender.send(vec![b'x'; bytes].into()).is_err() {
                    return;
                }
            }
        });
        let mut pieces = Pieces::new(Sent(receiver), &terms);
        let refusal = loop {
            match pieces.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error.refusal().status()),
            }
        };
        drop(pieces);
        let after = now() - begun;
        sending.abort();
        (after.as_secs(), refusal)
    }

    /// A byte every 59 seconds made an upload of a kilobyte last for sixteen hours.
    #[tokio::test(start_paused = true)]
    async fn a_client_has_to_send_so_much_in_so_much_time() {
        const LATE: Option<StatusCode> = Some(StatusCode::REQUEST_TIMEOUT);
        let off = || BodyLimits { min_data_rate: None, ..terms() };
        for (bytes, every, within, terms, expected) in [
            (1, s(19), None, terms(), (20, LATE)),
            (1, s(59), None, terms(), (60, LATE)),
            (1, s(61), None, terms(), (60, LATE)),
            (1, s(1), None, terms(), (20, LATE)),
            (20, s(1), None, terms(), (50, None)),
            (500, s(50), None, terms(), (100, None)),
            (9, s(1), None, terms(), (20, LATE)),
            (1, s(59), None, off(), (59_000, None)),
            (1, s(61), None, off(), (60, LATE)),
            (500, s(50), Some(s(70)), off(), (70, LATE)),
            (500, s(5), Some(s(70)), off(), (10, None)),
            (1, s(1), Some(s(30)), off(), (30, LATE)),
        ] {
            assert_eq!(sends(bytes, every, within, terms).await, expected, "{bytes} bytes every {every:?}");
        }
    }

    /// An app that reads slowly is no fault of the client's: the time for the whole request ran on while the app was busy, and
    /// cut an upload of which all had come.
    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_the_app_does_not_read_does_not_count() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let terms = BodyLimits { receive_deadline: Some(now() + s(15)), ..terms() };
        let mut pieces = Pieces::new(Sent(receiver), &terms);
        for _ in 0..5 {
            sender.send("x".into()).unwrap();
            sleep(s(100)).await;
            assert_eq!(pieces.next().await.unwrap(), Some("x".into()));
        }
        // The client itself is late.
        sleep(s(100)).await;
        let asked = now();
        assert_eq!(pieces.next().await, Err(ReadError::Late));
        assert_eq!(now() - asked, s(15));
        drop(sender);
    }

    #[test]
    fn broken_framing_is_told_from_a_client_that_has_left() {
        for (kind, expected) in [
            (io::ErrorKind::InvalidInput, ReadError::Malformed),
            (io::ErrorKind::InvalidData, ReadError::Malformed),
            (io::ErrorKind::UnexpectedEof, ReadError::Lost),
            (io::ErrorKind::ConnectionReset, ReadError::Lost),
        ] {
            assert_eq!(ReadError::of(&io::Error::from(kind)), expected, "{kind:?}");
        }
    }
}
