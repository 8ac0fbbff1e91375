//! Lent strings: a large part of a response body goes to the socket from the Ruby string's own buffer, and the string is kept
//! alive and unchanged until the connection has given it back. A small part is cheaper to copy.

#![allow(unsafe_code)]

use std::{
    slice,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use magnus::{DataTypeFunctions, Error, RModule, RString, Ruby, TypedData, gc::Marker, prelude::*, value::Opaque};

/// From this size on, in bytes, a string is lent, because copying it costs more than lending it. It is well above the size of the
/// strings that Ruby keeps inside their objects.
const LENT_FROM: usize = 16 * 1024;

/// The strings that are lent, and those given back since the garbage collector last ran. It is static because the collector, and
/// the one object that marks them, are the process's. Only threads that hold the GVL take the
/// lock, so that it is always free, also in the child of a fork: a connection gives a string back by dropping its `Arc`.
static LENT: Mutex<Vec<LentString>> = Mutex::new(Vec::new());

struct LentString {
    string: Opaque<RString>,
    /// The connection has the other one.
    shared: Arc<()>,
}

impl LentString {
    /// Whether the connection has given the string back. All its reads of the string happen before this returns true.
    fn is_given_back(&mut self) -> bool {
        Arc::get_mut(&mut self.shared).is_some()
    }
}

// Under this lock Ruby must not be called and no Ruby object allocated: the garbage collector takes it to mark.
fn lent_strings() -> MutexGuard<'static, Vec<LentString>> {
    LENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The string's bytes as they are now, whatever the app does with it later.
pub(crate) fn bytes(string: RString) -> Bytes {
    if string.len() < LENT_FROM { string.to_bytes() } else { lend(string) }
}

/// The same, for a string that the app may use as a buffer and fill again: it is lent only if it is frozen.
pub(crate) fn bytes_of_chunk(string: RString) -> Bytes {
    if string.is_frozen() { bytes(string) } else { string.to_bytes() }
}

/// Gathers the parts of a body: it joins small ones and lends large ones.
#[derive(Default)]
pub(crate) struct Gathered {
    parts: Vec<Bytes>,
    tail: BytesMut,
}

impl Gathered {
    pub(crate) fn push(&mut self, string: RString) {
        if string.len() >= LENT_FROM {
            self.close_tail();
            self.parts.push(lend(string));
        } else {
            // SAFETY: the string lives as this function's argument, and no Ruby runs until its bytes are copied.
            let bytes = unsafe { string.as_slice() };
            self.tail.extend_from_slice(bytes);
        }
    }

    pub(crate) fn into_parts(mut self) -> Vec<Bytes> {
        self.close_tail();
        self.parts
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(self.tail.split().freeze());
        }
    }
}

fn lend(string: RString) -> Bytes {
    // A frozen string is lent itself. Of another one Ruby makes a frozen string that shares its buffer, and gives the app's
    // string a buffer of its own before the app changes it.
    let string = RString::new_frozen(string);
    // SAFETY: only the start and the length of the slice are read.
    let bytes = unsafe { string.as_slice() };
    let (start, length) = (bytes.as_ptr(), bytes.len());
    let shared = Arc::new(());
    let borrowed = Borrowed { start, length, _shared: shared.clone() };
    let mut lent = lent_strings();
    if lent.len() == lent.capacity() {
        lent.retain_mut(|string| !string.is_given_back());
    }
    lent.push(LentString { string: string.into(), shared });
    Bytes::from_owner(borrowed)
}

/// The connection's side of a lent string.
struct Borrowed {
    start: *const u8,
    length: usize,
    _shared: Arc<()>,
}

// SAFETY: it only reads bytes that do not change or move (see `as_ref`), and may do so on any thread.
unsafe impl Send for Borrowed {}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these are the bytes of a frozen string, and its buffer is its own or that of another frozen string. `LENT`
        // has the string marked for as long as this value lives, which pins it and keeps what it shares.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

/// `Tidegate::Native::LentStrings`: the one object that marks the strings that are lent.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::LentStrings", free_immediately, mark)]
pub(crate) struct LentStrings;

impl DataTypeFunctions for LentStrings {
    fn mark(&self, marker: &Marker) {
        let mut lent = lent_strings();
        lent.retain_mut(|string| !string.is_given_back());
        lent.iter().for_each(|string| marker.mark(string.string));
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("LentStrings", ruby.class_object())?;
    class.undef_default_alloc_func();
    // It lives as long as the process. It has no write barrier, so that every collection marks it.
    ruby.gc_register_mark_object(ruby.obj_wrap(LentStrings));
    Ok(())
}
