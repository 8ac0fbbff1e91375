//! The temporary file of a request body that memory has no room for, or is not to be kept there.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    budget::{Account, Budget},
    gathered::Gathered,
};

/// An unlinked temporary file on its way to be a request body.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    length: u64,
}

/// Bytes could not be written.
#[derive(Debug)]
pub(super) struct Unspooled {
    pub(super) error: io::Error,
    /// All that was to be written, with what counts it, where nothing had been written before; else the body is lost.
    pub(super) kept: Option<(Gathered, Account)>,
}

impl Spool {
    /// Writes what is `gathered` to the end of `spool`, or to a new one in `directory`, off the I/O thread. The upload waits
    /// meanwhile, and with it the client; where that does not wait, the bytes are counted by `account` until they are written all the
    /// same.
    ///
    /// # Errors
    ///
    /// The system's, when there is no room for it.
    pub(super) async fn append(
        spool: Option<Self>,
        directory: &Path,
        gathered: Gathered,
        account: Account,
    ) -> Result<(Self, Account), Unspooled> {
        let pieces = gathered.into_pieces();
        let (begun, directory) = (spool.is_some(), if spool.is_none() { directory.to_owned() } else { PathBuf::new() });
        let written = tokio::task::spawn_blocking(move || {
            let written = spool.map_or_else(|| Self::new(&directory), Ok).and_then(|mut spool| {
                pieces.iter().try_for_each(|piece| spool.write(piece))?;
                Ok(spool)
            });
            // Returned, so that they are freed by the thread that allocated them.
            (written, pieces, account)
        });
        let (written, pieces, account) =
            written.await.map_err(|error| Unspooled { error: io::Error::other(error), kept: None })?;
        match written {
            Ok(spool) => Ok((spool, account)),
            Err(error) => Err(Unspooled { error, kept: (!begun).then(|| (pieces.into(), account)) }),
        }
    }

    /// Tries whether a file can be made in `directory` and written to, off the I/O thread.
    ///
    /// # Errors
    ///
    /// The system's, when it can't.
    pub(crate) async fn check(directory: &Path) -> io::Result<()> {
        let (byte, account) = (Gathered::from(vec![Bytes::from_static(b"x")]), Budget::new(None).account_of_request());
        Self::append(None, directory, byte, account).await.map(drop).map_err(|unspooled| unspooled.error)
    }

    fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)?, length: 0 })
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

    fn pieces(lengths: &[(u8, usize)]) -> Gathered {
        lengths.iter().map(|&(byte, length)| Bytes::from(vec![byte; length])).collect::<Vec<_>>().into()
    }

    #[tokio::test]
    async fn appends_piece_after_piece_and_is_read_from_the_start() {
        let directory = std::env::temp_dir();
        let account = Budget::new(None).account_of_request();
        let both = pieces(&[(1, 100_000), (2, 10)]);
        let (first, account) = Spool::append(None, &directory, both, account).await.unwrap();
        let (second, _) = Spool::append(Some(first), &directory, pieces(&[(3, 70_000)]), account).await.unwrap();
        let mut file = second.into_file();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == [vec![1; 100_000], vec![2; 10], vec![3; 70_000]].concat());
    }

    #[tokio::test]
    async fn gives_back_what_no_file_could_be_made_for() {
        let budget = Budget::new(None);
        let mut account = budget.account_of_request();
        account.grow(5);
        let unspooled = Spool::append(None, Path::new("/nonexistent"), pieces(&[(1, 5)]), account).await.unwrap_err();
        assert_eq!(unspooled.error.kind(), io::ErrorKind::NotFound);
        let (kept, account) = unspooled.kept.unwrap();
        assert_eq!((kept.into_pieces().concat(), account.bytes(), budget.held()), (vec![1; 5], 5, 5));
    }
}
