//! How many connections there may be, and which gives way to a new one: the one that has been silent longest, never one with a
//! request; after all of those, the one that has been longest over a head. Where there is none, the new one waits.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::{Notify, oneshot};

/// The connections of a server that are silent, and how many there may be of all kinds.
#[derive(Debug)]
pub(crate) struct Crowd {
    limit: u64,
    silent: Mutex<Silent>,
    /// Told to leave, and not gone yet.
    leaving: AtomicU64,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Silent {
    /// By what is not heard, and the order in which they fell silent.
    places: BTreeMap<(Silence, u64), oneshot::Sender<()>>,
    next: u64,
}

/// What is not heard. The first give way before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Silence {
    Request,
    RestOfHead,
}

impl Crowd {
    /// With room for `limit` connections.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, silent: Mutex::default(), leaving: AtomicU64::new(0), changed: Notify::new() })
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        // No code that can panic runs under this lock.
        self.silent.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether there is room for one more beside `open` others.
    pub(crate) fn has_room(&self, open: u64) -> bool {
        open.saturating_sub(self.leaving.load(Relaxed)) < self.limit
    }

    /// A connection is silent from now on, until the place is dropped.
    pub(crate) fn falls_silent(self: &Arc<Self>) -> Place {
        self.place(Silence::Request)
    }

    /// A connection takes long over a head, until the place is dropped.
    pub(crate) fn lags(self: &Arc<Self>) -> Place {
        self.place(Silence::RestOfHead)
    }

    fn place(self: &Arc<Self>, silence: Silence) -> Place {
        let (sender, told) = oneshot::channel();
        let key = {
            let mut silent = self.silent();
            silent.next += 1;
            let key = (silence, silent.next);
            silent.places.insert(key, sender);
            key
        };
        self.changed.notify_waiters();
        Place { crowd: self.clone(), key, told }
    }

    /// Tells the connection that has been silent longest to leave. False where none is silent.
    pub(crate) fn gives_way(&self) -> bool {
        loop {
            let longest = {
                let mut silent = self.silent();
                let Some((_, longest)) = silent.places.pop_first() else { return false };
                self.leaving.fetch_add(1, Relaxed);
                longest
            };
            // One that has just ended by itself takes itself back out of the count.
            if longest.send(()).is_ok() {
                return true;
            }
        }
    }

    /// A connection has ended.
    pub(crate) fn has_left(&self) {
        self.changed.notify_waiters();
    }

    /// Resolves when a connection has ended or fallen silent, after this was called.
    pub(crate) fn change(&self) -> impl Future<Output = ()> + '_ {
        self.changed.notified()
    }
}

/// A silent connection's place among the others.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    key: (Silence, u64),
    told: oneshot::Receiver<()>,
}

impl Place {
    /// Resolves when the connection is to leave.
    pub(crate) async fn is_needed(&mut self) {
        if (&mut self.told).await.is_err() {
            // The crowd keeps the sender, or sends.
            std::future::pending().await
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let was_told = self.crowd.silent().places.remove(&self.key).is_none();
        if was_told {
            self.crowd.leaving.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_silent_gives_way_and_one_that_speaks_again_does_not() {
        let crowd = Crowd::new(3);
        let (first, mut second, _third) = (crowd.falls_silent(), crowd.falls_silent(), crowd.falls_silent());
        assert!(!crowd.has_room(3));
        drop(first);
        assert!(crowd.gives_way());
        second.is_needed().await;
        assert!(crowd.has_room(3), "one is about to go");
        drop(second);
        assert!(!crowd.has_room(3));
        assert!(crowd.gives_way() && !crowd.gives_way());
    }

    #[tokio::test]
    async fn one_that_lags_gives_way_after_all_that_say_nothing() {
        let crowd = Crowd::new(2);
        let (mut lagging, mut silent) = (crowd.lags(), crowd.falls_silent());
        assert!(crowd.gives_way());
        silent.is_needed().await;
        assert!(crowd.gives_way());
        lagging.is_needed().await;
        assert!(!crowd.gives_way());
    }

    #[tokio::test]
    async fn says_when_there_may_be_room() {
        let crowd = Crowd::new(1);
        let change = crowd.change();
        crowd.has_left();
        change.await;
        let change = crowd.change();
        let _place = crowd.falls_silent();
        change.await;
    }
}
