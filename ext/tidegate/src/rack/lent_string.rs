//! Strings on loan: a large part of a response body goes to the socket from Ruby's own buffer, and the string is kept alive
//! and as it is until the connection has let go of it. A small one is cheaper to copy.

#![allow(unsafe_code)]

use std::{
    slice,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use magnus::{DataTypeFunctions, Error, RModule, RString, Ruby, TypedData, gc::Marker, prelude::*, value::Opaque};

/// From this size on a string is lent: to copy it costs more than what a loan does. Well above the size of those that Ruby
/// keeps inside their objects.
const LENT_FROM: usize = 16 * 1024;

/// The strings that are lent, and those given back since the collector last came by. Used only by threads that hold the GVL, so
/// that nobody waits for it and a fork finds it free: a connection gives back by dropping its `Arc`.
static LOANS: Mutex<Vec<Loan>> = Mutex::new(Vec::new());

struct Loan {
    string: Opaque<RString>,
    /// The connection has the other one.
    lent: Arc<()>,
}

impl Loan {
    /// Whether nobody reads the string any more. What was read of it happened before this says so.
    fn is_over(&mut self) -> bool {
        Arc::get_mut(&mut self.lent).is_some()
    }
}

// Ruby must not be called under this lock, nor anything allocated of Ruby's: the collector takes it to mark.
fn loans() -> MutexGuard<'static, Vec<Loan>> {
    LOANS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The string's bytes as they are now, whatever the app does with it later.
pub(crate) fn bytes(string: RString) -> Bytes {
    if string.len() < LENT_FROM { string.to_bytes() } else { lend(string) }
}

/// The same, for a string that the app is likely to fill again and again if it can: lent only where it is frozen.
pub(crate) fn bytes_of_chunk(string: RString) -> Bytes {
    if string.is_frozen() { bytes(string) } else { string.to_bytes() }
}

/// Gathers the parts of a body: small ones into one, large ones as they are.
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
            // SAFETY: the string lives as this function's argument, and nothing of Ruby's runs until its bytes are copied.
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
    // Itself where it is frozen, otherwise one that shares its buffer: Ruby gives the app's string a buffer of its own
    // before it is changed.
    let string = RString::new_frozen(string);
    // SAFETY: it is only asked where it begins and how long it is.
    let bytes = unsafe { string.as_slice() };
    let (start, length) = (bytes.as_ptr(), bytes.len());
    let lent = Arc::new(());
    let borrowed = Borrowed { start, length, _loan: lent.clone() };
    let mut loans = loans();
    if loans.len() == loans.capacity() {
        loans.retain_mut(|loan| !loan.is_over());
    }
    loans.push(Loan { string: string.into(), lent });
    Bytes::from_owner(borrowed)
}

/// The connection's side of a loan.
struct Borrowed {
    start: *const u8,
    length: usize,
    _loan: Arc<()>,
}

// SAFETY: it only reads bytes that do not change or move (see `as_ref`), and may do so on any thread.
unsafe impl Send for Borrowed {}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these are the bytes of a frozen string whose buffer is its own or that of another frozen string. `LOANS`
        // has the string marked for as long as this value lives, which pins it and keeps what it shares.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

/// `Tidegate::Native::Loans`: the one object that marks what is lent.
#[derive(TypedData)]
#[magnus(class = "Tidegate::Native::Loans", free_immediately, mark)]
pub(crate) struct Keeper;

impl DataTypeFunctions for Keeper {
    fn mark(&self, marker: &Marker) {
        let mut loans = loans();
        loans.retain_mut(|loan| !loan.is_over());
        loans.iter().for_each(|loan| marker.mark(loan.string));
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Loans", ruby.class_object())?;
    class.undef_default_alloc_func();
    // For ever. It has no write barrier, so that every collection marks it.
    ruby.gc_register_mark_object(ruby.obj_wrap(Keeper));
    Ok(())
}
