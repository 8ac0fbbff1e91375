//! What a connection is doing and since when, as its socket and its service report it; from that, when something is due.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    ending::Ending,
    now,
    output::{Output, WriteProgress},
    stage::{ArrivingHead, Due, Interruption, Stage},
};
use crate::{
    config::Timeouts,
    exchange::hijack::HijackRequest,
    http::{body::AbortHandle, guard::RawTarget},
    lifecycle::Phase,
};

/// What there is to know when a request begins.
#[derive(Debug)]
pub(super) struct Begun {
    /// When the first byte of its head came.
    pub(super) head_since: Option<Instant>,
    /// When the connection came, where that does not count as traffic yet.
    pub(super) arrival: Option<Instant>,
    /// The target as the client sent it, where hyper got it in another form.
    pub(super) target: Option<RawTarget>,
}

/// What a connection's task waits for while hyper has the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// When something is due if nothing happens before, and what.
    pub(super) due: Option<(Instant, Due)>,
    /// A head is arriving.
    pub(super) in_head: bool,
}

/// Shared by the connection's task, its socket and its service, which all run on that task: the lock is never contended.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// The drain's budget is used up: a request without an answer is refused. Beside the lock, because each poll of a response
    /// looks at it.
    forced: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stage: Stage,
    client: Client,
    output: Output,
}

/// What is known of the client from all its requests.
#[derive(Debug)]
struct Client {
    /// When the connection was accepted, until that counts as traffic: with the first request that is no probe.
    arrival: Option<Instant>,
    /// The longest of the silences between a response and the next request, the older ones counting less.
    gap: Option<Duration>,
    side: PeerSide,
    /// The body of the last request, where the app reads it while it arrives. It may still arrive behind the response.
    upload: Option<AbortHandle>,
    /// How many requests have come.
    requests: u32,
}

/// What the client's side of the connection is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerSide {
    /// It may send more.
    Stays,
    /// It said that it will send no other request.
    Leaves,
    /// It has closed.
    Closed,
}

impl Client {
    /// It may still be sending the body of its request, whatever it said about the next one.
    fn may_be_sending(&mut self) {
        if self.side == PeerSide::Leaves {
            self.side = PeerSide::Stays;
        }
    }
}

impl ConnectionState {
    pub(super) fn new(now: Instant) -> Self {
        let client = Client { arrival: Some(now), gap: None, side: PeerSide::Stays, upload: None, requests: 0 };
        let inner = Inner { stage: Stage::Fresh { since: now }, client, output: Output::new() };
        Self { forced: AtomicBool::new(false), inner: Mutex::new(inner) }
    }

    /// Of a connection that was `accepted` earlier, and with which HTTP begins only now.
    pub(super) fn opened(now: Instant, accepted: Instant) -> Self {
        let state = Self::new(now);
        state.inner().client.arrival = Some(accepted);
        state
    }

    /// Of a connection that comes from a sibling, after so many `requests`. `fresh`: none of them counts as traffic; `begun`: the head
    /// of the next has begun to come in. The client's timeouts begin anew.
    pub(super) fn taken_over(now: Instant, requests: u32, fresh: bool, begun: bool) -> Self {
        let state = Self::new(now);
        let mut inner = state.inner();
        inner.client.requests = requests;
        if !fresh {
            inner.client.arrival = None;
        }
        inner.stage = match (begun, fresh) {
            (true, _) => Stage::Head(ArrivingHead::begins(now)),
            (false, true) => Stage::Fresh { since: now },
            (false, false) => Stage::Idle { since: now },
        };
        drop(inner);
        state
    }

    /// Of a stream of HTTP/2, which is one exchange. What it has to write is what its window and its connection take.
    pub(super) fn of_stream(now: Instant) -> Self {
        let state = Self::new(now);
        let mut inner = state.inner();
        (inner.stage, inner.client.arrival) = (Stage::Exchange, None);
        drop(inner);
        state
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    // ===== the socket reports =====

    /// Bytes have come in, or some that were held back are looked at. Returns whether a request is under way: what comes behind it
    /// has then to wait.
    pub(super) fn bytes_read(&self) -> bool {
        let mut inner = self.inner();
        let (now, idle_since) = match inner.stage {
            Stage::Fresh { .. } => (now(), None),
            Stage::Idle { since } => (now(), Some(since)),
            ref other => return other.is_exchanging(),
        };
        if let Some(since) = idle_since {
            let faded = inner.client.gap.unwrap_or_default() / 2;
            inner.client.gap = Some(faded.max(now.saturating_duration_since(since)));
        }
        inner.stage = Stage::Head(ArrivingHead::begins(now));
        false
    }

    /// A head is passed to hyper in a form of ours.
    pub(super) fn target_rewritten(&self, target: RawTarget) {
        if let Stage::Head(head) = &mut self.inner().stage {
            head.target = Some(target);
        }
    }

    /// A head is not passed to this hyper.
    pub(super) fn interrupt(&self, interruption: Interruption) {
        if let Stage::Head(head) = &mut self.inner().stage {
            head.interruption = Some(interruption);
        }
    }

    pub(super) fn end_of_input(&self) {
        self.inner().client.side = PeerSide::Closed;
    }

    /// The socket takes nothing. `unsent` asks how many of the bytes written the client has not taken yet, which the kernel holds.
    pub(super) fn write_blocked(&self, unsent: impl FnOnce() -> usize) {
        let waker = self.inner().output.blocked(unsent);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn bytes_written(&self, length: usize) {
        let mut inner = self.inner();
        inner.output.wrote(length);
        if let Stage::Head(head) = &mut inner.stage {
            head.answered = true;
        }
    }

    pub(super) fn flushed(&self) {
        let mut inner = self.inner();
        if let Stage::Flushing { .. } = inner.stage {
            inner.stage = Stage::Idle { since: now() };
        }
        let waker = inner.output.flushed();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether a request is under way, so that what comes in behind it has to wait.
    pub(super) fn is_exchanging(&self) -> bool {
        self.inner().stage.is_exchanging()
    }

    // ===== the service reports =====

    pub(super) fn request_begun(&self, client_stays: bool) -> Begun {
        let mut inner = self.inner();
        inner.client.requests = inner.client.requests.saturating_add(1);
        if inner.client.side != PeerSide::Closed {
            inner.client.side = if client_stays { PeerSide::Stays } else { PeerSide::Leaves };
        }
        let arrival = inner.client.arrival;
        match std::mem::replace(&mut inner.stage, Stage::Exchange) {
            Stage::Head(ArrivingHead { since, target, .. }) => Begun { head_since: Some(since), arrival, target },
            _ => Begun { head_since: None, arrival, target: None },
        }
    }

    pub(super) fn counts_as_traffic(&self) {
        self.inner().client.arrival = None;
    }

    /// The request is refused before all of it was read.
    pub(super) fn request_refused(&self) {
        self.inner().client.may_be_sending();
    }

    /// The app reads the request's body while it arrives.
    pub(super) fn upload_begun(&self, handle: AbortHandle) {
        let mut inner = self.inner();
        inner.client.upload = Some(handle);
        inner.client.may_be_sending();
    }

    pub(super) fn hijack(&self, request: HijackRequest) {
        self.inner().stage = Stage::Hijack(request);
    }

    /// Takes what the app has asked for with [`hijack`](Self::hijack).
    pub(super) fn take_hijack(&self) -> Option<HijackRequest> {
        let mut inner = self.inner();
        if !matches!(inner.stage, Stage::Hijack(_)) {
            return None;
        }
        match std::mem::replace(&mut inner.stage, Stage::Exchange) {
            Stage::Hijack(request) => Some(request),
            _ => None,
        }
    }

    /// The connection speaks HTTP/2 from now on.
    pub(super) fn streams_begin(&self) {
        self.inner().stage = Stage::Streams;
    }

    /// The server stops to wait for the app.
    pub(super) fn force(&self) {
        self.forced.store(true, Relaxed);
    }

    /// How many requests have come, with those that a sibling has served.
    pub(super) fn requests(&self) -> u32 {
        self.inner().client.requests
    }

    /// When the connection came, until that [counts as traffic](Self::counts_as_traffic).
    pub(super) fn arrival(&self) -> Option<Instant> {
        self.inner().client.arrival
    }

    /// When the write timeout ends, or the client's pace is to be looked at.
    pub(super) fn output_due(&self, timeouts: &Timeouts) -> Option<(Instant, Due)> {
        self.inner().output.due(timeouts)
    }

    /// Whether the socket, or the window, has taken nothing when it was last tried.
    pub(super) fn is_blocked(&self) -> bool {
        self.inner().output.is_blocked()
    }

    /// The server no longer waits for the app. Takes no lock.
    pub(super) fn is_forced(&self) -> bool {
        self.forced.load(Relaxed)
    }

    /// `close_delimited`: the body ends with the connection (HTTP/1.0), so that only a reset shows that it was cut.
    pub(super) fn response_begun(&self, close_delimited: bool) {
        self.inner().stage = Stage::Response { close_delimited };
    }

    /// hyper gets a chunk of a response, and is to get the next when that is written.
    pub(super) fn chunk_queued(&self) {
        self.inner().output.queued();
    }

    /// How far hyper is with writing all that it has got. Wakes `waker` once that changes.
    pub(super) fn write_progress(&self, waker: &Waker) -> WriteProgress {
        self.inner().output.progress(waker)
    }

    /// How often hyper has written all that it had.
    pub(super) fn flushes(&self) -> u64 {
        self.inner().output.flushes()
    }

    /// Waits until hyper has written all that it had when there had been so many flushes.
    pub(super) fn poll_flushed_since(&self, flushes: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        if inner.output.flushes() != flushes {
            return Poll::Ready(());
        }
        inner.output.wake_when_flushed(cx.waker());
        Poll::Pending
    }

    pub(super) fn response_ended(&self) {
        let mut inner = self.inner();
        match inner.stage {
            Stage::Exchange => inner.stage = Stage::Flushing { close_delimited: false },
            Stage::Response { close_delimited } => inner.stage = Stage::Flushing { close_delimited },
            _ => {}
        }
    }

    // ===== the connection's task asks and decides =====

    /// What to wait for while hyper has the connection. `evictable` says that it gives way to new ones already.
    ///
    /// # Errors
    ///
    /// Why hyper is to be let go of.
    pub(super) fn check(&self, timeouts: &Timeouts, phase: Phase, evictable: bool) -> Result<Wait, Ending> {
        let mut inner = self.inner();
        inner.hijack_or_interruption()?;
        if phase.is_forced() {
            match inner.stage {
                Stage::Fresh { .. } | Stage::Idle { .. } => return Err(Ending::Dismissed),
                Stage::Head(_) => return Err(Ending::RefusedHead),
                Stage::Response { .. } => return Err(Ending::Cut),
                // `ResponseFuture` sees this and answers with 503.
                Stage::Exchange => self.forced.store(true, Relaxed),
                Stage::Hijack(_) | Stage::Flushing { .. } | Stage::Streams => {}
            }
        }
        if phase.hands_over() && inner.stage.is_silent() {
            return Err(Ending::Resting);
        }
        Ok(inner.wait(timeouts, phase, evictable))
    }

    /// The same after hyper was polled and waits; `None` where [`check`](Self::check) has something else to say.
    pub(super) fn wait(&self, timeouts: &Timeouts, phase: Phase, evictable: bool) -> Option<Wait> {
        let inner = self.inner();
        let is_the_siblings = phase.hands_over() && inner.stage.is_silent();
        if is_the_siblings || inner.lets_go() { None } else { Some(inner.wait(timeouts, phase, evictable)) }
    }

    /// When something is due if nothing happens before, and what, for a connection at rest.
    pub(super) fn due(&self, timeouts: &Timeouts, phase: Phase) -> Option<(Instant, Due)> {
        self.inner().due(timeouts, phase)
    }

    /// hyper is about to be dropped: a body that is not whole will never be. Returns whether there was one.
    pub(super) fn abort_upload(&self) -> bool {
        let upload = self.inner().client.upload.take();
        upload.is_some_and(AbortHandle::abort)
    }

    /// Since when a head has been arriving, if one is.
    pub(super) fn head_since(&self) -> Option<Instant> {
        if let Stage::Head(head) = &self.inner().stage { Some(head.since) } else { None }
    }

    /// A connection that seemed silent was not: a head begins now, or is about to.
    pub(super) fn warm(&self, now: Instant, head_begun: bool) {
        let stage = &mut self.inner().stage;
        match stage {
            Stage::Head(head) if head_begun => head.since = now,
            _ if head_begun => *stage = Stage::Head(ArrivingHead::begins(now)),
            _ => *stage = Stage::Idle { since: now },
        }
    }

    /// Has the client's pace checked when the socket is next found to take nothing more.
    pub(super) fn check_pace(&self, now: Instant, timeouts: &Timeouts) {
        if let Some(rate) = timeouts.min_data_rate {
            self.inner().output.check_pace(now, rate);
        }
    }

    /// Whether the connection has had no request, but for probes.
    pub(super) fn is_fresh(&self) -> bool {
        self.inner().client.arrival.is_some()
    }

    pub(super) fn client_has_closed(&self) -> bool {
        self.inner().client.side == PeerSide::Closed
    }

    /// Whether the client has closed, or said that it sends no other request.
    pub(super) fn client_leaves(&self) -> bool {
        self.inner().client.side != PeerSide::Stays
    }

    /// Whether the head that came last, or what passed for one, was answered.
    pub(super) fn is_answered(&self) -> bool {
        match &self.inner().stage {
            Stage::Fresh { .. } | Stage::Exchange | Stage::Hijack(_) => false,
            Stage::Head(head) => head.answered,
            Stage::Response { .. } | Stage::Flushing { .. } | Stage::Idle { .. } | Stage::Streams => true,
        }
    }

    /// Whether the end of the connection is what ends the response that is under way.
    pub(super) fn is_close_delimited(&self) -> bool {
        matches!(
            self.inner().stage,
            Stage::Response { close_delimited: true } | Stage::Flushing { close_delimited: true }
        )
    }
}

impl Inner {
    /// Whether there is a reason to take the connection from hyper.
    fn lets_go(&self) -> bool {
        match &self.stage {
            Stage::Head(head) => head.interruption.is_some(),
            Stage::Hijack(_) => self.output.is_written(),
            _ => false,
        }
    }

    /// Takes that reason, as an error.
    fn hijack_or_interruption(&mut self) -> Result<(), Ending> {
        match &mut self.stage {
            Stage::Hijack(_) if self.output.is_written() => match std::mem::replace(&mut self.stage, Stage::Exchange) {
                Stage::Hijack(request) => Err(Ending::Hijacked(request)),
                _ => Ok(()),
            },
            Stage::Head(head) => match head.interruption.take() {
                Some(Interruption::Refused(reason)) => Err(Ending::Refused(reason)),
                Some(Interruption::ManyFields) => Err(Ending::ManyFields),
                Some(Interruption::Elsewhere(sibling)) => Err(Ending::Elsewhere(sibling)),
                Some(Interruption::Http2) => Err(Ending::Http2),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn wait(&self, timeouts: &Timeouts, phase: Phase, evictable: bool) -> Wait {
        let due = [self.due(timeouts, phase), self.stage.due_at_work(evictable)];
        let due = due.into_iter().flatten().min_by_key(|(at, _)| *at);
        Wait { due, in_head: matches!(self.stage, Stage::Head(_)) }
    }

    fn due(&self, timeouts: &Timeouts, phase: Phase) -> Option<(Instant, Due)> {
        let cold = self.stage.cold_at(phase, self.client.gap).map(|at| (at, Due::Cold));
        [self.output.due(timeouts), self.stage.due(timeouts), cold].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}
