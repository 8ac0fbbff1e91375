//! What each worker does, counted and listed. A plain value. No call takes longer with ten thousand workers than with one,
//! but for joining and leaving, which keep the free numbers in a heap.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::Id;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// Looking for work, or on its way out.
    Looking,
    /// Asleep until called.
    Idle,
    /// Called, and not yet looking.
    Called,
    /// Called or looking, and not waited for: it has not come for long. The thread may be in a finalizer of the app's, or the GVL in
    /// other hands.
    Late,
    /// In the app, holding the GVL.
    Running,
    /// In the app, wanting it back.
    Wanting,
    /// In the app, without the GVL.
    Blocked,
    /// In the app, holding or wanting the GVL, and not waited for: it has run for too long, or will mostly wait. It stays a
    /// hog until its exchange is done: when Ruby takes the GVL away at the end of a time slice, the events are the same as
    /// when the worker releases it and wants it back.
    Hog,
    /// The same without the GVL.
    BlockedHog,
    /// There is no worker of this number.
    Gone,
}

/// How many states there are.
const STATES: usize = WorkerState::Gone as usize + 1;

/// The lists of workers; a worker is on one of them at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    /// The workers that sleep, the one that fell asleep last first.
    Idle,
    /// Those that run or want to, and are in the way of the next; the latest first.
    InTheWay,
    /// Those that were called or look, and will take what waits; the latest first.
    OnTheWay,
}

/// How many lists there are.
const LISTS: usize = List::OnTheWay as usize + 1;

impl WorkerState {
    /// The list that a worker is on while it does this.
    fn list(self) -> Option<List> {
        match self {
            Self::Idle => Some(List::Idle),
            Self::Running | Self::Wanting => Some(List::InTheWay),
            Self::Called | Self::Looking => Some(List::OnTheWay),
            _ => None,
        }
    }
}

/// All workers, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Workers {
    places: Vec<Place>,
    /// How many workers are in each state.
    counts: [usize; STATES],
    /// The first of each list.
    first: [Option<Id>; LISTS],
    /// The numbers that are free, the lowest first: what is kept for each number stays as short as it can.
    gone: BinaryHeap<Reverse<Id>>,
}

/// One worker, and its neighbours on the list that it is on.
#[derive(Debug)]
struct Place {
    state: WorkerState,
    before: Option<Id>,
    after: Option<Id>,
}

impl Workers {
    /// How many workers do this.
    pub(super) fn count(&self, state: WorkerState) -> usize {
        self.counts[state as usize]
    }

    /// How many workers there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.count(WorkerState::Gone)
    }

    /// How many numbers were given out, free ones included.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> usize {
        self.places.len()
    }

    /// What a worker does.
    pub(super) fn state(&self, id: Id) -> WorkerState {
        self.places[id].state
    }

    /// The first worker of a list.
    pub(super) fn first(&self, list: List) -> Option<Id> {
        self.first[list as usize]
    }

    /// The workers of a list.
    pub(super) fn list(&self, list: List) -> impl Iterator<Item = Id> {
        std::iter::successors(self.first(list), |id| self.places[*id].after)
    }

    /// A worker joins, and gets the lowest free number.
    pub(super) fn join(&mut self, state: WorkerState) -> Id {
        if let Some(Reverse(id)) = self.gone.pop() {
            self.set(id, state);
            return id;
        }
        let id = self.places.len();
        self.places.push(Place { state, before: None, after: None });
        self.counts[state as usize] += 1;
        self.link(id);
        id
    }

    /// A worker leaves. Its number is free.
    pub(super) fn leave(&mut self, id: Id) {
        if self.state(id) != WorkerState::Gone {
            self.set(id, WorkerState::Gone);
            self.gone.push(Reverse(id));
        }
    }

    /// A worker does something else from now on. On a list that it stays on, it keeps its place.
    pub(super) fn set(&mut self, id: Id, state: WorkerState) {
        let before = std::mem::replace(&mut self.places[id].state, state);
        self.counts[before as usize] -= 1;
        self.counts[state as usize] += 1;
        let [left, entered] = [before, state].map(|state| state.list().map(|list| list as usize));
        if left != entered {
            if let Some(list) = left {
                self.unlink(id, list);
            }
            self.link(id);
        }
    }

    /// Puts a worker first on the list of its state, if that has one.
    fn link(&mut self, id: Id) {
        let Some(list) = self.places[id].state.list() else { return };
        let first = self.first[list as usize].replace(id);
        if let Some(first) = first {
            self.places[first].before = Some(id);
        }
        self.places[id].before = None;
        self.places[id].after = first;
    }

    fn unlink(&mut self, id: Id, list: usize) {
        let place = &mut self.places[id];
        let (before, after) = (place.before.take(), place.after.take());
        match before {
            Some(before) => self.places[before].after = after,
            None => self.first[list] = after,
        }
        if let Some(after) = after {
            self.places[after].before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [WorkerState; STATES - 1] = [
        WorkerState::Looking,
        WorkerState::Idle,
        WorkerState::Called,
        WorkerState::Late,
        WorkerState::Running,
        WorkerState::Wanting,
        WorkerState::Blocked,
        WorkerState::Hog,
        WorkerState::BlockedHog,
    ];

    /// The same, by walking through all workers.
    #[derive(Default)]
    struct Plain {
        states: Vec<WorkerState>,
        lists: [Vec<Id>; LISTS],
    }

    impl Plain {
        fn set(&mut self, id: Id, state: WorkerState) {
            let before = std::mem::replace(&mut self.states[id], state);
            let [left, entered] = [before, state].map(|state| state.list().map(|list| list as usize));
            if left != entered {
                self.lists.iter_mut().for_each(|list| list.retain(|other| *other != id));
                self.enter(id);
            }
        }

        fn enter(&mut self, id: Id) {
            if let Some(list) = self.states[id].list() {
                self.lists[list as usize].insert(0, id);
            }
        }

        fn join(&mut self, state: WorkerState) -> Id {
            if let Some(id) = self.states.iter().position(|state| *state == WorkerState::Gone) {
                self.set(id, state);
                return id;
            }
            self.states.push(state);
            self.enter(self.states.len() - 1);
            self.states.len() - 1
        }
    }

    proptest! {
        #[test]
        fn counts_and_lists_are_what_a_walk_through_all_would_find(steps in prop::collection::vec((0..4u8, 0..9usize, 0..STATES - 1), 0..200)) {
            let (mut workers, mut plain) = (Workers::default(), Plain::default());
            for (step, id, state) in steps {
                let known = id < plain.states.len() && plain.states[id] != WorkerState::Gone;
                match step {
                    0 => prop_assert_eq!(workers.join(ALL[state]), plain.join(ALL[state])),
                    1 if id < plain.states.len() => {
                        workers.leave(id);
                        plain.set(id, WorkerState::Gone);
                    }
                    _ if known => {
                        workers.set(id, ALL[state]);
                        plain.set(id, ALL[state]);
                    }
                    _ => {}
                }
                for state in ALL {
                    let counted = plain.states.iter().filter(|other| **other == state).count();
                    prop_assert_eq!(workers.count(state), counted);
                }
                for list in [List::Idle, List::InTheWay, List::OnTheWay] {
                    prop_assert_eq!(workers.list(list).collect::<Vec<_>>(), &plain.lists[list as usize][..]);
                }
                prop_assert_eq!(workers.len(), plain.states.iter().filter(|state| **state != WorkerState::Gone).count());
            }
        }
    }
}
