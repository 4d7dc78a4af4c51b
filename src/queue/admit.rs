//! Who enters a pipeline, and who may not stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::action::Decision;
use crate::model::policy::LandingMode;
use crate::model::report::Report;
use crate::model::{
    Action, ChangeNumber, ChangeSnapshot, ChangeStatus, Departure, ItemChange, ItemId, NodeId, Pipeline,
    PipelineName, Policy, Reason, Vote,
};

use super::Queue;
use super::explain::no_job;
use super::group::shared_end;
use super::operator::Dequeued;
use super::state::{Change, Item};
use super::tell::outside_stays;

impl Queue {
    /// Looks at one change: it may enter, leave, or have to be told what it waits for.
    pub(super) fn plan_change(&mut self, number: ChangeNumber) {
        let Some(policy) = self.state.policy.clone() else { return };
        self.plan_stay(number, &policy);
        self.place_again(number);
        let Some(change) = self.state.changes.get(&number) else { return };
        if policy.queue_of(&change.snapshot.pair()).is_none() {
            return;
        }
        if !self.index.gate_of.contains_key(&number) {
            if self.is_wanted(change, &policy) {
                self.want_references(number);
            }
            self.part_from(number, &policy);
            let Some(change) = self.state.changes.get(&number) else { return };
            match self.obstacle(change, &policy) {
                None => self.admit(number, &policy),
                Some(reason) => self.tell_waiting(number, reason),
            }
        }
        self.plan_check(number, &policy);
        self.plan_demands(number, &policy);
        self.withdraw_stray_vote(number, &policy);
    }

    /// Takes back the gate's vote from a change that is in no queue: a stay that ended while the
    /// change was hidden or closed could not do so.
    fn withdraw_stray_vote(&mut self, number: ChangeNumber, policy: &Policy) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let (snapshot, gate) = (&change.snapshot, &policy.gate);
        let ours = |vote: &&Vote| vote.label == gate.label && vote.by == policy.account;
        let vote = snapshot.votes.iter().find(ours).filter(|vote| vote.value == gate.success);
        let stray = vote.is_some_and(|vote| change.unvoted != Some(vote.at));
        // Where others leave the same vote, it may be theirs.
        let others = policy.check.enabled
            || policy.pipelines.on_demand.iter().any(|pipeline| pipeline.success == gate.success);
        let free = snapshot.status == ChangeStatus::Open && !snapshot.private && !others;
        let spoken_of =
            self.state.outgoing.iter().any(|out| out.report.change == number && out.report.vote.is_some());
        if !stray || !free || spoken_of || self.index.gate_of.contains_key(&number) {
            return;
        }
        let report = outside_stays(snapshot);
        self.speak(Report { vote: Some((gate.label.clone(), 0)), ..report });
    }

    /// Takes out an item whose change no longer is what came in.
    pub(super) fn plan_stay(&mut self, number: ChangeNumber, policy: &Policy) {
        for id in self.index.stays_of(number) {
            let Some(item) = self.state.items.get(&id) else { continue };
            if item.stage.is_pushed() {
                continue;
            }
            if let Some((number, departure)) = self.why_to_leave(item, number, policy) {
                let departure = shared_end(item, number, departure);
                self.end(id, departure);
            }
        }
    }

    /// Why an item may not stay because of one of its changes, and which: what was done to one of them comes before
    /// what that makes of the group.
    fn why_to_leave(
        &self,
        item: &Item,
        number: ChangeNumber,
        policy: &Policy,
    ) -> Option<(ChangeNumber, Departure)> {
        let first = self.reason_to_leave(item, number, policy)?;
        if !matches!(first, Departure::Regrouped { .. }) {
            return Some((number, first));
        }
        let others = item.changes.iter().filter_map(|change| {
            self.reason_to_leave(item, change.number, policy).map(|why| (change.number, why))
        });
        let mut own = others.filter(|(_, why)| !matches!(why, Departure::Regrouped { .. }));
        Some(own.next().unwrap_or((number, first)))
    }

    pub(super) fn reason_to_leave(
        &self,
        item: &Item,
        number: ChangeNumber,
        policy: &Policy,
    ) -> Option<Departure> {
        if let Some(Dequeued { by, reason, .. }) = item.dequeued.as_ref().filter(|own| own.change == number) {
            return Some(Departure::Dequeued { by: by.clone(), reason: reason.clone() });
        }
        let came = item.changes.iter().find(|change| change.number == number)?;
        let Some(change) = self.state.changes.get(&number) else { return Some(Departure::Gone) };
        let now = &change.snapshot;
        match now.status {
            ChangeStatus::Merged => return Some(Departure::MergedElsewhere),
            ChangeStatus::Abandoned => return Some(Departure::Abandoned),
            ChangeStatus::Open => {}
        }
        if now.private {
            return Some(Departure::Private);
        }
        if now.pair() != came.pair {
            return Some(Departure::Moved);
        }
        if now.revision != came.revision {
            return Some(Departure::NewPatchSet { patchset: now.patchset });
        }
        let queue = policy.queue_of(&came.pair).map(|queue| queue.name);
        if queue.is_none() || item.pipeline.lands() && queue != item.queue {
            return Some(Departure::QueueRemoved);
        }
        match &item.pipeline {
            Pipeline::Gate => {}
            Pipeline::OnDemand(name) => {
                return policy.pipelines.on_demand(name).is_none().then_some(Departure::QueueRemoved);
            }
            _ => return (!policy.check.enabled).then_some(Departure::Superseded),
        }
        if now.work_in_progress {
            return Some(Departure::WorkInProgress);
        }
        if let Some(reason) = unapproved(change, policy) {
            return Some(Departure::VoteWithdrawn { why: reason.to_string().into() });
        }
        if let Some(reason) = lacks(change, policy) {
            return Some(Departure::Held { reason });
        }
        if let Some(name) = &item.unmet {
            return Some(Departure::Requirement { name: name.clone() });
        }
        if let Some(why) = &item.vote_refused {
            return Some(Departure::Refused { why: why.clone() });
        }
        let group: BTreeSet<ChangeNumber> = item.changes.iter().map(|change| change.number).collect();
        if let Some(departure) = self.regrouped(item, number, policy) {
            return Some(departure);
        }
        if let Some(reason) = self.rootless(now) {
            return Some(Departure::Held { reason });
        }
        if let Some(change) = self.open_parent(now, &group) {
            return Some(Departure::Dependency { change, culprit: None });
        }
        if let Some(change) = self.parent_behind(item, now) {
            return Some(Departure::Regrouped { change });
        }
        let unmet = self.unmet(now, &group, Some(item), policy);
        // What is only not known yet was known when it came in.
        unmet.filter(|reason| *reason != Reason::Observing).map(|reason| Self::departure_for(reason, number))
    }

    /// A change that this one rests on, still open and in no queue; of no concern where it lands
    /// without what it rests on.
    pub(super) fn open_parent(
        &self,
        snapshot: &ChangeSnapshot,
        group: &BTreeSet<ChangeNumber>,
    ) -> Option<ChangeNumber> {
        let mut open = self.open_parents(snapshot);
        open.find(|parent| !group.contains(parent) && !self.index.gate_of.contains_key(parent))
    }

    /// What else than a first approval keeps a change waiting that others rest on.
    fn lacks_approval(&self, number: ChangeNumber, policy: &Policy) -> Option<Reason> {
        let change = self.state.changes.get(&number).filter(|change| !change.snapshot.work_in_progress)?;
        let reason = unapproved(change, policy).or_else(|| lacks(change, policy));
        reason.filter(|reason| !matches!(reason, Reason::Approval { .. }))
    }

    /// A change that this one rests on and that has come into the queue behind it: the news of its patch set
    /// came later than that of this one's.
    fn parent_behind(&self, item: &Item, snapshot: &ChangeSnapshot) -> Option<ChangeNumber> {
        if !item.pipeline.lands() || !item.landed.is_empty() {
            return None;
        }
        let behind = |parent: &ChangeNumber| {
            let other = self.index.gate_of.get(parent).and_then(|id| self.state.items.get(id));
            other.is_some_and(|other| other.queue == item.queue && other.rank > item.rank)
        };
        self.open_parents(snapshot).find(behind)
    }

    /// Why a change cannot enter its queue now, with its `group` beside it; `None` when it can.
    pub(super) fn own_obstacle(
        &self,
        change: &Change,
        group: &BTreeSet<ChangeNumber>,
        policy: &Policy,
    ) -> Option<Reason> {
        let snapshot = &change.snapshot;
        let approval = policy.gate.approval.first();
        let unapproved_reason = || match approval {
            Some(need) => Reason::Approval { label: need.label.clone(), min: need.min },
            None => Reason::NewApproval,
        };
        if snapshot.status != ChangeStatus::Open || snapshot.private || snapshot.work_in_progress {
            return Some(unapproved_reason());
        }
        if let Some(reason) = unapproved(change, policy) {
            return Some(reason);
        }
        if let Some(reason) = lacks(change, policy) {
            return Some(reason);
        }
        if let Some((revision, policy_epoch, tip_epoch)) = change.jobless {
            let tip = self.state.tips.get(&snapshot.pair());
            let same = tip.is_none_or(|tip| tip.epoch <= tip_epoch);
            if revision == snapshot.revision && policy_epoch == self.state.policy_epoch && same {
                return Some(no_job(change.spared.clone()));
            }
        }
        if self.is_unchanged(change, group) {
            return Some(Reason::Unchanged { pair: snapshot.pair() });
        }
        if self.is_no_branch(&snapshot.pair()) {
            return Some(Reason::NoBranch { pair: snapshot.pair() });
        }
        let Some(form) = snapshot.form else {
            return Some(Reason::Form { repository: snapshot.repository.clone() });
        };
        // Gerrit knows what it submits itself.
        let pushes =
            policy.queue_of(&snapshot.pair()).is_some_and(|queue| queue.landing == LandingMode::Push);
        if pushes && form.rewrites(snapshot.parents.len()) && !snapshot.carries_id {
            return Some(Reason::NoChangeId);
        }
        if let Some(reason) = self.rootless(snapshot) {
            return Some(reason);
        }
        if let Some(change) = self.open_parent(snapshot, group) {
            let why = self.lacks_approval(change, policy).map(Box::new);
            return Some(Reason::Parent { change, why });
        }
        if let Some(reason) = self.unmet(snapshot, group, None, policy) {
            return Some(reason);
        }
        change.held.as_ref().filter(|held| self.still_holds(held, snapshot)).map(|held| held.reason.clone())
    }

    /// Whether a change has failed, and neither it nor what lands with it, nor any of their branches is another
    /// one since.
    fn is_unchanged(&self, change: &Change, group: &BTreeSet<ChangeNumber>) -> bool {
        let as_it_was = |change: &Change| {
            let tip = self.state.tips.get(&change.snapshot.pair()).and_then(|tip| tip.commit);
            change.failed == Some((change.snapshot.revision, tip))
        };
        let mut mates = group.iter().filter_map(|mate| self.state.changes.get(mate));
        change.failed.is_some() && as_it_was(change) && mates.all(|mate| as_it_was(mate))
    }

    /// Whether somebody wants the change to land: only then is it worth to look up what it depends on.
    fn is_wanted(&self, change: &Change, policy: &Policy) -> bool {
        !change.snapshot.needs.is_empty()
            && change.snapshot.status == ChangeStatus::Open
            && unapproved(change, policy).is_none()
    }

    fn admit(&mut self, number: ChangeNumber, policy: &Policy) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let Some(queue) = policy.queue_of(&change.snapshot.pair()) else { return };
        let changes = self.arranged(&self.group(number, policy));
        let item = ItemId(self.state.last_item + 1);
        let queue = Some(queue.name);
        self.act(Action::Decision(Decision::Entered { item, pipeline: Pipeline::Gate, queue, changes }));
        self.place(item);
    }

    fn plan_check(&mut self, number: ChangeNumber, policy: &Policy) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let snapshot = &change.snapshot;
        let said = change.checked == Some(snapshot.revision)
            || snapshot.vote_of(&policy.gate.label, &policy.account) != 0;
        let lacks_job_file = change.held.as_ref().is_some_and(|held| {
            matches!(held.reason, Reason::JobFile { .. }) && self.still_holds(held, snapshot)
        });
        let judged = said && change.recheck != Some(snapshot.revision)
            || lacks_job_file
            || snapshot.form.is_none()
            || self.index.gate_of.contains_key(&number)
            || self.index.check_of.contains_key(&number);
        if !policy.check.enabled || judged || snapshot.status != ChangeStatus::Open || snapshot.private {
            return;
        }
        let changes = vec![item_change(snapshot)];
        if self.awaits_references(number) {
            return;
        }
        let item = ItemId(self.state.last_item + 1);
        self.act(Action::Decision(Decision::Entered {
            item,
            pipeline: Pipeline::Check,
            queue: None,
            changes,
        }));
    }

    /// Has the on-demand pipelines begin that somebody asked for.
    fn plan_demands(&mut self, number: ChangeNumber, policy: &Policy) {
        let Some(change) = self.state.changes.get(&number) else { return };
        let snapshot = &change.snapshot;
        let fits = snapshot.status == ChangeStatus::Open && !snapshot.private && snapshot.form.is_some();
        let asked = change.demanded.iter().filter(|(_, revision)| **revision == snapshot.revision);
        let due: Vec<PipelineName> = asked
            .map(|(name, _)| name.clone())
            .filter(|name| policy.pipelines.on_demand(name).is_some())
            .filter(|name| !self.index.demand_of.contains_key(&(number, name.clone())))
            .collect();
        let changes = vec![item_change(snapshot)];
        if !fits || due.is_empty() || self.awaits_references(number) {
            return;
        }
        for name in due {
            let item = ItemId(self.state.last_item + 1);
            let (pipeline, changes) = (Pipeline::OnDemand(name), changes.clone());
            self.act(Action::Decision(Decision::Entered { item, pipeline, queue: None, changes }));
        }
    }

    /// Lets a node go, unless a merge that is under way starts from it.
    pub(super) fn release(&mut self, node: NodeId) {
        let mut merging = self.index.merging.iter().filter_map(|other| self.state.nodes.get(other));
        let from_it = super::state::Source::Node(node);
        let needed = merging.any(|other| other.onto.iter().any(|(_, onto)| *onto == from_it));
        if !needed && self.state.nodes.contains_key(&node) {
            self.ask(crate::model::EffectKind::ReleaseNode { node });
        }
    }

    /// Whether a change concerns the daemon: an item, or approved and waiting.
    pub(super) fn matters(&self, change: &Change) -> bool {
        let number = change.snapshot.number;
        let queued = !self.index.stays_of(number).is_empty();
        let approved = self.state.policy.as_ref().is_some_and(|policy| unapproved(change, policy).is_none());
        change.snapshot.status == ChangeStatus::Open && (queued || approved)
            || self.state.confirms.contains_key(&number)
    }
}

/// Why a change's votes do not admit it; `None` when they do. An operator's word stands for the
/// approval, never against anyone's veto.
pub(super) fn unapproved(change: &Change, policy: &Policy) -> Option<Reason> {
    let snapshot = &change.snapshot;
    let veto = |label| snapshot.vetoed_by(label, &policy.account);
    for label in policy.gate.approval.iter().map(|need| &need.label).chain([&policy.gate.label]) {
        if let Some(vote) = veto(label) {
            return Some(Reason::Veto { label: vote.label.clone(), by: vote.by.clone() });
        }
    }
    if change.forced == Some(snapshot.revision) {
        return None;
    }
    for need in &policy.gate.approval {
        let mut votes = snapshot
            .votes
            .iter()
            .filter(|vote| vote.label == need.label && vote.value >= need.min)
            .peekable();
        if votes.peek().is_none() {
            return Some(Reason::Approval { label: need.label.clone(), min: need.min });
        }
        if votes.all(|vote| change.used.contains(&(vote.by.clone(), vote.at))) {
            return Some(Reason::NewApproval);
        }
    }
    None
}

/// The submit requirements that a change does not meet, other than by the daemon's own vote. An operator may have it
/// built before they are met.
fn lacks(change: &Change, policy: &Policy) -> Option<Reason> {
    let names = unmet_requirements(&change.snapshot, policy);
    (!names.is_empty() && change.forced != Some(change.snapshot.revision))
        .then_some(Reason::Requirements { names })
}

/// The names of the submit requirements that are not met, but for those that ask for the daemon's own vote.
pub(super) fn unmet_requirements(snapshot: &ChangeSnapshot, policy: &Policy) -> Vec<Arc<str>> {
    let unmet = snapshot.requirements.iter().filter(|requirement| !requirement.met);
    let others = unmet.filter(|requirement| !requirement.labels.contains(&policy.gate.label));
    others.map(|requirement| requirement.name.clone()).collect()
}

/// What a change brings into an item.
pub(super) fn item_change(snapshot: &ChangeSnapshot) -> ItemChange {
    ItemChange {
        number: snapshot.number,
        change_id: snapshot.change_id.clone(),
        patchset: snapshot.patchset,
        revision: snapshot.revision,
        pair: snapshot.pair(),
        subject: snapshot.subject.clone(),
        owner: snapshot.owner.clone(),
    }
}
