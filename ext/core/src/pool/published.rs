//! What the siblings of a cluster are told of the pool: whether it has room for a request, how many threads are in the app and how
//! many requests wait. Written under the pool's lock, without a system call, before each release of it.

use super::{DispatchQueue, PoolState};
use crate::cluster::Member;

impl PoolState {
    /// Whether a new request would run at once: none waits, one may run, and a thread is free or may be created.
    fn has_room(&self) -> bool {
        let admission = &self.roster.admission;
        !self.is_closed()
            && self.queue.is_empty()
            && admission.admits()
            && (admission.tally().idle > 0 || admission.workers() + self.hiring.expected() < self.roster.max_threads())
    }

    /// Tells the siblings what has changed.
    pub(super) fn publish(&mut self, member: &Member) {
        let tally = self.roster.admission.tally();
        member.publish_load(tally.active + tally.waiting, self.queue.len());
        let room = self.has_room();
        // A sibling's claim stands until there is news.
        if room != self.told_room {
            self.told_room = room;
            member.publish_room(room);
        }
    }
}

impl DispatchQueue {
    /// Tells the siblings anew whether there is room: a sibling may have claimed it and sent nothing, or what it sent may have been no
    /// request.
    pub(crate) fn publish_room(&self) {
        if let Some(member) = &self.member {
            let mut state = self.lock();
            state.told_room = state.has_room();
            member.publish_room(state.told_room);
        }
    }
}
