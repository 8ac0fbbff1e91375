//! What a connection's state says is due, without a connection.

use super::*;
use crate::{
    config::MinRate,
    connection::{
        ending::Ending,
        stage::{COLD_AFTER, COLD_AFTER_FIRST, Due},
        state::{ConnectionState, Wait},
    },
    exchange::hijack::HijackRequest,
};

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
    let start = now();
    let state = ConnectionState::new(start);
    let due = || state.due(&timeouts(), Phase::Ready);
    assert_eq!(due(), Some((start + s(1), Due::FirstByte)));
    state.bytes_read();
    assert_eq!(due(), Some((start + s(2), Due::Head)));
    tokio::time::advance(s(1)).await;
    state.bytes_read();
    assert_eq!(due(), Some((start + s(2), Due::Head)), "a trickle does not extend it");
    state.request_begun(true);
    assert_eq!(due(), None, "an app may think as long as it likes");
    state.response_begun(false);
    state.write_blocked(|| 0);
    assert_eq!(due(), Some((start + s(6), Due::Write)));
    state.bytes_written(1);
    state.response_ended();
    assert_eq!(due(), None);
    state.flushed();
    assert_eq!(due(), Some((start + s(5), Due::Idle)));
}

/// The kernel takes nothing more until a third of a buffer of megabytes is free, so that a client of 10 KB a second looked
/// silent for minutes, and was cut.
#[tokio::test(start_paused = true)]
async fn what_the_client_has_taken_counts_and_not_what_the_kernel_has() {
    let state = ConnectionState::new(now());
    let timeouts = Timeouts { min_data_rate: Some(MinRate { bytes: 500, grace: s(20) }), ..Timeouts::default() };
    let mut due = Vec::new();
    state.request_begun(true);
    state.response_begun(false);
    state.bytes_written(4_000_000);
    let mut unsent = 4_000_000;
    state.write_blocked(|| unsent);
    for taken in [200_000, 200_000, 0, 10_000, 0, 9_999] {
        let (at, what) = state.due(&timeouts, Phase::Ready).unwrap();
        due.push(what);
        tokio::time::advance(at - now()).await;
        state.check_pace(now(), &timeouts);
        unsent -= taken;
        state.write_blocked(|| unsent);
    }
    assert_eq!(due, [Due::Rate; 6], "fast enough, or silent for less than the write timeout");
    let (at, what) = state.due(&timeouts, Phase::Ready).unwrap();
    assert_eq!((at, what), (now(), Due::Write), "too slow");
    state.flushed();
    assert_eq!(state.due(&timeouts, Phase::Ready), None);
}

#[tokio::test(start_paused = true)]
async fn only_the_silent_are_due_in_a_drain() {
    let start = now();
    let state = ConnectionState::new(start);
    let closing = Phase::Closing { since: start, deadline: start + s(9), gently: true };
    let draining = Phase::Draining { since: start, pace: s(9), until: start + s(9) };
    let due = |phase| state.due(&Timeouts { first_data_timeout: Some(s(30)), ..timeouts() }, phase);
    assert_eq!(due(closing), Some((start + COLD_AFTER, Due::Cold)));
    assert_eq!(due(draining), Some((start + s(30), Due::FirstByte)), "kept while everything new is served");
    state.bytes_read();
    assert_eq!(due(closing), Some((start + s(2), Due::Head)));
}

/// A client that asked every three seconds was closed after one, and lost the request that crossed with the close.
#[tokio::test(start_paused = true)]
async fn a_client_that_comes_regularly_is_waited_for_within_half_of_the_budget() {
    let state = ConnectionState::new(now());
    let ask = || {
        state.bytes_read();
        state.request_begun(true);
        state.response_begun(false);
        state.bytes_written(1);
        state.response_ended();
        state.flushed();
    };
    ask();
    let idle = now();
    let closing = |gently| Phase::Closing { since: idle, deadline: idle + s(30), gently };
    let after_one = |gently| state.due(&Timeouts { persistent_timeout: None, ..timeouts() }, closing(gently));
    assert_eq!(after_one(true), Some((idle + COLD_AFTER_FIRST, Due::Cold)));
    assert_eq!(after_one(false), Some((idle + COLD_AFTER, Due::Cold)), "the platform waits for the end");
    tokio::time::advance(s(3)).await;
    ask();
    let idle = now();
    let due = |grace| {
        let closing = Phase::Closing { since: idle, deadline: idle + s(grace), gently: true };
        state.due(&Timeouts { persistent_timeout: None, ..timeouts() }, closing)
    };
    assert_eq!(due(20), Some((idle + s(6), Due::Cold)));
    assert_eq!(due(8), Some((idle + s(4), Due::Cold)));
    assert_eq!(due(1), Some((idle + COLD_AFTER, Due::Cold)));
    ask();
    assert_eq!(due(20), Some((idle + s(3), Due::Cold)), "it comes more often now");
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_does_with_a_connection_what_its_stage_allows() {
    let state = ConnectionState::new(now());
    let check = || state.check(&timeouts(), Phase::Forcing { until: now() + s(1) }, false);
    assert!(matches!(check(), Err(Ending::Dismissed)));
    state.bytes_read();
    assert!(matches!(check(), Err(Ending::RefusedHead)));
    state.request_begun(true);
    assert!(!state.is_forced());
    assert!(matches!(check(), Ok(Wait { due: None, in_head: false })));
    assert!(state.is_forced(), "the request is refused by its response");
    state.response_begun(false);
    state.chunk_queued();
    assert!(matches!(check(), Err(Ending::Cut)));
    state.response_ended();
    assert!(check().is_ok(), "the response is whole, and goes out");
    state.flushed();
    assert!(matches!(check(), Err(Ending::Dismissed)));
}

#[tokio::test(start_paused = true)]
async fn a_hijack_waits_until_all_before_it_is_written() {
    let state = ConnectionState::new(now());
    state.bytes_read();
    state.request_begun(true);
    // A hint, which the socket does not take yet.
    state.write_blocked(|| 0);
    let (request, _hijack) = HijackRequest::new(b"head".to_vec(), Parker::new().unparker());
    state.hijack(request);
    assert!(state.check(&timeouts(), Phase::Ready, false).is_ok());
    assert!(state.wait(&timeouts(), Phase::Ready, false).is_some());
    state.bytes_written(1);
    state.flushed();
    assert!(state.wait(&timeouts(), Phase::Ready, false).is_none(), "the task is to look");
    let Err(Ending::Hijacked(request)) = state.check(&timeouts(), Phase::Ready, false) else { panic!("not hijacked") };
    assert_eq!(request.head(), b"head");
    assert!(state.check(&timeouts(), Phase::Ready, false).is_ok(), "once");
}

/// Only such a response needs a reset to look cut.
#[tokio::test(start_paused = true)]
async fn a_response_is_close_delimited_until_it_is_written() {
    for close_delimited in [true, false] {
        let state = ConnectionState::new(now());
        state.bytes_read();
        state.request_begun(false);
        assert!(!state.is_close_delimited());
        state.response_begun(close_delimited);
        assert_eq!(state.is_close_delimited(), close_delimited);
        state.response_ended();
        assert_eq!(state.is_close_delimited(), close_delimited);
        state.flushed();
        assert!(!state.is_close_delimited());
    }
}
