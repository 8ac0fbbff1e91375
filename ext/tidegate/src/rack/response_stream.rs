//! A response body on its way out, as Ruby code writes it: the block that `each` yields to, and the stream that a
//! streaming body (`call`) is given. A full stream is waited for without the GVL.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use magnus::{
    DataTypeFunctions, Error, RModule, RString, Ruby, TypedData, Value,
    gc::Marker,
    method,
    prelude::*,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::{BodySender, Dechunker, Parker, Recall, Responder, SendError};

use crate::{error, gvl, rack::lent_string};

/// The writing end, shared by all that may write to it.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Mutex<State>>);

struct State {
    /// `None` once the response is over.
    sender: Option<Arc<BodySender>>,
    /// Where the app frames its body itself.
    chunks: Option<Dechunker>,
}

impl Outlet {
    /// `chunked`: what the app writes is in chunks, which are taken apart.
    pub(crate) fn new(sender: BodySender, chunked: bool) -> Self {
        let chunks = chunked.then(Dechunker::default);
        Self(Arc::new(Mutex::new(State { sender: Some(Arc::new(sender)), chunks })))
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a chunk, waiting while the client is slower than the app.
    ///
    /// # Errors
    ///
    /// `Errno::EPIPE` when the client has gone, `IOError` when the response is over or has long had all the bytes that its
    /// head declares, `TypeError` when it is to be in chunks and is not, and whatever interrupts the wait.
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

    /// Has the head go out, if it waits for the first of the body.
    fn begin(&self) {
        if let Some(sender) = &self.state().sender {
            sender.begin();
        }
    }

    /// Ends the response: it is whole. A thread that is still writing to it spoils that, and aborts it.
    ///
    /// # Errors
    ///
    /// `TypeError` when it is to be in chunks and is not.
    pub(crate) fn finish(&self, ruby: &Ruby) -> Result<(), Error> {
        let mut state = self.state();
        if state.sender.is_none() {
            return Ok(());
        }
        let whole = state.chunks.as_ref().map_or(Ok(()), Dechunker::finish);
        let sender = if whole.is_ok() { state.sender.take() } else { None };
        drop(state);
        if let Some(sender) = sender.and_then(Arc::into_inner) {
            sender.finish();
        }
        whole.map_err(|bad| error::not_in_chunks(ruby, bad))
    }

    /// Ends the response as it is. Where nothing of it has gone out, the client is to be answered again; otherwise it sees that
    /// it was cut.
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

/// A Ruby value as a string, which is what a part of a body is.
pub(crate) fn string(value: Value) -> Result<RString, Error> {
    RString::from_value(value).map_or_else(|| value.funcall("to_s", ()), Ok)
}

/// A Ruby value as a chunk of a body.
pub(crate) fn chunk(value: Value) -> Result<Bytes, Error> {
    string(value).map(lent_string::bytes_of_chunk)
}

/// `Tidegate::Native::Stream`: what a streaming body is called with. What is written to it is the response's body; what
/// is read from it is the request's, `rack.input`.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Stream", free_immediately, mark)]
pub(crate) struct Stream {
    outlet: Outlet,
    input: Opaque<Value>,
}

impl DataTypeFunctions for Stream {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.input);
    }
}

impl Stream {
    pub(crate) fn new(outlet: Outlet, input: Value) -> Self {
        Self { outlet, input: input.into() }
    }

    /// As `IO#write`, of any number of values.
    fn write(ruby: &Ruby, rb_self: &Self, values: &[Value]) -> Result<usize, Error> {
        error::catching(ruby, || {
            values.iter().try_fold(0, |written, value| {
                let chunk = chunk(*value)?;
                let length = chunk.len();
                rb_self.outlet.write(ruby, chunk)?;
                Ok(written + length)
            })
        })
    }

    fn append(ruby: &Ruby, rb_self: Obj<Self>, value: Value) -> Result<Value, Error> {
        Self::write(ruby, &rb_self, &[value])?;
        Ok(rb_self.as_value())
    }

    /// Everything written is on its way already; the head, where nothing was written yet, is sent now.
    fn flush(rb_self: Obj<Self>) -> Value {
        rb_self.outlet.begin();
        rb_self.as_value()
    }

    fn read(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Value, Error> {
        let input = ruby.get_inner(rb_self.input);
        if input.is_nil() { Ok(input) } else { input.funcall("read", args) }
    }

    fn close(ruby: &Ruby, rb_self: &Self) -> Result<(), Error> {
        error::catching(ruby, || rb_self.outlet.finish(ruby))
    }

    fn close_read(&self) {}

    fn is_closed(&self) -> bool {
        self.outlet.is_closed()
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Stream", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("write", method!(Stream::write, -1))?;
    class.define_method("<<", method!(Stream::append, 1))?;
    class.define_method("flush", method!(Stream::flush, 0))?;
    class.define_method("read", method!(Stream::read, -1))?;
    class.define_method("close", method!(Stream::close, 0))?;
    class.define_method("close_write", method!(Stream::close, 0))?;
    class.define_method("close_read", method!(Stream::close_read, 0))?;
    class.define_method("closed?", method!(Stream::is_closed, 0))?;
    Ok(())
}
