//! Interim responses (RFC 9110 §15.2: 103 Early Hints) on their way past hyper, which has none for servers. They may go
//! out only between two messages: the socket writes them when hyper has nothing left to write, before the response.

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
    bytes: Vec<u8>,
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
        let mut message = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
        write_headers(&mut message, headers);
        let mut hints = self.hints();
        if !hints.late && hints.bytes.len() + message.len() <= ROOM {
            hints.bytes.append(&mut message);
            self.pending.store(true, SeqCst);
            drop(hints);
            self.task.wake();
        }
    }

    // ===== the exchange reports =====

    /// Nothing of an earlier request's is left to be sent.
    pub(crate) fn request_begun(&self) {
        if self.is_pending() {
            self.clear();
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
        let mut hints = self.hints();
        self.pending.store(false, SeqCst);
        std::mem::take(&mut hints.bytes).into()
    }

    /// The hints to send after a flush. None once the response has begun.
    pub(crate) fn after_flush(&self) -> Bytes {
        if self.hints().late {
            self.clear();
            return Bytes::new();
        }
        self.before_write()
    }

    fn clear(&self) {
        drop(self.before_write());
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
