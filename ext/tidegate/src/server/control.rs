//! What clients of the admin listener want of Ruby: a Ruby thread takes their questions and replies to them. And what the server
//! shows them of its settings.

use magnus::{Error, RString, Ruby, Symbol};
use tidegate_core::{GcFigures, NextQuestion, Parker, Reply};

use super::{Server, ServerState};
use crate::{error, gvl};

impl Server {
    /// Waits for the next question, and returns its number and its name; nil when there will be none any more, or no admin listener
    /// is there to bring one.
    pub(super) fn next_question(ruby: &Ruby, rb_self: &Self) -> Result<Option<(u64, &'static str)>, Error> {
        let Some(running) = rb_self.running().filter(|running| running.admin_address().is_some()) else {
            return Ok(None);
        };
        let parker = Parker::new();
        loop {
            ruby.thread_check_ints()?;
            match gvl::wait(ruby, &parker.unparker(), || running.questions().next(&parker)) {
                Some(NextQuestion::Question(id, name)) => return Ok(Some((id, name))),
                Some(NextQuestion::Over) => return Ok(None),
                Some(NextQuestion::Nothing) | None => {}
            }
        }
    }

    /// Replies to the question of that number: with `:done` and a JSON text, with `:failed` and a sentence, or with `:unavailable`.
    pub(super) fn answer(ruby: &Ruby, rb_self: &Self, id: u64, outcome: Symbol, text: RString) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
        let reply = match &*outcome.name()? {
            "done" => Reply::Done(text),
            "failed" => Reply::Failed(text),
            "unavailable" => Reply::Unavailable,
            other => return Err(Error::new(ruby.exception_arg_error(), format!("no outcome of ours: {other}"))),
        };
        if let Some(running) = rb_self.running() {
            running.questions().answer(id, reply);
        }
        Ok(())
    }

    /// What the admin listener shows of the settings: a JSON text. Before the sockets are bound.
    pub(super) fn show_settings(ruby: &Ruby, rb_self: &Self, text: RString) -> Result<(), Error> {
        let text = text.to_string()?;
        match &mut *rb_self.state() {
            ServerState::Configured(config) => config.about.settings = text,
            ServerState::Binding | ServerState::Bound(_) | ServerState::Running(_) | ServerState::Over => {
                return Err(error::misuse(ruby, "the server is bound already"));
            }
        }
        Ok(())
    }

    /// What the garbage collector tells of itself: the time of all collections in nanoseconds, how many there were, how many of them were
    /// major, slots with a live object, pages of the heap, and bytes allocated outside it since the last one.
    pub(super) fn publish_gc(
        &self,
        time_ns: u64,
        count: u64,
        major_count: u64,
        heap_live_slots: u64,
        heap_pages: u64,
        malloc_increase_bytes: u64,
    ) {
        if let Some(running) = self.running() {
            running.publish_gc(&GcFigures {
                count,
                major_count,
                time_ns,
                heap_live_slots,
                heap_pages,
                malloc_increase_bytes,
            });
        }
    }
}
