//! A response body while Ruby code writes it: `Tidegate::Native::ResponseStream`, which takes what `each` yields and which a
//! streaming body (`call`) is called with. Where the client is slower than the app, the worker waits without the GVL.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use magnus::{
    DataTypeFunctions, Error, RModule, Ruby, TypedData, Value,
    gc::Marker,
    method,
    prelude::*,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::{BodySender, Dechunker, Parker, Recall, Responder, SendError};

use crate::{
    error, gvl,
    rack::{lent_string, response::string, trailers::ResponseTrailers},
};

/// Writes the body of one response. The exchange and the stream that the app has share it.
#[derive(Clone)]
pub(crate) struct BodyWriter(Arc<Mutex<Writing>>);

struct Writing {
    /// `None` once the response has ended.
    sender: Option<Arc<BodySender>>,
    /// Set if the app frames its body itself.
    chunks: Option<Dechunker>,
    /// What goes out behind the body, where the client takes that.
    trailers: Option<ResponseTrailers>,
}

impl BodyWriter {
    /// `chunked`: the app writes its body in chunks, and the writer sends the content of them.
    pub(crate) fn new(sender: BodySender, chunked: bool, trailers: Option<ResponseTrailers>) -> Self {
        let chunks = chunked.then(Dechunker::default);
        Self(Arc::new(Mutex::new(Writing { sender: Some(Arc::new(sender)), chunks, trailers })))
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, Writing> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a chunk, waiting while the client is slower than the app.
    ///
    /// # Errors
    ///
    /// `Errno::EPIPE` when the client has gone, `IOError` when the response has ended or has had all the bytes that its head
    /// declares, `TypeError` when the body is declared to be in chunks and is not, and what an interrupt of the wait raises.
    pub(crate) fn write(&self, ruby: &Ruby, chunk: Bytes) -> Result<(), Error> {
        let mut state = self.state();
        let Some(sender) = state.sender.clone() else {
            drop(state);
            return Err(Error::new(ruby.exception_io_error(), "the response is over"));
        };
        let Some(chunks) = &mut state.chunks else {
            drop(state);
            return send(ruby, &sender, chunk);
        };
        let mut content = Vec::new();
        let decoded = chunks.decode(chunk, |bytes| content.push(bytes));
        drop(state);
        content.into_iter().try_for_each(|bytes| send(ruby, &sender, bytes))?;
        decoded.map_err(|bad| error::not_in_chunks(ruby, bad))
    }

    /// Whether the client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.state().sender.as_ref().is_some_and(|sender| sender.is_gone())
    }

    /// Sends the head, if it waits for the first chunk of the body.
    fn begin(&self) {
        if let Some(sender) = &self.state().sender {
            sender.begin();
        }
    }

    /// Ends the response as whole. If another thread of the app is still writing, the response is aborted instead.
    ///
    /// # Errors
    ///
    /// `TypeError` when the body is declared to be in chunks and its last chunk is missing.
    pub(crate) fn finish(&self, ruby: &Ruby) -> Result<(), Error> {
        let mut state = self.state();
        if state.sender.is_none() {
            return Ok(());
        }
        let whole = state.chunks.as_ref().map_or(Ok(()), Dechunker::finish);
        let sender = if whole.is_ok() { state.sender.take() } else { None };
        let trailers = if whole.is_ok() { state.trailers.take() } else { None };
        drop(state);
        if let Some(sender) = sender.and_then(Arc::into_inner) {
            match trailers {
                Some(trailers) => sender.finish_with_trailers(trailers.take()),
                None => sender.finish(),
            }
        }
        whole.map_err(|bad| error::not_in_chunks(ruby, bad))
    }

    /// Gives the response up. Returns the responder if nothing has been sent, so that the client can be answered otherwise; else
    /// the client sees that the response was cut.
    pub(crate) fn recall(&self, recall: Recall) -> Option<Responder> {
        let sender = self.state().sender.take()?;
        recall.recall(&sender)
    }

    fn is_closed(&self) -> bool {
        self.state().sender.is_none()
    }
}

fn send(ruby: &Ruby, sender: &BodySender, mut chunk: Bytes) -> Result<(), Error> {
    let parker = Parker::new();
    loop {
        match sender.try_send(chunk, &parker.unparker()) {
            Ok(()) => return Ok(()),
            Err(SendError::Gone) => return Err(error::client_gone(ruby)),
            Err(SendError::TooLong) => {
                let message = "the response is longer than its content-length";
                return Err(Error::new(ruby.exception_io_error(), message));
            }
            Err(SendError::Full(back)) => chunk = back,
        }
        gvl::wait(ruby, &parker.unparker(), || parker.park());
        ruby.thread_check_ints()?;
    }
}

/// A Ruby value as a chunk of a body.
fn chunk(value: Value) -> Result<Bytes, Error> {
    string(value).map(lent_string::bytes_of_chunk)
}

/// `Tidegate::Native::ResponseStream`: what a streaming body is called with. Writing to it writes the response's body; reading
/// from it reads the request's, `rack.input`.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::ResponseStream", free_immediately, mark)]
pub(crate) struct ResponseStream {
    writer: BodyWriter,
    input: Opaque<Value>,
}

impl DataTypeFunctions for ResponseStream {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.input);
    }
}

impl ResponseStream {
    pub(crate) fn new(writer: BodyWriter, input: Value) -> Self {
        Self { writer, input: input.into() }
    }

    /// As `IO#write`, of any number of values.
    fn write(ruby: &Ruby, rb_self: &Self, values: &[Value]) -> Result<usize, Error> {
        error::catching(ruby, || {
            values.iter().try_fold(0, |written, value| {
                let chunk = chunk(*value)?;
                let length = chunk.len();
                rb_self.writer.write(ruby, chunk)?;
                Ok(written + length)
            })
        })
    }

    fn append(ruby: &Ruby, rb_self: Obj<Self>, value: Value) -> Result<Value, Error> {
        Self::write(ruby, &rb_self, &[value])?;
        Ok(rb_self.as_value())
    }

    /// Sends the head, if nothing was written yet. What was written is on its way already.
    fn flush(rb_self: Obj<Self>) -> Value {
        rb_self.writer.begin();
        rb_self.as_value()
    }

    fn read(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Value, Error> {
        let input = ruby.get_inner(rb_self.input);
        if input.is_nil() { Ok(input) } else { input.funcall("read", args) }
    }

    fn close(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        error::catching(ruby, || rb_self.writer.finish(ruby))
    }

    fn close_read(&self) {}

    fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("ResponseStream", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("write", method!(ResponseStream::write, -1))?;
    class.define_method("<<", method!(ResponseStream::append, 1))?;
    class.define_method("flush", method!(ResponseStream::flush, 0))?;
    class.define_method("read", method!(ResponseStream::read, -1))?;
    class.define_method("close", method!(ResponseStream::close, 0))?;
    class.define_method("close_write", method!(ResponseStream::close, 0))?;
    class.define_method("close_read", method!(ResponseStream::close_read, 0))?;
    class.define_method("closed?", method!(ResponseStream::is_closed, 0))?;
    Ok(())
}
