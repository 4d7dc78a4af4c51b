//! What is said on changes: at most a start, a first failure and a final message for each stay.

use crate::model::report::{Report, Says};
use crate::model::{
    ChangeNumber, Departure, EffectKind, ItemChange, ItemId, Label, Pipeline, PipelineName, Policy, Reason,
};

use super::Queue;
use super::admit::unapproved;
use super::jobs::JobState;
use super::state::{Confirm, Item, Stage};

impl Queue {
    /// Says something now.
    pub(super) fn speak(&mut self, report: Report) {
        self.ask(EffectKind::Report(report));
    }

    /// Says something on each change of an item.
    pub(super) fn speak_for(&mut self, id: ItemId, vote: Option<(Label, i32)>, says: Option<Says>) {
        let Some(item) = self.state.items.get(&id) else { return };
        let reports: Vec<Report> =
            item.changes.iter().map(|change| report(item, change, vote.clone(), says.clone())).collect();
        for report in reports {
            self.speak(report);
        }
    }

    /// Says what is due. What was said of something landed waits while others land, so that words
    /// do not slow down deeds.
    pub(super) fn plan_reports(&mut self) {
        if self.state.quiet_until > self.state.now {
            return;
        }
        self.tell_starts();
        let landing = self
            .state
            .items
            .values()
            .any(|item| matches!(item.stage, Stage::Looking(_) | Stage::Looked(_) | Stage::Landing(_)));
        let now = self.state.now;
        let due: Vec<Report> = self
            .state
            .outgoing
            .iter()
            .filter(|outgoing| outgoing.effect.is_none())
            .filter(|outgoing| outgoing.due <= now || outgoing.patient && !landing)
            .map(|outgoing| self.as_of_now(outgoing.report.clone()))
            .collect();
        for report in due {
            self.speak(report);
        }
    }

    fn tell_starts(&mut self) {
        let Some(after) = self.state.policy.as_ref().and_then(|policy| policy.gate.start_message_after_ms)
        else {
            return;
        };
        let due: Vec<(ItemId, u32)> = self
            .state
            .queues
            .values()
            .flat_map(|order| order.iter().zip(1_u32..))
            .filter(|(id, _)| {
                self.state.items.get(id).is_some_and(|item| {
                    !item.told_start && !item.told_passed && item.entered_at.plus_ms(after) <= self.state.now
                })
            })
            .map(|(id, position)| (*id, position))
            .collect();
        for (id, position) in due {
            let waits = self.state.items.get(&id).and_then(|item| self.hindrance_of(item));
            self.speak_for(id, None, Some(Says::Started { position, waits }));
        }
    }

    /// A report as it is to be made now: one of a start that could not be posted then says where its item stands by
    /// now, and what is in its way.
    fn as_of_now(&self, mut report: Report) -> Report {
        let item = self.state.items.get(&report.item);
        if let (Some(Says::Started { position, waits }), Some(item)) = (&mut report.says, item) {
            let order = item.queue.as_ref().and_then(|name| self.state.queues.get(name));
            let place = order.and_then(|order| (1..).zip(order).find(|(_, other)| **other == item.id));
            *position = place.map_or(*position, |(place, _)| place);
            *waits = self.hindrance_of(item);
        }
        report
    }

    /// Hands a landed change that does not close to a person.
    pub(super) fn hand_over(&mut self, number: ChangeNumber, confirm: &Confirm) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let text = Self::close_by_hand(number, confirm.commit, &confirm.pair);
        let report = Report {
            change: number,
            repository: confirm.pair.repository.clone(),
            patchset: change.snapshot.patchset,
            revision: confirm.revision,
            item: confirm.item,
            pipeline: Pipeline::Gate,
            queue: None,
            vote: None,
            says: Some(Says::Alarm { text: text.as_str().into() }),
            again_of: None,
        };
        self.out.notes.push(super::Note::Said(text));
        self.speak(report);
    }

    /// The undecided changes that the item's node contains, in order.
    pub(super) fn on_top_of(&self, item: &Item) -> Vec<ChangeNumber> {
        let contained = self.node_of(item).map_or(&[][..], |node| &node.contains);
        let items = contained.iter().filter_map(|id| self.state.items.get(id));
        items.flat_map(|item| item.changes.iter().map(|change| change.number)).collect()
    }

    /// The final messages of a stay, and whether each may wait a little.
    pub(super) fn last_words(&self, id: ItemId, departure: &Departure) -> Vec<(Report, bool)> {
        let (Some(item), Some(policy)) = (self.state.items.get(&id), &self.state.policy) else {
            return Vec::new();
        };
        let jobs = self.job_results(id);
        // Whoever asked is told that there is nothing.
        let asked = matches!(item.pipeline, Pipeline::OnDemand(_));
        let jobless = !asked
            && matches!(departure, Departure::Unfit { .. })
            && self.node_of(item).is_some_and(|node| node.bad.is_none());
        if jobless {
            return Vec::new();
        }
        let keeps = self.keeps_approval(item);
        let lacks_verdicts = self.lacks_verdicts(item, departure);
        let mut words = Vec::new();
        for change in &item.changes {
            let departure = self.own_end(item, change.number, departure, policy);
            let (vote, speaks, patient) = match &item.pipeline {
                // Nobody is to blame where builds only came to no verdict.
                _ if lacks_verdicts => (self.withdrawn(item, policy), true, false),
                Pipeline::Gate => self.last_gate_words(item, &departure, policy),
                Pipeline::OnDemand(name) => last_demand_words(&departure, policy, name),
                _ => last_check_words(&departure, policy),
            };
            if vote.is_some() || speaks {
                let known = self.state.changes.get(&change.number);
                let is_approved = || known.is_some_and(|known| unapproved(known, policy).is_none());
                let keeps = keeps || item.pipeline == Pipeline::Check && is_approved();
                let says = speaks.then(|| Says::Ended { departure, jobs: jobs.clone(), keeps });
                words.push((report(item, change, vote, says), patient));
            }
        }
        words
    }

    /// What an end is to one of an item's changes: to the one that the others leave because of, what was done to it.
    fn own_end(
        &self,
        item: &Item,
        number: ChangeNumber,
        departure: &Departure,
        policy: &Policy,
    ) -> Departure {
        match departure {
            Departure::Dependency { change, .. } if *change == number => {
                self.reason_to_leave(item, number, policy).unwrap_or_else(|| departure.clone())
            }
            // What is left of the group enters anew at once, and nobody has to hear of that.
            Departure::Dependency { change, .. }
                if item.dequeued.is_none()
                    && item.changes.iter().any(|own| own.number == *change)
                    && self.may_come_back(number, policy) =>
            {
                Departure::Regrouped { change: *change }
            }
            _ => departure.clone(),
        }
    }

    /// Whether an item ends because jobs have no verdict, and for no other failure.
    fn lacks_verdicts(&self, item: &Item, departure: &Departure) -> bool {
        let ends = matches!(departure, Departure::Failed { .. } | Departure::Checked { passed: false });
        let has = |wanted: fn(&JobState) -> bool| {
            self.job_states(item).any(|(job, state)| job.voting && wanted(&state))
        };
        ends && has(|state| *state == JobState::Errored)
            && !has(|state| matches!(state, JobState::Failed | JobState::Failing(_)))
    }

    /// The vote of a stay taken back, if it has left one.
    fn withdrawn(&self, item: &Item, policy: &Policy) -> Option<(Label, i32)> {
        let has_voted = item.voted && item.pipeline.lands() && policy.gate.success != 0;
        has_voted.then(|| (policy.gate.label.clone(), 0))
    }

    fn last_gate_words(
        &self,
        item: &Item,
        departure: &Departure,
        policy: &Policy,
    ) -> (Option<(Label, i32)>, bool, bool) {
        let label = &policy.gate.label;
        let withdrawn = || self.withdrawn(item, policy);
        let failed = || (policy.gate.failure != 0).then(|| (label.clone(), policy.gate.failure));
        match departure {
            Departure::Landed { .. } => (None, !item.told_passed, true),
            Departure::Failed { .. }
            | Departure::Conflict { .. }
            | Departure::BrokenJobFile { .. }
            | Departure::Closure { .. }
            | Departure::Unfit { .. } => (failed(), true, false),
            Departure::Dependency { culprit: Some(_), .. } => (withdrawn(), true, false),
            Departure::Regrouped { .. } => (withdrawn(), false, false),
            Departure::Dependency { .. } => {
                let told = item.changes.iter().all(|change| {
                    self.state
                        .changes
                        .get(&change.number)
                        .is_some_and(|known| known.told == Some(change.revision))
                });
                (withdrawn(), told, false)
            }
            // What it waits for is told apart, once for each patch set.
            Departure::Held { .. } => (withdrawn(), false, false),
            Departure::NewPatchSet { .. } => (None, true, false),
            Departure::Requirement { .. }
            | Departure::Refused { .. }
            | Departure::VoteWithdrawn { .. }
            | Departure::WorkInProgress
            | Departure::Moved
            | Departure::QueueRemoved
            | Departure::Dequeued { .. } => (withdrawn(), true, false),
            Departure::Abandoned
            | Departure::MergedElsewhere
            | Departure::Gone
            | Departure::Private
            | Departure::Superseded
            | Departure::Checked { .. } => (None, false, false),
        }
    }
}

fn last_check_words(departure: &Departure, policy: &Policy) -> (Option<(Label, i32)>, bool, bool) {
    let vote = |value: i32| (value != 0).then(|| (policy.gate.label.clone(), value));
    match departure {
        Departure::Checked { passed: true } => (vote(policy.check.success), true, false),
        Departure::Checked { passed: false }
        | Departure::Conflict { .. }
        | Departure::BrokenJobFile { .. }
        | Departure::Unfit { .. } => (vote(policy.check.failure), true, false),
        // Nobody is to blame, and its author is told why there is no verdict.
        Departure::Held { reason: Reason::JobFile { .. } } => (None, true, false),
        _ => (None, false, false),
    }
}

/// What is said to whoever asked for an on-demand pipeline.
fn last_demand_words(
    departure: &Departure,
    policy: &Policy,
    name: &PipelineName,
) -> (Option<(Label, i32)>, bool, bool) {
    let votes = policy.pipelines.on_demand(name).map_or((0, 0), |own| (own.success, own.failure));
    let vote = |value: i32| (value != 0).then(|| (policy.gate.label.clone(), value));
    match departure {
        Departure::Checked { passed: true } => (vote(votes.0), true, false),
        Departure::Checked { passed: false }
        | Departure::Conflict { .. }
        | Departure::BrokenJobFile { .. } => (vote(votes.1), true, false),
        Departure::Unfit { .. }
        | Departure::NewPatchSet { .. }
        | Departure::QueueRemoved
        | Departure::Held { reason: Reason::JobFile { .. } } => (None, true, false),
        // It waits while others land, like what is said of a landing.
        Departure::MergedElsewhere | Departure::Abandoned => (None, true, true),
        _ => (None, false, false),
    }
}

pub(super) fn report(
    item: &Item,
    change: &ItemChange,
    vote: Option<(Label, i32)>,
    says: Option<Says>,
) -> Report {
    Report {
        change: change.number,
        repository: change.pair.repository.clone(),
        patchset: change.patchset,
        revision: change.revision,
        item: item.id,
        pipeline: item.pipeline.clone(),
        queue: item.queue.clone(),
        vote,
        says,
        again_of: None,
    }
}
