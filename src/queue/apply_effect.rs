//! Effects change the state when they are asked for: what is under way, and until when.

use std::sync::Arc;

use crate::model::action::{Merge, Onto};
use crate::model::report::{Report, Says};
use crate::model::{ChangeNumber, Effect, EffectId, EffectKind, ItemId, NodeId, Pair, Timestamp};

use super::Queue;
use super::state::{ConfirmStep, Landing, Outgoing, Pending, Source, Stage};
use super::timer::{Timer, has_deadline};

impl Queue {
    pub(super) fn apply_effect(&mut self, effect: &Effect) {
        self.state.last_effect = self.state.last_effect.max(effect.id.0);
        match &effect.kind {
            EffectKind::PrepareNode { node, date, merges, overlay, depends, pins, .. } => {
                self.apply_prepare(*node, *date, merges, overlay);
                if let Some(known) = self.state.nodes.get_mut(node) {
                    known.depends.clone_from(depends);
                    known.pins.clone_from(pins);
                }
            }
            EffectKind::ReleaseNode { node } => {
                self.state.nodes.remove(node);
                self.index.forget_node(*node);
                return;
            }
            EffectKind::StartBuild { build, job, spec, inputs } => {
                let grace = self.state.policy.as_ref().map_or(0, |policy| policy.limits.build_grace_ms);
                let deadline = self.state.now.plus_ms(spec.timeout_ms.saturating_add(grace));
                if let Some(known) = self.state.builds.get_mut(build) {
                    known.job = job.clone();
                    known.home = inputs.first().map_or_else(|| Pair::new("", ""), |input| input.pair.clone());
                    known.effect = effect.id;
                    known.deadline = deadline;
                }
                self.wake_at(deadline, Timer::Build(*build));
            }
            EffectKind::StopBuild { build } => {
                let grace = self.state.policy.as_ref().map_or(0, |policy| policy.limits.build_grace_ms);
                let deadline = self.state.now.plus_ms(grace);
                if let Some(known) = self.state.builds.get_mut(build) {
                    known.stopping = true;
                    known.deadline = deadline;
                    if self.index.running.get(&known.key) == Some(build) {
                        self.index.running.remove(&known.key);
                    }
                }
                self.wake_at(deadline, Timer::Build(*build));
            }
            EffectKind::Look { changes } => {
                self.apply_look(effect.id, changes.iter().map(|(number, _)| *number))
            }
            EffectKind::Land { pushes, .. } => self.apply_land(effect.id, pushes),
            EffectKind::ObservePush { pair, .. } => {
                for landing in self.state.landings.values_mut().filter(|landing| landing.pair == *pair) {
                    if let Some(unknown) = &mut landing.unknown {
                        unknown.asked = Some(effect.id);
                    }
                }
            }
            EffectKind::ObserveChange { change, .. } => self.confirm_reading(*change, effect.id),
            EffectKind::CloseChange { change, .. } => {
                if let Some(confirm) = self.state.confirms.get_mut(change) {
                    confirm.step = ConfirmStep::Closing(effect.id);
                }
            }
            EffectKind::Report(report) => self.apply_report(effect.id, report),
            EffectKind::ObserveCommit { .. }
            | EffectKind::ObserveTip { .. }
            | EffectKind::FindReferences { .. } => {}
        }
        let pending = Pending { effect: effect.clone(), since: self.state.now };
        self.state.effects.insert(effect.id, pending);
        if let (true, Some(policy)) = (has_deadline(&effect.kind), &self.state.policy) {
            let at = self.state.now.plus_ms(policy.limits.effect_ms);
            self.wake_at(at, Timer::Effect(effect.id));
        }
    }

    fn apply_prepare(&mut self, node: NodeId, date: Timestamp, merges: &[Merge], overlay: &[(Pair, NodeId)]) {
        let contains = self.contained(node, merges, overlay);
        let epoch = self.state.tip_epoch;
        let Some(known) = self.state.nodes.get_mut(&node) else { return };
        known.onto = merges.iter().map(|merge| (merge.change.pair.clone(), source(merge.onto))).collect();
        known.overlay = Arc::new(overlay.to_vec());
        known.asked_epoch = epoch;
        known.counted_from = merges.iter().map(|merge| (merge.change.pair.clone(), merge.tip)).collect();
        known.date = date;
        known.contains = contains;
        self.index.note_node(known, &self.state.tips);
        self.index.merging.insert(node);
        self.note_merged(node);
    }

    fn apply_look(&mut self, effect: EffectId, changes: impl Iterator<Item = ChangeNumber>) {
        for number in changes {
            let Some(id) = self.index.gate_of.get(&number) else { continue };
            if let Some(item) = self.state.items.get_mut(id) {
                item.stage = Stage::Looking(effect);
            }
        }
    }

    fn apply_land(&mut self, effect: EffectId, pushes: &[crate::model::action::Push]) {
        for push in pushes {
            let mut items: Vec<ItemId> = push
                .changes
                .iter()
                .filter_map(|(number, ..)| self.index.gate_of.get(number).copied())
                .collect();
            // An item may have several changes in the branch.
            items.dedup();
            let last = items.last().and_then(|id| self.state.items.get(id)?.node);
            let written = last.and_then(|node| self.state.nodes.get(&node)?.written(&push.pair).cloned());
            for id in &items {
                self.news_about(*id);
                if let Some(item) = self.state.items.get_mut(id) {
                    item.stage = Stage::Landing(effect);
                }
            }
            let landing = Landing {
                pair: push.pair.clone(),
                old: push.old,
                new: push.new,
                job_file: written.and_then(|written| written.job_file),
                items,
                landed: false,
                unknown: None,
                submit: push.submit.clone(),
                differs: false,
            };
            self.state.landings.insert(effect, landing);
        }
    }

    fn confirm_reading(&mut self, change: ChangeNumber, effect: EffectId) {
        let id = self.index.gate_of.get(&change);
        if let Some(item) = id.and_then(|id| self.state.items.get_mut(id)) {
            item.reread = item.node;
        }
        if let Some(confirm) = self.state.confirms.get_mut(&change) {
            confirm.step = match confirm.step {
                ConfirmStep::Closed => ConfirmStep::Rereading(effect),
                _ => ConfirmStep::Reading(effect),
            };
        }
    }

    fn apply_report(&mut self, effect: EffectId, report: &Report) {
        if let Some(item) = self.state.items.get_mut(&report.item) {
            match &report.says {
                Some(Says::Started { .. }) => item.told_start = true,
                Some(Says::FirstFailure { .. }) => item.told_failure = true,
                Some(Says::Passed { .. }) => item.told_passed = true,
                _ => {}
            }
            item.voted |= report.vote.is_some();
        }
        if matches!(report.says, Some(Says::Alarm { .. })) {
            self.state.confirms.remove(&report.change);
        }
        if let (Some(Says::Waiting { reason }), Some(change)) =
            (&report.says, self.state.changes.get_mut(&report.change))
        {
            let told = if reason.is_told_apart() { &mut change.told_held } else { &mut change.told };
            *told = Some(report.revision);
        }
        if let (0, Some((label, 0))) = (report.item.0, &report.vote) {
            self.note_unvoted(report.change, label);
        }
        let queued = self
            .state
            .outgoing
            .iter_mut()
            .find(|outgoing| outgoing.effect.is_none() && is_made_again_as(&outgoing.report, report));
        if let Some(outgoing) = queued {
            outgoing.effect = Some(effect);
            outgoing.report = report.clone();
            outgoing.tries += 1;
        } else {
            let due = self.state.now;
            let report = report.clone();
            self.state.outgoing.push_back(Outgoing {
                report,
                due,
                patient: false,
                tries: 1,
                effect: Some(effect),
                given_up: None,
                outdated: None,
            });
        }
        self.outdate_before(report, effect);
    }

    fn note_unvoted(&mut self, number: ChangeNumber, label: &crate::model::Label) {
        let Some(account) = self.state.policy.as_ref().map(|policy| policy.account.clone()) else { return };
        let Some(change) = self.state.changes.get_mut(&number) else { return };
        let vote = change.snapshot.votes.iter().find(|vote| vote.label == *label && vote.by == account);
        change.unvoted = vote.map(|vote| vote.at);
    }
}

fn source(onto: Onto) -> Source {
    match onto {
        Onto::Commit(commit) => Source::Commit(Some(commit)),
        Onto::Node(node) => Source::Node(node),
    }
}

/// Whether a report is the same as one that is to be made; a start is told as it is by now.
fn is_made_again_as(waiting: &Report, made: &Report) -> bool {
    let is_start = |report: &Report| matches!(report.says, Some(Says::Started { .. }));
    let at = |report: &Report| (report.change, report.item, report.again_of);
    waiting == made || is_start(waiting) && is_start(made) && at(waiting) == at(made)
}
