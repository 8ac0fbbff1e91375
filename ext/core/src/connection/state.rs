//! What a connection is doing and since when, as its socket and its exchange report it; from that, when it is due.

use std::{
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{COLD_AFTER, COLD_AFTER_FIRST, COLD_AFTER_GAPS, LAGS_AFTER, REST_AFTER};
use crate::{
    config::{MinRate, Timeouts},
    exchange::hijack::HijackRequest,
    http::{body::AbortHandle, guard::RawTarget},
    lifecycle::Phase,
    stats::refused::Refused,
};

/// Where a connection is between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepted; nothing heard yet.
    Fresh { since: Instant },
    /// A head is arriving.
    Head { since: Instant },
    /// A request is being received, waits or runs; nothing was answered yet.
    Exchange,
    /// The response has begun.
    Responding,
    /// The response is whole, its last bytes may still be in our buffer.
    Flushing,
    /// Answered; nothing heard since.
    Idle { since: Instant },
}

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    FirstByte,
    Head,
    /// A head takes long enough to give way to other connections.
    Lags,
    Idle,
    Write,
    /// The client's pace is to be looked at.
    Rate,
    /// Silent for long enough to be closed in a drain.
    Cold,
    /// Silent for long enough to be waited for with less memory.
    Rest,
}

/// What the guard has found in a head, so that hyper has to be let go of before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// It may not pass.
    Refused(Refused),
    /// It has more fields than this hyper can take.
    Crowded,
}

/// What there is to know when a request begins.
#[derive(Debug)]
pub(super) struct Begun {
    /// The time of the connection's arrival, where that does not count as traffic yet.
    pub(super) arrival: Option<Instant>,
    /// The target as it came, where hyper got it in another form.
    pub(super) target: Option<RawTarget>,
}

/// Shared by the connection's task, its socket and its service, all on one task: the lock is never contended.
#[derive(Debug)]
pub(super) struct ConnectionState(Mutex<State>);

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When the connection was accepted, until that counts as traffic: with the first request that is no probe.
    arrival: Option<Instant>,
    /// Since when the peer has taken nothing of what we write.
    stalled: Option<Instant>,
    /// While there is something to write: how much of it the client takes.
    pace: Option<Pace>,
    /// Bytes written to the socket.
    written: u64,
    /// The longest of the silences between a response and the next request, the older ones counting less.
    gap: Option<Duration>,
    peer: PeerSide,
    /// The body under way ends with the connection (HTTP/1.0), so that only a reset shows it was cut.
    close_delimited: bool,
    /// Something was written since the last head began to arrive.
    answered: bool,
    /// The server's patience has ended: a request without an answer is refused.
    forced: bool,
    /// Something was written since hyper last had nothing to write.
    unflushed: bool,
    /// How often hyper has had nothing more to write.
    flushes: u64,
    /// The response waits for that; with `true` also for the socket to take no more.
    flush_waiter: Option<(Waker, bool)>,
    /// The app wants the connection for itself.
    hijack: Option<HijackRequest>,
    /// A body that the app reads while it arrives.
    upload: Option<AbortHandle>,
    /// The guard's word about the head that is here.
    interruption: Option<Interruption>,
    /// What the next request's target was.
    target: Option<RawTarget>,
}

/// How much the client has taken since something was left unwritten, or since that was last looked at.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    /// Bytes that it had taken then, of all that was ever written.
    taken: u64,
    /// How many more it must have taken when it is next found to take nothing more.
    quota: Option<u64>,
    /// It took fewer.
    too_slow: bool,
}

/// What has become of what hyper was given to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandedOver {
    Written,
    /// The socket has not been tried yet, or takes it.
    UnderWay,
    /// The socket takes nothing for now.
    Blocked,
}

/// What is known of the client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerSide {
    /// It may send another request.
    Stays,
    /// It said that it will not.
    Leaves,
    /// It has closed.
    Closed,
}

impl ConnectionState {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            stage: Stage::Fresh { since: now },
            arrival: Some(now),
            stalled: None,
            pace: None,
            written: 0,
            gap: None,
            peer: PeerSide::Stays,
            close_delimited: false,
            answered: false,
            forced: false,
            unflushed: false,
            flushes: 0,
            flush_waiter: None,
            hijack: None,
            upload: None,
            interruption: None,
            target: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    // ===== the socket reports =====

    pub(super) fn bytes_read(&self) {
        let mut state = self.state();
        if let Stage::Fresh { .. } | Stage::Idle { .. } = state.stage {
            let now = super::now();
            if let Stage::Idle { since } = state.stage {
                let faded = state.gap.unwrap_or_default() / 2;
                state.gap = Some(faded.max(now.saturating_duration_since(since)));
            }
            state.stage = Stage::Head { since: now };
            state.answered = false;
        }
    }

    /// A head is passed to hyper in a form of ours.
    pub(super) fn target_rewritten(&self, target: RawTarget) {
        self.state().target = Some(target);
    }

    /// A head is not passed to hyper. Nothing is under way then.
    pub(super) fn interrupt(&self, interruption: Interruption) {
        self.state().interruption = Some(interruption);
    }

    pub(super) fn end_of_input(&self) {
        self.state().peer = PeerSide::Closed;
    }

    /// `unsent` asks how many of the bytes written the client has not taken yet, which the kernel holds.
    pub(super) fn write_blocked(&self, unsent: impl FnOnce() -> usize) {
        let mut state = self.state();
        if state.stalled.is_none() {
            state.stalled = Some(super::now());
        }
        state.unflushed = true;
        let taken = |written: u64| written.saturating_sub(unsent() as u64);
        match state.pace {
            None => {
                let taken = taken(state.written);
                state.pace = Some(Pace { since: super::now(), taken, quota: None, too_slow: false });
            }
            Some(pace @ Pace { quota: Some(quota), .. }) => {
                let taken = taken(state.written);
                // The kernel takes more only once a good part of its buffer is free, which a slow client may need minutes for.
                if taken > pace.taken {
                    state.stalled = Some(super::now());
                }
                // Silence has its own limit, the write timeout.
                let too_slow = (1..quota).contains(&taken.saturating_sub(pace.taken));
                state.pace = Some(Pace { taken, quota: None, too_slow, ..pace });
            }
            Some(_) => {}
        }
        if let Some((waiter, _)) = state.flush_waiter.take_if(|(_, blocked)| *blocked) {
            drop(state);
            waiter.wake();
        }
    }

    pub(super) fn bytes_written(&self, length: usize) {
        let mut state = self.state();
        state.written += length as u64;
        state.stalled = None;
        state.answered = true;
        state.unflushed = true;
    }

    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.stalled = None;
        state.pace = None;
        state.unflushed = false;
        state.flushes += 1;
        let waiter = state.flush_waiter.take();
        if state.stage == Stage::Flushing {
            state.stage = Stage::Idle { since: super::now() };
        }
        drop(state);
        if let Some((waiter, _)) = waiter {
            waiter.wake();
        }
    }

    // ===== the exchange reports =====

    pub(super) fn request_begun(&self, client_stays: bool) -> Begun {
        let mut state = self.state();
        state.stage = Stage::Exchange;
        state.close_delimited = false;
        if state.peer != PeerSide::Closed {
            state.peer = if client_stays { PeerSide::Stays } else { PeerSide::Leaves };
        }
        Begun { arrival: state.arrival, target: state.target.take() }
    }

    pub(super) fn counts_as_traffic(&self) {
        self.state().arrival = None;
    }

    /// The request is refused before all of it was read: whatever the client said, it may still be sending.
    pub(super) fn request_refused(&self) {
        let mut state = self.state();
        if state.peer == PeerSide::Leaves {
            state.peer = PeerSide::Stays;
        }
    }

    pub(super) fn response_begun(&self, close_delimited: bool) {
        let mut state = self.state();
        state.stage = Stage::Responding;
        state.close_delimited = close_delimited;
    }

    /// hyper gets a piece of a response, and is to get the next when that is written.
    pub(super) fn piece_handed_over(&self) {
        self.state().unflushed = true;
    }

    /// What has become of all that hyper has got. Wakes `waker` once that is something else.
    pub(super) fn handed_over(&self, waker: &Waker) -> HandedOver {
        let mut state = self.state();
        let handed = match (state.unflushed, state.stalled) {
            (false, _) => return HandedOver::Written,
            (true, None) => HandedOver::UnderWay,
            (true, Some(_)) => HandedOver::Blocked,
        };
        state.flush_waiter = Some((waker.clone(), handed == HandedOver::UnderWay));
        handed
    }

    pub(super) fn response_ended(&self) {
        let mut state = self.state();
        if let Stage::Exchange | Stage::Responding = state.stage {
            state.stage = Stage::Flushing;
        }
    }

    /// How often hyper has written all that it had.
    pub(super) fn flushes(&self) -> u64 {
        self.state().flushes
    }

    /// Waits until hyper has written all that it had when there had been so many flushes.
    pub(super) fn poll_flushed_since(&self, flushes: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.flushes != flushes {
            return Poll::Ready(());
        }
        state.flush_waiter = Some((cx.waker().clone(), false));
        Poll::Pending
    }

    pub(super) fn upload_begun(&self, breaker: AbortHandle) {
        let mut state = self.state();
        state.upload = Some(breaker);
        // Whatever it said, it may still be sending when the response is out.
        if state.peer == PeerSide::Leaves {
            state.peer = PeerSide::Stays;
        }
    }

    pub(super) fn hijack(&self, request: HijackRequest) {
        self.state().hijack = Some(request);
    }

    // ===== the connection asks and decides =====

    /// hyper is about to be dropped: a body that is not whole will never be. Whether there was one.
    pub(super) fn break_upload(&self) -> bool {
        let upload = self.state().upload.take();
        upload.is_some_and(AbortHandle::break_off)
    }

    /// The app's wish for the connection, once everything before it was written.
    pub(super) fn taken_over(&self) -> Option<HijackRequest> {
        let mut state = self.state();
        if state.unflushed { None } else { state.hijack.take() }
    }

    /// Whether hyper is to be let go of: for the app, or for what the guard has found.
    pub(super) fn is_wanted_back(&self) -> bool {
        let state = self.state();
        state.interruption.is_some() || !state.unflushed && state.hijack.is_some()
    }

    /// What the guard has found, once.
    pub(super) fn interruption(&self) -> Option<Interruption> {
        self.state().interruption.take()
    }

    /// Whether a request is under way, so that what comes in behind it has to wait.
    pub(super) fn is_exchanging(&self) -> bool {
        matches!(self.state().stage, Stage::Exchange | Stage::Responding | Stage::Flushing)
    }

    /// Since when a head has been arriving, if one is.
    pub(super) fn head_since(&self) -> Option<Instant> {
        if let Stage::Head { since } = self.state().stage { Some(since) } else { None }
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// A connection thought silent was not: a head begins now, or is about to.
    pub(super) fn warm(&self, now: Instant, head_begun: bool) {
        self.state().stage = if head_begun { Stage::Head { since: now } } else { Stage::Idle { since: now } };
    }

    pub(super) fn force(&self) {
        self.state().forced = true;
    }

    pub(super) fn is_forced(&self) -> bool {
        self.state().forced
    }

    pub(super) fn peer_closed(&self) -> bool {
        self.state().peer == PeerSide::Closed
    }

    pub(super) fn client_closes(&self) -> bool {
        self.state().peer != PeerSide::Stays
    }

    /// Whether the head that arrived last, or what passed for one, was answered.
    pub(super) fn answered(&self) -> bool {
        self.state().answered
    }

    pub(super) fn is_close_delimited(&self) -> bool {
        self.state().close_delimited
    }

    /// Has the client's pace looked at when the socket is next written to.
    pub(super) fn look_at_pace(&self, now: Instant, rate: Option<MinRate>) {
        if let Some(pace) = &mut self.state().pace {
            *pace = Pace { since: now, quota: rate.map(|rate| rate.quota()), ..*pace };
        }
    }

    /// When something is due if nothing happens before, and what.
    pub(super) fn due(&self, timeouts: &Timeouts, phase: Phase) -> Option<(Instant, Due)> {
        self.state().due(timeouts, phase)
    }

    /// The same for a connection that hyper has. `lags` says that it gives way already.
    pub(super) fn due_at_work(&self, timeouts: &Timeouts, phase: Phase, lags: bool) -> Option<(Instant, Due)> {
        let state = self.state();
        let turn = match state.stage {
            Stage::Fresh { since } | Stage::Idle { since } => Some((since + REST_AFTER, Due::Rest)),
            Stage::Head { since } if !lags => Some((since + LAGS_AFTER, Due::Lags)),
            _ => None,
        };
        [state.due(timeouts, phase), turn].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

impl State {
    fn due(&self, timeouts: &Timeouts, phase: Phase) -> Option<(Instant, Due)> {
        let stalled = self.stalled.zip(timeouts.write_timeout).map(|(since, limit)| (since + limit, Due::Write));
        let waited = match self.stage {
            Stage::Fresh { since } => timeouts.first_data_timeout.map(|limit| (since + limit, Due::FirstByte)),
            Stage::Head { since } => {
                let limit = [timeouts.head_timeout, timeouts.receive_timeout].into_iter().flatten().min();
                limit.map(|limit| (since + limit, Due::Head))
            }
            Stage::Idle { since } => timeouts.persistent_timeout.map(|limit| (since + limit, Due::Idle)),
            Stage::Exchange | Stage::Responding | Stage::Flushing => None,
        };
        let cold = match (self.stage, phase) {
            (Stage::Idle { since }, Phase::Closing { since: begun, deadline, gently: true }) => {
                let usual = self.gap.map_or(COLD_AFTER_FIRST, |gap| COLD_AFTER_GAPS * gap);
                // Not so long that requests in flight would be short of time.
                let latest = begun + deadline.saturating_duration_since(begun) / 2;
                Some(((since + usual).min(latest).max(since + COLD_AFTER), Due::Cold))
            }
            (Stage::Fresh { since } | Stage::Idle { since }, Phase::Closing { .. }) => {
                Some((since + COLD_AFTER, Due::Cold))
            }
            _ => None,
        };
        let pace = match (self.pace, timeouts.min_data_rate) {
            (Some(Pace { since, too_slow: true, .. }), Some(_)) => Some((since, Due::Write)),
            (Some(Pace { since, .. }), Some(rate)) => Some((since + rate.window(), Due::Rate)),
            _ => None,
        };
        [stalled, pace, waited, cold].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn timeouts() -> Timeouts {
        let timeouts = Timeouts::default();
        Timeouts {
            first_data_timeout: Some(s(1)),
            head_timeout: Some(s(2)),
            body_timeout: Some(s(3)),
            persistent_timeout: Some(s(4)),
            write_timeout: Some(s(5)),
            min_data_rate: None,
            ..timeouts
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_its_own_deadline() {
        let start = super::super::now();
        let activity = ConnectionState::new(start);
        let due = || activity.due(&timeouts(), Phase::Ready);
        assert_eq!(due(), Some((start + s(1), Due::FirstByte)));
        activity.bytes_read();
        assert_eq!(due(), Some((start + s(2), Due::Head)));
        tokio::time::advance(s(1)).await;
        activity.bytes_read();
        assert_eq!(due(), Some((start + s(2), Due::Head)), "a trickle does not extend it");
        activity.request_begun(true);
        assert_eq!(due(), None, "an app may think as long as it likes");
        activity.response_begun(false);
        activity.write_blocked(|| 0);
        assert_eq!(due(), Some((start + s(6), Due::Write)));
        activity.bytes_written(1);
        activity.response_ended();
        assert_eq!(due(), None);
        activity.flushed();
        assert_eq!(due(), Some((start + s(5), Due::Idle)));
    }

    /// The kernel takes nothing more until a third of a buffer of megabytes is free, so that a client of 10 KB a second looked
    /// silent for minutes, and was cut.
    #[tokio::test(start_paused = true)]
    async fn what_the_client_has_taken_counts_and_not_what_the_kernel_has() {
        let activity = ConnectionState::new(super::super::now());
        let timeouts = Timeouts { min_data_rate: Some(MinRate { bytes: 500, over: s(20) }), ..Timeouts::default() };
        let mut due = Vec::new();
        activity.request_begun(true);
        activity.response_begun(false);
        activity.bytes_written(4_000_000);
        let mut unsent = 4_000_000;
        activity.write_blocked(|| unsent);
        for taken in [200_000, 200_000, 0, 10_000, 0, 9_999] {
            let (at, what) = activity.due(&timeouts, Phase::Ready).unwrap();
            due.push(what);
            tokio::time::advance(at - super::super::now()).await;
            activity.look_at_pace(super::super::now(), timeouts.min_data_rate);
            unsent -= taken;
            activity.write_blocked(|| unsent);
        }
        assert_eq!(due, [Due::Rate; 6], "fast enough, or silent for less than the write timeout");
        let (at, what) = activity.due(&timeouts, Phase::Ready).unwrap();
        assert_eq!((at, what), (super::super::now(), Due::Write), "too slow");
        activity.flushed();
        assert_eq!(activity.due(&timeouts, Phase::Ready), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_silent_are_due_in_a_drain() {
        let start = super::super::now();
        let activity = ConnectionState::new(start);
        let closing = Phase::Closing { since: start, deadline: start + s(9), gently: true };
        let draining = Phase::Draining { since: start, pace: s(9), until: start + s(9) };
        let due = |phase| activity.due(&Timeouts { first_data_timeout: Some(s(30)), ..timeouts() }, phase);
        assert_eq!(due(closing), Some((start + COLD_AFTER, Due::Cold)));
        assert_eq!(due(draining), Some((start + s(30), Due::FirstByte)), "kept while everything new is served");
        activity.bytes_read();
        assert_eq!(due(closing), Some((start + s(2), Due::Head)));
    }

    /// A client that asked every three seconds was closed after one, and lost the request that crossed with the close.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_regularly_is_waited_for_within_half_of_the_budget() {
        let activity = ConnectionState::new(super::super::now());
        let ask = || {
            activity.bytes_read();
            activity.request_begun(true);
            activity.response_begun(false);
            activity.bytes_written(1);
            activity.response_ended();
            activity.flushed();
        };
        ask();
        let idle = super::super::now();
        let closing = |gently| Phase::Closing { since: idle, deadline: idle + s(30), gently };
        let after_one = |gently| activity.due(&Timeouts { persistent_timeout: None, ..timeouts() }, closing(gently));
        assert_eq!(after_one(true), Some((idle + COLD_AFTER_FIRST, Due::Cold)));
        assert_eq!(after_one(false), Some((idle + COLD_AFTER, Due::Cold)), "somebody waits for the end");
        tokio::time::advance(s(3)).await;
        ask();
        let idle = super::super::now();
        let due = |patience| {
            let closing = Phase::Closing { since: idle, deadline: idle + s(patience), gently: true };
            activity.due(&Timeouts { persistent_timeout: None, ..timeouts() }, closing)
        };
        assert_eq!(due(20), Some((idle + s(6), Due::Cold)));
        assert_eq!(due(8), Some((idle + s(4), Due::Cold)));
        assert_eq!(due(1), Some((idle + COLD_AFTER, Due::Cold)));
        ask();
        assert_eq!(due(20), Some((idle + s(3), Due::Cold)), "it comes more often now");
    }
}
