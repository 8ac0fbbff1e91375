//! What has come of a request body and is in memory. No byte is copied more than once on its way here, however many pieces there
//! are and whether their number is known or not.
//!
//! What stays in memory is copied into large blocks, mostly one for the whole body. That costs less than it saves: hyper reads the
//! next piece into the same buffer, and the allocator finds room for the next body where this one was. hyper's buffers of 128 KiB
//! themselves, of which each piece keeps one, left holes that no string of Ruby's fits into.

use bytes::{Bytes, BytesMut};

/// A piece of at least this size that is on its way to a file is kept as it came: three quarters of hyper's largest buffer, of
/// which it may hold on to the rest. A smaller one is copied, because it may hold on to a buffer many times its size.
const KEPT: usize = 96 * 1024;

/// A piece that is smaller is copied wherever it may be followed by others.
const SMALL: usize = 4 * 1024;

/// How large the blocks are at most that pieces are copied into.
const BLOCK: usize = 1024 * 1024;

/// The same, for a file: as much as is written at a time.
const FILE_BLOCK: usize = 256 * 1024;

/// How many times larger than all that has come a block may be, whatever is announced: a client that sends little may not have
/// much put aside.
const TRUSTED: usize = 8;

/// The first block of a body of unknown length. Each next one has room for as much as there was before it.
const FIRST_BLOCK: usize = 16 * 1024;

/// Where bytes go from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Memory,
    File,
}

/// Bytes received, in order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pieces: Vec<Bytes>,
    /// What came after those. It never grows.
    block: BytesMut,
    length: usize,
}

impl Gathered {
    /// Takes the next piece. `left` is how many bytes are to come after it, where that is known.
    pub(super) fn push(&mut self, mut piece: Bytes, left: Option<u64>, destination: Destination) {
        if piece.is_empty() {
            return;
        }
        let before = self.length;
        self.length += piece.len();
        let keeps = match destination {
            // It may be all there is. Of a length that is not known, a small one is copied: it may wait for long with a buffer of its own.
            Destination::Memory => before == 0 && left.map_or(piece.len() >= SMALL, |left| left == 0),
            Destination::File => before == 0 || piece.len() >= KEPT,
        };
        if keeps {
            self.close_block();
            self.pieces.push(piece);
            return;
        }
        let room = self.block.capacity() - self.block.len();
        if piece.len() > room {
            self.block.extend_from_slice(&piece.split_to(room));
            self.close_block();
            let most = match destination {
                Destination::Memory => BLOCK.min(TRUSTED * self.length),
                Destination::File => FILE_BLOCK,
            };
            let to_come = match left {
                Some(left) => piece.len().saturating_add(usize::try_from(left).unwrap_or(usize::MAX)),
                None => before.max(FIRST_BLOCK),
            };
            self.block = BytesMut::with_capacity(to_come.min(most).max(piece.len()));
        }
        self.block.extend_from_slice(&piece);
    }

    fn close_block(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push(std::mem::take(&mut self.block).freeze());
        }
    }

    /// Bytes that there are.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// All of it, in order. None of the pieces is empty.
    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        self.close_block();
        self.pieces
    }
}

impl From<Vec<Bytes>> for Gathered {
    fn from(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(Bytes::len).sum();
        Self { pieces, block: BytesMut::new(), length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    use Destination::{File, Memory};

    #[test]
    fn keeps_what_may_be_all_there_is_and_large_pieces_for_a_file_as_they_came() {
        for (length, left, destination) in
            [(10, Some(0), Memory), (SMALL, None, Memory), (10, Some(0), File), (10, None, File)]
        {
            let only = piece(1, length);
            let mut gathered = Gathered::default();
            gathered.push(only.clone(), left, destination);
            let pieces = gathered.into_pieces();
            assert_eq!((pieces.len(), pieces[0].as_ptr()), (1, only.as_ptr()));
        }
        let (few, mut gathered) = (piece(1, SMALL - 1), Gathered::default());
        gathered.push(few.clone(), None, Memory);
        assert_ne!(
            gathered.into_pieces()[0].as_ptr(),
            few.as_ptr(),
            "the next may follow, and its buffer be much larger"
        );
        let (first, small, large) = (piece(1, 10), piece(2, KEPT - 1), piece(3, KEPT));
        let mut gathered = Gathered::default();
        for each in [&first, &small, &small, &large] {
            gathered.push(each.clone(), None, File);
        }
        let length = gathered.length();
        let pieces = gathered.into_pieces();
        assert_eq!(length, pieces.iter().map(Bytes::len).sum::<usize>());
        assert_eq!((pieces[0].as_ptr(), pieces[pieces.len() - 1].as_ptr()), (first.as_ptr(), large.as_ptr()));
        assert_eq!(pieces.concat(), [first, small.clone(), small, large].concat());
    }

    #[test]
    fn makes_one_block_of_a_body_of_known_length() {
        let mut gathered = Gathered::default();
        let (length, read) = (900_000, 131_072 - 93);
        for at in (0..length).step_by(read) {
            let piece = piece((at % 251) as u8, read.min(length - at));
            let left = (length - at - piece.len()) as u64;
            gathered.push(piece, Some(left), Memory);
        }
        assert_eq!(gathered.block.capacity(), length);
        assert_eq!(gathered.into_pieces().iter().map(Bytes::len).collect::<Vec<_>>(), [length]);
    }

    #[test]
    fn puts_nothing_aside_for_what_is_only_announced() {
        let mut gathered = Gathered::default();
        gathered.push(piece(1, 10), Some(1 << 40), Memory);
        assert_eq!(gathered.block.capacity(), 10 * TRUSTED);
        gathered.push(piece(2, BLOCK), Some(1 << 40), Memory);
        assert_eq!(gathered.block.capacity(), BLOCK);
        gathered.push(piece(3, KEPT), Some(1 << 40), File);
        gathered.push(piece(4, 10), Some(1 << 40), File);
        assert_eq!(gathered.block.capacity(), FILE_BLOCK);
        assert_eq!(gathered.into_pieces().concat().len(), 10 + BLOCK + KEPT + 10);
    }

    /// One buffer for all of a body of unknown length was moved again and again as it grew.
    #[test]
    fn moves_nothing_that_is_there_however_small_the_pieces_are() {
        let mut gathered = Gathered::default();
        let mut blocks = vec![];
        for _ in 0..3000 {
            gathered.push(piece(7, 1000), None, Memory);
            if blocks.last() != Some(&gathered.block.as_ptr()) {
                blocks.push(gathered.block.as_ptr());
            }
        }
        let pieces = gathered.into_pieces();
        // The first piece, which is kept, and blocks that no byte has left.
        assert_eq!(pieces.len(), blocks.len());
        assert!(pieces[1..].iter().map(|piece| piece.as_ptr()).eq(blocks[1..].iter().copied()));
        assert!(pieces.len() <= 3_000_000 / BLOCK + 9, "{}", pieces.len());
        assert!(pieces.concat().iter().eq(vec![7; 3_000_000].iter()));
    }
}
