//! Keys and values on their way into a Ruby hash: many at a time, because each call into Ruby is protected against what it may
//! raise, and that costs.

use magnus::{Error, IntoValue, RHash, RString, Ruby, Value, value::ReprValue};

/// More pairs than a usual request has.
const ROOM: usize = 32;

/// The pairs that the hash has not got yet. It stays on the stack, where Ruby's garbage collector finds them.
pub(crate) struct HashBuilder<'a> {
    ruby: &'a Ruby,
    hash: RHash,
    values: [Value; 2 * ROOM],
    filled: usize,
}

impl<'a> HashBuilder<'a> {
    /// Adds to `hash`.
    pub(crate) fn new(ruby: &'a Ruby, hash: RHash) -> Self {
        Self { ruby, hash, values: [ruby.qnil().as_value(); 2 * ROOM], filled: 0 }
    }

    /// Adds a pair. The later of two pairs with the same key counts.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub(crate) fn put(&mut self, key: RString, value: impl IntoValue) -> Result<(), Error> {
        if self.filled == self.values.len() {
            self.flush()?;
        }
        self.values[self.filled] = key.as_value();
        self.values[self.filled + 1] = value.into_value_with(self.ruby);
        self.filled += 2;
        Ok(())
    }

    /// Gives the hash the pairs that it has not got yet.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let filled = std::mem::take(&mut self.filled);
        self.hash.bulk_insert(&self.values[..filled])
    }
}
