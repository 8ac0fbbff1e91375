//! What Ruby has to do with the lines of the logs: it prints its own beside those of the server, and where the app has a formatter or a
//! logger, a thread of Ruby's takes the lines of both, and says what is to be written.

use std::time::{Duration, Instant};

use magnus::{Error, RArray, RString, Ruby, prelude::*};
use tidegate_core::{LineKind, NextLines, Parker, Phase, Relay};

use super::Server;
use crate::gvl;

/// How long the server waits for its log lines to be written, when it begins and when it has ended.
pub(super) const LOG_FLUSH: Duration = Duration::from_millis(200);

impl Server {
    /// Writes lines to the log of errors or to that of events, in the order of the server's own lines. Returns false if there is no
    /// such log, or no thread that writes to it: before the server listens, and in a child that the app has forked.
    pub(super) fn print(ruby: &Ruby, rb_self: &Self, lines: RString, error: bool) -> bool {
        let log = if error { &rb_self.logs.errors } else { &rb_self.logs.events };
        let Some(log) = log else { return false };
        let kind = if error { LineKind::Error } else { LineKind::Event };
        let printed = log.print(kind, lines.to_bytes().to_vec());
        if printed && rb_self.running().is_some_and(|running| matches!(running.phase(), Phase::Stopped { .. })) {
            // The process may end at any moment, and the lines with it.
            rb_self.finish_last_lines(ruby);
        }
        printed
    }

    /// Writes the lines on where the descriptors do that the logs were made of, which may have other files meanwhile.
    pub(super) fn reopen_logs(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        rb_self.logs.reopen().map_err(|cause| Error::new(ruby.exception_io_error(), format!("log: {cause}")))
    }

    /// Waits until the log lines are written, for at most [`LOG_FLUSH`].
    pub(super) fn finish_logs(&self, ruby: &Ruby) {
        let deadline = Instant::now() + LOG_FLUSH;
        gvl::wait(ruby, &Parker::new().unparker(), || self.logs.finish(deadline));
    }

    /// The same for lines that may be the last: they are written although the app makes nothing of them.
    pub(super) fn finish_last_lines(&self, ruby: &Ruby) {
        let deadline = Instant::now() + LOG_FLUSH;
        gvl::wait(ruby, &Parker::new().unparker(), || self.logs.finish_last(deadline));
    }

    /// From now on lines wait for a thread of this process that calls [`Server::next_lines`].
    pub(super) fn attend_lines(&self) {
        self.logs.relay.iter().for_each(Relay::open);
    }

    /// Waits for lines: pairs of a Symbol (event, error or access) and a text. Returns nil when there will be none any more. What the
    /// thread has taken before and not replaced is written as it is.
    pub(super) fn next_lines(ruby: &Ruby, rb_self: &Self) -> Result<Option<RArray>, Error> {
        let Some(relay) = &rb_self.logs.relay else { return Ok(None) };
        let parker = Parker::new();
        let lines = loop {
            ruby.thread_check_ints()?;
            match gvl::wait(ruby, &parker.unparker(), || relay.next(&parker)) {
                Some(NextLines::Lines(lines)) => break lines,
                Some(NextLines::Over) => return Ok(None),
                Some(NextLines::Nothing) | None => {}
            }
        };
        let pairs = ruby.ary_new();
        for line in lines {
            let kind = match line.kind {
                LineKind::Event => "event",
                LineKind::Error => "error",
                LineKind::Access => "access",
            };
            let text = ruby.enc_str_new(&line.text, ruby.utf8_encoding());
            pairs.push(ruby.ary_new_from_values(&[ruby.to_symbol(kind).as_value(), text.as_value()]))?;
        }
        Ok(Some(pairs))
    }

    /// Has the text written in the place of the lines that were taken.
    pub(super) fn replace_lines(&self, text: RString) {
        if let Some(relay) = &self.logs.relay {
            relay.reply(Some(text.to_bytes().to_vec()));
        }
    }

    /// Waits for what the app makes of the lines that there are. From then on lines are written as they are.
    pub(super) fn leave_lines(ruby: &Ruby, rb_self: &Self) {
        rb_self.finish_last_lines(ruby);
        rb_self.logs.relay.iter().for_each(Relay::close);
    }
}
