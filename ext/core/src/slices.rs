//! Time slices: whoever has had the interpreter's lock for a slice, while others want it, is asked to let them go first.
//!
//! Ruby does that as well, after 100 ms. That is a long time for a request that needs the lock for one, and for the
//! `Timeout`, the signal or the result of a thread that it waits for. What is short here costs next to nothing: handing the
//! lock over takes some microseconds, and nobody is asked as long as nobody waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::stats::Stats;

/// How long the lock may stay with one thread while another wants it; up to twice as long if it has just been handed over.
pub const SLICE: Duration = Duration::from_millis(5);

/// So many slices of one thread in a row show that nobody waits after all, as when a thread that was begun can't be created.
const IN_VAIN: u32 = 100;

/// Who has the interpreter's lock, and who wants it. One for each interpreter; any number of servers may look after it.
#[derive(Debug)]
pub struct Slices {
    wanting: AtomicUsize,
    /// Whether somebody has it, as far as we have heard.
    taken: AtomicBool,
    /// How often it has gone to somebody.
    turns: AtomicU64,
    /// Whether a watch is kept, or has been called for.
    watched: AtomicBool,
    bell: Notify,
    /// Asks whoever has it to let go for a moment. It may be late, and then ask somebody who need not.
    interrupt: fn(),
}

impl Slices {
    /// A lock of which nothing has been heard.
    pub const fn new(interrupt: fn()) -> Self {
        Self {
            wanting: AtomicUsize::new(0),
            taken: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            bell: Notify::const_new(),
            interrupt,
        }
    }

    /// A thread wants the lock.
    pub fn wanted(&self) {
        self.wanting.fetch_add(1, SeqCst);
        self.watch_over(self.taken.load(SeqCst));
    }

    /// A thread that [wanted](Self::wanted) the lock has it; or one that wanted it before anybody listened.
    pub fn got(&self) {
        let _ = self.wanting.fetch_update(SeqCst, SeqCst, |wanting| wanting.checked_sub(1));
        self.turns.fetch_add(1, SeqCst);
        self.taken.store(true, SeqCst);
        // Those who wanted it when nobody had it have called nobody.
        self.watch_over(self.wanting.load(SeqCst) > 0);
    }

    /// A thread that [wanted](Self::wanted) the lock turns out to want another one.
    pub fn withdrawn(&self) {
        let _ = self.wanting.fetch_update(SeqCst, SeqCst, |wanting| wanting.checked_sub(1));
    }

    /// A thread lets go of the lock.
    pub fn let_go(&self) {
        self.taken.store(false, SeqCst);
    }

    /// In a child of this process, which has one thread: nobody wants the lock there, nor is anybody called any more, over
    /// something that may have been in use at the fork. A server that begins there sees to that anew.
    pub fn forget(&self) {
        self.wanting.store(0, SeqCst);
        self.watched.store(true, SeqCst);
    }

    fn watch_over(&self, contended: bool) {
        if contended && !self.watched.swap(true, SeqCst) {
            self.bell.notify_one();
        }
    }

    /// Sees to it that no slice becomes too long, and counts those that had. Never ends.
    pub(crate) async fn keep(&self, stats: Arc<Stats>) {
        let _relief = Relief(self);
        loop {
            let mut in_vain = 0;
            while self.is_wanted() {
                let turns = self.turns.load(SeqCst);
                tokio::time::sleep(SLICE).await;
                in_vain = if self.turns.load(SeqCst) == turns { in_vain + 1 } else { 0 };
                if in_vain == IN_VAIN {
                    // Whoever wanted it will not come; or whoever has it can't be asked, and then there is no hurry.
                    self.wanting.store(0, SeqCst);
                } else if in_vain > 0 && self.is_wanted() {
                    (self.interrupt)();
                    stats.preempted();
                }
            }
            self.bell.notified().await;
        }
    }

    /// Whether there is something to watch over; if not, the next who wants the lock calls again.
    fn is_wanted(&self) -> bool {
        if self.wanting.load(SeqCst) == 0 {
            self.watched.store(false, SeqCst);
            // Somebody may have found a watch that was just ending.
            return self.wanting.load(SeqCst) > 0 && !self.watched.swap(true, SeqCst);
        }
        true
    }
}

/// Whose watch ends with a server leaves it to another's.
struct Relief<'a>(&'a Slices);

impl Drop for Relief<'_> {
    fn drop(&mut self) {
        self.0.watched.store(true, SeqCst);
        self.0.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A lock, with a count of its interrupts.
    macro_rules! slices {
        () => {{
            static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
            static SLICES: Slices = Slices::new(|| {
                INTERRUPTS.fetch_add(1, SeqCst);
            });
            (&SLICES, || INTERRUPTS.load(SeqCst))
        }};
    }

    async fn pass(slices: u32) {
        tokio::time::sleep(SLICE * slices + SLICE / 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_the_lock_is_asked_after_each_slice_while_another_wants_it() {
        let (slices, interrupts) = slices!();
        tokio::spawn(slices.keep(Arc::default()));
        slices.got();
        pass(9).await;
        assert_eq!(interrupts(), 0, "nobody wants it");
        slices.wanted();
        tokio::task::yield_now().await;
        pass(2).await;
        assert_eq!(interrupts(), 2);
        slices.let_go();
        slices.got();
        pass(9).await;
        assert_eq!(interrupts(), 2, "it has been handed over");
    }

    #[tokio::test(start_paused = true)]
    async fn who_changes_soon_enough_is_not_asked() {
        let (slices, interrupts) = slices!();
        tokio::spawn(slices.keep(Arc::default()));
        slices.got();
        slices.wanted();
        for _ in 0..20 {
            tokio::time::sleep(SLICE * 2 / 3).await;
            slices.wanted();
            slices.let_go();
            slices.got();
        }
        assert_eq!(interrupts(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_when_the_lock_is_free_are_not_forgotten() {
        let (slices, interrupts) = slices!();
        tokio::spawn(slices.keep(Arc::default()));
        slices.wanted();
        slices.wanted();
        slices.got();
        tokio::task::yield_now().await;
        pass(1).await;
        assert_eq!(interrupts(), 1, "the second has to wait");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_wanted_another_lock_is_not_waited_for() {
        let (slices, interrupts) = slices!();
        tokio::spawn(slices.keep(Arc::default()));
        slices.got();
        slices.wanted();
        slices.withdrawn();
        pass(9).await;
        assert_eq!(interrupts(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_comes_is_forgotten() {
        let (slices, interrupts) = slices!();
        tokio::spawn(slices.keep(Arc::default()));
        slices.got();
        slices.wanted();
        pass(IN_VAIN * 3).await;
        assert_eq!(interrupts(), u64::from(IN_VAIN) - 1);
        slices.wanted();
        tokio::task::yield_now().await;
        pass(1).await;
        assert_eq!(interrupts(), u64::from(IN_VAIN), "the next is heard");
    }

    #[tokio::test(start_paused = true)]
    async fn another_server_goes_on_with_the_watch() {
        let (slices, interrupts) = slices!();
        let first = tokio::spawn(slices.keep(Arc::default()));
        tokio::spawn(slices.keep(Arc::default()));
        slices.got();
        slices.wanted();
        pass(1).await;
        first.abort();
        let before = interrupts();
        pass(3).await;
        assert!(interrupts() > before);
    }

    #[tokio::test]
    async fn no_call_is_lost_when_a_watch_ends() {
        let (slices, interrupts) = slices!();
        let keeping = tokio::spawn(slices.keep(Arc::default()));
        let threads = (0..4).map(|_| {
            thread::spawn(move || {
                for _ in 0..2000 {
                    slices.got();
                    slices.wanted();
                    slices.got();
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap())).await.unwrap();
        slices.wanted();
        let before = interrupts();
        while interrupts() == before {
            tokio::time::sleep(SLICE).await;
        }
        keeping.abort();
    }
}
