//! The life of a server, by tables and by any order of events.

use super::*;
use proptest::prelude::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const RETIREMENT: Retirement = Retirement { timeout: s(7), hands_over: true };

fn ready(delay: u64, timeout: u64, budget: Option<u64>) -> (Lifecycle, Instant) {
    let plan =
        Plan { drain_delay: s(delay), shutdown_timeout: s(timeout), budget: budget.map(s), drain_until_quiet: false };
    let mut life = Lifecycle::new(plan, RETIREMENT);
    let now = Instant::now();
    assert_eq!(life.handle(Event::Booted, now), [Action::Announce(Phase::Ready, Cause::Booted)]);
    (life, now)
}

fn signal(signal: Signal) -> Event {
    Event::Signal(signal)
}

#[test]
fn term_keeps_serving_for_the_delay_then_closes_then_stops() {
    let (mut life, t0) = ready(3, 10, Some(28));
    let draining = Phase::Draining { since: t0, pace: s(3), until: t0 + s(3) };
    assert_eq!(life.handle(signal(Signal::Term), t0), [Action::Announce(draining, Cause::Signal(Signal::Term))]);
    assert_eq!(life.deadline(), Some(t0 + s(3)));
    assert_eq!(life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(2)), []);
    let closing = Phase::Closing { since: t0 + s(3), deadline: t0 + s(13), gently: true };
    assert_eq!(
        life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(3)),
        [Action::Announce(closing, Cause::TimeIsUp), Action::CloseListeners]
    );
    assert_eq!(
        life.handle(Event::Emptied { cut: false }, t0 + s(4)),
        [Action::Announce(Phase::Stopped { status: 0 }, Cause::Emptied)]
    );
    assert_eq!(life.deadline(), None);
}

#[test]
fn int_skips_the_delay_and_a_second_int_forces() {
    let (mut life, t0) = ready(3, 10, None);
    life.handle(signal(Signal::Int), t0);
    assert_eq!(life.phase(), Phase::Closing { since: t0, deadline: t0 + s(10), gently: false });
    let actions = life.handle(signal(Signal::Int), t0 + s(1));
    assert_eq!(actions.last(), Some(&Action::Force));
    assert_eq!(life.phase(), Phase::Forcing { until: t0 + s(1) + FORCING });
}

#[test]
fn a_second_signal_ends_the_delay_and_a_third_cuts_what_is_left() {
    let (mut life, t0) = ready(10, 20, None);
    life.handle(signal(Signal::Term), t0);
    life.handle(signal(Signal::Term), t0 + s(1));
    assert_eq!(life.phase(), Phase::Closing { since: t0 + s(1), deadline: t0 + s(21), gently: false });
    life.handle(signal(Signal::Quit), t0 + s(2));
    assert_eq!(life.phase(), Phase::Forcing { until: t0 + s(2) + FORCING });
}

#[test]
fn a_second_term_after_the_delay_changes_nothing_yet() {
    let (mut life, t0) = ready(0, 20, None);
    life.handle(signal(Signal::Term), t0);
    assert_eq!(life.handle(signal(Signal::Term), t0), [Action::Unmoved(Signal::Term)]);
    assert_eq!(life.handle(signal(Signal::Term), t0).last(), Some(&Action::Force));
}

#[test]
fn quit_is_term() {
    let (mut life, t0) = ready(3, 10, None);
    life.handle(signal(Signal::Quit), t0);
    assert_eq!(life.phase().name(), "draining");
}

#[test]
fn a_deadline_forces_and_what_is_cut_shows_in_the_status() {
    let (mut life, t0) = ready(0, 5, None);
    life.handle(signal(Signal::Term), t0);
    let actions = life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(5));
    assert_eq!(actions.last(), Some(&Action::Force));
    life.handle(Event::Emptied { cut: true }, t0 + s(5));
    assert_eq!(life.phase(), Phase::Stopped { status: 1 });
}

#[test]
fn a_forced_end_is_over_in_its_time_whatever_is_left() {
    let (mut life, t0) = ready(0, 0, None);
    life.handle(signal(Signal::Term), t0);
    life.handle(Event::DeadlineReached { unfinished: true }, t0);
    life.handle(Event::DeadlineReached { unfinished: true }, t0 + FORCING);
    assert_eq!(life.phase(), Phase::Stopped { status: 1 });
}

#[test]
fn the_budget_bounds_everything_from_the_first_signal_on() {
    let (mut life, t0) = ready(10, 18, Some(28));
    life.handle(signal(Signal::Term), t0);
    life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(12));
    assert_eq!(life.deadline(), Some(t0 + s(28)));
}

#[test]
fn a_signal_during_boot_stops_at_once() {
    let plan = Plan { drain_delay: s(3), shutdown_timeout: s(3), budget: None, drain_until_quiet: false };
    let mut life = Lifecycle::new(plan, RETIREMENT);
    life.handle(signal(Signal::Term), Instant::now());
    assert_eq!(life.phase(), Phase::Stopped { status: 0 });
    assert_eq!(life.handle(Event::Booted, Instant::now()), []);
}

#[test]
fn an_embedding_program_stops_with_or_without_the_delay() {
    let (mut life, t0) = ready(3, 10, None);
    life.handle(Event::Drain, t0);
    assert_eq!(life.phase().name(), "draining");
    life.handle(Event::Drain, t0 + s(1));
    assert_eq!(life.deadline(), Some(t0 + s(3)));
    life.handle(Event::Stop, t0 + s(1));
    assert_eq!(life.phase().name(), "closing");
}

#[test]
fn responses_say_close_more_often_as_the_delay_passes() {
    let t0 = Instant::now();
    let draining = Phase::Draining { since: t0, pace: s(10), until: t0 + s(10) };
    for (at, expected) in [(0, 0.0), (1, 0.0), (3, 0.5), (5, 1.0), (9, 1.0)] {
        assert!((draining.close_probability(t0 + s(at)) - expected).abs() < 1e-9, "at {at} s");
    }
    assert_eq!(Phase::Ready.close_probability(t0), 0.0);
    assert_eq!(Phase::Closing { since: t0, deadline: t0, gently: true }.close_probability(t0), 1.0);
}

#[test]
fn a_first_signal_does_not_cut_a_drain_that_was_asked_for() {
    let (mut life, t0) = ready(10, 10, None);
    life.handle(Event::Drain, t0);
    assert_eq!(life.handle(signal(Signal::Term), t0 + s(1)), [Action::Unmoved(Signal::Term)]);
    assert_eq!(life.deadline(), Some(t0 + s(10)));
    life.handle(signal(Signal::Term), t0 + s(2));
    assert_eq!(life.phase().name(), "closing");
    let (mut life, t0) = ready(10, 10, None);
    life.handle(Event::Drain, t0);
    life.handle(signal(Signal::Int), t0 + s(1));
    assert_eq!(life.phase().name(), "closing", "a Ctrl-C never waits");
}

#[test]
fn a_drain_ends_when_no_client_sends_any_more() {
    let (mut life, t0) = ready(10, 20, Some(28));
    assert_eq!(life.handle(Event::Quiet, t0), []);
    life.handle(signal(Signal::Term), t0);
    let actions = life.handle(Event::Quiet, t0 + s(3));
    let closing = Phase::Closing { since: t0 + s(3), deadline: t0 + s(23), gently: true };
    assert_eq!(actions, [Action::Announce(closing, Cause::Quiet), Action::CloseListeners]);
    assert_eq!(life.drained_for(), s(3));
}

#[test]
fn a_drain_goes_on_while_connections_come_as_far_as_the_budget_allows() {
    let (mut life, t0) = ready(10, 18, Some(28));
    life.handle(signal(Signal::Term), t0);
    let still = |last: u64, reserve: u64| Event::StillArriving { last: t0 + s(last), reserve: s(reserve) };
    assert_eq!(life.handle(still(8, 1), t0 + s(9)), [], "the delay is not over");
    let extended = |until: Duration| Phase::Draining { since: t0, pace: s(10), until: t0 + until };
    assert_eq!(life.handle(still(9, 1), t0 + s(10)), [Action::Extend(extended(s(11)))]);
    assert_eq!(life.deadline(), Some(t0 + s(11)));
    let limit = s(28) - s(5) - SETTLE_MAX;
    assert_eq!(life.handle(still(22, 5), t0 + s(22)), [Action::Extend(extended(limit))]);
    life.handle(still(22, 5), t0 + limit);
    assert_eq!(life.phase().name(), "closing", "the budget is used up");
}

#[test]
fn without_a_budget_a_drain_is_extended_to_its_double_at_most() {
    let (mut life, t0) = ready(10, 18, None);
    life.handle(signal(Signal::Term), t0);
    let event = Event::StillArriving { last: t0 + s(19), reserve: s(1) };
    life.handle(event, t0 + s(19));
    assert_eq!(life.deadline(), Some(t0 + s(20)));
    life.handle(event, t0 + s(20));
    assert_eq!(life.phase().name(), "closing");
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Booting => 0,
        Phase::Ready => 1,
        Phase::Draining { .. } => 2,
        Phase::Retiring { .. } => 3,
        Phase::Closing { .. } => 4,
        Phase::Forcing { .. } => 5,
        Phase::Stopped { .. } => 6,
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Booted),
        Just(signal(Signal::Term)),
        Just(signal(Signal::Quit)),
        Just(signal(Signal::Int)),
        Just(Event::Drain),
        Just(Event::Stop),
        Just(Event::Retire),
        Just(Event::Quiet),
        any::<bool>().prop_map(|cut| Event::Emptied { cut }),
        any::<bool>().prop_map(|unfinished| Event::DeadlineReached { unfinished }),
    ]
}

proptest! {
    /// Whatever happens in whatever order, the life only moves forward, and each phase is entered once.
    #[test]
    fn never_goes_back(
        delay in 0u64..5, timeout in 0u64..5, budget in proptest::option::of(0u64..8),
        script in proptest::collection::vec((any_event(), 0u64..3), 0..40),
    ) {
        let plan = Plan { drain_delay: s(delay), shutdown_timeout: s(timeout), budget: budget.map(s), drain_until_quiet: false };
        let mut life = Lifecycle::new(plan, RETIREMENT);
        let mut now = Instant::now();
        for (event, wait) in script {
            now += s(wait);
            let before = life.phase();
            let actions = life.handle(event, now);
            let announced = actions.iter().any(|action| matches!(action, Action::Announce(..)));
            prop_assert_eq!(announced, rank(life.phase()) != rank(before));
            prop_assert!(rank(life.phase()) >= rank(before));
        }
    }

    /// Left to itself after one signal, it is over by the platform's budget and the time of a forced end.
    #[test]
    fn always_ends_in_time(delay in 0u64..40, timeout in 0u64..40, budget in 0u64..40) {
        let plan = Plan { drain_delay: s(delay.min(budget)), shutdown_timeout: s(timeout), budget: Some(s(budget)), drain_until_quiet: false };
        let mut life = Lifecycle::new(plan, RETIREMENT);
        let start = Instant::now();
        life.handle(Event::Booted, start);
        life.handle(signal(Signal::Term), start);
        let mut now = start;
        while let Some(deadline) = life.deadline() {
            now = now.max(deadline);
            life.handle(Event::DeadlineReached { unfinished: true }, now);
        }
        prop_assert_eq!(life.phase(), Phase::Stopped { status: 1 });
        prop_assert!(now <= start + s(budget) + FORCING);
    }
}

/// An app that keeps Ruby from ending a drained process was killed by the platform, whatever its exit status.
#[test]
fn the_process_is_gone_a_second_before_the_platform_kills_it() {
    let (mut life, t0) = ready(3, 10, Some(28));
    assert_eq!(life.gone_by(t0), None);
    life.handle(signal(Signal::Term), t0);
    assert_eq!(life.gone_by(t0 + s(1)), None, "everything new is still served");
    life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(3));
    assert_eq!(life.gone_by(t0 + s(3)), Some(t0 + s(29)));
    life.handle(Event::Emptied { cut: false }, t0 + s(4));
    assert_eq!(life.gone_by(t0 + s(4)), Some(t0 + s(29)), "at_exit has the whole of the budget");
}

#[test]
fn without_a_budget_the_process_may_live_on_for_half_a_minute() {
    let (mut life, t0) = ready(0, 10, None);
    life.handle(signal(Signal::Term), t0);
    assert_eq!(life.gone_by(t0), Some(t0 + s(10) + FORCING + s(30)));
    life.handle(Event::Emptied { cut: true }, t0 + s(1));
    assert_eq!(life.gone_by(t0 + s(1)), Some(t0 + s(31)));
}

#[test]
fn a_forced_end_leaves_no_time_unless_nothing_was_cut() {
    for (cut, gone) in [(true, s(3) + FORCING + FORCED_EXIT), (false, s(29))] {
        let (mut life, t0) = ready(0, 10, Some(28));
        (1..4).for_each(|at| drop(life.handle(signal(Signal::Term), t0 + s(at))));
        assert_eq!(life.gone_by(t0 + s(3)), Some(t0 + s(3) + FORCING + FORCED_EXIT));
        life.handle(Event::Emptied { cut }, t0 + s(3));
        assert_eq!(life.gone_by(t0 + s(3)), Some(t0 + gone + if cut { s(0) } else { s(1) }));
    }
}

/// A test suite, a restart: what stops a server of its own accord goes on.
#[test]
fn the_process_goes_on_where_the_program_has_stopped_the_server() {
    let (mut life, t0) = ready(3, 10, Some(28));
    life.handle(Event::Stop, t0);
    assert_eq!(life.gone_by(t0), None);
    life.handle(signal(Signal::Term), t0 + s(1));
    assert_eq!(life.gone_by(t0 + s(1)), Some(t0 + s(29)), "and not where it is told to end meanwhile");
    let (mut life, t0) = ready(3, 10, Some(28));
    life.handle(Event::Drain, t0);
    life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(3));
    assert_eq!(life.gone_by(t0 + s(3)), Some(t0 + s(29)), "a preStop hook is the platform's");
}

fn retiring(t0: Instant) -> Phase {
    Phase::Retiring { since: t0, deadline: t0 + s(7), hands_over: true }
}

#[test]
fn a_worker_leaves_its_cluster_without_closing_the_listeners() {
    let (mut life, t0) = ready(3, 10, Some(28));
    let actions = life.handle(Event::Retire, t0);
    assert_eq!(actions, [Action::Announce(retiring(t0), Cause::Request), Action::LeaveListeners]);
    assert_eq!(life.handle(Event::Retire, t0 + s(1)), []);
    assert_eq!(life.deadline(), Some(t0 + s(7)));
    assert!(!life.has_drained());
    assert_eq!(life.gone_by(t0), Some(t0 + s(7) + FORCING + s(30)), "the platform's budget does not run");
    let stopped = Action::Announce(Phase::Stopped { status: 0 }, Cause::Emptied);
    assert_eq!(life.handle(Event::Emptied { cut: false }, t0 + s(2)), [stopped]);
}

#[test]
fn what_a_worker_that_leaves_does_not_finish_in_time_is_cut() {
    let (mut life, t0) = ready(3, 10, None);
    life.handle(Event::Retire, t0);
    assert_eq!(life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(6)), []);
    assert_eq!(life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(7)).last(), Some(&Action::Force));
    life.handle(Event::DeadlineReached { unfinished: true }, t0 + s(7) + FORCING);
    assert_eq!(life.phase(), Phase::Stopped { status: 1 });
}

/// The cluster's drain bounds the worker too, which has no listeners left to close.
#[test]
fn a_worker_that_leaves_closes_when_its_cluster_drains() {
    for (signal_at, timeout, budget, deadline) in [(1, 10, None, 7), (1, 2, None, 3), (1, 10, Some(3), 4)] {
        let (mut life, t0) = ready(2, timeout, budget);
        life.handle(Event::Retire, t0);
        let now = t0 + s(signal_at);
        let closing = Phase::Closing { since: now, deadline: t0 + s(deadline), gently: true };
        let cause = Cause::Signal(Signal::Term);
        assert_eq!(life.handle(signal(Signal::Term), now), [Action::Announce(closing, cause)]);
        assert!(life.has_drained());
        assert_eq!(life.handle(signal(Signal::Term), now), [Action::Unmoved(Signal::Term)]);
        assert_eq!(life.handle(signal(Signal::Term), now).last(), Some(&Action::Force));
    }
}

#[test]
fn a_worker_that_is_told_to_stop_does_not_leave_beside_that() {
    let (mut life, t0) = ready(3, 10, None);
    life.handle(signal(Signal::Term), t0);
    assert_eq!(life.handle(Event::Retire, t0 + s(1)), []);
    let plan = Plan { drain_delay: s(3), shutdown_timeout: s(3), budget: None, drain_until_quiet: false };
    let mut life = Lifecycle::new(plan, RETIREMENT);
    life.handle(Event::Retire, Instant::now());
    assert_eq!(life.phase(), Phase::Stopped { status: 0 });
}

#[test]
fn a_worker_that_gives_its_connections_away_tells_no_client_to_close() {
    let t0 = Instant::now();
    assert_eq!(retiring(t0).close_probability(t0 + s(6)), 0.0);
    let alone = Phase::Retiring { since: t0, deadline: t0 + s(7), hands_over: false };
    assert_eq!(alone.close_probability(t0), 1.0);
}
