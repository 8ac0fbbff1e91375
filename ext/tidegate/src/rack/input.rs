//! `rack.input`: a `StringIO` or a `File`, so that reading, seeking and encodings are Ruby's own.

use std::os::fd::IntoRawFd;

use magnus::{
    Error, Module, RClass, RModule, Ruby, Value,
    gc::Marker,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::RequestBody;

use crate::rack::request_stream::RequestStream;

/// The classes that request bodies become.
pub(crate) struct Inputs {
    string_io: Opaque<RClass>,
    /// `Tidegate::SpooledInput`.
    spooled: Opaque<RClass>,
    /// `Tidegate::StreamInput`.
    stream: Opaque<RClass>,
}

/// A request body as Ruby reads it.
pub(crate) enum Input {
    /// No body: the env template's own `rack.input` stays.
    None,
    /// In memory.
    Memory(Value, u64),
    /// In an unlinked temporary file, to be closed when the request is over.
    File(Value, u64),
    /// Still arriving: what the app reads, and where it comes from.
    Stream(Value, Obj<RequestStream>),
}

impl Inputs {
    pub(crate) fn new(ruby: &Ruby) -> Result<Self, Error> {
        ruby.require("stringio")?;
        let string_io: RClass = ruby.class_object().const_get("StringIO")?;
        let tidegate: RModule = ruby.class_object().const_get("Tidegate")?;
        let ours = |name| tidegate.const_get::<_, RClass>(name).map(Opaque::from);
        Ok(Self { string_io: string_io.into(), spooled: ours("SpooledInput")?, stream: ours("StreamInput")? })
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        marker.mark(self.string_io);
        marker.mark(self.spooled);
        marker.mark(self.stream);
    }

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
            RequestBody::Stream(feed) => {
                let feed = ruby.obj_wrap(RequestStream::new(feed));
                let io = ruby.get_inner(self.stream).funcall("open", (feed,))?;
                Ok(Input::Stream(io, feed))
            }
        }
    }
}

impl Input {
    /// The body's length in bytes if all of it is here, and the object to read it from.
    pub(crate) fn parts(&self) -> Option<(Option<u64>, Value)> {
        match self {
            Self::None => None,
            Self::Memory(io, len) | Self::File(io, len) => Some((Some(*len), *io)),
            Self::Stream(io, _) => Some((None, *io)),
        }
    }

    /// Ends the receiving of what has not arrived, where Ruby must not be called any more.
    pub(crate) fn release(&self) {
        if let Self::Stream(_, feed) = self {
            feed.close();
        }
    }

    /// Gives back the temporary file, and what has not arrived, whatever the app did with it.
    pub(crate) fn close(self) -> Result<(), Error> {
        match self {
            Self::File(io, _) => io.funcall::<_, _, Value>("close", ()).map(drop),
            Self::Stream(..) => {
                self.release();
                Ok(())
            }
            Self::None | Self::Memory(..) => Ok(()),
        }
    }
}
