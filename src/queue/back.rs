//! The review host answers again after it could not be reached, or for the first time since the daemon was started,
//! and all news is known: what waits for its next attempt has it now.

use crate::model::{ItemId, Timestamp};

use super::Queue;
use super::state::Retry;

impl Queue {
    /// What failed while the review host was away was given pauses that doubled; now they have no reason any more.
    /// How often each has failed stays counted: where it fails again it waits as long as it would have.
    pub(super) fn host_is_back(&mut self) {
        self.state.quiet_until = Timestamp::default();
        let now = self.state.now;
        let hasten = |retry: &mut Retry| retry.at = retry.at.min(now);
        self.state.retries.values_mut().for_each(hasten);
        let stays: Vec<ItemId> = self.state.stays().map(|stay| stay.id).collect();
        for id in stays {
            let Some(stay) = self.state.stay_mut(id) else { continue };
            stay.prepare.iter_mut().chain(&mut stay.look).for_each(hasten);
        }
        for outgoing in self.state.outgoing.iter_mut().filter(|outgoing| outgoing.tries > 0) {
            outgoing.due = outgoing.due.min(now);
        }
        for unknown in self.state.landings.values_mut().filter_map(|landing| landing.unknown.as_mut()) {
            unknown.next_look = unknown.next_look.min(now);
        }
        self.mark_all();
    }
}
