//! What is counted with: atomics that many threads add to, and the labels that tell the counters of a family apart. All of it may lie
//! in memory that processes share, so none of it points anywhere.

use std::{
    array,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::sys::shared_memory::atomics_only;

/// The most labels that a family has room for.
const MOST_LABELS: usize = 16;

/// Only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

atomics_only!(Counter { 0 });

impl Counter {
    pub(crate) fn inc(&self) {
        self.inc_by(1);
    }

    pub(crate) fn inc_by(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down with what there is. Whatever brings it up has a guard that takes it down.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU64);

atomics_only!(Gauge { 0 });

impl Gauge {
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What tells the counters of a family apart: an enum of all there are.
pub(crate) trait Label: Copy + 'static {
    /// The label's name in the metrics: `reason`.
    const KEY: &'static str;
    /// All of them, in the order of their indices.
    const ALL: &'static [Self];

    /// As metrics and logs have it.
    fn name(self) -> &'static str;

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// Declares an enum that is a [`Label`], each variant with its name.
macro_rules! labels {
    ($(#[$meta:meta])* $vis:vis enum $label:ident by $key:literal {
        $($(#[$doc:meta])* $variant:ident = $name:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $label {
            $($(#[$doc])* $variant,)*
        }

        impl crate::stats::counter::Label for $label {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use labels;

/// A counter for each label. All are there from the start.
#[derive(Debug)]
pub(crate) struct Family<L> {
    counters: [Counter; MOST_LABELS],
    labels: PhantomData<fn(L)>,
}

atomics_only!(<L: Label> Family<L> { counters, labels });

impl<L: Label> Default for Family<L> {
    fn default() -> Self {
        const { assert!(L::ALL.len() <= MOST_LABELS) };
        Self { counters: array::from_fn(|_| Counter::default()), labels: PhantomData }
    }
}

impl<L: Label> Family<L> {
    pub(crate) fn inc(&self, label: L) {
        self.counters[label.index()].inc();
    }

    pub(crate) fn get(&self, label: L) -> u64 {
        self.counters[label.index()].get()
    }
}

/// How much was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// By a single counter.
    One(u64),
    /// By a family.
    Labelled {
        /// The label's name.
        key: &'static str,
        /// Its values, each with its count.
        counts: Vec<(&'static str, u64)>,
    },
}

/// What all kinds can tell.
pub(super) trait Counts {
    /// How much was counted, or there is, in all.
    fn total(&self) -> u64;

    /// The total of a time that begins with `before` and ends with `after`.
    fn between(before: u64, after: u64) -> u64;
}

impl Counts for Counter {
    fn total(&self) -> u64 {
        self.get()
    }

    fn between(before: u64, after: u64) -> u64 {
        after - before
    }
}

impl Counts for Gauge {
    fn total(&self) -> u64 {
        self.get()
    }

    fn between(_before: u64, after: u64) -> u64 {
        after
    }
}

impl<L: Label> Counts for Family<L> {
    fn total(&self) -> u64 {
        self.counters.iter().map(Counter::get).sum()
    }

    fn between(before: u64, after: u64) -> u64 {
        after - before
    }
}

/// Whether the worker that has counted is still there. What it counted remains when it has left; what it had, which is what its gauges
/// tell, does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Living,
    Departed,
}

/// What can be added up over the workers of a cluster.
pub(crate) trait AddUp {
    /// Adds what `other` tells of a worker.
    fn add(&self, other: &Self, of: Of);

    /// Begins anew, for another worker.
    fn reset(&self);
}

impl AddUp for AtomicU64 {
    fn add(&self, other: &Self, _: Of) {
        self.fetch_add(other.load(Relaxed), Relaxed);
    }

    fn reset(&self) {
        self.store(0, Relaxed);
    }
}

impl<T: AddUp, const N: usize> AddUp for [T; N] {
    fn add(&self, other: &Self, of: Of) {
        self.iter().zip(other).for_each(|(sum, one)| sum.add(one, of));
    }

    fn reset(&self) {
        self.iter().for_each(T::reset);
    }
}

impl AddUp for Counter {
    fn add(&self, other: &Self, of: Of) {
        self.0.add(&other.0, of);
    }

    fn reset(&self) {
        self.0.reset();
    }
}

impl AddUp for Gauge {
    fn add(&self, other: &Self, of: Of) {
        if of == Of::Living {
            self.0.add(&other.0, of);
        }
    }

    fn reset(&self) {
        self.0.reset();
    }
}

impl<L> AddUp for Family<L> {
    fn add(&self, other: &Self, of: Of) {
        self.counters.add(&other.counters, of);
    }

    fn reset(&self) {
        self.counters.reset();
    }
}

/// Implements [`AddUp`] for a structure, field by field.
macro_rules! adds_up {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl crate::stats::counter::AddUp for $type {
            fn add(&self, other: &Self, of: crate::stats::counter::Of) {
                $(self.$field.add(&other.$field, of);)*
            }

            fn reset(&self) {
                $(self.$field.reset();)*
            }
        }
    };
}

pub(super) use adds_up;

/// What can be shown as a metric that only grows.
pub(super) trait Shows {
    fn values(&self) -> Values;
}

impl Shows for Counter {
    fn values(&self) -> Values {
        Values::One(self.get())
    }
}

impl<L: Label> Shows for Family<L> {
    fn values(&self) -> Values {
        let counts = L::ALL.iter().zip(&self.counters).map(|(label, counter)| (label.name(), counter.get()));
        Values::Labelled { key: L::KEY, counts: counts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::Signal,
        stats::{Shed, handshakes::Handshake, refused::Refused},
    };

    fn has_its_places<L: Label>() {
        L::ALL.iter().enumerate().for_each(|(place, label)| assert_eq!(label.index(), place, "{}", label.name()));
    }

    #[test]
    fn every_label_has_a_counter_of_its_own() {
        has_its_places::<Shed>();
        has_its_places::<Refused>();
        has_its_places::<Handshake>();
        has_its_places::<Signal>();
        let family = Family::<Shed>::default();
        family.inc(Shed::Ending);
        family.inc(Shed::Ending);
        family.inc(Shed::QueueFull);
        assert_eq!([family.get(Shed::QueueFull), family.get(Shed::QueueTimeout), family.get(Shed::Ending)], [1, 0, 2]);
        assert_eq!(family.total(), 3);
        let counts = vec![("queue_full", 1), ("queue_timeout", 0), ("ending", 2)];
        assert_eq!(family.values(), Values::Labelled { key: "reason", counts });
    }
}
