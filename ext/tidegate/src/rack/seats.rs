//! Which thread runs which exchange, by the workers' numbers: for the thread that interrupts others, and for backtraces.

use std::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use magnus::{Ruby, Value, gc::Marker, prelude::*, typed_data::Obj, value::Opaque};

use crate::rack::exchange::Exchange;

/// A thread in the app, its exchange, and since when it has that.
pub(crate) type Serving = (Opaque<Value>, Opaque<Obj<Exchange>>, Instant);

/// All workers.
#[derive(Default)]
pub(crate) struct Seats(Mutex<Vec<Seat>>);

/// One worker.
#[derive(Default)]
struct Seat {
    /// How many have sat here before. A worker that leaves may find another of its number in its seat.
    before: u64,
    thread: Option<Opaque<Value>>,
    taken: Option<(Opaque<Obj<Exchange>>, Instant)>,
}

impl Seat {
    fn serving(&self) -> Option<Serving> {
        let (exchange, since) = self.taken?;
        Some((self.thread?, exchange, since))
    }
}

impl Seats {
    // Under this lock Ruby must not be called and no Ruby object allocated: the garbage collector takes it to mark.
    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn mark(&self, marker: &Marker) {
        for seat in &*self.seats() {
            seat.thread.iter().for_each(|thread| marker.mark(*thread));
            seat.taken.iter().for_each(|(exchange, _)| marker.mark(*exchange));
        }
    }

    /// This thread is the worker of that number, until the value is dropped.
    #[inline(never)]
    pub(crate) fn sit_down(&self, ruby: &Ruby, worker: usize) -> Sitting<'_> {
        let thread = ruby.thread_current().as_value().into();
        let mut seats = self.seats();
        if seats.len() <= worker {
            seats.resize_with(worker + 1, Seat::default);
        }
        let before = seats[worker].before + 1;
        seats[worker] = Seat { before, thread: Some(thread), taken: None };
        drop(seats);
        Sitting { seats: self, worker, before }
    }

    /// The worker has this exchange, until the value is dropped.
    pub(crate) fn take(&self, worker: usize, exchange: Obj<Exchange>, since: Instant) -> Taken<'_> {
        if let Some(seat) = self.seats().get_mut(worker) {
            seat.taken = Some((exchange.into(), since));
        }
        Taken { seats: self, worker }
    }

    /// What the worker of that number runs.
    pub(crate) fn at(&self, worker: usize) -> Option<Serving> {
        self.seats().get(worker)?.serving()
    }

    /// What all of them run.
    pub(crate) fn all(&self) -> Vec<Serving> {
        self.seats().iter().filter_map(Seat::serving).collect()
    }
}

/// See [`Seats::sit_down`].
pub(crate) struct Sitting<'a> {
    seats: &'a Seats,
    worker: usize,
    before: u64,
}

impl Drop for Sitting<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seats.seats().get_mut(self.worker)
            && seat.before == self.before
        {
            (seat.thread, seat.taken) = (None, None);
        }
    }
}

/// See [`Seats::take`].
pub(crate) struct Taken<'a> {
    seats: &'a Seats,
    worker: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seats.seats().get_mut(self.worker) {
            seat.taken = None;
        }
    }
}
