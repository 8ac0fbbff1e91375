//! `rack.input`: a `StringIO` or a `File`, so that reading, seeking and encodings are Ruby's own.

use std::os::fd::IntoRawFd;

use magnus::{
    Error, Module, RClass, RHash, RModule, Ruby, Value,
    gc::Marker,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::RequestBody;

use crate::rack::request_stream::RequestStream;

/// The Ruby classes of request bodies, one for each place that a body may be in.
pub(crate) struct InputClasses {
    string_io: Opaque<RClass>,
    /// `Tidegate::SpooledInput`.
    spooled: Opaque<RClass>,
    /// `Tidegate::StreamInput`.
    stream: Opaque<RClass>,
}

/// A request body as Ruby reads it.
pub(crate) enum Input {
    /// There is no body: the `rack.input` of the env's template stays.
    None,
    /// The body is in memory.
    Memory(Value, u64),
    /// The body is in an unlinked temporary file, which the server closes when the request is over.
    File(Value, u64),
    /// The body is still arriving: what the app reads, where that gets it from, and where its trailers will be.
    Stream { io: Value, stream: Obj<RequestStream>, trailers: RHash },
}

impl InputClasses {
    pub(crate) fn new(ruby: &Ruby) -> Result<Self, Error> {
        ruby.require("stringio")?;
        let string_io: RClass = ruby.class_object().const_get("StringIO")?;
        let tidegate: RModule = ruby.class_object().const_get("Tidegate")?;
        let class = |name| tidegate.const_get::<_, RClass>(name).map(Opaque::from);
        Ok(Self { string_io: string_io.into(), spooled: class("SpooledInput")?, stream: class("StreamInput")? })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.string_io);
        marker.mark(self.spooled);
        marker.mark(self.stream);
    }

    /// Makes the `rack.input` of a body.
    pub(crate) fn open(&self, ruby: &Ruby, body: RequestBody) -> Result<Input, Error> {
        match body {
            RequestBody::Empty => Ok(Input::None),
            RequestBody::Memory(bytes) => {
                let string = ruby.str_from_slice(&bytes);
                let io = ruby.get_inner(self.string_io).funcall("new", (string,))?;
                Ok(Input::Memory(io, bytes.len() as u64))
            }
            RequestBody::File { file, len } => {
                let io = ruby.get_inner(self.spooled).funcall("for_fd", (file.into_raw_fd(), "r+b"))?;
                Ok(Input::File(io, len))
            }
            RequestBody::Stream(stream) => {
                let stream = ruby.obj_wrap(RequestStream::new(stream));
                let trailers = ruby.hash_new();
                let io = ruby.get_inner(self.stream).funcall("open", (stream, trailers))?;
                Ok(Input::Stream { io, stream, trailers })
            }
        }
    }
}

impl Input {
    /// The body's length in bytes if all of it has arrived, and the object that the app reads it from.
    pub(crate) fn parts(&self) -> Option<(Option<u64>, Value)> {
        match self {
            Self::None => None,
            Self::Memory(io, len) | Self::File(io, len) => Some((Some(*len), *io)),
            Self::Stream { io, .. } => Some((None, *io)),
        }
    }

    /// Stops receiving the rest of the body. Calls no Ruby, because the thread may be ending.
    pub(crate) fn release(&self) {
        if let Self::Stream { stream, .. } = self {
            stream.close();
        }
    }

    /// Closes the temporary file, or stops receiving the rest of the body, whatever the app did with it.
    pub(crate) fn close(self) -> Result<(), Error> {
        match self {
            Self::File(io, _) => io.funcall::<_, _, Value>("close", ()).map(drop),
            Self::Stream { .. } => {
                self.release();
                Ok(())
            }
            Self::None | Self::Memory(..) => Ok(()),
        }
    }
}
