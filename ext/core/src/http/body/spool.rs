//! The temporary file of a large request body, and what is gathered before it is written there in one go.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};

/// How much of an upload is gathered before it is written to the file.
const BATCH: usize = 256 * 1024;

/// A piece of at least this size is kept as it came. A smaller one is copied, because it may hold on to a buffer many
/// times its size.
const KEPT: usize = 64 * 1024;

/// Bytes received and not written out.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pieces: Vec<Bytes>,
    /// Small pieces that came after those.
    tail: BytesMut,
    length: usize,
}

impl Batch {
    /// Takes the next piece. `left` is how many bytes are to come after it, where that is known.
    pub(super) fn push(&mut self, piece: Bytes, left: Option<u64>) {
        self.length += piece.len();
        // The first may be all there is.
        if piece.len() >= KEPT || (self.pieces.is_empty() && self.tail.is_empty()) {
            self.close_tail();
            self.pieces.push(piece);
            return;
        }
        if self.tail.is_empty() {
            let to_come = left.map_or(0, |left| usize::try_from(left).unwrap_or(BATCH));
            self.tail.reserve((piece.len() + to_come).min(BATCH));
        }
        self.tail.extend_from_slice(&piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// Whether it is time to write it out.
    pub(super) fn is_full(&self) -> bool {
        self.length >= BATCH
    }

    /// All of it in one, copied only where there is more than one piece.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.close_tail();
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces.remove(0),
            _ => self.pieces.concat().into(),
        }
    }
}

/// An unlinked temporary file on its way to be a request body.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Writes `batch` to the end of `spool`, or to a new one in `directory`, off the I/O thread. The upload waits meanwhile, and
    /// with it the client.
    ///
    /// # Errors
    ///
    /// The system's, when there is no room for it.
    pub(super) async fn append(spool: Option<Self>, directory: &Path, batch: &mut Batch) -> io::Result<Self> {
        let Batch { pieces, tail, .. } = std::mem::take(batch);
        let directory = if spool.is_none() { directory.to_owned() } else { PathBuf::new() };
        let written = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let mut spool = match spool {
                Some(spool) => spool,
                None => Self { file: tempfile::tempfile_in(directory)?, length: 0 },
            };
            pieces.iter().try_for_each(|piece| spool.write(piece))?;
            spool.write(&tail)?;
            // Returned, so that they are freed by the thread that allocated them.
            Ok((spool, pieces, tail))
        });
        written.await.map_err(io::Error::other)?.map(|(spool, ..)| spool)
    }

    /// Tries whether a file can be made in `directory` and written to, off the I/O thread.
    ///
    /// # Errors
    ///
    /// The system's, when it can't.
    pub(crate) async fn check(directory: &Path) -> io::Result<()> {
        let mut byte = Batch::default();
        byte.push(Bytes::from_static(b"x"), None);
        Self::append(None, directory, &mut byte).await.map(drop)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The file, positioned at its start.
    pub(super) fn into_file(self) -> File {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn piece(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    #[test]
    fn keeps_one_piece_and_large_ones_as_they_came() {
        let only = piece(1, 10);
        let mut batch = Batch::default();
        batch.push(only.clone(), Some(0));
        assert_eq!(batch.into_bytes().as_ptr(), only.as_ptr());

        let mut batch = Batch::default();
        let (first, small, large) = (piece(1, 10), piece(2, KEPT - 1), piece(3, KEPT));
        for each in [&first, &small, &small, &large] {
            batch.push(each.clone(), None);
        }
        let addresses: Vec<_> = batch.pieces.iter().map(|each| each.as_ptr()).collect();
        assert_eq!((addresses.len(), addresses[0], addresses[2]), (3, first.as_ptr(), large.as_ptr()));
        assert_eq!(batch.into_bytes(), [first, small.clone(), small, large].concat());
    }

    #[test]
    fn makes_room_for_what_is_to_come_and_for_no_more_than_a_batch() {
        let mut batch = Batch::default();
        batch.push(piece(1, 10), Some(90));
        batch.push(piece(2, 10), Some(80));
        assert_eq!(batch.tail.capacity(), 90);
        batch.push(piece(3, KEPT), Some(1 << 40));
        batch.push(piece(4, 10), Some(1 << 40));
        assert_eq!(batch.tail.capacity(), BATCH);
    }

    #[tokio::test]
    async fn appends_batch_after_batch_and_is_read_from_the_start() {
        let mut batch = Batch::default();
        let mut spool = None;
        let mut sent = Vec::new();
        let directory = std::env::temp_dir();
        for (byte, length) in [(1, BATCH), (2, 10), (3, KEPT), (4, 7)] {
            assert!(!batch.is_full());
            batch.push(piece(byte, length), None);
            sent.extend(vec![byte; length]);
            if batch.is_full() {
                spool = Some(Spool::append(spool, &directory, &mut batch).await.unwrap());
            }
        }
        let mut read = Vec::new();
        Spool::append(spool, &directory, &mut batch).await.unwrap().into_file().read_to_end(&mut read).unwrap();
        assert!(read == sent);
    }
}
