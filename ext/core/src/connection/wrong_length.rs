//! Responses that are not as long as their heads say: the operator is told of the request and of both lengths.

use std::sync::Arc;

use http::{Method, request::Parts, uri::PathAndQuery};

use super::Shared;
use crate::{log::access::escaped, sync::now};

/// What a request asked for. Kept until its response is framed, without a copy of the path's bytes.
#[derive(Debug)]
pub(super) struct Target {
    method: Method,
    path: Option<PathAndQuery>,
}

impl Target {
    pub(super) fn of(head: &Parts) -> Self {
        Self { method: head.method.clone(), path: head.uri.path_and_query().cloned() }
    }

    /// Its response declares a length, with which the real one can be compared.
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
            let Target { method, path } = &self.target;
            let path = escaped(path.as_ref().map_or("*", PathAndQuery::path).as_bytes());
            self.shared.services.warnings.length_was_wrong(method.as_str(), &path, (self.declared, actual), now());
        }
    }

    /// Tells the operator that so many bytes were missing.
    pub(super) fn fell_short(&self, missing: u64) {
        self.compare(self.declared - missing.min(self.declared));
    }
}
