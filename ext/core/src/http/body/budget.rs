//! How many bytes of bodies a server keeps in memory, of all its requests and responses together. What is beyond goes on from
//! a file. A piece is counted from when the server has it until it is written out, handed to the app or dropped.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;

/// The bytes of bodies in memory, and how many there may be.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    held: AtomicU64,
    spilled: AtomicU64,
}

impl Budget {
    /// At most `limit` bytes; `None`: as many as come.
    pub(crate) fn new(limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self { limit: limit.unwrap_or(u64::MAX), held: AtomicU64::new(0), spilled: AtomicU64::new(0) })
    }

    /// How many bytes there may be; [`u64::MAX`]: no limit.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// How many bytes there are.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Whether the bodies exceed the limit; callers then write to a file what they can.
    pub(crate) fn is_over(&self) -> bool {
        self.held() > self.limit
    }

    /// Bytes that went to a file because of the limit, since the start.
    pub(crate) fn spilled(&self) -> u64 {
        self.spilled.load(Relaxed)
    }

    pub(crate) fn spill(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Relaxed);
    }

    /// Begins to count, with no bytes.
    pub(crate) fn account(self: &Arc<Self>) -> Account {
        Account { budget: self.clone(), bytes: 0 }
    }

    /// The same bytes, counted until the last reference to them is dropped.
    pub(crate) fn count(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut account = self.account();
        account.grow(bytes.len());
        account.until_dropped(bytes)
    }
}

/// Bytes that are counted.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Account {
    /// Counts `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.budget.held.fetch_add(bytes as u64, Relaxed);
    }

    /// Whether the server's bodies, these among them, are over the limit.
    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_over()
    }

    /// The bytes go to a file: because the bodies are `over_limit`, or they would have gone there anyway.
    pub(crate) fn goes_to_file(&mut self, over_limit: bool) {
        if over_limit {
            self.budget.spill(self.bytes);
        }
        self.release();
    }

    /// Counts until the last reference to `bytes`, the bytes that were counted, is dropped.
    pub(crate) fn until_dropped(self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() { bytes } else { Bytes::from_owner(Counted { bytes, _account: self }) }
    }

    fn release(&mut self) {
        self.budget.held.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
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
}
