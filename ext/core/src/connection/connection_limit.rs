//! How many connections there may be, and which is closed to make room for a new one: the one that has been silent longest, never
//! one with a request; after all of those, the one that has been reading a head for longest. Where there is none, the new one
//! waits.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::{Notify, oneshot};

/// How many connections a listener may have, and those of them that may be closed for others.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    limit: u64,
    candidates: Mutex<Candidates>,
    /// Connections that were told to close, and are not gone yet.
    leaving: AtomicU64,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Candidates {
    /// The connections that may be closed, the first to be closed first: those that wait for a request before those within a
    /// head, the older before the newer.
    waiting: BTreeMap<(WaitsFor, u64), oneshot::Sender<()>>,
    next: u64,
}

/// What a connection waits for, in the order in which they are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitsFor {
    Request,
    RestOfHead,
}

impl ConnectionLimit {
    /// With room for `limit` connections.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, candidates: Mutex::default(), leaving: AtomicU64::new(0), changed: Notify::new() })
    }

    /// How many there may be.
    pub(crate) fn max_connections(&self) -> u64 {
        self.limit
    }

    fn candidates(&self) -> MutexGuard<'_, Candidates> {
        // No code that can panic runs under this lock.
        self.candidates.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether there is room for one more beside `open` others.
    pub(crate) fn has_room(&self, open: u64) -> bool {
        open.saturating_sub(self.leaving.load(Relaxed)) < self.limit
    }

    /// A connection is silent, and may be closed for another until what is returned is dropped.
    pub(crate) fn silent_connection(self: &Arc<Self>) -> Evictable {
        self.add(WaitsFor::Request)
    }

    /// A connection takes long over a head, and may be closed for another until what is returned is dropped.
    pub(crate) fn slow_head(self: &Arc<Self>) -> Evictable {
        self.add(WaitsFor::RestOfHead)
    }

    fn add(self: &Arc<Self>, waits_for: WaitsFor) -> Evictable {
        let (sender, told) = oneshot::channel();
        let key = {
            let mut candidates = self.candidates();
            candidates.next += 1;
            let key = (waits_for, candidates.next);
            candidates.waiting.insert(key, sender);
            key
        };
        self.changed.notify_waiters();
        Evictable { limit: self.clone(), key, told }
    }

    /// Tells the connection that has been silent longest to close. False where there is none.
    pub(crate) fn evict(&self) -> bool {
        loop {
            let longest = {
                let mut candidates = self.candidates();
                let Some((_, longest)) = candidates.waiting.pop_first() else { return false };
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
    pub(crate) fn connection_closed(&self) {
        self.changed.notify_waiters();
    }

    /// Resolves when a connection has ended or may be closed, after this was called.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.changed.notified()
    }
}

/// A connection that may be closed to make room for a new one.
#[derive(Debug)]
pub(crate) struct Evictable {
    limit: Arc<ConnectionLimit>,
    key: (WaitsFor, u64),
    told: oneshot::Receiver<()>,
}

impl Evictable {
    /// Resolves when the connection is to close.
    pub(crate) async fn evicted(&mut self) {
        if (&mut self.told).await.is_err() {
            // The limit drops no sender without a message; if it did, the connection would stay.
            std::future::pending().await
        }
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        let was_told = self.limit.candidates().waiting.remove(&self.key).is_none();
        if was_told {
            self.limit.leaving.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_silent_gives_way_and_one_that_speaks_again_does_not() {
        let limit = ConnectionLimit::new(3);
        let (first, mut second, _third) =
            (limit.silent_connection(), limit.silent_connection(), limit.silent_connection());
        assert!(!limit.has_room(3));
        drop(first);
        assert!(limit.evict());
        second.evicted().await;
        assert!(limit.has_room(3), "one is about to go");
        drop(second);
        assert!(!limit.has_room(3));
        assert!(limit.evict() && !limit.evict());
    }

    #[tokio::test]
    async fn a_slow_head_gives_way_after_all_that_say_nothing() {
        let limit = ConnectionLimit::new(2);
        let (mut slow, mut silent) = (limit.slow_head(), limit.silent_connection());
        assert!(limit.evict());
        silent.evicted().await;
        assert!(limit.evict());
        slow.evicted().await;
        assert!(!limit.evict());
    }

    #[tokio::test]
    async fn says_when_there_may_be_room() {
        let limit = ConnectionLimit::new(1);
        let change = limit.changed();
        limit.connection_closed();
        change.await;
        let change = limit.changed();
        let _place = limit.silent_connection();
        change.await;
    }
}
