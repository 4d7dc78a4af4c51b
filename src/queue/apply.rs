//! Actions change the state here and nowhere else, live as in a replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::action::Decision;
use crate::model::past::{Happened, Past};
use crate::model::report::Report;
use crate::model::view::DepartedView;
use crate::model::{
    Action, ChangeNumber, ChangeStatus, Departure, EffectId, ItemChange, ItemId, NodeId, Pair, Pipeline,
    Place, QueueName, Reason, Sha, Timestamp,
};

use super::Queue;
use super::depend::put_target;
use super::seen::CLOSED_MAX;
use super::state::{Adopted, Build, Confirm, ConfirmStep, Held, Item, Node, Outgoing, Stage};
use super::timer::Timer;

/// How long a message about something that landed may wait for landings under way, in milliseconds.
const PATIENCE_MS: i64 = 10_000;

impl Queue {
    /// Applies one action to the state.
    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Decision(decision) => self.apply_decision(decision),
            Action::Effect(effect) => self.apply_effect(effect),
        }
    }

    fn apply_decision(&mut self, decision: &Decision) {
        match decision {
            Decision::Entered { item, pipeline, queue, changes } => {
                self.enter(*item, pipeline, queue.clone(), changes);
            }
            Decision::Placed { item, class, round, before } => {
                self.apply_place(*item, *class, *round, *before);
            }
            Decision::Based { item, node } => self.base(*item, *node),
            Decision::Adopted { item, job, key, .. } => {
                let Some(record) = self.state.records.get(key) else { return };
                let why = match &record.verdict {
                    crate::model::Verdict::Fail { why } | crate::model::Verdict::NoVerdict { why } => {
                        why.clone()
                    }
                    crate::model::Verdict::Pass => "".into(),
                };
                let adopted = Adopted {
                    job: job.clone(),
                    passed: record.verdict == crate::model::Verdict::Pass,
                    why,
                    build: record.build,
                    duration_ms: record.duration_ms,
                };
                if let Some(item) = self.state.stay_mut(*item) {
                    item.adopted.insert(*key, adopted);
                }
                self.note_judged(*item, job, key);
            }
            Decision::Pooled { item, with } => {
                if let Some(item) = self.state.items.get_mut(item) {
                    item.covered = Some(*with);
                }
            }
            Decision::Bought { build, key, item } => {
                self.state.last_build = self.state.last_build.max(build.0);
                let deadline = self.state.now;
                let placeholder = Build {
                    key: *key,
                    item: *item,
                    job: "".into(),
                    home: Pair::new("", ""),
                    effect: EffectId(0),
                    started_at: self.state.now,
                    deadline,
                    seen: false,
                    failing: false,
                    stopping: false,
                };
                self.state.builds.insert(*build, placeholder);
                self.index.running.insert(*key, *build);
            }
            Decision::Parted { item, commits } => self.apply_parted(*item, commits),
            Decision::Ended { item, departure, .. } => self.depart(*item, departure),
            Decision::AlternativeBegun { alternative, of, without } => {
                self.alternative_begun(*alternative, *of, *without);
            }
            Decision::AlternativeEnded { alternative } => self.alternative_ended(*alternative),
            Decision::OvertakingBegun { overtaking, of, by } => {
                self.overtaking_begun(*overtaking, *of, *by);
            }
            Decision::OvertakingEnded { overtaking } => self.overtaking_ended(*overtaking),
            Decision::Overtook { item, before } => self.overtook(*item, *before),
            run => self.apply_run(run),
        }
    }

    fn enter(&mut self, id: ItemId, pipeline: &Pipeline, queue: Option<QueueName>, changes: &[ItemChange]) {
        self.state.last_item = self.state.last_item.max(id.0);
        self.state.last_rank += 1;
        let entered = (self.state.now, self.state.last_rank);
        let item = Item::new(id, pipeline.clone(), queue.clone(), changes, entered);
        self.index.add_item(&item);
        self.index.rounds.add(&item);
        for change in changes {
            match (pipeline, self.state.changes.get_mut(&change.number)) {
                (Pipeline::Check, Some(known)) => {
                    known.checked = Some(change.revision);
                    known.recheck = None;
                }
                (Pipeline::Gate, Some(known)) => {
                    known.recheck = None;
                    self.outdate_removal(change.number);
                }
                (Pipeline::OnDemand(name), Some(known)) => {
                    known.demanded.remove(name);
                }
                _ => {}
            }
            self.touch_children(change);
            self.touch_referrers(change.number, &change.change_id);
        }
        self.state.items.insert(id, item);
        match queue {
            Some(name) => {
                self.state.queues.entry(name.clone()).or_default().push(id);
                self.index.order_changed(&name);
                let start = self.state.policy.as_ref().and_then(|policy| policy.gate.start_message_after_ms);
                if let Some(after) = start {
                    self.wake_at(self.state.now.plus_ms(after), Timer::Item(id));
                }
            }
            None => {
                self.state.checks.insert(id);
                self.index.dirty_items.insert(id);
            }
        }
    }

    pub(super) fn touch_children(&mut self, change: &ItemChange) {
        let children: Vec<ChangeNumber> =
            self.index.children.get(&change.revision).into_iter().flatten().copied().collect();
        for child in children {
            self.index.touch_change(child);
            self.index.news.extend(self.index.gate_of.get(&child));
        }
    }

    fn base(&mut self, item: ItemId, node: NodeId) {
        self.state.last_node = self.state.last_node.max(node.0);
        let fresh = Node {
            id: node,
            item,
            onto: Vec::new(),
            overlay: Arc::new(Vec::new()),
            depends: Vec::new(),
            pins: Vec::new(),
            policy_epoch: self.state.policy_epoch,
            date: Timestamp::default(),
            asked_epoch: 0,
            counted_from: Vec::new(),
            merged: None,
            resolved: None,
            bad: None,
            contains: Vec::new(),
        };
        self.state.nodes.insert(node, fresh);
        self.news_about(item);
        self.outdate_votes_of(item);
        let ran_into =
            self.state.stay(item).and_then(|item| self.node_of(item)).filter(|node| node.conflicts());
        let ran_into = ran_into.map(|node| node.contains.clone());
        if let Some(item) = self.state.stay_mut(item) {
            item.ran_into.extend(ran_into.into_iter().flatten());
            item.ran_into.sort_unstable();
            item.ran_into.dedup();
            self.index.stale.extend(item.node.replace(node));
            item.covered = None;
            item.stage = Stage::Queued;
            item.look = None;
        }
    }

    /// Queues something to say until [`Queue::plan_reports`] asks for it.
    pub(super) fn say_later(&mut self, report: Report, patient: bool) {
        let due = if patient { self.state.now.plus_ms(PATIENCE_MS) } else { self.state.now };
        self.wake_at(due, Timer::Reports);
        self.state.outgoing.push_back(Outgoing {
            report,
            due,
            patient,
            tries: 0,
            effect: None,
            given_up: None,
            outdated: None,
        });
        self.index.dirty_reports = true;
    }

    fn depart(&mut self, id: ItemId, departure: &Departure) {
        let reports = self.last_words(id, departure);
        let jobs = self.job_results(id);
        let unneeded = self.state.items.get(&id).map(|item| self.unneeded_of(item).to_vec());
        let Some(item) = self.state.items.remove(&id) else { return };
        self.index.remove_item(&item);
        self.index.rounds.take(&item);
        self.state.checks.remove(&id);
        if let Some(name) = &item.queue {
            if let Some(order) = self.state.queues.get_mut(name) {
                order.retain(|other| *other != id);
            }
            self.forget_pins_of(name);
            self.index.order_changed(name);
        }
        self.note_end(&item, departure);
        self.note_left(&item, departure);
        if item.pipeline == Pipeline::Check {
            self.settle_check(&item, departure);
        }
        if item.pipeline.lands() {
            self.settle_changes(&item, departure);
            self.note_voted(&reports);
            if !matches!(departure, Departure::Landed { .. }) {
                self.outdate_stay(id);
            }
            self.leave_landings(id);
            self.tell_half(&item, departure);
        }
        for change in &item.changes {
            self.index.touch_change(change.number);
            self.touch_children(change);
            self.touch_referrers(change.number, &change.change_id);
            self.forget_closed(change.number);
        }
        for (report, patient) in reports {
            self.say_later(report, patient);
        }
        let view = DepartedView {
            item: id,
            pipeline: item.pipeline.clone(),
            queue: item.queue.clone(),
            changes: item.changes.clone(),
            entered_at: item.entered_at,
            ended_at: self.state.now,
            departure: departure.clone(),
            jobs,
            past: item.past.clone(),
            unneeded: unneeded.unwrap_or_default(),
        };
        self.index.dirty_builds = true;
        if departure.goes_back_to_waiting() {
            return;
        }
        let remembered = self.state.policy.as_ref().map_or(0, |policy| policy.limits.remembered as usize);
        self.state.departed.push_front(view);
        self.state.departed.truncate(remembered);
    }

    /// Drops a change that is closed and of no further concern.
    pub(super) fn forget_closed(&mut self, number: ChangeNumber) {
        let concerns = self.index.gate_of.contains_key(&number)
            || self.index.check_of.contains_key(&number)
            || self.index.demands_of(number).next().is_some()
            || self.state.confirms.contains_key(&number);
        let status = self.state.changes.get(&number).map(|change| change.snapshot.status);
        if concerns || status == Some(ChangeStatus::Open) {
            return;
        }
        let Some(gone) = self.state.changes.remove(&number) else { return };
        self.index.remove_change(&gone.snapshot);
        self.note_target(&gone.snapshot);
        self.state.closed.insert(number, gone.snapshot.updated_at);
        if self.state.closed.len() > CLOSED_MAX {
            self.state.closed.pop_first();
        }
        self.forget_references(&gone.snapshot.needs);
    }

    /// A change has landed; it is cared for until the review host shows it merged, unless it did before
    /// the push was answered.
    pub(super) fn settle_landed(&mut self, change: &ItemChange, commit: Sha, item: ItemId) {
        let Some(known) = self.state.changes.get_mut(&change.number) else { return };
        let is_shown = known.snapshot.status == ChangeStatus::Merged;
        self.index.remove_change(&known.snapshot);
        known.snapshot.status = ChangeStatus::Merged;
        put_target(&mut self.state.named, &self.index, &known.snapshot);
        if is_shown {
            return;
        }
        let close_after = self.state.policy.as_ref().map_or(0, |policy| policy.limits.close_after_ms);
        let due = self.state.now.plus_ms(close_after);
        let (pair, revision, step) = (change.pair.clone(), change.revision, ConfirmStep::Waiting);
        self.state.confirms.insert(change.number, Confirm { pair, commit, revision, item, due, step });
        self.index.timers.insert((due, Timer::Confirm(change.number)));
    }

    /// A check that has come to no verdict is begun again: when the gate has not, either, or a job file is mended.
    fn settle_check(&mut self, item: &Item, departure: &Departure) {
        let reason = match departure {
            Departure::Held { reason: reason @ Reason::JobFile { .. } } => Some(reason),
            Departure::Superseded => None,
            _ => return,
        };
        for change in &item.changes {
            let held = reason.map(|reason| self.held(change.revision, reason));
            if let Some(known) = self.state.changes.get_mut(&change.number) {
                known.checked = None;
                known.held = held.or(known.held.take());
            }
        }
    }

    /// What a vote is given to needs no check to say the same.
    fn note_voted(&mut self, reports: &[(Report, bool)]) {
        for (report, _) in
            reports.iter().filter(|(report, _)| report.vote.as_ref().is_some_and(|(_, value)| *value != 0))
        {
            if let Some(known) = self.state.changes.get_mut(&report.change) {
                known.checked = Some(report.revision);
            }
        }
    }

    /// Whether what sends an item back to wait concerns this one of its changes: of several, what rests on
    /// the other change is held, and the rest waits for that.
    fn is_held_by(&self, item: &Item, change: &ItemChange, reason: &Reason) -> bool {
        let (Reason::ParentReplaced { change: below } | Reason::ParentAbandoned { change: below }) = reason
        else {
            return true;
        };
        let merged = self.node_of(item).and_then(|node| node.merged.as_ref());
        let foreign = merged.map_or(&[][..], |merged| &merged.foreign);
        let below_now = self.state.changes.get(below).map(|known| &known.snapshot);
        let id = below_now.map(|below| &below.change_id);
        let is_its = |parent: &Sha| {
            let before = self.state.replaced.get(parent).is_some_and(|(change, _)| change == below);
            let now = below_now.is_some_and(|below| below.revision == *parent);
            before
                || now
                || foreign.iter().any(|other| other.commit == *parent && other.change_id.as_ref() == id)
        };
        let brings = |change: &ItemChange| {
            let known = self.state.changes.get(&change.number);
            known.is_some_and(|known| known.snapshot.parents.iter().any(is_its))
        };
        brings(change) || !item.changes.iter().any(brings)
    }

    /// What the end of a gate item makes of its changes: merged, or with a used-up approval.
    fn settle_changes(&mut self, item: &Item, departure: &Departure) {
        let forget = self.uses_up_approval(item, departure);
        // What no job judged has not failed.
        let judged = !matches!(departure, Departure::Landed { .. } | Departure::Unfit { .. });
        let failed = judged && !forget;
        let policy = self.state.policy.clone();
        for change in &item.changes {
            let forget = forget || item.dequeued.as_ref().is_some_and(|own| own.change == change.number);
            let tip = self.state.tips.get(&change.pair).and_then(|tip| tip.commit);
            if let (Departure::Dependency { change: other, culprit: Some(_) }, Some(known)) =
                (departure, self.state.changes.get_mut(&change.number))
                && *other != change.number
            {
                // Its last words say what it waits for.
                known.told = Some(change.revision);
            }
            if let (Departure::VoteWithdrawn { .. }, Some(known)) =
                (departure, self.state.changes.get_mut(&change.number))
            {
                known.told = Some(change.revision);
            }
            let held = match departure {
                Departure::Held { reason } if self.is_held_by(item, change, reason) => {
                    let held = self.held(change.revision, reason);
                    Some(Held { tip: held.tip.or(tip), ..held })
                }
                _ => None,
            };
            let Some(known) = self.state.changes.get_mut(&change.number) else { continue };
            if let Departure::Landed { commits } = departure {
                let landed = commits.iter().find(|(pair, _)| *pair == change.pair);
                self.settle_landed(change, landed.map_or(change.revision, |(_, commit)| *commit), item.id);
            } else if let Some(held) = held {
                self.hold_back(change.number, held);
            } else if let (true, Some(policy)) = (forget, &policy) {
                let counted = known.snapshot.votes.iter().filter(|vote| {
                    policy.gate.approval.iter().any(|need| need.label == vote.label && vote.value >= need.min)
                });
                known.used = counted.map(|vote| (vote.by.clone(), vote.at)).collect();
                known.forced = None;
            } else {
                known.forced = None;
                known.failed = (failed && departure.blames_item()).then_some((change.revision, tip));
            }
        }
    }
}

impl Item {
    /// A stay that begins at a moment, with its rank among those that want slots.
    pub(super) fn new(
        id: ItemId,
        pipeline: Pipeline,
        queue: Option<QueueName>,
        changes: &[ItemChange],
        (entered_at, rank): (Timestamp, u64),
    ) -> Self {
        Self {
            id,
            pipeline,
            queue,
            changes: changes.to_vec(),
            entered_at,
            rank,
            place: Place::default(),
            node: None,
            stage: Stage::Queued,
            adopted: BTreeMap::new(),
            failures: BTreeMap::new(),
            lost: BTreeMap::new(),
            prepare: None,
            look: None,
            unmet: None,
            told_start: false,
            told_failure: false,
            told_passed: false,
            voted: false,
            vote_refused: None,
            reread: None,
            dequeued: None,
            covered: None,
            ran_into: Vec::new(),
            keys: BTreeSet::new(),
            past: vec![Past { at: entered_at, what: Happened::Entered }],
            landed: Vec::new(),
        }
    }
}
