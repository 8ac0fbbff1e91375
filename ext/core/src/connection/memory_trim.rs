//! Giving memory back to the system that many connections have needed, after most of them have gone to rest or ended, or that
//! bodies have. The allocator keeps it for the next ones. Where they come one by one that is right; after a rush the process
//! would keep it for ever. What Ruby has of a rush its collector frees later, of which there is no sign: so memory is given back again a
//! few times after each, at growing distances.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use crate::http::body::Budget;

/// About how much memory a connection needs in KiB: all the time, and in addition while hyper serves it.
pub(super) const OPEN: usize = 2;
pub(super) const AT_WORK: usize = 16;

/// How far the need must have fallen, in KiB, before memory is given back.
const WORTH: usize = 8 * 1024;
/// How long the need must have been that low.
const CALM: Duration = Duration::from_secs(1);
/// The least time between two trims: one takes some milliseconds, in which no thread can allocate.
const PAUSE: Duration = Duration::from_secs(10);
/// It is at least so many times as long as the trim before it has computed, which in a large heap may be more: 40 ms for 300 MiB. But the
/// first that follows one after a rush comes after [`PAUSE`], and the next one then waits for both.
const RARE: u32 = 1000;
/// How often memory is given back again after a rush: first after [`PAUSE`], then after twice as long each time. Where nothing had been
/// freed, that took 0.7 ms in a small heap, and 20 to 40 ms, in which no thread can allocate, in one with 60,000 holes.
const FOLLOW_UPS: u32 = 3;

/// Shared by the connections.
#[derive(Debug)]
pub(crate) struct MemoryTrim {
    usage: Mutex<Usage>,
    /// Notified when there may be something to give back.
    due: Notify,
    /// What bodies need is counted there.
    bodies: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Usage {
    /// In KiB.
    needed: usize,
    /// The most that was needed at a time, since something was given back.
    most: usize,
}

/// A need for memory, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct MemoryUse<'a> {
    trim: &'a MemoryTrim,
    size: usize,
}

impl MemoryTrim {
    pub(super) fn new(bodies: Arc<Budget>) -> Self {
        Self { usage: Mutex::default(), due: Notify::new(), bodies }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        // No code that can panic runs under this lock.
        self.usage.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A need of `size` KiB begins.
    pub(super) fn needed(&self, size: usize) -> MemoryUse<'_> {
        let mut usage = self.usage();
        usage.needed += size;
        usage.most = usage.most.max(usage.needed);
        MemoryUse { trim: self, size }
    }

    /// Has memory given back whenever it is worth while; `give_back` returns the CPU time that it has taken. Never ends.
    pub(crate) async fn run<F: Future<Output = Duration>>(&self, give_back: impl Fn() -> F) {
        let mut follow_ups = FollowUps::default();
        loop {
            tokio::select! {
                // A rush begins the follow-ups anew, so that one which is due at the same time is not needed.
                biased;
                () = self.due.notified() => {}
                () = self.bodies.fallen() => {}
                () = follow_ups.wait() => {
                    sleep(PAUSE.max(give_back().await * RARE)).await;
                    continue;
                }
            }
            sleep(CALM).await;
            let (connections, bodies) = (self.usage().settle(), self.bodies.settle());
            if connections || bodies {
                let taken = give_back().await;
                sleep(PAUSE).await;
                let taken = taken + give_back().await;
                follow_ups = FollowUps::begin();
                sleep(PAUSE.max(taken * RARE)).await;
            }
        }
    }
}

/// When memory is given back again after a rush.
#[derive(Debug, Default)]
struct FollowUps {
    next: Option<Instant>,
    /// How many have been.
    count: u32,
}

impl FollowUps {
    /// The first has been.
    fn begin() -> Self {
        Self { next: Some(Instant::now() + 2 * PAUSE), count: 1 }
    }

    /// Waits for the next, and looks forward to the one behind it; for ever where there is none. To drop the wait changes nothing.
    async fn wait(&mut self) {
        match self.next {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.count += 1;
        self.next = (self.count < FOLLOW_UPS).then(|| Instant::now() + PAUSE * 2_u32.pow(self.count));
    }
}

impl Drop for MemoryUse<'_> {
    fn drop(&mut self) {
        let mut usage = self.trim.usage();
        usage.needed -= self.size;
        if usage.is_worth_it() {
            drop(usage);
            self.trim.due.notify_one();
        }
    }
}

impl Usage {
    fn is_worth_it(&self) -> bool {
        self.most - self.needed >= WORTH
    }

    /// Whether it is worth it now. If so, counting starts anew.
    fn settle(&mut self) -> bool {
        let worth_it = self.is_worth_it();
        if worth_it {
            self.most = self.needed;
        }
        worth_it
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    use tokio::time::sleep;

    use super::{Budget, CALM, MemoryTrim, PAUSE, RARE, WORTH};

    const MOMENT: Duration = Duration::from_millis(1);

    /// Memory that is kept small, and how often something was given back.
    fn kept() -> (Arc<MemoryTrim>, Arc<AtomicUsize>) {
        let (memory_trim, given) = (Arc::new(MemoryTrim::new(Budget::new(None))), Arc::new(AtomicUsize::new(0)));
        let (watched, count) = (memory_trim.clone(), given.clone());
        tokio::spawn(async move {
            let give_back = || {
                count.fetch_add(1, SeqCst);
                std::future::ready(Duration::ZERO)
            };
            watched.run(give_back).await;
        });
        (memory_trim, given)
    }

    fn rush(memory_trim: &MemoryTrim) {
        drop((memory_trim.needed(WORTH / 2), memory_trim.needed(WORTH / 2)));
    }

    /// Steady uploads had one every eleven seconds, however long it took.
    #[tokio::test(start_paused = true)]
    async fn is_given_back_rarely_where_that_takes_long() {
        let (memory_trim, given) = (MemoryTrim::new(Budget::new(None)), AtomicUsize::new(0));
        let takes = PAUSE / RARE * 6;
        let watch = memory_trim.run(|| {
            given.fetch_add(1, SeqCst);
            std::future::ready(takes)
        });
        let uploads = async {
            let mut times = Vec::new();
            for second in 0..20 * PAUSE.as_secs() {
                rush(&memory_trim);
                sleep(Duration::from_millis(500)).await;
                if given.load(SeqCst) > times.len() {
                    times.push(second);
                }
                sleep(Duration::from_millis(500)).await;
            }
            times
        };
        tokio::select! {
            () = watch => {}
            times = uploads => assert_eq!(times, [1, 11, 132, 142]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn is_given_back_a_second_after_a_rush() {
        let (memory_trim, given) = kept();
        rush(&memory_trim);
        sleep(CALM - MOMENT).await;
        assert_eq!(given.load(SeqCst), 0, "the next may come at once");
        sleep(2 * MOMENT).await;
        assert_eq!(given.load(SeqCst), 1);
        sleep(PAUSE - 2 * MOMENT).await;
        assert_eq!(given.load(SeqCst), 1);
    }

    /// Ruby's collector came by after the trim, and the process kept 300 MB until the next rush.
    #[tokio::test(start_paused = true)]
    async fn is_given_back_again_a_few_times_ever_more_rarely() {
        let (memory_trim, given) = kept();
        rush(&memory_trim);
        sleep(CALM + MOMENT).await;
        let mut found = Vec::new();
        for seconds in 1..10_000 {
            sleep(Duration::from_secs(1)).await;
            if given.load(SeqCst) > 1 + found.len() {
                found.push(seconds);
            }
        }
        assert_eq!(found, [10, 30, 70]);
    }

    /// The allocator kept what uploads had needed, each freed by the worker that had run its request.
    #[tokio::test(start_paused = true)]
    async fn is_given_back_after_large_bodies_too() {
        let (memory_trim, given) = kept();
        let mut upload = memory_trim.bodies.account_of_request();
        upload.grow(2 * WORTH * 1024);
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 0);
        drop(upload);
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stays_where_it_is_needed_again() {
        let (memory_trim, given) = kept();
        rush(&memory_trim);
        let _memory = memory_trim.needed(1);
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_one_by_one_leave_none() {
        let (memory_trim, given) = kept();
        (0..10 * WORTH).for_each(|_| drop(memory_trim.needed(1)));
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_rush_waits_for_the_pause() {
        let (memory_trim, given) = kept();
        rush(&memory_trim);
        sleep(CALM + MOMENT).await;
        rush(&memory_trim);
        sleep(2 * PAUSE).await;
        assert_eq!(given.load(SeqCst), 2, "the rush, and once more");
        sleep(CALM + MOMENT).await;
        assert_eq!(given.load(SeqCst), 3);
    }
}
