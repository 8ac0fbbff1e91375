//! Keys and values on their way into a hash: many at a time, because each call of Ruby has to be able to fail.

use magnus::{Error, IntoValue, RHash, RString, Ruby, Value, value::ReprValue};

/// More than a usual request has.
const ROOM: usize = 32;

/// Pairs that a hash gets, by then. Stays on the stack, where Ruby's collector finds them.
pub(crate) struct Pairs<'a> {
    ruby: &'a Ruby,
    hash: RHash,
    values: [Value; 2 * ROOM],
    filled: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn of(ruby: &'a Ruby, hash: RHash) -> Self {
        Self { ruby, hash, values: [ruby.qnil().as_value(); 2 * ROOM], filled: 0 }
    }

    /// Adds a pair; later ones count.
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

    /// Gives the hash what it has not got yet.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let filled = std::mem::take(&mut self.filled);
        self.hash.bulk_insert(&self.values[..filled])
    }
}
