//! Responses that are not as long as their heads say: a line for the operator with both numbers, and not more of them than
//! can be read.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{Method, request::Parts, uri::PathAndQuery};

use super::Shared;
use crate::{
    access::escaped,
    clock::now,
    notice::{Notice, Observer},
};

/// An app that gets its lengths wrong does so again and again: the lines in between are counted.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells the operator, now and then.
pub(crate) struct WrongLengths {
    observer: Observer,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    told: Option<Instant>,
    unsaid: u64,
}

impl fmt::Debug for WrongLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrongLengths").field("recent", &self.recent).finish_non_exhaustive()
    }
}

impl WrongLengths {
    pub(crate) fn new(observer: Observer) -> Self {
        Self { observer, recent: Mutex::default() }
    }

    fn tell(&self, target: &Target, declared: u64, actual: u64) {
        let now = now();
        let unsaid = {
            let mut recent = self.recent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if recent.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE) {
                recent.unsaid += 1;
                return;
            }
            recent.told = Some(now);
            std::mem::take(&mut recent.unsaid)
        };
        let path = escaped(target.path.as_ref().map_or("*", PathAndQuery::path).as_bytes());
        (self.observer)(&Notice::WrongLength { method: target.method.as_str(), path: &path, declared, actual, unsaid });
    }
}

/// What a request was for.
#[derive(Debug)]
pub(super) struct Target {
    method: Method,
    path: Option<PathAndQuery>,
}

impl Target {
    pub(super) fn of(head: &Parts) -> Self {
        Self { method: head.method.clone(), path: head.uri.path_and_query().cloned() }
    }

    /// What is to be done when the response turns out to have another length than is declared.
    pub(super) fn declares(self, declared: u64, shared: Arc<Shared>) -> Declared {
        Declared { target: self, declared, shared }
    }
}

/// The length that a response declares.
#[derive(Debug)]
pub(super) struct Declared {
    target: Target,
    declared: u64,
    shared: Arc<Shared>,
}

impl Declared {
    /// Tells the operator the real length where that is another.
    pub(super) fn compare(&self, actual: u64) {
        if actual != self.declared {
            self.shared.wrong_lengths.tell(&self.target, self.declared, actual);
        }
    }

    /// Tells the operator that so many bytes were missing.
    pub(super) fn fell_short(&self, missing: u64) {
        self.compare(self.declared - missing.min(self.declared));
    }
}
