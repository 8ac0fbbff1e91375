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
use tidegate_core::{
    body::{BodySender, SendError},
    wake::Sleeper,
};

use crate::{error, gvl, loan};

/// The writing end, shared by all that may write to it.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Mutex<Option<Arc<BodySender>>>>);

impl Outlet {
    pub(crate) fn new(sender: BodySender) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::new(sender)))))
    }

    fn sender(&self) -> MutexGuard<'_, Option<Arc<BodySender>>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a chunk, waiting while the client is slower than the app.
    ///
    /// # Errors
    ///
    /// `Errno::EPIPE` when the client has gone, `IOError` when the response is over, and whatever interrupts the
    /// wait.
    pub(crate) fn write(&self, ruby: &Ruby, chunk: Bytes) -> Result<(), Error> {
        let Some(sender) = self.sender().clone() else {
            return Err(Error::new(ruby.exception_io_error(), "the response is over"));
        };
        let sleeper = Sleeper::new();
        let mut chunk = chunk;
        loop {
            match sender.try_send(chunk, &sleeper.waker()) {
                Ok(()) => return Ok(()),
                Err(SendError::Gone) => return Err(error::client_gone(ruby)),
                Err(SendError::Full(back)) => chunk = back,
            }
            gvl::wait(ruby, &sleeper.waker(), || sleeper.sleep());
            ruby.thread_check_ints()?;
        }
    }

    /// Whether the client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.sender().as_ref().is_some_and(|sender| sender.is_gone())
    }

    /// Ends the response: it is whole. A thread that is still writing to it spoils that, and aborts it.
    pub(crate) fn finish(&self) {
        let sender = self.sender().take();
        if let Some(sender) = sender.and_then(Arc::into_inner) {
            sender.finish();
        }
    }

    /// Ends the response as it is: the client sees that it was cut.
    pub(crate) fn abort(&self) {
        drop(self.sender().take());
    }

    fn is_closed(&self) -> bool {
        self.sender().is_none()
    }

    /// Cuts the response when the value is dropped, by a panic too, unless it was ended before: the object that the app writes
    /// to may be collected much later.
    pub(crate) fn cut_at_end(&self) -> CutAtEnd {
        CutAtEnd(self.clone())
    }
}

/// See [`Outlet::cut_at_end`].
pub(crate) struct CutAtEnd(Outlet);

impl Drop for CutAtEnd {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A Ruby value as a string, which is what a part of a body is.
pub(crate) fn string(value: Value) -> Result<RString, Error> {
    RString::from_value(value).map_or_else(|| value.funcall("to_s", ()), Ok)
}

/// A Ruby value as a chunk of a body.
pub(crate) fn chunk(value: Value) -> Result<Bytes, Error> {
    string(value).map(loan::bytes_of_chunk)
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

    fn write(ruby: &Ruby, rb_self: &Self, value: Value) -> Result<usize, Error> {
        error::catching(ruby, || {
            let chunk = chunk(value)?;
            let length = chunk.len();
            rb_self.outlet.write(ruby, chunk)?;
            Ok(length)
        })
    }

    fn append(ruby: &Ruby, rb_self: Obj<Self>, value: Value) -> Result<Value, Error> {
        Self::write(ruby, &rb_self, value)?;
        Ok(rb_self.as_value())
    }

    /// Everything written is on its way already.
    fn flush(rb_self: Obj<Self>) -> Value {
        rb_self.as_value()
    }

    fn read(ruby: &Ruby, rb_self: &Self, args: &[Value]) -> Result<Value, Error> {
        let input = ruby.get_inner(rb_self.input);
        if input.is_nil() { Ok(input) } else { input.funcall("read", args) }
    }

    fn close(&self) {
        self.outlet.finish();
    }

    fn close_read(&self) {}

    fn is_closed(&self) -> bool {
        self.outlet.is_closed()
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Stream", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("write", method!(Stream::write, 1))?;
    class.define_method("<<", method!(Stream::append, 1))?;
    class.define_method("flush", method!(Stream::flush, 0))?;
    class.define_method("read", method!(Stream::read, -1))?;
    class.define_method("close", method!(Stream::close, 0))?;
    class.define_method("close_write", method!(Stream::close, 0))?;
    class.define_method("close_read", method!(Stream::close_read, 0))?;
    class.define_method("closed?", method!(Stream::is_closed, 0))?;
    Ok(())
}
