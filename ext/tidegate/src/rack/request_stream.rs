//! `Tidegate::Native::RequestStream`: a request body that is still arriving, piece by piece.
//! `lib/tidegate/rack/stream_input.rb` makes a `rack.input` of it.

use std::sync::{Arc, Mutex, MutexGuard};

use magnus::{Error, Module, RHash, RModule, RString, Ruby, method, prelude::*};
use tidegate_core::{NextPiece, Parker};

use crate::{error, gvl, rack::trailers};

/// The Ruby object.
#[magnus::wrap(class = "Tidegate::Native::RequestStream", free_immediately)]
pub(crate) struct RequestStream(Mutex<Option<Arc<tidegate_core::RequestStream>>>);

impl RequestStream {
    pub(crate) fn new(stream: tidegate_core::RequestStream) -> Self {
        Self(Mutex::new(Some(Arc::new(stream))))
    }

    fn stream(&self) -> MutexGuard<'_, Option<Arc<tidegate_core::RequestStream>>> {
        // No code that can panic runs under this lock, and no Ruby.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next piece; nil after the last one. Waits for it without the GVL.
    fn next(ruby: &Ruby, rb_self: &Self) -> Result<Option<RString>, Error> {
        let Some(stream) = rb_self.stream().clone() else { return Err(over(ruby)) };
        let parker = Parker::new();
        loop {
            match stream.next(&parker.unparker()) {
                NextPiece::Piece(piece) => return Ok(Some(ruby.str_from_slice(&piece))),
                NextPiece::Whole => return Ok(None),
                NextPiece::Broken(cause) => return Err(error::body_broken(ruby, cause)),
                NextPiece::Closed => return Err(over(ruby)),
                NextPiece::Nothing => {}
            }
            gvl::wait(ruby, &parker.unparker(), || parker.park());
            ruby.thread_check_ints()?;
        }
    }

    /// Puts what came behind the body into a hash, once `next` has returned nil.
    fn fill_trailers(ruby: &Ruby, rb_self: &Self, hash: RHash) -> Result<(), Error> {
        let fields = rb_self.stream().as_ref().and_then(|stream| stream.take_trailers());
        fields.map_or(Ok(()), |fields| trailers::fill(ruby, hash, &fields))
    }

    /// Stops receiving the body, and wakes the threads that wait for more of it.
    pub(crate) fn close(&self) {
        let stream = self.stream().take();
        if let Some(stream) = stream {
            stream.close();
        }
    }
}

fn over(ruby: &Ruby) -> Error {
    Error::new(ruby.exception_io_error(), "the request is over, and its body with it")
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("RequestStream", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("next", method!(RequestStream::next, 0))?;
    class.define_method("fill_trailers", method!(RequestStream::fill_trailers, 1))?;
    class.define_method("close", method!(RequestStream::close, 0))
}
