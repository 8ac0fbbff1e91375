//! The memory that many connections have needed, after most of them have gone to rest or ended. The allocator keeps it for the
//! next, and where they come one by one that is right; after a rush it would stay the process's for ever.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

/// About what a connection needs, in KiB: all the time, and beside that while it works.
pub(super) const OPEN: usize = 2;
pub(super) const AT_WORK: usize = 16;

/// How much less than before has to be needed until it is worth giving back, in KiB.
const WORTH: usize = 8 * 1024;
/// How long it has to stay so.
const CALM: Duration = Duration::from_secs(1);
/// To give back takes some milliseconds, in which nobody gets memory: not more often than so.
const PAUSE: Duration = Duration::from_secs(10);

/// Shared by the connections.
#[derive(Debug, Default)]
pub(crate) struct Slack {
    state: Mutex<State>,
    /// Rings when there may be something to give back.
    due: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In KiB.
    needed: usize,
    /// The most that was needed at a time, since something was given back.
    most: usize,
}

/// Memory that is needed, for as long as this exists.
#[derive(Debug)]
pub(super) struct Need<'a> {
    slack: &'a Slack,
    size: usize,
}

impl Slack {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// So many KiB are needed from now on.
    pub(super) fn need(&self, size: usize) -> Need<'_> {
        let mut state = self.state();
        state.needed += size;
        state.most = state.most.max(state.needed);
        Need { slack: self, size }
    }

    /// So many KiB of bodies are in memory no more.
    pub(super) fn freed(&self, size: usize) {
        let mut state = self.state();
        state.most += size;
        if state.is_worth_it() {
            drop(state);
            self.due.notify_one();
        }
    }

    /// Has memory given back whenever it is worth while. Never ends.
    pub(crate) async fn keep_small<F: Future<Output = ()>>(&self, give_back: impl Fn() -> F) {
        loop {
            self.due.notified().await;
            sleep(CALM).await;
            if self.state().settle() {
                give_back().await;
                sleep(PAUSE).await;
            }
        }
    }
}

impl Drop for Need<'_> {
    fn drop(&mut self) {
        let mut state = self.slack.state();
        state.needed -= self.size;
        if state.is_worth_it() {
            drop(state);
            self.slack.due.notify_one();
        }
    }
}

impl State {
    fn is_worth_it(&self) -> bool {
        self.most - self.needed >= WORTH
    }

    /// Whether it is worth it now; then what was is forgotten.
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

    use super::{CALM, PAUSE, Slack, WORTH};

    const MOMENT: Duration = Duration::from_millis(1);

    /// A slack that is kept small, and how often it was.
    fn kept() -> (Arc<Slack>, Arc<AtomicUsize>) {
        let (slack, given) = (Arc::new(Slack::default()), Arc::new(AtomicUsize::new(0)));
        let (watched, count) = (slack.clone(), given.clone());
        tokio::spawn(async move {
            let give_back = || {
                count.fetch_add(1, SeqCst);
                std::future::ready(())
            };
            watched.keep_small(give_back).await;
        });
        (slack, given)
    }

    fn rush(slack: &Slack) {
        drop((slack.need(WORTH / 2), slack.need(WORTH / 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn is_given_back_once_after_a_rush() {
        let (slack, given) = kept();
        rush(&slack);
        sleep(CALM - MOMENT).await;
        assert_eq!(given.load(SeqCst), 0, "the next may come at once");
        sleep(2 * MOMENT).await;
        assert_eq!(given.load(SeqCst), 1);
        sleep(2 * PAUSE).await;
        assert_eq!(given.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stays_where_it_is_needed_again() {
        let (slack, given) = kept();
        rush(&slack);
        let _need = slack.need(1);
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_one_by_one_leave_none() {
        let (slack, given) = kept();
        (0..10 * WORTH).for_each(|_| drop(slack.need(1)));
        sleep(2 * CALM).await;
        assert_eq!(given.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_rush_waits_for_the_pause() {
        let (slack, given) = kept();
        rush(&slack);
        sleep(CALM + MOMENT).await;
        rush(&slack);
        sleep(PAUSE).await;
        assert_eq!(given.load(SeqCst), 1);
        sleep(CALM + MOMENT).await;
        assert_eq!(given.load(SeqCst), 2);
    }
}
