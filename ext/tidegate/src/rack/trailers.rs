//! Trailers (RFC 9110 §6.5). A request's are a hash, in `tidegate.trailers`. A response's are taken by `Tidegate::Native::Trailers`,
//! in `tidegate.send_trailers`, until its body is over.

use std::sync::{Arc, Mutex, MutexGuard};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use magnus::{Error, Module, RHash, RModule, Ruby, Value, method, prelude::*};

use crate::{
    error,
    rack::{
        env::joined,
        response::invalid,
        response_headers::{self, too_many},
    },
};

/// The fields that go out behind the body of one response. The exchange, its writer and the app share it.
#[derive(Clone)]
pub(crate) struct ResponseTrailers(Arc<Mutex<State>>);

struct State {
    fields: HeaderMap,
    /// HTTP/1: only what the head names can follow it.
    named_first: bool,
    stage: Stage,
}

/// How far the response is.
enum Stage {
    /// Nothing was sent.
    Open,
    /// The head was sent. These can follow; `None` means any.
    Begun(Option<Vec<HeaderName>>),
    /// None can follow; why.
    Over(&'static str),
}

impl ResponseTrailers {
    /// `named_first`: the head has to name them, as in HTTP/1.
    pub(crate) fn new(named_first: bool) -> Self {
        Self(Arc::new(Mutex::new(State { fields: HeaderMap::new(), named_first, stage: Stage::Open })))
    }

    // Ruby must not be called under this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the app has given some.
    pub(crate) fn is_given(&self) -> bool {
        !self.state().fields.is_empty()
    }

    /// The head goes out, with a body that is not declared to have a length: names what the app has given, where that has to be.
    ///
    /// # Errors
    ///
    /// `TypeError` for more headers than there may be.
    pub(crate) fn begin(&self, ruby: &Ruby, headers: &mut HeaderMap) -> Result<(), Error> {
        let mut state = self.state();
        if !state.named_first {
            state.stage = Stage::Begun(None);
            return Ok(());
        }
        let names: Vec<_> = state.fields.keys().map(HeaderName::as_str).collect();
        if !names.is_empty() {
            let value = HeaderValue::from_str(&names.join(", "));
            let added = value.is_ok_and(|value| headers.try_append(header::TRAILER, value).is_ok());
            if !added {
                drop(state);
                return Err(too_many(ruby));
            }
        }
        let named = headers.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
        let named = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
        state.stage = Stage::Begun(Some(named));
        Ok(())
    }

    /// None can follow any more.
    pub(crate) fn end(&self, why: &'static str) {
        self.state().stage = Stage::Over(why);
    }

    /// Another response takes the place of the one that they belong to.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.fields.clear();
        state.stage = Stage::Open;
    }

    /// The body is over: what goes out behind it.
    pub(crate) fn take(&self) -> HeaderMap {
        let mut state = self.state();
        state.stage = Stage::Over("the response is over");
        std::mem::take(&mut state.fields)
    }

    /// Adds fields; one that is there already is replaced.
    fn add(&self, ruby: &Ruby, given: &HeaderMap) -> Result<(), Error> {
        if let Some(name) = given.keys().find(|name| is_of_the_head(name)) {
            return Err(invalid(ruby, format!("the app gave the trailer {name}, which belongs into the head")));
        }
        let mut state = self.state();
        let refused = match &state.stage {
            Stage::Over(why) => Some((*why).to_owned()),
            Stage::Begun(Some(named)) => given.keys().find(|name| !named.contains(name)).map(|name| {
                format!("over HTTP/1 the trailer {name} has to be given, or named in the header trailer, before the response begins")
            }),
            Stage::Open | Stage::Begun(None) => None,
        };
        if let Some(message) = refused {
            drop(state);
            return Err(Error::new(ruby.exception_io_error(), message));
        }
        for name in given.keys() {
            state.fields.remove(name);
        }
        for (name, value) in given {
            if state.fields.try_append(name, value.clone()).is_err() {
                drop(state);
                return Err(too_many(ruby));
            }
        }
        Ok(())
    }
}

/// Fields that say how the message is to be read, or to whom it goes: they come too late behind it (RFC 9110 §6.5.1).
fn is_of_the_head(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::TRAILER
            | header::TE
            | header::HOST
            | header::CONNECTION
            | header::UPGRADE
            | header::CACHE_CONTROL
            | header::SET_COOKIE
    )
}

/// A request's trailers put into a hash: names in small letters, the values of a name joined as in a header.
pub(super) fn fill(ruby: &Ruby, hash: RHash, fields: &HeaderMap) -> Result<(), Error> {
    for name in fields.keys() {
        hash.aset(ruby.str_new(name.as_str()), joined(ruby, name, fields))?;
    }
    Ok(())
}

/// `Tidegate::Native::Trailers`.
#[magnus::wrap(class = "Tidegate::Native::Trailers", free_immediately)]
pub(crate) struct SendTrailers(pub(super) ResponseTrailers);

impl SendTrailers {
    fn call(ruby: &Ruby, rb_self: &Self, fields: Value) -> Result<(), Error> {
        error::catching(ruby, || {
            let fields = response_headers::read(ruby, fields)?.0;
            rb_self.0.add(ruby, &fields)
        })
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Trailers", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(SendTrailers::call, 1))
}
