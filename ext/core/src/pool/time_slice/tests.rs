use super::*;
use std::thread;

/// A GVL, with a count of its interrupts.
macro_rules! slicer {
    () => {{
        static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
        static SLICER: TimeSlicer = TimeSlicer::new(|| {
            INTERRUPTS.fetch_add(1, SeqCst);
        });
        (&SLICER, || INTERRUPTS.load(SeqCst))
    }};
}

const MS: Duration = Duration::from_millis(1);

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    tokio::task::yield_now().await;
}

/// A thread wants the GVL, and the server hears of it.
async fn want(slicer: &TimeSlicer) {
    slicer.ready(false);
    tokio::task::yield_now().await;
}

fn run(slicer: &'static TimeSlicer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(slicer.run(Some(SLICE), SharedStats::default()))
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_left_alone_for_a_whole_slice() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    pass(SLICE * 9).await;
    assert_eq!(interrupts(), 0, "no thread wants it");
    slicer.begin_burst(now());
    pass(SLICE / 2).await;
    want(slicer).await;
    pass(SLICE / 2 - MS).await;
    assert_eq!((interrupts(), slicer.is_asked()), (0, false), "it has had less than a slice");
    pass(2 * MS).await;
    assert_eq!((interrupts(), slicer.is_asked()), (1, true));
}

/// Threads of other Ractors have been counted as wanting the app's GVL.
#[tokio::test(start_paused = true)]
async fn one_that_wanted_another_gvl_is_not_waited_for() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    want(slicer).await;
    slicer.withdrawn();
    pass(SLICE * 9).await;
    assert_eq!(interrupts(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_computed_for_long_already_has_half_a_slice_left() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    pass(SLICE * 4).await;
    want(slicer).await;
    pass(SLICE / 2 - MS).await;
    assert_eq!(interrupts(), 0);
    pass(2 * MS).await;
    assert_eq!(interrupts(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_until_it_hands_the_gvl_on_and_then_has_a_slice_again() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    want(slicer).await;
    pass(SLICE + 2 * STEP + MS).await;
    assert_eq!(interrupts(), 3);
    slicer.suspended();
    slicer.ready(true);
    slicer.resumed(false, now(), None);
    assert!(!slicer.is_asked(), "a request that comes late is not for this thread");
    pass(SLICE - STEP).await;
    assert_eq!(interrupts(), 3, "the other's slice begins anew");
    slicer.suspended();
    slicer.resumed(true, now(), None);
    want(slicer).await;
    pass(SLICE - STEP).await;
    assert_eq!(interrupts(), 3, "as does its own");
    pass(2 * STEP).await;
    assert!(interrupts() > 3);
}

#[tokio::test(start_paused = true)]
async fn requests_of_less_than_a_slice_are_never_interrupted_however_many_follow_each_other() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    want(slicer).await;
    for _ in 0..20 {
        slicer.begin_burst(now());
        pass(SLICE * 2 / 3).await;
    }
    assert_eq!(interrupts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_hands_the_gvl_on_between_requests_after_a_step() {
    let (slicer, _) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    pass(SLICE).await;
    assert!(!slicer.is_due(), "no thread wants it");
    want(slicer).await;
    assert!(!slicer.is_due());
    pass(STEP + MS).await;
    assert!(slicer.is_due());
    slicer.suspended();
    slicer.resumed(false, now(), None);
    assert!(!slicer.is_due(), "it has been handed on");
}

#[tokio::test(start_paused = true)]
async fn a_hog_that_has_had_its_slice_leaves_as_much_to_the_others() {
    let (slicer, _) = slicer!();
    run(slicer);
    slicer.ready(true);
    slicer.ready(false);
    slicer.resumed(false, now(), None);
    tokio::task::yield_now().await;
    pass(SLICE - STEP).await;
    assert!(!slicer.is_due());
    pass(2 * STEP).await;
    assert!(slicer.is_due());
}

#[tokio::test(start_paused = true)]
async fn without_a_slice_only_requests_that_follow_each_other_are_interrupted() {
    let (slicer, interrupts) = slicer!();
    tokio::spawn(slicer.run(None, SharedStats::default()));
    slicer.resumed(false, now(), None);
    want(slicer).await;
    pass(MAX_REFUSED).await;
    assert_eq!((interrupts(), slicer.is_due()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn threads_that_come_when_the_gvl_is_free_are_not_forgotten() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.ready(false);
    slicer.ready(false);
    slicer.resumed(false, now(), None);
    tokio::task::yield_now().await;
    pass(SLICE + MS).await;
    assert_eq!(interrupts(), 1, "the second has to wait");
}

#[tokio::test(start_paused = true)]
async fn one_that_never_comes_is_forgotten() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    slicer.resumed(false, now(), None);
    want(slicer).await;
    pass(SLICE + MAX_REFUSED * 2).await;
    let in_vain = interrupts();
    pass(MAX_REFUSED).await;
    assert_eq!(interrupts(), in_vain);
    want(slicer).await;
    pass(SLICE).await;
    assert!(interrupts() > in_vain, "the next is heard");
}

// On a busy machine, and where a container's quota is used up, the time passes and nothing is computed.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn only_what_it_has_computed_counts() {
    let (slicer, interrupts) = slicer!();
    run(slicer);
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let idle = thread::spawn(move || {
        tell.send(CpuClock::of_this_thread()).unwrap();
        ended.recv()
    });
    let clock = told.recv().unwrap();
    assert!(clock.is_some());
    slicer.resumed(false, now(), clock);
    want(slicer).await;
    pass(SLICE * 5).await;
    assert_eq!(interrupts(), 0);
    drop(end);
    idle.join().unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn another_server_goes_on_where_one_ends() {
    let (slicer, interrupts) = slicer!();
    let first = run(slicer);
    run(slicer);
    slicer.resumed(false, now(), None);
    want(slicer).await;
    pass(SLICE + MS).await;
    first.abort();
    let before = interrupts();
    pass(SLICE).await;
    assert!(interrupts() > before);
}

#[tokio::test]
async fn no_contention_is_missed_when_the_server_stops_looking() {
    let (slicer, interrupts) = slicer!();
    let running = run(slicer);
    let threads = (0..4).map(|_| {
        thread::spawn(move || {
            for _ in 0..2000 {
                slicer.resumed(false, Instant::now(), None);
                slicer.ready(false);
                slicer.resumed(false, Instant::now(), None);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap())).await.unwrap();
    slicer.ready(false);
    let before = interrupts();
    while interrupts() == before {
        tokio::time::sleep(STEP).await;
    }
    running.abort();
}
