//! What a change that is in no queue waits for, told to its author.

use crate::model::policy::Need;
use crate::model::report::{Report, Says};
use crate::model::{ChangeNumber, ChangeSnapshot, ItemId, Pipeline, Reason};

use super::Queue;
use super::timer::Timer;

impl Queue {
    /// Tells the author, once for each patch set, of a wait that does not end by itself.
    pub(super) fn tell_waiting(&mut self, number: ChangeNumber, reason: Reason) {
        let about_form = reason.is_told_apart();
        let told = matches!(
            reason,
            Reason::Parent { .. }
                | Reason::ParentReplaced { .. }
                | Reason::ParentAbandoned { .. }
                | Reason::ParentElsewhere { .. }
                | Reason::JobFile { .. }
                | Reason::Depends { .. }
                | Reason::DependsElsewhere { .. }
                | Reason::DependsOnAbandoned { .. }
                | Reason::DependsOnNothing { .. }
                | Reason::Together { .. }
                | Reason::Apart { .. }
                | Reason::NoJob
                | Reason::NothingNeeded { .. }
                | Reason::Requirements { .. }
        );
        let told = told || self.is_vetoed_only(number, &reason);
        // What is in the queue and joined by this one comes out and in again without anybody's help.
        let joins = matches!(&reason, Reason::Together { change } if self.index.gate_of.contains_key(change));
        if !told && !about_form || joins {
            return;
        }
        let Some(change) = self.state.changes.get(&number) else { return };
        let due = self.tells_at(&change.snapshot, &reason);
        if due > self.state.now {
            return self.wake_at(due, Timer::Change(number));
        }
        let snapshot = &change.snapshot;
        let queued = self.state.outgoing.iter().any(|outgoing| {
            outgoing.report.change == number && matches!(outgoing.report.says, Some(Says::Waiting { .. }))
        });
        let before = if about_form { change.told_held } else { change.told };
        if before == Some(snapshot.revision) || queued {
            return;
        }
        let policy = self.state.policy.as_ref();
        let queue = policy.and_then(|policy| policy.queue_of(&snapshot.pair())).map(|queue| queue.name);
        self.speak(Report { queue, says: Some(Says::Waiting { reason }), ..outside_stays(snapshot) });
    }

    /// Whether somebody's negative vote alone keeps an approved change out: whoever approved it thinks that it lands.
    fn is_vetoed_only(&self, number: ChangeNumber, reason: &Reason) -> bool {
        let (Some(change), Some(policy)) = (self.state.changes.get(&number), &self.state.policy) else {
            return false;
        };
        let votes = &change.snapshot.votes;
        let approves =
            |need: &Need| votes.iter().any(|vote| vote.label == need.label && vote.value >= need.min);
        matches!(reason, Reason::Veto { .. })
            && !change.snapshot.work_in_progress
            && policy.gate.approval.iter().all(approves)
    }
}

/// A report about a change that is in no queue, which says nothing yet.
pub(super) fn outside_stays(snapshot: &ChangeSnapshot) -> Report {
    Report {
        change: snapshot.number,
        repository: snapshot.repository.clone(),
        patchset: snapshot.patchset,
        revision: snapshot.revision,
        item: ItemId(0),
        pipeline: Pipeline::Gate,
        queue: None,
        vote: None,
        says: None,
        again_of: None,
    }
}
