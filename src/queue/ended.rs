//! Effects that ended: what becomes of each kind of outcome.

use std::sync::Arc;

use crate::model::report::Says;
use crate::model::tree::Prepared;
use crate::model::{ChangeNumber, EffectId, EffectKind, Outcome, Pair, Verdict, Vote};

use super::Queue;
use super::conclude::change_name;
use super::foreign::commit_name;
use super::speculate::tip_name;
use super::state::ConfirmStep;
use super::timer::Timer;

/// How often a message is tried before it is given up: two weeks, with pauses of five minutes.
const REPORT_TRIES: u32 = 4_000;
/// The same where the change was not found.
const REPORT_TRIES_GONE: u32 = 10;

impl Queue {
    /// Gives up waiting for an effect: what became of it is not known.
    pub(super) fn give_up_on(&mut self, effect: EffectId) {
        let Some(pending) = self.state.effects.get(&effect) else { return };
        let limit = self.state.policy.as_ref().map_or(0, |policy| policy.limits.effect_ms);
        let due = pending.since.plus_ms(limit);
        if due > self.state.now {
            self.wake_at(due, Timer::Effect(effect));
            return;
        }
        let why: Arc<str> = "no answer in time".into();
        match pending.effect.kind.clone() {
            EffectKind::PrepareNode { node, .. } => {
                let failed = Prepared::Failed { why };
                self.absorb(crate::model::Event::NodePrepared { effect, node, outcome: failed });
            }
            EffectKind::Land { pushes, .. } => {
                let pushes =
                    pushes.into_iter().map(|push| (push.pair, Outcome::Unknown(why.clone()))).collect();
                self.absorb(crate::model::Event::PushEnded { effect, pushes });
            }
            _ => self.effect_ended(effect, Outcome::Unknown(why)),
        }
    }

    /// Takes in the end of an effect that has no answer of its own, or whose answer failed.
    pub(super) fn effect_ended(&mut self, effect: EffectId, outcome: Outcome) {
        let Some(pending) = self.state.effects.remove(&effect) else {
            if outcome == Outcome::Applied {
                self.late_answer(effect);
            }
            return;
        };
        let why = reason_of(&outcome);
        match pending.effect.kind {
            EffectKind::Look { .. } => self.look_failed(effect, why),
            EffectKind::StartBuild { build, .. } => self.build_ended(build, Verdict::NoVerdict { why }, 0),
            EffectKind::PrepareNode { node, .. } => {
                self.state
                    .effects
                    .insert(effect, super::state::Pending { effect: pending.effect, since: pending.since });
                self.absorb(crate::model::Event::NodePrepared {
                    effect,
                    node,
                    outcome: Prepared::Failed { why },
                });
            }
            EffectKind::Land { pushes, .. } => {
                let pushes = pushes.into_iter().map(|push| (push.pair, outcome.clone())).collect();
                self.absorb(crate::model::Event::PushEnded { effect, pushes });
            }
            EffectKind::ObservePush { .. } => {
                let asked = self.state.landings.iter().find(|(_, landing)| {
                    landing.unknown.as_ref().is_some_and(|unknown| unknown.asked == Some(effect))
                });
                if let Some(id) = asked.map(|(id, _)| *id) {
                    self.watch_again(id);
                }
            }
            EffectKind::ObserveTip { pair } => self.tip_read(&pair, &outcome, why),
            EffectKind::ObserveCommit { commit, .. } => {
                self.observation_failed(commit_name(commit), why);
            }
            EffectKind::FindReferences { .. } => self.lookup_failed(&outcome),
            EffectKind::ObserveChange { change, .. } => {
                self.change_read(change, effect, &outcome);
                self.reread_ended(change, &outcome, why);
            }
            EffectKind::CloseChange { change, .. } => self.close_ended(change, effect, &outcome),
            EffectKind::Report(_) => self.report_ended(effect, outcome),
            EffectKind::StopBuild { .. } | EffectKind::ReleaseNode { .. } => {}
        }
    }

    /// Nothing was learnt about a push of unknown outcome: not even the old tip was seen.
    fn watch_again(&mut self, id: EffectId) {
        let now = self.state.now;
        let Some(unknown) = self.state.landings.get_mut(&id).and_then(|landing| landing.unknown.as_mut())
        else {
            return;
        };
        unknown.asked = None;
        unknown.pause_ms = Self::next_watch(unknown.pause_ms);
        unknown.next_look = now.plus_ms(unknown.pause_ms);
        let at = unknown.next_look;
        self.wake_at(at, Timer::Landing(id));
    }

    fn look_failed(&mut self, effect: EffectId, why: Arc<str>) {
        for id in self.looking(effect) {
            self.look_again(id, why.clone());
        }
    }

    fn tip_read(&mut self, pair: &Pair, outcome: &Outcome, why: Arc<str>) {
        if *outcome == Outcome::Applied {
            self.state.retries.remove(&tip_name(pair));
            // What was read has ended all doubt, but for one that came up while it was read: late news had
            // moved the tip meanwhile, so that the answer itself seemed late.
            if self.state.tips.get(pair).is_some_and(|tip| tip.stale) {
                self.observe_tip(pair.clone());
            }
        } else {
            self.observation_failed(tip_name(pair), why);
        }
        self.touch_queues_at(pair);
        // Whoever only reads the branch may have waited for this, too.
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
    }

    pub(super) fn observation_failed(&mut self, name: String, why: Arc<str>) {
        let retry = self.next_retry(self.state.retries.get(&name), why);
        // Even the first failure is given a pause: the review host is not reachable.
        let at = retry.at.max(self.state.now.plus_ms(1_000));
        self.wake_at(at, Timer::Everything);
        self.state.retries.insert(name, super::state::Retry { at, ..retry });
    }

    /// A failing item leaves only after its change was really read: else it would be called bad because
    /// the review host is away.
    fn reread_ended(&mut self, change: ChangeNumber, outcome: &Outcome, why: Arc<str>) {
        let Some(id) = self.index.gate_of.get(&change).copied() else { return };
        if *outcome == Outcome::Applied {
            self.state.retries.remove(&change_name(change));
        } else if let Some(item) = self.state.items.get_mut(&id).filter(|item| item.reread.is_some()) {
            item.reread = None;
            self.observation_failed(change_name(change), why);
        }
        self.touch_queue_of(id);
    }

    fn change_read(&mut self, number: ChangeNumber, effect: EffectId, outcome: &Outcome) {
        let close_after = self.state.policy.as_ref().map_or(0, |policy| policy.limits.close_after_ms);
        let due = self.state.now.plus_ms(close_after.max(1_000));
        let Some(confirm) = self.state.confirms.get_mut(&number) else { return };
        let read = *outcome == Outcome::Applied;
        confirm.step = match confirm.step {
            ConfirmStep::Reading(asked) if asked == effect && read => ConfirmStep::Open,
            ConfirmStep::Rereading(asked) if asked == effect && read => ConfirmStep::Hopeless,
            ConfirmStep::Reading(asked) if asked == effect => ConfirmStep::Waiting,
            ConfirmStep::Rereading(asked) if asked == effect => ConfirmStep::Closed,
            other => other,
        };
        if !read {
            confirm.due = due;
            self.wake_at(due, Timer::Confirm(number));
        }
        self.index.dirty_confirms.insert(number);
    }

    fn close_ended(&mut self, number: ChangeNumber, effect: EffectId, outcome: &Outcome) {
        let close_after = self.state.policy.as_ref().map_or(0, |policy| policy.limits.close_after_ms);
        let due = self.state.now.plus_ms(close_after);
        let Some(confirm) = self.state.confirms.get_mut(&number) else { return };
        if confirm.step != ConfirmStep::Closing(effect) {
            return;
        }
        confirm.step = ConfirmStep::Closed;
        if !matches!(outcome, Outcome::Refused(_)) {
            confirm.due = due;
            self.wake_at(due, Timer::Confirm(number));
        }
        self.index.dirty_confirms.insert(number);
    }

    fn report_ended(&mut self, effect: EffectId, outcome: Outcome) {
        let Some(at) = self.state.outgoing.iter().position(|outgoing| outgoing.effect == Some(effect)) else {
            return;
        };
        let Some(mut outgoing) = self.state.outgoing.remove(at) else { return };
        let report = &outgoing.report;
        self.index.touch_change(report.change);
        self.touch_queue_of(report.item);
        let tries = if matches!(outcome, Outcome::Gone(_)) { REPORT_TRIES_GONE } else { REPORT_TRIES };
        match outcome {
            Outcome::Applied => self.note_vote(report),
            Outcome::Refused(why) => {
                let success = self.state.policy.as_ref().map(|policy| policy.gate.success);
                let vote = report.vote.as_ref().map(|(_, value)| *value);
                if let (true, Some(item)) =
                    (vote.is_some() && vote == success, self.state.items.get_mut(&report.item))
                {
                    item.vote_refused = Some(why.clone());
                }
                self.out.notes.push(super::Note::Said(format!(
                    "change {}: a message was refused: {why}",
                    report.change
                )));
            }
            Outcome::Failed(why) | Outcome::Gone(why) | Outcome::Unknown(why) if outgoing.tries >= tries => {
                self.out.notes.push(super::Note::Said(format!(
                    "change {}: a message was given up: {why}",
                    report.change
                )));
            }
            Outcome::Failed(why) | Outcome::Gone(why) | Outcome::Unknown(why) => {
                let before =
                    super::state::Retry { count: outgoing.tries, at: self.state.now, why: why.clone() };
                outgoing.due = self.next_retry(Some(&before), why).at;
                outgoing.effect = None;
                outgoing.given_up = Some(effect);
                outgoing.report.again_of.get_or_insert(effect);
                outgoing.patient = false;
                self.say_again(outgoing);
            }
        }
    }

    /// Has a report be said again, less what is outdated.
    pub(super) fn say_again(&mut self, mut outgoing: super::state::Outgoing) {
        if outgoing.outdated.take().is_none_or(|outdated| outgoing.keeps_after(outdated)) {
            self.wake_at(outgoing.due, Timer::Reports);
            self.state.outgoing.push_back(outgoing);
        } else if let (Some(Says::Passed { .. }), Some(item)) =
            (&outgoing.report.says, self.state.items.get_mut(&outgoing.report.item))
        {
            item.told_passed = false;
        }
    }

    /// A report that was given up has been posted after all: it is not said again.
    fn late_answer(&mut self, effect: EffectId) {
        let said = |outgoing: &super::state::Outgoing| {
            outgoing.given_up == Some(effect) && outgoing.effect.is_none()
        };
        let Some(at) = self.state.outgoing.iter().position(said) else { return };
        let Some(outgoing) = self.state.outgoing.remove(at) else { return };
        self.index.touch_change(outgoing.report.change);
        self.touch_queue_of(outgoing.report.item);
        self.note_vote(&outgoing.report);
    }

    /// The daemon's own vote, as it stands after a report.
    fn note_vote(&mut self, report: &crate::model::report::Report) {
        let (Some((label, value)), Some(policy)) = (&report.vote, self.state.policy.clone()) else { return };
        let now = self.state.now;
        let Some(change) = self.state.changes.get_mut(&report.change) else { return };
        if change.snapshot.revision != report.revision {
            return;
        }
        change.snapshot.votes.retain(|vote| vote.label != *label || vote.by != policy.account);
        if *value != 0 {
            let vote = Vote { label: label.clone(), value: *value, by: policy.account.clone(), at: now };
            change.snapshot.votes.push(vote);
        }
    }
}

pub(super) fn reason_of(outcome: &Outcome) -> Arc<str> {
    match outcome {
        Outcome::Applied => "ended without an answer".into(),
        Outcome::Refused(why) | Outcome::Failed(why) | Outcome::Gone(why) | Outcome::Unknown(why) => {
            why.clone()
        }
    }
}
