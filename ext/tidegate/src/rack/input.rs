//! `rack.input`: a `StringIO` or a `File`, so that reading, seeking and encodings are Ruby's own.

use std::os::fd::IntoRawFd;

use magnus::{
    Error, Module, RClass, RHash, RModule, RString, Ruby, Value,
    gc::Marker,
    typed_data::Obj,
    value::{Opaque, ReprValue},
};
use tidegate_core::{Account, MemoryBody, RequestBody};

use crate::rack::{failure::is_exception, request_stream::RequestStream};

/// A body above this size counts against `buffer_limit` for as long as the app is at its request, and leaves memory with the end
/// of that. A smaller one is the app's from when it has it, and can be read for as long as the app keeps it; as in Puma.
const SMALL: usize = 112 * 1024;

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
    /// The same, and it leaves that with the end of the request.
    Counted {
        io: Value,
        /// What `io` reads.
        string: RString,
        len: u64,
        account: Account,
    },
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
            RequestBody::Memory(body) => {
                let len = body.length();
                let (string, account) = string_of(ruby, body);
                let io = ruby.get_inner(self.string_io).funcall("new", (string,))?;
                let len = len as u64;
                Ok(match account {
                    Some(account) => Input::Counted { io, string, len, account },
                    None => Input::Memory(io, len),
                })
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
            Self::Memory(io, len) | Self::File(io, len) | Self::Counted { io, len, .. } => Some((Some(*len), *io)),
            Self::Stream { io, .. } => Some((None, *io)),
        }
    }

    /// Stops receiving the rest of the body. Calls no Ruby, because the thread may be ending.
    pub(crate) fn release(&self) {
        if let Self::Stream { stream, .. } = self {
            stream.close();
        }
    }

    /// Closes the temporary file, frees what is large in memory, or stops receiving the rest of the body, whatever the app did with
    /// it.
    #[inline(never)]
    pub(crate) fn close(self) -> Result<(), Error> {
        match self {
            Self::Counted { io, string, account, .. } => {
                // What ends the thread is passed on at once.
                let closed = io.funcall::<_, _, Value>("close", ());
                if closed.as_ref().is_err_and(|error| !is_exception(error)) {
                    return closed.map(drop);
                }
                // What the app has read of it shares its bytes, and keeps them.
                if !string.is_frozen() {
                    string.funcall::<_, _, Value>("clear", ())?;
                }
                drop(account);
                closed.map(drop)
            }
            Self::File(io, _) => io.funcall::<_, _, Value>("close", ()).map(drop),
            Self::Stream { .. } => {
                self.release();
                Ok(())
            }
            Self::None | Self::Memory(..) => Ok(()),
        }
    }
}

/// A string of the body's bytes, which are copied once. Each piece is freed when it is copied, so that a body is never in memory
/// twice. With what counts the bytes, where they go on counting.
fn string_of(ruby: &Ruby, body: MemoryBody) -> (RString, Option<Account>) {
    let len = body.length();
    let (pieces, account) = body.into_parts();
    let string = match &*pieces {
        [only] => ruby.str_from_slice(only),
        _ => ruby.str_buf_new(len),
    };
    if pieces.len() > 1 {
        pieces.into_iter().for_each(|piece| string.cat(piece));
    }
    (string, (len > SMALL).then_some(account))
}
