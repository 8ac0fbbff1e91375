//! A request body in memory.

use std::fmt;

use bytes::Bytes;

use super::{budget::Account, gathered::Gathered};

/// A request body in memory, in the pieces in which it was received. It counts against [`Limits::buffer_limit`] for as long as
/// it, or what [`MemoryBody::into_parts`] leaves of it, is there.
///
/// [`Limits::buffer_limit`]: crate::Limits::buffer_limit
pub struct MemoryBody {
    pieces: Vec<Bytes>,
    length: usize,
    account: Account,
}

impl MemoryBody {
    pub(super) fn new(gathered: Gathered, account: Account) -> Self {
        Self { length: gathered.length(), pieces: gathered.into_pieces(), account }
    }

    /// Its length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Its bytes, in one piece, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Its pieces, in order; and what counts its bytes until it is dropped, wherever the program puts them.
    pub fn into_parts(self) -> (Vec<Bytes>, Account) {
        (self.pieces, self.account)
    }
}

impl fmt::Debug for MemoryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBody({} bytes in {} pieces)", self.length, self.pieces.len())
    }
}
