//! How many bytes of bodies a server keeps in memory, of all its requests and responses together. What is beyond goes on from
//! a file. A piece of a response is counted from when the server has it until it is written out or dropped; one of a request until
//! the app is done with it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// How far the bytes must have fallen before the allocator is asked for what it keeps of them.
const WORTH: u64 = 8 * 1024 * 1024;

/// The bytes of bodies in memory, and how many there may be.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    held: AtomicU64,
    /// Of those, the bytes of request bodies.
    of_requests: AtomicU64,
    /// Of those, the bytes that are being written to files because others need the memory.
    leaving: AtomicU64,
    spilled: AtomicU64,
    /// The most that were held at a time, since memory was last given back.
    most: AtomicU64,
    /// Notified when they have fallen far below that.
    fallen: Notify,
}

impl Budget {
    /// At most `limit` bytes; `None`: as many as come.
    pub(crate) fn new(limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.unwrap_or(u64::MAX),
            held: AtomicU64::new(0),
            of_requests: AtomicU64::new(0),
            leaving: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            most: AtomicU64::new(0),
            fallen: Notify::new(),
        })
    }

    /// How many bytes there may be; [`u64::MAX`]: no limit.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// How many bytes there are.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Of these, the bytes of request bodies: on their way in, waiting for a worker, or with the app.
    pub(crate) fn of_requests(&self) -> u64 {
        self.of_requests.load(Relaxed)
    }

    /// Whether the bodies exceed the limit; callers then write to a file what they can.
    pub(crate) fn is_over(&self) -> bool {
        self.held() > self.limit
    }

    /// Whether they exceed it by so much that small ones have to go as well.
    pub(crate) fn is_far_over(&self) -> bool {
        self.held() > self.limit.saturating_add(self.limit / 4)
    }

    /// Whether more than half of the limit is used, and will be when those have gone that are on their way to files.
    pub(crate) fn is_crowded(&self) -> bool {
        self.staying() > self.limit / 2
    }

    /// The same of three quarters.
    pub(crate) fn is_tight(&self) -> bool {
        self.staying() > self.limit - self.limit / 4
    }

    fn staying(&self) -> u64 {
        self.held().saturating_sub(self.leaving.load(Relaxed))
    }

    /// How many bytes there may be beside those that there are.
    pub(crate) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.held())
    }

    /// Waits until so much less is held than was once that it may be worth while to have the allocator give memory back.
    pub(crate) async fn fallen(&self) {
        self.fallen.notified().await;
    }

    /// Whether that is so now. If it is, counting starts anew.
    pub(crate) fn settle(&self) -> bool {
        let held = self.held();
        let worth_it = self.most.load(Relaxed).saturating_sub(held) >= WORTH;
        if worth_it {
            self.most.store(held, Relaxed);
        }
        worth_it
    }

    /// Bytes that went to a file because of the limit, since the start.
    pub(crate) fn spilled(&self) -> u64 {
        self.spilled.load(Relaxed)
    }

    pub(crate) fn spill(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Relaxed);
    }

    /// Begins to count a response, with no bytes.
    pub(crate) fn account(self: &Arc<Self>) -> Account {
        Account::empty(self, false)
    }

    /// Begins to count a request body, with no bytes.
    pub(crate) fn account_of_request(self: &Arc<Self>) -> Account {
        Account::empty(self, true)
    }

    /// The same bytes, of a response, counted until the last reference to them is dropped.
    pub(crate) fn count(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.account().until_dropped(bytes)
    }

    /// The same for bytes of a request.
    pub(crate) fn count_request(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.account_of_request().until_dropped(bytes)
    }
}

/// Bytes of a body that count against [`Limits::buffer_limit`] until this is dropped.
///
/// [`Limits::buffer_limit`]: crate::Limits::buffer_limit
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    bytes: u64,
    /// Of those, as many as are counted as on their way to a file.
    leaving: u64,
    of_request: bool,
}

impl Account {
    fn empty(budget: &Arc<Budget>, of_request: bool) -> Self {
        Self { budget: budget.clone(), bytes: 0, leaving: 0, of_request }
    }

    /// What it counts, as an account of its own. This one goes on with no bytes.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::empty(&self.budget, self.of_request);
        std::mem::replace(self, empty)
    }

    /// Counts `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        if self.of_request {
            self.budget.of_requests.fetch_add(bytes, Relaxed);
        }
        let held = self.budget.held.fetch_add(bytes, Relaxed) + bytes;
        if held > self.budget.most.load(Relaxed) {
            self.budget.most.fetch_max(held, Relaxed);
        }
    }

    /// How many bytes it counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the server's bodies, these among them, are over the limit.
    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_over()
    }

    /// Whether they are over it by so much that small ones have to go as well.
    pub(crate) fn is_far_over(&self) -> bool {
        self.budget.is_far_over()
    }

    /// Whether they take more than half of it.
    pub(crate) fn is_crowded(&self) -> bool {
        self.budget.is_crowded()
    }

    /// Whether they take more than three quarters of it.
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// How many bytes there may be beside them.
    pub(crate) fn room(&self) -> u64 {
        self.budget.room()
    }

    /// Begins to write the bytes to a file, so that others need not go as well. They are counted until they have gone.
    pub(crate) fn leave(&mut self) {
        let more = self.bytes - self.leaving;
        self.budget.leaving.fetch_add(more, Relaxed);
        self.leaving = self.bytes;
    }

    /// Ends that, whether they have gone or not.
    pub(crate) fn stay(&mut self) {
        self.budget.leaving.fetch_sub(std::mem::take(&mut self.leaving), Relaxed);
    }

    /// The bytes go to a file: because the bodies are `over_limit`, or they would have gone there anyway.
    pub(crate) fn goes_to_file(&mut self, over_limit: bool) {
        if over_limit {
            self.budget.spill(self.bytes);
        }
        self.release();
    }

    /// Counts `bytes` until the last reference to them is dropped.
    fn until_dropped(mut self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        self.grow(bytes.len());
        Bytes::from_owner(Counted { bytes, _account: self })
    }

    fn release(&mut self) {
        self.stay();
        let bytes = std::mem::take(&mut self.bytes);
        if bytes == 0 {
            return;
        }
        if self.of_request {
            self.budget.of_requests.fetch_sub(bytes, Relaxed);
        }
        let held = self.budget.held.fetch_sub(bytes, Relaxed) - bytes;
        if self.budget.most.load(Relaxed).saturating_sub(held) >= WORTH {
            self.budget.fallen.notify_one();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.release();
    }
}

struct Counted {
    bytes: Bytes,
    _account: Account,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bytes_until_the_last_reference_is_gone() {
        let budget = Budget::new(Some(10));
        let mut bytes = budget.count(Bytes::from_static(b"twelve bytes"));
        assert_eq!((budget.held(), budget.is_over()), (12, true));
        let half = bytes.split_to(6);
        drop(bytes);
        assert_eq!((budget.held(), &half[..]), (12, &b"twelve"[..]));
        drop(half);
        assert_eq!((budget.held(), budget.is_over()), (0, false));
    }

    #[test]
    fn what_goes_to_a_file_is_in_memory_no_more() {
        let budget = Budget::new(None);
        let mut account = budget.account();
        account.grow(7);
        assert_eq!((budget.held(), budget.is_over(), budget.limit()), (7, false, u64::MAX));
        account.goes_to_file(false);
        account.grow(5);
        account.goes_to_file(true);
        assert_eq!((budget.held(), budget.spilled()), (0, 5));
    }

    #[test]
    fn request_bodies_are_told_apart() {
        let budget = Budget::new(Some(100));
        let mut account = budget.account_of_request();
        account.grow(60);
        let response = budget.count(Bytes::from_static(b"response"));
        assert_eq!((budget.held(), budget.of_requests(), budget.room(), budget.is_crowded()), (68, 60, 32, true));
        let piece = budget.count_request(Bytes::from_static(b"piece"));
        assert_eq!((budget.held(), budget.of_requests()), (73, 65));
        drop(piece);
        drop(account);
        assert_eq!((budget.held(), budget.of_requests(), budget.room(), budget.is_crowded()), (8, 0, 92, false));
        drop(response);
    }

    #[tokio::test]
    async fn tells_when_memory_may_be_given_back_and_counts_anew_from_then_on() {
        let budget = Budget::new(None);
        let grown = |bytes: u64| {
            let mut account = budget.account();
            account.grow(usize::try_from(bytes).unwrap());
            account
        };
        // Many that come one by one leave nothing to give back.
        (0..100).for_each(|_| drop(grown(WORTH - 1)));
        assert!(!budget.settle());
        let rush = [grown(WORTH / 2), grown(WORTH / 2)];
        drop(rush);
        budget.fallen().await;
        assert!(budget.settle());
        assert!(!budget.settle());
    }
}
