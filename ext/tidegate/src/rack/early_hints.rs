//! `Tidegate::Native::EarlyHints`, in `rack.early_hints`: sends 103 with the headers that it is called with.

use magnus::{
    DataTypeFunctions, Error, Module, RModule, Ruby, TypedData, Value, gc::Marker, method, prelude::*, typed_data::Obj,
    value::Opaque,
};

use crate::{
    error,
    rack::{exchange::Exchange, response_headers},
};

/// The Ruby object.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::EarlyHints", free_immediately, mark)]
pub(crate) struct EarlyHints(Opaque<Obj<Exchange>>);

impl DataTypeFunctions for EarlyHints {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.0);
    }
}

impl EarlyHints {
    pub(crate) fn new(exchange: Obj<Exchange>) -> Self {
        Self(exchange.into())
    }

    fn call(ruby: &Ruby, rb_self: &Self, headers: Value) -> Result<(), Error> {
        error::catching(ruby, || {
            let headers = response_headers::read(ruby, headers)?.0;
            if !headers.is_empty() {
                ruby.get_inner(rb_self.0).hint(&headers);
            }
            Ok(())
        })
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("EarlyHints", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(EarlyHints::call, 1))
}
