//! The workers that have left: what each had counted is moved to two pages that take turns, so that a reader finds each worker exactly
//! once, wherever the master is in its work.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::table::{Records, Table};
use crate::stats::{AddUp, Of};

impl Table {
    /// Moves what the worker of a place has counted to the departed, for good. Only the master does it. It may be stopped or killed at
    /// any point: readers go by the book that is open.
    pub(super) fn fold(&self, slot: usize) {
        let book = self.turn_page(slot);
        // A reader that sees any of what is written from here on sees the new page as well.
        fence(Release);
        self.records[slot].reset();
        let done = Book { excluded: None, edition: book.edition + 1, ..book };
        self.totals.book.store(done.to_number(), Release);
    }

    /// Has the departed tell of the worker of a place, and of none that lives there.
    fn turn_page(&self, slot: usize) -> Book {
        let (line, records) = (&self.lines[slot], &self.records[slot]);
        let open = self.book();
        let next = Book { page: 1 - open.page, excluded: Some(slot), edition: open.edition + 1 };
        let (from, to) = (&self.totals.departed[open.page], &self.totals.departed[next.page]);
        to.reset();
        to.add(from, Of::Departed);
        to.add(records, Of::Departed);
        let (from, to) = (self.departed_requests(open), self.departed_requests(next));
        to.iter().zip(from).for_each(|(to, from)| to.store(from.load(Relaxed), Relaxed));
        if let Some(requests) = to.get(line.index.load(Relaxed) as usize) {
            requests.fetch_add(records.stats.snapshot().requests, Relaxed);
        }
        self.totals.book.store(next.to_number(), Release);
        next
    }

    fn book(&self) -> Book {
        Book::of_number(self.totals.book.load(Acquire))
    }

    /// The requests that workers had read before they left, by the workers' indices.
    fn departed_requests(&self, book: Book) -> &'static [AtomicU64] {
        let (first, second) = self.departed_requests.split_at(self.lines.len());
        if book.page == 0 { first } else { second }
    }

    /// Does `sum`, which adds up over the departed and the living, until no worker was folded meanwhile.
    pub(super) fn undisturbed<T>(&self, sum: impl Fn(&Departed<'_>) -> T) -> T {
        const TRIES: usize = 1000;
        let mut tries = 0;
        loop {
            let book = self.book();
            let records = &self.totals.departed[book.page];
            let result = sum(&Departed { records, requests: self.departed_requests(book), excluded: book.excluded });
            fence(Acquire);
            tries += 1;
            if Book::of_number(self.totals.book.load(Relaxed)) == book || tries == TRIES {
                return result;
            }
        }
    }
}

/// What the workers that have left had counted.
#[derive(Debug)]
pub(super) struct Departed<'a> {
    pub(super) records: &'a Records,
    /// The requests among that, by the workers' indices.
    pub(super) requests: &'a [AtomicU64],
    /// The place whose records are in the above and do not count as a worker's any more.
    pub(super) excluded: Option<usize>,
}

/// Which of the two pages of the departed is the present one. The master writes to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Book {
    page: usize,
    /// The place whose records are on the page, and are about to be reset.
    excluded: Option<usize>,
    /// Tells this state from all others that there were.
    edition: u64,
}

impl Book {
    const PLACE_BITS: u32 = 16;

    fn to_number(self) -> u64 {
        let place = self.excluded.map_or(0, |slot| slot as u64 + 1);
        (self.edition << (Self::PLACE_BITS + 1)) | ((self.page as u64) << Self::PLACE_BITS) | place
    }

    fn of_number(number: u64) -> Self {
        let place = (number & ((1 << Self::PLACE_BITS) - 1)) as usize;
        let page = (number >> Self::PLACE_BITS & 1) as usize;
        Self { page, excluded: place.checked_sub(1), edition: number >> (Self::PLACE_BITS + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Cluster, Member, table::MOST_SLOTS};

    #[test]
    fn a_book_is_read_as_it_was_written() {
        for (page, excluded, edition) in [(0, None, 0), (1, Some(0), 1), (0, Some(MOST_SLOTS - 1), 1 << 40)] {
            let book = Book { page, excluded, edition };
            assert_eq!(Book::of_number(book.to_number()), book);
        }
        assert_eq!(Book::of_number(0), Book { page: 0, excluded: None, edition: 0 });
    }

    #[test]
    fn a_worker_counts_once_where_the_master_was_stopped_half_way() {
        let cluster = Cluster::create(2).unwrap();
        let member = Member::new(cluster.clone(), cluster.reserve(1).unwrap());
        (0..10).for_each(|_| member.stats().request_begun());
        let counted = || (cluster.sum().stats.snapshot().requests, cluster.requests_by_index());
        assert_eq!(counted(), (10, vec![(1, 10)]));
        cluster.table.turn_page(member.slot());
        assert_eq!(counted(), (10, vec![(1, 10)]));
    }
}
