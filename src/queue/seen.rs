//! Changes and tips as the review host shows them, and effects that ended.

use std::sync::Arc;

use crate::model::tree::Prepared;
use crate::model::{
    ChangeNumber, ChangeSnapshot, ChangeStatus, EffectId, EffectKind, ItemId, Outcome, Pair, QueueName, Sha,
    Timestamp, Verdict, Vote,
};

use super::Queue;
use super::conclude::change_name;
use super::foreign::commit_name;
use super::speculate::tip_name;
use super::state::{Change, ConfirmStep, Stage};
use super::timer::Timer;

/// Earlier tips of a branch that are remembered.
const TIPS_REMEMBERED: usize = 16;

/// Answers about commits that are remembered.
const COMMITS_MAX: usize = 10_000;

/// How often a message is tried before it is given up.
const REPORT_TRIES: u32 = 10;

impl Queue {
    /// Takes in a change. `fresh` says that it was read after it was asked for; otherwise an older
    /// state than the one known is late news and is dropped.
    pub(super) fn see_change(&mut self, mut snapshot: ChangeSnapshot, fresh: bool) {
        let number = snapshot.number;
        let known = self.state.changes.get(&number);
        let late = known.is_some_and(|known| snapshot.updated_at < known.snapshot.updated_at);
        if late && !fresh {
            return;
        }
        if known.is_none() && snapshot.status != ChangeStatus::Open {
            self.note_target(&snapshot);
            self.touch_referrers(number, &snapshot.change_id);
            return;
        }
        if snapshot.status == ChangeStatus::Merged {
            self.state.confirms.remove(&number);
        } else if self.state.confirms.contains_key(&number) {
            // It has landed; the review host just has not noticed yet.
            snapshot.status = ChangeStatus::Merged;
        }
        let forced = self.state.expected.remove(&number).map(|_| snapshot.revision);
        let before = self.state.changes.remove(&number);
        if let Some(before) = &before {
            self.index.remove_change(before);
            if before.snapshot != snapshot {
                self.touch_resting_on(&before.snapshot.revision);
                self.touch_topic(before.snapshot.topic.as_ref());
            }
        }
        let otherwise = |before: &Change| {
            before.snapshot.form != snapshot.form || before.snapshot.needs != snapshot.needs
        };
        if before.as_ref().is_some_and(otherwise) {
            self.drop_nodes_of(number);
        }
        let (is_news, needed) = match &before {
            Some(before) => (before.snapshot != snapshot, before.snapshot.needs.clone()),
            None => (true, Vec::new()),
        };
        let mut change = before.unwrap_or_else(|| Change::new(snapshot.clone()));
        change.snapshot = snapshot;
        change.forced = forced.or(change.forced);
        let votes = &change.snapshot.votes;
        change.used.retain(|(by, at)| votes.iter().any(|vote| vote.by == *by && vote.at == *at));
        self.index.add_change(&change);
        let revision = change.snapshot.revision;
        self.state.changes.insert(number, change);
        self.touch_resting_on(&revision);
        if is_news {
            self.news_of(number, &needed);
        }
        self.index.touch_change(number);
        if let Some(item) = self.index.gate_of.get(&number).copied() {
            self.touch_queue_of(item);
        }
        self.forget_closed(number);
    }

    fn touch_resting_on(&mut self, revision: &Sha) {
        let children: Vec<ChangeNumber> =
            self.index.children.get(revision).into_iter().flatten().copied().collect();
        self.touch_all(&children);
    }

    /// A change is gone, or hidden from the daemon.
    pub(super) fn lose_change(&mut self, number: ChangeNumber) {
        self.state.expected.remove(&number);
        let Some(change) = self.state.changes.remove(&number) else { return };
        self.index.remove_change(&change);
        self.touch_resting_on(&change.snapshot.revision);
        self.lose_target(number);
        self.touch_topic(change.snapshot.topic.as_ref());
        self.touch_referrers(number, &change.snapshot.change_id);
        self.forget_references(&change.snapshot.needs);
        self.state.confirms.remove(&number);
        self.index.touch_change(number);
    }

    /// Takes in a branch's tip as it was read.
    pub(super) fn see_tip(&mut self, pair: Pair, commit: Option<Sha>) {
        let reading = self.state.effects.values().any(
            |pending| matches!(&pending.effect.kind, EffectKind::ObserveTip { pair: other } if *other == pair),
        );
        let pushed = self
            .state
            .landings
            .iter()
            .find(|(_, landing)| landing.pair == pair && Some(landing.new) == commit);
        let pushed = pushed.map(|(id, landing)| (*id, landing.unknown.is_some()));
        let tip = self.state.tips.entry(pair.clone()).or_default();
        if tip.commit == commit && (commit.is_some() || tip.epoch > 0) {
            tip.stale &= !reading;
            self.touch_queues_at(&pair);
            return;
        }
        if commit.is_some_and(|commit| tip.before.contains(&commit)) && !(tip.stale && reading) {
            // Late news, or a branch that was set back: it is read again before it is believed.
            self.doubt_tip(&pair);
            return;
        }
        match pushed {
            Some((id, true)) => self.push_landed(id),
            Some((_, false)) => {}
            None => self.move_tip(pair, commit, None),
        }
    }

    /// Records a new tip, with its job file where that is known.
    pub(super) fn move_tip(&mut self, pair: Pair, commit: Option<Sha>, job_file: Option<Option<Sha>>) {
        self.state.tip_epoch += 1;
        let epoch = self.state.tip_epoch;
        let tip = self.state.tips.entry(pair.clone()).or_default();
        let appears = tip.commit.is_none();
        if let Some(old) = tip.commit {
            tip.before.push_back(old);
            if tip.before.len() > TIPS_REMEMBERED {
                tip.before.pop_front();
            }
        }
        if job_file.is_none() || job_file != tip.job_file {
            tip.epoch = epoch;
        }
        tip.commit = commit;
        tip.job_file = job_file;
        tip.stale = false;
        self.touch_queues_at(&pair);
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
        let waiting = self.state.changes.values().filter(|change| {
            let waits = change.jobless.is_some() || change.failed.is_some() || change.held.is_some();
            (waits || appears) && change.snapshot.pair() == pair
        });
        let waiting: Vec<ChangeNumber> = waiting.map(|change| change.snapshot.number).collect();
        self.touch_all(&waiting);
    }

    /// The daemon's own push moved the tip from `old` to `new`.
    pub(super) fn tip_landed(&mut self, pair: Pair, old: Sha, new: Sha, job_file: Option<Sha>) {
        let Some(tip) = self.state.tips.get_mut(&pair) else { return };
        if tip.commit == Some(old) {
            self.move_tip(pair, Some(new), Some(job_file));
        } else if tip.commit != Some(new) {
            tip.before.push_back(new);
            self.doubt_tip(&pair);
        }
    }

    pub(super) fn touch_queues_at(&mut self, pair: &Pair) {
        let queue = self
            .state
            .policy
            .as_ref()
            .and_then(|policy| policy.queue_of(pair).map(|queue| queue.name.clone()));
        self.index.dirty_queues.extend::<Option<QueueName>>(queue);
        let checks: Vec<ItemId> = self
            .state
            .checks
            .iter()
            .copied()
            .filter(|id| self.state.items.get(id).is_some_and(|item| item.node.is_none()))
            .collect();
        self.index.dirty_items.extend(checks);
    }

    /// Takes in a last look.
    pub(super) fn looked(
        &mut self,
        effect: EffectId,
        at: Timestamp,
        changes: Vec<ChangeSnapshot>,
        gone: &[ChangeNumber],
    ) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        let seen: Vec<(ChangeNumber, Sha, bool, Option<Arc<str>>)> = changes
            .iter()
            .map(|change| (change.number, change.revision, change.submittable, first_unmet(change)))
            .collect();
        // What only the daemon's own vote is missing for is not the change's fault: it votes again.
        let unvoted: Vec<ChangeNumber> =
            changes.iter().filter(|change| self.lacks_own_vote(change)).map(|change| change.number).collect();
        for snapshot in changes {
            self.see_change(snapshot, true);
        }
        for number in gone {
            self.lose_change(*number);
        }
        for id in self.looking(effect) {
            let Some(item) = self.state.items.get_mut(&id) else { continue };
            let mut complete = true;
            for change in &item.changes {
                let found = seen
                    .iter()
                    .find(|(number, revision, ..)| *number == change.number && *revision == change.revision);
                match found {
                    Some((_, _, true, _)) => {}
                    Some((number, ..)) if unvoted.contains(number) => complete = false,
                    Some((_, _, false, unmet)) => {
                        complete = false;
                        item.unmet =
                            Some(unmet.clone().unwrap_or_else(|| "(not named by the review host)".into()));
                    }
                    None => complete = false,
                }
            }
            item.stage = if complete { Stage::Looked(at) } else { Stage::Queued };
            for change in &item.changes {
                self.index.touch_change(change.number);
            }
            self.touch_queue_of(id);
        }
    }

    fn looking(&self, effect: EffectId) -> Vec<ItemId> {
        let items = self.state.items.values().filter(|item| item.stage == Stage::Looking(effect));
        items.map(|item| item.id).collect()
    }

    /// Takes in which changes a commit would close.
    pub(super) fn commit_seen(&mut self, effect: EffectId, commit: Sha, changes: Vec<ChangeSnapshot>) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        let numbers = changes.iter().map(|change| change.number).collect();
        for change in changes {
            self.see_change(change, true);
        }
        if self.state.commits.len() >= COMMITS_MAX {
            self.state.commits.clear();
        }
        self.state.commits.insert(commit, numbers);
        self.state.retries.remove(&commit_name(commit));
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
    }

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
            let before = self.state.items.get(&id).and_then(|item| item.look.clone());
            let retry = self.next_retry(before.as_ref(), why.clone());
            self.wake_at(retry.at, Timer::Item(id));
            if let Some(item) = self.state.items.get_mut(&id) {
                item.stage = Stage::Queued;
                item.look = Some(retry);
            }
            self.touch_queue_of(id);
        }
    }

    fn tip_read(&mut self, pair: &Pair, outcome: &Outcome, why: Arc<str>) {
        if *outcome == Outcome::Applied {
            self.state.retries.remove(&tip_name(pair));
            if let Some(tip) = self.state.tips.get_mut(pair) {
                tip.stale = false;
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
            Outcome::Failed(why) | Outcome::Unknown(why) if outgoing.tries >= REPORT_TRIES => {
                self.out.notes.push(super::Note::Said(format!(
                    "change {}: a message was given up: {why}",
                    report.change
                )));
            }
            Outcome::Failed(why) | Outcome::Unknown(why) => {
                let before =
                    super::state::Retry { count: outgoing.tries, at: self.state.now, why: why.clone() };
                outgoing.due = self.next_retry(Some(&before), why).at;
                outgoing.effect = None;
                outgoing.given_up = Some(effect);
                outgoing.report.again_of.get_or_insert(effect);
                outgoing.patient = false;
                self.wake_at(outgoing.due, Timer::Reports);
                self.state.outgoing.push_back(outgoing);
            }
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

fn first_unmet(change: &ChangeSnapshot) -> Option<Arc<str>> {
    change
        .requirements
        .iter()
        .find(|requirement| !requirement.met)
        .map(|requirement| requirement.name.clone())
}

pub(super) fn reason_of(outcome: &Outcome) -> Arc<str> {
    match outcome {
        Outcome::Applied => "ended without an answer".into(),
        Outcome::Refused(why) | Outcome::Failed(why) | Outcome::Unknown(why) => why.clone(),
    }
}
