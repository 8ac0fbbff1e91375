//! What the interpreter's garbage collector tells of itself, for metrics. The binding asks it.

use super::figures::figures;

figures! {
    /// What the garbage collector of the app's interpreter has done, and what there is to collect.
    pub struct GcFigures in GcCells {
        /// Collections so far, minor and major ones.
        count: Counter,
        /// Major ones among them.
        major_count: Counter,
        /// How long they took in all, in nanoseconds.
        time_ns: Counter,
        /// Slots of the heap with a live object.
        heap_live_slots: Sum,
        /// Pages of the heap that hold objects. Where it is 0, nothing was published.
        heap_pages: Sum,
        /// Bytes that were allocated outside the heap since the last collection.
        malloc_increase_bytes: Sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{AddUp, Of};

    #[test]
    fn what_was_counted_outlives_its_worker_and_what_there_is_does_not() {
        let [sum, worker] = [GcCells::default(), GcCells::default()];
        let figures = GcFigures {
            count: 5,
            major_count: 1,
            time_ns: 9,
            heap_live_slots: 100,
            heap_pages: 3,
            malloc_increase_bytes: 7,
        };
        worker.publish(&figures);
        sum.add(&worker, Of::Living);
        assert_eq!(sum.read(), figures);
        sum.add(&worker, Of::Departed);
        assert_eq!(sum.read(), GcFigures { count: 10, major_count: 2, time_ns: 18, ..figures });
        worker.reset();
        assert_eq!(worker.read(), GcFigures::default());
    }
}
