//! Receiving a request body whole: in memory while there is room for it, else in an unlinked file. Who goes to a file, so that
//! none takes the room of all:
//!
//! - a body that is larger than what is left for others. One takes half of the [`Budget`](super::Budget) at most, each of two a
//!   third, and so on; small ones find room for as long as there is any;
//! - where more than half of the budget is used, a large body that has been on its way for some seconds: it is as large as many
//!   that come and go in that time, and its client may never send the rest. So does what is gathered for a file. Where more than three
//!   quarters are used, smaller ones do as well;
//! - where the budget is used up, every body with its next piece, unless it is tiny: a file would cost more than it. Where it is used
//!   up by far, those too;
//! - a body that is larger than `body_memory_limit`, where that is set.
//!
//! Where no file can be made, a body stays in memory while there is room. One that lingers and takes the last of it is refused, not
//! the others that come.
//!
//! What counts is what has come, and not what a client says that will come.

use std::{
    error::Error,
    future::poll_fn,
    path::Path,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Sleep, sleep};

use super::{
    MemoryBody, RequestBody,
    budget::Account,
    buffered::{BodyLimits, Trailers, Unreceived, check_length},
    gathered::{Destination, Gathered},
    pieces::Pieces,
    spool::{Spool, Unspooled},
};

/// Up to this size a body needs no share: there are many such.
const SMALL: u64 = 16 * 1024;

/// Below this size a body is not worth a file.
const TINY: u64 = 4 * 1024;

/// From this size on a body that lingers leaves a memory that is more than half used; a smaller one when more than three quarters are.
const LARGE: u64 = 64 * 1024;

/// For how long a body may be on its way before it leaves a memory that others need.
const LINGERS: Duration = Duration::from_secs(5);

/// How much of an upload is gathered before it is written to the file; where more than half of the memory is used, what is large.
const BATCH: u64 = 256 * 1024;

impl RequestBody {
    /// Receives `incoming` to its end; what memory has no room for in a file of `spool_directory`. Behind it are its trailers,
    /// where the client has sent some.
    ///
    /// # Errors
    ///
    /// 413 when it is longer than the limit, 408 when it arrives too slowly or too late, 400 when its framing
    /// is broken or the client left; what the system says when there is no room for it.
    pub(crate) async fn receive<B>(
        incoming: B,
        terms: BodyLimits,
        spool_directory: &Path,
    ) -> Result<(Self, Option<Trailers>), Unreceived>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        let expected = check_length(&incoming, &terms)?;
        let mut pieces = Pieces::new(incoming, &terms);
        let mut arriving = Arriving::new(&terms, expected, spool_directory);
        while let Some(piece) = arriving.next(&mut pieces).await? {
            arriving.push(piece).await?;
        }
        let trailers = pieces.take_trailers().map(Trailers);
        Ok((arriving.finish().await?, trailers))
    }
}

/// A body on its way in.
struct Arriving<'a> {
    /// How much of it may be in memory.
    memory_limit: u64,
    directory: &'a Path,
    /// Its length, where that is known.
    expected: Option<u64>,
    received: u64,
    /// What is in memory.
    gathered: Gathered,
    account: Account,
    place: Place,
    /// When it is to be looked at whether it lingers, once it is not tiny and waited for.
    lingers: Option<Pin<Box<Sleep>>>,
}

/// Where a body is to be.
enum Place {
    Memory,
    /// In memory although it should be in a file, which could not be made.
    NoFile,
    /// In a file, which is made when there is something to write.
    ForFile,
    /// In a file, but for what is gathered for it.
    File(Spool),
}

impl<'a> Arriving<'a> {
    fn new(terms: &BodyLimits, expected: Option<u64>, directory: &'a Path) -> Self {
        let memory_limit = terms.body_memory_limit.unwrap_or(u64::MAX);
        // One that is known to be for the file is gathered for it from the start.
        let share = (terms.budget.room() / 2).max(SMALL);
        let for_file = expected.is_some_and(|length| length > memory_limit.min(share));
        Self {
            memory_limit,
            directory,
            expected,
            received: 0,
            gathered: Gathered::default(),
            account: terms.budget.account_of_request(),
            place: if for_file { Place::ForFile } else { Place::Memory },
            lingers: None,
        }
    }

    /// The next piece; `None` at the end. While the client is waited for, what is there may have to go to a file.
    async fn next<B>(&mut self, pieces: &mut Pieces<B>) -> Result<Option<Bytes>, Unreceived>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        let mut next = pin!(pieces.next());
        loop {
            let watched = self.account.bytes() >= TINY;
            let lingers = &mut self.lingers;
            let piece = poll_fn(|cx| {
                if let Poll::Ready(piece) = next.as_mut().poll(cx) {
                    return Poll::Ready(Some(piece));
                }
                if !watched {
                    return Poll::Pending;
                }
                let timer = lingers.get_or_insert_with(|| Box::pin(sleep(LINGERS)));
                timer.as_mut().poll(cx).map(|()| None)
            });
            match piece.await {
                Some(piece) => return Ok(piece?),
                None => self.lingered().await?,
            }
        }
    }

    /// It has been on its way for long: it goes to a file if others need the memory. If there is no file for it either, it has had its
    /// time.
    async fn lingered(&mut self) -> Result<(), Unreceived> {
        self.lingers = None;
        let without_file = matches!(self.place, Place::NoFile);
        let needed = if self.account.bytes() >= LARGE && !without_file {
            self.account.is_crowded()
        } else {
            self.account.is_tight()
        };
        if needed {
            self.account.leave();
            self.write(!without_file).await?;
        }
        Ok(())
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), Unreceived> {
        self.received += piece.len() as u64;
        self.account.grow(piece.len());
        let left = self.expected.map(|length| length.saturating_sub(self.received));
        let destination = match &self.place {
            Place::Memory | Place::NoFile => Destination::Memory,
            Place::ForFile | Place::File(_) => Destination::File,
        };
        self.gathered.push(piece, left, destination);
        let bytes = self.account.bytes();
        let due = match &self.place {
            _ if self.account.is_over() && bytes >= TINY => true,
            Place::Memory | Place::NoFile if self.received > self.memory_limit || self.account.is_far_over() => true,
            Place::Memory => bytes > self.account.room().max(SMALL),
            Place::NoFile => false,
            Place::ForFile | Place::File(_) => bytes >= if self.account.is_crowded() { LARGE } else { BATCH },
        };
        if due { self.write(true).await } else { Ok(()) }
    }

    async fn finish(mut self) -> Result<RequestBody, Unreceived> {
        let len = self.received;
        if len == 0 {
            return Ok(RequestBody::Empty);
        }
        if matches!(self.place, Place::ForFile | Place::File(_)) && self.gathered.length() > 0 {
            self.write(true).await?;
        }
        Ok(match self.place {
            Place::File(spool) => RequestBody::File { file: spool.into_file(), len },
            _ => RequestBody::Memory(MemoryBody::new(self.gathered, self.account)),
        })
    }

    /// Writes to the file what is in memory. Where no file can be made, it stays while memory has room for it, and if it `may_stay`.
    async fn write(&mut self, may_stay: bool) -> Result<(), Unreceived> {
        let spool = match std::mem::replace(&mut self.place, Place::NoFile) {
            Place::File(spool) => Some(spool),
            Place::Memory | Place::NoFile | Place::ForFile => None,
        };
        let over_its_own = self.received.max(self.expected.unwrap_or(0)) > self.memory_limit;
        let (gathered, account) = (std::mem::take(&mut self.gathered), self.account.take());
        match Spool::append(spool, self.directory, gathered, account).await {
            Ok((spool, mut account)) => {
                self.place = Place::File(spool);
                account.goes_to_file(!over_its_own);
                self.account = account;
                Ok(())
            }
            Err(Unspooled { kept: Some((gathered, mut account)), .. })
                if may_stay && !over_its_own && !account.is_over() =>
            {
                account.stay();
                (self.gathered, self.account) = (gathered, account);
                Ok(())
            }
            Err(unspooled) => Err(unspooled.error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
