//! Interim responses (RFC 9110 §15.2: 103 Early Hints) on their way past hyper, which has none for servers. They may go
//! out only between two messages: the socket writes them when hyper has nothing left to write, before the response. A stream of
//! HTTP/2 sends them itself, and `100 Continue` too, which hyper sends for HTTP/1.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http::HeaderMap;

use crate::http::response::write_headers;

/// How many bytes may wait for a client. Hints beyond that are dropped, as hints may be.
const ROOM: usize = 64 * 1024;

/// What a hint begins with.
const EARLY_HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\n";

/// What it ends with.
const END: &[u8] = b"\r\n";

/// What a field takes beside its name and its value.
const FIELD: usize = 4;

/// What one connection has to send ahead of its current response.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    /// Whether there is anything to send, so that a connection without hints pays one load.
    pending: AtomicBool,
    hints: Mutex<Hints>,
    task: AtomicWaker,
}

#[derive(Debug, Default)]
struct Hints {
    waiting: Vec<HeaderMap>,
    /// Bytes of all that wait.
    bytes: usize,
    /// The client is to be told to send the body.
    wants_body: bool,
    /// The response has begun, and hints come too late.
    late: bool,
}

impl Interim {
    fn hints(&self) -> MutexGuard<'_, Hints> {
        // No code that can panic runs under this lock.
        self.hints.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Queues a 103 with these headers, and has the connection send it.
    pub(crate) fn hint(&self, headers: &HeaderMap) {
        let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum();
        let length = EARLY_HINTS.len() + fields + END.len();
        let mut hints = self.hints();
        if !hints.late && hints.bytes + length <= ROOM {
            hints.waiting.push(headers.clone());
            hints.bytes += length;
            self.pending.store(true, SeqCst);
            drop(hints);
            self.task.wake();
        }
    }

    /// Has the stream tell its client to send the body, unless it has answered.
    pub(crate) fn want_body(&self) {
        let mut hints = self.hints();
        if !hints.late {
            hints.wants_body = true;
            self.pending.store(true, SeqCst);
            drop(hints);
            self.task.wake();
        }
    }

    // ===== the exchange reports =====

    /// Nothing of an earlier request's is left to be sent.
    pub(crate) fn request_begun(&self) {
        if self.is_pending() {
            self.take();
        }
        // No worker hints for the request that has ended: its responder is gone.
        self.hints().late = false;
    }

    pub(crate) fn response_begun(&self) {
        self.hints().late = true;
    }

    pub(crate) fn wake_on_hint(&self, task: &std::task::Waker) {
        self.task.register(task);
    }

    // ===== the socket asks =====

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// What goes out now, before the first byte of what hyper writes next.
    pub(crate) fn before_write(&self) -> Bytes {
        let mut message = Vec::new();
        for headers in self.take().0 {
            message.extend_from_slice(EARLY_HINTS);
            write_headers(&mut message, &headers);
        }
        message.into()
    }

    /// The hints to send after a flush. None once the response has begun.
    pub(crate) fn after_flush(&self) -> Bytes {
        if self.hints().late {
            self.take();
            return Bytes::new();
        }
        self.before_write()
    }

    // ===== the stream asks =====

    /// What goes out now, ahead of the response: hints, and before them whether the client is to send the body.
    pub(crate) fn take(&self) -> (Vec<HeaderMap>, bool) {
        let mut hints = self.hints();
        self.pending.store(false, SeqCst);
        hints.bytes = 0;
        (std::mem::take(&mut hints.waiting), std::mem::take(&mut hints.wants_body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};

    fn hint(interim: &Interim) {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, HeaderValue::from_static("</a.css>"));
        interim.hint(&headers);
    }

    #[test]
    fn is_a_message_of_its_own() {
        let interim = Interim::default();
        hint(&interim);
        assert!(interim.is_pending());
        assert_eq!(interim.before_write(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        assert!(!interim.is_pending());
    }

    #[test]
    fn never_follows_the_response_it_was_to_precede() {
        let interim = Interim::default();
        hint(&interim);
        interim.response_begun();
        assert_eq!(interim.after_flush(), "");
        hint(&interim);
        assert!(!interim.is_pending(), "too late");
        interim.request_begun();
        hint(&interim);
        assert_ne!(interim.after_flush(), "");
    }

    #[test]
    fn is_not_gathered_without_bound() {
        let interim = Interim::default();
        (0..10_000).for_each(|_| hint(&interim));
        assert!(interim.before_write().len() <= ROOM);
    }
}
